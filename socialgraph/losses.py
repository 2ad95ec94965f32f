"""Losses of forecasts of which some targets are missing."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Loss", "check_shapes", "masked_loss", "pinball_loss"]

Loss = Literal["mae", "huber", "mse"]


def masked_loss(
    forecast: Tensor, target: Tensor, mask: Tensor, loss: Loss = "mae", huber_delta: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""Sum of the loss over observed targets, and their number.

    Their quotient is the mean loss; kept apart, sums of several batches can be added. Without an
    observed target the sum is 0, with a zero gradient.

    ``mae``: :math:`|e|`; ``mse``: :math:`e^2`; ``huber``: :math:`e^2 / 2` up to :math:`\delta`,
    then :math:`\delta (|e| - \delta / 2)`.

    Args:
        forecast, target: the same shape, in the same unit.
        mask: True where the target is observed, same shape; what ``target`` holds elsewhere, NaN
            included, is not looked at.
        loss: which of the three.
        huber_delta: :math:`\delta`, in the unit of the target.

    Raises:
        ValueError: for an unknown loss, or shapes that differ.
    """
    check_shapes(forecast, target, mask)
    target = torch.where(mask, target, forecast.detach())
    if loss == "mae":
        errors = F.l1_loss(forecast, target, reduction="none")
    elif loss == "mse":
        errors = F.mse_loss(forecast, target, reduction="none")
    elif loss == "huber":
        errors = F.huber_loss(forecast, target, reduction="none", delta=huber_delta)
    else:
        raise ValueError(f"Expected 'loss' as 'mae', 'huber' or 'mse' (got {loss!r}).")
    return torch.where(mask, errors, 0.0).sum(), mask.sum()


def pinball_loss(quantiles: Tensor, target: Tensor, levels: Sequence[float]) -> Tensor:
    r"""Pinball loss of each quantile, in the unit of the target.

    .. math:: \rho_\tau(y, q) = \max(\tau (y - q), (\tau - 1)(y - q))

    Args:
        quantiles: ``[..., L]``.
        target: ``[...]``.
        levels: :math:`\tau` of each quantile.
    """
    error = target.unsqueeze(-1) - quantiles
    level = error.new_tensor(list(levels))
    return torch.maximum(level * error, (level - 1) * error)


def check_shapes(forecast: Tensor, target: Tensor, mask: Tensor) -> None:
    """Refuse forecasts that would be broadcast to the shape of the targets.

    Raises:
        ValueError: if the shapes differ.
    """
    if not forecast.shape == target.shape == mask.shape:
        raise ValueError(
            f"Expected forecasts of the shape of the targets {tuple(target.shape)}, [batch, "
            f"horizon, detectors, targets] (got {tuple(forecast.shape)}, and a mask "
            f"{tuple(mask.shape)}). Give the network the horizon and the targets of the data."
        )
