"""Tables with a row for each detector and day, and a column for each time: SCATS and the like.

SCATS of Victoria has the columns ``V00`` to ``V95``, vehicles per 15 minutes. Source: `volumes
<https://discover.data.vic.gov.au/dataset/traffic-signal-volume-data>`_.
"""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from data_prep.detectors import DetectorTable, table_from_columns
from data_prep.feed import Block, Feed, long_block
from data_prep.options import add_table_options, table_format
from data_prep.sources import expand_paths
from data_prep.tables import Table, TableFormat, open_table
from data_prep.timestamps import parse_times

__all__ = ["add_options", "day_columns", "read"]

_DAY = 86400  # seconds
_IDS = ("NB_SCATS_SITE", "NB_DETECTOR"), ("SCATS Number", "Location")
_DAYS = ("QT_INTERVAL_COUNT", "Date")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::00)?(?: ?[-–] ?(\d{1,2}):(\d\d)(?::00)?)?")
_PLACES = ("NB_LATITUDE", "NB_LONGITUDE")


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add("--id-column", nargs="+", help="columns of the id, joined by '-' (default: those of SCATS)")
    add("--day-column", help="column of the day (default: that of SCATS)")
    add("--feature", default="volume", help="what the cells hold (default: %(default)s)")
    add_table_options(parser)


def read(args: Namespace) -> Feed:
    """The feed of the rows; positions come from the table itself if it has those of SCATS.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: when it is read, if columns are absent or cells cannot be read.
    """
    paths = expand_paths(args.raw)
    layout, places = table_format(args), _Places()

    def blocks() -> Iterator[Block]:
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            yield from _file_blocks(path, args, layout, places)

    return Feed(
        blocks(),
        [args.feature],
        {},
        {args.feature: "sum"} if args.feature == "volume" else {},
        detectors=places.table if args.detectors is None else None,
        read=f"days of {len(paths)} files from '{paths[0].name}'",
    )


def day_columns(path: Path, header: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The columns of the times of a day in their order, and their seconds since its midnight.

    They are called by their number (``V00``, ``V01`` …, ``hour_00`` …, ``0`` …; from 0 or 1 on), or
    by their time of day, which may be that of an interval (``00:00-01:00``). A ``00:00`` behind all
    others is the end of the day, as ``24:00`` is.

    Raises:
        ValueError: if there are none, they do not divide the day, or it is not certain of which day
            they are.
    """
    found = _numbered(header) or _clocks(path, header) or _counted(header)
    names = sorted(found, key=found.__getitem__)
    seconds = np.array([found[name] for name in names], dtype=np.int64)
    step = _DAY // len(names) if names and _DAY % len(names) == 0 else 0
    if not step or (np.diff(seconds) != step).any() or seconds[0] % step:
        raise ValueError(
            f"Expected '{path}' to have a column for each time of a day, V00, V01 …, hour_00 …, 0 "
            f"to 23, 00:00, 00:15 … or 00:00-00:15 …, without a gap (got {len(names)}). Call them "
            "so, or set --skip-rows if the names of the columns stand further down."
        )
    return names, seconds


def _numbered(header: Sequence[str]) -> dict[str, int]:
    """Seconds of the columns of SCATS."""
    places = {name: int(name[1:]) for name in header if re.fullmatch(r"[Vv]\d{2,4}", name)}
    return _seconds_of(places)


def _counted(header: Sequence[str]) -> dict[str, int]:
    """Seconds of columns whose numbers, behind the same word, are as many as a day has times."""
    groups: dict[str, dict[str, int]] = {}
    for name in header:
        if match := re.fullmatch(r"(\D*)(\d{1,4})", name):
            groups.setdefault(match[1], {})[name] = int(match[2])
    whole = [
        places
        for places in groups.values()
        if len(places) % 24 == 0 and max(places.values()) - min(places.values()) < len(places)
    ]
    return _seconds_of(whole[0]) if len(whole) == 1 else {}


def _seconds_of(places: dict[str, int]) -> dict[str, int]:
    """Seconds of places, if the first one is 0 or 1."""
    first = min(places.values(), default=0)
    if first > 1:
        return {}
    return {name: (n - first) * _DAY // len(places) for name, n in places.items()}


def _clocks(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Seconds of columns that are called by times of day.

    Raises:
        ValueError: if some are behind midnight that others are before.
    """
    found = {name: match for name in header if (match := _CLOCK.fullmatch(name))}
    begins = {name: int(m[1]) * 3600 + int(m[2]) * 60 for name, m in found.items()}
    ends = [int(m[3]) * 3600 + int(m[4]) * 60 for m in found.values() if m[3]]
    if ends:
        lengths = {(e - b) % _DAY for b, e in zip(begins.values(), ends, strict=False)}
        step = _DAY // len(found)
        if len(ends) < len(found) or lengths not in ({step}, {step - 60}):
            return {}
    order = list(begins.values())
    falls = [place for place in range(1, len(order)) if order[place] < order[place - 1]]
    if len(falls) == 1 and order[-1] < order[0]:
        if falls[0] < len(order) - 1 or order[-1] > 0:
            names = list(begins)
            after = f"{names[falls[0]]} to {names[-1]}"
            raise ValueError(
                f"The columns of '{path}' go from {names[0]} to {names[falls[0] - 1]} and on from "
                f"{after}. If {after} are of the next day, call them by their hours since midnight "
                "(24:00 …); if they are of the same day, move them before the others."
            )
        begins[list(begins)[-1]] = _DAY
    return begins


@dataclass
class _Places:
    """Positions that stand in the rows of the readings; those of the last row of an id count."""

    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    path: str = ""

    def table(self) -> DetectorTable | None:
        if not self.rows:
            return None
        lat, lon = zip(*self.rows.values(), strict=True)
        columns = {"id": list(self.rows), "lat": list(lat), "lon": list(lon)}
        return table_from_columns(self.path, columns)


def _file_blocks(
    path: Path, args: Namespace, layout: TableFormat, places: _Places
) -> Iterator[Block]:
    table = _open_table(path, layout)
    header = table.header
    columns, seconds = day_columns(path, header)
    ids = args.id_column or next((list(c) for c in _IDS if set(c) <= set(header)), None)
    day = args.day_column or next((name for name in _DAYS if name in header), None)
    if ids is None or day is None:
        option = "--id-column" if ids is None else "--day-column"
        raise KeyError(f"'{path}' has the columns {header[:12]}. Set {option} to some of them.")
    table.check(dict.fromkeys(ids, "--id-column") | {day: "--day-column"})
    own = [name for name in _PLACES if name in header]
    nulls = dict.fromkeys(columns, layout.nulls(args.feature))
    for piece in table.pieces([*ids, day, *own], columns, nulls):
        days, is_local = parse_times(
            pd.Series(piece[day]).str.replace(r"[ T]0?0:00(:00)?$", "", regex=True),
            f"column {day!r} of '{path}'",
            args.time_format,
        )
        names = piece[ids[0]]
        for name in ids[1:]:
            names = names + "-" + piece[name]
        if len(own) == 2:
            pairs = piece[own].itertuples(index=False, name=None)
            places.rows |= dict(zip(names, pairs, strict=True))
            places.path = str(path)
        yield _block(days, names, piece[columns].to_numpy(), seconds, args.feature, is_local, path)


def _open_table(path: Path, layout: TableFormat) -> Table:
    """The table, whose names of the columns may stand in the second line."""
    for more in (0, 1):
        table = open_table(path, replace(layout, skip_rows=layout.skip_rows + more))
        try:
            day_columns(path, table.header)
        except ValueError:
            continue
        if len(set(table.header)) == len(table.header):
            return table
    return open_table(path, layout)


def _block(
    days: np.ndarray,
    names: pd.Series,
    values: np.ndarray,
    seconds: np.ndarray,
    feature: str,
    is_local: bool,
    path: Path,
) -> Block:
    if (days.astype("datetime64[D]") != days).any():
        raise ValueError(
            f"Expected days without a time in '{path}', whose columns are the times (got "
            f"{days[0]}). Set --day-column."
        )
    times = (days.astype("datetime64[s]")[:, None] + seconds.astype("timedelta64[s]")).ravel()
    ids = names.repeat(values.shape[1])
    cells = values.astype(np.float32).reshape(-1, 1)
    return long_block(times, ids, (feature,), cells, is_local, str(path))
