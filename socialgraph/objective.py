"""What is trained, and so what a forecast says: a point, or quantiles that never cross."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from socialgraph.losses import Loss, masked_loss, pinball_loss
from socialgraph.recipe import recorded

__all__ = ["Objective", "Point", "Quantile"]


class Objective(ABC):
    r"""What a network is trained for, which YAML names by ``class_path``.

    Head, loss, tables, metrics, streams and exported files ask it and nothing else. A class that
    YAML names is derived from this one; constructor arguments are plain values and stay attributes
    under their own names, so that a checkpoint can write them down.

    The network gives :math:`W` numbers for each target, scaled, those of all targets together
    :math:`(\dots, W \cdot F)`: the first of all targets, then the second. Anchors of a network are
    added to the first. :meth:`decode` makes a *prediction* :math:`(\dots, F, W)` of them, in real
    units, which all other methods read.

    ``width`` is :math:`W`; ``levels`` are those of the quantiles that it forecasts, ascending.
    """

    width: int
    levels: tuple[float, ...]

    @abstractmethod
    def decode(self, raw: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        """Predictions in real units.

        Args:
            raw: what the network gives ``[..., W * F]``.
            loc: centre of each target ``[F]``.
            scale: deviation of each target ``[F]``.
        """

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the loss over the observed targets, and their number.

        Args:
            prediction: ``[..., F, W]``.
            target: ``[..., F]``, in the same unit.
            mask: True where the target is observed; the rest is not looked at.
        """

    @abstractmethod
    def point(self, prediction: Tensor) -> Tensor:
        """The forecast ``[..., F]`` that is scored as one number."""

    @abstractmethod
    def quantiles(self, prediction: Tensor, levels: Sequence[float]) -> Tensor:
        """Quantiles ``[..., F, L]`` of these levels, before any calibration.

        An objective that forecasts none gives the point at every level, and those that it does not
        forecast itself come from what is next to them.
        """


class Point(Objective):
    r"""One number for each target.

    ``mae``: :math:`|e|`, whose best forecast is the median; ``mse``: :math:`e^2`, the mean;
    ``huber``: :math:`e^2 / 2` up to :math:`\delta`, then :math:`\delta (|e| - \delta / 2)`.

    Args:
        loss: ``"mae"``, ``"huber"`` or ``"mse"``.
        huber_delta: :math:`\delta`, in the unit of the (weighted) target.

    Raises:
        ValueError: for an unknown loss, or a ``huber_delta`` out of range.
    """

    width = 1
    levels = ()

    @recorded
    def __init__(self, loss: Loss = "mae", huber_delta: float = 1.0) -> None:
        if loss not in ("mae", "huber", "mse"):
            raise ValueError(f"Expected 'loss' as 'mae', 'huber' or 'mse' (got {loss!r}).")
        if not 0 < huber_delta < math.inf:
            raise ValueError(f"Expected 'huber_delta' above 0 (got {huber_delta}).")
        self.kind, self.huber_delta = loss, huber_delta

    def decode(self, raw: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return (raw * scale + loc).unsqueeze(-1)

    def loss(self, prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return masked_loss(prediction[..., 0], target, mask, self.kind, self.huber_delta)

    def point(self, prediction: Tensor) -> Tensor:
        return prediction[..., 0]

    def quantiles(self, prediction: Tensor, levels: Sequence[float]) -> Tensor:
        return prediction.expand(*prediction.shape[:-1], len(levels))


class Quantile(Objective):
    r"""Quantiles of each target, the median among them, which is the point forecast.

    The network gives the median :math:`m` and a number :math:`r_k` for each other level. Quantiles
    are reached in steps from the median outwards, so that they never cross:

    .. math::
        q_{\tau_k} = m \pm \sum_{j \le k} \mathrm{softplus}(r_j)

    Trained by twice the mean of the pinball losses over the levels, which tends to the CRPS as
    levels are added:

    .. math::
        \rho_\tau(y, q) = \max(\tau (y - q), (\tau - 1)(y - q))

    Koenker and Bassett, `Regression Quantiles <https://doi.org/10.2307/1913643>`_; increments as in
    Park et al., `Learning Quantile Functions without Quantile Crossing
    <https://arxiv.org/abs/2111.06581>`_.

    Args:
        levels: ascending, above 0 and below 1, with 0.5 among them.

    Raises:
        ValueError: for other levels.
    """

    def __init__(self, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> None:
        levels = [float(level) for level in levels]
        ascending = all(a < b for a, b in zip([0.0, *levels], [*levels, 1.0], strict=True))
        if not ascending or 0.5 not in levels:
            raise ValueError(
                "Expected 'levels' of quantiles as ascending numbers between 0 and 1, with 0.5 for "
                f"the median (got {levels})."
            )
        self.levels = tuple(levels)
        self.width = len(levels)

    @property
    def _below(self) -> int:
        """How many levels are below the median."""
        return self.levels.index(0.5)

    def decode(self, raw: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        median, *steps = raw.unflatten(-1, (self.width, -1)).unbind(-2)
        lower, upper = [median], [median]
        for place, step in enumerate(steps):
            if place < self._below:
                lower.append(lower[-1] - F.softplus(step))
            else:
                upper.append(upper[-1] + F.softplus(step))
        ordered = torch.stack([*lower[:0:-1], *upper], dim=-1)  # [..., F, W]
        return ordered * scale.unsqueeze(-1) + loc.unsqueeze(-1)

    def loss(self, prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        target = torch.where(mask, target, self.point(prediction).detach())
        losses = 2 * pinball_loss(prediction, target, self.levels).mean(dim=-1)
        return torch.where(mask, losses, 0.0).sum(), mask.sum()

    def point(self, prediction: Tensor) -> Tensor:
        return prediction[..., self._below]

    def quantiles(self, prediction: Tensor, levels: Sequence[float]) -> Tensor:
        parts = [prediction[..., :0]]
        for level in levels:
            upper = min(bisect_left(self.levels, level - 1e-9), self.width - 1)
            lower = max(upper - 1, 0)
            span = self.levels[upper] - self.levels[lower] or 1.0
            share = min(max((level - self.levels[lower]) / span, 0.0), 1.0)
            pair = prediction[..., lower : lower + 1], prediction[..., upper : upper + 1]
            parts.append(torch.lerp(*pair, share))
        return torch.cat(parts, dim=-1)
