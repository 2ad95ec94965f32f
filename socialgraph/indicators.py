"""What is told of each detector at each time, from which alarms are raised."""

import numpy as np

__all__ = ["KINDS", "Indicators"]

KINDS = ("outside", "repeated", "missing")


class Indicators:
    """What is told of each detector at each time, in the order of :data:`KINDS`.

    ``outside``: its reading is outside the interval that was told one step before, or that told the
    horizon before (noise leaves the first, an offset the second); ``repeated``: it is the reading
    before to the bit; ``missing``: there is none.

    Args:
        step: distance of two steps.
        horizon: how many are forecast.
    """

    def __init__(self, step: np.timedelta64, horizon: int) -> None:
        self.step = step
        self.aheads = (1, horizon)
        self.told: dict[np.datetime64, np.ndarray] = {}  # [2, N, 2] by the time of telling
        self.last: tuple[np.datetime64, np.ndarray] | None = None

    def update(self, time: np.datetime64, ends: np.ndarray, reading: np.ndarray) -> np.ndarray:
        """The indicators ``[3, N]`` of a time: 1, 0, or NaN if they cannot be told.

        Args:
            time: of the readings.
            ends: intervals that are told then, of the next step and of the last ``[2, N, 2]``.
            reading: ``[N]``, NaN where missing.
        """
        missing = np.isnan(reading)
        outside = np.full(len(reading), np.nan)
        for place, ahead in enumerate(self.aheads):
            told = self.told.get(time - ahead * self.step)
            if told is not None:
                lower, upper = told[place].T
                outside = np.fmax(outside, (reading < lower) | (reading > upper))
        outside[missing] = np.nan
        repeated = np.full(len(reading), np.nan)
        if self.last is not None and self.last[0] == time - self.step:
            before = self.last[1]
            repeated = np.where(missing | np.isnan(before), np.nan, reading == before)
        self.last = time, reading
        oldest = time - self.aheads[1] * self.step
        self.told = {own: part for own, part in self.told.items() if own > oldest} | {time: ends}
        return np.stack([outside, repeated, missing.astype(float)])
