"""What is told of detectors at each time, and charts calibrated on the readings of a validation."""

from collections import deque

import numpy as np
import torch
from torch import Tensor

from socialgraph.conformal import Conformal
from socialgraph.cusum import Charts, fit_charts

__all__ = ["KINDS", "Indicators", "QuietReadings", "last_reading"]

KINDS = ("outside", "repeated", "missing")
_SUSPECT = np.array([0.6, 0.9, 0.9])  # shares of steps that are looked for
_MOST = 2**23  # numbers of quiet readings that are kept


class Indicators:
    """What is told of each detector at each time, in the order of :data:`KINDS`.

    ``outside``: its reading is outside the interval that was told one step before, or that told the
    horizon before (noise leaves the first, an offset the second); ``repeated``: it is the reading
    before to the bit; ``missing``: there is none.

    Args:
        step: distance of two steps.
        horizon: how many are forecast.
    """

    def __init__(self, step: np.timedelta64, horizon: int) -> None:
        self.step = step
        self.aheads = (1, horizon)
        self.told: dict[np.datetime64, np.ndarray] = {}  # [2, N, 2] by the time of telling
        self.last: tuple[np.datetime64, np.ndarray] | None = None

    def update(self, time: np.datetime64, ends: np.ndarray, reading: np.ndarray) -> np.ndarray:
        """The indicators ``[3, N]`` of a time: 1, 0, or NaN if they cannot be told.

        Args:
            time: of the readings.
            ends: intervals that are told then, of the next step and of the last ``[2, N, 2]``.
            reading: ``[N]``, NaN where missing.
        """
        missing = np.isnan(reading)
        outside = np.full(len(reading), np.nan)
        for place, ahead in enumerate(self.aheads):
            told = self.told.get(time - ahead * self.step)
            if told is not None:
                lower, upper = told[place].T
                outside = np.fmax(outside, (reading < lower) | (reading > upper))
        outside[missing] = np.nan
        repeated = np.full(len(reading), np.nan)
        if self.last is not None and self.last[0] == time - self.step:
            before = self.last[1]
            repeated = np.where(missing | np.isnan(before), np.nan, reading == before)
        self.last = time, reading
        oldest = time - self.aheads[1] * self.step
        self.told = {own: part for own, part in self.told.items() if own > oldest} | {time: ends}
        return np.stack([outside, repeated, missing.astype(float)])


class QuietReadings:
    """Readings and intervals of validation windows, on which charts are calibrated.

    The last windows are kept, as many as fit into some memory.

    Args:
        step: distance of two steps.
    """

    def __init__(self, step: np.timedelta64) -> None:
        self.step = step
        self._kept: deque[tuple[np.datetime64, np.ndarray, np.ndarray]] = deque()
        self._horizon = 1

    def add(self, batch: dict[str, Tensor], quantiles: Tensor) -> None:
        """Add the windows of a batch, in the order of time.

        Args:
            batch: in real units.
            quantiles: of each window, not yet corrected ``[B, P, N, F, L]``.
        """
        self._horizon = quantiles.size(1)
        ends = quantiles[:, [0, -1], :, 0][..., [0, -1]].cpu().numpy()  # [B, 2, N, 2]
        times = batch["issued"].cpu().numpy().astype("datetime64[s]")
        self._kept.extend(zip(times, ends, last_reading(batch).cpu().numpy(), strict=True))
        while len(self._kept) * ends[0].size > _MOST and len(self._kept) > 1:
            self._kept.popleft()

    def calibrate(self, conformal: Conformal) -> Charts | None:
        """The charts; None without windows."""
        if not self._kept:
            return None
        shift = conformal.own[[0, -1], :, 0][..., [0, -1]].numpy()
        indicators = Indicators(self.step, self._horizon)
        found = [indicators.update(time, ends + shift, own) for time, ends, own in self._kept]
        return fit_charts(np.stack(found), _SUSPECT)


def last_reading(batch: dict[str, Tensor]) -> Tensor:
    """The reading at the end of each window, of the first feature ``[B, N]``; NaN where missing."""
    readings = torch.where(batch["mask"], batch["features"], torch.nan)
    return readings[:, -1, :, 0]
