"""Which windows are for training, validation and test: divided by time, in three ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from socialgraph.calendar import parse_stamps, to_local

__all__ = ["Border", "DateSplit", "DaySplit", "ShareSplit", "Split", "as_split"]

Border = Literal["split_first", "window_first"]
Parts = dict[str, np.ndarray]


class Split(Protocol):
    """Divides windows into ``train``, ``val`` and ``test`` by time."""

    def divide(
        self, starts: np.ndarray, timestamps: np.ndarray, timezone: str, window: int, horizon: int
    ) -> tuple[Parts, int]:
        """Starts of the windows of each part, and the number of leading steps for statistics.

        Args:
            starts: first step of each window ``[W]``, ascending.
            timestamps: UTC times ``[T]``.
            timezone: zone of the network.
            window: input steps.
            horizon: target steps.
        """


def as_split(split: Sequence[float] | Split) -> Split:
    """A way to divide, of which three shares are the short form.

    Raises:
        ValueError: if it is neither.
    """
    if hasattr(split, "divide"):
        return split
    if not isinstance(split, list | tuple) or len(split) != 3:
        raise ValueError(
            "Expected 'split' as three shares (training, validation, test), or a ShareSplit, "
            f"DateSplit or DaySplit of socialgraph.data (got {split!r})."
        )
    return ShareSplit(*split)


@dataclass(frozen=True)
class ShareSplit:
    """Shares of training, validation and test.

    ``split_first`` divides the steps and keeps the windows that lie inside one part, so that no
    step is in two parts. ``window_first`` divides the windows; those at a border share steps with
    the next part, as in the files of DCRNN (https://arxiv.org/abs/1707.01926). Training and test
    get the rounded share, validation the rest. On the whole of METR-LA (34,272 steps, 12 + 12,
    70/10/20) the test part has 6,831 windows with the first and 6,850 with the second.

    Args:
        train, val, test: shares, together 1; validation and test may be 0.
        border: ``"split_first"`` or ``"window_first"``.

    Raises:
        ValueError: if the shares are not shares.
    """

    train: float = 0.7
    val: float = 0.1
    test: float = 0.2
    border: Border = "split_first"

    def __post_init__(self) -> None:
        shares = [self.train, self.val, self.test]
        if min(shares) < 0 or self.train == 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                "Expected 'split' as three shares (training, validation, test) that add up to 1, "
                f"training above 0 (got {shares})."
            )
        if self.border not in get_args(Border):
            raise ValueError(
                f"Expected 'border' as one of {get_args(Border)} (got {self.border!r})."
            )

    def divide(
        self, starts: np.ndarray, timestamps: np.ndarray, timezone: str, window: int, horizon: int
    ) -> tuple[Parts, int]:
        """Divide as :class:`Split` says."""
        total = len(timestamps) if self.border == "split_first" else len(starts)
        first, last = round(self.train * total), total - round(self.test * total)
        if self.border == "split_first":
            return _inside(starts, window + horizon, first, last, total), first
        parts = {"train": starts[:first], "val": starts[first:last], "test": starts[last:]}
        return parts, int(parts["train"][-1]) + window if first else 0


@dataclass(frozen=True)
class DateSplit:
    """Validation and test begin at given times; no step is in two parts.

    Args:
        val: first time of the validation part, ISO 8601, on the local clock of the network if it
            has no offset.
        test: first time of the test part, not before ``val``; None for no test part.
        end: first time after the test part, likewise; None for the end of the series.
    """

    val: str
    test: str | None = None
    end: str | None = None

    def divide(
        self, starts: np.ndarray, timestamps: np.ndarray, timezone: str, window: int, horizon: int
    ) -> tuple[Parts, int]:
        """Divide as :class:`Split` says.

        Raises:
            ValueError: if a time cannot be read, or they are out of order.
        """
        total = len(timestamps)
        first, last, end = (
            total if text is None else int(np.searchsorted(timestamps, _parse(text, timezone)))
            for text in (self.val, self.test, self.end)
        )
        if not first <= last <= end:
            raise ValueError(
                "Expected validation, test and its end in order (got val = "
                f"{self.val!r}, test = {self.test!r}, end = {self.end!r})."
            )
        return _inside(starts, window + horizon, first, last, end), first


@dataclass(frozen=True)
class DaySplit:
    """Whole local days for training, validation and test: the last ones for the test.

    A window belongs to the part in which all of its steps lie.

    Args:
        val: days for validation.
        test: days for the test; the days before both are for training.
    """

    val: int = 1
    test: int = 1

    def divide(
        self, starts: np.ndarray, timestamps: np.ndarray, timezone: str, window: int, horizon: int
    ) -> tuple[Parts, int]:
        """Divide as :class:`Split` says.

        Raises:
            ValueError: if there are not enough days.
        """
        days = to_local(timestamps, timezone).astype("datetime64[D]").astype(np.int64)
        present = np.unique(days)
        if min(self.val, self.test) < 0 or self.val + self.test >= len(present):
            raise ValueError(
                f"Expected 'val' and 'test' of 0 days or more, fewer than the {len(present)} days "
                f"of the series (got {self.val} and {self.test})."
            )
        last = len(present) - self.test
        ends = [*present, present[-1] + 1]
        first, end = np.searchsorted(days, [ends[last - self.val], ends[last]]).tolist()
        return _inside(starts, window + horizon, first, end, len(timestamps)), first


def _parse(text: str, timezone: str) -> np.datetime64:
    return parse_stamps([text], timezone)[0]


def _inside(starts: np.ndarray, length: int, first: int, last: int, total: int) -> Parts:
    """The windows that lie inside one part of the steps."""
    bounds = {"train": (0, first), "val": (first, last), "test": (last, total)}
    return {
        name: starts[(starts >= low) & (starts + length <= high)]
        for name, (low, high) in bounds.items()
    }
