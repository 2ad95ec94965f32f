"""Texts to times: on the local clock of a source, or in UTC."""

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from socialgraph.axis import whole_seconds
from socialgraph.calendar import RepeatedHour, check_years, from_epoch, parse_stamps

__all__ = ["count_from", "is_epoch", "parse_times", "to_seconds"]

_OFFSET = re.compile(r":\d\d.*(Z|[+-]\d\d(:?\d\d)?)$")
_EPOCH = re.compile(r"\d{10}|\d{13}")


def parse_times(texts: pa.Array, where: str, time_format: str) -> tuple[np.ndarray, bool]:
    """Times ``[R]`` as ``datetime64[s]``, and whether they are on a local clock.

    They are in UTC if they have an offset, which is taken off, or if they count seconds (10 digits)
    or milliseconds (13 digits) since 1970.

    Args:
        texts: strings in ISO 8601 or in ``time_format``, or such counts.
        where: file and column, for the error messages.
        time_format: ``strptime`` format; empty for ISO 8601 and counts since 1970.

    Returns:
        The times, and False if they are in UTC.

    Raises:
        ValueError: if a time cannot be read, lies between two seconds or outside the years 1970 to
            2100, or if only some have an offset.
    """
    texts = pc.utf8_trim_whitespace(texts)
    first = (texts[0].as_py() if len(texts) else None) or ""
    if not time_format and is_epoch(first):
        return _naming(where, from_epoch, _whole_numbers(texts, where)), False
    times = _parse(texts, first, where, time_format)
    seconds = to_seconds(times.to_numpy(zero_copy_only=False), where)
    return _naming(where, check_years, seconds), times.type.tz is None


def is_epoch(text: str) -> bool:
    """Whether a text has the form of seconds or milliseconds since 1970."""
    return _EPOCH.fullmatch(text.strip()) is not None


def to_seconds(times: np.ndarray, where: str) -> np.ndarray:
    """``times`` as ``datetime64[s]``.

    Raises:
        ValueError: if one is missing or lies between two seconds.
    """
    seconds = times.astype("datetime64[s]")
    odd = np.flatnonzero(seconds != times)
    if len(odd):
        raise ValueError(
            f"Expected {where} to hold times in whole seconds; {len(odd)} are not "
            f"(first {times[odd[0]]}). Correct or drop these rows."
        )
    return seconds


def count_from(
    start: str, interval_minutes: float, num_steps: int, zone: str, repeated_hour: RepeatedHour
) -> np.ndarray:
    """Times in UTC ``[num_steps]``, ``interval_minutes`` of real time apart.

    Args:
        start: the first time in ISO 8601, with an offset or on the clock of ``zone``.
        interval_minutes: time from one step to the next.
        num_steps: how many.
        zone: IANA name.
        repeated_hour: as in :func:`socialgraph.calendar.to_utc`, for ``start``.

    Raises:
        ValueError: if ``start`` is no time or has no place in UTC, or the interval is no whole
            number of seconds.
    """
    try:
        first = parse_stamps([start], zone, repeated_hour)
    except ValueError as error:
        raise ValueError(
            f"Expected --start as ISO 8601, e.g. 2012-03-01T00:00:00 (got {start!r}): {error}"
        ) from error
    return first + np.arange(num_steps) * np.timedelta64(whole_seconds(interval_minutes), "s")


def _naming(where: str, check: Callable, times: np.ndarray) -> np.ndarray:
    """What ``check`` makes of ``times``; its error with the place where they stand."""
    try:
        return check(times)
    except ValueError as error:
        raise ValueError(f"In {where}: {error}") from error


def _whole_numbers(texts: pa.Array, where: str) -> np.ndarray:
    try:
        return texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"Expected seconds or milliseconds since 1970 in {where}, as in its first row "
            f"({error}). Write all times in the same way, or set --time-format."
        ) from error


def _parse(texts: pa.Array, first: str, where: str, time_format: str) -> pa.Array:
    if time_format:
        times = pc.strptime(texts, format=time_format, unit="s", error_is_null=True)
        bad = texts.filter(pc.is_null(times))
        if len(bad):
            raise ValueError(
                f"Expected times of the format {time_format!r} in {where}; {len(bad)} are not "
                f"(first {bad[0].as_py()!r}). Set --time-format to theirs."
            )
        return times
    zoned = _OFFSET.search(first)
    try:
        return texts.cast(pa.timestamp("ns", tz="UTC" if zoned else None))
    except pa.ArrowInvalid as error:
        advice = (
            "Only some have an offset from UTC: write all times in the same way."
            if "zone offset" in str(error)
            else "Set --time-format to their strptime format, e.g. '%d/%m/%Y %H:%M', or "
            "--time-column if this column holds no times."
        )
        raise ValueError(f"Expected ISO 8601 times in {where} ({error}). {advice}") from error
