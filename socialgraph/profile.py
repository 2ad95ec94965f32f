"""A detector's usual day: mean and deviation of its readings at each time of the day."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["SMOOTHING_MINUTES", "DailyProfile", "ProfileSums", "is_weekend", "slots_of"]

SMOOTHING_MINUTES = 30.0
_WEEKEND = 5  # Saturday, and the days after it
_DAY = 86400  # seconds


class _Sums(NamedTuple):
    """Number, sum and sum of squares of some readings, each of the same shape."""

    count: Tensor
    total: Tensor
    square: Tensor

    def less(self, other: "_Sums") -> "_Sums":
        return _Sums(*(own - part for own, part in zip(self, other, strict=True)))

    def or_else(self, other: "_Sums") -> "_Sums":
        """``other`` where nothing was summed."""
        known = self.count > 0
        return _Sums(*(torch.where(known, *pair) for pair in zip(self, other, strict=True)))

    def moving(self, half: int) -> "_Sums":
        return _Sums(*(_moving_sum(part, half) for part in self))


class DailyProfile(nn.Module):
    """What N detectors usually read at a time of the day, on working days and on weekends.

    Args:
        mean: readings in their units :math:`(2, S, N, F)`: working days and weekends, slots of the
            local day.
        deviation: their standard deviation, likewise.

    Shapes:
        - **time_of_day:** share of the local day that has passed :math:`(B, T)`
        - **day_of_week:** 0 for Monday :math:`(B, T)`
        - **output:** mean and deviation, each :math:`(B, T, N, F)`

    Raises:
        ValueError: if the two are not finite numbers of one such shape, or a deviation is below 0.
    """

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        known = mean.dim() == 4 and mean.size(0) == 2 and mean.shape == deviation.shape
        if not known or not (mean.isfinite().all() and (deviation >= 0).all()):
            raise ValueError(
                "Expected finite means and deviations of shape [2, slots, detectors, features] "
                f"(got {tuple(mean.shape)} and {tuple(deviation.shape)})."
            )
        # Kept beside the weights of a checkpoint, as the detectors of a series may be others.
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("deviation", deviation.float(), persistent=False)

    def forward(self, time_of_day: Tensor, day_of_week: Tensor) -> tuple[Tensor, Tensor]:
        place = is_weekend(day_of_week).long(), slots_of(time_of_day, self.mean.size(1))
        return self.mean[place], self.deviation[place]

    def take(
        self,
        rows: Tensor,
        strangers: "DailyProfile | None" = None,
        heard: Tensor | None = None,
    ) -> "DailyProfile":
        """The profile of other detectors.

        Args:
            rows: place of each of M detectors here ``[M]``, -1 for one that is not known.
            strangers: a profile of all M detectors, used for those that are not known; None gives
                them the mean of the known ones.
            heard: False for those of whom ``strangers`` has no reading either, who get the mean as
                well ``[M]``; None for nobody.
        """
        parts = []
        for name in ("mean", "deviation"):
            own = getattr(self, name)
            other = own.mean(dim=2, keepdim=True)
            if strangers is not None:
                theirs = getattr(strangers, name).to(own)
                told = True if heard is None else heard.to(own.device).view(1, 1, -1, 1)
                other = torch.where(torch.as_tensor(told, device=own.device), theirs, other)
            known = (rows >= 0).view(1, 1, -1, 1)
            parts.append(torch.where(known, own[:, :, rows.clamp(min=0)], other))
        return DailyProfile(*parts)


class ProfileSums:
    r"""The readings of a training period, summed by time of the day.

    The profile of a detector at a slot is the mean of its readings within 30 minutes of it (at
    intervals of an hour and more: in it), on the same kind of day; if there are none, on any day;
    if there are none either, of all its readings. A detector without any is as much above or below
    the mean of all readings as the others usually are above or below their own.

    In training, a window's own readings must not be part of what it is told as usual:
    :meth:`around` leaves out what was read within 30 minutes of each step.

    Args:
        values: readings of the period :math:`(T, N, F)`, 0 where missing.
        mask: True where observed, likewise.
        time_of_day: share of the local day that has passed, of the steps of the period and maybe of
            more after it :math:`(T')`; training windows may end there.
        day_of_week: 0 for Monday :math:`(T')`.
        seconds: times :math:`(T')`, ascending.
        interval_minutes: distance of two readings.
    """

    def __init__(
        self,
        values: Tensor,
        mask: Tensor,
        time_of_day: Tensor,
        day_of_week: Tensor,
        seconds: Tensor,
        interval_minutes: float,
    ) -> None:
        self.values, self.mask, self.seconds = values, mask, seconds
        self.step = round(60 * interval_minutes)
        self.half = int(SMOOTHING_MINUTES // interval_minutes)
        slots = max(1, round(1440 / interval_minutes))
        self.slot = slots_of(time_of_day, slots)
        self.kind = is_weekend(day_of_week).long()
        self._centre(values, mask)
        self.sums = _Sums(*(self._by_slot(part, slots) for part in self._parts(values, mask)))

    def profile(self) -> DailyProfile:
        """The profile of the whole period."""
        any_day = _Sums(*(part.sum(0).expand_as(part) for part in self.sums))
        return DailyProfile(*self._moments(self.sums.or_else(any_day)))

    def around(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``[B, L, N, F]`` at steps, without what was read then in the period.

        Args:
            steps: runs of neighbouring steps ``[B, L]`` without a gap in time.
        """
        of_kind, of_any = self._read_around(steps)
        place = self.kind[steps], self.slot[steps]
        sums = _Sums(*(part[place] for part in self.sums)).less(of_kind)
        if not sums.count.all():
            any_day = _Sums(*(part.sum(0)[place[1]] for part in self.sums)).less(of_any)
            sums = sums.or_else(any_day)
        return self._moments(sums)

    def _read_around(self, steps: Tensor) -> tuple[_Sums, _Sums]:
        """What was read within 30 minutes of each step ``[B, L, N, F]`` and is in the sums of its
        slot: those of its kind of day, and those of any day."""
        half, slots = self.half, self.sums.count.size(1)
        offset = torch.arange(-half, steps.size(1) + half)
        first, near = steps[:, :1], steps[:, :1] + offset  # [B, L + 2 * half]
        rows = near.clamp(0, len(self.values) - 1)
        parts = self._parts(self.values[rows], self.mask[rows] & (rows == near)[..., None, None])
        of_any = parts.moving(half)
        at = near.clamp(0, len(self.seconds) - 1)
        seconds, slot, kind = self.seconds[at], self.slot[at], self.kind[at]
        even = seconds - self.seconds[first] == self.step * offset
        even &= (slot - self.slot[first] - offset) % slots == 0
        even &= kind == self.kind[first]
        # Those with a gap, a change of the clock or two kinds of day, in which neighbours may not
        # be summed; beyond the ends there is nothing to sum.
        uneven = ~(even | (at != near)).all(1)
        if not uneven.any():
            return of_any, of_any
        seconds, slot, kind = seconds[uneven], slot[uneven], kind[uneven]
        centre = slice(half, half + steps.size(1))
        apart = (slot[:, centre, None] - slot[:, None]) % slots  # [b, L, L + 2 * half]
        summed = torch.minimum(apart, slots - apart) <= half
        summed &= (seconds[:, centre, None] - seconds[:, None]).abs() <= half * self.step
        same_kind = kind[:, centre, None] == kind[:, None]
        of_kind = _Sums(*(part.clone() for part in of_any))
        for chosen, sums in ((summed, of_any), (summed & same_kind, of_kind)):
            for part, read in zip(sums, parts, strict=True):
                part[uneven] = torch.einsum("blk,bknf->blnf", chosen.float(), read[uneven])
        return of_kind, of_any

    def _centre(self, values: Tensor, mask: Tensor) -> None:
        """Keep mean and deviation of each detector, and of all for one without a reading."""
        count, total = mask.sum(0), values.sum(0, dtype=torch.float64)
        square = values.double().square().sum(0)
        everyone = [part.sum(0, keepdim=True) for part in (count, total, square)]
        self.silent = count == 0
        count, total, square = (
            torch.where(self.silent, every, own)
            for own, every in zip((count, total, square), everyone, strict=True)
        )
        centre = total / count.clamp(min=1)
        self.centre = centre.float()
        self.spread = (square / count.clamp(min=1) - centre**2).clamp(min=0).sqrt().float()

    def _parts(self, values: Tensor, mask: Tensor) -> _Sums:
        observed = mask.float()
        centred = (values - self.centre) * observed  # squares of large numbers lose their digits
        return _Sums(observed, centred, centred.square())

    def _by_slot(self, part: Tensor, slots: int) -> Tensor:
        """Sums around each slot ``[2, S, N, F]``."""
        table = part.new_zeros(2 * slots, *part.shape[1:])
        table.index_add_(0, (self.kind * slots + self.slot)[: len(part)], part)
        table = table.unflatten(0, (2, slots))
        shifts = {shift % slots for shift in range(-self.half, self.half + 1)}
        return sum(table.roll(shift, dims=1) for shift in sorted(shifts))

    def _moments(self, sums: _Sums) -> tuple[Tensor, Tensor]:
        """Mean and deviation of what was summed; those of the detector where nothing was."""
        if self.silent.any():
            everyone = (part.sum(-2, keepdim=True) for part in sums)
            pairs = zip(everyone, sums, strict=True)
            sums = _Sums(*(torch.where(self.silent, *pair) for pair in pairs))
        number = sums.count.clamp(min=1)
        mean = sums.total / number
        deviation = (sums.square / number - mean.square()).clamp(min=0).sqrt()
        known = sums.count > 0  # whole numbers; the other sums of nothing are not exactly 0
        return (
            self.centre + torch.where(known, mean, 0.0),
            torch.where(known, deviation, self.spread),
        )


def is_weekend(day_of_week: Tensor) -> Tensor:
    """True for the days whose profile is that of weekends."""
    return day_of_week >= _WEEKEND


def slots_of(time_of_day: Tensor, slots: int) -> Tensor:
    """Number of the slot of a day, of ``slots`` slots, that is nearest to a share of the day.

    Times between two slots all belong to the later one: rounding to even would leave every other
    slot without a reading, such as those of hourly readings at half past.
    """
    seconds = (time_of_day.double() * _DAY).round().long()
    return (2 * seconds * slots + _DAY) // (2 * _DAY) % slots


def _moving_sum(x: Tensor, half: int) -> Tensor:
    """Sums of ``2 * half + 1`` neighbours along the second axis, which becomes as much shorter.

    They are put together from sums of 1, 2, 4, … neighbours, as a number is of powers of two.
    """
    width, length = 2 * half + 1, x.size(1) - 2 * half
    total, start, size = x[:, :length], 1, 1
    while 2 * size <= width:
        x = x[:, :-size] + x[:, size:]
        size *= 2
        if width & size:
            total = total + x[:, start : start + length]
            start += size
    return total
