"""Social pooling: what a node's neighbours within a radius are doing."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import is_compiling
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import zeros
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import scatter, softmax

from socialgraph.nn.edges import Edges, read_edges
from socialgraph.nn.precision import precise_dtype
from socialgraph.nn.sparse import (
    Neighborhood,
    edge_dot,
    edge_softmax,
    has_sampled_product,
    neighbor_sum,
    neighborhood,
    to_edges,
)
from socialgraph.recipe import recorded

__all__ = ["SocialPooling"]

Aggregation = Literal["mean", "attention", "max", "inverse_distance"]

# From this radius on, lengths that all lie in [0, 1] are taken to be of another unit.
UNSCALED_FROM = 100.0

_MEANING = ("min_radius", "max_radius", "softness", "learn_radius")


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
    ``attention``         :math:`(\mathbf{W}_q \mathbf{x}_i)^\top (\mathbf{W}_k \mathbf{x}_j +
                          \mathbf{W}_p (\mathbf{p}_j - \mathbf{p}_i) / r_{max} +
                          \mathbf{W}_e \mathbf{e}_{ji}) / \sqrt{C_{out}}` in each head, with
                          :math:`\mathbf{W}_p` only for ``pos_dim`` above 0, and
                          :math:`\mathbf{W}_e` only for ``edge_dim`` above 0
    ====================  ======================================================================

    and ``max`` takes :math:`p_i \max_j (\mathbf{W} \mathbf{x}_j + \log w(d_{ji}))` in each channel.

    A *learned* radius :math:`r = r_{min} + (r_{max} - r_{min})\,\sigma(\rho)` (one per head) weighs
    every edge with :math:`w(d) = \sigma((r - d) / s)`; :math:`p_i` is the share of "somebody is
    within reach" in which these weights add up, so that a neighbour who leaves the reach fades out
    even if it is the only one. A *fixed* radius is the limit :math:`s \to 0`: :math:`w(d) = 1` for
    :math:`d \le r`, else 0, and :math:`p_i` is 1 with a neighbour and 0 without.

    Social pooling after Alahi et al., `Social LSTM <https://doi.org/10.1109/CVPR.2016.110>`_, with
    the grid of cells replaced by a graph; attention after Vaswani et al., `Attention Is All You
    Need <https://arxiv.org/abs/1706.03762>`_.

    On a CPU the states of neighbours are summed by sparse products
    (:mod:`socialgraph.nn.sparse`) from :attr:`fuse_from` gathered numbers on; below, elsewhere, and
    in a compiled, exported or explained model by PyG's gathering and scattering, which
    ``layer.fuse = False`` takes always, as in other layers of PyG; transforms of ``torch.func``,
    batched gradients and ``torch.jit.trace`` need that.

    Args:
        in_channels: width of a node's state; a tuple for those of senders and receivers; -1 to take
            it from the first input.
        out_channels: width of the pooled state (of one head, if ``concat``).
        aggr: ``"mean"``, ``"attention"``, ``"max"`` or ``"inverse_distance"``.
        radius: reach in the unit of the lengths, at the start if it is learned; one number, or one
            for each head.
        max_radius: longest edge of the graph, in the same unit; a learned radius stays below it.
            None for twice the (largest) ``radius``.
        min_radius: a learned radius stays above it.
        learn_radius: learn the radius (``layer.radius_logit.requires_grad_(False)`` freezes it
            where it is); otherwise it is fixed and hard.
        softness: :math:`s`, the width of the fading in the same unit; None for ``max_radius / 10``.
        heads: attention heads.
        concat: join the heads' outputs to ``heads * out_channels``; otherwise take their mean.
        pos_dim: coordinates of the relative position that attention looks at, so that it can tell
            up from down; 0 for none, then only the distance counts.
        edge_dim: further attributes of an edge that attention looks at; 0 for none.
        dropout: share of the weights :math:`p_i \alpha_{ji}` that is dropped in training, after
            those that are returned; weights that are shared by all windows are dropped in all.
        bias: add a learned vector, also where nobody is in reach.
        residual: add :math:`\mathbf{W}_r \mathbf{x}_i`.
        flow: ``"source_to_target"``, or ``"target_to_source"`` for edges that are read backwards.

    Shapes:
        - **x:** node states :math:`(*, N, C_{in})`, or a tuple for senders and receivers, None for
          receivers whose state is not needed; leading axes share one graph (a static graph), and
          PyG's mini-batches :math:`(B \cdot N, C_{in})` give the same numbers
        - **edge_index:** :math:`(2, E)`, senders in row 0, receivers in row 1 (the other way round
          for the other ``flow``; tuples are in the order of the rows); an ``EdgeIndex``; or a
          transposed sparse adjacency :math:`(N, N)`, whose values are the lengths if there is no
          other source. Self loops are ignored, unless ``x`` is a tuple of two different tensors
        - **distance:** lengths :math:`(*, E)` or :math:`(E, 1)`, in the unit of the radius
        - **pos:** positions :math:`(*, N, D)`, or a tuple; or **offset:** positions of row 0
          relative to row 1 :math:`(*, E, D)`, which may not be given besides. Their norms are the
          lengths if there is no ``distance`` (which may be one by road)
        - **edge_attr:** further attributes :math:`(*, E, D_e)` for ``edge_dim`` above 0; never read
          as lengths
        - **mask:** True where a sender is observed :math:`(*, N)`; the edges of others are as if
          gone, whatever their states, positions and attributes hold, and if they receive, their own
          state counts as zero. None for all
        - **size:** numbers of nodes in rows 0 and 1 of ``edge_index``, if ``x`` does not tell
        - **output:** :math:`(*, N, C_{out})`; without ``bias`` and ``residual`` zero for a node
          with nobody in reach. With ``return_attention_weights`` also a tuple of ``edge_index`` and
          the weights :math:`p_i \alpha_{ji}` :math:`(*, E, H)`, zero for edges without a part

    The bounds of the radius, ``softness`` and a fixed radius are part of ``state_dict``: a layer
    with others refuses the weights, which would mean another reach there.

    Raises:
        ValueError: if an option is out of range, the lengths come from no or contradicting sources
            or seem to be scaled to [0, 1] against a radius of 100 or more, a shape does not fit, or
            loaded weights belong to other bounds. Lengths are read for this on a CPU, and elsewhere
            in the first forward pass only; never in compiled code or transforms of ``torch.func``.
        IndexError: if ``edge_index`` names a node that there is not.
    """

    #: Edges × windows × channels from which sparse products were faster (``benchmarks.pooling``).
    fuse_from = 100_000
    _lengths_were_read = False

    @recorded
    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: Aggregation = "mean",
        *,
        radius: float | Sequence[float],
        max_radius: float | None = None,
        min_radius: float = 0.0,
        learn_radius: bool = True,
        softness: float | None = None,
        heads: int = 1,
        concat: bool = False,
        pos_dim: int = 0,
        edge_dim: int = 0,
        dropout: float = 0.0,
        bias: bool = False,
        residual: bool = False,
        flow: Literal["source_to_target", "target_to_source"] = "source_to_target",
    ) -> None:
        super().__init__(aggr="max" if aggr == "max" else "sum", flow=flow, node_dim=-2)
        radii = torch.as_tensor(radius, dtype=torch.double).reshape(-1).tolist()
        max_radius = 2 * max(radii, default=0.0) if max_radius is None else max_radius
        softness = max_radius / 10 if softness is None else softness
        _check_options(aggr, heads, dropout, pos_dim=pos_dim, edge_dim=edge_dim)
        _check_radius(radii, min_radius, max_radius, learn_radius, softness, heads)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.aggregation = aggr
        self.initial_radius = radii * heads if len(radii) == 1 else radii
        self.max_radius = float(max_radius)
        self.min_radius = float(min_radius)
        self.learn_radius = learn_radius
        self.softness = float(softness)
        self.heads = heads
        self.concat = concat
        self.pos_dim = pos_dim
        self.edge_dim = edge_dim
        self.dropout = dropout
        self.residual = residual
        self.fuse = True
        self._i, self._j = (1, 0) if flow == "source_to_target" else (0, 1)

        pair = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
        total = out_channels * (heads if concat else 1)
        self.lin_value = Linear(pair[self._j], heads * out_channels, bias=False)
        if aggr == "attention":
            self.lin_query = Linear(pair[self._i], heads * out_channels, bias=False)
            self.lin_key = Linear(pair[self._j], heads * out_channels, bias=False)
        if pos_dim:
            self.lin_pos = Linear(pos_dim, heads * out_channels, bias=False)
        if edge_dim:
            self.lin_edge = Linear(edge_dim, heads * out_channels, bias=False)
        if residual:
            self.res = Linear(pair[self._i], total, bias=False)
        self.register_parameter("bias", nn.Parameter(torch.empty(total)) if bias else None)
        if learn_radius:
            self.radius_logit = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights and set the radius back to where it started."""
        super().reset_parameters()
        for module in self.children():
            if isinstance(module, Linear):
                module.reset_parameters()
        zeros(self.bias)
        if self.learn_radius:
            share = torch.tensor(self.initial_radius, dtype=torch.double) - self.min_radius
            share = share / (self.max_radius - self.min_radius)
            with torch.no_grad():
                self.radius_logit.copy_(torch.logit(share))

    @property
    def radius(self) -> Tensor:
        """The reach of each head ``[heads]``, in the unit of the lengths."""
        if self.learn_radius:
            span = self.max_radius - self.min_radius
            share = torch.sigmoid(self.radius_logit.to(self._precision))
            return self.min_radius + span * share
        return torch.tensor(self.initial_radius, dtype=self._precision)

    def get_extra_state(self) -> Tensor:
        """Return what the weights mean in the unit of the radius; saved in ``state_dict``: bounds,
        softness, whether the radius is learned, and the radii if not, float64 ``[4]`` or more."""
        fixed = () if self.learn_radius else self.initial_radius
        return torch.tensor([*(getattr(self, n) for n in _MEANING), *fixed], dtype=torch.float64)

    def set_extra_state(self, state: Tensor | dict) -> None:
        """Refuse the weights of a layer with other bounds, softness or fixed radius.

        Args:
            state: what :meth:`get_extra_state` gave; earlier checkpoints hold a dictionary.
        """
        own = _by_name(self.get_extra_state())
        state = _by_name(state) if isinstance(state, Tensor) else state
        names = [name for name in {**state, **own} if state.get(name) != own.get(name)]
        if names:
            saved, here = (
                ", ".join(f"{name}={part[name]}" for name in names if name in part)
                for part in (state, own)
            )
            raise ValueError(
                f"Expected the weights of a SocialPooling with {here} (got those of one with "
                f"{saved}). Build the layer with {saved}, or train this one anew."
            )

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Tensor | SparseTensor,
        edge_attr: Tensor | None = None,
        pos: Tensor | tuple[Tensor, Tensor] | None = None,
        distance: Tensor | None = None,
        offset: Tensor | None = None,
        mask: Tensor | None = None,
        size: tuple[int, int] | None = None,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        pair = (x, x) if isinstance(x, Tensor) else tuple(x)
        source, target = pair[self._j], pair[self._i]
        if source is None or (
            target is None and (self.residual or self.aggregation == "attention")
        ):
            raise ValueError(
                "Expected states of the senders, and with attention or 'residual' of the receivers "
                f"(got x[{0 if pair[0] is None else 1}] = None)."
            )
        nodes = tuple(None if end is None else end.size(-2) for end in pair)
        edges = read_edges(
            edge_index, self.flow, nodes, size, edge_attr, pos, distance, offset, self.edge_dim
        )
        one_set = pair[0] is pair[1]
        self._check_unit(edges, one_set, from_offset=offset is not None and distance is None)
        if not self.pos_dim:
            edges = edges._replace(offset=None)
        kept = self._kept(edges, one_set)
        if mask is not None:
            kept = kept & _present(mask, source, edges, one_set).unsqueeze(-1)
            source = source.masked_fill(~mask.unsqueeze(-1), 0)
            target = source if one_set else target
        edges = edges.without(~kept.any(dim=-1))
        value = self.lin_value(source)  # [*, N, H * C]
        graph = self._neighborhood(edges, value)
        if self.aggregation == "max":
            weight = None
            out = self._max(value, edges, kept)
        else:
            weight = self._weight(source, target, edges, kept.mT, graph)  # [*, H, E]
            dropped = F.dropout(weight, self.dropout, self.training)
            out = self._weighted_sum(dropped, value, edges, graph)
        if not self.concat and self.heads > 1:
            out = out.unflatten(-1, (self.heads, self.out_channels)).mean(dim=-2)
        out = out.to(value.dtype)
        if self.residual:
            out = out + self.res(target)
        if self.bias is not None:
            out = out + self.bias
        if not return_attention_weights:
            return out
        if weight is None:
            raise ValueError("Expected an 'aggr' that has weights to return (got 'max').")
        return out, (edges.index, weight.mT)

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        """Weighted states of the senders ``[*, E, H * C]``."""
        if self.aggregation == "max":
            return x_j + weight
        heads = x_j.unflatten(-1, (self.heads, self.out_channels))
        return (weight.unsqueeze(-1) * heads).flatten(-2)

    def _check_unit(self, edges: Edges, one_set: bool, from_offset: bool) -> None:
        """Refuse lengths that were scaled to [0, 1] against a radius that was not."""
        radius, length = min(self.initial_radius), edges.length
        if radius < UNSCALED_FROM or length.numel() == 0 or not self._may_read(length):
            return
        used = length.isfinite()
        if one_set:
            used = used & (edges.sender != edges.receiver)
        longest = torch.where(used, length, 0).max().item()
        # Coordinates from 0 to 1 make lengths up to the diagonal of a cube.
        if 0 < longest <= (edges.offset.size(-1) ** 0.5 if from_offset else 1):
            raise ValueError(
                f"Expected lengths in the unit of 'radius' = {radius:g} (got {longest:.4g} as the "
                "longest). T.Distance() and T.Cartesian() scale to [0, 1] by default: give them "
                "norm=False, or give the layer a 'radius' in the unit of the lengths."
            )
        self._lengths_were_read = True

    def _may_read(self, length: Tensor) -> bool:
        """Whether the lengths can be read, and without waiting for a device in each pass."""
        if is_compiling() or torch._C._are_functorch_transforms_active() or length.is_meta:
            return False
        return length.device.type == "cpu" or not self._lengths_were_read

    def _neighborhood(self, edges: Edges, value: Tensor) -> Neighborhood | None:
        """Edges for sparse products, if these can be used and pay; else None."""
        able = (
            self.fuse
            and self.aggregation != "max"
            and not self._is_watched()
            and value.device.type == "cpu"
            and not self.explain
            and not is_compiling()
            and has_sampled_product()
        )
        nodes, count = value.size(-2), edges.sender.numel()
        many = count * value.numel() >= max(1, self.fuse_from * nodes)
        if not (able and many and count <= nodes * edges.num_receivers):
            return None
        return neighborhood(edges.index, self._j, (nodes, edges.num_receivers))

    def _is_watched(self) -> bool:
        """Whether messages are hooked or changed by a subclass, so that they must be made."""
        hooks = (
            self._propagate_forward_pre_hooks,
            self._propagate_forward_hooks,
            self._message_forward_pre_hooks,
            self._message_forward_hooks,
            self._aggregate_forward_pre_hooks,
            self._aggregate_forward_hooks,
        )
        return any(hooks) or type(self).message is not SocialPooling.message

    def _kept(self, edges: Edges, one_set: bool) -> Tensor:
        """True where an edge has a part, ``[*, E, 1 or H]``."""
        kept = edges.sender != edges.receiver
        kept = kept if one_set else torch.ones_like(kept)
        kept = (kept & (edges.length != torch.inf)).unsqueeze(-1)
        if not self.learn_radius:
            # Compared with numbers, which are taken in the precision of the lengths.
            radii = self.initial_radius[: 1 if len(set(self.initial_radius)) == 1 else None]
            kept = kept & torch.stack([edges.length <= radius for radius in radii], dim=-1)
        return kept

    def _weight(
        self,
        source: Tensor,
        target: Tensor | None,
        edges: Edges,
        kept: Tensor,
        graph: Neighborhood | None,
    ) -> Tensor:
        """Weights of the edges ``[*, 1 or H, E]``, in single precision or better."""
        if self.aggregation == "mean" and not self.learn_radius:
            kept = kept.to(self._precision)
            count = _sum(kept, edges).clamp(min=1)
            return kept / count.index_select(-1, edges.receiver)
        score, share = self._score_of_length(edges), kept
        if self.learn_radius:
            log_weight, reach = self._soft_radius(edges, kept)
            score = score + log_weight
            share = kept * reach.index_select(-1, edges.receiver)
        # Not minus infinity, which a softmax over nothing else would turn to NaN.
        least = torch.finfo(self._precision).min / 2
        score = torch.where(kept, score, least)
        if self.aggregation == "attention":
            # Added to a score that is so low, another one is lost in rounding.
            score = score + self._score_of_states(source, target, edges, graph)
        if graph is None:
            weight = softmax(score, edges.receiver, num_nodes=edges.num_receivers, dim=-1)
        else:
            weight = edge_softmax(score.flatten(0, -2), graph).view(score.shape)
        return weight * share

    def _max(self, value: Tensor, edges: Edges, kept: Tensor) -> Tensor:
        """Maximum over the neighbours, ``[*, N, C]``."""
        kept, dtype = kept.mT, self._precision
        somebody = _sum(kept.to(dtype), edges).clamp(max=1)  # [*, 1, N]
        weight, reach = edges.length.new_zeros((), dtype=dtype), somebody
        if self.learn_radius:
            weight, reach = self._soft_radius(edges, kept)
        weight = torch.where(kept, weight, torch.finfo(dtype).min / 2).mT  # [*, E, 1]
        pooled = self.propagate(edges.index, x=value.to(dtype), weight=weight, size=edges.size)
        return torch.where(somebody.mT > 0, reach.mT * pooled, 0)

    @property
    def _precision(self) -> torch.dtype:
        """Type of scores and weights."""
        return precise_dtype(self.lin_value.weight.dtype)

    def _soft_radius(self, edges: Edges, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Log-weights ``[*, H, E]``, and the share of somebody within reach ``[*, H, N]``."""
        radius = self.radius.unsqueeze(-1)
        depth = (radius - edges.length.to(self._precision).unsqueeze(-2)) / self.softness
        # With w = sigmoid(depth), softplus(depth) is -log(1 - w), and depth less it is log(w).
        far = F.softplus(depth, threshold=50)
        return depth - far, -torch.expm1(-_sum(kept * far, edges))

    def _score_of_length(self, edges: Edges) -> Tensor:
        """Part of the length in the scores, ``[*, 1, E]``, or 0."""
        if self.aggregation != "inverse_distance":
            return edges.length.new_zeros((), dtype=self._precision)
        length = edges.length.to(self._precision).clamp(min=1e-3 * self.max_radius)
        return -length.log().unsqueeze(-2)

    def _score_of_states(
        self, source: Tensor, target: Tensor, edges: Edges, graph: Neighborhood | None
    ) -> Tensor:
        """Part of the states and the relative position in the scores, ``[*, H, E]``."""
        query = self._by_head(self.lin_query(target)) / self.out_channels**0.5  # [*, H, N, C]
        score = _score(query, self._by_head(self.lin_key(source)), edges, graph)
        if self.pos_dim:
            if edges.offset is None or edges.offset.size(-1) != self.pos_dim:
                found = "lengths only" if edges.offset is None else edges.offset.size(-1)
                raise ValueError(
                    f"Expected relative positions with 'pos_dim' = {self.pos_dim} coordinates, "
                    f"from 'pos' or 'offset' (got {found})."
                )
            offset = edges.offset / self.max_radius
            score = score + self._score_of_edge(query, self.lin_pos, offset, edges, graph)
        if self.edge_dim:
            score = score + self._score_of_edge(query, self.lin_edge, edges.attr, edges, graph)
        return score

    def _score_of_edge(
        self,
        query: Tensor,
        lin: Linear,
        feature: Tensor,
        edges: Edges,
        graph: Neighborhood | None,
    ) -> Tensor:
        """Part of a feature of the edges ``[*, E, D]`` in the scores, ``[*, H, E]``."""
        weight = lin.weight.to(query.dtype).view(self.heads, self.out_channels, -1)
        query, feature = torch.matmul(query, weight), feature.to(query.dtype)  # [*, H, N, D]
        score = 0
        for part, own in zip(query.unbind(-1), feature.unbind(-1), strict=True):
            if graph is None:
                part = part.index_select(-1, edges.receiver)
            else:
                part = to_edges(part.flatten(0, -2), graph).view(*part.shape[:-1], -1)
            score = score + part * own.unsqueeze(-2)
        return score

    def _weighted_sum(
        self, weight: Tensor, value: Tensor, edges: Edges, graph: Neighborhood | None
    ) -> Tensor:
        """Sum over the neighbours ``[*, N, H * C]``, with weights ``[*, H, E]``."""
        if graph is None:
            return self.propagate(edges.index, x=value, weight=weight.mT, size=edges.size)
        if weight.dim() == 2 and weight.size(0) == 1:  # the same weights for all leading axes
            rows = value.movedim(-2, 0)  # [N, *, C]
            total = neighbor_sum(weight, rows.flatten(1).unsqueeze(0).to(weight.dtype), graph)
            return total.view(-1, *rows.shape[1:]).movedim(0, -2)
        value = self._by_head(value)  # [*, H, N, C]
        lead = _common_shape(value.shape[:-2], weight.shape[:-1])
        weight = weight.expand(*lead, -1).flatten(0, -2)
        total = neighbor_sum(weight, value.expand(*lead, -1, -1).flatten(0, -3), graph)
        return total.view(*lead, -1, self.out_channels).transpose(-2, -3).flatten(-2)

    def _by_head(self, x: Tensor) -> Tensor:
        """``[*, N, H * C]`` as ``[*, H, N, C]``, in the precision of the scores."""
        by_head = x.to(self._precision).unflatten(-1, (self.heads, self.out_channels))
        return by_head.transpose(-2, -3)

    def __repr__(self) -> str:
        heads = f", heads={self.heads}" if self.aggregation == "attention" else ""
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"aggr={self.aggregation}{heads})"
        )


def _present(mask: Tensor, source: Tensor, edges: Edges, one_set: bool) -> Tensor:
    """True where the sender is observed, and the edge known unless its receiver is absent."""
    if mask.dtype != torch.bool or mask.size(-1) != source.size(-2):
        raise ValueError(
            f"Expected 'mask' as booleans of shape [*, {source.size(-2)}], one per sender (got "
            f"{mask.dtype} of shape {tuple(mask.shape)})."
        )
    present = mask.index_select(-1, edges.sender)
    if one_set:
        present = present & (edges.known() | mask.index_select(-1, edges.receiver))
    return present


def _common_shape(first: torch.Size, second: torch.Size) -> torch.Size:
    """Shape to which both can be expanded; PyTorch's own function is slow for the usual case."""
    return first if first == second else torch.broadcast_shapes(first, second)


def _score(query: Tensor, key: Tensor, edges: Edges, graph: Neighborhood | None) -> Tensor:
    """Products ``[*, H, E]`` of both ends' vectors ``[*, H, N, C]``."""
    if graph is None:
        ends = query.index_select(-2, edges.receiver), key.index_select(-2, edges.sender)
        return (ends[0] * ends[1]).sum(dim=-1)
    lead = _common_shape(query.shape[:-2], key.shape[:-2])
    ends = (end.expand(*lead, -1, -1).flatten(0, -3) for end in (query, key))
    return edge_dot(*ends, graph).view(*lead, -1)


def _sum(x: Tensor, edges: Edges) -> Tensor:
    """Sums over the edges of each receiver, ``[*, H, E]`` to ``[*, H, N]``."""
    return scatter(x, edges.receiver, dim=-1, dim_size=edges.num_receivers, reduce="sum")


def _by_name(meaning: Tensor) -> dict[str, float | bool | list[float]]:
    """The numbers of :meth:`SocialPooling.get_extra_state` by name."""
    *values, learned = meaning[: len(_MEANING)].tolist()
    named = dict(zip(_MEANING, [*values, bool(learned)], strict=True))
    return named if learned else named | {"radius": meaning[len(_MEANING) :].tolist()}


def _check_options(aggr: str, heads: int, dropout: float, **widths: int) -> None:
    if aggr not in get_args(Aggregation):
        raise ValueError(f"Expected 'aggr' as one of {list(get_args(Aggregation))} (got {aggr!r}).")
    if heads < 1 or (heads > 1 and aggr != "attention"):
        raise ValueError(f"Expected 'heads' = 1, or more with aggr='attention' (got {heads}).")
    for name, width in widths.items():
        if width < 0 or (width > 0 and aggr != "attention"):
            raise ValueError(f"Expected '{name}' = 0, or more with aggr='attention' (got {width}).")
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected 'dropout' from 0 to below 1 (got {dropout}).")
    if dropout and aggr == "max":
        raise ValueError("Expected 'dropout' = 0 with aggr='max', which has no weights to drop.")


def _check_radius(
    radii: list[float],
    min_radius: float,
    max_radius: float,
    learn_radius: bool,
    softness: float,
    heads: int,
) -> None:
    if len(radii) not in (1, heads):
        raise ValueError(f"Expected one 'radius', or one for each of {heads} heads (got {radii}).")
    if not 0 <= min_radius < max_radius < torch.inf:
        raise ValueError(
            f"Expected 'min_radius' from 0 to below a finite 'max_radius' (got {min_radius} and "
            f"{max_radius})."
        )
    if not all(0 < r <= max_radius and (not learn_radius or r < max_radius) for r in radii):
        raise ValueError(
            f"Expected 'radius' above 0 and {'below' if learn_radius else 'up to'} 'max_radius' = "
            f"{max_radius}, the longest edge of the graph (got {radii}). Lower 'radius', or build "
            "the graph with a larger 'max_radius'."
        )
    if learn_radius and not all(r > min_radius for r in radii):
        raise ValueError(
            f"Expected a learned 'radius' above 'min_radius' = {min_radius} (got {radii})."
        )
    if not softness > 0:
        raise ValueError(f"Expected 'softness' above 0 (got {softness}).")
