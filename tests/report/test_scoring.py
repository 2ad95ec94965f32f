"""The forecasts that are scored: of the network, without its neighbours, and of its rivals."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from socialgraph.data import TrafficDataModule, Windows
from socialgraph.graph import RadiusGraph
from socialgraph.report import scoring
from socialgraph.report.rivals import Rivals
from socialgraph.report.scoring import NETWORK, cells_of, score, without_edges
from socialgraph.table import forecast_table
from tests.conftest import make_series
from tests.report.conftest import TEST

RIDGE_PENALTY = 1.0


def test_columns_of_a_table_become_windows():
    data = TrafficDataModule(make_series(), targets=["speed"], windows=Windows(4, 3))
    data.setup()
    batch = data.collator([10, 50])
    forecast = torch.arange(2 * 3 * 6.0).view(2, 3, 6, 1)
    known = {name: batch[name] for name in ("issued", "targets", "target_mask")}
    table = forecast_table({"forecast": forecast, **known}, data.spec)
    low = pa.array(-table["speed"].to_numpy())
    table = table.append_column("speed_p05", low).append_column("speedy_p95", low)
    table = table.append_column("speed_p97.5", low)
    found = cells_of(table, "speed", 6, 3)
    assert set(found) == {NETWORK, "truth", "p05", "p97.5"}
    np.testing.assert_array_equal(found[NETWORK], forecast[..., 0])
    np.testing.assert_array_equal(found["p05"], -forecast[..., 0])
    truth = torch.where(batch["target_mask"], batch["targets"], torch.nan)[..., 0]
    np.testing.assert_array_equal(found["truth"], truth)


def test_all_test_windows_are_scored_with_their_truth(run):
    scores, series = run.scores, run.data.series
    assert len(scores.issued) == len(run.data.starts["test"])
    assert scores.every == 1
    place = np.searchsorted(series.timestamps, scores.times)
    np.testing.assert_array_equal(scores.truth, series.values[place, :, 0])
    assert scores.times.min() == series.timestamps[TEST + 6]


def test_the_interval_is_that_of_the_forecast_table(run):
    scores, (low, high) = run.scores, run.forecaster.levels
    assert scores.nominal == pytest.approx(high - low) == pytest.approx(0.9)
    batch = run.data.collator(run.data.starts["test"][:5].tolist())
    with torch.inference_mode():
        quantiles = run.forecaster.predict_step(batch, 0)["quantiles"][..., 0, :]
    np.testing.assert_allclose(scores.low[:5], quantiles[..., 0], rtol=1e-4)
    np.testing.assert_allclose(scores.high[:5], quantiles[..., 1], rtol=1e-4)
    assert (scores.low < scores.high).all()


def test_variants_are_forecast_on_the_same_windows(run):
    found = score(run.forecaster, run.data, "speed", {"again": run.forecaster}, every=20)
    np.testing.assert_allclose(found.forecasts["again"], found.forecasts[NETWORK], rtol=1e-5)


def test_every_third_window_is_scored_if_so_asked(run):
    few = score(run.forecaster, run.data, "speed", every=3)
    np.testing.assert_array_equal(few.issued, run.scores.issued[::3])
    for name, forecast in few.forecasts.items():
        np.testing.assert_allclose(forecast, run.scores.forecasts[name][::3], rtol=1e-4, atol=1e-4)


def test_large_networks_are_scored_at_evenly_spread_windows(run, monkeypatch):
    windows = len(run.scores.issued)
    for most, every in ((6 * windows, 1), (6 * windows - 1, 2), (6 * windows // 4, 4)):
        monkeypatch.setattr(scoring, "_MOST_FORECASTS", most)
        few = score(run.forecaster, run.data, "speed")
        assert few.every == every
        np.testing.assert_array_equal(few.issued, run.scores.issued[::every])


def test_with_pooling_off_a_detector_is_forecast_as_if_it_were_alone(run):
    off = run.scores.forecasts["pooling off"]
    assert np.abs(off - run.scores.forecasts[NETWORK]).max() > 1e-4
    for node in (1, 4):
        vdid = run.data.series.vdids[node]
        alone = TrafficDataModule(
            run.data.series.select(vdids=[vdid]),
            targets=["speed"],
            windows=Windows(6, 4),
            graph=RadiusGraph(700.0),
        )
        alone.setup("test")
        try:
            run.forecaster.follow(alone.spec)
            with torch.inference_mode():
                forecast = run.forecaster(alone.collator(alone.starts["test"].tolist()))
        finally:
            run.forecaster.follow(run.data.spec)
        np.testing.assert_allclose(off[..., node], forecast[..., 0, 0], rtol=1e-4, atol=1e-3)


def test_a_batch_without_edges_keeps_the_rest():
    data = TrafficDataModule(make_series(), windows=Windows(4, 3), graph=RadiusGraph(700.0))
    data.setup()
    batch = data.collator([0])
    cut = without_edges(batch)
    assert cut["edge_index"].shape == (2, 0)
    assert cut["distance"].shape == (0,)
    assert cut["offset"].shape == (0, 2)
    assert cut["features"] is batch["features"]
    assert batch["edge_index"].size(1) > 0
    del batch["edge_index"], batch["distance"], batch["offset"]
    assert set(without_edges(batch)) == set(batch)


def test_the_last_value_is_the_last_reading_of_the_window(run):
    found, values = run.scores.forecasts["last value"], run.data.series.values[..., 0]
    usual = run.scores.forecasts["usual day"]
    for window in (0, 20, len(found) - 1):
        start = run.data.starts["test"][window]
        for node in range(6):
            own = values[start : start + 6, node]
            known = own[~np.isnan(own)]
            assert (found[window, :, node] == known[-1]).all()
    assert not np.array_equal(found, usual)


def test_a_silent_window_has_the_usual_day_as_its_last_value(run):
    batch = run.data.collator([0])
    batch["mask"] = torch.zeros_like(batch["mask"])
    found = Rivals(run.data, 0).forecast(batch)
    clocks = batch["time_of_day"][:, -1:], batch["day_of_week"][:, -1:]
    usual = run.data.usual.profile()(*clocks)[0][:, 0, :, 0]
    for step in range(4):
        torch.testing.assert_close(found["last value"][:, step], usual)


def test_the_usual_day_is_the_mean_of_the_training_readings_at_that_time(run):
    data, window, step, node = run.data, 30, 2, 1
    slot = (data.starts["test"][window] + 6 + step) % 288
    train = data.series.values[: data.train_steps, node, 0]
    near = np.abs((np.arange(data.train_steps) - slot + 144) % 288 - 144) <= 6  # 30 minutes
    expected = np.nanmean(train[near])  # all days are working days
    assert run.scores.forecasts["usual day"][window, step, node] == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("days", [8, 10])
def test_last_week_is_a_rival_once_there_is_one(days):
    series = make_series(steps=days * 288, missing=0.0)
    windows = Windows(4, 3)
    data = TrafficDataModule(series, targets=["flow"], windows=windows, split=(0.7, 0.05, 0.25))
    data.setup("test")
    start = int(data.starts["test"][5])
    found = Rivals(data, 0).forecast(data.collator([start]))
    if days == 8:  # the test begins on the seventh day
        assert "last week" not in found
        return
    before = start + 4 - 7 * 288
    expected = series.select(["flow"]).values[before : before + 3, :, 0]
    np.testing.assert_allclose(found["last week"][0], expected, rtol=1e-5)


def test_the_ridge_is_the_solution_of_its_least_squares():
    data = TrafficDataModule(
        make_series(steps=600, missing=0.0), targets=["speed"], windows=Windows(4, 3)
    )
    data.setup()
    rivals, node = Rivals(data, 0), 2
    collator = data.collator
    starts = data.starts["train"].tolist()
    usual = data.usual.around(torch.as_tensor(starts)[:, None] + torch.arange(7))[0][..., node, 0]
    batch = collator(starts)
    spread = data.usual.profile().deviation[:, :, node, 0].mean()
    x = (batch["features"][..., node, 0] - usual[:, :4]) / spread
    y = (batch["targets"][..., node, 0] - usual[:, 4:]) / spread
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    held = torch.cat([x, RIDGE_PENALTY**0.5 * torch.eye(5, dtype=torch.float64)])
    wanted = torch.cat([y.double(), torch.zeros(5, 3, dtype=torch.float64)])
    weight = torch.linalg.lstsq(held, wanted).solution
    torch.testing.assert_close(rivals.weight[node], weight, rtol=1e-4, atol=1e-5)
    test = collator(data.starts["test"][:5].tolist())
    own = data.usual.profile()
    clocks = (torch.cat([test[n], test[f"target_{n}"]], 1) for n in ("time_of_day", "day_of_week"))
    mean = own(*clocks)[0][..., node, 0]
    apart = torch.cat(
        [(test["features"][..., node, 0] - mean[:, :4]) / spread, torch.ones(5, 1)], 1
    )
    expected = mean[:, 4:] + (apart.double() @ weight).float() * spread
    torch.testing.assert_close(
        rivals.forecast(test)["ridge"][..., node], expected, rtol=1e-4, atol=1e-3
    )
