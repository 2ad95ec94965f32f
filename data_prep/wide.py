"""Wide tables, time by detector: one CSV file for each feature."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.clocks import Clocks, place_in_utc
from data_prep.report import Report, enumerate_first
from data_prep.tables import (
    TableFormat,
    check_columns,
    read_blocks,
    read_header,
    replace_null_values,
    to_matrix,
)
from data_prep.timeline import (
    Readings,
    count_unsorted,
    merge_duplicates,
    name_time,
    report_gaps,
    settle_axis,
    steps_of,
)
from data_prep.timestamps import parse_times
from socialgraph.calendar import ClockError

__all__ = ["WideTable", "combine_wide", "place_table", "read_wide", "unique_vdids"]


@dataclass
class WideTable:
    """Readings of one feature as the source has them.

    Args:
        times: UTC, ``datetime64[s]`` ``[R]``, in any order.
        vdids: detector ids ``[N]``, the columns.
        values: float32 ``[R, N]``, NaN if missing.
        num_null: readings that were null values.
        clocks: how the times came to UTC.
    """

    times: np.ndarray
    vdids: list[str]
    values: np.ndarray
    num_null: int
    clocks: Clocks


def read_wide(path: str | Path, table_format: TableFormat) -> WideTable:
    """Read a CSV file whose columns are a time and the detectors.

    Args:
        path: the file.
        table_format: its format; without ``time_column`` the first column holds the times.

    Raises:
        KeyError: if the time column is absent.
        ValueError: if an id occurs twice, a cell cannot be read, or a time has no place in UTC.
    """
    header = read_header(path, table_format.delimiter)
    time_column = header[0] if table_format.time_column is None else table_format.time_column
    check_columns(path, header, {time_column: "--time-column"})
    columns = [name for name in header if name != time_column]
    vdids = unique_vdids(path, columns)
    times, is_local, values, num_null = [], [], [], 0
    for block in read_blocks(path, [time_column], columns, table_format.delimiter):
        where = f"column {time_column!r} of '{path}'"
        read, local = parse_times(block.column(time_column), where, table_format.time_format)
        times.append(read)
        is_local.append(np.full(len(read), local))
        matrix = to_matrix(path, block, columns)
        num_null += int(replace_null_values(matrix, table_format.null_values).sum())
        values.append(matrix.astype(np.float32))
    if not sum(map(len, times)):
        raise ValueError(f"'{path}' has column names and no rows. Expected one row for each time.")
    parts = (np.concatenate(part) for part in (times, is_local, values))
    return place_table(path, *parts, vdids, num_null, table_format)


def place_table(
    path: str | Path,
    times: np.ndarray,
    is_local: np.ndarray,
    values: np.ndarray,
    vdids: list[str],
    num_null: int,
    table_format: TableFormat,
) -> WideTable:
    """The table of a file with its times in UTC, see :func:`data_prep.clocks.place_in_utc`.

    Raises:
        ClockError: if a local time has no place in UTC; names the file.
    """
    try:
        utc, kept, clocks = place_in_utc(times, is_local, values, table_format)
    except ClockError as error:
        raise ClockError(f"'{path}': {error}") from error
    return WideTable(utc, vdids, values[kept], num_null, clocks)


def unique_vdids(path: str | Path, names: list[str]) -> list[str]:
    """The ids without surrounding blanks.

    Raises:
        ValueError: if there is none, one is empty, or one occurs twice.
    """
    vdids = [name.strip() for name in names]
    if "" in vdids:
        raise ValueError(
            f"Expected '{path}' to name every column by a detector id (column "
            f"{vdids.index('') + 1} of {len(vdids)} has no name). Drop it, "
            "or a delimiter at the end of the lines."
        )
    twice = [vdid for vdid, count in Counter(vdids).items() if count > 1]
    if twice or not vdids:
        problem = (
            f"{len(twice)} occur twice: {enumerate_first(twice)}" if twice else "there is none"
        )
        raise ValueError(
            f"Expected '{path}' to have one column for each detector id; {problem}. "
            "Rename or drop columns, or set --delimiter."
        )
    return vdids


def combine_wide(
    tables: Mapping[str, WideTable],
    interval_minutes: float | None,
    on_conflict: str,
    zone: str,
    report: Report,
) -> Readings:
    """Bring tables of several features to the same detectors and one regular time axis.

    Args:
        tables: feature name to table; detectors and times may differ, what one lacks is missing.
        interval_minutes: step of the axis, None to infer it.
        on_conflict: rule for times that occur twice, see :func:`merge_duplicates`.
        zone: zone of the clock for the report and for errors.
        report: gets what was found and done.

    Raises:
        ValueError: if rows of one time differ, or the times do not form a grid.
    """
    vdids = list(dict.fromkeys(vdid for table in tables.values() for vdid in table.vdids))
    settled = {
        name: _settle(name, table, on_conflict, zone, report) for name, table in tables.items()
    }
    times = np.unique(np.concatenate([times for times, _ in settled.values()]))
    axis, interval = settle_axis(times, interval_minutes, zone, report)
    values = np.full((len(axis), len(vdids), len(tables)), np.nan, dtype=np.float32)
    column_of = {vdid: index for index, vdid in enumerate(vdids)}
    for index, (name, table) in enumerate(tables.items()):
        columns = [column_of[vdid] for vdid in table.vdids]
        times_of, rows = settled[name]
        values[np.ix_(steps_of(times_of, axis), columns, [index])] = rows[..., None]
        if len(columns) < len(vdids):
            absent = enumerate_first(sorted(set(vdids) - set(table.vdids)))
            report.add(name, f"has no column for {len(vdids) - len(columns)} detectors: {absent}")
    present = np.zeros(len(axis), dtype=bool)
    present[steps_of(times, axis)] = True
    report_gaps(axis, present, zone, report)
    num_null = {name: table.num_null for name, table in tables.items()}
    return Readings(values, axis, vdids, list(tables), interval, num_null)


def _settle(
    name: str, table: WideTable, on_conflict: str, zone: str, report: Report
) -> tuple[np.ndarray, np.ndarray]:
    unsorted = count_unsorted(table.times)
    keys, rows, num_identical, num_conflicts = merge_duplicates(
        table.times.astype(np.int64),
        table.values,
        on_conflict,
        lambda key: f"{name} at {name_time(np.datetime64(int(key), 's'), zone)}",
    )
    report.add(name, f"{len(table.times)} rows, {len(table.vdids)} detectors")
    if unsorted:
        report.add("order", f"{unsorted} rows stood after a later time; sorted")
    if num_identical:
        report.add("duplicates", f"{num_identical} identical rows dropped")
    if num_conflicts:
        report.add("conflicts", f"{num_conflicts} times with rows that differ: {on_conflict} kept")
    return keys.astype("datetime64[s]"), rows
