"""Readings that are further apart than the steps of their grid: of which detectors, and when."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from data_prep.day_grids import BITS, DayGrids

__all__ = ["Stretch", "find_short_stretches", "find_stretches", "finest_step"]

_LEAST = 12  # equal distances in a row, which are not by chance: of two steps, or of any
_FEW = 4  # readings, if they are all that a series has
_SHORT = 2880  # steps of a source
_MOST = 2880  # steps of which it is remembered where there are readings


@dataclass
class Stretch:
    """Readings of one detector and feature that are several steps apart.

    Args:
        column: of the detector.
        feature: index.
        distance: steps from one to the next, at least 2; a multiple of it where some are missing.
        first, last: steps of the first and the last one.
        span: steps from the first of all readings of this detector and feature to the last.
    """

    column: int
    feature: int
    distance: int
    first: int
    last: int
    span: int = 0


def finest_step(times: np.ndarray, step: int) -> int | None:
    """Seconds that divide ``step`` and all distances that many times in a row have, if they are
    less than ``step`` and divide all distances.

    Args:
        times: unique, ascending, ``datetime64[s]`` ``[U]``.
        step: seconds.
    """
    distances: np.ndarray = np.diff(times.astype(np.int64))
    usual = [distance for distance, count in _runs(distances) if count >= _LEAST]
    finest = int(np.gcd.reduce([step, *usual]))
    return finest if finest < step and not (distances % finest).any() else None


def find_stretches(parts: Iterable[tuple[int, np.ndarray]], day: int) -> list[Stretch]:
    """The stretches of readings that are further apart than a step.

    A stretch has many equal distances in a row. It ends where one is no multiple of them, and where
    as many in a row are another multiple; the next one may begin there. Where there are none, it
    is of days whose readings all lie on a coarser grid, but for a few.

    Args:
        parts: first step and where there are readings ``[K, N, F]``, of parts that follow each
            other.
        day: steps.
    """
    found: dict[tuple[int, int], Stretch] = {}
    runs: _Runs | None = None
    grids = DayGrids(min(day, _MOST))
    features = 1
    for start, there in parts:
        features = there.shape[2]
        flat = there.reshape(len(there), -1)
        runs = runs or _Runs(flat.shape[1])
        for series, distance, first, last in runs.add(start, flat):
            new = _stretch(series, features, distance, first, last)
            found.setdefault((series, first), new).last = last  # which was not certain before
        grids.add(start, flat)
    grids.finish()
    of: dict[int, list[Stretch]] = {}
    for (series, _), stretch in found.items():
        of.setdefault(series, []).append(stretch)
    for series, distance, first, last in grids.found:
        grid = _stretch(series, features, distance, first, last)
        of[series] = _join(of.get(series, []), grid)
    for series, stretches in of.items():
        assert runs is not None  # which went through all of them
        for stretch in stretches:
            stretch.span = int(runs.last[series] - runs.first[series]) + 1
    return [stretch for stretches in of.values() for stretch in stretches]


def _stretch(series: int, features: int, distance: int, first: int, last: int) -> Stretch:
    column, feature = divmod(series, features)
    return Stretch(column, feature, distance, first, last)


def _join(stretches: list[Stretch], grid: Stretch) -> list[Stretch]:
    """The stretches of a series, and those parts of a coarser grid that are in none of them."""
    own = [stretch for stretch in stretches if not _is_of(stretch, grid)]
    first, joined = grid.first, list(own)
    for stretch in sorted(own, key=lambda stretch: stretch.first):
        if stretch.last < first or stretch.first > grid.last:
            continue
        before = stretch.first - 1 - (stretch.first - 1 - first) % grid.distance
        if before >= first:
            joined.append(replace(grid, first=first, last=before))
        first += math.ceil((stretch.last + 1 - first) / grid.distance) * grid.distance
    if first <= grid.last:
        joined.append(replace(grid, first=first))
    return joined


def _is_of(stretch: Stretch, grid: Stretch) -> bool:
    """Whether a stretch is part of a finer grid, of which readings are missing by chance."""
    ratio, rest = divmod(stretch.distance, grid.distance)
    count = (stretch.last - stretch.first) // stretch.distance
    is_inside = grid.first <= stretch.first and stretch.last <= grid.last
    return is_inside and not rest and ratio > 1 and bool(count < _least(ratio))


def find_short_stretches(parts: Iterable[tuple[int, np.ndarray]]) -> list[Stretch]:
    """Series whose readings are all equally far apart, several steps, and too few for
    :func:`find_stretches`; none of a source that is long.

    Args:
        parts: as there.
    """
    held: list[tuple[int, np.ndarray]] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part[1])
        if size > _SHORT:
            return []
    start, there = held[0][0], np.concatenate([part for _, part in held])
    counts = there.sum(axis=0)
    found = []
    for column, feature in np.argwhere((counts >= _FEW) & (counts <= _LEAST)).tolist():
        steps = np.flatnonzero(there[:, column, feature])
        distances = np.diff(steps)
        is_few = distances[0] > 1 and len(distances) < _least(distances[0])
        if is_few and (distances == distances[0]).all():
            first, last = int(steps[0]) + start, int(steps[-1]) + start
            span = last - first + 1
            found.append(Stretch(column, feature, int(distances[0]), first, last, span))
    return found


class _Runs:
    """Goes through ``size`` series, and finds where no two readings are beside each other while
    many distances in a row are equal."""

    def __init__(self, size: int) -> None:
        self.first = np.full(size, -1)  # step of the first reading, and of the last one
        self.last = np.full(size, -1)
        self._distance = np.zeros(size, dtype=np.int64)  # the last one, and how often in a row
        self._count = np.zeros(size, dtype=np.int64)
        self._since = np.zeros(size, dtype=np.int64)  # where a stretch begins or may begin
        self._divisor = np.ones(size, dtype=np.int64)  # of all distances since then
        self._is_open = np.zeros(size, dtype=bool)  # there is a stretch

    def add(self, start: int, there: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
        """Series, distance, first and last step of what is found in a part ``[K, S]``; of two with
        the same first step the later one is right."""
        beside = np.zeros_like(there)  # another reading
        beside[1:] = there[1:] & there[:-1]
        beside[:-1] |= beside[1:]
        windows = np.arange(0, len(there), _LEAST)  # any stretch has all of one
        alone = np.logical_or.reduceat(there, windows, axis=0)
        alone &= ~np.logical_or.reduceat(beside, windows, axis=0)
        known = there.any(axis=0)
        rows = len(there) - 1 - np.argmax(there[::-1], axis=0)  # of the last readings
        ends_beside = beside[rows, np.arange(len(rows))]
        is_quiet = ends_beside & ~alone.any(axis=0) & (self._divisor == 1)
        is_new = known & (self.first < 0)
        self.first[is_new] = start + np.argmax(there[:, is_new], axis=0)
        quiet = np.flatnonzero(known & is_quiet)
        self.last[quiet] = start + rows[quiet]
        self._distance[quiet], self._count[quiet] = 1, 1
        columns = np.flatnonzero(known & ~is_quiet)
        where, steps = np.nonzero(there[:, columns].T)
        ends = np.cumsum(np.bincount(where, minlength=len(columns))).tolist()
        for column, begin, end in zip(columns.tolist(), [0, *ends], ends, strict=False):
            yield from self._add(column, steps[begin:end] + start)

    def _add(self, series: int, steps: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
        """Go through the readings of one series in a part."""
        if self.last[series] >= 0:
            steps = np.append(self.last[series], steps)
        self.last[series] = steps[-1]
        distances = np.diff(steps)
        borders = np.flatnonzero(distances == 1)
        begins, ends = np.append(0, borders + 1), np.append(borders, len(distances))
        chosen = np.zeros(len(begins), dtype=bool)
        edges = np.flatnonzero(np.diff(distances, prepend=-1))
        counts = np.diff(edges, append=len(distances))
        is_many = (distances[edges] > 1) & (counts >= _least(distances[edges]))
        chosen[np.searchsorted(borders, edges[is_many])] = True
        chosen[[0, -1]] = True  # which may go on in other parts
        for begin, end in zip(begins[chosen].tolist(), ends[chosen].tolist(), strict=True):
            step = int(steps[begin])
            for distance, count in _runs(distances[begin : end + 1]):  # with that to the border
                yield from self._take(series, distance, count, step)
                step += distance * count

    def _take(
        self, series: int, distance: int, count: int, begin: int
    ) -> Iterator[tuple[int, int, int, int]]:
        """Go on by ``count`` equal distances from the step ``begin``."""
        before, divisor = int(self._distance[series]), int(self._divisor[series])
        if distance == before:  # as of the part before
            begin -= distance * int(self._count[series])
            count += int(self._count[series])
        self._distance[series], self._count[series] = distance, count
        end, since = begin + distance * count, int(self._since[series])
        if self._is_open[series]:
            ratio, rest = divmod(distance, divisor)
            if not rest and (ratio == 1 or count < _least(ratio)):
                yield series, divisor, since, end
                return
            # A reading is of the distance that follows it, if that is no gap.
            yield series, divisor, since, begin if distance > divisor else begin - before
            divisor = 1
        divisor = math.gcd(divisor, distance)
        if divisor == 1:
            since, divisor = begin, distance
        is_open = distance > 1 and count >= _least(distance)
        if is_open:
            since, divisor = since if divisor == distance else begin, distance
            yield series, distance, since, end
        self._since[series], self._divisor[series] = since, divisor
        self._is_open[series] = is_open


def _least(distance: np.ndarray | int) -> np.ndarray:
    """Equal distances in a row of so many steps, 2 or more, that are not by chance.

    If any share of the readings is missing at random, one is such a distance d with a probability
    of 1/d (1 - 1/d)^(d - 1) at most: 1/4 for two steps, 1/31 for twelve.
    """
    d = np.maximum(distance, 2)
    bits = np.log2(d) + (d - 1) * np.log2(d / (d - 1))
    return np.maximum(np.ceil(BITS / bits), _FEW - 1)


def _runs(distances: np.ndarray) -> Iterator[tuple[int, int]]:
    """Equal distances in a row: which, and how many."""
    edges = np.flatnonzero(np.diff(distances, prepend=-1, append=-1))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield int(distances[begin]), end - begin
