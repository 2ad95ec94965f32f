"""What anyone could forecast without a network: the last value or week, the usual day, a ridge."""

import copy

import numpy as np
import torch
from torch import Tensor

from socialgraph.backtest.rivals import LastWeek, fitted_scaler
from socialgraph.data import TrafficDataModule
from socialgraph.nn.inputs import last_observed
from socialgraph.profile import DailyProfile

__all__ = ["Rivals"]

_WEEK = np.timedelta64(7, "D")
_PENALTY = 1.0
_MOST_FITTED = 300_000  # detectors × windows that the ridge is fitted to, spread over the training
_MOST_WINDOWS = 512
_FEW_AT_ONCE = 32


class Rivals:
    r"""Forecasts of one target that need no network, from the training part of a series.

    - *last value*: the last reading of the window, repeated; the detector's usual day if the window
      has none.
    - *usual day*: what :class:`socialgraph.profile.DailyProfile` says of the target's time.
    - *last week*: the reading at the same local time a week before
      (:class:`socialgraph.backtest.rivals.LastWeek`), if the series is long enough before the test.
    - *ridge*: how far the target will be from the usual day, by a linear map of how far each
      reading of the window was; one map for each detector,
      :math:`\mathbf{W} = (\mathbf{X}^\top \mathbf{X} + \lambda \mathbf{I})^{-1} \mathbf{X}^\top
      \mathbf{Y}` with :math:`\lambda` = 1, in units of the detector's deviation from its usual day.
      Missing readings count as usual. It is fitted to up to 512 training windows (for more than
      600 detectors fewer), of which it takes those whose targets are known, with a usual day that
      leaves out the window's own readings.

    Args:
        data: after ``setup``; its training part is what is known.
        target: place of the target among the features.
    """

    def __init__(self, data: TrafficDataModule, target: int) -> None:
        self.target = target
        self.profile: DailyProfile = data.usual.profile()
        self.spread = self.profile.deviation[..., target].mean(dim=(0, 1)).clamp(min=1e-6)  # [N]
        self.weight = self._fit(data)  # [N, T + 1, P]
        known = data.first_times("test")[0] - data.series.timestamps[0] >= _WEEK
        self.last_week = LastWeek(data) if known else None
        scaler = fitted_scaler(data)
        self.loc, self.scale = scaler.loc[target], scaler.scale[target]

    def forecast(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Forecasts ``[B, P, N]`` of a batch in real units, by the name of the rival."""
        usual = self._usual(batch)
        window = batch["features"].size(1)
        after = usual[:, window:]
        last = last_observed(batch["features"], batch["mask"])[..., self.target]  # [B, N]
        last = torch.where(last.isnan(), usual[:, window - 1], last)
        week = {}
        if self.last_week is not None:
            scaled = self.last_week(batch["issued"])[..., self.target]
            week["last week"] = scaled * self.scale + self.loc
        change = torch.einsum("bnk,nkp->bpn", self._regressors(batch, usual), self.weight)
        return {
            "last value": last[:, None].expand_as(after),
            "usual day": after,
            **week,
            "ridge": after + change.float() * self.spread,
        }

    def _usual(self, batch: dict[str, Tensor]) -> Tensor:
        """The usual readings at the steps of window and targets ``[B, T + P, N]``."""
        if "profile" in batch:
            return batch["profile"][..., self.target]
        clocks = (
            torch.cat([batch[name], batch[f"target_{name}"]], dim=1)
            for name in ("time_of_day", "day_of_week")
        )
        return self.profile(*clocks)[0][..., self.target]

    def _regressors(self, batch: dict[str, Tensor], usual: Tensor) -> Tensor:
        """Deviations of the window, and 1 ``[B, N, T + 1]``."""
        readings, mask = (batch[name][..., self.target] for name in ("features", "mask"))
        apart = torch.where(mask, readings - usual[:, : readings.size(1)], 0.0) / self.spread
        apart = apart.transpose(1, 2).double()
        return torch.cat([apart, torch.ones_like(apart[..., :1])], dim=-1)

    def _fit(self, data: TrafficDataModule) -> Tensor:
        collator = copy.copy(data.collator)
        collator.usual = data.usual
        starts = data.starts["train"]
        size, nodes = data.windows.window + 1, len(self.spread)
        most = min(len(starts), _MOST_WINDOWS, max(1, _MOST_FITTED // nodes))
        places = np.linspace(0, len(starts) - 1, most).round()
        chosen = starts[np.unique(places.astype(int))].tolist()
        square = _PENALTY * torch.eye(size, dtype=torch.float64).repeat(nodes, 1, 1)
        product = torch.zeros(nodes, size, data.windows.horizon, dtype=torch.float64)
        for first in range(0, len(chosen), _FEW_AT_ONCE):
            batch = collator(chosen[first : first + _FEW_AT_ONCE])
            usual = self._usual(batch)
            targets = batch["targets"][..., self.target] - usual[:, data.windows.window :]
            whole = batch["target_mask"][..., self.target].all(dim=1)[..., None]  # [B, N, 1]
            x = self._regressors(batch, usual) * whole
            y = (targets / self.spread).transpose(1, 2).double() * whole
            square += torch.einsum("bnk,bnl->nkl", x, x)
            product += torch.einsum("bnk,bnp->nkp", x, y)
        return torch.linalg.solve(square, product)
