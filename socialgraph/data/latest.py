"""The windows at the end of a series, from the last of which the steps after it are forecast."""

import numpy as np
import torch
from torch import Tensor

from socialgraph.data.windows import Windows, window_starts
from socialgraph.series import TrafficSeries
from socialgraph.silence import report_silent

__all__ = ["check_latest", "latest_window", "with_future"]


def check_latest(series: TrafficSeries, windows: Windows, name: str = "the series") -> None:
    """Refuse a series from whose end nothing can be forecast; warns of silent detectors.

    Args:
        series: the readings.
        windows: what a window is.
        name: of the series, for errors.

    Raises:
        ValueError: if the series ends in a gap, in a window without a reading, or is shorter.
    """
    window, times = windows.window, series.timestamps[-windows.window :]
    if not len(window_starts(times, series.interval_minutes, window)):
        raise ValueError(
            f"{name} has a gap in its last {window} steps, or fewer steps: nothing to "
            "forecast from. Give a series whose end is whole."
        )
    report_silent(series.values[-window:], series.vdids, name, stacklevel=4)


def latest_window(
    series: TrafficSeries, windows: Windows, name: str = "the series"
) -> tuple[Tensor, np.ndarray]:
    """Readings and times of the window at the end, whose targets are not known.

    Args:
        series, windows, name: as of :func:`check_latest`.

    Returns:
        Values ``[T + P, N, F]``, NaN at the targets, and their UTC times ``[T + P]``.

    Raises:
        ValueError: as :func:`check_latest` does.
    """
    check_latest(series, windows, name)
    return with_future(series, windows.window, windows.horizon)


def with_future(series: TrafficSeries, past: int, horizon: int) -> tuple[Tensor, np.ndarray]:
    """The last ``past`` steps of a series, and ``horizon`` more that are not known.

    Returns:
        Values ``[past + horizon, N, F]``, NaN at the steps that are not known, and UTC times.
    """
    last, times = torch.from_numpy(series.values[-past:]), series.timestamps[-past:]
    future = last.new_full((horizon, *last.shape[1:]), torch.nan)
    step = np.timedelta64(round(60 * series.interval_minutes), "s")
    after = times[-1] + step * np.arange(1, horizon + 1)
    return torch.cat([last, future]), np.concatenate([times, after])
