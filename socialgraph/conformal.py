"""Intervals that hold what they promise: quantiles corrected by what validation windows tell."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["Conformal", "Residuals", "calibrated_levels", "ordered"]

# Windows of a detector by whose number its own correction counts as much as that of all.
_SHRINKAGE = 200
# Residuals that are kept; of more, every second window is left out (neighbours tell the same).
_MOST = 2**23


class Conformal:
    r"""Corrects quantiles by split conformal prediction, per horizon and detector.

    On validation windows, which the weights were not trained on, a quantile :math:`\hat{q}_\tau`
    is wrong by :math:`e = y - \hat{q}_\tau`. Added to it is the quantile of these residuals, with
    the correction for a sample of :math:`m`,

    .. math::
        o_\tau = e_{(k)}, \qquad
        k = \lceil (m + 1) \tau \rceil \text{ for } \tau > 1/2, \text{ else }
        \lfloor (m + 1) \tau \rfloor

    so that :math:`P(y \le \hat{q}_\tau + o_\tau) = \tau` for readings that are exchangeable with
    those of the validation. Each side is calibrated by itself: the asymmetric form of Romano
    et al., `Conformalized Quantile Regression <https://arxiv.org/abs/1905.03222>`_ (theorem 2). For
    a network of points all quantiles are the point, which makes it split conformal prediction on
    signed residuals.

    The correction of a detector is its own, shrunk towards that of the network by the number of its
    residuals, :math:`w = m / (m + 200)`; it is the network's if its own are too few to tell the
    quantile, and for detectors that were not in training.

    Args:
        levels: :math:`\tau` of each quantile, ascending.
        own: corrections of each detector :math:`(P, N, F, L)`, in units.
        shared: those of the network :math:`(P, F, L)`.

    Raises:
        ValueError: if corrections are not finite numbers of these shapes.
    """

    def __init__(self, levels: Sequence[float], own: Tensor, shared: Tensor) -> None:
        fits = own.dim() == 4 and shared.shape == own[:, 0].shape and len(levels) == own.size(-1)
        if not fits or not (own.isfinite().all() and shared.isfinite().all()):
            raise ValueError(
                "Expected finite corrections [horizon, detectors, targets, levels] and [horizon, "
                f"targets, levels] of {len(levels)} levels (got {tuple(own.shape)} and "
                f"{tuple(shared.shape)})."
            )
        self.levels = [float(level) for level in levels]
        self.own, self.shared = own.float(), shared.float()

    def correct(self, quantiles: Tensor, point: Tensor) -> Tensor:
        """Corrected quantiles ``[..., P, N, F, L]``, which never cross, nor the point forecast.

        Args:
            quantiles: those of the network, likewise.
            point: the point forecast ``[..., P, N, F]``.
        """
        return ordered(quantiles + self.own.to(quantiles.device), point, self.levels)

    def take(self, rows: Tensor) -> "Conformal":
        """The corrections of other detectors.

        Args:
            rows: place of each of M detectors here ``[M]``, -1 for one that is not known.
        """
        rows = rows.to(self.own.device)
        known = (rows >= 0).view(1, -1, 1, 1)
        own = torch.where(known, self.own[:, rows.clamp(min=0)], self.shared.unsqueeze(1))
        return Conformal(self.levels, own, self.shared)

    def entries(self) -> dict:
        """What :meth:`of` reads, for a checkpoint."""
        return {"levels": self.levels, "own": self.own, "shared": self.shared}

    @classmethod
    def of(cls, entries: dict | None, sizes: tuple[int, int, int]) -> "Conformal | None":
        """The corrections that a checkpoint holds; None if it holds none.

        Args:
            entries: what :meth:`entries` gave.
            sizes: horizon, detectors and targets of the training.

        Raises:
            ValueError: if they are not corrections of such a forecaster.
        """
        if entries is None:
            return None
        try:
            made = cls(**entries)
        except (TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise ValueError(f"The 'conformal' of the checkpoint is none ({error}).") from error
        if tuple(made.own.shape[:3]) != sizes or not _ascending(made.levels):
            raise ValueError(
                f"The 'conformal' of the checkpoint cannot be of {sizes} (horizon, detectors, "
                "targets). Train again."
            )
        return made


class Residuals:
    """What quantiles of validation windows were wrong by, from which :class:`Conformal` is made.

    Args:
        levels: of the quantiles, ascending.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = list(levels)
        self._kept: list[tuple[float, Tensor]] = []  # with their keys
        self._share = 1.0
        self._random = np.random.default_rng(0)  # every n-th might be of the same hours alone

    def add(self, quantiles: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add the windows of a batch.

        Args:
            quantiles: ``[B, P, N, F, L]``, not corrected.
            target: ``[B, P, N, F]``.
            mask: True where the target is observed.
        """
        residuals = torch.where(mask, target, torch.nan).unsqueeze(-1) - quantiles
        keys = self._random.random(len(residuals)).tolist()
        for key, own in zip(keys, residuals.cpu(), strict=True):
            if key < self._share:
                self._kept.append((key, own.clone()))
        while len(self._kept) * residuals[0].numel() > _MOST and len(self._kept) > 1:
            self._share /= 2
            self._kept = [pair for pair in self._kept if pair[0] < self._share]

    def calibrate(self) -> Conformal | None:
        """The corrections; None if some step of a target was never observed."""
        if not self._kept:
            return None
        residuals = torch.stack([own for _, own in self._kept])  # [W, P, N, F, L]
        shared, _ = self._ranked(residuals.transpose(1, 2).flatten(0, 1))  # [P, F, L]
        own, count = self._ranked(residuals)  # [P, N, F, L]
        if not shared.isfinite().all():
            return None
        tail = torch.tensor([min(level, 1 - level) for level in self.levels])
        weight = torch.where((count + 1) * tail >= 1, count / (count + _SHRINKAGE), 0.0)
        mean = shared.unsqueeze(1)
        return Conformal(self.levels, mean + weight * (own.nan_to_num() - mean), shared)

    def _ranked(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """The residual of each level along the first axis, NaN without any, and their number."""
        count = (~residuals.isnan()).sum(dim=0)
        upper = torch.tensor([level > 0.5 for level in self.levels])
        place = (count + 1) * torch.tensor(self.levels, dtype=torch.float64)
        place = torch.where(upper, (place - 1e-9).ceil(), (place + 1e-9).floor()).long() - 1
        place = torch.minimum(place, count - 1).clamp(min=0)
        ascending = residuals.sort(dim=0).values  # NaN last
        return ascending.gather(0, place.unsqueeze(0))[0], count


def calibrated_levels(levels: Sequence[float], coverage: float) -> list[float]:
    """Levels that are told: the ends of a central interval, and those of the objective.

    Args:
        levels: of the objective; the median is left out, as it is the point forecast.
        coverage: of the interval, such as 0.9.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"Expected 'coverage' between 0 and 1, such as 0.9 (got {coverage}).")
    ends = (1 - coverage) / 2, (1 + coverage) / 2
    return sorted({round(level, 9) for level in (*ends, *levels)} - {0.5})


def ordered(quantiles: Tensor, point: Tensor, levels: Sequence[float]) -> Tensor:
    """Quantiles ``[..., L]`` that cross neither each other nor the point ``[...]``.

    From the point outwards each is at least as far as the one before, so that an interval may
    become wider and never narrower.
    """
    parts = list(quantiles.unbind(-1))
    below = sum(level < 0.5 for level in levels)
    nearest = point
    for place in reversed(range(below)):
        nearest = parts[place] = torch.minimum(parts[place], nearest)
    nearest = point
    for place in range(below, len(parts)):
        nearest = parts[place] = torch.maximum(parts[place], nearest)
    return torch.stack(parts, dim=-1)


def _ascending(levels: Sequence[float]) -> bool:
    ends = zip([0.0, *levels], [*levels, 1.0], strict=True)
    return all(math.isfinite(b) and a < b for a, b in ends)
