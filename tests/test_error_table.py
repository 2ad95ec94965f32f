"""Errors for people and for JSON."""

from dataclasses import replace

import torch

from socialgraph.data import TrafficDataModule, Windows
from socialgraph.error_table import describe_errors, format_errors, name_quarters, quarters
from socialgraph.metrics import ForecastErrors, errors_from_sums
from tests.conftest import make_series


def test_every_quarter_of_the_horizon_is_shown_and_all_of_it():
    assert name_quarters([5.0 * step for step in range(1, 13)]) == [
        "15 min",
        "30 min",
        "45 min",
        "60 min",
        "all",
    ]
    values = [float(step) for step in range(1, 13)]
    assert quarters(values, 7.5) == ["3.00", "6.00", "9.00", "12.00", "7.50"]
    assert quarters([1.0, None, 3.0], None) == ["1.00", "-", "3.00", "-"]
    assert quarters([2.0], 2.0) == ["2.00", "2.00"]


def test_whole_hours_are_told_as_hours():
    assert name_quarters([60.0 * k for k in range(1, 25)]) == ["6 h", "12 h", "18 h", "24 h", "all"]
    assert name_quarters([30.0, 60.0, 90.0, 120.0])[1] == "60 min"


def spec_of(units):
    data = TrafficDataModule(make_series(), windows=Windows(2, 2))
    data.setup()
    return replace(data.spec, units=units)


def test_the_table_names_targets_with_their_units():
    errors = ForecastErrors(2, 2)
    target = torch.full((1, 2, 6, 2), 10.0)
    forecast = target + torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, :, None]
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[:, :, :, 1] = torch.tensor([True, False])[None, :, None]
    errors.update(forecast, target, mask)
    found = describe_errors(spec_of(["km/h", ""]), errors_from_sums(errors.compute()))
    assert found["speed"]["mae"] == [1.0, 3.0]
    assert found["flow"]["mae"] == [2.0, None]
    assert found["flow"]["rmse_mean_of_steps"] == 2.0
    lines = [line.split() for line in format_errors(found, [5.0, 10.0]).splitlines()]
    assert lines[0] == ["speed", "[km/h]", "5", "min", "10", "min", "all"]
    assert lines[1] == ["mae", "1.00", "3.00", "2.00"]
    assert lines[3] == ["mape", "%", "10.00", "30.00", "20.00"]
    assert lines[4] == ["flow", "5", "min", "10", "min", "all"]
    assert lines[5] == ["mae", "2.00", "-", "2.00"]
