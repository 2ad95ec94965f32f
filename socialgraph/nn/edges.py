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
        offset: positions of the senders relative to the receivers :math:`(*, E, D)`, or None if
            only lengths are known.
        attr: further attributes :math:`(*, E, D_e)`, or None.
    """

    index: Tensor
    size: tuple[int, int]
    sender: Tensor
    receiver: Tensor
    num_receivers: int
    length: Tensor
    offset: Tensor | None
    attr: Tensor | None

    def without(self, gone: Tensor) -> "Edges":
        """The same with zeros for all that is told of edges that are ``gone`` ``[*, E]``."""
        wide = gone.unsqueeze(-1)
        offset, attr = (
            None if part is None else torch.where(wide, 0, part)
            for part in (self.offset, self.attr)
        )
        return self._replace(length=torch.where(gone, 0, self.length), offset=offset, attr=attr)

    def known(self) -> Tensor:
        """True where length, offset and attributes are finite ``[*, E]``."""
        known = self.length.isfinite()
        for part in (self.offset, self.attr):
            if part is not None:
                known = known & part.isfinite().all(dim=-1)
        return known


def read_edges(
    edge_index: Tensor | SparseTensor,
    flow: str,
    nodes: tuple[int | None, int | None],
    size: tuple[int | None, int | None] | None = None,
    edge_attr: Tensor | None = None,
    pos: Tensor | tuple[Tensor, Tensor] | None = None,
    distance: Tensor | None = None,
    offset: Tensor | None = None,
    edge_dim: int = 0,
) -> Edges:
    """Edges from any of PyG's forms, with lengths from one source.

    Args:
        edge_index: ``[2, E]``, an ``EdgeIndex``, or a transposed sparse adjacency
            ``[receivers, senders]``, whose values are the lengths if there is no other source.
        flow: ``"source_to_target"`` or ``"target_to_source"``.
        nodes: numbers of nodes in both rows that have states, None for a row that has none.
        size: numbers of nodes in both rows, None if the states or an adjacency tell.
        edge_attr: further attributes ``[*, E, edge_dim]``, never read as lengths.
        pos: positions ``[*, N, D]``, or those of both rows: lengths, unless ``distance`` is given,
            and offsets.
        distance: lengths ``[*, E]`` or ``[E, 1]``.
        offset: positions of row 0 relative to row 1 ``[*, E, D]``: lengths, unless ``distance`` is
            given, and offsets.
        edge_dim: width of ``edge_attr``, 0 for none.

    Raises:
        ValueError: if something has another form or shape, the lengths have no source or several,
            or the numbers of nodes are not known or do not fit.
        IndexError: if an edge names a node that there is not (on a CPU; a GPU finds out later).
    """
    index, values, told = _plain_edge_index(edge_index, flow)
    i, j = (1, 0) if flow == "source_to_target" else (0, 1)
    size = _node_counts([nodes, size, told])
    if index.device.type == "cpu" and not is_compiling():
        _check_indices(index, size)
    named = {"edge_attr": edge_attr, "pos": pos, "distance": distance, "offset": offset}
    given = [name for name, value in named.items() if value is not None]
    _check_sources(given, is_matrix=values is not None)
    _check_attributes(edge_attr, edge_dim, index.size(1))
    if not given:
        distance = values
    pair = (pos, pos) if isinstance(pos, Tensor) else pos
    if pair is not None and any(p.size(-2) != n for p, n in zip(pair, size, strict=True)):
        raise ValueError(
            f"Expected 'pos' of {' and '.join(map(str, dict.fromkeys(size)))} nodes (got shapes "
            f"{[tuple(p.shape) for p in pair]})."
        )
    if pair is not None:
        offset = pair[0].index_select(-2, index[0]) - pair[1].index_select(-2, index[1])
    length = _read_lengths(distance, offset, index.size(1))
    if offset is not None and flow == "target_to_source":
        offset = -offset
    return Edges(index, size, index[j], index[i], size[i], length, offset, edge_attr)


def _plain_edge_index(
    edge_index: Tensor | SparseTensor, flow: str
) -> tuple[Tensor, Tensor | None, tuple[int, int] | None]:
    """Ends as a tensor, and values and numbers of nodes of a sparse adjacency."""
    if isinstance(edge_index, EdgeIndex):
        return edge_index.as_tensor().long(), None, None
    if is_sparse(edge_index):
        if flow == "target_to_source":
            raise ValueError(
                "Expected flow='source_to_target' with a sparse adjacency (got "
                "'target_to_source'). Give the layer the transposed adjacency instead."
            )
        receivers, senders = edge_index.size(0), edge_index.size(1)
        (receiver, sender), values = to_edge_index(edge_index)
        return torch.stack([sender, receiver]).long(), values, (senders, receivers)
    whole = not (edge_index.is_floating_point() or edge_index.dtype == torch.bool)
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or not whole:
        raise ValueError(
            f"Expected 'edge_index' as integers of shape [2, E] (got {edge_index.dtype} of shape "
            f"{tuple(edge_index.shape)})."
        )
    return edge_index.long(), None, None  # PyTorch scatters by int32 for some shapes alone


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


def _check_sources(given: list[str], is_matrix: bool) -> None:
    """Refuse lengths from nowhere, or from sources that contradict each other."""
    found = " and ".join(f"'{name}'" for name in given) or "none"
    if is_matrix and given not in ([], ["pos"]):
        raise ValueError(
            "Expected the lengths as values of the sparse adjacency, whose order of edges is its "
            f"own, or 'pos' (got {found}). Give 'edge_index' as [2, E] to give others."
        )
    lengths = [name for name in given if name != "edge_attr"]
    if not (lengths or is_matrix) or {"pos", "offset"} <= set(given):
        raise ValueError(
            "Expected the lengths of the edges as 'distance', or from one of 'pos' and 'offset' "
            f"(got {found}). 'edge_attr' is never read as lengths."
        )


def _check_attributes(edge_attr: Tensor | None, edge_dim: int, count: int) -> None:
    """Refuse attributes that are not of the width that the layer was built for."""
    mend = (
        "Give lengths as 'distance' and relative positions as 'offset'; the layer's 'edge_dim' is "
        "the number of further attributes."
    )
    if edge_attr is None and edge_dim > 0:
        raise ValueError(
            f"Expected 'edge_attr' of shape [*, {count}, {edge_dim}] (got none). {mend}"
        )
    if edge_attr is not None and edge_dim == 0:
        raise ValueError(
            "Expected no 'edge_attr' with 'edge_dim' = 0 (got shape "
            f"{tuple(edge_attr.shape)}). {mend}"
        )
    if edge_attr is not None and tuple(edge_attr.shape[-2:]) != (count, edge_dim):
        raise ValueError(
            f"Expected 'edge_attr' of shape [*, {count}, {edge_dim}] (got "
            f"{tuple(edge_attr.shape)}). {mend}"
        )


def _read_lengths(distance: Tensor | None, offset: Tensor | None, count: int) -> Tensor:
    """Lengths ``[*, E]`` as they are given, or from relative positions."""
    if offset is not None and (offset.dim() < 2 or offset.size(-2) != count):
        raise ValueError(
            f"Expected 'offset' as relative positions of shape [*, {count}, D], one for each edge "
            f"(got shape {tuple(offset.shape)})."
        )
    if distance is None:
        return _norm(offset)
    if distance.dim() == 2 and distance.size(1) == 1 and distance.size(0) == count:
        return distance.squeeze(1)
    if distance.dim() == 0 or distance.size(-1) != count:
        raise ValueError(
            f"Expected 'distance' of shape [*, {count}] or [{count}, 1], one length for each edge "
            f"(got shape {tuple(distance.shape)}). Give relative positions as 'offset'."
        )
    return distance


def _norm(offset: Tensor) -> Tensor:
    """Length of vectors ``[*, D]``, with derivatives of all orders also if it is 0."""
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
