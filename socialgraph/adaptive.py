"""Intervals of a stream that follow drift."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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
        self.shift: np.ndarray | None = None  # [P, N, F, L]
        self.width: np.ndarray | None = None  # [P, N, F], mean
        self._told: dict[str, np.ndarray] = {}  # by the time at which it was told

    def update(
        self, issued: np.datetime64, forecast: Mapping[str, np.ndarray], truth: np.ndarray
    ) -> np.ndarray:
        """Learn from the readings of a time, and correct what is forecast then.

        Args:
            issued: time of the readings, later than that of the update before.
            forecast: what :meth:`socialgraph.forecaster.Forecaster.outputs` tells for the steps
                after it: ``forecast`` ``[P, N, F]`` and ``quantiles`` ``[P, N, F, L]``.
            truth: readings of the targets ``[N, F]``, NaN where missing.

        Returns:
            The quantiles to tell ``[P, N, F, L]``.
        """
        quantiles, point = (np.asarray(forecast[name]) for name in ("quantiles", "forecast"))
        width = quantiles[..., -1] - quantiles[..., 0]
        if self.shift is None or self.width is None or self.shift.shape != quantiles.shape:
            self.shift, self.width, self._told = np.zeros_like(quantiles), width, {}
        now = issued.astype("datetime64[s]")
        self.shift = self._learn(now, self.shift, self.width, np.asarray(truth))
        self.width = self.width + _MEMORY * (width - self.width)
        told = _ordered(quantiles + self.shift, point, self.levels)
        oldest = now - len(told) * self.step
        kept = {name: part for name, part in self._told.items() if np.datetime64(name) > oldest}
        self._told = kept | {str(now): told}
        return told

    def take(self, rows: np.ndarray) -> None:
        """Follow other detectors: by place, and -1 for one that was not followed.

        A new detector begins without a shift, and what was told before is forgotten if there is
        one, or another order. All starts anew if none was followed.
        """
        if self.shift is None or self.width is None:
            return
        if np.array_equal(rows, np.arange(self.shift.shape[1])):
            return
        self._told = {}
        if not (rows >= 0).any():
            self.shift = self.width = None
            return
        mean = self.width.mean(axis=1, keepdims=True)
        self.shift = np.where((rows >= 0)[:, None, None], self.shift[:, rows], 0.0)
        self.width = np.where((rows >= 0)[:, None], self.width[:, rows], mean)

    def state(self) -> dict[str, Any]:
        """Arrays and plain values by name, to save."""
        told = {f"told/{time}": part for time, part in self._told.items()}
        return {"levels": self.levels, "shift": self.shift, "width": self.width, **told}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave; that of another horizon starts anew at the next update.

        Raises:
            ValueError: if it is of other levels.
        """
        if list(state["levels"]) != self.levels:
            raise ValueError(
                f"Expected the state of intervals of the levels {self.levels} (got "
                f"{state['levels']}). Start the stream anew."
            )
        self.shift, self.width = state["shift"], state["width"]
        told = {name.removeprefix("told/"): part for name, part in state.items() if "/" in name}
        self._told = told

    def _learn(
        self, now: np.datetime64, shift: np.ndarray, width: np.ndarray, truth: np.ndarray
    ) -> np.ndarray:
        """The shifts, moved by what was told for this time."""
        shift, level = shift.copy(), np.array(self.levels)
        for ahead in range(1, 1 + len(shift)):
            told = self._told.get(str(now - ahead * self.step))
            if told is None:
                continue
            below = truth[..., None] <= told[ahead - 1]
            move = _RATE * width[ahead - 1, ..., None] * (level - below)
            shift[ahead - 1] += np.where(np.isnan(truth)[..., None], 0.0, move)
        return shift


def _ordered(quantiles: np.ndarray, point: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """As :func:`socialgraph.conformal.ordered`, of arrays."""
    below = sum(level < 0.5 for level in levels)
    lower = np.minimum(quantiles[..., :below], point[..., None])[..., ::-1]
    upper = np.maximum(quantiles[..., below:], point[..., None])
    parts = np.minimum.accumulate(lower, axis=-1)[..., ::-1], np.maximum.accumulate(upper, axis=-1)
    return np.concatenate(parts, axis=-1)
