"""The whole network: encoder, pooling, fusion, head."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from socialgraph.nn.encoder import EncoderState, XLSTMEncoder
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.inputs import NodeInputs, last_observed
from socialgraph.nn.pooling import SocialPooling
from socialgraph.nn.positions import check_edges, check_positions

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

    A stream is followed reading by reading with :meth:`start` and :meth:`step`, at a cost that does
    not grow with the history, and with the forecasts that ``forward`` gives for all of it.

    Args:
        in_channels: features per reading.
        horizon: predicted steps.
        encoder: makes the encoder from its number of input channels.
        pooling: makes the pooling from the encoder's width (as ``in_channels`` and
            ``out_channels``); None for none, then no positions are needed and the context is zero.
        out_channels: predicted features, the first of the readings' features; None for all.
        use_mask: give the encoder the mask of observed readings.
        use_time_of_day: give it sine and cosine of the time of day.
        use_day_of_week: give it the day of the week, one channel per day.
        node_channels: width of a learned embedding per detector; 0 for none, then the network also
            serves detectors that it has never seen.
        num_nodes: detectors in training; only needed for ``node_channels`` above 0.
        from_last: predict the change from the last observed reading (from the mean, where a window
            has none) instead of the reading itself.

    Shapes:
        - **features:** scaled readings :math:`(B, T, N, F)`, 0 where missing
        - **mask:** True where observed :math:`(B, T, N, F)`
        - **time_of_day:** share of the day that has passed :math:`(B, T)`, in :math:`[0, 1)`
        - **day_of_week:** 0 for Monday :math:`(B, T)`, integer
        - **positions_xy:** metres :math:`(N, 2)`
        - **edge_index:** :math:`(2, E)`; **distance:** metres :math:`(E)`
        - **vd_ids:** ids of the detectors, N
        - **output:** scaled forecasts :math:`(B, P, N, F)`

    Raises:
        RuntimeError: with pooling, where positions are missing or invalid (strict mode).
    """

    def __init__(
        self,
        in_channels: int,
        horizon: int,
        encoder: Callable[[int], XLSTMEncoder] = XLSTMEncoder,
        pooling: Callable[[int, int], SocialPooling] | None = None,
        out_channels: int | None = None,
        use_mask: bool = True,
        use_time_of_day: bool = True,
        use_day_of_week: bool = True,
        node_channels: int = 0,
        num_nodes: int = 0,
        from_last: bool = True,
    ) -> None:
        super().__init__()
        self.from_last = from_last
        self.out_channels = in_channels if out_channels is None else out_channels
        self.inputs = NodeInputs(
            in_channels, use_mask, use_time_of_day, use_day_of_week, node_channels, num_nodes
        )
        self.encoder = encoder(self.inputs.out_channels)
        width = self.encoder.out_channels
        self.pooling = pooling(width, width) if pooling else None
        self.fusion = GatedFusion(width, width) if pooling else None
        self.head = RegressionHead(width, self.out_channels, horizon)

    def forward(
        self,
        features: Tensor,
        mask: Tensor,
        time_of_day: Tensor | None = None,
        day_of_week: Tensor | None = None,
        positions_xy: Tensor | None = None,
        edge_index: Tensor | None = None,
        distance: Tensor | None = None,
        vd_ids: list[str] | None = None,
    ) -> Tensor:
        batch, window, nodes, _ = features.shape
        self._check(nodes, positions_xy, edge_index, distance, vd_ids)
        x = self.inputs(features, mask, time_of_day, day_of_week, vd_ids)  # [B, T, N, C]
        x = x.transpose(1, 2).reshape(batch * nodes, window, -1)  # [B * N, T, C]
        state = self.encoder(x).view(batch, nodes, -1)  # [B, N, E]
        return self._decode(state, last_observed(features, mask), edge_index, distance)

    def start(self, num_nodes: int) -> NetworkState:
        """State of detectors before their first reading."""
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
        vd_ids: list[str] | None = None,
        out: NetworkState | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Forecast after one more reading of every detector.

        Args:
            state: what was before.
            features: scaled readings ``[N, F]``, 0 where missing.
            mask: True where observed ``[N, F]``; a reading that is missing still lets time pass.
            time_of_day: share of the day that has passed, no axes.
            day_of_week: 0 for Monday, no axes.
            positions_xy, edge_index, distance, vd_ids: as in ``forward``.
            out: a state of as many detectors, in whose memory the encoder's is returned; without
                gradients.

        Returns:
            Scaled forecasts ``[P, N, F]``, and the state after the reading.

        Raises:
            RuntimeError: with pooling, where positions are missing or invalid (strict mode).
        """
        self._check(len(features), positions_xy, edge_index, distance, vd_ids)
        clock = [None if part is None else part.view(1, 1) for part in (time_of_day, day_of_week)]
        x = self.inputs(features[None, None], mask[None, None], *clock, vd_ids)[0, 0]  # [N, C]
        embedding, encoder = self.encoder.step(x, state.encoder, out and out.encoder)
        last = torch.where(mask, features, state.last)
        forecast = self._decode(embedding[None], last[None], edge_index, distance)
        return forecast[0], NetworkState(encoder, last)

    def _check(
        self,
        nodes: int,
        positions_xy: Tensor | None,
        edge_index: Tensor | None,
        distance: Tensor | None,
        vd_ids: list[str] | None,
    ) -> None:
        if self.pooling is not None:
            check_positions(positions_xy, nodes, vd_ids)
            check_edges(edge_index, distance)

    def _decode(
        self, state: Tensor, last: Tensor, edge_index: Tensor | None, distance: Tensor | None
    ) -> Tensor:
        """Forecasts ``[B, P, N, F]`` from embeddings ``[B, N, E]`` and last readings."""
        if self.pooling is not None:
            state = self.fusion(state, self.pooling(state, edge_index, distance=distance))
        forecast = self.head(state)  # [B, P, N, F]
        if self.from_last:
            forecast = forecast + last[:, None, :, : self.out_channels]
        return forecast
