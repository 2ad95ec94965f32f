"""Scores of edges and sums over neighbours that never hold a state per edge."""

import functools
import warnings
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Neighborhood", "edge_dot", "edge_softmax", "has_sampled_product", "neighbor_sum"]


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
            value.reshape(-1, width),
            ptr,
            mode="sum",
            per_sample_weights=weight.reshape(-1),
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
        groups = score.size(0)
        ptr, _ = graph.blocks(groups)
        receiver, order = graph.receiver, graph.order
        ordered = score if order is None else score.index_select(1, order)
        ends = receiver if order is None else receiver[order]
        top = _segments(ordered, ptr, "max").index_select(1, ends)
        weight = (ordered - top).exp_()
        weight /= _segments(weight, ptr, "sum").index_select(1, ends)
        if order is not None:
            weight = torch.empty_like(weight).index_copy_(1, order, weight)
        ctx.save_for_backward(weight)
        ctx.receiver, ctx.size = receiver, (groups, graph.num_receivers)
        return weight

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        moved = weight * grad
        total = moved.new_zeros(ctx.size).index_add(1, ctx.receiver, moved)
        return moved - weight * total.index_select(1, ctx.receiver), None


def _segments(x: Tensor, ptr: Tensor, reduce: str) -> Tensor:
    """Reduction of each row's runs between the pointers, ``[G, E]`` to ``[G, N]``."""
    return torch.segment_reduce(x.flatten(), reduce, offsets=ptr, unsafe=True).view(x.size(0), -1)


def _sampled_product(ptr: Tensor, column: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Entries of ``rows @ columns.T`` at the places of a CSR pattern, one per column index."""
    pattern = torch.sparse_csr_tensor(
        ptr,
        column,
        rows.new_zeros(column.numel()),
        (rows.size(0), columns.size(0)),
        check_invariants=False,
    )
    return torch.sparse.sampled_addmm(pattern, rows, columns.t(), beta=0).values()
