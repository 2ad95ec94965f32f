"""Graphs of detectors that are near by road, in the direction of traffic."""

import logging
import warnings
from typing import get_args

import numpy as np

from socialgraph.graph.builder import (
    Detectors,
    Graph,
    GraphBuilder,
    check_metres,
    check_neighbors,
    name_some,
    order_edges,
)
from socialgraph.graph.geodesy import geodesics, valid_positions
from socialgraph.graph.road_table import Keys, Rows, match_detectors, read_road_table

__all__ = ["RoadGraph"]

_log = logging.getLogger(__name__)


class RoadGraph(GraphBuilder):
    """Pairs of detectors that are near by road: an edge goes from upstream to downstream.

    The sender is the start of the trip and the receiver its end. Lengths come from a table, or from
    the traffic file itself; offsets are straight lines between the positions.

    A table is a CSV (also ``.gz``) of either form:

    - a list ``from, to, length``, with or without a header, as DCRNN's ``distances_bay_2017.csv``
      (metres) or the lists of `STSGCN <https://doi.org/10.1609/aaai.v34i01.5438>`_. Of those,
      ``PEMS03.csv`` is in kilometres: its median length is 1.000 km for each kilometre between the
      positions. ``PEMS07.csv`` has values like it (median 0.92), so ``metres_per_unit`` is 1000 for
      both. ``PEMS04.csv`` and ``PEMS08.csv`` look like metres (median 367 and 328); no positions
      are published that could prove it.
    - a square matrix with the names in its first row and column. In the `matrices from
      OpenStreetMap
      <https://github.com/TrafficGCN/osmnx_adjacency_matrix_for_graph_convolutional_networks>`_,
      whose names say "transposed", a row is the *end* of the trip and a column its start: upstream
      pivots (start, end) with the end as index. The data agree. If a trip of DCRNN's list is found
      within 5 % in one direction only, it is as (row = end) for 1090 trips and as (row = start) for
      742; on a carriageway of METR-LA the way with the traffic is the shorter one as (row = end)
      for 449 pairs within 5 km and as (row = start) for 295. (These matrices start at the nearest
      crossing, at times one of the other carriageway.)

    A length of 0 between two detectors is a real one. An empty, infinite or negative length says
    that there is no way. If a pair is given twice, the shorter length counts. Names that are no
    detector are left out. Roads have directions, so it is no fault if a pair has two lengths or one
    only: how many do is logged at level INFO, not warned of.

    Args:
        path: table of distances; None takes ``detectors.edges``.
        max_distance: longest edge by road, in metres.
        max_num_neighbors: how many senders a receiver keeps, the nearest by road first (equal
            distances: the lower index first); None keeps all.
        rows: whether a row of a matrix is where the trip goes ``"from"`` or ``"to"``.
        keys: whether a table names detectors by ``"vdid"`` or by ``"index"``, from 0 and in the
            order of the file; ``"auto"`` takes what fits.
        metres_per_unit: 1000 for a table in kilometres, 1609.344 for one in miles.

    Raises:
        ValueError: if an option is out of range, or says how to read a table and there is none.
    """

    def __init__(
        self,
        path: str | None = None,
        max_distance: float = 2000.0,
        max_num_neighbors: int | None = None,
        rows: Rows = "to",
        keys: Keys = "auto",
        metres_per_unit: float = 1.0,
    ) -> None:
        check_metres("max_distance", max_distance)
        check_metres("metres_per_unit", metres_per_unit)
        check_neighbors(max_num_neighbors)
        for name, value, kind in (("rows", rows, Rows), ("keys", keys, Keys)):
            if value not in get_args(kind):
                raise ValueError(f"Expected '{name}' as one of {get_args(kind)} (got {value!r}).")
        if path is None and (rows, keys, metres_per_unit) != ("to", "auto", 1.0):
            raise ValueError(
                f"Expected 'path' beside 'rows', 'keys' or 'metres_per_unit' (got {rows!r}, "
                f"{keys!r}, {metres_per_unit} and no path): they say how to read a table. Set "
                "'path', or leave them out; the distances of a traffic file are in metres."
            )
        self.path = None if path is None else str(path)
        self.max_distance = self.max_radius = max_distance
        self.max_num_neighbors = max_num_neighbors
        self.rows = rows
        self.keys = keys
        self.metres_per_unit = metres_per_unit

    def build(self, detectors: Detectors) -> Graph:
        """Join ``detectors``; one without a way to another has no edge and is named in a warning.

        Raises:
            FileNotFoundError: if there is no table at ``path``.
            ValueError: if the table cannot be read, does not fit the detectors, has no way between
                any two of them or is in another unit, or if a detector has no valid position.
        """
        lat, lon = valid_positions(detectors)
        source = "the traffic file" if self.path is None else f"'{self.path}'"
        trips = _file_trips(detectors) if self.path is None else self._table_trips(detectors)
        trips = _ways(trips, source)
        _report_lonely(trips, detectors, source)
        _log_directions(trips, len(lat), source)
        near = trips[2] <= self.max_distance
        sender, receiver, distance = (part[near] for part in trips)
        straight, offset, _ = geodesics(lat, lon, receiver, sender)
        # A road is no shorter than the straight line; far from it, and the unit is another.
        if distance.sum() < straight.sum() / 300:
            raise ValueError(
                f"The distances by road of {source} add up to {distance.sum():.6g} m over "
                f"{len(distance)} pairs that are {straight.sum():.6g} m apart in a straight line. "
                "Set 'metres_per_unit' (1000 for kilometres, 1609.344 for miles), or mend the "
                "positions."
            )
        kept = order_edges(sender, receiver, distance, self.max_num_neighbors)
        return Graph(np.stack([sender[kept], receiver[kept]]), distance[kept], offset[kept])

    def _table_trips(self, detectors: Detectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sender, receiver and metres ``[P]`` of the trips of the table between detectors."""
        assert self.path is not None  # else the distances are those of the series
        table = read_road_table(self.path, self.rows)
        detector = match_detectors(table.names, detectors.vdids, self.keys, self.path)
        if foreign := int((detector < 0).sum()):
            _log.info("'%s' names %d places that are no detector.", self.path, foreign)
        sender, receiver = detector[table.start], detector[table.end]
        known = (sender >= 0) & (receiver >= 0)
        return sender[known], receiver[known], table.length[known] * self.metres_per_unit


def _file_trips(detectors: Detectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sender, receiver and metres ``[P]`` of the distances that come with the detectors."""
    edges = getattr(detectors, "edges", None)
    if edges is None:
        raise ValueError(
            "RoadGraph without a 'path' takes the distances by road that the traffic file carries, "
            "and it carries none. Set 'path' to a table of distances."
        )
    edge_index, distance = np.asarray(edges.edge_index), np.asarray(edges.distance)
    if edge_index.shape != (2, *distance.shape) or distance.ndim != 1:
        raise ValueError(
            "Expected 'edge_index' [2, E] and 'distance' [E] of the edges of the traffic file (got "
            f"{edge_index.shape} and {distance.shape}). Write its edges again."
        )
    num_nodes = len(detectors.vdids)
    if ((edge_index < 0) | (edge_index >= num_nodes)).any():
        raise ValueError(
            f"Expected edges of the traffic file between detectors 0 and {num_nodes - 1} (got "
            f"{edge_index.min()} to {edge_index.max()}). Write its edges again."
        )
    sender, receiver = edge_index.astype(np.int64)
    return sender, receiver, distance.astype(np.float64)


def _ways(
    trips: tuple[np.ndarray, np.ndarray, np.ndarray], source: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shortest way of each pair, without a detector's way to itself."""
    sender, receiver, metres = trips
    order = np.lexsort((metres, sender, receiver))
    order = order[sender[order] != receiver[order]]
    pairs = len(order)
    order = order[np.isfinite(metres[order]) & (metres[order] >= 0)]
    sender, receiver, metres = sender[order], receiver[order], metres[order]
    if len(order) < pairs:
        warnings.warn(
            f"{pairs - len(order)} of {pairs} lengths of {source} are empty, infinite or negative: "
            "no edge goes there.",
            stacklevel=3,
        )
    again = np.zeros(len(order), dtype=bool)
    again[1:] = (sender[1:] == sender[:-1]) & (receiver[1:] == receiver[:-1])
    differs = again[1:] & (metres[1:] != metres[:-1])
    if differs.any():
        warnings.warn(
            f"{source} gives {differs.sum()} pairs of detectors again, with another length: the "
            "shortest counts.",
            stacklevel=3,
        )
    return sender[~again], receiver[~again], metres[~again]


def _report_lonely(
    trips: tuple[np.ndarray, np.ndarray, np.ndarray], detectors: Detectors, source: str
) -> None:
    """Name the detectors that no way leads to or from."""
    num_nodes = len(detectors.vdids)
    lonely = np.setdiff1d(np.arange(num_nodes), np.concatenate(trips[:2]))
    if num_nodes > 1 and len(lonely) == num_nodes:
        raise ValueError(
            f"{source} has no distance by road between any two of the {num_nodes} detectors. Use "
            "the table of this network, or build the graph from positions (RadiusGraph)."
        )
    if num_nodes > 1 and len(lonely):
        warnings.warn(
            f"{len(lonely)} of {num_nodes} detectors have no distance by road to or from another "
            f"in {source}, and no edge: {name_some(detectors.vdids[i] for i in lonely)}.",
            stacklevel=3,
        )


def _log_directions(
    trips: tuple[np.ndarray, np.ndarray, np.ndarray], num_nodes: int, source: str
) -> None:
    """Log how many ways have no reverse of the same length."""
    sender, receiver, metres = trips
    key, reverse = receiver * num_nodes + sender, sender * num_nodes + receiver
    place = np.searchsorted(key, reverse).clip(max=max(len(key) - 1, 0))  # the keys ascend
    same = (key[place] == reverse) & (metres[place] == metres)
    _log.info("%s has %d ways, %d as long as back.", source, len(key), same.sum())
