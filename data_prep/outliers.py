"""The range of readings, and those that are far outside it."""

import numpy as np

__all__ = ["ValueCounts", "describe_range", "find_far"]

_FEWEST_READINGS = 100
_FEWEST_VALUES = 20
_FEW = 1000
_REPEATS = 10
_WIDE_GAP = 1.0
_WIDE_GAP_OF_ONE_VALUE = 0.5
_HELD = 2**23  # readings between two merges


class ValueCounts:
    """The distinct readings of a feature and how often each occurs, told part by part."""

    def __init__(self) -> None:
        self._values, self._counts = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        self._held: list[np.ndarray] = []

    def add(self, readings: np.ndarray) -> None:
        """Count readings of any shape; NaN is none."""
        self._held.append(readings[~np.isnan(readings)])
        if sum(map(len, self._held)) > _HELD:
            self._merge()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct readings, ascending, and their counts."""
        self._merge()
        return self._values, self._counts

    def _merge(self) -> None:
        held = np.concatenate([*self._held, np.zeros(0, dtype=np.float32)])
        self._held = []
        new, counts = np.unique(held, return_counts=True)
        values, place = np.unique(np.concatenate([self._values, new]), return_inverse=True)
        every = np.concatenate([self._counts, counts])
        self._counts = np.bincount(place, every, len(values)).astype(np.int64)
        self._values = values


def describe_range(values: np.ndarray, counts: np.ndarray) -> dict[str, float] | None:
    """``minimum``, ``low`` (0.1 %), ``median``, ``high`` (99.9 %) and ``maximum`` of readings.

    Args:
        values: distinct readings, ascending.
        counts: how often each occurs.

    Returns:
        None if there is no reading.
    """
    if not len(values):
        return None
    ends = np.cumsum(counts)
    places = np.rint(np.array([0, 0.001, 0.5, 0.999, 1]) * (ends[-1] - 1)).astype(int)
    names = ("minimum", "low", "median", "high", "maximum")
    found = values[np.searchsorted(ends, places, side="right")]
    return dict(zip(names, found.tolist(), strict=True))


def find_far(
    values: np.ndarray, counts: np.ndarray
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Split readings into groups that are far outside, and the others.

    A group at either end of the readings is far outside if the gap between it and the others is
    wide against their spread:

    - at most a thousandth of the readings (at least one), with a gap of more than the spread; or
    - one value that is repeated ten times or more, with a gap of more than half the spread: a
      number that may stand for "missing".

    The spread reaches from the other reading next to the gap to the opposite end of the others,
    without a thousandth of them, so that what is wrong there hides nothing here. Groups are taken
    away one by one. Nothing is said of fewer than 100 readings, or of others with fewer than 20
    distinct values, such as speed limits or levels.

    Args:
        values: distinct readings, ascending, without NaN; one or more.
        counts: how often each occurs.

    Returns:
        Lowest and highest reading of each group, and of the others.
    """
    groups = []
    values = values.astype(np.float64)
    while True:
        below, above = _count_far(values, counts), _count_far(-values[::-1], counts[::-1])
        if below:
            groups.append((float(values[0]), float(values[below - 1])))
            values, counts = values[below:], counts[below:]
        elif above:
            groups.append((float(values[-above]), float(values[-1])))
            values, counts = values[:-above], counts[:-above]
        else:
            return groups, (float(values[0]), float(values[-1]))


def _count_far(values: np.ndarray, counts: np.ndarray) -> int:
    """How many of the lowest distinct readings are far below the others."""
    total = int(counts.sum())
    if total < _FEWEST_READINGS or len(values) < 2:
        return 0
    few = max(1, total // _FEW)
    if counts[0] >= _REPEATS and _is_far(values, counts, 1, few, _WIDE_GAP_OF_ONE_VALUE):
        return 1
    # The borders behind at most `few` readings.
    ends = int(np.searchsorted(np.cumsum(counts), few, side="right"))
    if not ends:
        return 0
    widest = int(np.argmax(np.diff(values[: ends + 1]))) + 1
    return widest if _is_far(values, counts, widest, few, _WIDE_GAP) else 0


def _is_far(values: np.ndarray, counts: np.ndarray, first: int, few: int, least: float) -> bool:
    others = values[first:]
    left = np.cumsum(counts[first:][::-1])
    if not len(others) or left[-1] <= few or len(others) < _FEWEST_VALUES:
        return False
    high = others[::-1][int(np.searchsorted(left, few, side="right"))]
    gap = others[0] - values[first - 1]
    return bool(gap > least * (high - others[0]) > 0)
