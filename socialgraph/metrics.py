"""Masked loss and errors in real units."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

__all__ = ["ForecastErrors", "Loss", "errors_from_sums", "masked_loss", "pinball_loss"]

Loss = Literal["mae", "huber", "mse"]
_SUMS = ("absolute", "square", "percentage", "count", "nonzero")


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
    _check_shapes(forecast, target, mask)
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


class ForecastErrors(Metric):
    r"""Masked MAE, RMSE and MAPE per predicted step and feature.

    Kept as sums and counts over all targets and divided once, so that batches of unequal size and
    several processes give the errors of the whole set. MAPE leaves out targets of 0.

    Args:
        horizon: predicted steps.
        num_targets: predicted features.

    Shapes:
        - **forecast, target, mask:** :math:`(B, P, N, F)`
        - :meth:`compute`: :math:`(5, P, F)`, float64
    """

    def __init__(self, horizon: int, num_targets: int) -> None:
        super().__init__()
        for name in _SUMS:
            zero = torch.zeros(horizon, num_targets, dtype=torch.float64)
            self.add_state(name, default=zero, dist_reduce_fx="sum")

    def update(self, forecast: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Raises:
            ValueError: if the shapes differ.
        """
        _check_shapes(forecast, target, mask)
        forecast, target = forecast.double(), target.double()
        error = torch.where(mask, forecast - target, 0.0).abs()
        nonzero = mask & (target.abs() > 1e-4)
        relative = torch.where(nonzero, error / target.abs(), 0.0)
        for name, value in zip(
            _SUMS, (error, error**2, 100 * relative, mask, nonzero), strict=True
        ):
            state = getattr(self, name)
            state += value.sum(dim=(0, 2), dtype=torch.float64)

    def compute(self) -> Tensor:
        """Sums and counts over all targets ``[5, P, F]``; :func:`errors_from_sums` divides them."""
        return torch.stack([getattr(self, name) for name in _SUMS])


def errors_from_sums(sums: Tensor) -> dict[str, Tensor]:
    """Errors from the sums and counts of :class:`ForecastErrors`.

    Args:
        sums: ``[5, P, F]``.

    Returns:
        Per step and feature ``[P, F]``: ``mae`` and ``rmse`` in the unit of the target, ``mape`` in
        percent, ``count``; over all steps together ``[F]``: ``mae_all``, ``rmse_all``,
        ``mape_all``. The mean of ``rmse`` over the steps is the other average in use. NaN where
        nothing was observed.
    """
    absolute, square, percentage, count, nonzero = sums
    return {
        "mae": absolute / count,
        "rmse": (square / count).sqrt(),
        "mape": percentage / nonzero,
        "count": count,
        "mae_all": absolute.sum(0) / count.sum(0),
        "rmse_all": (square.sum(0) / count.sum(0)).sqrt(),
        "mape_all": percentage.sum(0) / nonzero.sum(0),
    }


def _check_shapes(forecast: Tensor, target: Tensor, mask: Tensor) -> None:
    if not forecast.shape == target.shape == mask.shape:
        raise ValueError(
            f"Expected forecasts of the shape of the targets {tuple(target.shape)}, [batch, "
            f"horizon, detectors, targets] (got {tuple(forecast.shape)}, and a mask "
            f"{tuple(mask.shape)}). Give the network the horizon and the targets of the data."
        )
