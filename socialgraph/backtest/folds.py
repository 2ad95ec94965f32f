"""Where the folds of a backtest lie in time."""

import re
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from socialgraph.calendar import format_local, to_local
from socialgraph.data import DateSplit
from socialgraph.series import TrafficSeries

__all__ = ["Fold", "Step", "parse_step", "rolling_folds"]

_MONTHS = {"mo": 1, "q": 3, "y": 12}
_HOURS = {"h": 1, "d": 24, "w": 168}


class Step(NamedTuple):
    """A length of time on the local clock.

    Args:
        units: how many.
        unit: ``"M"`` (months), ``"D"`` (days) or ``"h"`` (hours).
    """

    units: int
    unit: str

    def before(self, time: np.datetime64, times: int = 1) -> np.datetime64:
        """The local time that lies so many steps before a start of its unit."""
        return time.astype(f"datetime64[{self.unit}]") - times * self.units


def parse_step(text: str) -> Step:
    """The step that a text such as ``6h``, ``1d``, ``2w``, ``1mo``, ``1q`` or ``1y`` tells.

    Raises:
        ValueError: if it is none.
    """
    found = re.fullmatch(r"\s*([1-9]\d*)\s*(h|d|w|mo|q|y)\s*", text.lower())
    if not found:
        raise ValueError(f"Expected a step such as 6h, 1d, 1w, 1mo, 1q or 1y (got {text!r}).")
    count, unit = int(found[1]), found[2]
    if unit in _MONTHS:
        return Step(count * _MONTHS[unit], "M")
    hours = count * _HOURS[unit]
    return Step(hours, "h") if unit == "h" else Step(hours // 24, "D")


class Fold(NamedTuple):
    """One origin: what is trained on, validated on and tested, in UTC (``datetime64[s]``).

    Args:
        number: from 0.
        val: first time of the validation part; all before it is for training.
        cut: first time after the validation part, a window before ``origin``.
        origin: first time that is forecast.
        end: first time after that.
    """

    number: int
    val: np.datetime64
    cut: np.datetime64
    origin: np.datetime64
    end: np.datetime64

    @property
    def split(self) -> DateSplit:
        """The split of this fold; windows of the test begin a window before the origin."""
        return DateSplit(*(f"{time}+00:00" for time in (self.val, self.cut, self.end)))

    def describe(self, timezone: str) -> dict[str, str]:
        """The four times on the local clock, with their offset."""
        times = np.array([self.val, self.cut, self.origin, self.end])
        names = ("validated_from", "known_to", "tested_from", "tested_to")
        return dict(zip(names, format_local(times, timezone), strict=True))


def rolling_folds(
    series: TrafficSeries, count: int, step: Step, val: Step, window: int, horizon: int
) -> list[Fold]:
    """The last folds of a series, one step long each, one after the other.

    The last fold ends with the last whole hour, day or month of the series, by the unit of the
    step; a step of a day begins at local midnight, however long the day is. Between the last
    target that is trained or validated on and the first one that is tested lies a window, so that
    no reading is both.

    Args:
        series: what is forecast.
        count: how many folds.
        step: what each fold tests.
        val: how long the validation part before it is; it begins a whole unit before the fold.
        window, horizon: steps of a window.

    Raises:
        ValueError: if there is no fold, or nothing is left to train on before the first one.
    """
    if count < 1:
        raise ValueError(f"Expected 1 fold or more (got {count}).")
    one = np.timedelta64(round(60 * series.interval_minutes), "s")
    axis = np.append(series.timestamps, series.timestamps[-1] + one)
    local = to_local(axis, series.timezone)
    last = local[-1].astype(f"datetime64[{step.unit}]")
    borders = [_find(axis, local, step.before(last, count - k)) for k in range(count + 1)]
    folds = []
    for number, (origin, end) in enumerate(pairwise(borders)):
        start = to_local(origin, series.timezone)
        length = origin - _find(axis, local, val.before(start))
        cut = origin - window * one
        folds.append(Fold(number, cut - length, cut, origin, end))
    if folds[0].val < axis[0] + (window + horizon) * one:
        raise ValueError(
            f"Expected readings to train on before the first of {count} folds (the series begins "
            f"{local[0]}, and its validation would begin {to_local(folds[0].val, series.timezone)}"
            "). Take fewer or shorter folds (--folds, --step, --val)."
        )
    return folds


def _find(axis: np.ndarray, local: np.ndarray, time: np.datetime64) -> np.datetime64:
    """The first time of an axis whose local clock shows ``time`` or later; its first, if none."""
    return axis[np.argmax(local >= time.astype("datetime64[s]"))]
