"""Days of readings on a grid coarser than that of their file, whichever of them are missing."""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["BITS", "DayGrids"]

BITS = 24  # what is less likely by chance than 1 to 2 ** 24, is not by chance
_STRAY = 0.05  # of the readings of a day may lie beside


@dataclass
class _Grid:
    """Readings of one series, so many, that are multiples of a distance from the first step."""

    distance: int
    first: int
    last: int
    readings: int

    def is_certain(self, distance: int) -> bool:
        """Whether these readings, if each was at any multiple of ``distance``, would be further
        apart."""
        return (self.readings - 1) * math.log2(self.distance // distance) >= BITS

    def join(self, other: "_Grid") -> bool:
        """Take the readings that follow, if both may be of one grid; False if they are not."""
        distance = math.gcd(self.distance, other.distance, other.first - self.first)
        if distance == 1 or self.is_certain(distance) or other.is_certain(distance):
            return False
        self.distance, self.last = distance, other.last
        self.readings += other.readings
        return True


class DayGrids:
    """Goes through series day by day, and finds where most readings are multiples of some steps
    from each other, and too many for chance.

    Args:
        day: steps.

    Attributes:
        found: series, distance, first and last step of each grid.
    """

    def __init__(self, day: int) -> None:
        self.found: list[tuple[int, int, int, int]] = []
        self._day = day
        self._held: list[tuple[int, np.ndarray]] = []
        self._open: dict[int, _Grid] = {}

    def add(self, start: int, there: np.ndarray) -> None:
        """Take where there are readings ``[K, S]`` from the step ``start`` on, which follows those
        before."""
        while len(there):
            size = self._day - sum(len(part) for _, part in self._held)
            self._held.append((start, there[:size]))
            if len(there) < size:
                return
            self._end_day()
            start, there = start + size, there[size:]

    def finish(self) -> None:
        """Find what the last part brings."""
        if self._held:
            self._end_day()
        for series in list(self._open):
            self._close(series)

    def _end_day(self) -> None:
        start, there = self._held[0][0], np.concatenate([part for _, part in self._held])
        self._held = []
        counts = there.sum(axis=0)
        beside = (there[1:] & there[:-1]).sum(axis=0)
        is_coarse = (counts > 1) & (beside <= _STRAY * counts)
        is_fine = (counts > 1) & ~is_coarse
        for series in [series for series in self._open if is_fine[series]]:
            self._close(series)
        columns = np.flatnonzero(is_coarse)
        where, steps = np.nonzero(there[:, columns].T)
        ends = np.cumsum(np.bincount(where, minlength=len(columns))).tolist()
        for series, begin, end in zip(columns.tolist(), [0, *ends], ends, strict=False):
            self._take(series, steps[begin:end] + start)

    def _take(self, series: int, steps: np.ndarray) -> None:
        """Go on by the readings of a day, two or more."""
        grid, before = _grid_of(steps), self._open.get(series)
        if grid is not None and before is not None and before.join(grid):
            return
        self._close(series)
        if grid is not None:
            self._open[series] = grid

    def _close(self, series: int) -> None:
        grid = self._open.pop(series, None)
        if grid is not None and grid.is_certain(1):
            self.found.append((series, grid.distance, grid.first, grid.last))


def _grid_of(steps: np.ndarray) -> _Grid | None:
    """The coarsest grid that the readings at ``steps`` lie on, all or nearly all."""
    distances, counts = np.unique(np.diff(steps), return_counts=True)
    distance = int(np.gcd.reduce(distances))
    if distance == 1:
        distance = int(np.gcd.reduce(distances[counts > _STRAY * len(steps)]))
    if distance < 2:
        return None
    phases = steps % distance
    on = steps[phases == np.bincount(phases).argmax()]
    if len(on) < (1 - _STRAY) * len(steps):
        return None
    return _Grid(distance, int(on[0]), int(on[-1]), len(on))
