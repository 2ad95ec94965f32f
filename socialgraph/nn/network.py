"""The whole network: encoder, pooling, fusion, head."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from socialgraph.nn.encoder import EncoderState, XLSTMEncoder
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.inputs import NodeInputs, last_observed
from socialgraph.nn.positions import check_edges, check_positions, check_shape
from socialgraph.nn.sizes import (
    check_built,
    check_encoder,
    check_given,
    check_reach,
    check_sizes,
    keep_sizes,
    make_pooling,
    pool,
)
from socialgraph.recipe import recorded

__all__ = ["NetworkState", "SocialGraphNet"]


class NetworkState(NamedTuple):
    """What a network remembers of a stream of readings.

    Args:
        encoder: state of the encoder, one row per detector.
        last: last observed scaled readings :math:`(N, F)`, 0 before the first.
    """

    encoder: EncoderState
    last: Tensor


class SocialGraphNet(nn.Module):
    r"""Forecast of every detector from its own history and its neighbours' states.

    One encoder with shared weights reads all histories at once,
    :math:`(B, T, N, C) \to (B \cdot N, T, C) \to (B, N, E)`; social pooling adds the context of
    each detector; a head regresses the next steps. Readings are scaled (zero mean, unit deviation)
    on the way in and out.

    Sizes that are left out are told later, by :meth:`build`; a
    :class:`socialgraph.forecaster.Forecaster` does that when it meets its data.

    A stream is followed reading by reading with :meth:`start` and :meth:`step`, at a cost that does
    not grow with the history, and with the forecasts that ``forward`` gives for all of it.

    Args:
        in_channels: features per reading; None (and no other size) to build the network later.
        out_channels: predicted features, the first of the readings' features; None for all.
        horizon: predicted steps.
        num_nodes: detectors in training; only needed for ``node_channels`` above 0.
        encoder: makes the encoder from its number of input channels; or the encoder.
        pooling: makes the pooling from the encoder's width (as ``in_channels`` and
            ``out_channels``); or the pooling; None for none, then no positions are needed and the
            context is zero.
        use_mask: give the encoder the mask of observed readings.
        use_time_of_day: give it sine and cosine of the time of day.
        use_day_of_week: give it the day of the week, one channel per day.
        node_channels: width of a learned embedding per detector; 0 for none, then the network also
            serves detectors that it has never seen.
        from_last: predict the change from the last observed reading (from the mean, if a window
            has none) instead of the reading itself.

    Shapes:
        - **features:** scaled readings :math:`(B, T, N, F)`, 0 where missing
        - **mask:** True where observed :math:`(B, T, N, F)`
        - **time_of_day:** share of the day that has passed :math:`(B, T)`, in :math:`[0, 1)`
        - **day_of_week:** 0 for Monday :math:`(B, T)`, integer
        - **positions_xy:** metres :math:`(N, 2)`
        - **edge_index:** :math:`(2, E)`; **distance:** metres :math:`(E)`; **offset:** east and
          north in metres :math:`(E, 2)`, for a pooling with ``pos_dim``; **edge_attr:**
          :math:`(E, D)`, for a pooling with ``edge_dim``
        - **node:** rows of the detectors among those of training :math:`(N)`, for
          ``node_channels`` above 0; None for all in order
        - **output:** scaled forecasts :math:`(B, P, N, F)`

    Raises:
        ValueError: if a size is out of range or does not fit the encoder, only some are given, or
            ``node_channels`` is above 0 and ``node`` or ``num_nodes`` tells of other detectors.
        RuntimeError: with pooling, if positions are missing or of another shape (strict mode;
            :meth:`check_batch` looks at their values too).
    """

    @recorded
    def __init__(
        self,
        in_channels: int | None = None,
        out_channels: int | None = None,
        horizon: int | None = None,
        num_nodes: int | None = None,
        encoder: Callable[[int], nn.Module] | nn.Module = XLSTMEncoder,
        pooling: Callable[[int, int], nn.Module] | nn.Module | None = None,
        use_mask: bool = True,
        use_time_of_day: bool = True,
        use_day_of_week: bool = True,
        node_channels: int = 0,
        from_last: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.options = (use_mask, use_time_of_day, use_day_of_week)
        self.node_channels = node_channels
        self.from_last = from_last
        self.in_channels = None
        check_given(in_channels, out_channels, horizon, num_nodes)
        if in_channels is not None:
            out_channels = in_channels if out_channels is None else out_channels
            self._build(in_channels, out_channels, horizon, num_nodes or 0, None)

    def build(
        self,
        in_channels: int,
        out_channels: int,
        horizon: int,
        vdids: Sequence[str],
        max_radius: float | None = None,
    ) -> None:
        """Make the layers, if the sizes were left out; otherwise compare the sizes.

        Args:
            in_channels, out_channels, horizon: as in the class.
            vdids: ids of the detectors in training.
            max_radius: longest edge of the graph in metres, for a pooling that takes it.

        Raises:
            ValueError: if the network was made for other sizes, for another number of detectors and
                knows each of them, or with a pooling that reaches further than the graph.
        """
        if self.in_channels is None:
            self._build(in_channels, out_channels, horizon, len(vdids), max_radius)
            sizes = (in_channels, out_channels, horizon, len(vdids))
            keep_sizes(self, ("in_channels", "out_channels", "horizon", "num_nodes"), sizes)
        own = (self.in_channels, self.out_channels, self.horizon)
        if own != (in_channels, out_channels, horizon):
            raise ValueError(
                f"The network was made for in_channels, out_channels, horizon = {own}, the data "
                f"have {(in_channels, out_channels, horizon)}. Leave the sizes out, or give these."
            )
        known = self.inputs.embedding.num_nodes if self.knows_nodes else len(vdids)
        if known != len(vdids):
            raise ValueError(
                f"The network has vectors of {known} detectors ('node_channels' above 0), the data "
                f"have {len(vdids)}. Leave the sizes out, or start from its weights with "
                "'init_from'."
            )
        check_reach(self.pooling, max_radius)

    def _build(
        self,
        in_channels: int,
        out_channels: int,
        horizon: int,
        num_nodes: int,
        max_radius: float | None,
    ) -> None:
        check_sizes(in_channels, out_channels, horizon)
        encoder, pooling = self.encoder, self.pooling
        # The state of an optimiser goes by the order of the weights: the same for given parts.
        del self.encoder, self.pooling
        self.inputs = NodeInputs(in_channels, *self.options, self.node_channels, num_nodes)
        made = isinstance(encoder, nn.Module)
        self.encoder = encoder if made else encoder(self.inputs.out_channels)
        check_encoder(self.encoder, self.inputs)
        width = self.encoder.out_channels
        self.pooling = make_pooling(pooling, width, max_radius)
        self.fusion = GatedFusion(width, width) if self.pooling is not None else None
        self.head = RegressionHead(width, out_channels, horizon)
        self.in_channels, self.out_channels, self.horizon = in_channels, out_channels, horizon

    def forward(
        self,
        features: Tensor,
        mask: Tensor,
        time_of_day: Tensor | None = None,
        day_of_week: Tensor | None = None,
        positions_xy: Tensor | None = None,
        edge_index: Tensor | None = None,
        distance: Tensor | None = None,
        offset: Tensor | None = None,
        edge_attr: Tensor | None = None,
        node: Tensor | None = None,
    ) -> Tensor:
        batch, window, nodes, _ = features.shape
        self._check(nodes, positions_xy, edge_index, distance)
        x = self.inputs(features, mask, time_of_day, day_of_week, node)  # [B, T, N, C]
        x = x.transpose(1, 2).reshape(batch * nodes, window, -1)  # [B * N, T, C]
        state = self.encoder(x).view(batch, nodes, -1)  # [B, N, E]
        last = last_observed(features, mask)
        return self._decode(state, last, edge_index, distance, offset, edge_attr)

    def check_batch(self, positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
        """Refuse positions that pooling cannot work with, once before a batch is read.

        Args:
            positions_xy: metres ``[N, 2]``, or None if the batch has none.
            vdids: ids of the detectors, N.

        Raises:
            RuntimeError: with pooling, if positions are missing or invalid (strict mode).
        """
        if self.pooling is not None:
            check_positions(positions_xy, vdids)

    @property
    def knows_nodes(self) -> bool:
        """Whether it has weights of its own for each detector."""
        return self.node_channels > 0

    def node_weights(self, num_nodes: int) -> dict[str, list[str]]:
        """Names in ``state_dict`` of weights with a row for each detector; of each, its parts."""
        return {"inputs.embedding.weight": []} if self.knows_nodes else {}

    def start(self, num_nodes: int) -> NetworkState:
        """State of detectors before their first reading.

        Raises:
            RuntimeError: if the network has no sizes yet.
        """
        check_built(self)
        last = self.encoder.project.weight.new_zeros(num_nodes, self.inputs.in_channels)
        return NetworkState(self.encoder.start(num_nodes), last)

    def step(
        self,
        state: NetworkState,
        features: Tensor,
        mask: Tensor,
        time_of_day: Tensor | None = None,
        day_of_week: Tensor | None = None,
        positions_xy: Tensor | None = None,
        edge_index: Tensor | None = None,
        distance: Tensor | None = None,
        offset: Tensor | None = None,
        edge_attr: Tensor | None = None,
        node: Tensor | None = None,
        out: NetworkState | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Forecast after one more reading of every detector.

        Args:
            state: what was before.
            features: scaled readings ``[N, F]``, 0 where missing.
            mask: True where observed ``[N, F]``; a reading that is missing still lets time pass.
            time_of_day: share of the day that has passed, no axes.
            day_of_week: 0 for Monday, no axes.
            positions_xy, edge_index, distance, offset, edge_attr, node: as in ``forward``.
            out: a state of as many detectors, in whose memory the encoder's is returned; without
                gradients.

        Returns:
            Scaled forecasts ``[P, N, F]``, and the state after the reading.

        Raises:
            RuntimeError: with pooling, if positions are missing or of another shape.
        """
        self._check(len(features), positions_xy, edge_index, distance)
        clock = [None if part is None else part.view(1, 1) for part in (time_of_day, day_of_week)]
        x = self.inputs(features[None, None], mask[None, None], *clock, node)[0, 0]  # [N, C]
        embedding, encoder = self.encoder.step(x, state.encoder, out and out.encoder)
        last = torch.where(mask, features, state.last)
        forecast = self._decode(
            embedding[None], last[None], edge_index, distance, offset, edge_attr
        )
        return forecast[0], NetworkState(encoder, last)

    def _check(
        self,
        nodes: int,
        positions_xy: Tensor | None,
        edge_index: Tensor | None,
        distance: Tensor | None,
    ) -> None:
        check_built(self)
        if self.pooling is not None:
            check_shape(positions_xy, nodes)
            check_edges(edge_index, distance)

    def _decode(self, state: Tensor, last: Tensor, *graph: Tensor | None) -> Tensor:
        """Forecasts ``[B, P, N, F]`` from embeddings ``[B, N, E]`` and last readings."""
        if self.pooling is not None:
            state = self.fusion(state, pool(self.pooling, state, *graph))
        forecast = self.head(state)  # [B, P, N, F]
        if self.from_last:
            forecast = forecast + last[:, None, :, : self.out_channels]
        return forecast
