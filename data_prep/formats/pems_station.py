"""PeMS "Station 5-Minute" and "Station Hour" as downloaded, without a line of names, such as
``d04_text_station_5min_2024_01_02.txt.gz``.

The columns are time, station, district, freeway, direction, type of lane, length, samples, share
observed, flow, occupancy, speed, and then others, also for each lane. ``--detectors`` is
``d04_text_meta_2024_01_01.txt``. Source: `PeMS <https://pems.dot.ca.gov/?dnode=Clearinghouse>`_.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from data_prep.durations import tell_seconds
from data_prep.feed import Block, Feed, long_block
from data_prep.sources import expand_paths
from data_prep.tables import Table, TableFormat, open_table
from data_prep.timestamps import parse_times

__all__ = ["FEATURES", "add_options", "read"]

FEATURES = ("flow", "occupancy", "speed")
_TIME, _STATION, _OBSERVED, _READINGS = "0", "1", "8", ("9", "10", "11")
_LEAST_COLUMNS = 12
_FIVE, _HOUR, _DAY = 300, 3600, 86400  # seconds
_NAMED = {"station_5min": _FIVE, "station_hour": _HOUR, "station_day": _DAY}
_KINDS = {_FIVE: "Station 5-Minute", _HOUR: "Station Hour", _DAY: "Station Day"}
_UNITS = {_FIVE: "veh/5min", _HOUR: "veh/h"}
_FEW = 4  # times, of which the distance may be by chance


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
    """The feed: flow in vehicles per 5 minutes or hour, as the readings are apart, occupancy as a
    share, speed in miles per hour.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is no such table, has a reading per day, or, when it is read, other
            steps than the first one.
    """
    paths = expand_paths(args.raw)
    step = _find_step(paths[0])

    def blocks() -> Iterator[Block]:
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            yield from _file_blocks(path, args.min_observed, step, paths[0])

    return Feed(
        blocks(),
        list(FEATURES),
        {"flow": _UNITS[step], "occupancy": "1", "speed": "mph"},
        {"flow": "sum", "occupancy": "mean", "speed": "weighted"},
        step=step,
        read=f"{_KINDS[step]} of {len(paths)} files from '{paths[0].name}'",
    )


def _find_step(path: Path) -> int:
    """Seconds between two readings, by the name of a file and its times.

    Raises:
        ValueError: if the two contradict each other, or readings are of days.
    """
    first = next(_open(path).pieces((_TIME,), ()))
    times = np.unique(_times(path, first)[0])
    seconds = times.astype("datetime64[s]").astype(np.int64)
    distance = int(np.gcd.reduce(np.diff(seconds))) if len(times) > 1 else 0
    named = next((step for text, step in _NAMED.items() if text in path.name.lower()), None)
    step = named or next((s for s in (_DAY, _HOUR) if distance and distance % s == 0), _FIVE)
    is_few = len(times) < _FEW
    if distance % step or (step == _FIVE and distance % _HOUR == 0 and not is_few):
        raise ValueError(
            f"'{path}' has readings every {tell_seconds(distance)}, and the name of "
            f"{_KINDS[step]}. Rename it to station_5min or station_hour, whichever it is: its flow "
            "is counted per that time."
        )
    if step == _DAY:
        raise ValueError(
            f"'{path}' is Station Day, a reading per day without a speed. Download Station "
            "5-Minute or Station Hour instead."
        )
    return step


def _file_blocks(path: Path, min_observed: float, step: int, leader: Path) -> Iterator[Block]:
    table = _open(path)
    own = step if path == leader else _find_step(path)
    if own != step:
        raise ValueError(
            f"'{path}' is {_KINDS[own]}, and '{leader}' is {_KINDS[step]}. Convert each kind to a "
            "file of its own."
        )
    for piece in table.pieces((_TIME, _STATION), (_OBSERVED, *_READINGS)):
        times, is_local = _times(path, piece)
        values = piece[list(_READINGS)].to_numpy(dtype=np.float32, copy=True)
        values[(piece[_OBSERVED] < min_observed).to_numpy()] = np.nan
        yield long_block(times, piece[_STATION], FEATURES, values, is_local, str(path))


def _times(path: Path, piece: pd.DataFrame) -> tuple[np.ndarray, bool]:
    return parse_times(piece[_TIME], f"the first column of '{path}'", "%m/%d/%Y %H:%M:%S")


def _open(path: Path) -> Table:
    first = open_table(path, TableFormat(delimiter=",")).header
    if len(first) < _LEAST_COLUMNS or not first[1].isdecimal():
        raise ValueError(
            f"Expected '{path}' as PeMS 'Station 5-Minute', with {_LEAST_COLUMNS} columns or more "
            f"and a station in the second one (got {first[:4]}). Tables with names of columns are "
            "read by 'convert csv --long'."
        )
    names = tuple(str(place) for place in range(len(first)))
    return open_table(path, TableFormat(delimiter=",", names=names))
