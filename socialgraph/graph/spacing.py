"""How far apart detectors stand."""

import numpy as np
from scipy.spatial import cKDTree

from socialgraph.graph.geodesy import project

__all__ = ["local_spacing"]

_NEAREST = 3
_SAME_PLACE = 10.0  # metres, as of the lanes or directions of one site


def local_spacing(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Mean distance from each detector to the three nearest other places.

    Detectors within 10 m are one place; with fewer other places those that there are count.

    Args:
        lat, lon: positions in degrees ``[N]``.

    Returns:
        Metres ``[N]``; NaN for a detector without a position, and where there is one place only.
    """
    pos = project(lat, lon)
    placed = np.isfinite(pos).all(axis=1)
    spacing = np.full(len(pos), np.nan)
    if not placed.any():
        return spacing
    squares = np.rint(pos[placed] / _SAME_PLACE)
    _, first, own = np.unique(squares, axis=0, return_index=True, return_inverse=True)
    if len(first) < 2:
        return spacing
    places = pos[placed][first]
    apart = cKDTree(places).query(places, k=min(_NEAREST, len(places) - 1) + 1)[0]
    spacing[placed] = apart[:, 1:].mean(axis=1)[own.ravel()]
    return spacing
