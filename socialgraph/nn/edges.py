"""What a layer is told about edges: their ends, lengths and relative positions."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex, is_compiling
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_sparse, to_edge_index

__all__ = ["Edges", "read_edges"]


class Edges(NamedTuple):
    """Edges as a layer needs them.

    Args:
        index: both ends :math:`(2, E)`, as they came.
        size: numbers of nodes in both rows of ``index``.
        sender: :math:`(E)`.
        receiver: :math:`(E)`.
        num_receivers: nodes that receive.
        length: :math:`(*, E)`.
        offset: positions of the senders relative to the receivers :math:`(*, E, D)`, or None where
            only lengths are known.
    """

    index: Tensor
    size: tuple[int, int]
    sender: Tensor
    receiver: Tensor
    num_receivers: int
    length: Tensor
    offset: Tensor | None

    def without(self, gone: Tensor) -> "Edges":
        """The same with lengths and offsets of 0 for edges that are ``gone`` ``[*, E]``."""
        offset = self.offset
        if offset is not None:
            offset = torch.where(gone.unsqueeze(-1), 0, offset)
        return self._replace(length=torch.where(gone, 0, self.length), offset=offset)


def read_edges(
    edge_index: Tensor | SparseTensor,
    flow: str,
    nodes: tuple[int | None, int | None],
    size: tuple[int | None, int | None] | None = None,
    edge_attr: Tensor | None = None,
    pos: Tensor | tuple[Tensor, Tensor] | None = None,
    distance: Tensor | None = None,
) -> Edges:
    """Edges from any of PyG's forms, with lengths from one of three sources.

    Args:
        edge_index: ``[2, E]``, an ``EdgeIndex``, or a transposed sparse adjacency
            ``[receivers, senders]``, whose values are lengths where no other source is given.
        flow: ``"source_to_target"`` or ``"target_to_source"``.
        nodes: numbers of nodes in both rows that have states, None where they have none.
        size: numbers of nodes in both rows, None where the states or an adjacency tell.
        edge_attr: lengths ``[E]`` or ``[E, 1]``, as ``torch_geometric.transforms.Distance`` makes
            them without ``norm``; or positions of row 0 relative to row 1 ``[E, D]``, D above 1, as
            ``torch_geometric.transforms.Cartesian`` does. Leading axes need ``distance``.
        pos: positions ``[*, N, D]``, or those of both rows.
        distance: lengths ``[*, E]``.

    Raises:
        ValueError: where something has another form or shape, the sources of the lengths are none
            or several, or the numbers of nodes are not known or do not fit.
        IndexError: where an edge names a node that there is not (on a CPU; a GPU finds out later).
    """
    index, values, told = _plain_edge_index(edge_index, flow)
    i, j = (1, 0) if flow == "source_to_target" else (0, 1)
    size = _node_counts([nodes, size, told])
    if index.device.type == "cpu" and not is_compiling():
        _check_indices(index, size)
    if edge_attr is None and pos is None and distance is None:
        distance = values
    elif values is not None and pos is None:
        raise ValueError(
            "Expected the lengths as values of the sparse adjacency, whose order of edges is its "
            "own, or 'pos' (got 'edge_attr' or 'distance' besides)."
        )
    pair = (pos, pos) if isinstance(pos, Tensor) else pos
    if pair is not None and any(p.size(-2) != n for p, n in zip(pair, size, strict=True)):
        raise ValueError(
            f"Expected 'pos' of {' and '.join(map(str, dict.fromkeys(size)))} nodes (got shapes "
            f"{[tuple(p.shape) for p in pair]})."
        )
    length, offset = _read_lengths(index, edge_attr, pair, distance)
    if offset is not None and flow == "target_to_source":
        offset = -offset
    return Edges(index, size, index[j], index[i], size[i], length, offset)


def _plain_edge_index(
    edge_index: Tensor | SparseTensor, flow: str
) -> tuple[Tensor, Tensor | None, tuple[int, int] | None]:
    """Ends as a tensor, and values and numbers of nodes of a sparse adjacency."""
    if isinstance(edge_index, EdgeIndex):
        return edge_index.as_tensor(), None, None
    if is_sparse(edge_index):
        if flow == "target_to_source":
            raise ValueError(
                "Expected flow='source_to_target' with a sparse adjacency (got "
                "'target_to_source'). Give the layer the transposed adjacency instead."
            )
        receivers, senders = edge_index.size(0), edge_index.size(1)
        (receiver, sender), values = to_edge_index(edge_index)
        return torch.stack([sender, receiver]), values, (senders, receivers)
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.is_floating_point():
        raise ValueError(
            f"Expected 'edge_index' as integers of shape [2, E] (got {edge_index.dtype} of shape "
            f"{tuple(edge_index.shape)})."
        )
    return edge_index, None, None


def _node_counts(claims: list[tuple[int | None, int | None] | None]) -> tuple[int, int]:
    """Numbers of nodes in both rows, on which all that know them must agree."""
    counts = []
    for row in (0, 1):
        known = [claim[row] for claim in claims if claim is not None and claim[row] is not None]
        if not known or any(count != known[0] for count in known):
            raise ValueError(
                f"Expected one number of nodes in row {row} of 'edge_index', from 'x', 'size' or a "
                f"sparse adjacency (got {known or 'none'})."
            )
        counts.append(known[0])
    return counts[0], counts[1]


def _read_lengths(
    index: Tensor,
    edge_attr: Tensor | None,
    pos: tuple[Tensor, Tensor] | None,
    distance: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Lengths ``[*, E]``, and positions of row 0 relative to row 1 ``[*, E, D]`` or None."""
    named = {"edge_attr": edge_attr, "pos": pos, "distance": distance}
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            "Expected the lengths of the edges from one of 'edge_attr', 'pos' and 'distance' (got "
            f"{' and '.join(given) or 'none'})."
        )
    if pos is not None:
        offset = pos[0].index_select(-2, index[0]) - pos[1].index_select(-2, index[1])
        return _norm(offset), offset
    length, offset = distance, None
    if edge_attr is not None and edge_attr.dim() == 2 and edge_attr.size(1) > 1:
        length, offset = _norm(edge_attr), edge_attr
    elif edge_attr is not None:
        length = edge_attr.squeeze(1) if edge_attr.dim() == 2 else edge_attr
    if length.dim() == 0 or length.size(-1) != index.size(1):
        raise ValueError(
            f"Expected '{given[0]}' with one entry for each of {index.size(1)} edges (got shape "
            f"{tuple(named[given[0]].shape)})."
        )
    return length, offset


def _norm(offset: Tensor) -> Tensor:
    """Length of vectors ``[*, D]``, with derivatives of all orders also where it is 0."""
    square = offset.square().sum(dim=-1)
    still = square == 0
    return square.masked_fill(still, 1).sqrt().masked_fill(still, 0)


def _check_indices(index: Tensor, size: tuple[int, int]) -> None:
    if index.numel() == 0:
        return
    for row, (part, count) in enumerate(zip(index, size, strict=True)):
        low, high = part.aminmax()
        if low < 0 or high >= count:
            raise IndexError(
                f"Expected indices from 0 to {count - 1} in row {row} of 'edge_index' (got "
                f"{low.item()} to {high.item()}). It numbers the nodes of 'x'."
            )
