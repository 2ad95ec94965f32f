"""What the usual days of detectors tell: clocks that are shifted, detectors that are elsewhere."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from data_prep.scan import Scan
from socialgraph.graph.geodesy import project

__all__ = ["Resemblance", "find_clock_changes", "find_copies", "find_resemblances"]

_WINDOW = 5  # days on either side of a change
_MOST_LAG = 3 * 60  # minutes
_LEAST_LAG = 30  # minutes
_ALIKE, _GAIN = 0.85, 0.1  # correlation of usual days, and how much a shift adds
_NEAREST = 5
_UNLIKE, _LIKE, _FAR = 0.3, 0.97, 2000.0


@dataclass
class Resemblance:
    """A detector that is unlike those beside it and like one that is far away."""

    vdid: str
    other: str
    metres: float


def find_clock_changes(scan: Scan, interval_minutes: float) -> list[tuple[str, int]]:
    """Days from which on the whole network's usual day is earlier or later than before.

    The mean of up to five weekdays before is compared with that of those after. A shift of half an
    hour or more that makes them alike, which they are not without it, is a change of the clock.

    Returns:
        The first day after each change, and minutes by which it is later.
    """
    weekday = (scan.days.astype(np.int64) + 3) % 7 < 5
    whole = weekday & (np.isnan(scan.day_means).mean(axis=1) < 0.1) if len(scan.days) else weekday
    rows = np.flatnonzero(whole)
    found = []
    for place in range(2, len(rows) - 1):
        before = np.nanmean(scan.day_means[rows[max(0, place - _WINDOW) : place]], axis=0)
        after = np.nanmean(scan.day_means[rows[place : place + _WINDOW]], axis=0)
        lag, gain = _best_lag(before, after, interval_minutes)
        if lag:
            found.append((gain, place, lag))
    changes: list[tuple[int, int]] = []
    for _, place, lag in sorted(found, reverse=True):  # the clearest day of those around a change
        if all(abs(place - other) > _WINDOW for other, _ in changes):
            changes.append((place, lag))
    return [
        (str(scan.days[rows[place]]), round(lag * interval_minutes))
        for place, lag in sorted(changes)
    ]


def find_copies(scan: Scan, vdids: list[str]) -> list[list[str]]:
    """Groups of detectors with the same readings throughout, apart from those with none."""
    groups: dict[int, list[str]] = {}
    for node, vdid in enumerate(vdids):
        if not np.isnan(scan.low[node]).all() and (scan.low[node] != scan.high[node]).any():
            groups.setdefault(int(scan.digest[node]), []).append(vdid)
    return [group for group in groups.values() if len(group) > 1]


def find_resemblances(
    scan: Scan, vdids: list[str], lat: np.ndarray, lon: np.ndarray
) -> list[Resemblance]:
    """Detectors whose usual day is unlike that of all five beside them, which are like each other,
    and like that of one further away than two kilometres: they may be there.

    Args:
        scan: of the file.
        vdids: ids ``[N]``.
        lat, lon: degrees ``[N]``, NaN if unknown.
    """
    known = np.flatnonzero(np.isfinite(lat + lon) & ~np.isnan(scan.profile).any(axis=0))
    if len(known) < 2 * _NEAREST or len(scan.profile) < 24:
        return []
    days = scan.profile[:, known] - scan.profile[:, known].mean(axis=0)
    size = np.linalg.norm(days, axis=0)
    usual = days / np.where(size > 0, size, 1)
    places = project(lat[known], lon[known])
    _, near = cKDTree(places).query(places, k=_NEAREST + 1)
    near = near[:, 1:]
    beside = np.einsum("sn,snk->nk", usual, usual[:, near])
    suspects = np.flatnonzero((beside.max(axis=1) < _UNLIKE) & (size > 0))
    found = []
    for node in suspects.tolist():
        among = usual[:, near[node]].T @ usual[:, near[node]]
        if np.median(among[np.triu_indices(_NEAREST, 1)]) < 1 - _UNLIKE:
            continue
        alike = usual.T @ usual[:, node]
        alike[node] = -1
        best = int(np.argmax(alike))
        metres = float(np.hypot(*(places[best] - places[node])))
        if alike[best] > _LIKE and metres > _FAR:
            found.append(Resemblance(vdids[known[node]], vdids[known[best]], metres))
    return found


def _best_lag(before: np.ndarray, after: np.ndarray, interval_minutes: float) -> tuple[int, float]:
    """Steps by which ``after`` is later than ``before``, 0 if it is not clear; and the gain."""
    if np.isnan(before + after).any():
        return 0, 0.0
    most = int(_MOST_LAG / interval_minutes)
    lags = np.arange(-most, most + 1)
    alike = np.array([_correlation(before, np.roll(after, -lag)) for lag in lags])
    best = int(np.argmax(alike))
    gain = float(alike[best] - alike[most])
    # Also, what differs without the shift must be more than twice what differs with it.
    clear = alike[best] > _ALIKE and gain > max(_GAIN, 1 - float(alike[best]))
    lag = int(lags[best])
    return (lag, gain) if clear and abs(lag) * interval_minutes >= _LEAST_LAG else (0, 0.0)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / size) if size > 0 else 0.0
