"""UTD19: loop detectors of forty cities, day and seconds since midnight, one row each.

Flow is in vehicles per hour, occupancy a share, speed in km/h. ``--detectors`` is
``detectors_public.csv``. Source: `Loder et al. <https://doi.org/10.1038/s41598-019-51539-5>`_.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.detectors import DetectorTable, read_columns, table_from_columns
from data_prep.feed import Block, Feed, long_block
from data_prep.places import detector_format
from data_prep.sources import expand_paths
from data_prep.table_times import read_times
from data_prep.tables import TableFormat, open_table

__all__ = ["add_options", "read", "read_table"]

_COLUMNS = {"flow": "flow", "occ": "occupancy", "speed": "speed"}
_UNITS = {"flow": "veh/h", "occupancy": "1", "speed": "km/h"}


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add("--city", help="city to take, as in the column 'city'")
    add(
        "--features",
        nargs="+",
        choices=list(_UNITS),
        default=list(_UNITS),
        help="what to take: most cities have no speed (default: all)",
    )


def read_table(args: Namespace) -> DetectorTable | None:
    """The detectors of the city: ids are those of a city, and occur in others too."""
    if args.detectors is None:
        return None
    columns, decimal = read_columns(args.detectors, detector_format(args))
    if args.city and "citycode" in columns:
        rows = [row for row, city in enumerate(columns["citycode"]) if city == args.city]
        if not rows:
            cities = sorted(set(columns["citycode"]))
            raise ValueError(
                f"'{args.detectors}' has no city {args.city!r}; it has {cities}. Set --city."
            )
        columns = {name: [texts[row] for row in rows] for name, texts in columns.items()}
    return table_from_columns(
        args.detectors,
        columns,
        args.detector_id_column,
        args.lat_column,
        args.lon_column,
        args.crs,
        decimal,
    )


def read(args: Namespace) -> Feed:
    """The feed of the rows, of one city.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: when it is read, if a column is absent, a cell cannot be read, there
            are rows of several cities and none is chosen, or none of the city that is.
    """
    paths = expand_paths(args.raw)
    columns = {column: name for column, name in _COLUMNS.items() if name in args.features}

    def blocks() -> Iterator[Block]:
        num_rows = 0
        cities: set[str] = set()
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            for block in _file_blocks(path, columns, args.city, cities):
                num_rows += len(block)
                yield block
        if not num_rows:
            raise ValueError(
                f"There are no rows of the city {args.city!r}; there are rows of "
                f"{sorted(cities)}. Set --city."
            )

    features = list(columns.values())
    return Feed(
        blocks(),
        features,
        {name: _UNITS[name] for name in features},
        {"flow": "mean", "occupancy": "mean", "speed": "weighted"},
        read=f"{', '.join(features)} of {len(paths)} files from '{paths[0].name}'",
    )


def _file_blocks(
    path: Path, columns: dict[str, str], city: str | None, cities: set[str]
) -> Iterator[Block]:
    table = open_table(path, TableFormat())
    needed = ("day", "interval", "detid", *columns)
    table.check(dict.fromkeys(needed, "--features"))
    flags = [name for name in ("error",) if name in table.header]
    texts = ["day", "interval", "detid", *(["city"] if "city" in table.header else [])]
    for piece in table.pieces(texts, [*columns, *flags]):
        if "city" in piece:
            cities.update(piece["city"].unique())
            piece = piece[piece["city"] == city] if city else piece
        if city is None and len(cities) > 1:
            raise ValueError(f"'{path}' has rows of {sorted(cities)}. Set --city to one of them.")
        if not len(piece):
            continue
        times, is_local = read_times(table, piece, ("day", "interval"), in_seconds=True)
        values = piece[list(columns)].to_numpy(dtype=np.float32, copy=True)
        if flags:
            values[(piece["error"] == 1).to_numpy()] = np.nan
        yield long_block(
            times, piece["detid"], tuple(columns.values()), values, is_local, str(path)
        )
