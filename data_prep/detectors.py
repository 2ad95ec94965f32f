"""The table of detectors: ids, positions, and whatever else it knows."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.report import enumerate_first
from data_prep.tables import check_columns, read_blocks, read_header

__all__ = ["DetectorTable", "read_detectors"]

_ID_NAMES = ("sensor_id", "vdid", "detector_id", "station_id", "id")
_LAT_NAMES = ("latitude", "lat")
_LON_NAMES = ("longitude", "lon", "lng")
_HEADERLESS = ["sensor_id", "latitude", "longitude"]
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")  # no leading zero, which an id may have
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_ABSENT = {"", "na", "n/a", "nan", "null", "none"}


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
    """

    path: str
    vdids: list[str]
    lat: np.ndarray
    lon: np.ndarray
    lat_columns: list[str]
    lon_columns: list[str]
    info: dict[str, dict]


def read_detectors(
    path: str | Path,
    id_column: str | None = None,
    lat_columns: Sequence[str] | None = None,
    lon_columns: Sequence[str] | None = None,
    delimiter: str = ",",
) -> DetectorTable:
    """Read a CSV table of detectors, with or without a header.

    Args:
        path: the file; without header its three columns are id, latitude, longitude, called
            ``sensor_id``, ``latitude`` and ``longitude``.
        id_column: column of the ids; None looks for one of the usual names.
        lat_columns: columns of latitude in degrees, one for each point of a detector.
        lon_columns: columns of longitude, in the order of ``lat_columns``.
        delimiter: character between two cells.

    Raises:
        KeyError: if a column is absent.
        ValueError: if an id occurs twice, or a coordinate is no number.
    """
    header = read_header(path, delimiter)
    names = _HEADERLESS if len(header) == 3 and all(map(_is_number, header[1:])) else None
    header = names or header
    id_column = id_column or _guess(path, header, _ID_NAMES, "--detector-id-column")
    lat_columns = list(lat_columns or [_guess(path, header, _LAT_NAMES, "--lat-column")])
    lon_columns = list(lon_columns or [_guess(path, header, _LON_NAMES, "--lon-column")])
    if len(lat_columns) != len(lon_columns):
        raise ValueError(
            f"Expected as many --lat-column as --lon-column (got {lat_columns} and {lon_columns})."
        )
    wanted = {id_column: "--detector-id-column"} | dict.fromkeys(lat_columns, "--lat-column")
    check_columns(path, header, wanted | dict.fromkeys(lon_columns, "--lon-column"))
    columns = _read_texts(path, list(dict.fromkeys(header)), delimiter, names)
    vdids = _unique(path, columns[id_column])
    used = {id_column, ""} | (set() if len(lat_columns) > 1 else {*lat_columns, *lon_columns})
    return DetectorTable(
        path=str(path),
        vdids=vdids,
        lat=_degrees(path, vdids, columns, lat_columns),
        lon=_degrees(path, vdids, columns, lon_columns),
        lat_columns=lat_columns,
        lon_columns=lon_columns,
        info=_info(vdids, {name: columns[name] for name in columns if name not in used}),
    )


def _guess(path: str | Path, header: Sequence[str], names: Sequence[str], option: str) -> str:
    lowered = {name.lower(): name for name in header}
    for name in names:
        if name in lowered:
            return lowered[name]
    raise KeyError(f"'{path}' has no column called {names}; it has {list(header)}. Set {option}.")


def _unique(path: str | Path, vdids: list[str]) -> list[str]:
    twice = [vdid for vdid, count in Counter(vdids).items() if count > 1]
    if twice or not vdids:
        problem = (
            f"{len(twice)} occur twice: {enumerate_first(twice)}" if twice else "it has no rows"
        )
        raise ValueError(f"Expected '{path}' to have one row for each id; {problem}.")
    return vdids


def _read_texts(
    path: str | Path, columns: list[str], delimiter: str, names: list[str] | None
) -> dict[str, list[str]]:
    blocks = list(read_blocks(path, columns, (), delimiter, names))
    return {
        name: [text.strip() for block in blocks for text in block.column(name).to_pylist()]
        for name in columns
    }


def _degrees(
    path: str | Path, vdids: list[str], columns: dict[str, list[str]], names: list[str]
) -> np.ndarray:
    degrees = np.full((len(vdids), len(names)), np.nan)
    for index, name in enumerate(names):
        for row, text in enumerate(columns[name]):
            if _is_number(text):
                degrees[row, index] = float(text)
            elif text.lower() not in _ABSENT:
                raise ValueError(
                    f"Expected degrees in column {name!r} of '{path}' (got {text!r} for "
                    f"{vdids[row]!r}). Correct the cell, or leave it empty if unknown."
                )
    return degrees


def _info(vdids: list[str], columns: dict[str, list[str]]) -> dict[str, dict]:
    typed = {name: _typed(texts) for name, texts in columns.items()}
    return {
        vdid: {name: values[row] for name, values in typed.items() if values[row] != ""}
        for row, vdid in enumerate(vdids)
    }


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
