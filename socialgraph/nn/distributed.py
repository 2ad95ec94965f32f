"""The baseline: one encoder per detector, then the same pooling, fusion and head."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from socialgraph.nn.encoder import XLSTMEncoder
from socialgraph.nn.encoders import LoopedEncoders, StackedEncoders
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.inputs import NodeInputs, last_observed
from socialgraph.nn.network import SocialGraphNet
from socialgraph.nn.pooling import SocialPooling
from socialgraph.nn.positions import check_edges, check_vd_positions, edges_within, stack_positions

__all__ = ["DistributedSocialGraphNet"]


class DistributedSocialGraphNet(nn.Module):
    r"""Forecast with an encoder of its own for every detector: the distributed baseline.

    The same function as :class:`socialgraph.nn.SocialGraphNet`, except that the history of detector
    :math:`i` is read by an encoder with weights :math:`\theta_i` instead of shared ones; with
    :math:`\theta_i = \theta` both give the same numbers. Pooling, fusion and head are shared.

    Args:
        in_channels: features per reading.
        horizon: predicted steps.
        vd_ids: ids of the detectors, each of which gets an encoder. The command line takes them
            from the file of ``data.path``.
        encoder: makes one encoder from its number of input channels.
        pooling: makes the pooling from the encoder's width; None for none.
        out_channels: predicted features, the first of the readings' features; None for all.
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
          dictionary by id, or :math:`(B, T, N, F)` with the ids in ``vd_ids``
        - **mask:** True where observed, as ``features``
        - **time_of_day:** share of the day that has passed :math:`(B, T)`, in :math:`[0, 1)`
        - **day_of_week:** 0 for Monday :math:`(B, T)`, integer
        - **positions:** metres :math:`(B, T, 2)` per detector, the same at every step; with a
          tensor of features, **positions_xy:** :math:`(N, 2)`
        - **edge_index:** :math:`(2, E)`, numbering the detectors as ``vd_ids`` does (without it, as
          the dictionary); **distance:** metres :math:`(E)`; with a dictionary both may be left out,
          then all pairs within the pooling's ``max_radius`` are joined
        - **output:** scaled forecasts: :math:`(B, P, F)` per detector in a dictionary, or
          :math:`(B, P, N, F)`

    Raises:
        ValueError: without ids, with an id twice, or for detectors that have no encoder.
        RuntimeError: with pooling, where positions are missing or invalid (strict mode).
    """

    def __init__(
        self,
        in_channels: int,
        horizon: int,
        vd_ids: Sequence[str] = (),
        encoder: Callable[[int], XLSTMEncoder] = XLSTMEncoder,
        pooling: Callable[[int, int], SocialPooling] | None = None,
        out_channels: int | None = None,
        use_mask: bool = True,
        use_time_of_day: bool = True,
        use_day_of_week: bool = True,
        from_last: bool = True,
        vectorised: bool = False,
    ) -> None:
        super().__init__()
        self.vd_ids = _check_ids(vd_ids)
        self.from_last = from_last
        self.out_channels = in_channels if out_channels is None else out_channels
        self.inputs = NodeInputs(in_channels, use_mask, use_time_of_day, use_day_of_week)
        encoders = [encoder(self.inputs.out_channels) for _ in self.vd_ids]
        width = encoders[0].out_channels
        self.encoders = StackedEncoders(encoders) if vectorised else LoopedEncoders(encoders)
        self.pooling = pooling(width, width) if pooling else None
        self.fusion = GatedFusion(width, width) if pooling else None
        self.head = RegressionHead(width, self.out_channels, horizon)

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
        vd_ids: list[str] | None = None,
    ) -> Tensor | dict[str, Tensor]:
        by_detector = isinstance(features, dict)
        if by_detector:
            vd_ids = list(features) if vd_ids is None else list(vd_ids)
            features, mask = _stack(features, "features", vd_ids), _stack(mask, "mask", vd_ids)
        vd_ids = self.vd_ids if vd_ids is None else vd_ids
        rows = self._rows(vd_ids, features)
        if self.pooling is not None:
            if by_detector:
                pos = stack_positions(positions, vd_ids)
                if edge_index is None:
                    edge_index, distance = edges_within(pos, self.pooling.max_radius)
            else:
                check_vd_positions(positions_xy, vd_ids)
            check_edges(edge_index, distance)
        x = self.inputs(features, mask, time_of_day, day_of_week)  # [B, T, N, C]
        state = self.encoders(x.permute(2, 0, 1, 3), rows).transpose(0, 1)  # [B, N, E]
        if self.pooling is not None:
            state = self.fusion(state, self.pooling(state, edge_index, distance=distance))
        forecast = self.head(state)  # [B, P, N, F]
        if self.from_last:
            last = last_observed(features, mask)[:, None, :, : self.out_channels]
            forecast = forecast + last
        return dict(zip(vd_ids, forecast.unbind(2), strict=True)) if by_detector else forecast

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

    def get_extra_state(self) -> list[str]:
        """Return the ids of the detectors; they are saved in ``state_dict``."""
        return list(self.vd_ids)

    def set_extra_state(self, state: list[str]) -> None:
        """Refuse the weights of other detectors."""
        if list(state) != self.vd_ids:
            raise ValueError(
                f"The weights belong to {len(state)} detectors {state[:3]} …, not to the "
                f"{len(self.vd_ids)} of this network {self.vd_ids[:3]} …; give 'vd_ids' in the "
                "order of the weights."
            )

    def _rows(self, vd_ids: list[str], features: Tensor) -> list[int] | None:
        if features.size(2) != len(vd_ids):
            raise ValueError(
                f"Expected readings of {len(vd_ids)} detectors, as 'vd_ids' has them (got features "
                f"{tuple(features.shape)}, [batch, window, detectors, features])."
            )
        if list(vd_ids) == self.vd_ids:
            return None
        row = {vdid: i for i, vdid in enumerate(self.vd_ids)}
        strangers = [vdid for vdid in vd_ids if vdid not in row]
        if strangers:
            raise ValueError(
                f"{len(strangers)} of {len(vd_ids)} detectors have no encoder, among them "
                f"{strangers[:5]}. Train on them, or train a SocialGraphNet, whose one encoder "
                "serves detectors never seen."
            )
        return [row[vdid] for vdid in vd_ids]


def _check_ids(vd_ids: Sequence[str]) -> list[str]:
    vd_ids = list(vd_ids)
    if not vd_ids:
        raise ValueError(
            "Expected 'vd_ids', the ids of the detectors that get an encoder each (got none). The "
            "command line takes them from 'data.path'; socialgraph.schema.read_vdids reads them."
        )
    if len(set(vd_ids)) < len(vd_ids):
        twice = sorted({vdid for vdid in vd_ids if vd_ids.count(vdid) > 1})
        raise ValueError(f"Expected each id once in 'vd_ids' (got twice: {twice[:5]}).")
    return vd_ids


def _stack(readings: dict[str, Tensor], name: str, vd_ids: list[str]) -> Tensor:
    """Readings or masks of all detectors ``[B, T, N, F]``."""
    absent = [vdid for vdid in vd_ids if not isinstance(readings, dict) or vdid not in readings]
    if absent:
        raise ValueError(f"Expected '{name}' for each VD, by its id (none for {absent[:5]}).")
    return torch.stack([readings[vdid] for vdid in vd_ids], dim=2)
