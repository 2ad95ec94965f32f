"""Charts calibrated on the readings of a validation."""

from collections import deque

import numpy as np
import torch
from torch import Tensor

from socialgraph.conformal import Conformal
from socialgraph.cusum import Charts, fit_charts
from socialgraph.indicators import Indicators

__all__ = ["QuietReadings", "last_reading"]

_SUSPECT = np.array([0.6, 0.9, 0.9])  # shares of steps that are looked for, by indicator
_MOST = 2**23  # numbers of quiet readings that are kept


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
