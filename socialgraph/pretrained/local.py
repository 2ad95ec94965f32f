"""What is learnt from the history at once: a linear map, and how far to trust it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from socialgraph.conformal import Conformal, Residuals
from socialgraph.pretrained.history import History
from socialgraph.spread import spread_over

__all__ = ["Compared", "LocalRidge", "Mixture", "Moments", "best_share", "compare", "intervals_of"]

Apply = Callable[[Iterable[dict]], Iterable[tuple[Tensor, dict]]]

_PENALTY = 10.0
_MOST_WINDOWS = 400  # to fit the map, spread over the history
_MOST_COMPARED = 128
_FEW_WINDOWS = 64  # with fewer nothing is learnt
_FOLDS = 5


class LocalRidge:
    """A linear map from the window and what is usual to the targets, shared by all detectors.

    It forecasts how far the targets will be from what is usual, from how far each reading of the
    window was; missing readings count as usual.

    Args:
        weight: the map :math:`(C, P)`; :class:`Moments` fits it.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        """Forecasts ``[B, P, N, 1]`` in deviations."""
        inputs, usual = _inputs(batch)
        return (inputs @ self.weight + usual).transpose(1, 2)[..., None].float()


class Moments:
    r"""What a ridge regression needs of each window, so that it can be fitted to any of them.

    .. math:: \mathbf{W}_p = \bigl( \lambda \mathbf{I} + \sum_w \mathbf{X}_{wp}^\top \mathbf{X}_{wp}
        \bigr)^{-1} \sum_w \mathbf{X}_{wp}^\top \mathbf{y}_{wp}

    for each step ahead, with the rows of the detectors whose target is known at that step.

    Args:
        history: the series.
        starts: first steps of the windows; of more than 400 so many are taken.
    """

    def __init__(self, history: History, starts: np.ndarray) -> None:
        self.starts = starts[spread_over(len(starts), _MOST_WINDOWS)]
        window, horizon = history.windows.window, history.windows.horizon
        size = window + horizon + 1
        squares = [torch.zeros(0, horizon, size, size, dtype=torch.float64)]
        products = [torch.zeros(0, size, horizon, dtype=torch.float64)]
        for batch in history.batches(self.starts):
            inputs, usual = _inputs(batch)
            known = batch["target_mask"][..., 0].transpose(1, 2)  # [B, N, P]
            away = batch["targets"][..., 0].transpose(1, 2).double() - usual
            squares.append(_squares(inputs, known))
            products.append(inputs.transpose(1, 2) @ torch.where(known, away, 0.0))
        self.square, self.product = torch.cat(squares), torch.cat(products)

    def fit(self, chosen: np.ndarray | None = None) -> LocalRidge:
        """The map of some of the windows, True where chosen ``[W]``; None for all."""
        rows = slice(None) if chosen is None else torch.from_numpy(chosen)
        square, product = self.square[rows].sum(0), self.product[rows].sum(0)
        penalty = _PENALTY * torch.eye(square.size(-1))
        return LocalRidge(torch.linalg.solve(square + penalty, product.T[..., None])[..., 0].T)


def _squares(inputs: Tensor, known: Tensor) -> Tensor:
    """Squares ``[B, P, C, C]`` of inputs ``[B, N, C]``, of rows known at each step ``[B, N, P]``.

    Rows that are known at all steps, which most are, are squared once.
    """
    whole = known.all(dim=2, keepdim=True)
    square = (inputs * whole).transpose(1, 2) @ inputs
    some = known & ~whole
    partly = some.any(dim=2).float()
    rows = partly.topk(int(partly.sum(dim=1).max()), dim=1).indices[..., None]  # [B, M, 1]
    inputs, some = (x.gather(1, rows.expand(-1, -1, x.size(2))) for x in (inputs, some))
    at_step = inputs[:, None] * some.transpose(1, 2)[..., None]  # [B, P, M, C]
    return square[:, None] + at_step.transpose(2, 3) @ inputs[:, None]


class Compared(NamedTuple):
    """Forecasts of windows by what was not fitted to them, and the truth.

    Args:
        network, ridge, usual, targets: in deviations :math:`(W, P, N, 1)`.
        mask: True where the truth is known, likewise.
        fold: which fifth of the history each window is of :math:`(W)`.
    """

    network: Tensor
    ridge: Tensor
    usual: Tensor
    targets: Tensor
    mask: Tensor
    fold: Tensor


def compare(history: History, starts: np.ndarray, moments: Moments, apply: Apply) -> Compared:
    """Forecasts of windows of the whole history, by cross-validation.

    The windows of each fifth are forecast by the network, by a map that is fitted to windows which
    share no step with that fifth, and by what is usual without their own readings.

    Args:
        history: the series.
        starts: first steps of the windows that are known.
        moments: of these windows.
        apply: gives the network's forecasts of batches, and the batches.
    """
    length, some = history.windows.length, starts[spread_over(len(starts), _MOST_COMPARED)]
    parts = []
    for fold, known in enumerate(np.array_split(starts, _FOLDS)):
        first, last = known[0], known[-1]
        ridge = moments.fit((moments.starts <= first - length) | (moments.starts >= last + length))
        own = some[(some >= first) & (some <= last)]
        parts += [
            (
                forecast,
                ridge(batch),
                _usual(batch),
                batch["targets"],
                batch["target_mask"],
                torch.full((len(forecast),), fold),
            )
            for forecast, batch in apply(history.batches(own))
        ]
    return Compared(*map(torch.cat, zip(*parts, strict=True)))


def best_share(first: Tensor, second: Tensor, found: Compared, scale: Tensor) -> Tensor:
    r"""Share of a forecast in its mixture with another, for each step ``[P, 1, 1]``.

    Of 0, 0.1, ..., 1 it is the largest share whose absolute error is not worse than that of the
    best one by more than a standard error over the folds (the one-standard-error rule; Breiman et
    al., *Classification and Regression Trees*, 1984, section 3.4.3): the first forecast is left
    only for what the fifths of the history agree on.

    Args:
        first: forecasts ``[W, P, N, 1]``.
        second: the others.
        found: the truth.
        scale: deviation of each detector ``[N]``, by which its errors count.
    """
    shares = torch.linspace(0, 1, 11)
    of_fold = torch.nn.functional.one_hot(found.fold, _FOLDS).double()  # [W, K]
    count = of_fold.T @ found.mask.sum(dim=(2, 3)).double()  # [K, P]
    wrong = []
    for share in shares:
        error = (torch.lerp(second, first, share) - found.targets).abs().double()
        error = torch.where(found.mask, error * scale.view(1, 1, -1, 1), 0.0).sum(dim=(2, 3))
        wrong.append(of_fold.T @ error / count.clamp(min=1))
    errors = torch.stack(wrong)  # [S, K, P]
    best = errors.mean(dim=1).argmin(dim=0)
    worse = errors - errors.gather(0, best.expand(1, _FOLDS, -1))
    alike = worse.mean(dim=1) <= worse.std(dim=1) / _FOLDS**0.5
    place = (alike * torch.arange(len(shares))[:, None]).amax(dim=0)
    return shares[place].view(-1, 1, 1)


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

    Each step has its own shares: first of network and map, then of their mixture and the usual day
    (:func:`best_share`), by cross-validation over the history (:func:`compare`).

    Args:
        history: the series.
        starts: first steps of the windows that are known; with fewer than 64 that have readings the
            network is alone, and there are no intervals.
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
        self.share = self.share_of_both = torch.ones(history.windows.horizon, 1, 1)
        self.ridge = self.conformal = None
        starts = history.observed(starts)
        if len(starts) < _FEW_WINDOWS:
            return
        moments = Moments(history, starts)
        found = compare(history, starts, moments, apply)
        if adapt:
            scale = torch.from_numpy(history.standard.scale)
            self.share = best_share(found.network, found.ridge, found, scale)
            both = torch.lerp(found.ridge, found.network, self.share)
            self.share_of_both = best_share(both, found.usual, found, scale)
            self.ridge = moments.fit()
        if levels:
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
