"""PEMS03, PEMS04, PEMS07 and PEMS08 as the field passes them on: ``data [T, N, F]`` in ``.npz``.

The arrays have neither times nor ids. Flow is in vehicles per 5 minutes, occupancy a share, speed
in miles per hour. Source: `ASTGNN <https://github.com/guoshnBJTU/ASTGNN>`_.
"""

import zipfile
import zlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.feed import Block, Feed
from data_prep.options import zone_of
from data_prep.timestamps import count_from

__all__ = ["add_options", "read"]

_FEATURES = ("flow", "occupancy", "speed")
_UNITS = {"flow": "veh/5min", "occupancy": "1", "speed": "mph"}
_RULES = {"flow": "sum", "occupancy": "mean", "speed": "weighted"}
_STARTS = {  # by steps and detectors
    (26208, 358): "2018-09-01T00:00:00",  # PEMS03
    (16992, 307): "2018-01-01T00:00:00",
    (28224, 883): "2017-05-01T00:00:00",
    (17856, 170): "2016-07-01T00:00:00",
}


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add("--ids", help="text file of the ids, one a line (PEMS03.txt; default: indices from 0)")
    add("--start", help="first time, e.g. 2018-09-01T00:00:00 (default: that of PEMS0?, by size)")
    add("--features", nargs="+", help=f"names of the features (default: {' '.join(_FEATURES)})")


def read(args: Namespace) -> Feed:
    """The feed of the array.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such array, or its start, ids or features do not fit it.
    """
    values = _load(args.raw)
    features = args.features or list(_FEATURES[: values.shape[2]])
    if len(features) != values.shape[2]:
        raise ValueError(
            f"'{args.raw}' has {values.shape[2]} features. Name each with --features (got "
            f"{features})."
        )
    vdids = _ids(args.ids, values.shape[1])
    start = args.start or _STARTS.get(values.shape[:2])
    if start is None:
        raise ValueError(
            f"'{args.raw}' has the shape {values.shape}, of none of PEMS03 to PEMS08, and no "
            "times. Set --start to the time of its first row."
        )
    times = count_from(start, 5.0, len(values), zone_of(args), args.repeated_hour)

    def blocks() -> Iterator[Block]:
        yield Block(times, vdids, tuple(features), values, where=str(args.raw))

    return Feed(
        blocks(),
        features,
        {name: unit for name, unit in _UNITS.items() if name in features},
        {name: rule for name, rule in _RULES.items() if name in features},
        step=300,
        detectors=lambda: None,
        read=f"'{Path(args.raw).name}'",
    )


def _load(path: str) -> np.ndarray:
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'. Give PEMS03.npz or one like it.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = stored["data"] if "data" in stored.files else None
    except (ValueError, TypeError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"'{path}' is no .npz file, or is damaged: {error}") from error
    if values is None or values.ndim != 3 or values.dtype.kind not in "iuf":
        found = None if values is None else f"{values.dtype} {values.shape}"
        raise ValueError(
            f"Expected numbers 'data' [time, detector, feature] in '{path}' (got {found})."
        )
    return values.astype(np.float32)


def _ids(path: str | None, count: int) -> list[str]:
    if path is None:
        return [str(index) for index in range(count)]
    vdids = Path(path).read_text(encoding="utf-8-sig").split()
    if len(vdids) != count or len(set(vdids)) < count:
        raise ValueError(
            f"Expected {count} different ids in '{path}' (got {len(vdids)}, "
            f"{len(set(vdids))} different)."
        )
    return vdids
