"""The table of detectors: ids, positions, and whatever else it knows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.report import enumerate_first
from data_prep.shapes import is_geo, is_in_degrees, middle_of, read_geo, to_degrees
from data_prep.table_numbers import doubtful_cell, find_decimal
from data_prep.tables import TableFormat, check_columns, open_table

__all__ = ["DetectorTable", "read_columns", "read_detectors", "table_from_columns"]

_ID_NAMES = ("sensor_id", "vdid", "detector_id", "station_id", "detid", "id", "detector")
_LAT_NAMES = ("latitude", "lat")
_LON_NAMES = ("longitude", "long", "lon", "lng")
_HEADERLESS = ("sensor_id", "latitude", "longitude")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")  # no leading zero, which an id may have
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_ABSENT = {"", "na", "n/a", "nan", "null", "none", "-", "--"}


@dataclass
class DetectorTable:
    """Detectors with the coordinates of one or more points each.

    Args:
        path: file of the table.
        vdids: ids ``[M]``.
        lat: latitudes in degrees ``[M, K]``, NaN if the table has none.
        lon: longitudes in degrees ``[M, K]``.
        lat_columns: their columns ``[K]``.
        lon_columns: their columns ``[K]``.
        info: further columns of each detector.
        num_repeated: rows that had the id and the place of another one.
    """

    path: str
    vdids: list[str]
    lat: np.ndarray
    lon: np.ndarray
    lat_columns: list[str]
    lon_columns: list[str]
    info: dict[str, dict]
    num_repeated: int = 0


def read_detectors(
    path: str | Path,
    id_column: str | None = None,
    lat_columns: Sequence[str] | None = None,
    lon_columns: Sequence[str] | None = None,
    table_format: TableFormat | None = None,
    crs: str | None = None,
) -> DetectorTable:
    """Read a table of detectors: CSV with or without a line of names, Excel, Parquet, GeoJSON,
    a shapefile or GeoPackage, or a table with a column of WKT.

    Args:
        path: the file; without names its three columns are id, latitude, longitude, called
            ``sensor_id``, ``latitude`` and ``longitude``.
        id_column: column of the ids; None looks for one of the usual names.
        lat_columns: columns of latitude, one for each point of a detector.
        lon_columns: columns of longitude, in the order of ``lat_columns``.
        table_format: how a CSV is written; None finds it.
        crs: system of the coordinates, such as ``EPSG:3826``; None for degrees (WGS84), or what
            the file says.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError: if a column is absent.
        ValueError: if an id has several places, a coordinate is no number, or the file cannot be
            read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'. Set --detectors to a table of the detectors.")
    decimal: str | None = "."
    if is_geo(path):
        columns, crs = read_geo(path, crs)
    else:
        columns, decimal = read_columns(path, table_format or TableFormat())
    return table_from_columns(path, columns, id_column, lat_columns, lon_columns, crs, decimal)


def table_from_columns(
    path: str | Path,
    columns: dict[str, list[str]],
    id_column: str | None = None,
    lat_columns: Sequence[str] | None = None,
    lon_columns: Sequence[str] | None = None,
    crs: str | None = None,
    decimal: str | None = ".",
) -> DetectorTable:
    """The table of columns of texts; see :func:`read_detectors`, which raises the same.

    Args:
        path, columns, id_column, lat_columns, lon_columns, crs: as there.
        decimal: mark before the fraction of a coordinate; None finds it.
    """
    header = list(columns)
    id_column = id_column or _guess(path, header, _ID_NAMES, "--detector-id-column")
    check_columns(path, header, {id_column: "--detector-id-column"})
    vdids = columns[id_column]
    if not vdids:
        raise ValueError(f"Expected '{path}' to have one row for each id; it has no rows.")
    if lat_columns is None and lon_columns is None and (shapes := _shape_column(columns)):
        columns = columns | middle_of(path, columns.pop(shapes))
        header = list(columns)
    lat_columns = list(lat_columns or [_guess(path, header, _LAT_NAMES, "--lat-column")])
    lon_columns = list(lon_columns or [_guess(path, header, _LON_NAMES, "--lon-column")])
    if len(lat_columns) != len(lon_columns):
        raise ValueError(
            f"Expected as many --lat-column as --lon-column (got {lat_columns} and {lon_columns})."
        )
    check_columns(path, header, dict.fromkeys(lat_columns, "--lat-column"))
    check_columns(path, header, dict.fromkeys(lon_columns, "--lon-column"))
    if decimal is None:
        cells = {name: columns[name] for name in (*lat_columns, *lon_columns)}
        decimal = _find_decimal(path, cells, is_degrees=is_in_degrees(crs))
    lat = _degrees(path, vdids, columns, lat_columns, decimal)
    lon = _degrees(path, vdids, columns, lon_columns, decimal)
    if crs is not None:
        lat, lon = to_degrees(lat, lon, crs)
    used = {id_column, ""} | (set() if len(lat_columns) > 1 else {*lat_columns, *lon_columns})
    _refuse_moving(path, vdids, lat, lon)
    first = sorted(np.unique(vdids, return_index=True)[1].tolist())
    info = _info(vdids, {name: columns[name] for name in columns if name not in used})
    return DetectorTable(
        str(path),
        [vdids[row] for row in first],
        lat[first],
        lon[first],
        lat_columns,
        lon_columns,
        info,
        len(vdids) - len(first),
    )


def read_columns(
    path: str | Path, table_format: TableFormat
) -> tuple[dict[str, list[str]], str | None]:
    """The columns of a table of detectors as texts, and the mark before a fraction in them, if it
    is known.

    Raises:
        ValueError: if it cannot be read.
    """
    table = open_table(path, table_format)
    decimal = table.format.decimal
    if len(table.header) == 3 and all(
        _is_number(n.replace(decimal or ",", ".")) for n in table.header[1:]
    ):
        table = open_table(path, replace(table_format, names=_HEADERLESS))
    names = list(dict.fromkeys(table.header))
    pieces = list(table.pieces(names, ()))
    columns = {name: [text for piece in pieces for text in piece[name]] for name in names}
    return columns, decimal


def _find_decimal(path: str | Path, columns: dict[str, list[str]], is_degrees: bool) -> str:
    """The mark before the fraction of coordinates. In degrees it is never between thousands."""
    mark, cell = find_decimal(text for texts in columns.values() for text in texts)
    if cell is not None and not is_degrees:
        otherwise = "write the coordinates without marks between thousands"
        raise doubtful_cell(f"the coordinates of '{path}'", cell, otherwise, "--detector-decimal")
    return mark or ("," if cell and "," in cell else ".")


def _guess(path: str | Path, header: Sequence[str], names: Sequence[str], option: str) -> str:
    lowered = {name.lower(): name for name in header}
    for name in names:
        if name in lowered:
            return lowered[name]
    raise KeyError(
        f"'{path}' has no column called {tuple(names)}; it has {list(header)}. Set {option}."
    )


def _shape_column(columns: dict[str, list[str]]) -> str | None:
    """The column of WKT, if there is no column of latitude and one column is WKT throughout."""
    if {name.lower() for name in columns} & {*_LAT_NAMES}:
        return None
    shape = re.compile(r"(SRID=\d+;)?\s*(MULTI)?(POINT|LINESTRING|POLYGON)\s*Z?\s*\(", re.I)
    found = [
        name
        for name, texts in columns.items()
        if any(texts) and all(shape.match(text) for text in texts if text)
    ]
    return found[0] if len(found) == 1 else None


def _refuse_moving(path: str | Path, vdids: list[str], lat: np.ndarray, lon: np.ndarray) -> None:
    """Require that all rows of an id, such as those of its lanes, are at one place."""
    places: dict[str, set] = {}
    for vdid, *place in zip(vdids, np.nan_to_num(lat), np.nan_to_num(lon), strict=True):
        places.setdefault(vdid, set()).add(tuple(np.concatenate(place).tolist()))
    moving = [vdid for vdid, known in places.items() if len(known) > 1]
    if moving:
        raise ValueError(
            f"Expected '{path}' to have one place for each id; {len(moving)} occur twice at other "
            f"places: {enumerate_first(moving)}. Leave one row of each, or set "
            "--detector-id-column if another column tells them apart."
        )


def _degrees(
    path: str | Path,
    vdids: list[str],
    columns: dict[str, list[str]],
    names: list[str],
    decimal: str,
) -> np.ndarray:
    degrees = np.full((len(vdids), len(names)), np.nan)
    for index, name in enumerate(names):
        for row, text in enumerate(columns[name]):
            plain = text.replace(decimal, ".")
            if _is_number(plain):
                degrees[row, index] = float(plain)
            elif text.lower() not in _ABSENT:
                advice = "Correct the cell, or leave it empty if unknown."
                if "," in text and decimal != ",":
                    advice = "If the comma stands before the fraction set --detector-decimal ','."
                raise ValueError(
                    f"Expected degrees in column {name!r} of '{path}' (got {text!r} for "
                    f"{vdids[row]!r}). {advice}"
                )
    return degrees


def _info(vdids: list[str], columns: dict[str, list[str]]) -> dict[str, dict]:
    """What is known of each id, where all its rows say the same."""
    typed = {name: _typed(texts) for name, texts in columns.items()}
    info: dict[str, dict] = {}
    for row, vdid in enumerate(vdids):
        own = {name: values[row] for name, values in typed.items()}
        known = info.setdefault(vdid, own)
        info[vdid] = {name: value for name, value in known.items() if own[name] == value}
    return {v: {n: value for n, value in own.items() if value != ""} for v, own in info.items()}


def _typed(texts: list[str]) -> list[str | int | float]:
    for pattern, convert in ((_INTEGER, int), (_DECIMAL, float)):
        if all(pattern.fullmatch(text) for text in texts if text):
            return [convert(text) if text else text for text in texts]
    return list(texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
