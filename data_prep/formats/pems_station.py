"""PeMS "Station 5-Minute" as downloaded: ``d04_text_station_5min_2024_01_02.txt.gz``, no header.

The columns are time, station, district, freeway, direction, type of lane, length, samples, share
observed, flow, occupancy, speed, and then five for each lane. ``--detectors`` is
``d04_text_meta_2024_01_01.txt``. Source: `PeMS <https://pems.dot.ca.gov/?dnode=Clearinghouse>`_.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.feed import Block, Feed, long_block
from data_prep.sources import expand_paths
from data_prep.tables import TableFormat, open_table
from data_prep.timestamps import parse_times

__all__ = ["FEATURES", "add_options", "read"]

FEATURES = ("flow", "occupancy", "speed")
_TIME, _STATION, _OBSERVED, _READINGS = "0", "1", "8", ("9", "10", "11")
_LEAST_COLUMNS = 12


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add(
        "--min-observed",
        type=float,
        default=0.0,
        help="percent of samples that were observed, below which a reading is missing: PeMS "
        "imputes the others (default: %(default)g)",
    )


def read(args: Namespace) -> Feed:
    """The feed: flow in vehicles per 5 minutes, occupancy as a share, speed in miles per hour."""
    paths = expand_paths(args.raw)

    def blocks() -> Iterator[Block]:
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            yield from _file_blocks(path, args.min_observed)

    return Feed(
        blocks(),
        list(FEATURES),
        {"flow": "veh/5min", "occupancy": "1", "speed": "mph"},
        {"flow": "sum", "occupancy": "mean", "speed": "weighted"},
        step=300,
        read=f"Station 5-Minute of {len(paths)} files from '{paths[0].name}'",
    )


def _file_blocks(path: Path, min_observed: float) -> Iterator[Block]:
    first = open_table(path, TableFormat(delimiter=",")).header
    if len(first) < _LEAST_COLUMNS or not first[1].isdecimal():
        raise ValueError(
            f"Expected '{path}' as PeMS 'Station 5-Minute', with {_LEAST_COLUMNS} columns or more "
            f"and a station in the second one (got {first[:4]}). Tables with names of columns are "
            "read by 'convert csv --long'."
        )
    names = tuple(str(place) for place in range(len(first)))
    table = open_table(path, TableFormat(delimiter=",", names=names))
    for piece in table.pieces((_TIME, _STATION), (_OBSERVED, *_READINGS)):
        where = f"the first column of '{path}'"
        times, is_local = parse_times(piece[_TIME], where, "%m/%d/%Y %H:%M:%S")
        values = piece[list(_READINGS)].to_numpy(dtype=np.float32, copy=True)
        values[(piece[_OBSERVED] < min_observed).to_numpy()] = np.nan
        yield long_block(times, piece[_STATION], FEATURES, values, is_local, str(path))
