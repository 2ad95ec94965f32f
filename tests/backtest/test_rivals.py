"""The rivals of a network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from socialgraph.backtest import rivals
from socialgraph.backtest.rivals import LastValue, LastWeek, Ridge, TimeOfDayMean, fitted_scaler
from socialgraph.data import TrafficDataModule, Windows
from tests.conftest import make_series


def make_data(series, window, horizon):
    data = TrafficDataModule(series, ["speed"], windows=Windows(window, horizon))
    data.setup()
    return data


def test_last_value_is_the_last_observed_one():
    features = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).view(1, 2, 3, 1)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool().view(1, 2, 3, 1)
    out = LastValue(horizon=2, num_targets=1)(features, mask)
    assert out[0, :, :, 0].tolist() == [[4.0, 2.0, 0.0]] * 2


def test_time_of_day_mean_keeps_working_days_and_weekends_apart():
    series = make_series(steps=288 * 10, missing=0.0)  # from a Monday, 8:00 in Taipei
    local = 96 + np.arange(288 * 10)
    day, slot = local // 288 % 7, local % 288
    truth = np.where(day >= 5, 1000, 0) + slot
    series.values[..., 0] = truth[:, None]
    series.values[7, 2, 0] = np.nan  # that slot still has other working days
    data = make_data(series, window=3, horizon=4)
    scaler, network = fitted_scaler(data), TimeOfDayMean(data)
    for begin in (106, 288 * 5 - 4, 288 * 7 - 5, 288 * 2 - 3):  # the last three cross midnight
        batch = data.collator([begin - 96])
        out = scaler.inverse(network(batch["target_time_of_day"], batch["target_day_of_week"]))
        torch.testing.assert_close(out, batch["targets"], rtol=1e-4, atol=1e-2)


def test_a_slot_without_a_reading_takes_the_detectors_mean():
    series = make_series(steps=288 * 2, missing=0.0)
    series.values[..., 0] = np.arange(6)
    series.values[::288, 1, 0] = np.nan
    series.values[:, 4, 0] = np.nan
    data = make_data(series, window=3, horizon=1)
    scaler, network = fitted_scaler(data), TimeOfDayMean(data)
    batch = data.collator([285])  # predicts the slot of step 288
    out = scaler.inverse(network(batch["target_time_of_day"], batch["target_day_of_week"]))[
        0, 0, :, 0
    ]
    assert out[:4].tolist() == pytest.approx([0, 1, 2, 3], abs=1e-4)
    assert out[4].item() == pytest.approx(scaler.loc.item(), rel=1e-5)


def test_ridge_forecasts_what_is_linear_in_the_window():
    series = make_series(steps=600, missing=0.0)
    phase = np.arange(600)[:, None] / 5 + np.arange(6)  # the next of a wave follows from two
    series.values[..., 0] = 50 + 10 * np.sin(phase)
    truth = series.values[..., 0].copy()
    series.values[100:120, 2, 0] = np.nan
    data = make_data(series, window=3, horizon=2)
    scaler, network = fitted_scaler(data), Ridge(data)
    batch = data.collator(data.starts["test"].tolist())
    x = scaler.transform(batch["features"], batch["mask"])
    out = scaler.inverse(network(x, batch["mask"], batch["time_of_day"]))
    ahead = data.starts["test"][:, None] + np.array([3, 4])
    np.testing.assert_allclose(out[..., 0], truth[ahead], atol=0.3)


def test_the_usual_day_of_a_holiday_is_that_of_a_sunday():
    series = make_series(steps=288 * 28, missing=0.0)  # from Monday, 1 January 2024
    series = replace(series, timezone="Europe/Copenhagen")
    local = (12 + np.arange(288 * 28)) // 288  # an hour ahead of UTC
    free = (local % 7 >= 5) | (local == 0)  # New Year
    series.values[..., 0] = np.where(free, 10, 50)[:, None]
    out = {}
    for holidays in ("DK", None):
        data = TrafficDataModule(
            series, ["speed"], windows=Windows(3, 2), split=(1, 0, 0), holidays=holidays
        )
        data.setup()
        batch = data.collator([20, 288 + 20])  # on the holiday, and on the Tuesday after it
        network, scaler = TimeOfDayMean(data), fitted_scaler(data)
        forecast = network(batch["target_time_of_day"], batch["target_day_of_week"])
        out[holidays] = scaler.inverse(forecast)[:, 0, 0, 0].tolist()
    assert out["DK"] == pytest.approx([10, 50], abs=1e-3)
    assert out[None] == pytest.approx([48, 48], abs=1e-3)  # one of twenty working days


def hourly(weeks, zone, begin="2024-03-04T00:00:00"):
    series = make_series(steps=168 * weeks, nodes=2, missing=0.0)
    times = np.datetime64(begin, "s") + np.arange(168 * weeks) * np.timedelta64(3600, "s")
    series = replace(series, timestamps=times, timezone=zone, interval_minutes=60.0)
    series.values[..., 0] = np.arange(168 * weeks)[:, None]
    return series


def last_week(series, start, window=3, horizon=4):
    data = make_data(series, window, horizon)
    scaled = LastWeek(data)(data.collator([start])["issued"])
    return fitted_scaler(data).inverse(scaled)[0, :, 0, 0].tolist()


def test_last_week_is_the_same_local_time():
    ahead = 400 + 3 + np.arange(4)
    assert last_week(hourly(6, "UTC"), 400) == pytest.approx(ahead - 168, abs=1e-2)
    # In Berlin clocks went forward on 31 March, the hours 649 and later are those of a week with
    # 167 hours.
    assert last_week(hourly(6, "Europe/Berlin"), 400) == pytest.approx(ahead - 168, abs=1e-2)
    assert last_week(hourly(6, "Europe/Berlin"), 700) == pytest.approx(ahead + 300 - 167, abs=1e-2)


def test_last_week_goes_back_over_what_is_missing_and_never_into_the_future():
    series = hourly(8, "UTC")
    start = 168 * 6
    ahead = start + 3 + np.arange(4)
    series.values[ahead[1] - 168] = np.nan
    series.values[[ahead[2] - 168 * k for k in (1, 2)]] = np.nan
    series.values[[ahead[3] - 168 * k for k in (1, 2, 3, 4)]] = np.nan
    mean = np.nanmean(series.values[: round(0.7 * 168 * 8), :, 0])
    wanted = [ahead[0] - 168, ahead[1] - 336, ahead[2] - 504, mean]
    assert last_week(series, start) == pytest.approx(wanted, abs=0.05)
    later = replace(series, values=series.values.copy())
    later.values[start + 3 :] += 1e4  # the scales are of the training part, before it
    assert last_week(later, start) == pytest.approx(wanted, abs=0.05)


def test_last_week_of_a_horizon_of_days_is_a_week_that_is_known():
    out = last_week(hourly(8, "UTC"), 700, horizon=170)
    ahead = 703 + np.arange(170)
    assert out == pytest.approx(ahead - 336, abs=1e-2)


def test_ridge_is_the_least_squares_of_the_observed_targets_with_a_penalty():
    series = make_series(steps=400, missing=0.1)
    data = make_data(series, window=3, horizon=2)
    scaler, network = fitted_scaler(data), Ridge(data, penalty=2.0)
    batch = data.collator(data.starts["train"].tolist())
    x = scaler.transform(batch["features"], batch["mask"])
    inputs = rivals._regressors(x, batch["mask"], batch["time_of_day"])
    targets, mask = (batch["targets"] - scaler.loc) / scaler.scale, batch["target_mask"]
    for node, step in ((0, 0), (3, 1)):
        known = mask[:, step, node, 0]
        assert 0.8 < known.float().mean() < 1
        wide = inputs.size(-1)
        rows = np.vstack([inputs[known, node].double(), np.sqrt(2.0) * np.eye(wide)])
        wanted = np.append(targets[known, step, node, 0].double(), np.zeros(wide))
        reference, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
        np.testing.assert_allclose(
            network.weight[node, step, 0].numpy(), reference, rtol=1e-3, atol=1e-4
        )
