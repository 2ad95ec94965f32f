"""Windows by index: which there are, and how a batch of them is gathered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from socialgraph.calendar import clock
from socialgraph.profile import ProfileSums

__all__ = ["WindowCollator", "Windows", "window_starts"]


@dataclass(frozen=True)
class Windows:
    """What a window is.

    Args:
        window: input steps.
        horizon: forecast steps.
        stride: steps between two training windows; validation and test use all.
        predict_on: what ``predict`` forecasts: ``"latest"`` for the steps after the end of the
            series, ``"test"`` for every window of the test part.
        carry_state: let each window begin where another ended, and carry the state of the encoder
            from one to the next without gradients, in training, validation and test
            (:mod:`socialgraph.data.tracks`); a network whose encoder carries none cannot be trained
            so, and is tested on each window alone.

    Raises:
        ValueError: if a number is below 1, or with ``carry_state`` the stride does not divide the
            window.
    """

    window: int = 12
    horizon: int = 12
    stride: int = 1
    predict_on: Literal["latest", "test"] = "latest"
    carry_state: bool = False

    def __post_init__(self) -> None:
        for name in ("window", "horizon", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"Expected '{name}' of 1 or more (got {getattr(self, name)}).")
        if self.predict_on not in ("latest", "test"):
            raise ValueError(
                f"Expected 'predict_on' as 'latest' or 'test' (got {self.predict_on!r})."
            )
        if self.carry_state and self.window % self.stride:
            raise ValueError(
                "Expected a 'stride' that divides 'window' with 'carry_state', so that windows "
                f"follow one another (got {self.stride} and {self.window})."
            )

    @property
    def length(self) -> int:
        """Steps of a window, input and target together."""
        return self.window + self.horizon


def window_starts(timestamps: np.ndarray, interval_minutes: float, length: int) -> np.ndarray:
    """First step of every window of ``length`` steps that no gap in the time axis cuts.

    Args:
        timestamps: ``datetime64[s]`` ``[T]``, UTC, ascending.
        interval_minutes: distance of two steps without a gap.
        length: steps of a window, input and target together.

    Returns:
        Indices ``[W]``, int64, ascending.
    """
    if len(timestamps) < length:
        return np.empty(0, dtype=np.int64)
    step = np.timedelta64(round(interval_minutes * 60), "s")
    broken = np.concatenate([[0], np.cumsum(np.diff(timestamps) != step)])
    starts = np.arange(len(timestamps) - length + 1)
    return starts[broken[starts + length - 1] == broken[starts]]


class WindowCollator:
    """Gathers a batch from the series in memory, all windows at once.

    Missing readings are filled and masked once, at the start, which takes five bytes per reading.

    Args:
        values: readings ``[T, N, F]``, NaN where missing, in their units.
        timestamps: ``datetime64[s]`` ``[T]``, UTC.
        timezone: zone whose clock tells the time of day.
        windows: what a window is.
        num_targets: how many features, from the first, are targets.
        graph: what every batch carries besides, the same for all.
        known: places of the features that are known ahead.
        holidays: region whose public holidays count as Sundays, or None.
        usual: readings of the training, from which a training window is told what is usual without
            its own; None for windows that are not of the training.

    Shapes:
        - **features, mask:** :math:`(B, T, N, F)`; 0 and False where missing
        - **targets, target_mask:** :math:`(B, P, N, F)`; 0 and False where missing
        - **time_of_day, day_of_week:** of the input steps, local clock :math:`(B, T)`
        - **target_time_of_day, target_day_of_week:** of the target steps :math:`(B, P)`
        - **known:** features that are known ahead, of input and target steps, NaN where missing
          :math:`(B, T + P, N, K)`; only if there are some
        - **profile, profile_deviation:** with ``usual``, in the units of the readings
          :math:`(B, T + P, N, F)`
        - **issued:** time of the last input step :math:`(B)`, seconds since 1970, UTC
    """

    def __init__(
        self,
        values: Tensor,
        timestamps: np.ndarray,
        timezone: str,
        windows: Windows,
        num_targets: int,
        graph: dict[str, Tensor],
        known: Sequence[int] = (),
        holidays: str | None = None,
        usual: ProfileSums | None = None,
    ) -> None:
        self.values = values.nan_to_num(nan=0.0)
        self.mask = ~values.isnan()
        self.time_of_day, self.day_of_week = map(
            torch.from_numpy, clock(timestamps, timezone, holidays)
        )
        self.seconds = torch.from_numpy(timestamps.astype("datetime64[s]").astype(np.int64))
        self.windows = windows
        self.num_targets = num_targets
        self.graph = graph
        self.ahead = values[..., list(known)] if known else None
        self.usual = usual

    def __call__(self, starts: list[int]) -> dict[str, Tensor]:
        first = torch.as_tensor(starts)[:, None] + torch.arange(self.windows.length)
        inputs, outputs = first[:, : self.windows.window], first[:, self.windows.window :]
        targets, target_mask = (
            _gather(series[..., : self.num_targets], outputs) for series in (self.values, self.mask)
        )
        more = {} if self.ahead is None else {"known": _gather(self.ahead, first)}
        if self.usual is not None:
            pair = self.usual.around(first)
            more |= dict(zip(("profile", "profile_deviation"), pair, strict=True))
        return {
            "features": _gather(self.values, inputs),
            "mask": _gather(self.mask, inputs),
            "targets": targets,
            "target_mask": target_mask,
            "time_of_day": self.time_of_day[inputs],
            "day_of_week": self.day_of_week[inputs],
            "target_time_of_day": self.time_of_day[outputs],
            "target_day_of_week": self.day_of_week[outputs],
            "issued": self.seconds[inputs[:, -1]],
            **more,
            **self.graph,
        }


def _gather(series: Tensor, steps: Tensor) -> Tensor:
    """Steps ``[B, T]`` of a series; whole rows are copied faster than by a two-axis index."""
    return series.index_select(0, steps.flatten()).unflatten(0, steps.shape)
