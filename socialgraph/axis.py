"""The time axis of a series: its interval, and the regular axis that holds given times."""

import numpy as np

__all__ = ["SeriesError", "infer_interval", "regular_axis", "whole_seconds"]

_MOST_STEPS_PER_TIME = 20


class SeriesError(ValueError):
    """Parts that make no traffic series, with what is wrong and how to mend it."""


def infer_interval(timestamps: np.ndarray) -> float:
    """The most frequent distance of neighbouring times, in minutes.

    Raises:
        SeriesError: if there are fewer than two times.
    """
    if len(timestamps) < 2:
        raise SeriesError(
            f"{len(timestamps)} times give no interval. Set the interval in minutes (--interval, "
            "interval_minutes=)."
        )
    steps, counts = np.unique(np.diff(timestamps.astype("datetime64[s]")), return_counts=True)
    return float(steps[np.argmax(counts)] / np.timedelta64(1, "s")) / 60


def regular_axis(
    times: np.ndarray, interval_minutes: float | None = None
) -> tuple[np.ndarray, float]:
    """The regular axis that holds all ``times``, and its interval in minutes.

    Args:
        times: unique times ``[U]``, ascending, ``datetime64[s]``.
        interval_minutes: step of the axis; None for the most frequent distance of two times.

    Raises:
        SeriesError: if the interval is unknown or no whole number of seconds, a time lies off the
            grid, or the axis would be almost empty.
    """
    how = "inferred" if interval_minutes is None else "as set"
    interval = infer_interval(times) if interval_minutes is None else float(interval_minutes)
    step = np.timedelta64(whole_seconds(interval), "s")
    phases, counts = np.unique(times.astype(np.int64) % step.astype(np.int64), return_counts=True)
    off = np.flatnonzero(times.astype(np.int64) % step.astype(np.int64) != phases[counts.argmax()])
    if len(off):
        raise SeriesError(
            f"{len(off)} of {len(times)} distinct times are off the grid of {interval:g} minutes "
            f"({how}), first {times[off[0]]} (UTC). Set the interval (--interval, "
            "interval_minutes=) to the distance of two readings, or bring finer readings to it "
            "before."
        )
    num_steps = int((times[-1] - times[0]) // step) + 1
    if num_steps > _MOST_STEPS_PER_TIME * len(times):
        widest = int(np.argmax(np.diff(times)))
        raise SeriesError(
            f"{len(times)} distinct times would spread over {num_steps} steps of {interval:g} "
            f"minutes; the widest gap is from {times[widest]} to {times[widest + 1]} (UTC). "
            "Correct stray dates, set the interval (--interval, interval_minutes=) to the distance "
            "of two readings, or take period by period."
        )
    return times[0] + np.arange(num_steps) * step, interval


def whole_seconds(interval_minutes: float) -> int:
    """An interval in minutes as seconds.

    Raises:
        SeriesError: if it is not a whole number of seconds, at least one.
    """
    seconds = round(interval_minutes * 60) if np.isfinite(interval_minutes) else 0
    if seconds < 1 or abs(seconds - interval_minutes * 60) > 1e-6:
        raise SeriesError(
            "Expected an interval of a whole number of seconds, at least one (got "
            f"{interval_minutes} minutes). Set it in minutes (--interval, interval_minutes=), e.g. "
            "0.5 for 30 seconds."
        )
    return seconds
