"""How far apart detectors stand."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from socialgraph.graph.geodesy import project

__all__ = ["local_spacing"]

_NEAREST = 3
_SAME_PLACE = 10.0  # metres, as of the lanes or directions of one site


def local_spacing(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Mean distance from each detector to the three nearest other places.

    Detectors within 10 m, and those that others join in that way, are one place, which is at their
    mean; with fewer other places those that there are count.

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
    tree = cKDTree(pos[placed])
    pairs = tree.query_pairs(_SAME_PLACE, output_type="ndarray")
    joined = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(tree.n, tree.n))
    num_places, own = connected_components(joined, directed=False)
    if num_places < 2:
        return spacing
    sums = np.stack([np.bincount(own, axis) for axis in pos[placed].T], axis=1)
    places = sums / np.bincount(own)[:, None]
    apart = cKDTree(places).query(places, k=min(_NEAREST, num_places - 1) + 1)[0]
    spacing[placed] = apart[:, 1:].mean(axis=1)[own]
    return spacing
