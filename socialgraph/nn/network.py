"""The whole network: encoder, pooling, fusion, head."""

from collections.abc import Callable

from torch import Tensor, nn

from socialgraph.nn.encoder import XLSTMEncoder
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.inputs import NodeInputs, last_observed
from socialgraph.nn.pooling import SocialPooling
from socialgraph.nn.positions import check_edges, check_positions

__all__ = ["SocialGraphNet"]


class SocialGraphNet(nn.Module):
    r"""Forecast of every detector from its own history and its neighbours' states.

    One encoder with shared weights reads all histories at once,
    :math:`(B, T, N, C) \to (B \cdot N, T, C) \to (B, N, E)`; social pooling adds the context of
    each detector; a head regresses the next steps. Readings are scaled (zero mean, unit deviation)
    on the way in and out.

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
        if self.pooling is not None:
            check_positions(positions_xy, nodes, vd_ids)
            check_edges(edge_index, distance)
        x = self.inputs(features, mask, time_of_day, day_of_week, vd_ids)  # [B, T, N, C]
        x = x.transpose(1, 2).reshape(batch * nodes, window, -1)  # [B * N, T, C]
        state = self.encoder(x).view(batch, nodes, -1)  # [B, N, E]
        if self.pooling is not None:
            state = self.fusion(state, self.pooling(state, edge_index, distance=distance))
        forecast = self.head(state)  # [B, P, N, F]
        if self.from_last:
            last = last_observed(features, mask)[:, None, :, : self.out_channels]
            forecast = forecast + last
        return forecast
