"""METR-LA and PEMS-BAY: DCRNN's HDF5 or CSV of speeds, and T-GCN's CSV without times."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from data_prep.feed import Block, Feed
from data_prep.formats.wide import NO_TIMES, unique_vdids, wide_blocks
from data_prep.hdf_store import read_frames
from data_prep.options import add_table_options, table_format, zone_of
from data_prep.tables import TableFormat, open_table
from data_prep.timestamps import count_from, is_date, is_epoch
from socialgraph.calendar import RepeatedHour

__all__ = ["add_options", "frame_blocks", "read", "speed_blocks"]


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add("--start", help="first time of a file without times, e.g. 2012-03-01T00:00:00")
    add("--key", help="group of the frame in HDF5 (default: the only one)")
    add_table_options(parser)


def read(args: Namespace) -> Feed:
    """The feed of speeds in miles per hour; raises as :func:`speed_blocks` does."""
    blocks = speed_blocks(
        args.raw,
        args.located,
        table_format(args),
        args.start,
        args.interval,
        args.key,
        zone_of(args),
        args.repeated_hour,
    )
    return Feed(blocks, ["speed"], {"speed": "mph"}, read=f"'{Path(args.raw).name}'")


def speed_blocks(
    path: str | Path,
    located: Sequence[str],
    table_format: TableFormat,
    start: str | None = None,
    interval_minutes: float | None = None,
    key: str | None = None,
    zone: str = "UTC",
    repeated_hour: RepeatedHour = "order",
) -> Iterator[Block]:
    """Speeds, time by detector, from pandas' HDF5 or from CSV.

    Args:
        path: the file.
        located: ids of the table of detectors; a CSV whose first column is one of them has no
            times.
        table_format: format of a CSV.
        start: first time of a file without times (ISO 8601, on the local clock or with an offset);
            its rows follow each other in real time.
        interval_minutes: step of a file without times, 5 if None.
        key: group of the frame in HDF5.
        zone: zone of ``start``.
        repeated_hour: how ``start`` is meant, see :func:`socialgraph.calendar.to_utc`.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: if the file is not in one of these layouts, or ``start`` is
            lacking or contradicts times in the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'. Give the .h5 or .csv file of the speeds.")
    if h5py.is_hdf5(path):
        blocks = frame_blocks(path, "speed", key)
    else:
        has_times = _has_times(path, located, table_format)
        blocks = wide_blocks(path, "speed", table_format, has_times=has_times)
    row = 0
    step = 5.0 if interval_minutes is None else interval_minutes
    for block in blocks:
        if len(block.times) and start is not None:
            raise ValueError(
                f"'{path}' has times of its own (first {block.times[0]}). Leave out --start."
            )
        if not len(block.times):
            if start is None:
                raise ValueError(
                    f"'{path}' has no times. Set --start to the time of its first row "
                    "(2012-03-01T00:00:00 for METR-LA), and --interval if it is not 5 minutes."
                )
            times = count_from(start, step, row + len(block.values), zone, repeated_hour)[row:]
            block = Block(times, block.vdids, block.features, block.values, where=str(path))
        row += len(block)
        yield block


def frame_blocks(path: str | Path, feature: str, key: str | None = None) -> Iterator[Block]:
    """The readings of a pandas frame in HDF5, time by detector; without times if it has none.

    Raises:
        KeyError, ValueError: see :func:`data_prep.hdf_store.read_frames`.
    """
    for frame in read_frames(path, key):
        times = NO_TIMES if frame.times is None else frame.times
        values = frame.values.astype(np.float32)[..., None]
        vdids = unique_vdids(path, frame.columns)
        yield Block(times, vdids, (feature,), values, None, frame.is_local, str(path))


def _has_times(path: str | Path, located: Sequence[str], table_format: TableFormat) -> bool:
    table = open_table(path, table_format)
    if table_format.time_column is not None:
        return True
    if table.header[0].strip() in set(located):
        return False
    text = "".join(table.first_row(1))
    if is_epoch(text) or is_date(text) or not text.replace(".", "", 1).isdecimal():
        return True
    raise ValueError(
        f"The first column of '{path}', {table.header[0]!r}, is no detector of the locations file, "
        f"and its first cell is {text!r}, no time. Drop the column, or set --time-column."
    )
