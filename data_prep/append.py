"""Newer readings added to a file: those of a day, or of a minute."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.account import report_clock_change
from data_prep.convert import Gathered, gather
from data_prep.feed import Feed
from data_prep.grid import MOST_STEPS_PER_TIME
from data_prep.kept import take_times
from data_prep.report import Report, enumerate_first
from data_prep.steps import name_time
from socialgraph import schema
from socialgraph.atomic import one_writer
from socialgraph.axis import SeriesError, whole_seconds
from socialgraph.graph.geodesy import geodesics
from socialgraph.series import TrafficSeries

__all__ = ["append"]

_MOVED = 1.0  # metres


def append(path: str | Path, args: Namespace, read: Callable[[Namespace], Feed]) -> Report:
    """Add the readings of a feed to a file, as a whole or not at all.

    Readings for steps that the file has are compared: equal ones are fine, those that the file
    lacks are filled in, and others are settled by ``args.on_conflict``. Detectors that are new are
    missing before. Nothing that the file knows of a detector is changed.

    Args:
        path: file in the layout of :mod:`socialgraph.schema`.
        args: options of :func:`data_prep.options.add_readings_options` and of detectors.
        read: gives the feed of these options.

    Returns:
        What was found and done.

    Raises:
        FileNotFoundError, SchemaError: if there is no such file, or it is damaged.
        KeyError, ValueError: if an option or the readings do not fit the file, or they begin before
            it or contradict it; and as :func:`data_prep.convert.gather` does.
    """
    path = Path(path).resolve()
    with one_writer(path):
        return _append(path, args, read)


def _append(path: Path, args: Namespace, read: Callable[[Namespace], Feed]) -> Report:
    report = Report()
    old = schema.read_outline(path)
    if args.interval is not None and args.interval != old.interval_minutes:
        raise ValueError(
            f"'{path}' has a step every {old.interval_minutes:g} minutes, and --interval says "
            f"{args.interval:g}. Leave it out to bring the readings to the file's steps; for other "
            "steps convert to a file of its own."
        )
    args.interval, args.timezone = old.interval_minutes, args.timezone or old.timezone
    args.name, args.edges, args.known = old.dataset_name, None, old
    take_times(args)
    gathered = gather(args, read, path.parent, report)
    _check_features(path, old, gathered.series)
    start = _first_step(path, old, gathered.series)
    merged = _merge(old, gathered.series, start)
    overlap = _Overlap(path, old, gathered, merged, args.on_conflict)
    schema.append(path, merged, start, overlap.settled(start))
    gathered.tell()
    overlap.report(report)
    _report(old, gathered.series, merged, start, report)
    report.add("written", f"'{path}', {merged.values.shape} (time, detector, feature)")
    return report


def _check_features(path: Path, old: TrafficSeries, new: TrafficSeries) -> None:
    strange = [name for name in new.feature_names if name not in old.feature_names]
    if strange:
        raise KeyError(
            f"'{path}' has the features {old.feature_names}, the new readings {strange} besides. "
            "Leave them out, or convert all readings anew."
        )
    known = dict(zip(old.feature_names, old.units, strict=True))
    for name, unit in zip(new.feature_names, new.units, strict=True):
        if unit and known[name] and unit != known[name]:
            raise ValueError(
                f"'{path}' has {name} in {known[name]}, the new readings in {unit}. Convert them "
                "to that unit before."
            )


def _first_step(path: Path, old: TrafficSeries, new: TrafficSeries) -> int:
    """The step of the file's axis at which the new readings begin."""
    step = np.timedelta64(whole_seconds(old.interval_minutes), "s")
    if (np.diff(old.timestamps) != step).any():
        raise ValueError(
            f"The times of '{path}' are not all {old.interval_minutes:g} minutes apart. Convert "
            "its readings anew, which fills the gaps with NaN."
        )
    distance = new.timestamps[0] - old.timestamps[0]
    if distance < np.timedelta64(0, "s"):
        first = [name_time(times[0], old.timezone) for times in (new.timestamps, old.timestamps)]
        raise ValueError(
            f"The new readings begin at {first[0]}, before '{path}' ({first[1]}). Convert the "
            "earlier ones to a file of their own, and append the later ones to it."
        )
    if distance % step:
        raise SeriesError(
            f"The new readings begin at {name_time(new.timestamps[0], old.timezone)}, off the "
            f"times of '{path}', which has a step every {old.interval_minutes:g} minutes from "
            f"{name_time(old.timestamps[0], old.timezone)} on, by "
            f"{int((distance % step).astype(np.int64))} seconds. Set --round if times jitter; else "
            "convert all readings anew, days with a --timezone whose clock does not change."
        )
    start = int(distance // step)
    gap = start - len(old.timestamps)
    if gap > MOST_STEPS_PER_TIME * (len(old.timestamps) + len(new.timestamps)):
        raise ValueError(
            f"The new readings begin at {name_time(new.timestamps[0], old.timezone)}, {gap} steps "
            f"after the end of '{path}'. Correct the times, or convert them to a file of their own."
        )
    return start


def _merge(old: TrafficSeries, new: TrafficSeries, start: int) -> TrafficSeries:
    """Everything of the longer and wider series but its readings."""
    known = set(old.vdids)
    added = [index for index, vdid in enumerate(new.vdids) if vdid not in known]
    length = max(len(old.timestamps), start + len(new.timestamps))
    step = np.timedelta64(whole_seconds(old.interval_minutes), "s")
    vdids = old.vdids + [new.vdids[index] for index in added]
    shape = (length, len(vdids), len(old.feature_names))
    return replace(
        old,
        values=np.broadcast_to(np.float32("nan"), shape),
        timestamps=old.timestamps[0] + np.arange(length) * step,
        vdids=vdids,
        lat=np.append(old.lat, new.lat[added]),
        lon=np.append(old.lon, new.lon[added]),
        vd_info=old.vd_info
        | {v: new.vd_info[v] for v in vdids[len(old.vdids) :] if v in new.vd_info},
    )


class _Overlap:
    """New readings laid over those of the file, and what became of the steps that both have."""

    def __init__(
        self,
        path: Path,
        old: TrafficSeries,
        gathered: Gathered,
        merged: TrafficSeries,
        on_conflict: str,
    ) -> None:
        self._path, self._old, self._gathered = path, old, gathered
        self._merged, self._on_conflict = merged, on_conflict
        new = gathered.series
        place = {vdid: index for index, vdid in enumerate(merged.vdids)}
        columns = [place[vdid] for vdid in new.vdids]
        features = [merged.feature_names.index(name) for name in new.feature_names]
        self._cells = np.ix_(columns, features)
        self._equal = self._filled = self._differs = 0

    def settled(self, start: int) -> Iterator[np.ndarray]:
        """Readings of all detectors, from step ``start`` on."""
        for part in self._gathered.parts:
            whole = np.full((len(part), *self._merged.values.shape[1:]), np.nan, dtype=np.float32)
            known = min(len(part), len(self._old.timestamps) - start)
            if known > 0:
                stored = schema.read_steps(self._path, start, start + known)
                whole[:known, : stored.shape[1]] = stored
            here = (slice(None), *self._cells)
            whole[here] = self._settle(whole[here], part, start)
            yield whole
            start += len(part)

    def report(self, report: Report) -> None:
        """Report the readings for which the file had one or a place."""
        if self._equal or self._differs or self._filled:
            report.add(
                "overlap",
                f"{self._equal} readings as in the file, {self._filled} that it lacked, "
                f"{self._differs} that differ"
                + (f": {self._on_conflict} kept" if self._differs else ""),
            )

    def _settle(self, old: np.ndarray, new: np.ndarray, start: int) -> np.ndarray:
        missing = np.isnan(new)
        differs = (old != new) & ~np.isnan(old) & ~missing
        inside = np.arange(start, start + len(new)) < len(self._old.timestamps)
        self._equal += int((old == new).sum())
        self._filled += int((np.isnan(old) & ~missing)[inside].sum())
        self._differs += int(differs.sum())
        if differs.any() and self._on_conflict == "error":
            raise self._conflict(differs, old, new, start)
        chosen = {"last": new, "mean": (old + new) / 2}.get(self._on_conflict, old)
        return np.where(differs, chosen, np.where(missing, old, new))

    def _conflict(
        self, differs: np.ndarray, old: np.ndarray, new: np.ndarray, start: int
    ) -> SeriesError:
        step, node, feature = np.argwhere(differs)[0]
        series = self._gathered.series
        time = name_time(self._merged.timestamps[start + step], self._old.timezone)
        return SeriesError(
            f"{int(differs.sum())} readings differ from those of '{self._path}': first "
            f"{series.feature_names[feature]} of {series.vdids[node]} at {time}, "
            f"{old[step, node, feature]:g} in the file and {new[step, node, feature]:g} now. Set "
            "--on-conflict first to keep the file's, last to replace them."
        )


def _report(
    old: TrafficSeries, new: TrafficSeries, merged: TrafficSeries, start: int, report: Report
) -> None:
    gap = start - len(old.timestamps)
    if gap >= 0:
        ends = np.array([old.timestamps[-1], new.timestamps[0]])
        seconds = whole_seconds(old.interval_minutes)
        report_clock_change(ends, seconds, old.timezone, report)
    if gap > 0:
        first, last = (
            name_time(merged.timestamps[i], old.timezone) for i in (len(old.timestamps), start - 1)
        )
        report.add("gap", f"{gap} steps between the file and the new readings, {first} to {last}")
    added, absent = set(new.vdids) - set(old.vdids), set(old.vdids) - set(new.vdids)
    if added:
        report.add("new detectors", f"{len(added)}, missing before: {enumerate_first(added)}")
    if absent:
        report.add(
            "absent", f"{len(absent)} detectors have none: {enumerate_first(sorted(absent))}"
        )
    moved = _moved(old, new)
    if moved:
        report.add(
            "moved",
            f"{len(moved)} detectors, which stay where the file has them ('backfill --overwrite' "
            f"moves them): {enumerate_first(moved)}",
        )


def _moved(old: TrafficSeries, new: TrafficSeries) -> list[str]:
    place = {vdid: index for index, vdid in enumerate(old.vdids)}
    both = [(place[vdid], index) for index, vdid in enumerate(new.vdids) if vdid in place]
    known = [(row, column) for row, column in both if np.isfinite(old.lat[row] + new.lat[column])]
    if not known:
        return []
    ours, theirs = np.array(known).T
    lat, lon = np.append(old.lat[ours], new.lat[theirs]), np.append(old.lon[ours], new.lon[theirs])
    count = len(ours)
    distance, *_ = geodesics(lat, lon, np.arange(count), np.arange(count) + count)
    return [
        f"{old.vdids[ours[i]]} ({distance[i]:.0f} m)" for i in np.flatnonzero(distance > _MOVED)
    ]
