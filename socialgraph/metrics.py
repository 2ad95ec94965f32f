"""Masked errors in real units."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from socialgraph.losses import check_shapes, pinball_loss

__all__ = [
    "INTERVAL_ERRORS",
    "ForecastErrors",
    "IntervalErrors",
    "errors_from_sums",
    "interval_parts",
]

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


INTERVAL_ERRORS = ("coverage", "width", "interval_score", "crps")
_HOURS = 24


class IntervalErrors(Metric):
    r"""How good the interval between the outermost quantiles is, and the quantiles together.

    - ``coverage``: share of the observed targets within the interval :math:`[l, u]`.
    - ``width``: :math:`u - l`, in the unit of the target.
    - ``interval_score``: :math:`(u - l) + \frac{1}{\tau_l} (l - y)_+ + \frac{1}{1 - \tau_u}
      (y - u)_+`, which for a central interval of coverage :math:`1 - \alpha` is the score of
      Winkler (1972), with :math:`2 / \alpha` for both (Gneiting and Raftery, `Strictly Proper
      Scoring Rules <https://doi.org/10.1198/016214506000001437>`_).
    - ``crps``: twice the mean pinball loss of all quantiles and the point forecast as the median:
      the CRPS as far as these levels tell it (Gneiting and Ranjan, `Comparing Density Forecasts
      <https://doi.org/10.1198/jbes.2010.08110>`_). Few levels tell it coarsely: compare it between
      forecasts of the same levels alone.

    Kept as sums and counts, divided once. An hour is that of the local clock at the target.

    Args:
        shape: horizon, detectors and targets.
        levels: of the quantiles, ascending, without the median; at least two.

    Shapes:
        - **forecast, target, mask:** :math:`(B, P, N, F)`
        - **quantiles:** :math:`(B, P, N, F, L)`
        - **time_of_day:** of the targets, share of the local day that has passed :math:`(B, P)`
        - :meth:`compute`: of each of :data:`INTERVAL_ERRORS`, in this order: ``all``
          :math:`(4, F)`, ``step`` :math:`(4, P, F)`, ``detector`` :math:`(4, N, F)` and ``hour``
          :math:`(4, 24, F)`; NaN where nothing was observed
    """

    places: Tensor
    hours: Tensor

    def __init__(self, shape: tuple[int, int, int], levels: Sequence[float]) -> None:
        super().__init__()
        self.levels = list(levels)
        sums = 1 + len(INTERVAL_ERRORS)
        sizes = {"places": (sums, *shape), "hours": (sums, _HOURS, shape[-1])}
        for name, size in sizes.items():
            zero = torch.zeros(size, dtype=torch.float64)
            self.add_state(name, default=zero, dist_reduce_fx="sum")

    def update(
        self, forecast: Tensor, quantiles: Tensor, target: Tensor, mask: Tensor, time_of_day: Tensor
    ) -> None:
        """Add a batch.

        Raises:
            ValueError: if the shapes differ.
        """
        check_shapes(forecast, target, mask)
        values = interval_parts(forecast, quantiles, target, mask, self.levels)
        self.places += values.sum(dim=1)
        hour = (time_of_day * _HOURS).long().clamp(0, _HOURS - 1).flatten()
        self.hours.index_add_(1, hour, values.sum(dim=3).flatten(1, 2))

    def compute(self) -> dict[str, Tensor]:
        """The errors by place, divided."""
        sums = {
            "all": self.places.sum(dim=(1, 2)),
            "step": self.places.sum(dim=2),
            "detector": self.places.sum(dim=1),
            "hour": self.hours,
        }
        return {name: part[1:] / part[0] for name, part in sums.items()}


def interval_parts(
    forecast: Tensor, quantiles: Tensor, target: Tensor, mask: Tensor, levels: Sequence[float]
) -> Tensor:
    """What :class:`IntervalErrors` sums: 1, and each of :data:`INTERVAL_ERRORS`; 0 if not observed.

    Args:
        forecast, target, mask: ``[..., F]``.
        quantiles: ``[..., F, L]``.
        levels: of the quantiles, ascending, without the median.

    Returns:
        ``[5, ..., F]``, float64.
    """
    target, quantiles = target.double(), quantiles.double()
    lower, upper = quantiles[..., 0], quantiles[..., -1]
    width = upper - lower
    below, above = (lower - target).clamp(min=0), (target - upper).clamp(min=0)
    score = width + below / levels[0] + above / (1 - levels[-1])
    told = torch.cat([quantiles, forecast.double().unsqueeze(-1)], dim=-1)
    crps = 2 * pinball_loss(told, target, [*levels, 0.5]).mean(dim=-1)
    inside = (below == 0) & (above == 0)
    values = torch.stack([torch.ones_like(width), inside.double(), width, score, crps])
    return torch.where(mask, values, 0.0)


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
