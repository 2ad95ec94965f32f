"""Places that are written as shapes: GeoJSON, shapefiles and GeoPackages, WKT; and projections."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

__all__ = ["is_geo", "is_in_degrees", "middle_of", "read_geo", "to_degrees"]

_PAIR = re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s+(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
# Degrees around the area of use of a system. All of Norway uses zone 33, 13 degrees beyond it.
_NEAR, _FAR = 1.0, 20.0
_FILES = (".shp", ".gpkg", ".fgb")


def is_geo(path: str | Path) -> bool:
    """Whether a file is GeoJSON, a shapefile, a GeoPackage or FlatGeobuf, by its ending."""
    return Path(path).suffix.lower() in (".geojson", ".json", *_FILES)


def read_geo(path: str | Path, crs: str | None) -> tuple[dict[str, list[str]], str | None]:
    """Columns of a file of shapes as texts, with ``latitude`` and ``longitude`` of the middle of
    each, and the system of these coordinates (None for degrees).

    Args:
        path: the file.
        crs: its system, if it is not the one that the file says.

    Raises:
        ValueError: if it cannot be read.
    """
    if Path(path).suffix.lower() in _FILES:
        return _read_layer(path, crs)
    try:
        document = json.loads(Path(path).read_bytes())
        features = document["features"]
        said = document.get("crs", {}).get("properties", {}).get("name")
        rows = [{"id": f.get("id"), **(f.get("properties") or {})} for f in features]
        points = [list(_pairs((f.get("geometry") or {}).get("coordinates"))) for f in features]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"'{path}' is no GeoJSON with features and coordinates.") from error
    return _columns(rows, points), crs or (said if said and "CRS84" not in said else None)


def middle_of(path: str | Path, shapes: list[str]) -> dict[str, list[str]]:
    """Columns ``latitude`` and ``longitude`` of the mean of the points of WKT texts.

    Raises:
        ValueError: if a text has no coordinates.
    """
    points = [[(float(x), float(y)) for x, y in _PAIR.findall(text)] for text in shapes]
    bad = [text for text, pairs in zip(shapes, points, strict=True) if text and not pairs]
    if bad:
        raise ValueError(f"Expected WKT such as POINT (121.5 25.0) in '{path}' (got {bad[0]!r}).")
    return _middles(points)


def to_degrees(y: np.ndarray, x: np.ndarray, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (WGS84) of coordinates of another system, NaN if unknown.

    Coordinates that are no places of the system, such as a code for missing ones, stay as they are
    if they cannot be taken for degrees.

    Raises:
        ValueError: if there is no such system, or most places are not in it.
    """
    try:
        system = CRS.from_user_input(crs)
        transformer = Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    except CRSError as error:
        raise ValueError(f"Expected --crs such as EPSG:3826 (got {crs!r}): {error}") from error
    lon, lat = map(np.asarray, transformer.transform(x, y))
    other_lon, other_lat = map(np.asarray, transformer.transform(y, x))
    finite = np.isfinite(x) & np.isfinite(y)
    known = finite & ((x != 0) | (y != 0))
    small = known & (np.abs(y) <= 90) & (np.abs(x) <= 180)
    degrees = small & _is_in_metres(system)
    exchanged = known & _is_within(system, other_lat, other_lon, _NEAR)
    exchanged &= ~_is_within(system, lat, lon, _NEAR)
    outside = known & (degrees | exchanged | ~_is_within(system, lat, lon, _FAR))
    wrong = outside if outside.sum() > known.sum() / 2 else outside & small
    if wrong.any():
        advice = "Set --crs to their system."
        if degrees[wrong].all():
            advice = "They look like degrees: set --crs EPSG:4326."
        elif exchanged[wrong].all():
            advice = "They look swapped: exchange --lat-column (y) and --lon-column (x)."
        raise ValueError(
            f"{wrong.sum()} of {known.sum()} coordinates, such as x {x[wrong][0]:.10g}, "
            f"y {y[wrong][0]:.10g}, are no places of {crs} ({system.name}). {advice}"
        )
    kept = outside | (finite & ~known)
    lat, lon = np.where(kept, y, lat), np.where(kept, x, lon)
    return np.where(finite, lat, np.nan), np.where(finite, lon, np.nan)


def is_in_degrees(crs: str | None) -> bool:
    """Whether coordinates of a system are degrees, as those of None are; False if there is no such
    system."""
    try:
        return crs is None or CRS.from_user_input(crs).is_geographic
    except CRSError:
        return False


def _is_in_metres(system: CRS) -> bool:
    return system.is_projected and system.axis_info[0].unit_name != "kilometre"


def _is_within(system: CRS, lat: np.ndarray, lon: np.ndarray, margin: float) -> np.ndarray:
    """Whether places are in the area where a system is used, or near; all are if none is known."""
    area = system.area_of_use
    finite = np.isfinite(lat) & np.isfinite(lon)
    if area is None:
        return finite
    width = (area.east - area.west) % 360 or 360  # an area may go beyond 180 degrees
    east = (np.where(finite, lon, 0) - area.west + margin) % 360 <= width + 2 * margin
    return finite & east & (lat >= area.south - margin) & (lat <= area.north + margin)


def _pairs(coordinates: object) -> Iterator[tuple[float, float]]:
    """All points of coordinates that are nested to any depth."""
    if not isinstance(coordinates, list) or not coordinates:
        return
    if isinstance(coordinates[0], list):
        for part in coordinates:
            yield from _pairs(part)
    else:
        yield float(coordinates[0]), float(coordinates[1])


def _columns(rows: list[dict], points: list[list[tuple]]) -> dict[str, list[str]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [_text(row.get(name)) for row in rows] for name in names}
    if not any(columns.get("id", ())):
        columns.pop("id", None)
    return columns | _middles(points)


def _middles(points: list[list[tuple[float, float]]]) -> dict[str, list[str]]:
    """Columns ``latitude`` and ``longitude`` of the means of points."""
    means = [np.mean(pairs, axis=0).tolist() if pairs else [None, None] for pairs in points]
    return {
        "latitude": [_text(mean[1]) for mean in means],
        "longitude": [_text(mean[0]) for mean in means],
    }


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _read_layer(path: str | Path, crs: str | None) -> tuple[dict[str, list[str]], str | None]:
    try:
        import shapely
        from pyogrio import list_layers, raw
        from pyogrio.errors import DataSourceError
    except ImportError as error:
        raise ValueError(
            f"pip install 'socialgraph[feeds]' to read '{path}', or save it as CSV or GeoJSON."
        ) from error
    try:
        layers = [name for name, shape in list_layers(str(path)) if shape is not None]
        if len(layers) > 1:
            raise ValueError(
                f"Expected one layer of places in '{path}' (got {', '.join(map(repr, layers))}). "
                "Save the one of the detectors as a file of its own."
            )
        meta, _, shapes, values = raw.read(str(path), layer=layers[0] if layers else None)
    except DataSourceError as error:
        raise ValueError(f"'{path}' cannot be read: {error}") from error
    names, lists = meta["fields"].tolist(), [column.tolist() for column in values]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
    found = shapely.from_wkb(shapes)
    points = [
        [] if shape is None else [tuple(xy) for xy in shapely.get_coordinates(shape)]
        for shape in found
    ]
    return _columns(rows or [{} for _ in points], points), crs or meta["crs"]
