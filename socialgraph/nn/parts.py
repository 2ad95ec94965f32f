"""What a network knows at each step of a window, one part each.

A part names the entries of a batch that it reads, and tells how many channels it gives; its
``where`` says what for:

============  ====================  ============================================================
``"window"``  :math:`(B, T, N, C)`  what the encoder reads at each step
``"ahead"``   as well               :math:`(B, T + P, N, C)`, as it is also known of the targets
``"node"``    :math:`(B, N, C)`     what is the same for a whole window, or :math:`(B, 1, C)`
============  ====================  ============================================================
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["Clock", "InputPart", "Mask", "Profile", "Readings"]


class InputPart(Protocol):
    """Something that a network is told."""

    where: str
    entries: tuple[str, ...]

    def channels(self, in_channels: int) -> int:
        """Channels that it gives for readings of ``in_channels`` features."""

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        """Read it from a batch."""


class Readings(nn.Module):
    """The scaled readings, 0 where missing."""

    where, entries = "window", ("features",)

    def channels(self, in_channels: int) -> int:
        """One per feature."""
        return in_channels

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["features"]


class Mask(nn.Module):
    """1 where a reading was observed, else 0."""

    where, entries = "window", ("mask", "features")

    def channels(self, in_channels: int) -> int:
        """One per feature."""
        return in_channels

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["mask"].to(batch["features"].dtype)


class Profile(nn.Module):
    """What the detector usually reads at each step of the window and of the targets.

    Args:
        deviation: add how far its readings usually are from that.
    """

    where, entries = "ahead", ("profile", "profile_deviation")

    def __init__(self, deviation: bool = True) -> None:
        super().__init__()
        self.deviation = deviation

    def channels(self, in_channels: int) -> int:
        """One or two per feature."""
        return in_channels * (1 + self.deviation)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        if not self.deviation:
            return batch["profile"]
        return torch.cat([batch["profile"], batch["profile_deviation"]], dim=-1)


class Clock(nn.Module):
    r"""The local time of the last reading.

    .. math:: \sin(2 \pi k \tau), \; \cos(2 \pi k \tau), \qquad k = 1 \dots K

    of the share :math:`\tau` of the day that has passed. That of the targets follows from it.

    Args:
        harmonics: :math:`K`.
        day_of_week: add the day of the week, one channel per day.
    """

    where, entries = "node", ("time_of_day", "day_of_week")

    def __init__(self, harmonics: int = 2, day_of_week: bool = False) -> None:
        super().__init__()
        self.harmonics = harmonics
        self.day_of_week = day_of_week

    def channels(self, in_channels: int) -> int:
        """Two per harmonic, and seven for the days."""
        return 2 * self.harmonics + 7 * self.day_of_week

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        time = batch["time_of_day"][:, -1:]  # [B, 1]
        order = torch.arange(1, self.harmonics + 1, device=time.device)
        angle = 2 * math.pi * time * order  # [B, K]
        parts = [angle.sin(), angle.cos()]
        if self.day_of_week:
            day = batch["day_of_week"][:, -1]
            parts.append(nn.functional.one_hot(day.long(), 7).to(angle.dtype))
        return torch.cat(parts, dim=-1).unsqueeze(1)  # [B, 1, C]
