"""Positions, lengths and directions on the WGS84 ellipsoid."""

import numpy as np
from pyproj import Geod, Proj, Transformer

from socialgraph.graph.builder import Detectors, name_some

__all__ = ["geodesics", "project", "space_coordinates", "valid_positions"]

_WGS84 = Geod(ellps="WGS84")
_GEOCENTRIC = Transformer.from_pipeline("+proj=cart +ellps=WGS84")


def project(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    r"""Mercator XY in metres on the ground, with the origin at the network's mean position.

    Mercator stretches lengths by :math:`1 / \cos(\text{lat})`. The projection (WGS84 ellipsoid) is
    scaled to be true at the network's mean latitude (`lat_ts
    <https://proj.org/operations/projections/merc.html>`_); one degree of latitude away from it the
    error is 1 to 2 %. The origin keeps millimetres in float32.

    Args:
        lat: latitudes in degrees ``[N]``.
        lon: longitudes in degrees ``[N]``; they may lie on both sides of the 180th meridian.

    Returns:
        Positions ``[N, 2]`` in metres, float64; NaN if ``lat`` or ``lon`` is not finite or no
        place on earth.
    """
    lat, lon = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
    valid = np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) < 90) & (np.abs(lon) <= 180)
    pos = np.full((len(lat), 2), np.nan)
    if not valid.any():
        return pos
    angle = np.deg2rad(lon[valid])
    lon_0 = np.rad2deg(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean()))
    mercator = Proj(proj="merc", ellps="WGS84", lat_ts=lat[valid].mean(), lon_0=lon_0)
    pos[valid] = np.column_stack(mercator(lon[valid], lat[valid]))
    return pos - pos[valid].mean(axis=0)


def valid_positions(detectors: Detectors) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes ``[N]`` of all detectors in degrees, float64.

    Raises:
        ValueError: if there are more or fewer positions than ids, or a position is not finite or
            no place on earth.
    """
    lat = np.asarray(detectors.lat, dtype=np.float64)
    lon = np.asarray(detectors.lon, dtype=np.float64)
    names = detectors.vdids
    if lat.shape != (len(names),) or lon.shape != (len(names),):
        raise ValueError(
            f"Expected one 'lat' and one 'lon' for each of the {len(names)} detectors (got shapes "
            f"{lat.shape} and {lon.shape})."
        )
    outside = ~((np.abs(lat) <= 90) & (np.abs(lon) <= 180))  # a NaN is bad too
    bad = np.flatnonzero(outside).tolist()
    if len(bad):
        first = bad[0]
        raise ValueError(
            f"{len(bad)} of {len(names)} detectors have no valid position: "
            f"{name_some(names[i] for i in bad)}. Expected a latitude within 90 and a longitude "
            f"within 180 degrees (got {lat[first]}, {lon[first]} for '{names[first]}'). Give them "
            "positions ('python -m data_prep backfill' writes them into a file), or leave these "
            "detectors out."
        )
    return lat, lon


def space_coordinates(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Metres from the centre of the earth ``[N, 3]`` of places on the ellipsoid."""
    return np.column_stack(_GEOCENTRIC.transform(lon, lat, np.zeros_like(lat)))


def geodesics(
    lat: np.ndarray, lon: np.ndarray, here: np.ndarray, there: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shortest lines on the ellipsoid between pairs of places.

    Args:
        lat, lon: places in degrees ``[N]``.
        here, there: indices of both ends of each line ``[E]``.

    Returns:
        Metres ``[E]``, rounded to a micrometre, so that a length is the same from both ends and
        everywhere along a parallel; metres (east, north) ``[E, 2]`` to ``there`` as seen from
        ``here``; and to ``here`` as seen from ``there``.
    """
    towards, back, distance = _WGS84.inv(lon[here], lat[here], lon[there], lat[there])
    distance = distance.round(6)
    return distance, _offset(towards, distance), _offset(back, distance)


def _offset(azimuth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    angle = np.deg2rad(azimuth)
    return distance[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])  # [E, 2]
