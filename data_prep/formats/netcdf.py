"""NetCDF and the like, as xarray reads it: arrays over time and detector."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.detectors import DetectorTable, table_from_columns
from data_prep.feed import Block, Feed

if TYPE_CHECKING:
    import xarray

__all__ = ["add_options", "read"]

_PIECE_CELLS = 2**22
_ZONED = re.compile(r"since\s+\S+?[T ]\s*\d.*([Zz]|UTC|GMT|[+-]\d\d?(:?\d\d)?)$")
_LAT, _LON = ("lat", "latitude"), ("lon", "longitude")


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add("--features", nargs="+", help="arrays to take (default: all over time and detector)")
    add("--time-dimension", default="time", help="(default: %(default)s)")
    add("--id-dimension", help="dimension of the detectors (default: the other one)")


def read(args: Namespace) -> Feed:
    """The feed of the arrays; units are those of their attributes, and positions those of
    coordinates ``lat`` and ``lon`` over the detectors, if there are. Times are on the local clock,
    or in UTC if the moment that they count from has an offset.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: if it is none, or lacks what is asked for.
    """
    data = _open(args.raw)
    time, dimension = args.time_dimension, _id_dimension(args, data)
    shape = {time, dimension}
    found = [str(name) for name, array in data.data_vars.items() if set(array.dims) == shape]
    features = args.features or found
    unknown = sorted(set(features) - set(found))
    if unknown or not features:
        raise KeyError(
            f"'{args.raw}' has no arrays {unknown or 'at all'} over {sorted(shape)}; it has "
            f"{found}. Set --features."
        )
    times = data[time].values
    if times.dtype.kind != "M":
        raise ValueError(f"Expected times along {time!r} of '{args.raw}' (got {times.dtype}).")
    is_local = not _ZONED.search(str(data[time].encoding.get("units", "")).strip())
    vdids = [str(vdid) for vdid in data[dimension].values.tolist()]

    def blocks() -> Iterator[Block]:
        size = max(1, _PIECE_CELLS // max(1, len(vdids) * len(features)))
        for start in range(0, len(times), size):
            rows = slice(start, start + size)
            parts = [data[f].transpose(time, dimension)[rows].values for f in features]
            values = np.stack(parts, axis=-1).astype(np.float32)
            yield Block(times[rows], vdids, tuple(features), values, None, is_local, args.raw)

    units = {f: str(data[f].attrs["units"]) for f in features if "units" in data[f].attrs}
    table = None if args.detectors else _table(args.raw, data, dimension, vdids)
    return Feed(
        blocks(),
        features,
        units,
        detectors=(lambda: table) if table is not None else None,
        read=f"{', '.join(features)} of '{Path(args.raw).name}'",
    )


def _open(path: str) -> "xarray.Dataset":
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'.")
    try:
        import xarray
    except ImportError as error:
        raise ValueError(
            f"pip install 'socialgraph[feeds]' to read '{path}', or save it as CSV."
        ) from error
    try:
        return xarray.open_dataset(path, engine="h5netcdf")
    except Exception as error:  # of libraries, which raise all kinds over damaged files
        raise ValueError(f"'{path}' is no NetCDF 4 file, or is damaged: {error}") from error


def _id_dimension(args: Namespace, data: "xarray.Dataset") -> str:
    others = [str(name) for name in data.sizes if name != args.time_dimension]
    chosen = args.id_dimension or (others[0] if len(others) == 1 else None)
    if args.time_dimension not in data.sizes or chosen not in others:
        raise KeyError(
            f"'{args.raw}' has the dimensions {[str(name) for name in data.sizes]}. Set "
            "--time-dimension and --id-dimension to two of them."
        )
    return chosen


def _table(
    path: str, data: "xarray.Dataset", dimension: str, vdids: list[str]
) -> DetectorTable | None:
    places = [
        next((data[n] for n in names if n in data and data[n].dims == (dimension,)), None)
        for names in (_LAT, _LON)
    ]
    known = [place for place in places if place is not None]
    if len(known) < 2:
        return None
    lat, lon = ([repr(float(v)) for v in place.values] for place in known)
    return table_from_columns(path, {"id": vdids, "lat": lat, "lon": lon})
