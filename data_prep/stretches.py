"""What becomes of readings that are further apart than the steps of their grid."""

import math

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


def settle_stretches(grid: Grid, interval: int | None, zone: str, report: Report) -> list[Stretch]:
    """The stretches of readings that are all that there are of the steps of ``interval``.

    A stretch counts if it is a day long, or half of a shorter source. Others are taken for readings
    that are missing.

    Args:
        grid: holds all readings.
        interval: seconds between two steps of the result, None if they were not asked for.
        zone: zone of the clock, for messages.
        report: is told of all stretches.

    Raises:
        SeriesError: if there are some and ``interval`` was not asked for, or is longer and no
            multiple of their distance.
    """
    found = [*find_stretches(grid.readings()), *find_short_stretches(grid.readings())]
    least = min(_DAY // grid.step, grid.num_steps() // 2)
    long = [s for s in found if s.last - s.first + s.distance >= least]
    if not found:
        return []
    if interval is None and long:
        every = math.lcm(*(s.distance for s in long)) * grid.step
        bring = f"Set --interval {_option(every)} to bring all to one distance, or "
        raise SeriesError(
            f"The readings are not all the same time apart: {_tell(grid, long, zone)}. "
            f"{bring if every <= _DAY else 'Set '}--interval {_option(grid.step)} for steps of "
            "which these fill some, and NaN between."
        )
    report.add("apart", _tell(grid, long or found, zone))
    if interval is None:
        return []
    shorter = [s for s in long if s.distance * grid.step <= interval]
    if any(interval % (s.distance * grid.step) for s in shorter):
        every = math.lcm(interval, *(s.distance * grid.step for s in shorter))
        raise SeriesError(
            f"An interval of {tell_seconds(interval)} is no multiple of all distances of readings: "
            f"{_tell(grid, shorter, zone)}. Set --interval {_option(every)}."
        )
    return shorter


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
