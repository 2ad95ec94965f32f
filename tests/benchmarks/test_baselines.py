"""The naive rivals."""

import numpy as np
import pytest
import torch

from benchmarks.baselines import LastValue, Ridge, TimeOfDayMean, fitted_scaler
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
        out = scaler.inverse(network(batch["time_of_day"], batch["day_of_week"]))
        torch.testing.assert_close(out, batch["targets"], rtol=1e-4, atol=1e-2)


def test_a_slot_without_a_reading_takes_the_detectors_mean():
    series = make_series(steps=288 * 2, missing=0.0)
    series.values[..., 0] = np.arange(6)
    series.values[::288, 1, 0] = np.nan
    series.values[:, 4, 0] = np.nan
    data = make_data(series, window=3, horizon=1)
    scaler, network = fitted_scaler(data), TimeOfDayMean(data)
    batch = data.collator([285])  # predicts the slot of step 288
    out = scaler.inverse(network(batch["time_of_day"], batch["day_of_week"]))[0, 0, :, 0]
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
