"""The times of the rows of a table, in one column or as a date and a time of day."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from data_prep.report import Report
from data_prep.tables import Table
from data_prep.timestamps import is_date, is_span, is_time_of_day, parse_times

__all__ = ["read_times", "tell_spans", "time_columns"]

_DAY = 86400  # seconds
_MINUTES = _DAY // 60 + 1  # smaller numbers may be minutes or hours
_BARE_DAY = re.compile(r"[T ]0?0:00(:00(\.0+)?)?$")  # behind a date, as workbooks write it
_DURATION = re.compile(r"(?:(\d+) days?,? )?(\d+):(\d\d(?::\d\d(?:\.\d+)?)?)")


def time_columns(table: Table) -> list[str]:
    """The columns of the times of a wide table: those that are set, or the first one, with the
    second one if the two hold dates and times of day.

    Raises:
        KeyError, ValueError: if they are not there once.
    """
    if table.format.time_column is not None:
        table.check(dict.fromkeys(table.format.time_column, "--time-column"))
        return list(table.format.time_column)
    cells = table.first_row(2) if len(table.header) > 2 else []
    in_two = (
        len(cells) == 2
        and is_date(_BARE_DAY.sub("", cells[0]))
        and is_time_of_day(_time_of_day(cells[1]))
    )
    columns = table.header[: 2 if in_two else 1]
    table.check(dict.fromkeys(columns, "--time-column"))
    return columns


def read_times(
    table: Table, piece: pd.DataFrame, columns: Sequence[str], in_seconds: bool = False
) -> tuple[np.ndarray, bool]:
    """Times ``[R]`` of the rows of a table, and whether they are on a local clock.

    Args:
        table: the rows are of it.
        piece: rows, with ``columns`` as text.
        columns: the time; or a date, and a time of day or seconds since midnight.
        in_seconds: whether numbers are known to be seconds. Otherwise some must be so large that
            they are neither minutes nor hours.

    Raises:
        ValueError: see :func:`data_prep.timestamps.parse_times`; or if seconds are none of a day.
    """
    where = f"column {' '.join(map(repr, columns))} of '{table.path}'"
    if len(columns) == 1:
        return parse_times(piece[columns[0]], where, table.format.time_format)
    if len(columns) > 2:
        raise ValueError(f"Expected --time-column as a time, or a date and a time (got {columns}).")
    days = piece[columns[0]].str.replace(_BARE_DAY, "", regex=True)
    clocks = piece[columns[1]].str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    if not clocks.str.fullmatch(r"\d+").all():
        if clocks.str.fullmatch(r"0|0?\.\d+|\d(\.\d+)?[eE]-\d+").all():
            raise ValueError(
                f"The times of day in column {columns[1]!r} of '{table.path}' are fractions of a "
                "day, as Excel counts them: format the column there as a time (hh:mm:ss), and save "
                "it anew."
            )
        clocks = clocks.map(_time_of_day)
        return parse_times(days + " " + clocks, where, table.format.time_format)
    if "%H" in table.format.time_format:  # of both; 900 is nine o'clock
        digits = 2 * sum(table.format.time_format.count(part) for part in ("%H", "%M", "%S"))
        ends = ((clocks == "24") & (digits == 2)).to_numpy()  # of the last hour of a day
        clocks = clocks.where(~ends, "0").str.zfill(digits)
        times, is_local = parse_times(days + " " + clocks, where, table.format.time_format)
        return times + ends * np.timedelta64(1, "D"), is_local
    seconds = clocks.astype(float).to_numpy()
    if not in_seconds and seconds.max() <= 2400 and (seconds % 100 < 60).all():
        raise _may_be_hours(table, columns[1], int(seconds.max()))
    if not (0 if in_seconds else _MINUTES) <= seconds.max() <= _DAY:
        raise ValueError(
            f"Expected a time of day, or seconds since midnight up to {_DAY}, in column "
            f"{columns[1]!r} of '{table.path}' (got at most {seconds.max():g}). Write times of day "
            "such as 07:05."
        )
    times, is_local = parse_times(days, where, table.format.time_format)
    return times + seconds.astype(np.int64) * np.timedelta64(1, "s"), is_local


def tell_spans(texts: Collection[str], report: Report) -> None:
    """Report that of times such as 06:00-06:15 the start was taken.

    Args:
        texts: first times of the tables that are on a local clock: they have no offset.
        report: gets it.
    """
    spans = [text for text in texts if is_span(text)]
    if spans:
        report.add("times", f"are from one to another, such as {spans[0]}; the start was taken")


def _time_of_day(text: str) -> str:
    """A time of day that a workbook keeps as a length of time (0 days 00:15:00) as such."""
    found = _DURATION.fullmatch(text)
    return text if found is None else f"{24 * int(found[1] or 0) + int(found[2]):02}:{found[3]}"


def _may_be_hours(table: Table, column: str, highest: int) -> ValueError:
    """The error of numbers that may be hours, or hours and minutes."""
    what, example = ("hours", "%H") if highest <= 24 else ("hours and minutes", "%H%M")
    return ValueError(
        f"The numbers up to {highest} in column {column!r} of '{table.path}' may be {what}. If "
        f"they are, set --time-format to both columns with a blank between them: '%Y-%m-%d "
        f"{example}', or '%d.%m.%Y {example}' if the dates are such as 31.12.2024; if they are "
        "seconds, write times of day such as 00:05."
    )
