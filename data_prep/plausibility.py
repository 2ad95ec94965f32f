"""Positions that cannot be right: no place on earth, exchanged, far from all others."""

import numpy as np

__all__ = ["distance_to_median", "far_limit", "is_impossible", "is_swapped", "looks_exchanged"]

_EARTH_RADIUS = 6_371_008.8  # metres
_FAR_METRES = 50_000.0
_FAR_FACTOR = 10.0


def is_impossible(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """True where a position in degrees is out of range, a pole, or 0, 0; False where it is NaN."""
    impossible = (np.abs(lat) >= 90) | (np.abs(lon) > 180) | ((lat == 0) & (lon == 0))
    return impossible & ~np.isnan(lat) & ~np.isnan(lon)


def looks_exchanged(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """True where a position is impossible, and possible with latitude and longitude exchanged."""
    return is_impossible(lat, lon) & ~is_impossible(lon, lat)


def distance_to_median(
    lat: np.ndarray, lon: np.ndarray, network: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Great-circle distance to the median position of a network, in metres ``[N]``.

    Args:
        lat: latitudes in degrees ``[N]``; NaN gives NaN.
        lon: longitudes in degrees ``[N]``; they may lie on both sides of the 180th meridian.
        network: latitudes and longitudes whose median is meant; None means these positions.
    """
    net_lat, net_lon = (lat, lon) if network is None else network
    known = np.isfinite(net_lat + net_lon)
    if not known.any():
        return np.full(len(lat), np.nan)
    net_lat, net_lon = net_lat[known], net_lon[known]
    angle = np.deg2rad(net_lon)
    middle = np.rad2deg(np.arctan2(np.mean(np.sin(angle)), np.mean(np.cos(angle))))
    median_lon = middle + np.median((net_lon - middle + 180) % 360 - 180)
    phi, phi_0 = np.deg2rad(lat), np.deg2rad(np.median(net_lat))
    haversine = (
        np.sin((phi - phi_0) / 2) ** 2
        + np.cos(phi) * np.cos(phi_0) * np.sin(np.deg2rad(lon - median_lon) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))


def far_limit(distance: np.ndarray) -> float:
    """Distance in metres from which a detector counts as far away: 10 medians, at least 50 km."""
    return max(_FAR_METRES, _FAR_FACTOR * float(np.nanmedian(distance)))


def is_swapped(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """True where a position is far from the network, and near it with lat and lon exchanged."""
    if not np.isfinite(lat + lon).any():
        return np.zeros(len(lat), dtype=bool)
    distance = distance_to_median(lat, lon)
    limit = far_limit(distance)
    exchanged = distance_to_median(lon, lat, network=(lat, lon))
    return (distance > limit) & (exchanged <= limit) & ~is_impossible(lon, lat)
