"""What becomes of readings that are further apart than the steps of their grid."""

import math
from collections import Counter

import numpy as np

from data_prep.durations import tell_seconds
from data_prep.grid import Grid
from data_prep.lanes import LANE_MARK
from data_prep.report import Report, enumerate_first
from data_prep.spacing import Stretch, find_short_stretches, find_stretches
from data_prep.steps import name_time
from socialgraph.axis import SeriesError

__all__ = ["settle_stretches"]

_DAY = 86400  # seconds
# Of a longer interval there are weeks; of a detector that fails by turns, a few days in a year.
_LEAST_SHARE = 0.1


def settle_stretches(grid: Grid, interval: int | None, zone: str, report: Report) -> list[Stretch]:
    """The stretches of readings that are all that there are of the steps of ``interval``, or are
    further apart than these.

    They are taken as they are if those of a detector are a day long in all, or half of a shorter
    source; else for readings of which some are missing. They ask for an ``interval`` only if they
    are a tenth of the readings of the detector, too.

    Args:
        grid: holds all readings.
        interval: seconds between two steps of the result, None if they were not asked for.
        zone: zone of the clock, for messages.
        report: is told of all stretches.

    Raises:
        SeriesError: if there are so many, and ``interval`` was not asked for, or is longer and no
            multiple of their distance.
    """
    day = max(1, _DAY // grid.step)
    found = [*find_stretches(grid.readings(), day), *find_short_stretches(grid.readings())]
    if not found:
        return []
    lengths: Counter[tuple[int, int]] = Counter()
    for s in found:
        lengths[s.column, s.feature] += s.last - s.first + s.distance
    least = min(_DAY // grid.step, grid.num_steps() // 2)
    long = [s for s in found if lengths[s.column, s.feature] >= least]
    many = [s for s in long if lengths[s.column, s.feature] >= _LEAST_SHARE * s.span]
    if interval is None and many:
        every = math.lcm(*(s.distance for s in many)) * grid.step
        bring = f"Set --interval {_option(every)} to bring all to one distance, or "
        raise SeriesError(
            f"The readings are not all the same time apart: {_tell(grid, many, zone)}. "
            f"{bring if every <= _DAY else 'Set '}--interval {_option(grid.step)} for steps of "
            "which these fill some, and NaN between."
        )
    report.add("apart", _tell(grid, long or found, zone))
    if interval is None:
        return []
    longer = [s for s in many if s.distance * grid.step > interval]
    shorter = [s for s in long if s.distance * grid.step <= interval]
    odd = [s for s in shorter if interval % (s.distance * grid.step)]
    if refused := [s for s in odd if lengths[s.column, s.feature] >= _LEAST_SHARE * s.span]:
        every = math.lcm(interval, *(s.distance * grid.step for s in refused))
        raise SeriesError(
            f"An interval of {tell_seconds(interval)} is no multiple of all distances of readings: "
            f"{_tell(grid, refused, zone)}. Set --interval {_option(every)}."
        )
    return [*(s for s in shorter if not interval % (s.distance * grid.step)), *longer]


def _tell(grid: Grid, found: list[Stretch], zone: str) -> str:
    texts = []
    for distance in sorted({s.distance for s in found}, reverse=True):
        of = [s for s in found if s.distance == distance]
        names = dict.fromkeys(grid.vdids[s.column].replace(LANE_MARK, " lane ") for s in of)
        steps = np.array([min(s.first for s in of), max(s.last for s in of)])
        times = (grid.origin + steps * grid.step).astype("datetime64[s]")
        first, last = (name_time(time, zone) for time in times)
        texts.append(
            f"{tell_seconds(distance * grid.step)} from {first} to {last} at {len(names)} of "
            f"{len(grid.vdids)} detectors ({enumerate_first(names)})"
        )
    return "; ".join([*texts, f"{tell_seconds(grid.step)} otherwise"])


def _option(seconds: int) -> str:
    return tell_seconds(seconds).replace(" ", "")
