"""Graphs of all detectors within a radius: on the ellipsoid, and in a plane."""

import numpy as np
from scipy.spatial import cKDTree

from socialgraph.graph.builder import (
    Detectors,
    Graph,
    GraphBuilder,
    check_metres,
    check_neighbors,
    order_edges,
)
from socialgraph.graph.geodesy import geodesics, space_coordinates, valid_positions
from socialgraph.graph.spacing import local_spacing

__all__ = ["RadiusGraph", "build_radius_graph"]


class RadiusGraph(GraphBuilder):
    """All pairs of detectors within a radius on the ground, anywhere on earth.

    Lengths and directions are those of the geodesic on the WGS84 ellipsoid (Karney, `Algorithms for
    geodesics <https://doi.org/10.1007/s00190-012-0578-z>`_), to a micrometre. A straight line
    through the earth is never longer, so a KD-tree in space finds every pair first.

    Args:
        max_radius: longest edge in metres; a pair exactly this far apart is joined.
        max_num_neighbors: how many senders a receiver keeps, the nearest first (equal distances:
            the lower index first); None keeps all. With a cap, an edge may lack its reverse.
        spacing: metres that the usual distance between detectors counts as, the median of
            :func:`local_spacing`. All lengths are then told at this scale, ``max_radius`` is in it,
            and so is a radius of the pooling: it reaches as many detectors in a town as on a
            freeway. None for true metres.

    Raises:
        ValueError: if an option is out of range.
    """

    def __init__(
        self,
        max_radius: float = 2000.0,
        max_num_neighbors: int | None = None,
        spacing: float | None = None,
    ) -> None:
        check_metres("max_radius", max_radius)
        check_neighbors(max_num_neighbors)
        if spacing is not None:
            check_metres("spacing", spacing)
        self.max_radius = max_radius
        self.max_num_neighbors = max_num_neighbors
        self.spacing = spacing

    def build(self, detectors: Detectors) -> Graph:
        """Join ``detectors``; one without a neighbour has no edge.

        Raises:
            ValueError: if a detector has no valid position.
        """
        lat, lon = valid_positions(detectors)
        stretch = self._stretch(lat, lon)
        reach = self.max_radius / stretch
        # One millimetre more than the radius, for the rounding of coordinates in space.
        here, there = _pairs(space_coordinates(lat, lon), reach + 1e-3)
        distance, there_from_here, here_from_there = geodesics(lat, lon, here, there)
        near = np.tile(distance <= reach, 2)
        sender = np.concatenate([there, here])[near]
        receiver = np.concatenate([here, there])[near]
        distance = np.tile(distance, 2)[near]
        offset = np.concatenate([there_from_here, here_from_there])[near]
        kept = order_edges(sender, receiver, distance, self.max_num_neighbors)
        edge_index = np.stack([sender[kept], receiver[kept]])
        return Graph(edge_index, stretch * distance[kept], stretch * offset[kept])

    def _stretch(self, lat: np.ndarray, lon: np.ndarray) -> float:
        """What a metre on the ground counts as."""
        own = local_spacing(lat, lon)
        if self.spacing is None or np.isnan(own).all():
            return 1.0
        return self.spacing / float(np.nanmedian(own))


def build_radius_graph(
    pos: np.ndarray, radius: float, max_num_neighbors: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Edges between all points of a plane within ``radius`` of each other.

    For positions in metres, as of pedestrians; detectors with latitude and longitude have
    :class:`RadiusGraph`.

    Args:
        pos: positions ``[N, 2]`` in metres.
        radius: longest edge in metres; a pair exactly this far apart is joined.
        max_num_neighbors: as in :class:`RadiusGraph`.

    Returns:
        ``edge_index`` ``[2, E]`` int64, senders in row 0 and receivers in row 1, sorted by receiver
        and then sender, without self loops; and the edge lengths ``[E]`` in metres, float64.

    Raises:
        ValueError: if ``pos`` is not a finite ``[N, 2]`` array, or an option is out of range.
    """
    pos = np.asarray(pos, dtype=np.float64)
    if pos.ndim != 2 or pos.shape[1] != 2 or not np.isfinite(pos).all():
        raise ValueError(
            f"Expected 'pos' as finite metres of shape [N, 2] (got shape {pos.shape})."
        )
    check_metres("radius", radius)
    check_neighbors(max_num_neighbors)
    # Somewhat more than the radius, whose square the tree compares after rounding it.
    here, there = _pairs(pos, radius * (1 + 1e-9))
    distance = np.linalg.norm(pos[here] - pos[there], axis=1)
    near = np.tile(distance <= radius, 2)
    sender = np.concatenate([here, there])[near]
    receiver = np.concatenate([there, here])[near]
    distance = np.tile(distance, 2)[near]
    kept = order_edges(sender, receiver, distance, max_num_neighbors)
    return np.stack([sender[kept], receiver[kept]]), distance[kept]


def _pairs(pos: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of every pair of points within ``radius``, each pair once."""
    pairs = cKDTree(pos).query_pairs(radius, output_type="ndarray").astype(np.int64)  # [P, 2]
    return pairs[:, 0], pairs[:, 1]
