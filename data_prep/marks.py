"""Readings of a day that cannot be right, each with the reason: what a report names and ``clean``
masks."""

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["FLOWS", "NEVER_NEGATIVE", "REASONS", "SHIFTED", "mark_day"]

REASONS = {
    "far outside": "far outside all others, or a number that may mean missing",
    "negative": "below 0 in a feature that never is",
    "stuck": "one value other than 0 for a whole local day",
    "occupied without flow": "occupancy above 0 while no vehicle was counted",
    "speed without flow": "speed above 0 while no vehicle was counted: a value that is held",
    "speed 0 without flow": "speed 0 while no vehicle was counted: there is none to be measured",
    "flow at speed 0": "vehicles counted at a speed of 0",
    "spike": "one reading far from the two beside it, which are near each other",
    "shifted clock": "of a detector on days on which its clock seems to be wrong",
}
SHIFTED = "shifted clock"
NEVER_NEGATIVE = {"speed", "flow", "volume", "count", "occupancy", "occ"}
FLOWS, _OCCUPANCIES = ("flow", "volume", "count"), ("occupancy", "occ")
_FEWEST = 12  # readings of a day that can be told to be stuck
_SHARE = 0.5  # of the steps of a day
_JUMP = 12.0  # times the usual difference of neighbours
_FLOOR = 0.03  # of the range of a feature, the least usual difference


def mark_day(
    values: np.ndarray,
    names: Sequence[str],
    far: Mapping[str, Sequence[tuple[float, float]]],
    spans: Mapping[str, float],
    shifted: Sequence[int] = (),
) -> dict[str, np.ndarray]:
    """Which readings of a day cannot be right.

    Args:
        values: ``[t, N, F]``, NaN if missing.
        names: features.
        far: groups of readings that are far outside, lowest and highest, by feature.
        spans: usual range of a feature, from 0.1 % to 99.9 % of its readings.
        shifted: detectors whose clock is wrong on this day.

    Returns:
        True for such readings ``[t, N, F]``, by the reasons of :data:`REASONS`.
    """
    marks = {reason: np.zeros(values.shape, dtype=bool) for reason in REASONS}
    outside = marks["far outside"]
    for index, name in enumerate(names):
        column = values[..., index]
        for low, high in far.get(name, ()):
            outside[..., index] |= (column >= np.float32(low)) & (column <= np.float32(high))
        if name in NEVER_NEGATIVE:
            marks["negative"][..., index] = (column < 0) & ~outside[..., index]
    plain = np.where(outside | marks["negative"], np.nan, values)
    _mark_contradictions(plain, list(names), marks)
    for index, name in enumerate(names):
        marks["stuck"][..., index] = _stuck(plain[..., index])
        if name in spans:
            trusted = np.where(np.any(list(marks.values()), axis=0), np.nan, plain)
            marks["spike"][..., index] = _spikes(trusted[..., index], spans[name])
    marks[SHIFTED][:, list(shifted)] = ~np.isnan(values[:, list(shifted)])
    return marks


def _stuck(values: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    stuck = (low == high) & (low != 0) & (count >= max(_FEWEST, _SHARE * len(values)))
    return there & stuck


def _spikes(values: np.ndarray, span: float) -> np.ndarray:
    spikes = np.zeros(values.shape, dtype=bool)
    if len(values) < _FEWEST:
        return spikes
    usual = _lower_median(np.abs(np.diff(values, axis=0)))
    before = values[1:-1] - values[:-2]
    after = values[1:-1] - values[2:]
    jump = np.minimum(np.abs(before), np.abs(after))
    beside = np.abs(values[2:] - values[:-2])
    least = _JUMP * np.maximum(usual, _FLOOR * span)
    spikes[1:-1] = (before * after > 0) & (jump > least) & (beside < jump / 4)
    return spikes


def _lower_median(values: np.ndarray) -> np.ndarray:
    """The middle of each column, the lower one of two; infinite for a column without a value."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    middle = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0) // 2
    found = ordered[middle, np.arange(values.shape[1])]
    return np.where(np.isnan(found), np.inf, found)


def _mark_contradictions(
    values: np.ndarray, names: list[str], marks: dict[str, np.ndarray]
) -> None:
    flow = next((names.index(name) for name in FLOWS if name in names), None)
    if flow is None:
        return
    empty, counted = values[..., flow] == 0, values[..., flow] > 0
    occupancy = next((names.index(name) for name in _OCCUPANCIES if name in names), None)
    if occupancy is not None:
        marks["occupied without flow"][..., occupancy] = empty & (values[..., occupancy] > 0)
    if "speed" in names:
        speed = names.index("speed")
        marks["speed without flow"][..., speed] = empty & (values[..., speed] > 0)
        marks["speed 0 without flow"][..., speed] = empty & (values[..., speed] == 0)
        marks["flow at speed 0"][..., speed] = counted & (values[..., speed] == 0)
