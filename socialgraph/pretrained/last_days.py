"""The last days of a series held back, to score a network on them."""

from dataclasses import dataclass

import numpy as np

from socialgraph.data.split import Parts

__all__ = ["LastDays"]


@dataclass(frozen=True)
class LastDays:
    """A :class:`socialgraph.data.split.Split` whose test part is what was forecast of some days.

    A window is of the test if its targets lie in the last days; what it reads may lie before them,
    as it would if the days were still to come. So the first one is issued at the last step before.

    Args:
        days: how many are held back.
    """

    days: int

    def divide(
        self, starts: np.ndarray, timestamps: np.ndarray, timezone: str, window: int, horizon: int
    ) -> tuple[Parts, int]:
        """Divide as :class:`socialgraph.data.split.Split` says.

        Raises:
            ValueError: if no window fits before the days, or the targets of none into them.
        """
        border = timestamps[-1] - np.timedelta64(self.days, "D")
        first = int(np.searchsorted(timestamps, border, side="right"))
        if first < window + horizon:
            raise ValueError(
                f"Expected a longer series: {window + horizon} steps or more before the last "
                f"{_days(self.days)} (got {first}), which the score holds back."
            )
        if len(timestamps) - first < horizon:
            raise ValueError(
                f"Expected {horizon} steps or more, which are forecast, in the last "
                f"{_days(self.days)} (got {len(timestamps) - first}), which the score holds back. "
                "From Python, 'score(series, days=...)' holds more back."
            )
        train = starts[starts + window + horizon <= first]
        return {"train": train, "val": starts[:0], "test": starts[starts + window >= first]}, first


def _days(number: int) -> str:
    return "day" if number == 1 else f"{number} days"
