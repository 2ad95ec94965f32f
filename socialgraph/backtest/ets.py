"""Exponential smoothing of what a detector deviates from its usual day."""

import importlib.util

import numpy as np
import torch
from torch import Tensor, nn

from socialgraph.backtest.rivals import TimeOfDayMean, scaled_targets
from socialgraph.data import TrafficDataModule

__all__ = ["ProfileETS", "is_installed", "smooth"]

_MOST_DETECTORS = 100
_MOST_STEPS = 2000  # of the training, its last


def is_installed() -> bool:
    """Whether the package that chooses and fits the model is there."""
    return importlib.util.find_spec("statsforecast") is not None


class ProfileETS(nn.Module):
    r"""Daily profile plus an exponential smoothing (ETS) of the deviations from it.

    .. math:: \hat{y}_{t+h} = \text{profile}_{t+h} + \ell_t + (\phi + \dots + \phi^h) b_t

    ``AutoETS`` of `statsforecast <https://nixtlaverse.nixtla.io/statsforecast>`_ chooses for each
    detector whether there is a trend, damped or not, by AICc, and fits it to the deviations in the
    last 2,000 steps of the training; level and trend then follow the readings up to each forecast.
    It is the forecast of a seasonally adjusted series (Hyndman and Athanasopoulos, `Forecasting:
    Principles and Practice <https://otexts.com/fpp3/>`_, chapter 5.7), with the profile as the
    season, since a day of many steps is too long for a seasonal ETS. A missing reading changes
    nothing.

    Args:
        datamodule: data module after ``setup``.

    Attributes:
        nodes: places of the detectors that it forecasts: at most 100, evenly spread over all.

    Shapes:
        - **issued:** seconds since 1970 (UTC) of the last reading that is known :math:`(B)`
        - **target_time_of_day, target_day_of_week:** of the target steps :math:`(B, P)`
        - **output:** :math:`(B, P, N, F)`, scaled; the profile alone for other detectors
    """

    def __init__(self, datamodule: TrafficDataModule) -> None:
        super().__init__()
        self.horizon = datamodule.windows.horizon
        self.usual = TimeOfDayMean(datamodule)
        clocks = datamodule.collator.time_of_day, datamodule.collator.day_of_week
        scaled = scaled_targets(datamodule)
        steps, count, channels = scaled.shape
        self.nodes = np.linspace(0, count - 1, min(count, _MOST_DETECTORS)).round().astype(int)
        away = (scaled - self.usual(*clocks).numpy())[:, self.nodes].reshape(steps, -1)
        first = max(0, datamodule.train_steps - _MOST_STEPS)
        past = away[first : datamodule.train_steps]
        weights = np.array([_fit(np.nan_to_num(own)) for own in past.T.astype(np.float64)])
        level, trend = np.zeros(away.shape), np.zeros(away.shape)
        level[first:], trend[first:] = smooth(away[first:], weights)
        damping = np.cumsum(weights[:, 2] ** np.arange(1, self.horizon + 1)[:, None], axis=0)
        shape = (-1, len(self.nodes), channels)
        for name, part in {"level": level, "trend": trend, "damping": damping}.items():
            self.register_buffer(name, torch.from_numpy(part.reshape(shape)).float())
        self.register_buffer("seconds", datamodule.collator.seconds)

    def forward(
        self, issued: Tensor, target_time_of_day: Tensor, target_day_of_week: Tensor
    ) -> Tensor:
        row = torch.searchsorted(self.seconds, issued)
        forecast = self.usual(target_time_of_day, target_day_of_week)  # [B, P, N, F]
        away = self.level[row][:, None] + self.trend[row][:, None] * self.damping
        forecast[:, :, self.nodes] += away
        return forecast


def smooth(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Level and trend after each step of several series.

    .. math::
        e_t = y_t - \ell_{t-1} - \phi b_{t-1}, \quad
        \ell_t = \ell_{t-1} + \phi b_{t-1} + \alpha e_t, \quad
        b_t = \phi b_{t-1} + \beta e_t

    Args:
        values: series ``[T, S]``; where NaN, :math:`e_t` is 0.
        weights: :math:`\alpha, \beta, \phi, \ell_0, b_0` of each ``[S, 5]``.

    Returns:
        Two arrays ``[T, S]``.
    """
    alpha, beta, phi, level, trend = weights.T
    levels, trends = np.empty_like(values, dtype=np.float64), np.empty(values.shape)
    for step, value in enumerate(values):
        ahead = level + phi * trend
        error = np.nan_to_num(value - ahead)
        level, trend = ahead + alpha * error, phi * trend + beta * error
        levels[step], trends[step] = level, trend
    return levels, trends


def _fit(values: np.ndarray) -> tuple[float, ...]:
    """Weights of one series; zero, so that the profile is left, if it never changes."""
    from statsforecast.models import AutoETS

    if np.ptp(values) == 0:
        return (0.0, 0.0, 1.0, 0.0, 0.0)
    found = AutoETS(season_length=1, model="AZN").fit(values).model_
    alpha, beta, _, phi = np.nan_to_num(found["par"][:4], nan=0.0)
    damped = phi if phi else 1.0
    level, *trend = found["par"][4:]
    return alpha, beta, damped, level, trend[0] if trend else 0.0
