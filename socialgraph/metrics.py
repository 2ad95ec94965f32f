"""Masked errors in real units."""

import torch
from torch import Tensor
from torchmetrics import Metric

from socialgraph.losses import check_shapes

__all__ = ["ForecastErrors", "errors_from_sums"]

_SUMS = ("absolute", "square", "percentage", "count", "nonzero")


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
        check_shapes(forecast, target, mask)
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
