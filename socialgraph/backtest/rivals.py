"""Rivals with the call of a network, so that they pass through the same errors."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from socialgraph.calendar import to_local
from socialgraph.data import TrafficDataModule
from socialgraph.nn.inputs import last_observed
from socialgraph.profile import is_weekend, slots_of
from socialgraph.scaler import Scaler

__all__ = ["LastValue", "LastWeek", "Ridge", "TimeOfDayMean", "fitted_scaler", "scaled_targets"]

_WEEK = np.timedelta64(7 * 86400, "s")
_WEEKS_BACK = 4


def fitted_scaler(datamodule: TrafficDataModule) -> Scaler:
    """Scaler of the training part of a data module after ``setup``."""
    spec = datamodule.fitted_spec()
    return Scaler(spec.loc, spec.scale, spec.limit)


class LastValue(nn.Module):
    """The last observed reading of the window, for all steps; the mean if there is none.

    Args:
        horizon: predicted steps.
        num_targets: predicted features, the first of the readings' features.

    Shapes:
        - **features, mask:** scaled readings :math:`(B, T, N, F)`, True where observed
        - **output:** :math:`(B, P, N, F)`, scaled
    """

    def __init__(self, horizon: int, num_targets: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.num_targets = num_targets

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        last = last_observed(features, mask).nan_to_num()
        return last[:, None, :, : self.num_targets].expand(-1, self.horizon, -1, -1)


class LastWeek(nn.Module):
    """The reading at the same local time a week before, holiday or not.

    If it is missing, that of two, three or four weeks before is taken; if these are too, the mean
    of all. With a horizon of more than a week, the latest week that is known counts.

    Args:
        datamodule: data module after ``setup``; all readings before a forecast are known to it, as
            they would be in use.

    Shapes:
        - **issued:** seconds since 1970 (UTC) of the last reading that is known :math:`(B)`
        - **output:** :math:`(B, P, N, F)`, scaled
    """

    def __init__(self, datamodule: TrafficDataModule) -> None:
        super().__init__()
        series, self.horizon = datamodule.series, datamodule.windows.horizon
        self.step = round(60 * series.interval_minutes)
        first = -(-self.horizon * self.step // (7 * 86400))
        scaled = scaled_targets(datamodule)
        found = np.full_like(scaled, np.nan)
        for weeks in range(first, first + _WEEKS_BACK):
            rows = _rows_before(series.timestamps, series.timezone, weeks * _WEEK)
            before = np.where((rows >= 0)[:, None, None], scaled[rows], np.nan)
            found = np.where(np.isnan(found), before, found)
        self.register_buffer("seconds", torch.from_numpy(series.timestamps.astype(np.int64)))
        self.register_buffer("found", torch.from_numpy(np.nan_to_num(found)))

    def forward(self, issued: Tensor) -> Tensor:
        ahead = self.step * torch.arange(1, self.horizon + 1, device=issued.device)
        return self.found[torch.searchsorted(self.seconds, issued[:, None] + ahead)]


class TimeOfDayMean(nn.Module):
    """Mean of the training readings of a detector at the same time of day.

    Working days and weekends (with public holidays, if the data name some) have a mean each. A slot
    without a reading takes the detector's mean, and a detector without any the mean of all.

    Args:
        datamodule: data module after ``setup``, whose training part is averaged.

    Shapes:
        - **target_time_of_day, target_day_of_week:** of the target steps :math:`(B, P)`
        - **output:** :math:`(B, P, N, F)`, scaled
    """

    def __init__(self, datamodule: TrafficDataModule) -> None:
        super().__init__()
        self.slots = round(1440 / datamodule.series.interval_minutes)
        train = slice(datamodule.train_steps)
        clocks = datamodule.collator.time_of_day[train], datamodule.collator.day_of_week[train]
        weekend, slot = (part.numpy() for part in self._place(*clocks))
        profile = _profile(scaled_targets(datamodule)[train], slot, weekend, self.slots)
        self.register_buffer("profile", torch.from_numpy(profile).float())

    def forward(self, target_time_of_day: Tensor, target_day_of_week: Tensor) -> Tensor:
        return self.profile[self._place(target_time_of_day, target_day_of_week)]

    def _place(self, time_of_day: Tensor, day_of_week: Tensor) -> tuple[Tensor, Tensor]:
        return is_weekend(day_of_week).long(), slots_of(time_of_day, self.slots)


class Ridge(nn.Module):
    r"""Ridge regression of each step of a detector on its own window and the clock.

    .. math::
        \hat{\mathbf{y}}_{pf} = \mathbf{x} \mathbf{w}_{pf}, \qquad
        \mathbf{w}_{pf} = (\mathbf{X}^\top \mathbf{M} \mathbf{X} + \lambda \mathbf{I})^{-1}
        \mathbf{X}^\top \mathbf{M} \mathbf{y}_{pf}

    for each detector, step and target by itself, with :math:`\mathbf{x}` the scaled readings of the
    window, their masks, sine and cosine of the time of day, and 1; :math:`\mathbf{M}` leaves out
    the missing targets.

    Args:
        datamodule: data module after ``setup``; its training windows are fitted.
        penalty: :math:`\lambda`.

    Shapes:
        - **features, mask:** scaled readings :math:`(B, T, N, F)`, True where observed
        - **time_of_day:** of the input steps :math:`(B, T)`
        - **output:** :math:`(B, P, N, F)`, scaled
    """

    def __init__(self, datamodule: TrafficDataModule, penalty: float = 1.0) -> None:
        super().__init__()
        scaler = fitted_scaler(datamodule)
        channels = slice(datamodule.num_targets)
        grams = _Grams()
        for batch in datamodule.train_dataloader():
            features = scaler.transform(batch["features"], batch["mask"])
            x = _regressors(features, batch["mask"], batch["time_of_day"]).double()
            scaled = (batch["targets"] - scaler.loc[channels]) / scaler.scale[channels]
            y, known = (
                part.permute(0, 2, 1, 3).flatten(2).double()  # [B, N, P * F]
                for part in (scaled, batch["target_mask"])
            )
            grams.add(x, y * known, known)
        weight = grams.solve(penalty)  # [N, P * F, K]
        sizes = (datamodule.windows.horizon, datamodule.num_targets)
        self.register_buffer("weight", weight.unflatten(1, sizes).float())

    def forward(self, features: Tensor, mask: Tensor, time_of_day: Tensor) -> Tensor:
        x = _regressors(features, mask, time_of_day)
        return torch.einsum("bnk,npfk->bpnf", x, self.weight)


class _Grams:
    """Sums over windows of ``x x^T`` and ``x y`` of each detector and output, without the missing.

    Most windows have all their targets or none, so that all outputs share one sum.
    """

    def __init__(self) -> None:
        self.shared: Tensor | float = 0.0  # [N, K, K]
        self.moment: Tensor | float = 0.0  # [N, O, K]
        self.own: dict[int, Tensor] = {}  # by detector [O, K, K]

    def add(self, x: Tensor, y: Tensor, known: Tensor) -> None:
        """Add regressors ``[B, N, K]`` and outputs, 0 where ``known`` is, each ``[B, N, O]``."""
        whole = known.all(dim=-1, keepdim=True)
        partly = known.any(dim=-1) & ~whole[..., 0]
        kept = (x * whole).transpose(0, 1)  # [N, B, K]
        self.shared = self.shared + kept.transpose(1, 2) @ kept
        self.moment = self.moment + torch.einsum("bno,bnk->nok", y, x)
        for node in partly.any(dim=0).nonzero().flatten().tolist():
            rows, seen = x[partly[:, node], node], known[partly[:, node], node]
            more = torch.einsum("bk,bo,bl->okl", rows, seen, rows)
            self.own[node] = self.own.get(node, 0.0) + more

    def solve(self, penalty: float) -> Tensor:
        """Weights ``[N, O, K]``."""
        identity = penalty * torch.eye(self.shared.size(-1), dtype=self.shared.dtype)
        weight = torch.linalg.solve(self.shared + identity, self.moment.transpose(1, 2))
        weight = weight.transpose(1, 2).contiguous()
        for node, own in self.own.items():
            gram = self.shared[node] + own + identity
            weight[node] = torch.linalg.solve(gram, self.moment[node])
        return weight


def scaled_targets(datamodule: TrafficDataModule) -> np.ndarray:
    """All readings of the targets ``[T, N, F]``, scaled, float32, NaN where missing."""
    scaler, channels = fitted_scaler(datamodule), slice(datamodule.num_targets)
    loc, scale = (part[channels].numpy() for part in (scaler.loc, scaler.scale))
    return (datamodule.series.values[..., channels] - loc) / scale


def _rows_before(times: np.ndarray, zone: str, ago: np.timedelta64) -> np.ndarray:
    """Row ``[T]`` of the same local clock so long ago; -1 where the series has none."""
    offset, before = (to_local(t, zone) - t for t in (times, times - ago))
    wanted = times - ago + offset - before  # whose clock is right unless it changes just there
    rows = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    return np.where(times[rows] == wanted, rows, -1)


def _regressors(features: Tensor, mask: Tensor, time_of_day: Tensor) -> Tensor:
    """Regressors of each detector ``[B, N, K]``."""
    own = torch.cat([features, mask.to(features.dtype)], dim=-1)  # [B, T, N, 2 * F]
    own = own.transpose(1, 2).flatten(2)
    angle = 2 * math.pi * time_of_day[:, -1:]
    clock = torch.cat([angle.sin(), angle.cos(), torch.ones_like(angle)], dim=-1)
    return torch.cat([own, clock[:, None].expand(-1, own.size(1), -1)], dim=-1)


def _profile(values: np.ndarray, slot: np.ndarray, weekend: np.ndarray, slots: int) -> np.ndarray:
    """Means ``[2, slots, N, F]``."""
    total = np.zeros((2, slots, *values.shape[1:]))
    count = np.zeros_like(total)
    np.add.at(total, (weekend, slot), np.nan_to_num(values))
    np.add.at(count, (weekend, slot), ~np.isnan(values))
    own = total.sum((0, 1)) / np.maximum(1, count.sum((0, 1)))  # [N, F]; 0 is the scaled mean
    return np.where(count > 0, total / np.maximum(1, count), own)
