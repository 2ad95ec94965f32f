"""Intervals of a stream keep what they promise, whatever the readings do."""

import numpy as np
import pytest
import torch

from socialgraph.adaptive import AdaptiveIntervals

STEP = np.timedelta64(300, "s")
START = np.datetime64("2024-01-01T00:00:00", "s")
LEVELS = [0.05, 0.95]


def forecast_of(horizon, nodes, width=2.0):
    """Forecasts of 0 for all, with an interval of some width."""
    quantiles = torch.tensor([-width / 2, width / 2]).expand(horizon, nodes, 1, 2)
    return {"forecast": torch.zeros(horizon, nodes, 1), "quantiles": quantiles}


def follow(readings, horizon=3, width=2.0, intervals=None, first=0):
    """Whether each reading ``[T, N]`` was in what was told for it at each step ``[T, P, N]``."""
    intervals = intervals or AdaptiveIntervals(LEVELS, STEP)
    told, inside = {}, []
    for t, truth in enumerate(readings, start=first):
        own = torch.full((horizon, len(truth)), torch.nan)
        for ahead in range(1, horizon + 1):
            if t - ahead in told:
                lower, upper = told[t - ahead][ahead - 1, :, 0].unbind(-1)
                own[ahead - 1] = ((lower <= truth) & (truth <= upper)).float()
        inside.append(own)
        forecast = forecast_of(horizon, len(truth), width)
        told[t] = intervals.update(START + t * STEP, forecast, truth.unsqueeze(-1))
    return torch.stack(inside)


@pytest.mark.parametrize("scale", [0.2, 2.0])
def test_intervals_of_the_wrong_width_come_to_hold_what_they_promise(scale):
    inside = follow(scale * torch.randn(3000, 4))
    assert float(inside[:50].nanmean()) == pytest.approx(1.0 if scale < 1 else 0.45, abs=0.1)
    late = inside[1500:].mean(dim=(0, 2))
    np.testing.assert_allclose(late, 0.9, atol=0.015)  # each step alone


def test_they_follow_a_drift_and_a_step_on_one_side():
    drift = torch.linspace(0, 8, 2000).unsqueeze(-1) + torch.randn(2000, 3)
    inside = follow(drift, width=4.0)
    assert float(inside[200:].mean()) == pytest.approx(0.9, abs=0.02)


def test_a_shift_is_that_of_the_formula():
    intervals = AdaptiveIntervals(LEVELS, STEP)
    readings = torch.tensor([[0.0], [5.0]])
    follow(readings, horizon=1, intervals=intervals)
    # above both: each end moves by 2 % of the width, times its level
    assert intervals.shift[0, 0, 0].tolist() == pytest.approx([0.04 * 0.05, 0.04 * 0.95])
    follow(-readings[1:], horizon=1, intervals=intervals, first=2)
    expected = [0.04 * (0.05 + 0.05 - 1), 0.04 * (0.95 + 0.95 - 1)]
    assert intervals.shift[0, 0, 0].tolist() == pytest.approx(expected)


def test_missing_readings_and_gaps_change_nothing():
    intervals = AdaptiveIntervals(LEVELS, STEP)
    follow(torch.randn(50, 2), intervals=intervals)
    before = intervals.shift.clone()
    follow(torch.full((5, 2), torch.nan), intervals=intervals, first=50)
    assert torch.equal(intervals.shift, before)
    follow(torch.randn(1, 2), intervals=intervals, first=58)  # after all that was told for it
    assert torch.equal(intervals.shift, before)
    follow(torch.randn(1, 2), intervals=intervals, first=59)
    assert not torch.equal(intervals.shift, before)


def test_a_restored_state_goes_on_as_if_it_had_never_stopped(tmp_path):
    readings = torch.randn(80, 2)
    whole, first, second = (AdaptiveIntervals(LEVELS, STEP) for _ in range(3))
    expected = follow(readings, intervals=whole)
    follow(readings[:40], intervals=first)
    torch.save(first.state(), tmp_path / "state")
    second.restore(torch.load(tmp_path / "state", weights_only=True))
    found = follow(readings[40:], intervals=second, first=40)
    assert torch.equal(second.shift, whole.shift)
    assert torch.equal(found[3:], expected[43:])
    with pytest.raises(ValueError, match="of the levels"):
        AdaptiveIntervals([0.1, 0.9], STEP).restore(first.state())


def test_detectors_keep_their_shifts_by_place():
    intervals = AdaptiveIntervals(LEVELS, STEP)
    follow(torch.randn(50, 2) * torch.tensor([1.0, 9.0]), intervals=intervals)
    before = intervals.shift.clone()
    intervals.take(torch.tensor([1, -1, 0]))
    assert torch.equal(intervals.shift[:, [0, 2]], before[:, [1, 0]])
    assert (intervals.shift[:, 1] == 0).all()
    follow(torch.randn(2, 3), intervals=intervals, first=50)
