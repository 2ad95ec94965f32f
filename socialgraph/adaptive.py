"""Intervals of a stream that follow drift."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from socialgraph.conformal import ordered

__all__ = ["AdaptiveIntervals"]

_RATE = 0.02  # of an interval's width, by which a reading outside moves its end
_MEMORY = 0.01  # share of a new width in the mean of widths


class AdaptiveIntervals:
    r"""Moves each quantile of a stream, detector and step until it holds what its level says.

    Quantile tracking, the proportional part of Angelopoulos, Candès and Tibshirani, `Conformal PID
    Control for Time Series Prediction <https://arxiv.org/abs/2307.16895>`_: when the reading
    :math:`y` arrives that a quantile :math:`\hat{q}_\tau` was told for, the shift that is added to
    all later ones changes by

    .. math::
        s_\tau \leftarrow s_\tau + \eta\, (\tau - \mathbb{1}[y \le \hat{q}_\tau])

    so that in the long run a share :math:`\tau` of the readings is below, whatever the readings do
    (their proposition 1: the share is off by at most :math:`O(1 / (\eta t))` after :math:`t`
    readings). :math:`\eta` is 2 % of the mean width of the detector's interval at this step: after
    a sudden change an end needs some 50 readings outside to move by a width.

    It knows no file and no clock: what is told is kept by the time at which it was told.

    Args:
        levels: :math:`\tau` of each quantile, ascending.
        step: distance of two steps.
    """

    def __init__(self, levels: Sequence[float], step: np.timedelta64) -> None:
        self.levels, self.step = list(levels), step
        self.shift: Tensor | None = None  # [P, N, F, L]
        self.width: Tensor | None = None  # [P, N, F], mean
        self._told: dict[np.datetime64, Tensor] = {}  # by the time at which it was told

    def update(self, issued: np.datetime64, forecast: dict[str, Tensor], truth: Tensor) -> Tensor:
        """Learn from the readings of a time, and correct what is forecast then.

        Args:
            issued: time of the readings, later than that of the update before.
            forecast: what :meth:`socialgraph.forecaster.Forecaster.outputs` tells for the steps
                after it: ``forecast`` ``[P, N, F]`` and ``quantiles`` ``[P, N, F, L]``.
            truth: readings of the targets ``[N, F]``, NaN where missing.

        Returns:
            The quantiles to tell ``[P, N, F, L]``.
        """
        quantiles = forecast["quantiles"].detach().cpu()
        width = quantiles[..., -1] - quantiles[..., 0]
        if self.shift is None or self.width is None:
            self.shift, self.width = torch.zeros_like(quantiles), width.clone()
        self._learn(np.datetime64(issued, "s"), truth.detach().cpu())
        self.width += _MEMORY * (width - self.width)
        point = forecast["forecast"].detach().cpu()
        told = ordered(quantiles + self.shift, point, self.levels)
        self._told[np.datetime64(issued, "s")] = told
        return told.to(forecast["quantiles"].device)

    def take(self, rows: Tensor) -> None:
        """Follow other detectors: by place, and -1 for one that was not followed.

        A new detector begins without a shift, and what was told before is forgotten.
        """
        self._told = {}
        if self.shift is None or self.width is None:
            return
        known, place = rows >= 0, rows.clamp(min=0)
        self.shift = torch.where(known.view(1, -1, 1, 1), self.shift[:, place], 0.0)
        mean = self.width.mean(dim=1, keepdim=True)
        self.width = torch.where(known.view(1, -1, 1), self.width[:, place], mean)

    def state(self) -> dict:
        """Plain values and tensors to save."""
        told = {str(time): part for time, part in self._told.items()}
        return {"levels": self.levels, "shift": self.shift, "width": self.width, "told": told}

    def restore(self, state: dict) -> None:
        """Take what :meth:`state` gave.

        Raises:
            ValueError: if it is of other levels.
        """
        if list(state["levels"]) != self.levels:
            raise ValueError(
                f"Expected the state of intervals of the levels {self.levels} (got "
                f"{state['levels']}). Start the stream anew."
            )
        self.shift, self.width = state["shift"], state["width"]
        self._told = {np.datetime64(time, "s"): part for time, part in state["told"].items()}

    def _learn(self, now: np.datetime64, truth: Tensor) -> None:
        """Move the shifts by what was told for this time, and forget what is too old."""
        level = torch.tensor(self.levels)
        horizon = len(self.shift)
        for ahead in range(1, 1 + horizon):
            told = self._told.get(now - ahead * self.step)
            if told is None:
                continue
            known = ~truth.isnan().unsqueeze(-1)
            below = (truth.unsqueeze(-1) <= told[ahead - 1]).float()
            move = _RATE * self.width[ahead - 1].unsqueeze(-1) * (level - below)
            self.shift[ahead - 1] += torch.where(known, move, 0.0)
        oldest = now - horizon * self.step
        self._told = {time: part for time, part in self._told.items() if time > oldest}
