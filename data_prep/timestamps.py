"""Texts to times: on the local clock of a source, or in UTC."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from socialgraph.axis import whole_seconds
from socialgraph.calendar import RepeatedHour, check_years, from_epoch, parse_stamps

__all__ = [
    "count_from",
    "is_date",
    "is_epoch",
    "is_span",
    "is_time_of_day",
    "parse_times",
    "to_seconds",
]

_OFFSET = re.compile(r"[T ]\d.*(Z|[+-]\d\d(:?\d\d)?)$")
_EPOCH = re.compile(r"(\d{10}|\d{13})(\.0+)?")
_SERIAL = re.compile(r"[234]\d{4}(\.\d+)?")  # days since 1900, of 1954 to 2036
_ISO = re.compile(r"\d{4}-\d\d-\d\d|\d{8}([T ]|$)")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d\d)|\d{8}")
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?")
_SPAN = re.compile(r"(|.*?[T ])(\d{1,2}):(\d\d)(:\d\d)?( ?[-–] ?)(\d{1,2}):(\d\d)(?(4):\d\d)")
_HALF_HOURS = (570, 210, 150)  # minutes west of UTC, with the whole hours up to 12
_DIRECTIVE = re.compile(r"%[a-zA-Z]")
_MIDNIGHT = re.compile(r"(?<=[T ])24(:?00(:?00)?([.,]0+)?)(?=$|Z|[+-])")
_FINE_EPOCH = re.compile(r"\d{16}(\d{3})?(\.0+)?|\d{10}\.\d*[1-9]\d*")
# Days before months and months before days; which of them is meant must be certain.
_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "")


def parse_times(texts: pd.Series, where: str, time_format: str = "") -> tuple[np.ndarray, bool]:
    """Times ``[R]`` as ``datetime64[us]``, and whether they are on a local clock.

    They are in UTC if they have an offset, which is taken off, or if they count seconds (10 digits)
    or milliseconds (13 digits) since 1970. 24:00 is the end of its day. Of ``06:00-06:15`` the
    start is taken.

    Args:
        texts: strings in ISO 8601 or in ``time_format``, or such counts.
        where: file and column, for the error messages.
        time_format: ``strptime`` format; if it is empty, ISO 8601, counts since 1970, or the only
            one of the usual formats that fits all texts.

    Returns:
        The times, and False if they are in UTC.

    Raises:
        ValueError: if a time cannot be read, several formats fit, a year is outside 1970 to 2100,
            only some times have an offset, or it is not certain that it is one.
    """
    codes, found = pd.factorize(texts)
    uniques = np.array([str(text).strip() for text in found], dtype=object)
    first = uniques[0] if len(uniques) else ""
    if not time_format and is_epoch(first):
        return _naming(where, from_epoch, _whole_numbers(uniques, where))[codes], False
    if time_format:
        uniques, time_format = _starts_by_format(uniques, where, time_format)
    elif _are_spans(uniques, where):
        uniques = np.array([_start_of(text) for text in uniques], dtype=object)
    ends = np.array([bool(_MIDNIGHT.search(text)) for text in uniques], dtype=bool)
    plain = [_MIDNIGHT.sub(r"00\1", text) for text in uniques]
    times, is_local = _parse(plain, where, time_format)
    times = times + ends * np.timedelta64(1, "D")
    _naming(where, check_years, times.astype("datetime64[s]"))
    return times[codes], is_local


def is_epoch(text: str) -> bool:
    """Whether a text has the form of seconds or milliseconds since 1970."""
    return _EPOCH.fullmatch(text.strip()) is not None


def is_date(text: str) -> bool:
    """Whether a text has the form of a date without a time of day."""
    return _DATE.fullmatch(text.strip()) is not None


def is_time_of_day(text: str) -> bool:
    """Whether a text has the form of a time of day without a date, or of two (06:00-06:15)."""
    span = _SPAN.fullmatch(text.strip())
    return _TIME_OF_DAY.fullmatch(text.strip()) is not None or bool(span and not span[1])


def is_span(text: str) -> bool:
    """Whether a text ends as ``06:00-06:15`` does: with two times, or a time and its offset."""
    return _SPAN.fullmatch(text.strip()) is not None


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
            f"(first {times[odd[0]]}). Bring them to their step with --round, e.g. --round 30s."
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


def _are_spans(texts: np.ndarray, where: str) -> bool:
    """Whether times are from one to another, and the second one is no offset.

    It is none if it changes with the first one, so that all are equally long, or if no zone has it.

    Raises:
        ValueError: if it may be either.
    """
    found = [_SPAN.fullmatch(text) for text in texts]
    spans = [match for match in found if match]
    if not spans or len(spans) < len(found):
        return False
    if not _ISO.match(texts[0]) or any(match[5] != "-" or match[4] for match in spans):
        return True
    begins = [int(match[2]) * 60 + int(match[3]) for match in spans]
    ends = [int(match[6]) * 60 + int(match[7]) for match in spans]
    lengths = {(end - begin) % 1440 for begin, end in zip(begins, ends, strict=True)}
    can_be = all((m <= 720 and m % 60 == 0) or m in _HALF_HOURS for m in ends)
    if len(lengths) == 1 and lengths != {0} and (not can_be or len(set(ends)) > 2):
        return True
    if len(lengths) > 1 and can_be and len(set(ends)) <= 2:
        return False
    day = "%Y-%m-%d" if "-" in texts[0][:8] else "%Y%m%d"
    form = f"{day}{'T' if 'T' in texts[0] else ' '}%H:%M"
    raise ValueError(
        f"The times in {where}, such as {texts[0]!r}, may be from one time to another, or have an "
        f"offset from UTC. Set --time-format '{form}-%H:%M' if they are the first, '{form}%z' if "
        "they are the second."
    )


def _start_of(text: str) -> str:
    match = _SPAN.fullmatch(text)
    return text if match is None else text[: match.start(5)]


def _starts_by_format(texts: np.ndarray, where: str, time_format: str) -> tuple[np.ndarray, str]:
    """Texts and their format without what stands behind the first time, if it has two.

    Raises:
        ValueError: if it is no format, or a text is not of it.
    """
    found = list(_DIRECTIVE.finditer(time_format))
    if not found:
        raise ValueError(
            f"Expected --time-format as a strptime format, e.g. '%d/%m/%Y %H:%M' (got "
            f"{time_format!r}). Leave it out for ISO 8601."
        )
    seen: set[str] = set()
    for last, directive in zip([None, *found], found, strict=False):
        if directive[0] in seen and last is not None:
            head, tail = time_format[: last.end()], time_format[last.end() :]
            break
        seen.add(directive[0])
    else:
        return texts, time_format
    parts = [re.escape(part) for part in _DIRECTIVE.split(tail)]
    behind = re.compile(r"\w+".join(parts) + "$")
    matches = [behind.search(text) for text in texts]
    odd = [text for text, match in zip(texts, matches, strict=True) if match is None]
    if odd:
        raise _not_of_format(odd, where, time_format)
    starts = [text[: m.start()] for text, m in zip(texts, matches, strict=True) if m]
    return np.array(starts, dtype=object), head


def _not_of_format(odd: list[str], where: str, time_format: str) -> ValueError:
    return ValueError(
        f"Expected times of the format {time_format!r} in {where}; {len(odd)} are not (first "
        f"{odd[0]!r}). Set --time-format to theirs."
    )


def _whole_numbers(texts: np.ndarray, where: str) -> np.ndarray:
    texts = np.array([re.sub(r"\.0+$", "", text) for text in texts], dtype=object)
    bad = [text for text in texts if not text.isdecimal() or len(text) > 18]
    if bad:
        raise ValueError(
            f"Expected seconds or milliseconds since 1970 in {where}, as in its first row "
            f"(got {bad[0]!r}). Write all times in the same way, or set --time-format."
        )
    return np.array([int(text) for text in texts], dtype=np.int64)


def _parse(texts: list[str], where: str, time_format: str) -> tuple[np.ndarray, bool]:
    """Times ``datetime64[us]`` of unique texts, and whether they are local."""
    if time_format:
        try:
            times = _strptime(texts, time_format)
        except (ValueError, re.error) as error:
            raise ValueError(
                f"Expected --time-format as a strptime format, e.g. '%d/%m/%Y %H:%M' (got "
                f"{time_format!r}: {error})."
            ) from error
        odd = [text for text, missing in zip(texts, times.isna(), strict=True) if missing]
        if odd:
            raise _not_of_format(odd, where, time_format)
        return _bare(times)
    if not texts or _ISO.match(texts[0]):
        return _parse_iso(texts, where)
    fitting = [f for f in _formats() if not _strptime(texts, f).isna().any()]
    if len(fitting) == 1:
        return _bare(_strptime(texts, fitting[0]))
    if fitting:
        raise ValueError(
            f"The times in {where}, such as {texts[0]!r}, fit several formats. Set "
            f"--time-format to the right one: {' or '.join(map(repr, fitting))}."
        )
    raise _unreadable(texts[0], where)


def _formats() -> list[str]:
    return [f"{day} {time}".strip() for day in _DATES for time in _TIMES]


def _strptime(texts: list[str], time_format: str) -> pd.DatetimeIndex:
    zoned = "%z" in time_format or "%Z" in time_format
    return pd.to_datetime(texts, format=time_format, errors="coerce", utc=zoned)


def _parse_iso(texts: list[str], where: str) -> tuple[np.ndarray, bool]:
    zoned = [bool(_OFFSET.search(text)) for text in texts]
    if any(zoned) and not all(zoned):
        other = texts[zoned.index(not zoned[0])]
        raise ValueError(
            f"Expected ISO 8601 times in {where} (got {other!r} beside {texts[0]!r}). Only "
            "some have an offset from UTC: write all times in the same way."
        )
    times = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=any(zoned))
    for text, is_missing in zip(texts, times.isna().tolist(), strict=True):
        if is_missing or not _ISO.match(text):
            raise _unreadable(text, where)
    return _bare(times)


def _bare(times: pd.DatetimeIndex) -> tuple[np.ndarray, bool]:
    is_local = times.tz is None
    bare = times if is_local else times.tz_convert("UTC").tz_localize(None)
    return bare.to_numpy().astype("datetime64[us]"), is_local


def _unreadable(text: str, where: str) -> ValueError:
    known = {
        _SERIAL: "days since 1900, as Excel counts them: format the column there as a date "
        "with its time (yyyy-mm-dd hh:mm:ss), and save it anew",
        _FINE_EPOCH: "micro- or nanoseconds since 1970: divide them to whole seconds (10 digits)",
    }
    for pattern, meaning in known.items():
        if pattern.fullmatch(text):
            return ValueError(f"The times in {where}, such as {text!r}, may be {meaning}.")
    return ValueError(
        f"Expected ISO 8601 times in {where} (got {text!r}). Set --time-format to their strptime "
        "format, e.g. '%d/%m/%Y %H:%M', or --time-column if this column holds no times."
    )
