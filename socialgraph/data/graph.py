"""The graph of some detectors as the tensors that a batch carries."""

import warnings
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from socialgraph.graph import Detectors, GraphBuilder, project
from socialgraph.series import TrafficSeries

__all__ = ["graph_tensors", "placed_graph"]

_MANY_ALONE = 0.1
_RAISE = "Raise the radius of 'data.graph' if they should."


def graph_tensors(
    builder: GraphBuilder | None, detectors: Detectors, advice: str = _RAISE
) -> dict[str, Tensor]:
    """Positions and edges of N detectors.

    Many detectors without a neighbour are told by a warning.

    Args:
        builder: builder of the graph; None for no edges.
        detectors: what has ``vdids``, ``lat``, ``lon`` and ``edges``.
        advice: end of the warning.

    Returns:
        Without any position nothing; else ``positions_xy`` ``[N, 2]`` in metres, NaN where unknown.
        If all are known and there is a builder, also ``edge_index`` ``[2, E]``, ``distance``
        ``[E]`` and ``offset`` ``[E, 2]`` in metres, and for a graph of several types ``edge_attr``
        ``[E, K]``, 1 in the column of the type, of the K that the builder tells apart.
    """
    pos = project(detectors.lat, detectors.lon)
    if np.isnan(pos).all():
        return {}
    tensors = {"positions_xy": torch.from_numpy(pos).float()}
    if builder is None or not np.isfinite(pos).all():
        return tensors
    graph = builder.build(detectors)
    _report_alone(graph.edge_index, len(pos), builder.max_radius, advice)
    tensors["edge_index"] = torch.from_numpy(graph.edge_index)
    tensors["distance"] = torch.from_numpy(graph.distance).float()
    tensors["offset"] = torch.from_numpy(graph.offset).float()
    if graph.edge_type is not None:
        types = graph.num_types or int(graph.edge_type.max(initial=0)) + 1
        tensors["edge_attr"] = F.one_hot(torch.from_numpy(graph.edge_type), types).float()
    return tensors


def placed_graph(
    builder: GraphBuilder | None, series: TrafficSeries, advice: str = _RAISE
) -> dict[str, Tensor]:
    """Edges between the detectors that have a position; the others have no neighbours.

    Args:
        builder: builder of the graph; None for no edges.
        series: the detectors.
        advice: as of :func:`graph_tensors`.

    Returns:
        ``edge_index`` ``[2, E]``, ``distance`` ``[E]`` and ``offset`` ``[E, 2]`` in metres, as
        :func:`graph_tensors` gives them; and ``positions_xy`` ``[N, 2]``, zeros where unknown.
    """
    detectors = cast(Detectors, series)  # a series in memory has arrays of positions
    pos = project(detectors.lat, detectors.lon)
    placed = np.flatnonzero(np.isfinite(pos).all(axis=1))
    graph = {
        # Edges alone are looked at; strict mode asks for a position of every detector.
        "positions_xy": torch.from_numpy(np.nan_to_num(pos)).float(),
        "edge_index": torch.empty(2, 0, dtype=torch.int64),
        "distance": torch.empty(0),
        "offset": torch.empty(0, 2),
    }
    if not len(placed) or builder is None:
        return graph
    known = series.select(vdids=[series.vdids[row] for row in placed])
    found = graph_tensors(builder, cast(Detectors, known), advice)
    found["edge_index"] = torch.from_numpy(placed)[found["edge_index"]]
    return {**graph, **{name: part for name, part in found.items() if name != "positions_xy"}}


def _report_alone(edge_index: np.ndarray, num_nodes: int, max_radius: float, advice: str) -> None:
    alone = num_nodes - len(np.unique(edge_index[1]))
    if len(edge_index[1]) and alone > _MANY_ALONE * num_nodes:
        warnings.warn(
            f"{alone} of {num_nodes} detectors have no neighbour within {max_radius:g} metres, and "
            f"so no context from social pooling. {advice}",
            stacklevel=3,
        )
