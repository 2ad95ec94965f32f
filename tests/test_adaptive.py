"""Intervals of a stream keep what they promise, whatever the readings do."""

import copy

import numpy as np
import pytest

from socialgraph.adaptive import AdaptiveIntervals

STEP = np.timedelta64(300, "s")
START = np.datetime64("2024-01-01T00:00:00", "s")
LEVELS = [0.05, 0.95]


def forecast_of(horizon, nodes, width=2.0):
    """Forecasts of 0 for all, with an interval of some width."""
    quantiles = np.tile([-width / 2, width / 2], (horizon, nodes, 1, 1))
    return {"forecast": np.zeros((horizon, nodes, 1)), "quantiles": quantiles}


def follow(readings, horizon=3, width=2.0, intervals=None, first=0):
    """Whether each reading ``[T, N]`` was in what was told for it at each step ``[T, P, N]``."""
    intervals = intervals or AdaptiveIntervals(LEVELS, STEP)
    told, inside = {}, []
    for t, truth in enumerate(readings, start=first):
        own = np.full((horizon, len(truth)), np.nan)
        for ahead in range(1, horizon + 1):
            if t - ahead in told:
                lower, upper = told[t - ahead][ahead - 1, :, 0].T
                own[ahead - 1] = (lower <= truth) & (truth <= upper)
        inside.append(own)
        forecast = forecast_of(horizon, len(truth), width)
        told[t] = intervals.update(START + t * STEP, forecast, truth[:, None])
    return np.stack(inside)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("scale", [0.2, 2.0])
def test_intervals_of_the_wrong_width_come_to_hold_what_they_promise(scale):
    inside = follow(scale * normal(3000, 4))
    assert np.nanmean(inside[:50]) == pytest.approx(1.0 if scale < 1 else 0.45, abs=0.1)
    late = inside[1500:].mean(axis=(0, 2))
    np.testing.assert_allclose(late, 0.9, atol=0.015)  # each step alone


def test_they_follow_a_drift_and_a_step_on_one_side():
    drift = np.linspace(0, 8, 2000)[:, None] + normal(2000, 3)
    inside = follow(drift, width=4.0)
    assert inside[200:].mean() == pytest.approx(0.9, abs=0.02)


def test_a_shift_is_that_of_the_formula():
    intervals = AdaptiveIntervals(LEVELS, STEP)
    readings = np.array([[0.0], [5.0]])
    follow(readings, horizon=1, intervals=intervals)
    # above both: each end moves by 2 % of the width, times its level
    assert intervals.shift[0, 0, 0].tolist() == pytest.approx([0.04 * 0.05, 0.04 * 0.95])
    follow(-readings[1:], horizon=1, intervals=intervals, first=2)
    expected = [0.04 * (0.05 + 0.05 - 1), 0.04 * (0.95 + 0.95 - 1)]
    assert intervals.shift[0, 0, 0].tolist() == pytest.approx(expected)


def test_missing_readings_and_gaps_change_nothing():
    intervals = AdaptiveIntervals(LEVELS, STEP)
    follow(normal(50, 2), intervals=intervals)
    before = intervals.shift.copy()
    follow(np.full((5, 2), np.nan), intervals=intervals, first=50)
    assert np.array_equal(intervals.shift, before)
    follow(normal(1, 2), intervals=intervals, first=58)  # after all that was told for it
    assert np.array_equal(intervals.shift, before)
    follow(normal(1, 2), intervals=intervals, first=59)
    assert not np.array_equal(intervals.shift, before)


def test_a_restored_state_goes_on_as_if_it_had_never_stopped():
    readings = normal(80, 2)
    whole, first, second = (AdaptiveIntervals(LEVELS, STEP) for _ in range(3))
    expected = follow(readings, intervals=whole)
    follow(readings[:40], intervals=first)
    second.restore(copy.deepcopy(first.state()))
    found = follow(readings[40:], intervals=second, first=40)
    assert np.array_equal(second.shift, whole.shift)
    assert np.array_equal(found[3:], expected[43:])
    with pytest.raises(ValueError, match="of the levels"):
        AdaptiveIntervals([0.1, 0.9], STEP).restore(first.state())


def test_detectors_keep_their_shifts_by_place():
    intervals = AdaptiveIntervals(LEVELS, STEP)
    follow(normal(50, 2) * [1.0, 9.0], intervals=intervals)
    before = intervals.shift.copy()
    intervals.take(np.array([1, -1, 0]))
    assert np.array_equal(intervals.shift[:, [0, 2]], before[:, [1, 0]])
    assert (intervals.shift[:, 1] == 0).all()
    follow(normal(2, 3), intervals=intervals, first=50)
