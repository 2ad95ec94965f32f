"""The baseline: one encoder per detector, then the same pooling, fusion and head."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from socialgraph.nn.encoder import XLSTMEncoder
from socialgraph.nn.encoders import LoopedEncoders, StackedEncoders
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.inputs import NodeInputs, last_observed
from socialgraph.nn.network import SocialGraphNet
from socialgraph.nn.positions import (
    check_edges,
    check_shape,
    check_vd_positions,
    edges_within,
    stack_positions,
)
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
from socialgraph.recipe import make_like, recorded

__all__ = ["DistributedSocialGraphNet"]


class DistributedSocialGraphNet(nn.Module):
    r"""Forecast with an encoder of its own for every detector: the distributed baseline.

    The same function as :class:`socialgraph.nn.SocialGraphNet`, except that the history of detector
    :math:`i` is read by an encoder with weights :math:`\theta_i` instead of shared ones; with
    :math:`\theta_i = \theta` both give the same numbers. Pooling, fusion and head are shared.

    Sizes and ids that are left out are told later, by :meth:`build`.

    Args:
        in_channels: features per reading; None (and no other size) to build the network later.
        out_channels: predicted features, the first of the readings' features; None for all.
        horizon: predicted steps.
        vdids: ids of the detectors, each of which gets an encoder.
        encoder: makes one encoder from its number of input channels; or an encoder like which new
            ones are made, of whose weights none is used.
        pooling: makes the pooling from the encoder's width; or the pooling; None for none.
        use_mask: give the encoders the mask of observed readings.
        use_time_of_day: give them sine and cosine of the time of day.
        use_day_of_week: give them the day of the week, one channel per day.
        from_last: predict the change from the last observed reading (from the mean, where a window
            has none) instead of the reading itself.
        vectorised: hold the weights of all detectors in stacked tensors and evaluate them in one
            pass, never compiled; otherwise detector by detector, compiled where the encoders say so
            (once for all).

    Shapes:
        - **features:** scaled readings, 0 where missing: :math:`(B, T, F)` per detector in a
          dictionary by id, or :math:`(B, T, N, F)`
        - **mask:** True where observed, as ``features``
        - **time_of_day:** share of the day that has passed :math:`(B, T)`, in :math:`[0, 1)`
        - **day_of_week:** 0 for Monday :math:`(B, T)`, integer
        - **positions:** metres :math:`(B, T, 2)` per detector, the same at every step; with a
          tensor of features, **positions_xy:** :math:`(N, 2)`
        - **edge_index:** :math:`(2, E)`; **distance:** metres :math:`(E)`; with a dictionary both
          may be left out, then all pairs within the pooling's ``max_radius`` are joined; **offset**
          and **edge_attr** as in :class:`socialgraph.nn.SocialGraphNet`
        - **node:** which encoders read the detectors :math:`(N)`; None for all in order
        - **output:** scaled forecasts: :math:`(B, P, F)` per detector in a dictionary, or
          :math:`(B, P, N, F)`

    Raises:
        ValueError: with an id twice, for detectors that have no encoder, or if a size is out of
            range or does not fit the encoder, or only some are given.
        RuntimeError: with pooling, if positions are missing or of another shape; in a dictionary
            also if they are NaN, infinite or change (strict mode).
    """

    @recorded
    def __init__(
        self,
        in_channels: int | None = None,
        out_channels: int | None = None,
        horizon: int | None = None,
        vdids: Sequence[str] | None = None,
        encoder: Callable[[int], nn.Module] | nn.Module = XLSTMEncoder,
        pooling: Callable[[int, int], nn.Module] | nn.Module | None = None,
        use_mask: bool = True,
        use_time_of_day: bool = True,
        use_day_of_week: bool = True,
        from_last: bool = True,
        vectorised: bool = False,
    ) -> None:
        super().__init__()
        # In a tuple, so that an encoder to be made alike is no part of the network.
        self._encoder = (encoder,)
        self.pooling = pooling
        self.options = (use_mask, use_time_of_day, use_day_of_week)
        self.from_last = from_last
        self.vectorised = vectorised
        self.in_channels = None
        check_given(in_channels, out_channels, horizon, vdids)
        if in_channels is not None:
            out_channels = in_channels if out_channels is None else out_channels
            self._build(in_channels, out_channels, horizon, vdids, None)

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
            in_channels, out_channels, horizon, vdids: as in the class.
            max_radius: longest edge of the graph in metres, for a pooling that takes it.

        Raises:
            ValueError: if the network was made for other sizes or detectors, or with a pooling that
                reaches further than the graph.
        """
        if self.in_channels is None:
            self._build(in_channels, out_channels, horizon, vdids, max_radius)
            sizes = (in_channels, out_channels, horizon, list(vdids))
            keep_sizes(self, ("in_channels", "out_channels", "horizon", "vdids"), sizes)
        own = (self.in_channels, self.out_channels, self.horizon)
        if own != (in_channels, out_channels, horizon) or self.vdids != list(vdids):
            raise ValueError(
                f"The network was made for in_channels, out_channels, horizon = {own} and "
                f"{len(self.vdids)} detectors {self.vdids[:3]} …, the data have "
                f"{(in_channels, out_channels, horizon)} and {len(vdids)} detectors "
                f"{list(vdids[:3])} …. Leave the sizes out, or give these."
            )
        check_reach(self.pooling, max_radius)

    def _build(
        self,
        in_channels: int,
        out_channels: int,
        horizon: int,
        vdids: Sequence[str],
        max_radius: float | None,
    ) -> None:
        self.vdids = _check_ids(vdids)
        check_sizes(in_channels, out_channels, horizon)
        pooling = self.pooling
        # The state of an optimiser goes by the order of the weights: the same for given parts.
        del self.pooling
        self.inputs = NodeInputs(in_channels, *self.options)
        encoders = [self._make_encoder() for _ in self.vdids]
        check_encoder(encoders[0], self.inputs)
        width = encoders[0].out_channels
        self.encoders = StackedEncoders(encoders) if self.vectorised else LoopedEncoders(encoders)
        self.pooling = make_pooling(pooling, width, max_radius)
        self.fusion = GatedFusion(width, width) if self.pooling is not None else None
        self.head = RegressionHead(width, out_channels, horizon)
        self.in_channels, self.out_channels, self.horizon = in_channels, out_channels, horizon

    def forward(
        self,
        features: Tensor | dict[str, Tensor],
        mask: Tensor | dict[str, Tensor],
        time_of_day: Tensor | None = None,
        day_of_week: Tensor | None = None,
        positions: dict[str, Tensor] | None = None,
        positions_xy: Tensor | None = None,
        edge_index: Tensor | None = None,
        distance: Tensor | None = None,
        offset: Tensor | None = None,
        edge_attr: Tensor | None = None,
        node: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor]:
        by_detector = isinstance(features, dict)
        if by_detector:
            vdids = list(features)
            features, mask = _stack(features, "features", vdids), _stack(mask, "mask", vdids)
            node = self._rows(vdids, features.device)
            if self.pooling is not None:
                positions_xy = stack_positions(positions, vdids)
                if edge_index is None:
                    edge_index, distance = edges_within(positions_xy, self.pooling.max_radius)
        self._check(features, node)
        if self.pooling is not None:
            check_shape(positions_xy, features.size(2), "positions")
            check_edges(edge_index, distance)
        x = self.inputs(features, mask, time_of_day, day_of_week)  # [B, T, N, C]
        state = self.encoders(x.permute(2, 0, 1, 3), node).transpose(0, 1)  # [B, N, E]
        if self.pooling is not None:
            context = pool(self.pooling, state, edge_index, distance, offset, edge_attr)
            state = self.fusion(state, context)
        forecast = self.head(state)  # [B, P, N, F]
        if self.from_last:
            last = last_observed(features, mask)[:, None, :, : self.out_channels]
            forecast = forecast + last
        return dict(zip(vdids, forecast.unbind(2), strict=True)) if by_detector else forecast

    def check_batch(self, positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
        """Refuse positions that pooling cannot work with, once before a batch is read.

        Raises:
            RuntimeError: with pooling, if positions are missing or invalid (strict mode).
        """
        if self.pooling is not None:
            check_vd_positions(positions_xy, vdids)

    @property
    def encoder(self) -> Callable[[int], nn.Module] | nn.Module:
        """What makes the encoders; once they are made, one that is made as they are."""
        if self.in_channels is None:
            return self._encoder[0]
        return self.encoders.encoder if self.vectorised else self.encoders[0]

    @property
    def knows_nodes(self) -> bool:
        """Whether it has weights of its own for each detector."""
        return True

    def node_weights(self, num_nodes: int) -> dict[str, list[str]]:
        """Names in ``state_dict`` of weights with a row for each of ``num_nodes`` detectors.

        A weight that is kept in parts, one for each detector, comes with their names.
        """
        if self.vectorised:
            return {name: [] for name, _ in self.encoders.named_parameters(prefix="encoders")}
        names = [name for name, _ in self.encoders[0].named_parameters()]
        return {
            f"encoders.{name}": [f"encoders.{node}.{name}" for node in range(num_nodes)]
            for name in names
        }

    def copy_shared(self, network: SocialGraphNet) -> None:
        """Give every detector the encoder of a shared network, and take over all other weights.

        The two then forecast the same, which is also where a fine-tuning by detector can start.

        Raises:
            ValueError: where the other network pools and this one does not, or their sizes differ.
        """
        if (self.pooling is None) != (network.pooling is None):
            raise ValueError("Expected both networks with pooling, or both without.")
        if self.from_last != network.from_last:
            raise ValueError(f"Expected a network with 'from_last' = {self.from_last}.")
        for name in ("inputs", "pooling", "fusion", "head"):
            if getattr(self, name) is not None:
                getattr(self, name).load_state_dict(getattr(network, name).state_dict())
        self.encoders.copy_shared(network.encoder)

    def no_weight_decay(self) -> set[str]:
        """Names of the weights that are vectors in each encoder, though stacked to matrices."""
        if isinstance(self.encoders, LoopedEncoders):
            return set()
        named = self.encoders.named_parameters(prefix="encoders")
        return {name for name, weight in named if weight.ndim == 2}

    def _make_encoder(self) -> nn.Module:
        (encoder,) = self._encoder
        if isinstance(encoder, nn.Module):
            return make_like(encoder)
        return encoder(self.inputs.out_channels)

    def _check(self, features: Tensor, node: Tensor | None) -> None:
        check_built(self)
        expected = len(self.vdids) if node is None else len(node)
        if features.size(2) != expected:
            raise ValueError(
                f"Expected readings of {expected} detectors, as 'node' or the network has them "
                f"(got features {tuple(features.shape)}, [batch, window, detectors, features])."
            )

    def _rows(self, vdids: list[str], device: torch.device) -> Tensor | None:
        """Encoders of the detectors, None for all in order."""
        if vdids == self.vdids:
            return None
        row = {vdid: i for i, vdid in enumerate(self.vdids)}
        strangers = [vdid for vdid in vdids if vdid not in row]
        if strangers:
            raise ValueError(
                f"{len(strangers)} of {len(vdids)} detectors have no encoder, among them "
                f"{strangers[:5]}. Train on them, or train a SocialGraphNet, whose one encoder "
                "serves detectors never seen."
            )
        return torch.tensor([row[vdid] for vdid in vdids], device=device)


def _check_ids(vdids: Sequence[str] | None) -> list[str]:
    vdids = list(vdids or [])
    if not vdids:
        raise ValueError(
            "Expected 'vdids', the ids of the detectors that get an encoder each (got none). Leave "
            "out all sizes to take them from the data."
        )
    if len(set(vdids)) < len(vdids):
        twice = sorted({vdid for vdid in vdids if vdids.count(vdid) > 1})
        raise ValueError(f"Expected each id once in 'vdids' (got twice: {twice[:5]}).")
    return vdids


def _stack(readings: dict[str, Tensor], name: str, vdids: list[str]) -> Tensor:
    """Readings or masks of all detectors ``[B, T, N, F]``."""
    absent = [vdid for vdid in vdids if not isinstance(readings, dict) or vdid not in readings]
    if absent:
        raise ValueError(f"Expected '{name}' for each VD, by its id (none for {absent[:5]}).")
    return torch.stack([readings[vdid] for vdid in vdids], dim=2)
