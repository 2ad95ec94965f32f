"""Social pooling: what a node's neighbours within a radius are doing."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.utils import scatter, softmax

__all__ = ["SocialPooling"]

Aggregation = Literal["mean", "attention", "max", "inverse_distance"]


class SocialPooling(MessagePassing):
    r"""Aggregate of the neighbours' states within a radius that is given or learned.

    .. math::
        \mathbf{s}_i = p_i \sum_{j \in \mathcal{N}(i)} \alpha_{ji} \mathbf{W} \mathbf{x}_j, \qquad
        \alpha_{ji} = \underset{j \in \mathcal{N}(i)}{\mathrm{softmax}}
        \left( a_{ji} + \log w(d_{ji}) \right), \qquad
        p_i = 1 - \prod_{j \in \mathcal{N}(i)} \left( 1 - w(d_{ji}) \right)

    where :math:`d_{ji}` is the length of the edge and the score :math:`a_{ji}` is

    ====================  ======================================================================
    ``mean``              :math:`0`
    ``inverse_distance``  :math:`-\log \max(d_{ji}, 0.001\, r_{max})`
    ``attention``         :math:`(\mathbf{W}_q \mathbf{x}_i)^\top (\mathbf{W}_k \mathbf{x}_j) /
                          \sqrt{C_{out}}`, in each head
    ====================  ======================================================================

    and ``max`` takes :math:`p_i \max_j (\mathbf{W} \mathbf{x}_j + \log w(d_{ji}))` in each channel.

    A *learned* radius :math:`r = r_{max}\,\sigma(\rho)` (one per head) weighs every edge with
    :math:`w(d) = \sigma((r - d) / s)`; :math:`p_i` is the share of "somebody is within reach" in
    which these weights add up, so that a neighbour who leaves the reach fades out even if it is the
    only one. A *fixed* radius is the limit :math:`s \to 0`: :math:`w(d) = 1` for :math:`d \le r`,
    else 0, and :math:`p_i` is 1 with a neighbour and 0 without.

    Social pooling after Alahi et al., `Social LSTM <https://doi.org/10.1109/CVPR.2016.110>`_, with
    the grid of cells replaced by a graph; attention after Vaswani et al., `Attention Is All You
    Need <https://arxiv.org/abs/1706.03762>`_.

    Args:
        in_channels: width of a node's state.
        out_channels: width of the pooled state (of one head, if ``concat``).
        aggr: ``"mean"``, ``"attention"``, ``"max"`` or ``"inverse_distance"``.
        radius: reach in the unit of the distances (metres), at the start if it is learned.
        max_radius: longest edge of the graph, in the same unit; a learned radius stays below it.
        learn_radius: learn the radius; otherwise it is fixed and hard.
        softness: :math:`s`, the width of the fading in the same unit; None for ``max_radius / 10``.
        heads: attention heads.
        concat: join the heads' outputs to ``heads * out_channels``; otherwise take their mean.

    Shapes:
        - **x:** node states :math:`(*, N, C_{in})`; leading axes share one graph (a static graph),
          and PyG's mini-batches :math:`(B \cdot N, C_{in})` give the same numbers
        - **edge_index:** :math:`(2, E)`, senders in row 0, receivers in row 1; self loops are
          ignored
        - **distance:** edge lengths :math:`(E)`; or **pos:** positions :math:`(N, D)`, from which
          they are taken
        - **output:** :math:`(*, N, C_{out})`; zero for a node with nobody in reach

    Raises:
        ValueError: where an option is out of range, or neither or both of ``distance`` and ``pos``
            are given.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        aggr: Aggregation = "mean",
        radius: float = 1000.0,
        max_radius: float = 2000.0,
        learn_radius: bool = True,
        softness: float | None = None,
        heads: int = 1,
        concat: bool = False,
    ) -> None:
        super().__init__(aggr="max" if aggr == "max" else "sum", node_dim=-2)
        softness = max_radius / 10 if softness is None else softness
        _check_options(aggr, radius, max_radius, learn_radius, softness, heads)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.aggregation = aggr
        self.max_radius = max_radius
        self.learn_radius = learn_radius
        self.softness = softness
        self.heads = heads
        self.concat = concat
        self.initial_radius = radius
        self.lin_value = Linear(in_channels, heads * out_channels, bias=False)
        if aggr == "attention":
            self.lin_query = Linear(in_channels, heads * out_channels, bias=False)
            self.lin_key = Linear(in_channels, heads * out_channels, bias=False)
        if learn_radius:
            self.radius_logit = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights and set the radius back to where it started."""
        super().reset_parameters()
        self.lin_value.reset_parameters()
        if self.aggregation == "attention":
            self.lin_query.reset_parameters()
            self.lin_key.reset_parameters()
        if self.learn_radius:
            share = torch.tensor(self.initial_radius / self.max_radius)
            nn.init.constant_(self.radius_logit, torch.logit(share).item())

    @property
    def radius(self) -> Tensor:
        """The reach of each head ``[heads]``, in the unit of the distances."""
        if self.learn_radius:
            return self.max_radius * torch.sigmoid(self.radius_logit)
        return self.lin_value.weight.new_full((self.heads,), self.initial_radius)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        distance: Tensor | None = None,
        pos: Tensor | None = None,
    ) -> Tensor:
        if (distance is None) == (pos is None):
            raise ValueError("Expected either 'distance' or 'pos' (got both or neither).")
        if distance is None:
            distance = torch.linalg.vector_norm(pos[edge_index[0]] - pos[edge_index[1]], dim=-1)
        if distance.dim() != 1:
            raise ValueError(f"Expected 'distance' of shape [E] (got {tuple(distance.shape)}).")
        edge_index, distance = self._edges_in_reach(edge_index, distance)
        log_weight, reach = self._soft_radius(distance, edge_index[1], x.size(-2))
        value = self.lin_value(x)  # [*, N, H * C]
        if self.aggregation == "max":
            return reach * self.propagate(edge_index, x=value, weight=log_weight)
        score = self._score(x, edge_index, distance) + log_weight  # [*, E, H]
        weight = softmax(score, edge_index[1], num_nodes=x.size(-2), dim=-2)
        pooled = self.propagate(edge_index, x=value, weight=weight)  # [*, N, H * C]
        pooled = reach.unsqueeze(-1) * pooled.unflatten(-1, (self.heads, self.out_channels))
        return pooled.flatten(-2) if self.concat else pooled.mean(dim=-2)  # [*, N, C]

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        """Weighted states of the senders ``[*, E, H * C]``."""
        if self.aggregation == "max":
            return x_j + weight
        heads = x_j.unflatten(-1, (self.heads, self.out_channels))
        return (weight.unsqueeze(-1) * heads).flatten(-2)

    def _edges_in_reach(self, edge_index: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        kept = edge_index[0] != edge_index[1]
        if not self.learn_radius:
            kept = kept & (distance <= self.initial_radius)
        return edge_index[:, kept], distance[kept].to(self.lin_value.weight.dtype)

    def _soft_radius(
        self, distance: Tensor, receiver: Tensor, num_nodes: int
    ) -> tuple[Tensor, Tensor]:
        """Log-weights ``[E, H]`` and the share of somebody in reach ``[N, H]``."""
        if not self.learn_radius:
            none = distance.new_zeros(len(distance), self.heads)
            return none, distance.new_ones(num_nodes, self.heads)
        depth = (self.radius - distance.unsqueeze(-1)) / self.softness  # [E, H]
        # 1 - w = sigmoid(-depth), so that the log of the product is a sum of -softplus(depth).
        nobody = scatter(F.softplus(depth), receiver, dim=0, dim_size=num_nodes, reduce="sum")
        return F.logsigmoid(depth), -torch.expm1(-nobody)

    def _score(self, x: Tensor, edge_index: Tensor, distance: Tensor) -> Tensor:
        """Scores before the radius, ``[*, E, H]``."""
        if self.aggregation == "mean":
            return distance.new_zeros(len(distance), 1)
        if self.aggregation == "inverse_distance":
            return -distance.clamp(min=1e-3 * self.max_radius).log().unsqueeze(-1)
        shape = (self.heads, self.out_channels)
        query = self.lin_query(x).unflatten(-1, shape).index_select(-3, edge_index[1])
        key = self.lin_key(x).unflatten(-1, shape).index_select(-3, edge_index[0])
        return (query * key).sum(dim=-1) / self.out_channels**0.5

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"aggr={self.aggregation}, heads={self.heads})"
        )


def _check_options(
    aggr: str, radius: float, max_radius: float, learn_radius: bool, softness: float, heads: int
) -> None:
    if aggr not in get_args(Aggregation):
        raise ValueError(f"Expected 'aggr' as one of {list(get_args(Aggregation))} (got {aggr!r}).")
    if not 0 < radius <= max_radius or (learn_radius and radius == max_radius):
        raise ValueError(
            f"Expected 'radius' above 0 and {'below' if learn_radius else 'up to'} 'max_radius' = "
            f"{max_radius}, the longest edge of the graph (got {radius}). Lower 'radius', or build "
            "the graph with a larger 'max_radius'."
        )
    if not softness > 0:
        raise ValueError(f"Expected 'softness' above 0 (got {softness}).")
    if heads < 1 or (heads > 1 and aggr != "attention"):
        raise ValueError(f"Expected 'heads' = 1, or more with aggr='attention' (got {heads}).")
