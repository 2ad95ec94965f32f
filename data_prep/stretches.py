"""What becomes of readings that are further apart than the steps of their grid."""

import math

import numpy as np

from data_prep.durations import tell_seconds
from data_prep.grid import Grid
from data_prep.lanes import LANE_MARK
from data_prep.report import Report, enumerate_first
from data_prep.spacing import Stretch, find_stretches
from data_prep.steps import name_time
from socialgraph.axis import SeriesError

__all__ = ["settle_stretches"]

_DAY = 86400  # seconds


def settle_stretches(grid: Grid, interval: int | None, zone: str, report: Report) -> list[Stretch]:
    """Those stretches of readings whose distance is not that of the grid, but fits ``interval``.

    Args:
        grid: holds all readings.
        interval: seconds between two steps of the result, None if they were not asked for.
        zone: zone of the clock, for messages.
        report: is told of all stretches.

    Raises:
        SeriesError: if ``interval`` was not asked for, and readings are further apart than others
            for a day or half of the time; or if it is no multiple of their distance.
    """
    found = find_stretches(grid.readings())
    if not found:
        return []
    told, longest = _tell(grid, found, zone), max(s.last - s.first for s in found) * grid.step
    every = math.lcm(*(s.distance for s in found)) * grid.step
    if interval is None and longest >= min(_DAY, grid.num_steps() * grid.step // 2):
        bring = f"Set --interval {_option(every)} to bring all to one distance, or "
        raise SeriesError(
            f"The readings are not all the same time apart: {told}; {tell_seconds(grid.step)} "
            f"otherwise. {bring if every <= _DAY else 'Set '}--interval {_option(grid.step)} for "
            "steps of which the others fill some, and NaN between."
        )
    report.add("apart", f"{told}; {tell_seconds(grid.step)} otherwise")
    shorter = [s for s in found if interval is not None and s.distance * grid.step <= interval]
    if any(interval % (s.distance * grid.step) for s in shorter if interval is not None):
        every = math.lcm(*(s.distance * grid.step for s in shorter), interval or 1)
        raise SeriesError(
            f"An interval of {tell_seconds(interval or 1)} is no multiple of all distances of "
            f"readings: {told}. Set --interval {_option(every)}."
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
    return "; ".join(texts)


def _option(seconds: int) -> str:
    return tell_seconds(seconds).replace(" ", "")
