"""Naive rivals with the call of a network, so that they pass through the same loss and metrics."""

import numpy as np
import torch
from torch import Tensor, nn

from socialgraph.data import TrafficDataModule, time_covariates

__all__ = ["LastValue", "TimeOfDayMean"]


class LastValue(nn.Module):
    """The last observed reading of the window, for all steps; the mean where there is none.

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
        last = torch.zeros_like(features[:, 0])
        for step in range(features.size(1)):
            last = torch.where(mask[:, step], features[:, step], last)
        return last[:, None, :, : self.num_targets].expand(-1, self.horizon, -1, -1)


class TimeOfDayMean(nn.Module):
    """Mean of the training readings of a detector at the same time of day.

    Working days and weekends have a mean each. A slot without a reading takes the detector's mean,
    and a detector without any the mean of all.

    Args:
        datamodule: data module after ``setup``, whose training part is averaged.

    Shapes:
        - **time_of_day, day_of_week:** of the input steps :math:`(B, T)`
        - **output:** :math:`(B, P, N, F)`, scaled
    """

    def __init__(self, datamodule: TrafficDataModule) -> None:
        super().__init__()
        self.horizon = datamodule.horizon
        self.slots = round(1440 / datamodule.series.interval_minutes)
        values = datamodule.train_values[..., : datamodule.num_targets]
        day, week = time_covariates(datamodule.series.timestamps[: len(values)])
        scaler = datamodule.fit_scaler()
        channels = slice(datamodule.num_targets)
        scaled = (values - scaler.loc[channels].numpy()) / scaler.scale[channels].numpy()
        slot = (day * self.slots).round().long().numpy() % self.slots
        profile = _profile(scaled, slot, week.numpy() >= 5, self.slots)
        self.register_buffer("profile", torch.from_numpy(profile).float())

    def forward(self, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        now = (time_of_day[:, -1:] * self.slots).round().long() + day_of_week[:, -1:] * self.slots
        ahead = now + torch.arange(1, self.horizon + 1, device=now.device)  # [B, P]
        weekend = (ahead // self.slots) % 7 >= 5
        return self.profile[weekend.long(), ahead % self.slots]


def _profile(values: np.ndarray, slot: np.ndarray, weekend: np.ndarray, slots: int) -> np.ndarray:
    """Means ``[2, slots, N, F]``."""
    total = np.zeros((2, slots, *values.shape[1:]))
    count = np.zeros_like(total)
    np.add.at(total, (weekend.astype(int), slot), np.nan_to_num(values))
    np.add.at(count, (weekend.astype(int), slot), ~np.isnan(values))
    own = total.sum((0, 1)) / np.maximum(1, count.sum((0, 1)))  # [N, F]; 0 is the scaled mean
    return np.where(count > 0, total / np.maximum(1, count), own)
