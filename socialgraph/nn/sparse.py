"""Scores of edges and sums over neighbours that never hold a state per edge."""

import functools
import warnings
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

__all__ = [
    "Neighborhood",
    "edge_dot",
    "edge_softmax",
    "has_sampled_product",
    "neighbor_sum",
    "neighborhood",
    "to_edges",
]


_KNOWN = WeakIdKeyDictionary()  # of a tensor of edges, what was made of it


class Neighborhood:
    """Edges compressed by receiver, with as many copies side by side as a product needs.

    A product over a batch or over heads is one product with a block-diagonal matrix, one block per
    group; its rows are groups × receivers, its columns groups × senders.

    Args:
        sender: :math:`(E)`, in any order.
        receiver: :math:`(E)`.
        num_senders: nodes that send.
        num_receivers: nodes that receive.

    There may be no more edges than pairs of nodes, and no edge may name a node that there is not:
    PyTorch's sparse products trust their indices.
    """

    def __init__(
        self, sender: Tensor, receiver: Tensor, num_senders: int, num_receivers: int
    ) -> None:
        self.sender, self.receiver = sender, receiver
        self.num_senders, self.num_receivers = num_senders, num_receivers
        self.order: Tensor | None = None
        if not (receiver[1:] >= receiver[:-1]).all():
            self.order = receiver.argsort(stable=True)
        self._blocks: dict[int, tuple[Tensor, Tensor]] = {}

    @cached_property
    def transposed(self) -> "Neighborhood":
        """The same edges, in the same order, from receiver to sender."""
        return Neighborhood(self.receiver, self.sender, self.num_receivers, self.num_senders)

    def blocks(self, groups: int) -> tuple[Tensor, Tensor]:
        """Pointers to rows ``[groups * num_receivers + 1]`` and columns ``[groups * E]``."""
        if groups not in self._blocks:
            sender = self.sender if self.order is None else self.sender[self.order]
            widest = groups * max(sender.numel(), self.num_senders)
            dtype = torch.int32 if widest < 2**31 else torch.int64  # half the memory where it fits
            count = torch.bincount(self.receiver, minlength=self.num_receivers)
            group = torch.arange(groups, dtype=dtype, device=count.device).unsqueeze(1)
            ptr = torch.add(count.cumsum(0, dtype=dtype), group, alpha=sender.numel())
            ptr = F.pad(ptr.flatten(), (1, 0))
            column = torch.add(sender.to(dtype), group, alpha=self.num_senders).flatten()
            self._blocks[groups] = ptr, column
        return self._blocks[groups]


def neighborhood(edge_index: Tensor, sender: int, size: tuple[int, int]) -> Neighborhood:
    """The edges of a graph, compressed once for as long as the tensor lives and stays the same.

    Args:
        edge_index: both ends ``[2, E]``.
        sender: which row holds the senders.
        size: numbers of senders and receivers.
    """
    if edge_index.is_inference():  # nobody counts its changes
        return Neighborhood(edge_index[sender], edge_index[1 - sender], *size)
    known = _KNOWN.setdefault(edge_index, {})
    key = (edge_index._version, sender, *size)
    if key not in known:
        known.clear()
        # Copies, as a view would keep the tensor alive.
        ends = edge_index[sender].clone(), edge_index[1 - sender].clone()
        known[key] = Neighborhood(*ends, *size)
    return known[key]


def edge_dot(query: Tensor, key: Tensor, graph: Neighborhood) -> Tensor:
    r"""Product of the states at both ends of every edge, :math:`\mathbf{q}_i^\top \mathbf{k}_j`.

    A sampled dense-dense product (SDDMM), differentiable any number of times.

    Shapes:
        - **query:** receivers' states :math:`(G, N_i, C)`
        - **key:** senders' states :math:`(G, N_j, C)`
        - **output:** :math:`(G, E)`
    """
    return _EdgeDot.apply(query, key, graph)


def neighbor_sum(weight: Tensor, value: Tensor, graph: Neighborhood) -> Tensor:
    r"""Weighted sum of the senders' states, :math:`\sum_j w_{ji} \mathbf{v}_j`.

    A sparse-dense product (SpMM), differentiable any number of times.

    Shapes:
        - **weight:** :math:`(G, E)`
        - **value:** senders' states :math:`(G, N_j, C)`
        - **output:** :math:`(G, N_i, C)`, zero for a receiver without edges
    """
    return _NeighborSum.apply(weight, value, graph)


def edge_softmax(score: Tensor, graph: Neighborhood) -> Tensor:
    r"""Softmax over the edges of each receiver, differentiable any number of times.

    Shapes:
        - **score:** :math:`(G, E)`, finite
        - **output:** :math:`(G, E)`
    """
    return _EdgeSoftmax.apply(score, graph)


def to_edges(x: Tensor, graph: Neighborhood) -> Tensor:
    """Numbers of the receivers at their edges, differentiable any number of times.

    Shapes:
        - **x:** :math:`(G, N_i)`
        - **output:** :math:`(G, E)`
    """
    return _ToEdges.apply(x, graph)


@functools.cache
def has_sampled_product() -> bool:
    """Whether this build of PyTorch has the sampled product on the CPU."""
    ptr, column = torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces once that its CSR tensors are beta
        try:
            _sampled_product(ptr, column, torch.ones(1, 1), torch.ones(1, 1))
        except RuntimeError:
            return False
    return True


class _EdgeDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, graph: Neighborhood) -> Tensor:
        ctx.save_for_backward(query, key)
        ctx.graph = graph
        groups, width = query.size(0), query.size(-1)
        ptr, column = graph.blocks(groups)
        score = _sampled_product(ptr, column, query.reshape(-1, width), key.reshape(-1, width))
        score = score.view(groups, -1)  # [G, E], sorted by receiver
        if graph.order is None:
            return score
        return torch.empty_like(score).index_copy_(1, graph.order, score)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, key = ctx.saved_tensors
        for_query, for_key, _ = ctx.needs_input_grad
        return (
            neighbor_sum(grad, key, ctx.graph) if for_query else None,
            neighbor_sum(grad, query, ctx.graph.transposed) if for_key else None,
            None,
        )


class _NeighborSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, value: Tensor, graph: Neighborhood) -> Tensor:
        ctx.save_for_backward(weight, value)
        ctx.graph = graph
        groups, width = value.size(0), value.size(-1)
        ptr, column = graph.blocks(groups)
        if graph.order is not None:
            weight = weight.index_select(1, graph.order)
        total = F.embedding_bag(  # faster than the product with a CSR tensor, and in every build
            column,
            value.detach().reshape(-1, width),  # detached, lest it prepare a backward of its own
            ptr,
            mode="sum",
            per_sample_weights=weight.detach().reshape(-1),
            include_last_offset=True,
        )
        return total.view(groups, graph.num_receivers, width)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weight, value = ctx.saved_tensors
        for_weight, for_value, _ = ctx.needs_input_grad
        return (
            edge_dot(grad, value, ctx.graph) if for_weight else None,
            neighbor_sum(weight, grad, ctx.graph.transposed) if for_value else None,
            None,
        )


class _EdgeSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, score: Tensor, graph: Neighborhood) -> Tensor:
        top = _segments(score, graph, "max")
        weight = score.sub(_spread(top, graph)).exp_()
        weight /= _spread(_segments(weight, graph, "sum"), graph)
        ctx.save_for_backward(weight)
        ctx.graph = graph
        return weight

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        moved = weight * grad
        total = to_edges(_ToReceivers.apply(moved, ctx.graph), ctx.graph)
        return torch.addcmul(moved, weight, total, value=-1), None


class _ToEdges(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, graph: Neighborhood) -> Tensor:
        ctx.graph = graph
        return _spread(x, graph)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return _ToReceivers.apply(grad, ctx.graph), None


class _ToReceivers(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, graph: Neighborhood) -> Tensor:
        ctx.graph = graph
        return _segments(x, graph, "sum")

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return _ToEdges.apply(grad, ctx.graph), None


def _spread(x: Tensor, graph: Neighborhood) -> Tensor:
    return x.index_select(1, graph.receiver)


def _segments(x: Tensor, graph: Neighborhood, reduce: str) -> Tensor:
    """Reduction over the edges of each receiver, ``[G, E]`` to ``[G, N]``."""
    ptr, _ = graph.blocks(x.size(0))
    ordered = x if graph.order is None else x.index_select(1, graph.order)
    flat = ordered.reshape(-1)
    return torch.segment_reduce(flat, reduce, offsets=ptr, unsafe=True).view(x.size(0), -1)


def _sampled_product(ptr: Tensor, column: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Entries of ``rows @ columns.T`` at the places of a CSR pattern, one per column index."""
    pattern = torch.sparse_csr_tensor(
        ptr,
        column,
        rows.new_zeros(column.numel()),
        (rows.size(0), columns.size(0)),
        check_invariants=False,
    )
    # Written in place, as a copy of the pattern would cost as much as the product.
    rows, columns = rows.detach(), columns.detach()
    return torch.sparse.sampled_addmm(pattern, rows, columns.t(), beta=0, out=pattern).values()
