"""What a detector usually reads, as it goes on while a stream is followed."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from socialgraph.calendar import clock
from socialgraph.profile import SMOOTHING_MINUTES, DailyProfile, is_weekend, slots_of

if TYPE_CHECKING:
    from socialgraph.stream.with_torch import TorchBackend

__all__ = ["LearningProfile"]

_LIMIT = 100.0  # of a scaler without one
_DAYS_A_WEEK = (5, 2)  # working days and weekends: how often such a slot comes


class LearningProfile:
    r"""The usual day of a forecaster, which goes on as a running mean with a half-life.

    A reading :math:`x` moves mean :math:`m` and variance :math:`v` of its detector at the
    :math:`k` slots within 30 minutes of it, on its kind of day (working day or weekend), by

    .. math::
        d = x - m, \quad m \leftarrow m + g\, d, \quad v \leftarrow (1 - g)(v + g\, d^2), \quad
        g = 1 - 2^{-7 / (w\, k\, h)}

    with the half-life :math:`h` in days and :math:`w` such days a week (5 or 2), so that what was
    read :math:`h` days before counts half. A missing reading moves nothing, nor does one beyond the
    limit of the scaler (100 deviations if it has none), as a fill value is. The update is that of
    Finch, *Incremental calculation of weighted mean and variance* (2009).

    A change of detectors starts from the usual day of the training again.

    Args:
        backend: of a trained forecaster, whose network reads what is usual.
        half_life: in days.

    Raises:
        ValueError: if the network does not, or the half-life is no positive number.
    """

    def __init__(self, backend: "TorchBackend", half_life: float) -> None:
        if not 0 < half_life < math.inf:
            raise ValueError(f"Expected a half-life of the profile above 0 days (got {half_life}).")
        if backend.forecaster.profile is None:
            raise ValueError(
                "Expected a network that reads what is usual, for a profile that goes on "
                "(--profile_half_life). Leave it out, or train 'configs/model/stacked.yaml'."
            )
        self.backend = backend
        self.half_life = half_life
        self._parts: dict[str, np.ndarray] = {}

    @torch.inference_mode(False)
    def follow(self) -> None:
        """Start from the profile that the forecaster has for its detectors."""
        usual = self.backend.usual
        self.backend.usual = DailyProfile(usual.mean.clone(), usual.deviation.clone())
        self._parts = {}

    def learn(self, time: np.datetime64, readings: np.ndarray) -> None:
        """Take readings ``[N, F]`` in, NaN where missing, in real units."""
        spec = self.backend.spec
        share, weekday = (
            torch.from_numpy(part) for part in clock(np.array([time]), spec.timezone, spec.holidays)
        )
        slots = self.backend.usual.mean.size(1)
        half = int(SMOOTHING_MINUTES // spec.interval_minutes)
        kind = int(is_weekend(weekday).item())
        centre = int(slots_of(share, slots).item())
        near = sorted({(centre + shift) % slots for shift in range(-half, half + 1)})
        gain = 1 - 2 ** (-7 / (_DAYS_A_WEEK[kind] * len(near) * self.half_life))
        values = self._plausible(torch.from_numpy(readings).to(self.backend.usual.mean))
        for slot in near:
            mean, deviation = (
                self.backend.usual.mean[kind, slot],
                self.backend.usual.deviation[kind, slot],
            )
            apart = (values - mean).nan_to_num()
            share_of = torch.where(values.isnan(), 0.0, gain)
            variance = (1 - share_of) * (deviation.square() + share_of * apart.square())
            self._set(kind, slot, mean + share_of * apart, variance.sqrt())

    def state(self) -> dict[str, Any]:
        """As in :class:`socialgraph.stream.memory.Kept`: the slots that were moved."""
        return dict(self._parts)

    def restore(self, state: dict[str, Any]) -> None:
        """As in :class:`socialgraph.stream.memory.Kept`."""
        for name, part in state.items():
            kind, slot = map(int, name.split("."))
            self._set(kind, slot, *torch.from_numpy(part).to(self.backend.usual.mean))

    def _plausible(self, values: torch.Tensor) -> torch.Tensor:
        """Readings, NaN for those that the scaler would draw in."""
        scaler = self.backend.forecaster.scaler
        apart = (values - scaler.loc.to(values)).abs()
        limit = _LIMIT if scaler.limit is None else scaler.limit
        return values.masked_fill(apart > limit * scaler.scale.to(values), math.nan)

    @torch.inference_mode(False)
    def _set(self, kind: int, slot: int, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        self.backend.usual.mean[kind, slot] = mean
        self.backend.usual.deviation[kind, slot] = deviation
        self._parts[f"{kind}.{slot}"] = torch.stack([mean, deviation]).cpu().numpy()
