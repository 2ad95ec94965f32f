"""The times of a source brought to UTC, with the hours that its clock skips and repeats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.report import Report
from data_prep.tables import TableFormat
from data_prep.timeline import merge_duplicates
from socialgraph.calendar import ClockError, absent_hour, to_utc

__all__ = ["Clocks", "place_in_utc", "report_clocks"]


@dataclass(frozen=True)
class Clocks:
    """What the times of a source were, and what was dropped.

    Args:
        num_local: rows whose time was on the local clock.
        num_known: rows whose time had an offset or counted from 1970.
        absent: local times ``[A]`` of the dropped rows.
    """

    num_local: int
    num_known: int
    absent: np.ndarray


def place_in_utc(
    times: np.ndarray,
    is_local: np.ndarray,
    values: np.ndarray,
    table_format: TableFormat,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, Clocks]:
    """Bring the times of a source to UTC.

    A regular axis on a local clock has rows in the hour that this clock leaves out in spring. They
    stand for no time; those without any reading are dropped.

    Args:
        times: ``datetime64[s]`` ``[R]``, in the order of the source.
        is_local: True for times on the local clock, False for those in UTC ``[R]``.
        values: readings ``[R, K]``, NaN if missing.
        table_format: zone of the clock, and how the hour that comes twice is meant.
        groups: index of each row's detector ``[R]``, for long tables.

    Returns:
        UTC of the rows that are kept ``[K]``, True for those ``[R]``, and what was done.

    Raises:
        socialgraph.calendar.ClockError: if a local time has no place in UTC, or ``repeated_hour``
            is for a source that holds this hour once, and it is there twice.
    """
    zone, how = table_format.timezone, table_format.repeated_hour
    rows = np.flatnonzero(is_local)
    silent = rows[absent_hour(times[rows], zone)]
    silent = silent[np.isnan(values[silent]).all(axis=1)]
    told = Clocks(len(rows), len(times) - len(rows), times[silent])
    kept = np.ones(len(times), dtype=bool)
    kept[silent] = False
    rows = rows[kept[rows]]
    groups = np.zeros(len(times), dtype=np.int64) if groups is None else groups
    utc = times.copy()
    utc[rows] = to_utc(times[rows], zone, how, groups[rows])
    if how != "order":
        _refuse_both_passes(times[rows], values[rows], groups[rows], table_format)
    return utc[kept], kept, told


def report_clocks(clocks: Sequence[Clocks], zone: str | None, report: Report) -> None:
    """Report what the times of all tables were taken for, and which rows were dropped.

    Args:
        clocks: one for each table.
        zone: zone of the network, None if it was not given.
        report: gets the lines.
    """
    num_known = sum(each.num_known for each in clocks)
    num_local = sum(each.num_local for each in clocks)
    if num_known:
        report.add("times", f"{num_known} rows by their offset, or as seconds since 1970")
    if num_local and zone:
        report.add("times", f"{num_local} rows without offset, on the clock of {zone}")
    if num_local and not zone:
        report.add(
            "times", f"{num_local} rows without offset, taken as UTC since --timezone is not set"
        )
    if not zone:
        report.add("zone", "UTC; set --timezone for the time of day and the weekday of the network")
    absent = np.concatenate([each.absent for each in clocks])
    if len(absent):
        report.add(
            "absent hour",
            f"{len(absent)} rows without a reading dropped, {absent.min()} to {absent.max()}: the "
            f"clock of {zone} leaves this hour out",
        )


def _refuse_both_passes(
    local: np.ndarray, values: np.ndarray, groups: np.ndarray, table_format: TableFormat
) -> None:
    """Refuse a choice of one pass if rows of both are there."""
    zone, how = table_format.timezone, table_format.repeated_hour
    twice = to_utc(local, zone, "first") != to_utc(local, zone, "second")
    if not twice.any():
        return
    seconds = local[twice].astype(np.int64)
    span = seconds.max() - seconds.min() + 1
    keys = groups[twice] * span + seconds - seconds.min()
    *_, num_conflicts = merge_duplicates(keys, values[twice], "first", str)
    if num_conflicts:
        raise ClockError(
            f"{num_conflicts} times from {local[twice].min()} on, in the hour that comes twice in "
            f"{zone} when clocks go back, have rows with other readings: the source holds this "
            f"hour twice, and --repeated-hour {how} is for one that holds it once. Leave it out."
        )
