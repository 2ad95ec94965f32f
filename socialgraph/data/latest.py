"""The window at the end of a series, from which the steps after it are forecast."""

import warnings

import numpy as np
import torch
from torch import Tensor

from socialgraph.data.windows import Windows, window_starts
from socialgraph.series import TrafficSeries

__all__ = ["latest_window", "report_silent"]


def latest_window(
    series: TrafficSeries, windows: Windows, name: str = "the series"
) -> tuple[Tensor, np.ndarray]:
    """Readings and times of the window at the end, whose targets are not known.

    Args:
        series: the readings.
        windows: what a window is.
        name: of the series, for errors.

    Returns:
        Values ``[T + P, N, F]``, NaN at the targets, and their UTC times ``[T + P]``.

    Raises:
        ValueError: if the series ends in a gap, in a window without a reading, or is shorter.
    """
    window, times = windows.window, series.timestamps[-windows.window :]
    if not len(window_starts(times, series.interval_minutes, window)):
        raise ValueError(
            f"{name} has a gap in its last {window} steps, or fewer steps: nothing to "
            "forecast from. Give a series whose end is whole."
        )
    last = torch.from_numpy(series.values[-window:])
    report_silent(last.isnan().all(dim=2).all(dim=0), series.vdids, windows, name)
    future = last.new_full((windows.horizon, *last.shape[1:]), torch.nan)
    step = np.timedelta64(round(60 * series.interval_minutes), "s")
    after = times[-1] + step * np.arange(1, windows.horizon + 1)
    return torch.cat([last, future]), np.concatenate([times, after])


def report_silent(silent: Tensor, vdids: list[str], windows: Windows, name: str) -> None:
    """Tell of detectors ``[N]`` without a reading in the last window.

    Raises:
        ValueError: if all are silent.
    """
    names = [vdid for vdid, s in zip(vdids, silent.tolist(), strict=True) if s]
    if len(names) == len(silent):
        raise ValueError(
            f"{name} ends in {windows.window} steps without any reading: nothing "
            "to forecast from. Cut them off, or use 'predict_on: test'."
        )
    if names:
        warnings.warn(
            f"{len(names)} of {len(silent)} detectors have no reading in the last "
            f"{windows.window} steps, among them {names[:5]}; their forecasts know of "
            "neighbours and the clock alone.",
            stacklevel=3,
        )
