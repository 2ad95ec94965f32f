"""Rows in any order to one regular time axis: sorting, duplicates, gaps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.report import Report, enumerate_first
from socialgraph.axis import regular_axis
from socialgraph.calendar import format_local

__all__ = [
    "CONFLICT_RULES",
    "Readings",
    "count_unsorted",
    "merge_duplicates",
    "name_time",
    "report_gaps",
    "settle_axis",
    "steps_of",
]

CONFLICT_RULES = ("error", "first", "last", "mean")


@dataclass
class Readings:
    """Readings on a regular time axis.

    Args:
        values: float32 ``[T, N, F]``, NaN if missing.
        timestamps: UTC, ``datetime64[s]`` ``[T]``, ``interval_minutes`` apart.
        vdids: detector ids ``[N]``.
        feature_names: names ``[F]``.
        interval_minutes: step of the axis.
        num_null: readings of each feature that were null values.
    """

    values: np.ndarray
    timestamps: np.ndarray
    vdids: list[str]
    feature_names: list[str]
    interval_minutes: float
    num_null: dict[str, int]


def count_unsorted(times: np.ndarray, codes: np.ndarray | None = None) -> int:
    """Rows that stand after a row of a later time (of the same detector, with ``codes``)."""
    if codes is None or not len(codes):
        return int((np.diff(times) < np.timedelta64(0, "s")).sum())
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        times, codes = times[order], codes[order]
    earlier = np.diff(times) < np.timedelta64(0, "s")
    return int((earlier & (np.diff(codes) == 0)).sum())


def merge_duplicates(
    keys: np.ndarray, rows: np.ndarray, on_conflict: str, describe: Callable[[int], str]
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Sort rows by key and keep one row for each key.

    Args:
        keys: what a row must be alone in ``[R]``, int64.
        rows: readings ``[R, K]``; two rows are identical if all agree, NaN with NaN.
        on_conflict: what to do with rows of one key that differ: ``"error"``, or keep the
            ``"first"`` or ``"last"`` of the source, or the ``"mean"`` of what is not missing.
        describe: name of a key for the error message.

    Returns:
        Unique keys ascending, their rows, the number of identical rows dropped, and the number of
        keys whose rows differed.

    Raises:
        ValueError: if rows differ and ``on_conflict`` is ``"error"``.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    if len(starts) == len(keys):
        return ordered, rows[order], 0, 0
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    repeated = np.flatnonzero(np.diff(group, prepend=-1) == 0)
    later, first = rows[order[repeated]], rows[order[starts[group[repeated]]]]
    differs = ~((later == first) | (np.isnan(later) & np.isnan(first))).all(axis=1)
    conflicts = np.unique(group[repeated[differs]])
    if len(conflicts) and on_conflict == "error":
        raise ValueError(
            f"{len(conflicts)} times or (id, time) pairs have rows that differ: "
            f"{enumerate_first(map(describe, ordered[starts[conflicts]]))}. Correct the "
            "source, or set --on-conflict first, last or mean."
        )
    chosen = starts if on_conflict != "last" else np.append(starts[1:], len(keys)) - 1
    merged = rows[order[chosen]]
    if on_conflict == "mean" and len(conflicts):
        members = np.flatnonzero(np.isin(group, conflicts))
        merged[conflicts] = _group_mean(rows[order[members]], group[members])
    return ordered[starts], merged, int((~differs).sum()), len(conflicts)


def name_time(time: np.datetime64, zone: str) -> str:
    """A time in UTC as text on the local clock, with its offset."""
    return format_local(np.array([time]), zone)[0]


def settle_axis(
    times: np.ndarray, interval_minutes: float | None, zone: str, report: Report
) -> tuple[np.ndarray, float]:
    """The regular axis that holds all ``times``, and its interval in minutes.

    Args:
        times: unique times ``[U]``, UTC, ascending, ``datetime64[s]``.
        interval_minutes: step of the axis; None takes the most frequent distance of two times.
        zone: zone of the clock for the report.
        report: gets the interval and the span.

    Raises:
        socialgraph.axis.SeriesError: as :func:`socialgraph.axis.regular_axis` does.
    """
    axis, interval = regular_axis(times, interval_minutes)
    how = "inferred" if interval_minutes is None else "as set"
    odd = "" if 86400 % round(interval * 60) == 0 else ", which does not divide a day"
    first, last = (name_time(axis[end], zone) for end in (0, -1))
    report.add("interval", f"{interval:g} minutes ({how}){odd}")
    report.add("time axis", f"{len(axis)} steps from {first} to {last}")
    return axis, interval


def steps_of(times: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Index of each time on a regular ``axis``, int64."""
    if len(axis) == 1:
        return np.zeros(len(times), dtype=np.int64)
    return (times - axis[0]) // (axis[1] - axis[0])


def report_gaps(axis: np.ndarray, present: np.ndarray, zone: str, report: Report) -> None:
    """Report the runs of steps that no row of the source covers.

    Args:
        axis: regular times ``[T]``.
        present: True for a step that the source has a row of ``[T]``.
        zone: zone of the clock for the report.
        report: gets the number of gaps and the longest one.
    """
    edges = np.flatnonzero(np.diff(present.astype(np.int8)))
    starts, ends = edges[0::2] + 1, edges[1::2] + 1
    if not len(starts):
        return report.add("gaps in time", "none")
    longest = int(np.argmax(ends - starts))
    first, last = (name_time(axis[i], zone) for i in (starts[longest], ends[longest] - 1))
    return report.add(
        "gaps in time",
        f"{len(starts)}, {int((~present).sum())} steps filled with NaN; the longest has "
        f"{ends[longest] - starts[longest]} steps, {first} to {last}",
    )


def _group_mean(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    total = np.add.reduceat(np.nan_to_num(rows.astype(np.float64)), starts, axis=0)
    count = np.add.reduceat((~np.isnan(rows)).astype(np.int64), starts, axis=0)
    with np.errstate(invalid="ignore"):
        return total / count
