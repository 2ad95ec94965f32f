"""Outages: what is taken away, the same each time, and what a forecast is left with."""

import pytest
import torch

from benchmarks.environment import write_result
from benchmarks.outages import Outage, measure
from benchmarks.report import make_tables
from socialgraph.backtest.rivals import LastValue, TimeOfDayMean
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from tests.conftest import make_series


def test_a_share_is_silent_and_falls_together():
    for kind, alike in [("readings", ()), ("detectors", (1,)), ("windows", (1, 2))]:
        mask = torch.ones(200, 12, 30, 2, dtype=torch.bool)
        silent = Outage(kind, 0.3).silent(mask).expand_as(mask)
        assert abs(silent.float().mean() - 0.3) < 0.1
        for axis in (*alike, 3):
            assert torch.equal(silent, silent.select(axis, 0).unsqueeze(axis).expand_as(silent))
        for axis in {0, 1, 2} - set(alike):
            assert not torch.equal(silent, silent.roll(1, axis))
        assert torch.equal(silent, Outage(kind, 0.3).silent(mask).expand_as(mask))
        assert not Outage(kind, 0.0).silent(mask).any()


def test_the_truth_stays_and_the_usual_day_does_not_suffer():
    series = make_series(steps=288 * 2)
    data = TrafficDataModule(series, features=["speed"], windows=Windows(6, 3))
    data.setup()
    usual, last = Forecaster(TimeOfDayMean(data)), Forecaster(LastValue(3, 1))
    nothing, all_of_it = Outage("windows", 0.0), Outage("windows", 1.0)
    assert measure(usual, data, nothing) == measure(usual, data, all_of_it)
    mean = torch.tensor(data.fitted_spec().loc[0])
    truth = [data.collator([start]) for start in data.starts["test"].tolist()]
    error = torch.cat([(b["targets"] - mean).abs()[b["target_mask"]] for b in truth]).mean()
    assert measure(last, data, all_of_it) == pytest.approx(float(error), rel=1e-5)
    assert measure(last, data, all_of_it) != measure(last, data, nothing)


def test_the_table_names_what_was_silent(tmp_path):
    results = [
        {"model": "a", "kind": "readings", "share": 0.0, "mae": 1.0},
        {"model": "a", "kind": "windows", "share": 0.3, "mae": 2.5},
    ]

    write_result(tmp_path / "outages.json", "outages", {}, results)
    table = make_tables(tmp_path)["outages"]
    assert "| model | nothing silent | 30% of windows |" in table
    assert "| a | 1.000 | 2.500 |" in table
