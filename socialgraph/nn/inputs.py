"""What a network knows at each step of a window, one part each.

A part names the entries of a batch that it reads, and tells how many channels it gives; its
``where`` says what for:

============  ====================  ============================================================
``"window"``  :math:`(B, T, N, C)`  what the encoder reads at each step
``"ahead"``   as well               :math:`(B, T + P, N, C)`, as it is also known of the targets
``"node"``    :math:`(B, N, C)`     what is the same for a whole window
============  ====================  ============================================================

An axis that a part does not look at, such as that of the detectors for a clock, may be 1.
"""

import inspect
import math
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

__all__ = [
    "Attributes",
    "Clock",
    "InputPart",
    "KnownAhead",
    "Mask",
    "Profile",
    "Readings",
    "Setting",
    "entries_of",
    "last_observed",
]

Where = Literal["window", "ahead", "node"]


class InputPart(Protocol):
    """Something that a network is told."""

    where: Where
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


class Attributes(nn.Module):
    """What is known of a detector once and for all, such as lanes or a limit of speed.

    Args:
        num_attributes: how many, as in ``data.attributes``.
    """

    where, entries = "node", ("attributes",)

    def __init__(self, num_attributes: int) -> None:
        super().__init__()
        self.num_attributes = num_attributes

    def channels(self, in_channels: int) -> int:
        """One each."""
        return self.num_attributes

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return _checked(batch["attributes"], self.num_attributes, "attributes").unsqueeze(0)


class Setting(nn.Module):
    """What is measured, how often and how far apart, for a network that serves several of them.

    The numbers are those of :func:`socialgraph.data.setting_of`: interval, distance between
    detectors, and whether the readings are speeds, flows or occupancies.
    """

    where, entries = "node", ("setting",)

    def channels(self, in_channels: int) -> int:
        """One for interval and distance each, and three for the kind of quantity."""
        return 5

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["setting"].unsqueeze(0)


class KnownAhead(nn.Module):
    """Features that are known at the forecast steps too, such as a forecast of the weather.

    Args:
        num_known: how many, as in ``data.known``.
    """

    where, entries = "ahead", ("known",)

    def __init__(self, num_known: int) -> None:
        super().__init__()
        self.num_known = num_known

    def channels(self, in_channels: int) -> int:
        """One each."""
        return self.num_known

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return _checked(batch["known"], self.num_known, "known")


class Clock(nn.Module):
    r"""The local time.

    .. math:: \sin(2 \pi k \tau), \; \cos(2 \pi k \tau), \qquad k = 1 \dots K

    of the share :math:`\tau` of the day that has passed.

    Args:
        harmonics: :math:`K`.
        day_of_week: add the day of the week, one channel per day.
        where: ``"node"`` for the time of the last reading, from which all others follow;
            ``"window"`` for that of each reading; ``"ahead"`` for that of the targets too.

    Raises:
        ValueError: if ``harmonics`` is below 0, there is neither time nor day, or ``where`` is
            another.
    """

    def __init__(
        self, harmonics: int = 2, day_of_week: bool = False, where: Where = "node"
    ) -> None:
        super().__init__()
        if harmonics < 0 or not (harmonics or day_of_week) or where not in get_args(Where):
            raise ValueError(
                "Expected 'harmonics' of 1 or more, or 'day_of_week', and 'where' as one of "
                f"{get_args(Where)} (got {harmonics}, {day_of_week} and {where!r})."
            )
        self.harmonics = harmonics
        self.day_of_week = day_of_week
        self.where = where
        clocks = ("time_of_day",) * (harmonics > 0) + ("day_of_week",) * day_of_week
        ahead = clocks if where == "ahead" else ()
        self.entries = clocks + tuple(f"target_{name}" for name in ahead)

    def channels(self, in_channels: int) -> int:
        """Two per harmonic, and seven for the days."""
        return 2 * self.harmonics + 7 * self.day_of_week

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        parts = []
        if self.harmonics:
            time = self._read(batch, "time_of_day").unsqueeze(-1)  # [B, L, 1]
            angle = 2 * math.pi * time * torch.arange(1, self.harmonics + 1, device=time.device)
            parts += [angle.sin(), angle.cos()]
        if self.day_of_week:
            day = nn.functional.one_hot(self._read(batch, "day_of_week").long(), 7)
            parts.append(day.to(parts[0].dtype if parts else torch.get_default_dtype()))
        clock = torch.cat(parts, dim=-1)  # [B, L, C]
        return clock if self.where == "node" else clock.unsqueeze(2)

    def _read(self, batch: dict[str, Tensor], name: str) -> Tensor:
        if self.where == "node":
            return batch[name][:, -1:]
        if self.where == "window":
            return batch[name]
        return torch.cat([batch[name], batch[f"target_{name}"]], dim=1)


def last_observed(features: Tensor, mask: Tensor) -> Tensor:
    """Last observed reading of each window ``[B, N, F]``, NaN where it has none."""
    steps = torch.arange(1, features.size(1) + 1, device=features.device).view(1, -1, 1, 1)
    last = (steps * mask).amax(dim=1, keepdim=True) - 1  # [B, 1, N, F]
    value = features.gather(1, last.clamp(min=0))
    return torch.where(last >= 0, value, torch.nan).squeeze(1)


def entries_of(network: nn.Module) -> set[str]:
    """Names of the entries of a batch that a network reads: its ``entries``, or those that its
    ``forward`` names."""
    named = getattr(network, "entries", None)
    return set(inspect.signature(network.forward).parameters) if named is None else set(named)


def _checked(entry: Tensor, channels: int, name: str) -> Tensor:
    if entry.size(-1) != channels:
        raise ValueError(
            f"Expected 'num_{name}' = {entry.size(-1)}, as many as 'data.{name}' has (got "
            f"{channels})."
        )
    return entry
