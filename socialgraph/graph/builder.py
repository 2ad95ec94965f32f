"""What a graph is, what a builder is, and what all builders share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = [
    "Detectors",
    "Graph",
    "GraphBuilder",
    "check_metres",
    "check_neighbors",
    "name_some",
    "order_edges",
]


@dataclass(frozen=True, eq=False)
class Graph:
    """Directed edges between N detectors, sorted by receiver and then sender, no self loops.

    Args:
        edge_index: ``[2, E]`` int64, senders in row 0 and receivers in row 1.
        distance: length of each edge in metres ``[E]``, float64.
        offset: metres (east, north) from the receiver to the sender ``[E, 2]``, float64, in a
            straight line; zeros if both are at the same place.
        edge_type: which kind of edge, from 0 ``[E]`` int64; None if there is one kind only.
        num_types: kinds of edges that the builder tells apart, even if there is none of some; None
            for those up to the last in ``edge_type``.
    """

    edge_index: np.ndarray
    distance: np.ndarray
    offset: np.ndarray
    edge_type: np.ndarray | None = None
    num_types: int | None = None

    @property
    def num_edges(self) -> int:
        """How many edges, E."""
        return self.edge_index.shape[1]


class Detectors(Protocol):
    """What a builder reads of N detectors.

    ``vdids`` are their ids, ``lat`` and ``lon`` their positions ``[N]`` in degrees (WGS84). They
    may also carry ``edges``: None, or an object with ``edge_index`` ``[2, E]`` (from, to) and
    ``distance`` ``[E]``, the metres by road from the first to the second.
    """

    vdids: Sequence[str]
    lat: np.ndarray
    lon: np.ndarray


class GraphBuilder(ABC):
    """A way to join detectors, which YAML names by ``class_path``.

    Python code may pass any object with ``max_radius`` and ``build``; a class that YAML names is
    derived from this one. Constructor arguments are plain values (or builders) and stay attributes
    under their own names, so that a checkpoint can write them down.

    ``max_radius`` is the longest edge that the builder may give, in metres.
    """

    max_radius: float

    @abstractmethod
    def build(self, detectors: Detectors) -> Graph:
        """Join ``detectors``."""


def order_edges(
    sender: np.ndarray,
    receiver: np.ndarray,
    distance: np.ndarray,
    max_num_neighbors: int | None = None,
) -> np.ndarray:
    """Choose the edges to keep, and their order.

    Args:
        sender, receiver: ends of each edge ``[E]``.
        distance: their lengths ``[E]``.
        max_num_neighbors: how many senders a receiver keeps, the nearest first (equal distances:
            the lower index first); None keeps all.

    Returns:
        Indices of the kept edges, sorted by receiver and then sender.
    """
    if max_num_neighbors is None:
        return np.lexsort((sender, receiver))
    order = np.lexsort((sender, distance, receiver))
    first = np.searchsorted(receiver[order], receiver[order])
    kept = order[np.arange(len(order)) - first < max_num_neighbors]
    return kept[np.lexsort((sender[kept], receiver[kept]))]


def check_metres(name: str, value: float) -> None:
    """Refuse an option that is not a positive, finite number of metres."""
    if value is None or not 0 < value < np.inf:
        raise ValueError(f"Expected '{name}' above 0 metres and finite (got {value}).")


def check_neighbors(max_num_neighbors: int | None) -> None:
    """Refuse a cap that keeps nobody."""
    if max_num_neighbors is not None and max_num_neighbors < 1:
        raise ValueError(
            f"Expected 'max_num_neighbors' of 1 or more, or None (got {max_num_neighbors})."
        )


def name_some(names: Iterable[str]) -> str:
    """The first five names, quoted, and how many more there are."""
    names = [f"'{name}'" for name in names]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
