"""Detectors whose clock is shifted, found by their usual days."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

__all__ = ["ClockShift", "ShiftFinder"]

_BIN = 900  # seconds, of which a usual day has one number
_WINDOW = 10  # weekdays before and after a change, at most
_FEWEST, _FEWEST_TOGETHER = 2, 5  # of them on one side and on both, at least
_MOST_LAG, _LEAST_LAG = 180 * 60, 30 * 60  # seconds
_LEAST_BINS = 2  # by which a day is moved: an hour of hourly readings is told by too little
# How alike two usual days are with one moved back, and how many times more unlike as they are.
_ALIKE, _RATIO = 0.9, 3.0
_RATIO_OTHERS = 2.0
_AGREE = 0.9  # of the days on each side of a change, that it is one
_LEAST_LIKENESS = 0.3  # of a day that agrees; one that is flat is like nothing
_APART = 5  # weekdays between two changes, at least
# The same for a usual day and those of other detectors, over all days.
_ALIKE_THROUGHOUT, _RATIO_THROUGHOUT = 0.95, 3.5
_NUM_OTHERS = 5
_PART = 512  # detectors that are compared with all at once


@dataclass(frozen=True)
class ClockShift:
    """Days on which the clock of a detector seems to be wrong.

    Args:
        node: index of the detector.
        minutes: by which its days are later than they should be.
        since: first of these days, None for the first one of the file.
        until: day from which on the clock is right, None if it never is.
    """

    node: int
    minutes: int
    since: np.datetime64 | None = None
    until: np.datetime64 | None = None

    def holds(self, day: np.datetime64) -> bool:
        """Whether a day is one of them."""
        begun = self.since is None or bool(day >= self.since)
        return begun and (self.until is None or bool(day < self.until))


@dataclass(frozen=True)
class _Change:
    """A change of a clock before the weekday ``number``: ``lag`` bins later than before."""

    node: int
    number: int
    day: np.datetime64
    lag: int
    ratio: float
    was_right: bool


class ShiftFinder:
    """Finds shifted clocks of single detectors, told day by day.

    A clock was changed between two days if the usual weekday of the detector after it is that
    before it, at another time; if nearly every day on either side tells so by itself; if what the
    whole network does otherwise does not explain it; and if one of the two is like the usual day of
    other detectors, and the other only at another time, which tells which one is right. A clock is
    wrong throughout if the usual day of the detector is like those of others at another time alone,
    in each half of the days; of two detectors nobody can say which one that is.

    Args:
        step: seconds between two readings.
    """

    def __init__(self, step: int) -> None:
        self._bin = step * max(1, _BIN // step)
        most = _MOST_LAG // self._bin
        self._lags = np.arange(-most, most + 1)
        self._least = max(_LEAST_BINS, -(-_LEAST_LAG // self._bin))
        self._window: list[tuple[np.datetime64, np.ndarray]] = []
        self._num_days = 0
        self._changes: list[_Change] = []
        self._halves: list[_Mean] = [_Mean(), _Mean()]

    def add(self, day: np.datetime64, seconds: np.ndarray, readings: np.ndarray) -> None:
        """Take a day: its readings ``[t, N]`` at ``seconds`` since midnight ``[t]``."""
        if (day.astype(np.int64) + 3) % 7 >= 5 or (np.diff(seconds) < 0).any():
            return  # a weekend, or a day on which an hour comes twice
        usual = _in_bins(seconds // self._bin, readings, -(-86400 // self._bin))
        if np.isnan(usual).all(axis=1).mean() > 0.1:
            return
        self._halves[self._num_days % 2].add(usual)
        self._num_days += 1
        self._window = [*self._window[-2 * _WINDOW + 1 :], (day, usual)]
        if len(self._window) - _WINDOW >= _FEWEST:
            self._look(len(self._window) - _WINDOW)

    def result(self) -> list[ClockShift]:
        """The shifts, after the last day."""
        size = len(self._window)
        if size >= _FEWEST_TOGETHER:
            for place in range(max(_FEWEST, size - _WINDOW + 1), size - _FEWEST + 1):
                self._look(place)
        found = list(self._after_changes())
        changed = {shift.node for shift in found}
        return found + [shift for shift in self._throughout() if shift.node not in changed]

    def _look(self, place: int) -> None:
        """Look for changes between two days of the window."""
        days = [usual for _, usual in self._window]
        sides = days[max(0, place - _WINDOW) : place], days[place : place + _WINDOW]
        before, after = (_Mean(side).result() for side in sides)
        alike = _correlations(before, after, self._lags)
        best = np.argmax(alike, axis=0)
        lags, most = self._lags[best], np.take_along_axis(alike, best[None], axis=0)[0]
        same = np.maximum(alike[len(self._lags) // 2], _alike_with_network(before, after))
        ratio = (1 - same) / np.maximum(1 - most, 1e-6)
        hits = (np.abs(lags) >= self._least) & (most > _ALIKE) & (ratio > _RATIO)
        for node in np.flatnonzero(hits).tolist():
            lag = int(lags[node])
            unlike = [
                _unlike(days, node, [0, sign * lag]) for days, sign in ((before, -1), (after, 1))
            ]
            usual = before[:, node], after[:, node]
            agree = [
                [_agrees(day[:, node], np.roll(other, sign * lag), other) for day in side]
                for side, other, sign in zip(sides, usual[::-1], (-1, 1), strict=True)
            ]
            told = agree[0][-1] and agree[1][0] and min(map(np.mean, agree)) >= _AGREE
            if told and max(unlike) > _RATIO_OTHERS and min(unlike) < 1:
                number = self._num_days - len(self._window) + place
                day, was_right = self._window[place][0], unlike[0] < unlike[1]
                change = _Change(node, number, day, lag, float(ratio[node]), was_right)
                self._changes.append(change)

    def _after_changes(self) -> Iterator[ClockShift]:
        for node, group in groupby(sorted(self._changes, key=lambda c: c.node), lambda c: c.node):
            changes: list[_Change] = []
            for change in sorted(group, key=lambda c: -c.ratio):  # the clearest day of those around
                if all(abs(change.number - other.number) >= _APART for other in changes):
                    changes.append(change)
            clearest = changes[0]
            changes.sort(key=lambda c: c.number)
            bins = np.cumsum([0, *(change.lag for change in changes)])
            bins -= bins[changes.index(clearest) + (not clearest.was_right)]
            borders = [None, *(change.day for change in changes), None]
            for number, late in enumerate(bins.tolist()):
                if abs(late) >= self._least:
                    yield self._shift(node, late, borders[number], borders[number + 1])

    def _throughout(self) -> Iterator[ClockShift]:
        halves = [half.result() for half in self._halves]
        if self._num_days < _FEWEST_TOGETHER or halves[0].shape[1] < 3:
            return
        alike = [_best_of_others(days, self._lags) for days in (np.mean(halves, axis=0), *halves)]
        middle = len(self._lags) // 2
        lag, first, second = (self._lags[np.argmax(of, axis=0)] for of in alike)
        most = alike[0].max(axis=0)
        ratio = (1 - alike[0][middle]) / np.maximum(1 - most, 1e-6)
        stays = (np.abs(first - lag) <= 1) & (np.abs(second - lag) <= 1)
        like = (most > _ALIKE_THROUGHOUT) & (ratio > _RATIO_THROUGHOUT)
        hits = stays & like & (np.abs(lag) >= self._least)
        for node in np.flatnonzero(hits).tolist():
            yield self._shift(node, int(lag[node]))

    def _shift(self, node: int, late: int, *days: np.datetime64 | None) -> ClockShift:
        return ClockShift(node, round(late * self._bin / 60), *days)


class _Mean:
    """The mean of days ``[S, N]``, of what is not missing."""

    def __init__(self, days: list[np.ndarray] | None = None) -> None:
        self._total, self._count = np.zeros(()), np.zeros(())
        for day in days or []:
            self.add(day)

    def add(self, day: np.ndarray) -> None:
        self._total = self._total + np.nan_to_num(day)
        self._count = self._count + ~np.isnan(day)

    def result(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return self._total / self._count


def _in_bins(bins: np.ndarray, readings: np.ndarray, num_bins: int) -> np.ndarray:
    """Means ``[S, N]`` of the readings ``[t, N]`` in each bin; the bins ascend."""
    there, starts = np.unique(bins, return_index=True)
    total = np.add.reduceat(np.nan_to_num(readings), starts, axis=0)
    count = np.add.reduceat((~np.isnan(readings)).astype(np.float32), starts, axis=0)
    usual = np.full((num_bins, readings.shape[1]), np.nan, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        usual[there] = total / count
    return usual


def _standard(days: np.ndarray) -> np.ndarray:
    """Usual days ``[S, N]`` with mean 0 and length 1; 0 for one with a hole, or without change."""
    centred = days - days.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1e-6, centred / size, 0).astype(np.float32)


def _correlations(first: np.ndarray, second: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Of each detector's two days, the second one moved back by each lag ``[L, N]``."""
    first, second = _standard(first), _standard(second)
    return np.stack([(first * np.roll(second, -lag, axis=0)).sum(axis=0) for lag in lags])


def _alike_with_network(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How alike two days of each detector are if both follow the change of the network ``[N]``."""
    first, second = _network(before), _network(after)
    factor = np.divide(second, first, out=np.ones_like(first), where=first > 0)
    return _correlations(before * factor[:, None], after, np.zeros(1, dtype=int))[0]


def _network(days: np.ndarray) -> np.ndarray:
    known = ~np.isnan(days).any(axis=0)
    return days[:, known].mean(axis=1) if known.any() else np.full(len(days), np.nan)


def _best_of_others(days: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """How alike each detector moved back by each lag is to the others most like it ``[L, N]``."""
    usual = _standard(days)
    nodes = np.arange(usual.shape[1])
    parts = [nodes[start : start + _PART] for start in range(0, len(nodes), _PART)]
    return np.concatenate([_alike_of(usual, part, lags) for part in parts], axis=1)


def _alike_of(usual: np.ndarray, nodes: np.ndarray, lags: np.ndarray) -> np.ndarray:
    others = min(_NUM_OTHERS, usual.shape[1] - 1)
    if others < 1:
        return np.zeros((len(lags), len(nodes)))
    found = np.empty((len(lags), len(nodes)))
    for row, lag in enumerate(lags):
        alike = usual.T @ np.roll(usual[:, nodes], -lag, axis=0)  # [N, nodes]
        alike[nodes, np.arange(len(nodes))] = -1
        found[row] = np.partition(alike, -others, axis=0)[-others:].mean(axis=0)
    return found


def _unlike(days: np.ndarray, node: int, lags: list[int]) -> float:
    """How many times more unlike the others a day is as it is than moved back by a lag."""
    same, moved = _alike_of(_standard(days), np.array([node]), np.array(lags))[:, 0]
    return float((1 - same) / max(1 - moved, 1e-6))


def _agrees(day: np.ndarray, moved: np.ndarray, other: np.ndarray) -> bool:
    """Whether a day ``[S]`` is like a usual one that is moved, and more so than as it is."""
    return _likeness(day, moved) > max(_likeness(day, other), _LEAST_LIKENESS)


def _likeness(day: np.ndarray, other: np.ndarray) -> float:
    """Correlation over what both hold; 0 if one is flat."""
    known = ~np.isnan(day) & ~np.isnan(other)
    if not known.any():
        return 0.0
    a, b = (part[known] - part[known].mean() for part in (day, other))
    return float(a @ b / max(1e-6, np.linalg.norm(a) * np.linalg.norm(b)))
