"""What is learnt from the history at once: a linear map, and how far to trust it."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from socialgraph.pretrained.history import History

__all__ = ["LocalRidge", "network_share"]

_PENALTY = 10.0
_MOST_WINDOWS = 400  # to fit the map, spread over the history
_MOST_COMPARED = 128
_FEW_WINDOWS = 64  # with fewer nothing is learnt


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
        for batch in history.training_batches(_some(starts, _MOST_WINDOWS)):
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


def network_share(
    history: History,
    starts: np.ndarray,
    apply: Callable[[Iterable[dict]], Iterable[tuple[Tensor, dict]]],
) -> Tensor:
    """Share of the network in its mixture with a :class:`LocalRidge`, for each step ``[P, 1, 1]``.

    It is the one with the smallest absolute error over the last fifth of the windows, if the map is
    fitted to those before it.

    Args:
        history: the series.
        starts: first steps of the windows that are known; with fewer than 64 the share is 1.
        apply: gives the network's forecasts of batches, and the batches.
    """
    horizon = history.windows.horizon
    if len(starts) < _FEW_WINDOWS:
        return torch.ones(horizon, 1, 1)
    border = 4 * len(starts) // 5
    # No window of the first part shares a step with the second.
    ridge = LocalRidge(history, starts[: max(1, border - history.windows.length)])
    shares = torch.linspace(0, 1, 11)
    scale = torch.from_numpy(history.standard.scale).view(1, 1, -1, 1)
    wrong = torch.zeros(len(shares), horizon, dtype=torch.float64)
    for forecast, batch in apply(history.training_batches(_some(starts[border:], _MOST_COMPARED))):
        other = ridge(batch)
        for place, share in enumerate(shares):
            error = (share * forecast + (1 - share) * other - batch["targets"]).abs() * scale
            wrong[place] += torch.where(batch["target_mask"], error, 0.0).sum(dim=(0, 2, 3))
    return shares[wrong.argmin(dim=0)].view(-1, 1, 1)


def _some(starts: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the starts, evenly spread."""
    return starts[:: -(-len(starts) // most)] if len(starts) else starts


def _inputs(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the map reads ``[B, N, C]``, and what is usual at the targets ``[B, N, P]``."""
    window = batch["features"].size(1)
    profile = batch["profile"][..., 0].transpose(1, 2).double()  # [B, N, T + P]
    usual = profile[..., window:]
    readings, mask = (batch[name][..., 0].transpose(1, 2) for name in ("features", "mask"))
    away = torch.where(mask, readings.double() - profile[..., :window], 0.0)
    return torch.cat([away, usual, torch.ones_like(usual[..., :1])], dim=-1), usual
