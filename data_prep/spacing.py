"""Readings that are further apart than the steps of their grid: of which detectors, and when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Stretch", "find_short_stretches", "find_stretches", "finest_step"]

_LEAST = 12  # equal distances in a row, which are not by chance
_FEW = 4  # readings, if they are all that a series has
_SHORT = 2880  # steps of a source
_WINDOW = 24  # steps


@dataclass
class Stretch:
    """Readings of one detector and feature that are several steps apart.

    Args:
        column: of the detector.
        feature: index.
        distance: steps from one to the next, at least 2.
        first, last: steps of the first and the last one.
    """

    column: int
    feature: int
    distance: int
    first: int
    last: int


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


def find_stretches(parts: Iterable[tuple[int, np.ndarray]]) -> list[Stretch]:
    """The stretches of readings that are further apart than a step.

    Args:
        parts: first step and where there are readings ``[K, N, F]``, of parts that follow each
            other.
    """
    found: dict[tuple[int, int, int], Stretch] = {}
    runs: _Runs | None = None
    for start, there in parts:
        runs = runs or _Runs(there[0].size)
        for series, distance, first, last in runs.add(start, there.reshape(len(there), -1)):
            column, feature = divmod(series, there.shape[2])
            new = Stretch(column, feature, distance, first, last)
            found.setdefault((series, distance, first), new).last = last  # it may have gone on
    return list(found.values())


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
        if distances[0] > 1 and (distances == distances[0]).all():
            first, last = int(steps[0]) + start, int(steps[-1]) + start
            found.append(Stretch(column, feature, int(distances[0]), first, last))
    return found


class _Runs:
    """Goes through ``size`` series, and finds where no two readings are beside each other while
    many distances in a row are equal."""

    def __init__(self, size: int) -> None:
        self._last = np.full(size, -1)  # step of the last reading
        self._since = np.zeros(size, dtype=np.int64)  # first one of those that are not beside it
        self._distance = np.zeros(size, dtype=np.int64)  # the last one, and how often in a row
        self._count = np.zeros(size, dtype=np.int64)
        self._open = np.zeros(size, dtype=np.int64)  # distance that was found since then

    def add(self, start: int, there: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
        """Series, distance, first and last step of what is found in a part ``[K, S]``."""
        beside = np.zeros_like(there)  # another reading
        beside[1:] = there[1:] & there[:-1]
        beside[:-1] |= beside[1:]
        windows = np.arange(0, len(there), _WINDOW)
        alone = np.logical_or.reduceat(there, windows, axis=0)
        alone &= ~np.logical_or.reduceat(beside, windows, axis=0)
        looked_at = alone.any(axis=0) | (self._open > 0)
        known = there.any(axis=0)
        self._skip(start, there, beside, np.flatnonzero(known & ~looked_at))
        columns = np.flatnonzero(known & looked_at)
        where, rows = np.nonzero(there[:, columns].T)
        ends = np.cumsum(np.bincount(where, minlength=len(columns))).tolist()
        for column, begin, end in zip(columns.tolist(), [0, *ends], ends, strict=False):
            yield from self._add(column, rows[begin:end] + start)

    def _skip(self, start: int, there: np.ndarray, beside: np.ndarray, series: np.ndarray) -> None:
        """Pass over series of which some readings of each window are beside another one."""
        end = start + len(there) - 1
        self._last[series] = end - np.argmax(there[::-1, series], axis=0)
        self._since[series] = end - np.argmax(beside[::-1, series], axis=0)
        self._distance[series] = self._count[series] = self._open[series] = 0

    def _add(self, series: int, steps: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
        if self._last[series] >= 0:
            steps = np.append(self._last[series], steps)
        else:
            self._since[series] = steps[0]
        distances = np.diff(steps)
        if len(distances):
            yield from self._parts(series, steps, distances)
            self._last[series] = steps[-1]
        else:
            self._last[series] = steps[0]

    def _parts(
        self, series: int, steps: np.ndarray, distances: np.ndarray
    ) -> Iterator[tuple[int, int, int, int]]:
        """Between readings that are beside each other, from the one before the part on."""
        borders = np.flatnonzero(distances == 1)
        begins, ends = np.append(0, borders + 1), np.append(borders, len(distances))
        chosen = ends - begins >= _LEAST
        chosen[[0, -1]] = True  # which may go on in other parts
        for begin, end in zip(begins[chosen].tolist(), ends[chosen].tolist(), strict=True):
            if begin > 0:
                self._since[series], self._open[series] = steps[begin], 0
                self._distance[series] = self._count[series] = 0
            if begin == end:
                continue
            for distance, count in _runs(distances[begin:end]):
                if distance == self._distance[series]:
                    count += int(self._count[series])
                self._distance[series], self._count[series] = distance, count
                if count >= _LEAST:
                    self._open[series] = distance
            if self._open[series]:
                last = steps[end - (end < len(distances))]  # the next one is beside the last
                yield series, int(self._open[series]), int(self._since[series]), int(last)


def _runs(distances: np.ndarray) -> Iterator[tuple[int, int]]:
    """Equal distances in a row: which, and how many."""
    edges = np.flatnonzero(np.diff(distances, prepend=-1, append=-1))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield int(distances[begin]), end - begin
