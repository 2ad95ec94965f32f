"""Windows by index: which there are, how they are split, and how a batch of them is gathered."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["Border", "WindowCollator", "split_windows", "time_covariates", "window_starts"]

Border = Literal["split_first", "window_first"]


def window_starts(timestamps: np.ndarray, interval_minutes: float, length: int) -> np.ndarray:
    """First step of every window of ``length`` steps that no gap in the time axis cuts.

    Args:
        timestamps: ``datetime64[s]`` ``[T]``, ascending.
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


def split_windows(
    starts: np.ndarray,
    num_steps: int,
    window: int,
    horizon: int,
    split: tuple[float, float, float],
    border: Border,
) -> tuple[dict[str, np.ndarray], int]:
    """Divide windows into training, validation and test by time.

    ``split_first`` divides the steps and keeps the windows that lie inside one part, so that no
    step is in two parts. ``window_first`` divides the windows; those at a border share steps with
    the next part, as in the files of DCRNN (https://arxiv.org/abs/1707.01926). Training and test
    get the rounded share, validation the rest. On the whole of METR-LA (34,272 steps, 12 + 12,
    70/10/20) the test part has 6,831 windows with the first and 6,850 with the second.

    Args:
        starts: first step of each window ``[W]``, ascending.
        num_steps: steps in the series.
        window: input steps.
        horizon: target steps.
        split: shares of training, validation and test, together 1.
        border: ``"split_first"`` or ``"window_first"``.

    Returns:
        The starts of each part under ``"train"``, ``"val"`` and ``"test"``, and the number of
        leading steps that may be used for statistics.

    Raises:
        ValueError: where the shares are not shares.
    """
    if len(split) != 3 or min(split) < 0 or split[0] == 0 or abs(sum(split) - 1) > 1e-6:
        raise ValueError(
            f"Expected 'split' as three shares (training, validation, test) that add up to 1, "
            f"training above 0 (got {list(split)})."
        )
    total = num_steps if border == "split_first" else len(starts)
    first, last = round(split[0] * total), total - round(split[2] * total)
    if border == "split_first":
        length = window + horizon
        bounds = {"train": (0, first), "val": (first, last), "test": (last, total)}
        parts = {
            name: starts[(starts >= low) & (starts + length <= high)]
            for name, (low, high) in bounds.items()
        }
        return parts, first
    parts = {"train": starts[:first], "val": starts[first:last], "test": starts[last:]}
    return parts, int(parts["train"][-1]) + window if first else 0


def time_covariates(timestamps: np.ndarray) -> tuple[Tensor, Tensor]:
    """Share of the day that has passed, float32 in [0, 1), and the day of the week, 0 for Monday.

    Args:
        timestamps: ``datetime64[s]`` ``[T]``, local clock.

    Returns:
        Two tensors ``[T]``, the second of integers.
    """
    days = timestamps.astype("datetime64[D]")
    seconds = (timestamps - days).astype("timedelta64[s]").astype(np.int64)
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    return torch.from_numpy((seconds / 86400).astype(np.float32)), torch.from_numpy(weekday)


class WindowCollator:
    """Gathers a batch from the series in memory, all windows at once.

    Missing readings are filled and masked once, at the start, which takes five bytes per reading.

    Args:
        values: readings ``[T, N, F]``, NaN where missing, in their units.
        timestamps: ``datetime64[s]`` ``[T]``.
        window: input steps.
        horizon: target steps.
        num_targets: how many features, from the first, are targets.
        graph: what every batch carries besides, the same for all (``vd_ids``, and where positions
            are known ``positions_xy``, ``edge_index``, ``distance``).
        first_step: place of ``values`` in the series, where they are a part of it.

    Shapes:
        - **features, mask:** :math:`(B, T, N, F)`; 0 and False where missing
        - **targets, target_mask:** :math:`(B, P, N, F)`; 0 and False where missing
        - **time_of_day, day_of_week:** of the input steps :math:`(B, T)`
        - **first_step:** index of the first target step in the series :math:`(B)`
    """

    def __init__(
        self,
        values: Tensor,
        timestamps: np.ndarray,
        window: int,
        horizon: int,
        num_targets: int,
        graph: dict,
        first_step: int = 0,
    ) -> None:
        self.values = values.nan_to_num(nan=0.0)
        self.mask = ~values.isnan()
        self.time_of_day, self.day_of_week = time_covariates(timestamps)
        self.window = window
        self.horizon = horizon
        self.num_targets = num_targets
        self.graph = graph
        self.first_step = first_step

    def __call__(self, starts: list[int]) -> dict:
        first = torch.as_tensor(starts)[:, None] + torch.arange(self.window + self.horizon)
        inputs, outputs = first[:, : self.window], first[:, self.window :]
        targets, target_mask = (
            _gather(series[..., : self.num_targets], outputs) for series in (self.values, self.mask)
        )
        return {
            "features": _gather(self.values, inputs),
            "mask": _gather(self.mask, inputs),
            "targets": targets,
            "target_mask": target_mask,
            "time_of_day": self.time_of_day[inputs],
            "day_of_week": self.day_of_week[inputs],
            "first_step": outputs[:, 0] + self.first_step,
            **self.graph,
        }


def _gather(series: Tensor, steps: Tensor) -> Tensor:
    """Steps ``[B, T]`` of a series; whole rows are copied faster than by a two-axis index."""
    return series.index_select(0, steps.flatten()).unflatten(0, steps.shape)
