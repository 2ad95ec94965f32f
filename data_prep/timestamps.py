"""Texts to times on the local clock of the detectors."""

import re
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.tables import TableFormat

__all__ = ["count_from", "parse_times", "to_seconds", "whole_seconds"]

_OFFSET = re.compile(r":\d\d.*(Z|[+-]\d\d(:?\d\d)?)$")


def parse_times(texts: pa.Array, where: str, table_format: TableFormat) -> np.ndarray:
    """Times ``[R]`` as ``datetime64[s]`` on the clock of ``table_format.timezone``.

    Args:
        texts: strings in ISO 8601 or in ``table_format.time_format``.
        where: file and column, for the error messages.
        table_format: format of the times and zone of the clock.

    Raises:
        ValueError: where a time cannot be read, falls between two seconds, or carries a UTC offset
            while no timezone is set.
    """
    texts = pc.utf8_trim_whitespace(texts)
    times = _parse_format(texts, where, table_format.time_format)
    if times.type.tz is not None:
        if not table_format.timezone:
            raise ValueError(
                f"{where} holds times with a UTC offset (first {texts[0].as_py()!r}). "
                "Set --timezone to the zone of the detectors, e.g. UTC or Asia/Taipei."
            )
        times = pc.local_timestamp(times.cast(pa.timestamp("ns", tz=table_format.timezone)))
    return to_seconds(times.to_numpy(zero_copy_only=False), where)


def to_seconds(times: np.ndarray, where: str) -> np.ndarray:
    """``times`` as ``datetime64[s]``.

    Raises:
        ValueError: where one is missing or falls between two seconds.
    """
    seconds = times.astype("datetime64[s]")
    odd = np.flatnonzero(seconds != times)
    if len(odd):
        raise ValueError(
            f"Expected {where} to hold times in whole seconds; {len(odd)} are not "
            f"(first {times[odd[0]]}). Correct or drop these rows."
        )
    return seconds


def count_from(start: str, interval_minutes: float, num_steps: int) -> np.ndarray:
    """``num_steps`` times from ``start`` (ISO 8601, local clock), ``interval_minutes`` apart.

    Raises:
        ValueError: where ``start`` is no such time, or the interval no whole number of seconds.
    """
    try:
        first = datetime.fromisoformat(start)
    except ValueError as error:
        raise ValueError(
            f"Expected --start as ISO 8601, e.g. 2012-03-01T00:00:00 (got {start!r})."
        ) from error
    if first.tzinfo is not None:
        raise ValueError(f"Expected --start on the local clock, without offset (got {start!r}).")
    steps = np.arange(num_steps) * np.timedelta64(whole_seconds(interval_minutes), "s")
    return np.datetime64(first, "s") + steps


def whole_seconds(interval_minutes: float) -> int:
    """An interval in minutes as seconds.

    Raises:
        ValueError: where it is not a whole number of seconds, at least one.
    """
    seconds = round(interval_minutes * 60) if np.isfinite(interval_minutes) else 0
    if seconds < 1 or abs(seconds - interval_minutes * 60) > 1e-6:
        raise ValueError(
            f"Expected an interval of a whole number of seconds, at least one "
            f"(got {interval_minutes} minutes). Set --interval in minutes, e.g. 0.5 for 30 seconds."
        )
    return seconds


def _parse_format(texts: pa.Array, where: str, time_format: str) -> pa.Array:
    if time_format:
        times = pc.strptime(texts, format=time_format, unit="s", error_is_null=True)
        bad = texts.filter(pc.is_null(times))
        if len(bad):
            raise ValueError(
                f"Expected times of the format {time_format!r} in {where}; {len(bad)} are not "
                f"(first {bad[0].as_py()!r}). Set --time-format to theirs."
            )
        return times
    zoned = len(texts) and _OFFSET.search(texts[0].as_py() or "")
    try:
        return texts.cast(pa.timestamp("ns", tz="UTC" if zoned else None))
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"Expected ISO 8601 times in {where} ({error}). Set --time-format to their strptime "
            "format, e.g. '%d/%m/%Y %H:%M', or --time-column if this column holds no times."
        ) from error
