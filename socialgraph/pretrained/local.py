"""What is learnt from the history at once: a linear map, and how far to trust it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from socialgraph.conformal import Conformal, Residuals
from socialgraph.pretrained.history import History
from socialgraph.spread import spread_over

__all__ = ["FEW_DAYS", "Compared", "LocalRidge", "Mixture", "best_share", "compare", "intervals_of"]

Apply = Callable[[Iterable[dict]], Iterable[tuple[Tensor, dict]]]

_PENALTY = 10.0
_MOST_WINDOWS = 400  # to fit the map, spread over the history
_MOST_COMPARED = 128
_FEW_WINDOWS = 64  # with fewer nothing is learnt
FEW_DAYS = 4.0  # with fewer the last fifth of them is too unlike the days to come


class LocalRidge:
    """Ridge regression of the targets on the window and what is usual, shared by all detectors.

    It forecasts how far the targets will be from what is usual, from how far each reading of the
    window was; missing readings count as usual.

    Args:
        history: the series.
        starts: first steps of the windows that it is fitted to.
    """

    def __init__(self, history: History, starts: np.ndarray) -> None:
        window, horizon = history.windows.window, history.windows.horizon
        size = window + horizon + 1
        square = _PENALTY * torch.eye(size, dtype=torch.float64)
        product = torch.zeros(size, horizon, dtype=torch.float64)
        for batch in history.training_batches(starts[spread_over(len(starts), _MOST_WINDOWS)]):
            inputs, usual = _inputs(batch)
            targets = batch["targets"][..., 0].transpose(1, 2).double() - usual
            whole = batch["target_mask"][..., 0].all(dim=1)  # [B, N]
            square += inputs[whole].T @ inputs[whole]
            product += inputs[whole].T @ targets[whole]
        self.weight = torch.linalg.solve(square, product)  # [C, P]

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        """Forecasts ``[B, P, N, 1]`` in deviations."""
        inputs, usual = _inputs(batch)
        return (inputs @ self.weight + usual).transpose(1, 2)[..., None].float()


class Compared(NamedTuple):
    """Forecasts of windows that neither has seen, and the truth, ``[W, P, N, 1]`` in deviations."""

    network: Tensor
    ridge: Tensor
    usual: Tensor
    targets: Tensor
    mask: Tensor


def compare(history: History, starts: np.ndarray, apply: Apply) -> Compared | None:
    """Forecasts of the last fifth of the windows by the network, and by a map fitted before them.

    Args:
        history: the series.
        starts: first steps of the windows that are known.
        apply: gives the network's forecasts of batches, and the batches.

    Returns:
        None with fewer than 64 windows.
    """
    if len(starts) < _FEW_WINDOWS:
        return None
    border = 4 * len(starts) // 5
    # No window of the first part shares a step with the second.
    ridge = LocalRidge(history, starts[: max(1, border - history.windows.length)])
    last = starts[border:]
    batches = history.training_batches(last[spread_over(len(last), _MOST_COMPARED)])
    parts = [
        (forecast, ridge(batch), _usual(batch), batch["targets"], batch["target_mask"])
        for forecast, batch in apply(batches)
    ]
    return Compared(*map(torch.cat, zip(*parts, strict=True)))


def best_share(first: Tensor, second: Tensor, found: Compared, scale: Tensor) -> Tensor:
    """Share of a forecast in its mixture with another, for each step ``[P, 1, 1]``.

    It is the one of 0, 0.1, ..., 1 with the smallest absolute error.

    Args:
        first: forecasts ``[W, P, N, 1]``.
        second: the others.
        found: the truth.
        scale: deviation of each detector ``[N]``, by which its errors count.
    """
    shares = torch.linspace(0, 1, 11)
    wrong = []
    for share in shares:
        error = (torch.lerp(second, first, share) - found.targets).abs().double()
        error *= scale.view(1, 1, -1, 1)
        wrong.append(torch.where(found.mask, error, 0.0).sum(dim=(0, 2, 3)))
    return shares[torch.stack(wrong).argmin(dim=0)].view(-1, 1, 1)


def intervals_of(found: Compared, mixed: Tensor, levels: list[float]) -> Conformal | None:
    """Quantiles of what a mixture was wrong by, in deviations; None if a step had no reading.

    Its shares were chosen on the same windows, which makes intervals a little too narrow.
    """
    residuals = Residuals(levels)
    quantiles = mixed.unsqueeze(-1).expand(*mixed.shape, len(levels))
    residuals.add(quantiles, found.targets, found.mask)
    return residuals.calibrate()


class Mixture:
    """Forecasts of the network, mixed with those of a map, and both with what is usual.

    Each step has its own shares, those with which the last fifth of the history would have been
    forecast best: first of network and map, then of their mixture and the usual day. With less than
    four days of history the network is alone.

    Args:
        history: the series.
        starts: first steps of the windows that are known; with fewer than 64 the network is alone,
            and there are no intervals.
        apply: gives the network's forecasts of batches, and the batches.
        levels: of the quantiles around a forecast; none for no intervals.
        adapt: False for the network alone.
    """

    def __init__(
        self,
        history: History,
        starts: np.ndarray,
        apply: Apply,
        levels: list[float],
        adapt: bool = True,
    ) -> None:
        found = compare(history, starts, apply)
        self.share = self.share_of_both = torch.ones(history.windows.horizon, 1, 1)
        if found is not None and adapt and _days(history, starts) >= FEW_DAYS:
            scale = torch.from_numpy(history.standard.scale)
            self.share = best_share(found.network, found.ridge, found, scale)
            both = torch.lerp(found.ridge, found.network, self.share)
            self.share_of_both = best_share(both, found.usual, found, scale)
        alone = bool((self.share == 1).all())
        self.ridge = None if alone else LocalRidge(history, starts)
        self.conformal = None
        if found is not None and levels:
            mixed = self._mix(found.network, found.ridge, found.usual)
            self.conformal = intervals_of(found, mixed, levels)

    def __call__(self, network: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Forecasts ``[B, P, N, 1]`` in deviations."""
        ridge = network if self.ridge is None else self.ridge(batch)
        return self._mix(network, ridge, _usual(batch))

    def quantiles(self, forecast: Tensor) -> Tensor | None:
        """Quantiles ``[B, P, N, 1, L]`` around a forecast of this mixture, None without."""
        if self.conformal is None:
            return None
        levels = len(self.conformal.levels)
        same = forecast.unsqueeze(-1).expand(*forecast.shape, levels)
        return self.conformal.correct(same, forecast)

    def _mix(self, network: Tensor, ridge: Tensor, usual: Tensor) -> Tensor:
        both = torch.lerp(ridge, network, self.share)
        return torch.lerp(usual, both, self.share_of_both)


def _days(history: History, starts: np.ndarray) -> float:
    """Days that the windows cover, from the first step to the end of the last."""
    times, minutes = history.series.timestamps, history.series.interval_minutes
    apart = times[starts[-1] + history.windows.length - 1] - times[starts[0]]
    return float(apart / np.timedelta64(1, "D")) + minutes / 1440


def _usual(batch: dict[str, Tensor]) -> Tensor:
    """What is usual at the targets ``[B, P, N, 1]``."""
    return batch["profile"][:, batch["features"].size(1) :]


def _inputs(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the map reads ``[B, N, C]``, and what is usual at the targets ``[B, N, P]``."""
    window = batch["features"].size(1)
    profile = batch["profile"][..., 0].transpose(1, 2).double()  # [B, N, T + P]
    usual = profile[..., window:]
    readings, mask = (batch[name][..., 0].transpose(1, 2) for name in ("features", "mask"))
    away = torch.where(mask, readings.double() - profile[..., :window], 0.0)
    return torch.cat([away, usual, torch.ones_like(usual[..., :1])], dim=-1), usual
