"""The range of readings, and those that are far outside it."""

import numpy as np

from data_prep.timeline import name_time
from socialgraph.series import TrafficSeries

__all__ = ["feature_ranges", "find_far", "find_outliers"]

_FEWEST_READINGS = 100
_FEWEST_VALUES = 20
_FEW = 1000
_REPEATS = 10
_WIDE_GAP = 1.0
_WIDE_GAP_OF_ONE_VALUE = 0.5


def feature_ranges(series: TrafficSeries) -> tuple[dict[str, dict | None], list[dict]]:
    """The range of each feature, and the outliers of all of them.

    Returns:
        By feature ``minimum``, ``low`` (0.1 %), ``median``, ``high`` (99.9 %) and ``maximum``, None
        for a feature without a reading; and the entries of :func:`find_outliers`.
    """
    ranges, outliers = {}, []
    for index, name in enumerate(series.feature_names):
        values = series.values[..., index]
        ordered = np.sort(values[~np.isnan(values)])
        if not len(ordered):
            ranges[name] = None
            continue
        places = np.rint(np.array([0, 0.001, 0.5, 0.999, 1]) * (len(ordered) - 1)).astype(int)
        names = ("minimum", "low", "median", "high", "maximum")
        ranges[name] = dict(zip(names, ordered[places].tolist(), strict=True))
        outliers += find_outliers(series, index, ordered)
    return ranges, outliers


def find_outliers(series: TrafficSeries, index: int, ordered: np.ndarray) -> list[dict]:
    """Groups of readings of a feature that are far outside the others, see :func:`find_far`.

    Args:
        series: the readings.
        index: which feature.
        ordered: its readings ``[R]``, ascending.

    Returns:
        An entry for each group: its ``feature``, distinct ``values``, ``count`` and ``share`` of
        the readings, ``detectors``, the ``first`` reading with value, detector and local time, and
        the range of the ``others``.
    """
    groups, others = find_far(ordered)
    ids = np.array(series.vdids, dtype=object)
    entries = []
    for lowest, highest in groups:
        values = series.values[..., index]
        steps, nodes = np.nonzero((values >= lowest) & (values <= highest))
        first = {
            "value": float(values[steps[0], nodes[0]]),
            "vdid": series.vdids[nodes[0]],
            "time": name_time(series.timestamps[steps[0]], series.timezone),
        }
        entries.append(
            {
                "feature": series.feature_names[index],
                "values": np.unique(values[steps, nodes]).tolist(),
                "count": len(steps),
                "share": len(steps) / len(ordered),
                "detectors": ids[np.unique(nodes)].tolist(),
                "first": first,
                "others": others,
            }
        )
    return entries


def find_far(ordered: np.ndarray) -> tuple[list[tuple[float, float]], tuple[float, float]]:
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
        ordered: readings ``[R]``, ascending, without NaN.

    Returns:
        Lowest and highest reading of each group, and of the others.
    """
    groups = []
    while True:
        below, above = _count_far(ordered), _count_far(-ordered[::-1])
        if below:
            groups.append((float(ordered[0]), float(ordered[below - 1])))
            ordered = ordered[below:]
        elif above:
            groups.append((float(ordered[-above]), float(ordered[-1])))
            ordered = ordered[:-above]
        else:
            return groups, (float(ordered[0]), float(ordered[-1]))


def _count_far(ordered: np.ndarray) -> int:
    """How many of the lowest readings are far below the others."""
    if len(ordered) < _FEWEST_READINGS:
        return 0
    few = max(1, len(ordered) // _FEW)
    same = int(np.searchsorted(ordered, ordered[0], side="right"))
    widest = int(np.argmax(np.diff(ordered[: few + 1]))) + 1
    if same >= _REPEATS and _is_far(ordered, same, few, _WIDE_GAP_OF_ONE_VALUE):
        return same
    return widest if _is_far(ordered, widest, few, _WIDE_GAP) else 0


def _is_far(ordered: np.ndarray, count: int, few: int, least: float) -> bool:
    others = ordered[count:]
    if len(others) <= few or np.count_nonzero(np.diff(others)) + 1 < _FEWEST_VALUES:
        return False
    low, next_low, high = (float(value) for value in (ordered[count - 1], others[0], others[~few]))
    return next_low - low > least * (high - next_low) > 0
