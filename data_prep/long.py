"""Long tables, one row for each detector and time, in one or many CSV files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from tqdm import tqdm

from data_prep.clocks import Clocks, place_in_utc
from data_prep.report import Report
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

__all__ = ["LongTable", "combine_long", "expand_paths", "read_long"]


@dataclass
class LongTable:
    """Rows as the source has them.

    Args:
        times: UTC, ``datetime64[s]`` ``[R]``, in any order.
        codes: index of each row's detector in ``vdids`` ``[R]``.
        vdids: detector ids ``[N]``, in order of appearance.
        feature_names: names ``[F]``.
        values: float32 ``[R, F]``, NaN if missing.
        num_null: readings of each feature that were null values.
        clocks: how the times came to UTC.
    """

    times: np.ndarray
    codes: np.ndarray
    vdids: list[str]
    feature_names: list[str]
    values: np.ndarray
    num_null: dict[str, int]
    clocks: Clocks


def expand_paths(patterns: Sequence[str]) -> list[Path]:
    """The files named by paths, globs and folders (their visible files), sorted within each.

    Raises:
        FileNotFoundError: if one names no file.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        if Path(pattern).is_dir():
            found = [path for path in Path(pattern).iterdir() if not path.name.startswith(".")]
        else:
            found = [
                Path(name) for name in ([pattern] if Path(pattern).exists() else glob(pattern))
            ]
        files = sorted(path for path in found if path.is_file())
        if not files:
            raise FileNotFoundError(
                f"No file for '{pattern}'. Give files, a quoted glob or a folder."
            )
        paths.update(dict.fromkeys(files))
    return list(paths)


def read_long(
    paths: Sequence[Path],
    id_column: str,
    features: Mapping[str, str],
    table_format: TableFormat,
    show_progress: bool = False,
) -> LongTable:
    """Read files whose rows hold an id, a time and readings.

    Args:
        paths: files of one format.
        id_column: column of the detector ids.
        features: column of the readings to feature name.
        table_format: format of the files, with ``time_column``.
        show_progress: show a progress bar if stderr is a terminal.

    Raises:
        KeyError: if a file lacks a column.
        ValueError: if a cell cannot be read, there are no rows, or a time has no place in UTC.
    """
    code_of: dict[str, int] = {}
    parts = []
    for path in tqdm(paths, desc="reading", unit="file", disable=None if show_progress else True):
        wanted = {id_column: "--id-column", table_format.time_column: "--time-column"}
        wanted |= dict.fromkeys(features, "--features")
        check_columns(path, read_header(path, table_format.delimiter), wanted)
        parts.extend(_read_file(path, id_column, list(features), table_format, code_of))
    if not sum(len(times) for times, *_ in parts):
        raise ValueError(f"The {len(paths)} files have no rows (first file '{paths[0]}').")
    *arrays, num_null = zip(*parts, strict=True)
    times, is_local, codes, values = (np.concatenate(array) for array in arrays)
    utc, kept, clocks = place_in_utc(times, is_local, values, table_format, codes)
    if not kept.all():
        codes, values = codes[kept], values[kept]
    return LongTable(
        utc,
        codes,
        list(code_of),
        list(features.values()),
        values,
        dict(zip(features.values(), np.sum(num_null, axis=0).tolist(), strict=True)),
        clocks,
    )


def combine_long(
    table: LongTable, interval_minutes: float | None, on_conflict: str, zone: str, report: Report
) -> Readings:
    """Bring rows to one regular time axis ``[T, N, F]``.

    Args:
        table: rows in any order.
        interval_minutes: step of the axis, None to infer it.
        on_conflict: rule for (id, time) pairs that occur twice, see :func:`merge_duplicates`.
        zone: zone of the clock for the report and for errors.
        report: gets what was found and done.

    Raises:
        ValueError: if rows of one detector and time differ, or the times do not form a grid.
    """
    codes, steps, values, axis, interval = _settle(
        table, interval_minutes, on_conflict, zone, report
    )
    shape = len(axis), len(table.vdids), len(table.feature_names)
    grid = np.full(shape, np.nan, dtype=np.float32)
    grid[steps, codes] = values
    present = np.zeros(len(axis), dtype=bool)
    present[steps] = True
    report_gaps(axis, present, zone, report)
    absent = shape[0] * shape[1] - len(values)
    report.add(
        "missing rows",
        f"{absent} of {shape[0] * shape[1]} (id, time) pairs have no row; set to NaN",
    )
    return Readings(grid, axis, table.vdids, table.feature_names, interval, table.num_null)


def _read_file(
    path: Path,
    id_column: str,
    columns: list[str],
    table_format: TableFormat,
    code_of: dict[str, int],
) -> list[tuple[np.ndarray, ...]]:
    parts = []
    time_column = table_format.time_column
    for block in read_blocks(path, [id_column, time_column], columns, table_format.delimiter):
        where = f"column {time_column!r} of '{path}'"
        times, local = parse_times(block.column(time_column), where, table_format.time_format)
        is_local = np.full(len(times), local)
        ids = pc.utf8_trim_whitespace(block.column(id_column)).dictionary_encode()
        codes = [code_of.setdefault(vdid, len(code_of)) for vdid in ids.dictionary.to_pylist()]
        values = to_matrix(path, block, columns)
        num_null = replace_null_values(values, table_format.null_values)
        rows = np.array(codes, np.int32)[ids.indices.to_numpy(zero_copy_only=False)]
        parts.append((times, is_local, rows, values.astype(np.float32), num_null))
    return parts


def _settle(
    table: LongTable, interval_minutes: float | None, on_conflict: str, zone: str, report: Report
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    report.add("rows", f"{len(table.times)} of {len(table.vdids)} detectors")
    unsorted = count_unsorted(table.times, table.codes)
    if unsorted:
        report.add("order", f"{unsorted} rows stood after a later time of their detector; sorted")
    first = table.times.min()
    span = int((table.times.max() - first).astype(np.int64)) + 1
    keys = table.codes * np.int64(span) + (table.times - first).astype(np.int64)
    keys, values, num_identical, num_conflicts = merge_duplicates(
        keys,
        table.values,
        on_conflict,
        lambda key: (
            f"{table.vdids[key // span]} at "
            + name_time(first + np.timedelta64(int(key % span), "s"), zone)
        ),
    )
    if num_identical:
        report.add("duplicates", f"{num_identical} identical rows dropped")
    if num_conflicts:
        report.add("conflicts", f"{num_conflicts} (id, time) pairs differ: {on_conflict} kept")
    times = first + (keys % span).astype("timedelta64[s]")
    axis, interval = settle_axis(np.unique(times), interval_minutes, zone, report)
    return keys // span, steps_of(times, axis), values, axis, interval
