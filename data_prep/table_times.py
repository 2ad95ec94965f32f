"""The times of the rows of a table, in one column or as a date and a time of day."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from data_prep.report import Report
from data_prep.tables import Table
from data_prep.timestamps import is_date, is_span, is_time_of_day, parse_times

__all__ = ["read_times", "tell_spans", "time_columns"]

_DAY = 86400  # seconds
_MINUTES = _DAY // 60 + 1  # smaller numbers may be minutes or hours


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
    in_two = len(cells) == 2 and is_date(cells[0]) and is_time_of_day(cells[1])
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
    days, clocks = (piece[name] for name in columns)
    if not clocks.str.fullmatch(r"\d+(\.0+)?").all():
        return parse_times(days + " " + clocks, where, table.format.time_format)
    if "%H" in table.format.time_format:  # of both; 900 is nine o'clock
        clocks = clocks.str.replace(r"\.0+$", "", regex=True).str.zfill(4)
        return parse_times(days + " " + clocks, where, table.format.time_format)
    seconds = clocks.astype(float).to_numpy()
    if not in_seconds and seconds.max() <= 2400 and (seconds % 100 < 60).all():
        raise ValueError(
            f"The numbers up to {seconds.max():g} in column {columns[1]!r} of '{table.path}' may "
            "be hours and minutes. If they are, set --time-format to both columns, e.g. '%Y-%m-%d "
            "%H%M'; if they are seconds, write times of day such as 00:05."
        )
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
