"""The stacked network: parts, encoder, blocks of social pooling, and a head around anchors."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from socialgraph.nn.block import SocialBlock
from socialgraph.nn.embedding import NodeEmbedding
from socialgraph.nn.encoder import XLSTMEncoder
from socialgraph.nn.inputs import last_observed
from socialgraph.nn.parts import Clock, Mask, Profile, Readings
from socialgraph.nn.positions import check_edges, check_positions, check_shape
from socialgraph.nn.sizes import (
    check_built,
    check_given,
    check_reach,
    check_sizes,
    keep_sizes,
    wants,
)
from socialgraph.recipe import recorded

__all__ = ["StackedSocialNet"]

_ONE_BLOCK = partial(XLSTMEncoder, hidden_channels=32, num_blocks=1, slstm_at=())
_EDGES = ("edge_index", "distance", "offset", "edge_attr")
_ENTRIES = ("features", "mask", "positions_xy", "node", *_EDGES)


class StackedSocialNet(nn.Module):
    r"""Forecast of every detector around what it reads last and what it usually reads.

    One encoder with shared weights reads patches of all histories at once; a linear map of the
    whole window, of what is known of the targets, and of the clock is added; blocks of perceptron
    and social pooling follow, each of which takes what the neighbours explain out of the state:

    .. math::
        \hat{\mathbf{y}}_p = \mathbf{W}_p [\mathbf{h} \,\|\, \sum_l \mathbf{g}_l] + \mathbf{b}_p +
        \beta_p \, \mathbf{x}_{last} + \alpha_p \, \mathrm{profile}_p

    with :math:`\alpha, \beta` learned for each step and feature. Without ``node_channels`` nothing
    in it belongs to a detector: it serves detectors that it has never seen, if some days of their
    readings are known.

    Sizes that are left out are told later, by :meth:`build`.

    Args:
        in_channels: features per reading; None (and no other size) to build the network later.
        out_channels: predicted features, the first of the readings' features; None for all.
        window: input steps.
        horizon: predicted steps.
        num_nodes: detectors in training; only needed for ``node_channels`` above 0.
        inputs: what the network is told (:mod:`socialgraph.nn.parts`); None for readings, mask,
            profile and clock. Without a profile the last reading is the only anchor.
        encoder: makes the encoder from its number of input channels, those of a patch; or the
            encoder: :math:`(R, T, C) \to (R, E)`, with ``out_channels``. By default an xLSTM of one
            mLSTM block of width 32.
        patch: steps that the encoder reads at once; the first patch begins with zeros if they do
            not divide the window.
        hidden_channels: width of a detector's state.
        block: makes a block from the width of the state; None for none.
        num_blocks: how many; ignored for a list of blocks.
        node_channels: width of a learned vector per detector; 0 for none.
        max_radius: longest edge of the graph in metres, told to the pooling if it is not known.

    Shapes:
        - **features:** scaled readings :math:`(B, T, N, F)`, 0 where missing
        - **mask:** True where observed, as ``features``
        - **profile, profile_deviation:** scaled :math:`(B, T + P, N, F)`
        - **time_of_day, day_of_week:** of the window :math:`(B, T)`
        - **positions_xy:** metres :math:`(N, 2)`; **edge_index:** :math:`(2, E)`; **distance:**
          metres :math:`(E)`; **offset:** :math:`(E, 2)`; **edge_attr:** :math:`(E, D)`
        - **node:** rows of the detectors among those of training :math:`(N)`; None for all
        - **output:** scaled forecasts :math:`(B, P, N, F)`

    Raises:
        ValueError: if a size is out of range or only some are given, or an entry of the batch that
            a part reads is missing.
        RuntimeError: with pooling, if positions are missing or of another shape (strict mode).
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
        encoder: Callable[[int], nn.Module] | nn.Module = _ONE_BLOCK,
        patch: int = 3,
        hidden_channels: int = 64,
        block: Callable[[int], nn.Module] | list[nn.Module] | None = SocialBlock,
        num_blocks: int = 4,
        node_channels: int = 0,
        max_radius: float | None = None,
    ) -> None:
        super().__init__()
        if patch < 1 or hidden_channels < 1 or num_blocks < 1:
            raise ValueError(
                "Expected 'patch', 'hidden_channels' and 'num_blocks' of 1 or more (got "
                f"{patch}, {hidden_channels} and {num_blocks})."
            )
        parts = [Readings(), Mask(), Profile(), Clock()] if inputs is None else inputs
        self.inputs = nn.ModuleList(parts)
        self.encoder = encoder
        self._block = block
        self.patch = patch
        self.hidden_channels = hidden_channels
        self.num_blocks = num_blocks
        self.node_channels = node_channels
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
    ) -> None:
        """Make the layers, if the sizes were left out; otherwise compare the sizes.

        Args:
            in_channels, out_channels, window, horizon: as in the class.
            vdids: ids of the detectors in training.
            max_radius: longest edge of the graph in metres, for a pooling that takes it.

        Raises:
            ValueError: if the network was made for other sizes, for another number of detectors and
                knows each of them, or with a pooling that reaches further than the graph.
        """
        sizes = (in_channels, out_channels, window, horizon)
        if self.in_channels is None:
            self._build(*sizes, len(vdids), max_radius)
            names = ("in_channels", "out_channels", "window", "horizon", "num_nodes", "max_radius")
            keep_sizes(self, names, (*sizes, len(vdids), max_radius))
        own = (self.in_channels, self.out_channels, self.window, self.horizon)
        if own != sizes:
            raise ValueError(
                "The network was made for in_channels, out_channels, window, horizon = "
                f"{own}, the data have {sizes}. Leave the sizes out, or give these."
            )
        known = self.embedding.num_nodes if self.knows_nodes else len(vdids)
        if known != len(vdids):
            raise ValueError(
                f"The network has vectors of {known} detectors ('node_channels' above 0), the data "
                f"have {len(vdids)}. Leave the sizes out, or start from its weights with "
                "'init_from'."
            )
        for block in self.blocks:
            check_reach(getattr(block, "pooling", None), max_radius)

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
        if window is None or window < 1:
            raise ValueError(f"Expected 'window' of 1 or more with 'in_channels' (got {window}).")
        encoder = self.encoder
        # The state of an optimiser goes by the order of the weights: the same for given parts.
        del self.encoder
        width = dict.fromkeys(("window", "ahead", "node"), 0)
        for part in self.inputs:
            width[part.where] += part.channels(in_channels)
        step = width["window"] + width["ahead"]
        made = isinstance(encoder, nn.Module)
        self.encoder = encoder if made else encoder(self.patch * step)
        hidden = self.hidden_channels
        self.from_encoder = nn.Linear(self.encoder.out_channels, hidden)
        self.from_window = nn.Linear(window * step, hidden, bias=False)
        told = horizon * width["ahead"]
        self.from_ahead = nn.Linear(told, hidden, bias=False) if told else None
        told = width["node"]
        self.from_node = nn.Linear(told, hidden, bias=False) if told else None
        self.embedding = (
            NodeEmbedding(num_nodes, self.node_channels) if self.node_channels else None
        )
        channels = hidden + self.node_channels
        self.blocks = _make_blocks(self._block, self.num_blocks, channels, max_radius)
        self.head = nn.Linear(2 * channels, horizon * out_channels)
        self.last_weight = nn.Parameter(torch.full((horizon, 1, out_channels), 0.3))
        usual = any(isinstance(part, Profile) for part in self.inputs)
        anchor = nn.Parameter(torch.full((horizon, 1, out_channels), 0.5)) if usual else None
        self.register_parameter("profile_weight", anchor)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.window, self.horizon = window, horizon

    def forward(self, **batch: Tensor) -> Tensor:
        self._check(batch)
        features, mask = batch["features"], batch["mask"]
        size, window, nodes, _ = features.shape
        told = {"window": [], "ahead": [], "node": []}
        for part in self.inputs:
            told[part.where].append(part(batch))
        steps = [*told["window"], *(part[:, :window] for part in told["ahead"])]
        x = torch.cat(steps, dim=-1).transpose(1, 2)  # [B, N, T, C]
        h = self.from_window(x.flatten(2)) + self._encode(x.flatten(0, 1)).view(size, nodes, -1)
        if self.from_ahead is not None:
            ahead = torch.cat([part[:, window:] for part in told["ahead"]], dim=-1)
            h = h + self.from_ahead(ahead.transpose(1, 2).flatten(2))
        if self.from_node is not None:
            h = h + self.from_node(torch.cat(told["node"], dim=-1))
        if self.embedding is not None:
            h = torch.cat([h, self.embedding(batch.get("node"), size)], dim=-1)
        context = torch.zeros_like(h)
        for block in self.blocks:
            h, own = block(h, **{name: batch[name] for name in _EDGES if name in batch})
            context = context if own is None else context + own
        forecast = self.head(torch.cat([h, context], dim=-1))  # [B, N, P * F]
        forecast = forecast.unflatten(-1, (self.horizon, -1)).transpose(1, 2)
        return forecast + self._anchors(features, mask, batch.get("profile"))

    def check_batch(self, positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
        """Refuse positions that pooling cannot work with, once before a batch is read.

        Raises:
            RuntimeError: with pooling, if positions are missing or invalid (strict mode).
        """
        if self.pooling is not None:
            check_positions(positions_xy, vdids)

    @property
    def entries(self) -> set[str]:
        """Names of the entries of a batch that it reads."""
        return {*_ENTRIES, *(entry for part in self.inputs for entry in part.entries)}

    @property
    def block(self) -> Callable[[int], nn.Module] | list[nn.Module] | None:
        """What makes the blocks; once they are made, these."""
        return self._block if self.in_channels is None else list(self.blocks)

    @property
    def pooling(self) -> nn.Module | None:
        """The pooling of the first block that has one."""
        poolings = (getattr(block, "pooling", None) for block in getattr(self, "blocks", ()))
        return next((pooling for pooling in poolings if pooling is not None), None)

    @property
    def knows_nodes(self) -> bool:
        """Whether it has weights of its own for each detector."""
        return self.node_channels > 0

    def node_weights(self, num_nodes: int) -> dict[str, list[str]]:
        """Names in ``state_dict`` of weights with a row for each detector; of each, its parts."""
        return {"embedding.weight": []} if self.knows_nodes else {}

    def no_weight_decay(self) -> set[str]:
        """Names of the anchors' weights, whose rest is not 0."""
        return {"last_weight", "profile_weight"}

    def _encode(self, x: Tensor) -> Tensor:
        """State ``[R, C]`` of windows ``[R, T, C]``."""
        x = F.pad(x, (0, 0, -x.size(1) % self.patch, 0))
        patches = x.unflatten(1, (-1, self.patch)).flatten(2)  # [R, T / patch, patch * C]
        return self.from_encoder(self.encoder(patches))

    def _anchors(self, features: Tensor, mask: Tensor, profile: Tensor | None) -> Tensor:
        channels, window = slice(self.out_channels), features.size(1)
        last = last_observed(features, mask)[..., channels]  # [B, N, F]
        if self.profile_weight is None:
            return self.last_weight * last.unsqueeze(1)
        silent = ~mask[..., channels].any(dim=1)
        last = torch.where(silent, profile[:, window - 1, :, channels], last)
        usual = profile[:, window:, :, channels]
        return self.last_weight * last.unsqueeze(1) + self.profile_weight * usual

    def _check(self, batch: dict[str, Tensor]) -> None:
        check_built(self)
        wanted = {entry for part in self.inputs for entry in part.entries} | {"features", "mask"}
        absent = sorted(wanted - set(batch))
        if absent:
            raise ValueError(
                f"Expected {absent} in the batch, which 'inputs' of the network read. Take the "
                "part out of 'inputs', or give the entries."
            )
        if self.pooling is not None:
            check_shape(batch.get("positions_xy"), batch["features"].size(2))
            check_edges(batch.get("edge_index"), batch.get("distance"))


def _make_blocks(
    block: Callable[[int], nn.Module] | list[nn.Module] | None,
    num_blocks: int,
    channels: int,
    max_radius: float | None,
) -> nn.ModuleList:
    if block is None or isinstance(block, Sequence):
        return nn.ModuleList(block or [])
    reach = {"max_radius": max_radius} if wants(block, "max_radius") else {}
    return nn.ModuleList(block(channels, **reach) for _ in range(num_blocks))
