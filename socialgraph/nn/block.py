"""Blocks of a network: what a detector thinks, and what its neighbours add to that."""

import inspect
from collections.abc import Callable

from torch import Tensor, nn

from socialgraph.nn.sizes import check_reach, make_part
from socialgraph.recipe import recorded

__all__ = ["ContextBlock", "SocialBlock"]


class ContextBlock(nn.Module):
    r"""The state as it is, and the pooled states of the neighbours beside it.

    .. math::
        \mathbf{g}_i = \mathrm{pool}_{j \in \mathcal{N}(i)}(\mathbf{h}_j)

    The plain form of social pooling, whose context joins the own state in the head.

    Args:
        channels: width of the state.
        pooling: makes the pooling from the widths of its input and output, both ``channels``; or
            the pooling.
        max_radius: longest edge of the graph in metres, for a pooling that takes it.

    Shapes:
        - **x:** :math:`(B, N, C)`
        - **graph:** ``edge_index``, ``distance``, ``offset``, ``edge_attr`` and ``mask`` as in
          :class:`socialgraph.nn.SocialPooling`
        - **output:** state and context, each :math:`(B, N, C)`
    """

    @recorded
    def __init__(
        self,
        channels: int,
        pooling: Callable[[int, int], nn.Module] | nn.Module,
        max_radius: float | None = None,
    ) -> None:
        super().__init__()
        self.pooling = _make_pooling(pooling, channels, channels, max_radius)
        self._reads = _reads(self.pooling)

    def forward(self, x: Tensor, **graph: Tensor | None) -> tuple[Tensor, Tensor]:
        return x, self.pooling(x, **{name: graph.get(name) for name in self._reads})


class SocialBlock(nn.Module):
    r"""Perceptron and social pooling, whose part is taken out of the state and given apart.

    .. math::
        \mathbf{h}_i \leftarrow \mathbf{h}_i + \mathrm{MLP}(\mathbf{h}_i), \qquad
        \mathbf{g}_i = \mathbf{W} \, \mathrm{pool}_{j \in \mathcal{N}(i)}(\mathbf{h}_j) +
        \mathbf{b}, \qquad
        \mathbf{h}_i \leftarrow \mathbf{h}_i - \mathbf{g}_i

    Subtracting what the neighbours explain lets blocks be stacked; the form is that of RAGC
    (https://arxiv.org/abs/2506.07179), with social pooling as its graph operator.

    Args:
        channels: width of the state.
        pooling: makes the pooling from the widths of its input and output; or the pooling; None for
            none, then there is no context.
        pooled_channels: width of the pooled state (of one head, if the pooling joins them).
        hidden_channels: width inside the perceptron; None for ``channels``.
        dropout: share of the perceptron's hidden numbers that is dropped in training.
        max_radius: longest edge of the graph in metres, for a pooling that takes it.

    Shapes:
        - **x:** :math:`(B, N, C)`
        - **graph:** ``edge_index``, ``distance``, ``offset``, ``edge_attr`` and ``mask`` as in
          :class:`socialgraph.nn.SocialPooling`
        - **output:** state and context, each :math:`(B, N, C)`; the context None without pooling
    """

    @recorded
    def __init__(
        self,
        channels: int,
        pooling: Callable[[int, int], nn.Module] | nn.Module | None = None,
        pooled_channels: int = 8,
        hidden_channels: int | None = None,
        dropout: float = 0.0,
        max_radius: float | None = None,
    ) -> None:
        super().__init__()
        hidden_channels = channels if hidden_channels is None else hidden_channels
        if hidden_channels < 1:
            raise ValueError(f"Expected 'hidden_channels' of 1 or more (got {hidden_channels}).")
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden_channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_channels, channels),
        )
        self.pooling = None
        if pooling is not None:
            self.pooling = _make_pooling(pooling, channels, pooled_channels, max_radius)
            self._reads = _reads(self.pooling)
            joined = self.pooling.heads if getattr(self.pooling, "concat", False) else 1
            self.context = nn.Linear(pooled_channels * joined, channels)

    def forward(self, x: Tensor, **graph: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = x + self.mlp(x)
        if self.pooling is None:
            return x, None
        pooled = self.pooling(x, **{name: graph.get(name) for name in self._reads})
        context = self.context(pooled)
        return x - context, context


def _make_pooling(
    pooling: Callable | nn.Module, in_channels: int, out_channels: int, max_radius: float | None
) -> nn.Module:
    """The pooling, told the reach of the graph; raises as :func:`check_reach` does."""
    pooling = make_part(pooling, in_channels, out_channels, max_radius=max_radius)
    check_reach(pooling, max_radius)
    return pooling


def _reads(pooling: nn.Module) -> list[str]:
    """What of a graph a pooling looks at."""
    reads = ["edge_index", "distance"]
    if getattr(pooling, "pos_dim", 0):
        reads.append("offset")
    if getattr(pooling, "edge_dim", 0):
        reads.append("edge_attr")
    if "mask" in inspect.signature(pooling.forward).parameters:
        reads.append("mask")
    return reads
