"""UTC and the local clock: conversion both ways, the time of day, and times as people read them.

Inside the library every time is UTC (``datetime64[s]``). The local clock of a network is needed for
the calendar (time of day, weekday) and for texts alone.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np

__all__ = [
    "ClockError",
    "RepeatedHour",
    "absent_hour",
    "check_holidays",
    "check_years",
    "check_zone",
    "clock",
    "format_local",
    "from_epoch",
    "parse_stamps",
    "read_stamps",
    "same_clock",
    "to_local",
    "to_utc",
]

RepeatedHour = Literal["order", "first", "second"]

_YEARS = (1970, 2100)
_DAY = 24 * 60 * 60  # seconds
_HALF_DAY = np.timedelta64(12, "h")
_FRACTION = re.compile(r"[.,]\d*[1-9]")
# Epoch numbers are told from dates without separators (20240102, 202401020005) by their digits.
_SECONDS = (10**9, 10**10)
_MILLISECONDS = (10**12, 10**13)


class ClockError(ValueError):
    """Times that cannot be placed on the UTC axis, with the way that loses nothing."""


def check_zone(zone: str) -> str:
    """Return ``zone`` if it is a name of the IANA database, such as ``Asia/Taipei`` or ``UTC``.

    Raises:
        ValueError: if it is not.
    """
    _changes(zone)
    return zone


def same_clock(zone: str, other: str) -> bool:
    """Whether the clocks of two zones always show the same, whatever their names."""
    pairs = zip(_changes(zone), _changes(other), strict=True)
    return zone == other or all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def to_local(times: np.ndarray, zone: str) -> np.ndarray:
    """Local clock of UTC ``times``, both ``datetime64[s]`` of the same shape."""
    times = np.asarray(times, dtype="datetime64[s]")
    return times + _offset(times, zone)


def to_utc(
    local: np.ndarray,
    zone: str,
    repeated_hour: RepeatedHour = "order",
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """UTC of times on the local clock of ``zone``.

    When clocks go back in autumn an hour comes twice. With ``"order"`` its times belong to the
    first pass until they jump back by half of it or more, and to the second from there on; in a
    source with one time an hour they repeat instead. A source that is newest first, as the times
    before and after that hour tell, is read from its end. Both passes must follow each other
    without another time between them.

    Args:
        local: ``datetime64[s]`` ``[R]``, in the order of their source.
        zone: IANA name.
        repeated_hour: how times of that hour are meant; ``"first"`` and ``"second"`` are for
            sources that hold it once.
        groups: whose time it is ``[R]`` (integers), for sources that mix several sequences; the
            order within each counts.

    Returns:
        ``datetime64[s]`` ``[R]``.

    Raises:
        ClockError: if the order does not tell which of the two hours is meant, or a time lies in
            the hour that is left out in spring.
        ValueError: if there is no such ``zone`` or ``repeated_hour``.
    """
    if repeated_hour not in get_args(RepeatedHour):
        raise ValueError(
            f"Expected 'repeated_hour' as one of {get_args(RepeatedHour)} (got {repeated_hour!r})."
        )
    local = np.asarray(local, dtype="datetime64[s]")
    first, second = _both_passes(local, zone)
    absent = to_local(first, zone) != local
    if absent.any():
        raise _absent_error(local[absent], first[absent], zone)
    twice = first != second
    if not twice.any() or repeated_hour == "first":
        return first
    if repeated_hour == "second":
        return second
    groups = np.zeros(len(local), dtype=np.int64) if groups is None else np.asarray(groups)
    by_group = np.argsort(groups, kind="stable")
    places = np.flatnonzero(twice[by_group])
    rows = by_group[places]
    hourly, utc = _is_hourly(local), first.copy()
    lines = local[by_group], groups[by_group], twice[by_group]
    for run in _runs(local[rows], groups[rows]):
        directions = _directions(*lines, places[run])
        ordered = rows[run][:: -1 if directions == {-1} else 1]
        jumps = -np.diff(local[ordered])
        back = np.flatnonzero(jumps > np.timedelta64(-1 if hourly else 0, "s"))
        half = (second - first)[ordered][0] / 2
        told = len(directions) < 2 and len(back) == 1 and (hourly or jumps[back[0]] >= half)
        if not told or (np.diff(places[run]) != 1).any():
            raise _repeated_error(local[ordered], first[ordered], zone)
        later = ordered[back[0] + 1 :]
        utc[later] = second[later]
    return utc


def absent_hour(local: np.ndarray, zone: str) -> np.ndarray:
    """True for times ``[R]`` in an hour that the clock of ``zone`` leaves out in spring."""
    return to_local(_both_passes(local, zone)[0], zone) != local


def format_local(times: np.ndarray, zone: str) -> list[str]:
    """UTC ``times`` ``[R]`` as texts on the local clock with their offset, in ISO 8601."""
    times = np.asarray(times, dtype="datetime64[s]")
    local = to_local(times, zone)
    offsets = (local - times).astype(np.int64).tolist()  # seconds
    texts = {offset: _offset_text(offset) for offset in set(offsets)}
    stamps = np.datetime_as_string(local, unit="s").tolist()
    return [stamp + texts[offset] for stamp, offset in zip(stamps, offsets, strict=True)]


def read_stamps(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Clock ``[R]`` (``datetime64[s]``) and offset from UTC ``[R]`` of ISO 8601 texts.

    Returns:
        The offset is ``timedelta64[s]``, or None if no text has one.

    Raises:
        ClockError: if only some of the texts have an offset.
        ValueError: if a text is no time, or lies between two seconds.
    """
    stamps = [_read_stamp(text) for text in texts]
    # Texts tell nanoseconds, which a datetime does not hold.
    fractions = [text for text in texts if _FRACTION.search(text)]
    if fractions:
        raise ValueError(f"Expected times in whole seconds (got {fractions[0]!r}).")
    clocks = np.array([stamp.replace(tzinfo=None) for stamp in stamps], dtype="datetime64[s]")
    offsets = [stamp.utcoffset() for stamp in stamps]
    naive = offsets.count(None)
    if naive == len(stamps):
        return clocks, None
    if naive:
        raise ClockError(
            f"{naive} of {len(stamps)} times have no UTC offset, the others have one (first "
            f"{texts[offsets.index(None)]!r}). Write all of them in the same way."
        )
    known = [offset.total_seconds() for offset in offsets if offset is not None]
    return clocks, np.array(known).astype("timedelta64[s]")


def parse_stamps(
    texts: Sequence[str],
    zone: str,
    repeated_hour: RepeatedHour = "order",
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """UTC of ISO 8601 texts ``[R]``, by their offset or on the clock of ``zone``.

    Arguments as in :func:`to_utc`.

    Raises:
        ClockError, ValueError: as :func:`read_stamps` and :func:`to_utc` do, or for a year outside
            1970 to 2100.
    """
    clocks, offset = read_stamps(texts)
    if offset is None:
        return check_years(to_utc(clocks, zone, repeated_hour, groups))
    return check_years(clocks - offset)


def from_epoch(numbers: np.ndarray) -> np.ndarray:
    """UTC times ``[R]`` of whole seconds or milliseconds since 1970.

    Raises:
        ValueError: if the numbers have neither 10 digits (seconds) nor 13 (milliseconds), or
            milliseconds are not whole seconds.
    """
    numbers = np.asarray(numbers)
    if not numbers.size:
        return np.array([], dtype="datetime64[s]")
    low, high = numbers.min(), numbers.max()
    with np.errstate(invalid="ignore"):  # infinite numbers are refused below
        whole = numbers.astype(np.int64)
    unit = {_SECONDS: 1, _MILLISECONDS: 1000}
    for (least, end), per_second in unit.items():
        if (
            low >= least
            and high < end
            and not (whole % per_second).any()
            and (whole == numbers).all()
            and not (per_second == 1 and (_are_date_hours(whole) or _are_date_minutes(whole)))
        ):
            return check_years((whole // per_second).astype("datetime64[s]"))
    raise ValueError(
        "Expected times as texts, or as whole seconds (10 digits) or milliseconds (13 digits) "
        f"since 1970, UTC (got {low} to {high}). Say how dates without separators are written "
        "(--time-format), or write them as texts."
    )


def check_years(times: np.ndarray) -> np.ndarray:
    """Return ``times`` if all lie in the years 1970 to 2100.

    Raises:
        ValueError: if one is NaT, or of another year.
    """
    if np.isnat(times).any():
        raise ValueError(f"Expected a time in every row ({int(np.isnat(times).sum())} have none).")
    years = np.asarray(times).astype("datetime64[Y]").astype(np.int64) + 1970
    odd = np.flatnonzero((years < _YEARS[0]) | (years > _YEARS[1]))
    if len(odd):
        raise ValueError(
            f"Expected times in the years {_YEARS[0]} to {_YEARS[1]} (got {times[odd[0]]}; "
            f"{len(odd)} of {len(times)} are outside). Correct them, or say how they are written."
        )
    return times


def clock(
    times: np.ndarray, zone: str, holidays: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the local day that has passed, float32 in [0, 1), and the weekday, 0 for Monday.

    Args:
        times: UTC ``[R]``.
        zone: IANA name.
        holidays: region whose public holidays count as Sundays, see :func:`check_holidays`.

    Returns:
        Two arrays ``[R]``, the second int64.

    Raises:
        ValueError: if there is no such zone or region.
    """
    local = to_local(times, zone)
    days = local.astype("datetime64[D]")
    seconds = (local - days).astype("timedelta64[s]").astype(np.int64)
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    if holidays is not None and len(days):
        years = np.unique(days.astype("datetime64[Y]").astype(int) + 1970)
        free = [day for year in years.tolist() for day in _public_holidays(holidays, year)]
        weekday[np.isin(days, np.array(free, dtype="datetime64[D]"))] = 6
    return (seconds / 86400).astype(np.float32), weekday


def check_holidays(region: str | None) -> None:
    """Refuse a region whose public holidays are not known.

    Args:
        region: ISO 3166 code of a country or of a part of one, such as ``"DK"`` or ``"US-CA"``, as
            the `holidays package <https://holidays.readthedocs.io>`_ knows them; None for none.

    Raises:
        ValueError: if it is not known.
    """
    if region is not None:
        _public_holidays(region, 2024)


@lru_cache(maxsize=256)
def _public_holidays(region: str, year: int) -> tuple[date, ...]:
    from holidays import country_holidays  # takes a tenth of a second

    country, _, part = str(region).partition("-")
    try:
        return tuple(country_holidays(country, subdiv=part or None, years=year))
    except NotImplementedError as error:
        raise ValueError(
            f"Expected 'holidays' as a country or a part of one, such as 'DK' or 'US-CA' (got "
            f"{region!r})."
        ) from error


@lru_cache
def _changes(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """Starts ``[C]`` (UTC) of the offsets ``[C]`` that the clock of ``zone`` has, 1970 to 2100."""
    try:
        info = ZoneInfo(zone)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected 'timezone' as an IANA name such as Asia/Taipei or UTC (got {zone!r}; on a "
            "system without the time zone database install its package, tzdata)."
        ) from error
    starts, offsets = [0], [_offset_at(0, info)]
    end = int(datetime(_YEARS[1] + 1, 1, 2, tzinfo=UTC).timestamp())
    for day in range(_DAY, end, _DAY):
        offset = _offset_at(day, info)
        if offset != offsets[-1]:
            starts.append(_start_of(offset, day, info))
            offsets.append(offset)
    return np.array(starts, dtype="datetime64[s]"), np.array(offsets, dtype="timedelta64[s]")


def _offset_at(second: int, info: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, info).utcoffset()
    assert offset is not None  # as it has a zone
    return int(offset.total_seconds())


def _start_of(offset: int, day: int, info: ZoneInfo) -> int:
    before = range(day - _DAY, day)
    return before.start + bisect_left(before, True, key=lambda s: _offset_at(s, info) == offset)


def _offset(times: np.ndarray, zone: str) -> np.ndarray:
    starts, offsets = _changes(zone)
    return offsets[np.maximum(np.searchsorted(starts, times, side="right") - 1, 0)]


def _offset_text(seconds: int) -> str:
    zone = timezone(timedelta(seconds=seconds))
    return datetime(1970, 1, 1, tzinfo=zone).isoformat()[len("1970-01-01T00:00:00") :]


def _both_passes(local: np.ndarray, zone: str) -> tuple[np.ndarray, np.ndarray]:
    """UTC by the offset before and after a change of the clock; equal if only one is right."""
    local = np.asarray(local, dtype="datetime64[s]")
    day = np.timedelta64(1, "D")
    before, after = (local - _offset(near, zone) for near in (local - day, local + day))
    right_before, right_after = (to_local(utc, zone) == local for utc in (before, after))
    return np.where(right_before, before, after), np.where(right_after, after, before)


def _are_date_hours(numbers: np.ndarray) -> bool:
    """Whether all ten digits read as year, month, day and hour, as in 2024013123."""
    year, month, day, hour = (
        numbers // 10**6,
        numbers // 10**4 % 100,
        numbers // 100 % 100,
        numbers % 100,
    )
    parts = ((year, *_YEARS), (month, 1, 12), (day, 1, 31), (hour, 0, 24))
    return all(((part >= low) & (part <= high)).all() for part, low, high in parts)


def _are_date_minutes(numbers: np.ndarray) -> bool:
    """Whether all ten digits read as year, month, day, hour and minute, as in 2401312355.

    Of seconds since 1970 some do, by chance, but not more than 24 that follow each other.
    """
    year, rest = numbers // 10**8, numbers % 10**8
    month, day, hour, minute = (rest // 100**place % 100 for place in (3, 2, 1, 0))
    parts = ((year, 0, 99), (month, 1, 12), (day, 1, 31), (hour, 0, 24), (minute, 0, 59))
    fits = all(((part >= low) & (part <= high)).all() for part, low, high in parts)
    return fits and len(np.unique(numbers)) > 24


def _read_stamp(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(
            f"Expected times in ISO 8601, such as 2024-01-01T00:05:00+08:00 (got {text!r})."
        ) from error


def _is_hourly(local: np.ndarray) -> bool:
    minutes = local.astype(np.int64) % 3600
    return bool((minutes == minutes[0]).all())


def _runs(local: np.ndarray, groups: np.ndarray) -> Iterable[slice]:
    """Parts of one group around one change of the clock."""
    apart = (np.abs(np.diff(local)) > _HALF_DAY) | (np.diff(groups) != 0)
    borders = [0, *(np.flatnonzero(apart) + 1).tolist(), len(local)]
    return map(slice, borders[:-1], borders[1:])


def _directions(
    local: np.ndarray, groups: np.ndarray, twice: np.ndarray, run: np.ndarray
) -> set[int]:
    """1 if the time beside the places of a ``run`` that is nearest to it tells that times ascend,
    -1 if they descend; both if two are as near and say so, none if no other time is beside it."""
    found: dict[np.timedelta64, set[int]] = {}
    for edge, side in ((run[0], -1), (run[-1], 1)):
        near = edge + side
        if 0 <= near < len(local) and groups[near] == groups[edge] and not twice[near]:
            step = local[near] - local[edge]
            found.setdefault(abs(step), set()).add(side if step > np.timedelta64(0) else -side)
    return found[min(found)] if found else set()


def _repeated_error(local: np.ndarray, utc: np.ndarray, zone: str) -> ClockError:
    return ClockError(
        f"{len(local)} times from {local.min()} on lie in the hour that comes twice in {zone} when "
        "clocks go back, and their order does not tell which of the two is meant. Nothing is lost "
        f"with {_other_clock(utc + np.timedelta64(2, 'D'), zone)}; for a source that holds this "
        "hour once, set repeated hour (--repeated-hour, repeated_hour=) to first or second."
    )


def _absent_error(local: np.ndarray, utc: np.ndarray, zone: str) -> ClockError:
    return ClockError(
        f"{len(local)} times with readings, from {local[0]} on, lie in the hour that the clock of "
        f"{zone} leaves out in spring: these times are on another clock. Nothing is lost with "
        f"{_other_clock(utc - np.timedelta64(1, 'D'), zone)}."
    )


def _other_clock(standard: np.ndarray, zone: str) -> str:
    """Advice for times on a clock without summer time, of which ``standard`` holds a UTC time."""
    minutes = (to_local(standard[:1], zone) - standard[:1])[0] // np.timedelta64(60, "s")
    plain = "times in UTC or with their offset"
    if minutes % 60:  # there are no such names for half hours
        return plain
    fixed = "UTC" if minutes == 0 else f"Etc/GMT{-minutes // 60:+d}"
    return (
        f"{plain}, or, if their clock is never changed, with its zone '{fixed}' (--timezone, "
        "timezone=)"
    )
