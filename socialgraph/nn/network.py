"""The whole network: input parts, encoder, identity, blocks, and a head around anchors."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from socialgraph.nn.block import SocialBlock
from socialgraph.nn.embedding import NodeEmbedding
from socialgraph.nn.encoder import XLSTMEncoder
from socialgraph.nn.encoders import LinearEncoder, SumEncoder
from socialgraph.nn.head import RegressionHead
from socialgraph.nn.inputs import Clock, Mask, Profile, Readings, last_observed
from socialgraph.nn.positions import check_edges, check_positions, check_shape, check_vd_positions
from socialgraph.nn.sizes import (
    check_built,
    check_encoder,
    check_given,
    check_reach,
    check_sizes,
    keep_sizes,
    make_part,
)
from socialgraph.nn.state import NetworkState
from socialgraph.recipe import recorded

__all__ = ["SocialGraphNet"]

_PATCHES = partial(
    XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=(), out_channels=64, patch=3
)
_ENCODER = partial(SumEncoder, encoders=(_PATCHES, LinearEncoder))
_BLOCK = partial(SocialBlock, hidden_channels=256)
_GRAPH = ("edge_index", "distance", "offset", "edge_attr")


class SocialGraphNet(nn.Module):
    r"""Forecast of every detector from its own history and its neighbours' states.

    One encoder with shared weights reads all histories at once,
    :math:`(B, T, N, C) \to (B \cdot N, T, C) \to (B, N, E)`; blocks of social pooling add the
    context of each detector; a linear map of both regresses the next steps around anchors, the
    last reading and what the detector usually reads at the target:

    .. math::
        \mathbf{h} = \mathrm{encoder}(\mathbf{x}_{t - T + 1 \dots t}) + \mathbf{W}_a
        \mathbf{x}_{t + 1 \dots t + P} + \mathbf{W}_n \mathbf{x}_{node}, \qquad
        \mathbf{h}, \mathbf{g}_l \leftarrow \mathrm{block}_l(\mathbf{h})

        \hat{\mathbf{y}}_p = \mathbf{W}_p [\mathbf{h} \,\|\, \textstyle\sum_l \mathbf{g}_l] +
        \mathbf{b}_p + \beta_p \, \mathbf{x}_{last} + \alpha_p \, \mathrm{profile}_p

    with :math:`\alpha, \beta` learned for each step and feature. Readings are scaled (zero mean,
    unit deviation) on the way in and out. Sizes that are left out are told later, by
    :meth:`build`.

    A network whose encoder has ``start`` and goes on from a state, ``encoder(x, state, out)``,
    follows a stream reading by reading, with the forecasts that ``forward`` gives for all of the
    history, at a cost that does not grow with it: :meth:`start` and :meth:`step`.

    Args:
        in_channels: features per reading; None (and no other size) to build the network later.
        out_channels: predicted features, the first of the readings' features; None for all.
        window: input steps; only needed for encoders that take it.
        horizon: predicted steps.
        num_nodes: detectors in training; only needed for ``node_channels`` above 0 and an encoder
            that takes it.
        inputs: what the network is told (:mod:`socialgraph.nn.inputs`); None for readings, mask,
            profile and clock. Without a profile the last reading is the only anchor.
        encoder: makes the encoder from its number of input channels; or the encoder:
            :math:`(R, T, C) \to (R, E)`, with ``out_channels``. By default an xLSTM of one mLSTM
            block of width 16 over patches of 3 steps, and a linear map of the window.
        node_channels: width of a learned vector per detector; 0 for none.
        block: makes a block from the width of the state: state and graph to state and context (or
            None); a list of such, or of blocks; None for none. By default one without pooling.
        num_blocks: how many; ignored for a list.
        head_channels: width inside the head; None for one linear map.
        mask_silent: take detectors without a reading in the window out of the pooling.
        max_radius: longest edge of the graph in metres, told to the pooling if it is not known.
        width: numbers for each predicted step and feature, as the objective wants them
            (:class:`socialgraph.objective.Objective`); anchors are added to the first.

    Shapes:
        - **features:** scaled readings :math:`(B, T, N, F)`, 0 where missing
        - **mask:** True where observed, as ``features``
        - **profile, profile_deviation:** scaled :math:`(B, T + P, N, F)`
        - **time_of_day:** share of the day that has passed :math:`(B, T)`; **day_of_week:** 0 for
          Monday, likewise; **target_time_of_day, target_day_of_week:** :math:`(B, P)`
        - **attributes:** scaled :math:`(N, A)`; **known:** scaled :math:`(B, T + P, N, K)`
        - **positions_xy:** metres :math:`(N, 2)`; **edge_index:** :math:`(2, E)`; **distance:**
          metres :math:`(E)`; **offset:** east and north :math:`(E, 2)`; **edge_attr:**
          :math:`(E, D)`
        - **node:** rows of the detectors among those of training :math:`(N)`, -1 for a stranger;
          None for all in order
        - **output:** scaled forecasts :math:`(B, P, N, F)`; with ``width`` above 1 these and then
          the other numbers of all features :math:`(B, P, N, W \cdot F)`

    Raises:
        ValueError: if a size is out of range or does not fit the encoder, only some are given, or
            an entry of the batch that a part reads is missing.
        RuntimeError: with pooling, if positions are missing or of another shape (strict mode;
            :meth:`check_batch` looks at their values too).
    """

    @recorded
    def __init__(
        self,
        in_channels: int | None = None,
        out_channels: int | None = None,
        window: int | None = None,
        horizon: int | None = None,
        num_nodes: int | None = None,
        inputs: list[nn.Module] | None = None,
        encoder: Callable[[int], nn.Module] | nn.Module = _ENCODER,
        node_channels: int = 0,
        block: Callable[[int], nn.Module]
        | Sequence[Callable[[int], nn.Module] | nn.Module]
        | None = _BLOCK,
        num_blocks: int = 2,
        head_channels: int | None = None,
        mask_silent: bool = False,
        max_radius: float | None = None,
        width: int = 1,
    ) -> None:
        super().__init__()
        if num_blocks < 1 or node_channels < 0:
            raise ValueError(
                "Expected 'num_blocks' of 1 or more and 'node_channels' of 0 or more (got "
                f"{num_blocks} and {node_channels})."
            )
        parts = [Readings(), Mask(), Profile(), Clock()] if inputs is None else inputs
        self.inputs = nn.ModuleList(parts)
        self.encoder = encoder
        listed = block is None or isinstance(block, Sequence)
        self.block = list(block or []) if listed else [block] * num_blocks  # later what they made
        self.node_channels = node_channels
        self.head_channels = head_channels
        self.mask_silent = mask_silent
        self.width = width
        self.in_channels = None
        check_given(in_channels, out_channels, window, horizon, num_nodes)
        if in_channels is not None:
            out_channels = in_channels if out_channels is None else out_channels
            self._build(in_channels, out_channels, window, horizon, num_nodes or 0, max_radius)

    def build(
        self,
        in_channels: int,
        out_channels: int,
        window: int,
        horizon: int,
        vdids: Sequence[str],
        max_radius: float | None = None,
        width: int = 1,
    ) -> None:
        """Make the layers, if the sizes were left out; otherwise compare the sizes.

        Args:
            in_channels, out_channels, window, horizon: as in the class.
            vdids: ids of the detectors in training.
            max_radius: longest edge of the graph in metres, for a pooling that takes it.
            width: as in the class.

        Raises:
            ValueError: if the network was made for other sizes, for another number of detectors and
                knows each of them, or with a pooling that reaches further than the graph.
        """
        names = ("in_channels", "out_channels", "window", "horizon", "num_nodes")
        sizes = dict(
            zip(names, (in_channels, out_channels, window, horizon, len(vdids)), strict=True)
        )
        if self.in_channels is None:
            self.width = width
            self._build(*sizes.values(), max_radius)
            keep_sizes(self, sizes | {"max_radius": max_radius, "width": width})
        sizes["width"] = width
        compared = [n for n in sizes if n != "num_nodes" or self.knows_nodes]
        own, given = ({name: part[name] for name in compared} for part in (vars(self), sizes))
        if self.window is None:
            own["window"] = given["window"]
        if own != given:
            raise ValueError(
                f"The network was made for {own}, the data have {given}. Leave the sizes out, give "
                "these, or start from its weights with 'init_from'."
            )
        for pooling in self.poolings:
            check_reach(pooling, max_radius)

    def _build(
        self,
        in_channels: int,
        out_channels: int,
        window: int | None,
        horizon: int | None,
        num_nodes: int,
        max_radius: float | None,
    ) -> None:
        check_sizes(in_channels, out_channels, horizon)
        encoder = self.encoder
        # The state of an optimiser goes by the order of the weights: the same for given parts.
        del self.encoder
        told = dict.fromkeys(("window", "ahead", "node"), 0)
        for part in self.inputs:
            told[part.where] += part.channels(in_channels)
        step = told["window"] + told["ahead"]
        self.encoder = make_part(encoder, step, window=window, num_nodes=num_nodes)
        check_encoder(self.encoder, step)
        own = getattr(self.encoder, "num_nodes", num_nodes)
        if own != num_nodes:
            raise ValueError(
                f"The encoder was made for {own} detectors, the network is for {num_nodes}. Give "
                "what makes the encoder instead."
            )
        channels = self.encoder.out_channels
        self.from_ahead = _map(horizon * told["ahead"], channels)
        self.from_node = _map(told["node"], channels)
        self.embedding = (
            NodeEmbedding(num_nodes, self.node_channels) if self.node_channels else None
        )
        channels += self.node_channels
        self.blocks = nn.ModuleList(
            make_part(block, channels, max_radius=max_radius) for block in self.block
        )
        self.block = list(self.blocks)
        width = 2 * channels if self.poolings else channels
        self.head = RegressionHead(width, self.width * out_channels, horizon, self.head_channels)
        usual = any(isinstance(part, Profile) for part in self.inputs)
        self.last_weight = _anchor(0.3 if usual else 1.0, horizon, out_channels)
        self.register_parameter(
            "profile_weight", _anchor(0.5, horizon, out_channels) if usual else None
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.window, self.horizon, self.num_nodes = window, horizon, num_nodes

    def forward(self, **batch: Tensor) -> Tensor:
        self._check(batch)
        told = self._read(batch)
        state = self._encode(told["step"].flatten(0, 1), batch.get("node"))
        last = last_observed(batch["features"], batch["mask"])
        return self._decode(state.unflatten(0, told["step"].shape[:2]), told, last, batch)

    def start(self, rows: int) -> NetworkState:
        """State before the first reading, of so many rows: detectors, times streams.

        Raises:
            RuntimeError: if the network has no sizes yet, or it carries no state (:attr:`steps`).
        """
        check_built(self)
        if not self.steps:
            raise RuntimeError(
                f"The network carries no state from step to step ({type(self.encoder).__name__}, "
                f"patch = {getattr(self.encoder, 'patch', 1)}, mask_silent = {self.mask_silent}). "
                "Give 'forward' the last window."
            )
        last = self.last_weight.new_full((rows, self.in_channels), torch.nan)
        return NetworkState(self.encoder.start(rows), last.detach())

    def step(
        self, state: NetworkState, out: NetworkState | None = None, **batch: Tensor
    ) -> tuple[Tensor, NetworkState]:
        """Forecast after more readings of every detector, one step or some.

        Args:
            state: what was before, the detectors of a window next to each other.
            out: a state of as many rows, in whose memory the encoder's is returned; without
                gradients.
            batch: as in ``forward``, with windows of any length; a reading that is missing still
                lets time pass.

        Returns:
            Scaled forecasts ``[B, P, N, F]`` of the steps after the windows, and the state there.

        Raises:
            ValueError, RuntimeError: as ``forward`` does.
        """
        self._check(batch)
        told = self._read(batch)
        rows = told["step"].shape[:2]
        h, encoder = self.encoder(told["step"].flatten(0, 1), state.encoder, out and out.encoder)
        last = last_observed(batch["features"], batch["mask"]).flatten(0, 1)
        last = torch.where(last.isnan(), state.last, last)
        forecast = self._decode(h.unflatten(0, rows), told, last.unflatten(0, rows), batch)
        return forecast, NetworkState(encoder, last)

    def check_batch(self, positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
        """Refuse positions that pooling cannot work with, once before a batch is read.

        Args:
            positions_xy: metres ``[N, 2]``, or None if the batch has none.
            vdids: ids of the detectors, N.

        Raises:
            RuntimeError: with pooling, if positions are missing or invalid (strict mode).
        """
        if self.poolings:
            check = check_positions if self.serves_strangers else check_vd_positions
            check(positions_xy, vdids)

    @property
    def entries(self) -> set[str]:
        """Names of the entries of a batch that it reads."""
        parts = {entry for part in self.inputs for entry in part.entries}
        return parts | {"features", "mask", "positions_xy", "node", *_GRAPH}

    @property
    def poolings(self) -> list[nn.Module]:
        """The poolings of all blocks that have one."""
        found = (getattr(block, "pooling", None) for block in getattr(self, "blocks", ()))
        return [pooling for pooling in found if pooling is not None]

    @property
    def steps(self) -> bool:
        """Whether it can follow a stream from a state that its encoder carries."""
        carries = hasattr(self.encoder, "start") and getattr(self.encoder, "patch", 1) == 1
        return carries and not self.mask_silent  # a step does not tell who was silent before

    @property
    def knows_nodes(self) -> bool:
        """Whether it has weights of its own for each detector."""
        return self.node_channels > 0 or not self.serves_strangers

    @property
    def serves_strangers(self) -> bool:
        """Whether it forecasts detectors that were not in training."""
        return not getattr(self.encoder, "knows_nodes", False)

    def node_weights(self, num_nodes: int) -> dict[str, list[str]]:
        """Names in ``state_dict`` of weights with a row for each of ``num_nodes`` detectors.

        A weight that is kept in parts, one for each detector, comes with their names.
        """
        named = {"embedding.weight": []} if self.node_channels else {}
        if not self.serves_strangers:
            named |= {
                f"encoder.{name}": [f"encoder.{part}" for part in parts]
                for name, parts in self.encoder.node_weights(num_nodes).items()
            }
        return named

    def no_weight_decay(self) -> set[str]:
        """Names of the anchors' weights, whose rest is not 0, and of stacked vectors."""
        stacked = set() if self.serves_strangers else self.encoder.no_weight_decay()
        return {"last_weight", "profile_weight", *(f"encoder.{name}" for name in stacked)}

    def _check(self, batch: dict[str, Tensor]) -> None:
        check_built(self)
        wanted = {"features", "mask", *(entry for part in self.inputs for entry in part.entries)}
        absent = sorted(name for name in wanted if batch.get(name) is None)
        if absent:
            raise ValueError(
                f"Expected {absent} in the batch, which 'inputs' of the network read. Take the "
                "part out of 'inputs', or give the entries."
            )
        nodes, node = batch["features"].size(2), batch.get("node")
        known = self.num_nodes if node is None else node.size(0)
        if self.knows_nodes and nodes != known:
            raise ValueError(
                f"Expected readings of {known} detectors, as 'node' or the network has them (got "
                f"features {tuple(batch['features'].shape)}, [batch, window, detectors, features])."
            )
        if self.poolings:
            check_shape(batch.get("positions_xy"), nodes)
            check_edges(batch.get("edge_index"), batch.get("distance"))

    def _read(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the parts say: of each ``step`` ``[B, N, T, C]``, ``ahead`` and of each ``node``."""
        size, window, nodes, _ = batch["features"].shape
        told = {"window": [], "ahead": [], "node": []}
        for part in self.inputs:
            whole = part(batch)
            axes = whole.shape[1:-2] if part.where != "node" else ()
            told[part.where].append(whole.expand(size, *axes, nodes, -1))
        steps = [*told["window"], *(part[:, :window] for part in told["ahead"])]
        read = {"step": torch.cat(steps, dim=-1).transpose(1, 2)}
        if told["ahead"]:
            ahead = torch.cat([part[:, window:] for part in told["ahead"]], dim=-1)
            read["ahead"] = ahead.transpose(1, 2).flatten(2)  # [B, N, P * C]
        if told["node"]:
            read["node"] = torch.cat(told["node"], dim=-1)  # [B, N, C]
        return read

    def _encode(self, x: Tensor, node: Tensor | None) -> Tensor:
        """States ``[B * N, E]`` of sequences ``[B * N, T, C]``."""
        return self.encoder(x) if self.serves_strangers else self.encoder(x, node)

    def _decode(
        self, h: Tensor, told: dict[str, Tensor], last: Tensor, batch: dict[str, Tensor]
    ) -> Tensor:
        """Forecasts from states ``[B, N, E]`` and last readings ``[B, N, F]``."""
        if self.from_ahead is not None:
            h = h + self.from_ahead(told["ahead"])
        if self.from_node is not None:
            h = h + self.from_node(told["node"])
        if self.embedding is not None:
            h = torch.cat([h, self.embedding(batch.get("node"), h.size(0))], dim=-1)
        graph = {name: batch.get(name) for name in _GRAPH}
        graph["mask"] = batch["mask"].any(dim=3).any(dim=1) if self.mask_silent else None
        contexts = []
        for block in self.blocks:
            h, context = block(h, **graph)
            contexts += [] if context is None else [context]
        if contexts:
            h = torch.cat([h, sum(contexts)], dim=-1)
        anchors = self._anchors(last, batch)
        if self.width > 1:  # those of the first number alone
            anchors = F.pad(anchors, (0, (self.width - 1) * self.out_channels))
        return self.head(h) + anchors

    def _anchors(self, last: Tensor, batch: dict[str, Tensor]) -> Tensor:
        channels, window = slice(self.out_channels), batch["features"].size(1)
        last = last[..., channels]
        if self.profile_weight is None:
            return self.last_weight * last.nan_to_num().unsqueeze(1)
        profile = batch["profile"][..., channels]
        last = torch.where(last.isnan(), profile[:, window - 1], last)
        return self.last_weight * last.unsqueeze(1) + self.profile_weight * profile[:, window:]


def _map(width: int, channels: int) -> nn.Linear | None:
    return nn.Linear(width, channels, bias=False) if width else None


def _anchor(start: float, horizon: int, channels: int) -> nn.Parameter:
    return nn.Parameter(torch.full((horizon, 1, channels), start))
