"""METR-LA and PEMS-BAY: DCRNN's HDF5 or CSV of speeds, and T-GCN's CSV without times."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from data_prep.clocks import Clocks
from data_prep.hdf_store import read_frame
from data_prep.tables import (
    TableFormat,
    read_blocks,
    read_header,
    replace_null_values,
    to_matrix,
)
from data_prep.timestamps import count_from, is_epoch
from data_prep.wide import WideTable, place_table, read_wide, unique_vdids

__all__ = ["read_metr_la"]


def read_metr_la(
    path: str | Path,
    located: Sequence[str],
    table_format: TableFormat,
    start: str | None = None,
    interval_minutes: float | None = None,
    key: str | None = None,
) -> WideTable:
    """Read speeds, time by detector, from pandas' HDF5 or from CSV.

    Args:
        path: the file.
        located: ids of the table of detectors; a CSV whose first column is one of them has no
            times.
        table_format: format of a CSV, and the null values.
        start: first time of a file without times (ISO 8601, on the local clock or with an offset);
            its rows follow each other in real time.
        interval_minutes: step of a file without times, 5 if None.
        key: group of the frame in HDF5.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: if the file is not in one of these layouts, or ``start`` is
            lacking or contradicts times in the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'. Give the .h5 or .csv file of the speeds.")
    if h5py.is_hdf5(path):
        table = _read_hdf_store(path, table_format, key)
    elif _has_times(path, located, table_format):
        table = read_wide(path, table_format)
    else:
        table = _read_without_times(path, table_format)
    if table.times is not None and start is not None:
        raise ValueError(
            f"'{path}' has times of its own (first {table.times[0]} UTC). Leave out --start."
        )
    if table.times is None and start is None:
        raise ValueError(
            f"'{path}' has no times. Set --start to the time of its first row "
            "(2012-03-01T00:00:00 for METR-LA), and --interval if it is not 5 minutes."
        )
    if table.times is None:
        step = 5.0 if interval_minutes is None else interval_minutes
        times = count_from(
            start, step, len(table.values), table_format.timezone, table_format.repeated_hour
        )
        table = replace(table, times=times)
    return table


def _read_hdf_store(path: str | Path, table_format: TableFormat, key: str | None) -> WideTable:
    frame = read_frame(path, key)
    infinite = int(np.isinf(frame.values).sum())
    if infinite:
        raise ValueError(
            f"'{path}' holds {infinite} infinite readings. Write NaN for a missing one."
        )
    num_null = int(replace_null_values(frame.values, table_format.null_values).sum())
    vdids, values = unique_vdids(path, frame.columns), frame.values.astype(np.float32)
    if frame.times is None:
        return _without_times(vdids, values, num_null)
    is_local = np.full(len(values), frame.is_local)
    return place_table(path, frame.times, is_local, values, vdids, num_null, table_format)


def _has_times(path: str | Path, located: Sequence[str], table_format: TableFormat) -> bool:
    header = read_header(path, table_format.delimiter)
    if table_format.time_column is not None:
        return True
    if header[0].strip() in set(located):
        return False
    first = next(read_blocks(path, [header[0]], (), table_format.delimiter), None)
    text = first.column(0)[0].as_py() if first is not None and first.num_rows else ""
    if is_epoch(text) or not text.strip().replace(".", "", 1).isdecimal():
        return True
    raise ValueError(
        f"The first column of '{path}', {header[0]!r}, is no detector of the locations file, and "
        f"its first cell is {text!r}, no time. Drop the column, or set --time-column."
    )


def _read_without_times(path: str | Path, table_format: TableFormat) -> WideTable:
    columns = read_header(path, table_format.delimiter)
    vdids = unique_vdids(path, columns)
    blocks = list(read_blocks(path, (), columns, table_format.delimiter))
    if not blocks:
        raise ValueError(f"'{path}' has column names and no rows. Expected one row for each time.")
    values = np.concatenate([to_matrix(path, block, columns) for block in blocks])
    num_null = int(replace_null_values(values, table_format.null_values).sum())
    return _without_times(vdids, values.astype(np.float32), num_null)


def _without_times(vdids: list[str], values: np.ndarray, num_null: int) -> WideTable:
    none_dropped = np.zeros(0, dtype="datetime64[s]")
    return WideTable(None, vdids, values, num_null, Clocks(len(values), 0, none_dropped))
