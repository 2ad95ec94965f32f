"""Several kinds of edges in one graph."""

import numpy as np

from socialgraph.graph.builder import Detectors, Graph, GraphBuilder

__all__ = ["CombinedGraph"]


class CombinedGraph(GraphBuilder):
    """The edges of several builders in one graph, told apart by ``edge_type``.

    A pair of detectors has at most one edge of each type. Edges of the same pair follow each other
    by type. A cap of neighbours is that of each builder alone.

    Args:
        graphs: the builders; their place in the list, from 0, is the type of their edges.

    Raises:
        ValueError: if there is no builder, or one is itself a :class:`CombinedGraph`.
    """

    def __init__(self, graphs: list[GraphBuilder]) -> None:
        if not graphs:
            raise ValueError("Expected one builder or more in 'graphs' (got none).")
        for number, graph in enumerate(graphs):
            if isinstance(graph, CombinedGraph):
                raise ValueError(
                    f"Expected builders of one type of edge in 'graphs' (got a CombinedGraph as "
                    f"number {number}). List its builders here instead of it."
                )
        self.graphs = list(graphs)
        self.max_radius = max(graph.max_radius for graph in self.graphs)

    def build(self, detectors: Detectors) -> Graph:
        """Join ``detectors`` in every way.

        Raises:
            ValueError: from the builders.
        """
        parts = [graph.build(detectors) for graph in self.graphs]
        edge_index = np.concatenate([part.edge_index for part in parts], axis=1)
        edge_type = np.repeat(np.arange(len(parts)), [part.num_edges for part in parts])
        order = np.lexsort((edge_type, edge_index[0], edge_index[1]))
        return Graph(
            edge_index[:, order],
            np.concatenate([part.distance for part in parts])[order],
            np.concatenate([part.offset for part in parts])[order],
            edge_type[order],
            len(parts),
        )
