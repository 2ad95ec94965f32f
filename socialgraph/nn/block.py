"""A block of a stacked network: what a detector thinks, less what its neighbours explain."""

from collections.abc import Callable

from torch import Tensor, nn

from socialgraph.nn.sizes import make_pooling, pool
from socialgraph.recipe import recorded

__all__ = ["SocialBlock"]


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
            none, then the context is zero.
        pooled_channels: width of the pooled state (of one head, if the pooling joins them).
        hidden_channels: width inside the perceptron; None for ``channels``.
        dropout: share of the perceptron's hidden numbers that is dropped in training.
        max_radius: longest edge of the graph in metres, for a pooling that takes it.

    Shapes:
        - **x:** :math:`(B, N, C)`
        - **edge_index, distance, offset, edge_attr:** as in :class:`socialgraph.nn.SocialPooling`
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
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden_channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_channels, channels),
        )
        self.pooling = make_pooling(pooling, channels, max_radius, pooled_channels)
        if self.pooling is not None:
            joined = self.pooling.heads if getattr(self.pooling, "concat", False) else 1
            self.context = nn.Linear(pooled_channels * joined, channels)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        distance: Tensor | None = None,
        offset: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        x = x + self.mlp(x)
        if self.pooling is None:
            return x, None
        context = self.context(pool(self.pooling, x, edge_index, distance, offset, edge_attr))
        return x - context, context
