"""What ``socialgraph forecast`` reads: a file of data_prep, or a table of time by detector."""

import argparse
import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from socialgraph import schema
from socialgraph.series import TrafficSeries
from socialgraph.shell import split_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_series"]

_DAY_FIRST = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b")  # or the month
_OFFSET = re.compile(r"(?<=\d)[+-]\d{2}:?\d{2}$")
_MANY = 0.4  # share of the rows of a table, of which a long one of two detectors repeats half
_OF_TABLES = ("unit", "timezone", "detectors", "null_value")  # options that a file tells itself


def read_series(options: argparse.Namespace) -> TrafficSeries:
    """The series of an HDF5 file, or of a CSV table of time by detector.

    Raises:
        FileNotFoundError, ValueError, KeyError: if it cannot be read, or an option does not fit it.
    """
    path = options.readings
    if not path.is_file():
        raise FileNotFoundError(f"No file '{path}'.")
    return (_read_file if path.suffix in (".h5", ".hdf5") else _read_table)(options)


def _read_file(options: argparse.Namespace) -> TrafficSeries:
    given = [f"--{name}" for name in _OF_TABLES if getattr(options, name)]
    if given:
        raise ValueError(
            f"'{options.readings}' tells its own units, zone, positions and null values; "
            f"{', '.join(given)} would change nothing. Leave it out, or convert the readings again "
            "with 'python -m data_prep convert'."
        )
    series = schema.read(options.readings)
    return series.select(split_names(options.feature)) if options.feature else series


def _read_table(options: argparse.Namespace) -> TrafficSeries:
    import pandas as pd

    path, feature = options.readings, options.feature or "reading"
    if "," in feature:
        raise ValueError(
            f"A table is of one feature (got --feature {feature}). Convert several with 'python -m "
            "data_prep convert csv', and forecast the file."
        )
    _check_header(path)
    try:
        frame = pd.read_csv(path, index_col=0, float_precision="round_trip")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"'{path}' is no CSV table: {error}") from error
    _check_times(path, frame)
    _tell_offset(options.timezone, frame)
    if options.null_value:
        frame = frame.mask(frame.isin(options.null_value))
    return TrafficSeries.from_frame(
        frame.rename_axis("time").copy().reset_index(),
        _read_positions(options.detectors, [str(vdid) for vdid in frame.columns]),
        timezone=options.timezone,
        feature=feature,
        units={feature: options.unit},
        dataset_name=path.stem,
    )


def _check_header(path: Path) -> None:
    """Refuse names of columns that pandas would change, and tables of another form."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        first, *names = [name.strip() for name in next(csv.reader(file), [""])]
    if not names and re.search("[;\t|]", first):
        raise _other_form(path, f"commas between cells (got the first line {first[:40]!r})")
    late = [name for name in names if name.lower() in ("time", "timestamp", "datetime")]
    if late:
        raise ValueError(
            f"Expected the times in the first column of '{path}' (got {late[0]!r} behind "
            f"{first!r}). Move it, and leave out a column that numbers the rows."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        raise ValueError(
            f"Expected '{path}' to name each detector once in its first line (got "
            f"{twice[:5] or 'a column without a name'})."
        )
    if "detector" in names:
        raise _other_form(path, "a row for each time (got a column 'detector')", "long")


def _check_times(path: Path, frame: "pd.DataFrame") -> None:
    """Refuse times that are none of ISO 8601, and the many rows of one time of a long table."""
    odd = [text for text in map(str, frame.index[:1]) if _DAY_FIRST.match(text)]
    if odd:
        raise _other_form(path, f"times in ISO 8601, as 2024-03-01 00:05 (got {odd[0]!r})")
    again = frame.index.duplicated().sum()
    rows = frame.rename_axis("time").reset_index()
    if again > len(rows) * _MANY and not rows.duplicated().any():
        raise _other_form(path, f"a row for each time (got {again} rows that repeat one)", "long")


def _other_form(path: Path, expected: str, form: str = "wide") -> ValueError:
    return ValueError(
        f"Expected '{path}' as a table of time by detector, with {expected}. Convert it with "
        f"'python -m data_prep convert csv --{form}', which reads more, and forecast the file."
    )


def _tell_offset(timezone: str | None, frame: "pd.DataFrame") -> None:
    """Say that times with an offset, but no zone, are told in UTC."""
    if timezone is not None:
        return
    found = map(_OFFSET.search, map(str, frame.index))
    offset = next((m[0] for m in found if m and int(re.sub(r"\D", "", m[0]))), None)
    if offset is not None:  # a clock that is changed may begin at +00:00
        print(
            f"note        times have the offset {offset} and are told in UTC, whose clock "
            "rules what is usual at a time of day. --timezone sets the zone."
        )


def _read_positions(path: Path | None, vdids: list[str]) -> "pd.DataFrame | None":
    """Places of the detectors by the rules of ``data_prep convert``; ids that it matches are told.

    Raises:
        FileNotFoundError, KeyError, ValueError: if the table cannot be read, knows none of the
            detectors, or a position cannot be right.
    """
    if path is None:
        return None
    import pandas as pd

    from data_prep.detectors import read_detectors
    from data_prep.joining import locate_detectors, match_ids
    from data_prep.report import Report

    report = Report()
    try:
        table = match_ids(read_detectors(path), vdids, report)
        lat, lon = locate_detectors(table, vdids)
    except (KeyError, ValueError) as error:
        raise ValueError(_without_options(str(error.args[0]))) from error
    for topic, text in report.rows:
        print(f"{topic:<12}{text}")
    return pd.DataFrame({"detector": vdids, "lat": lat, "lon": lon})


def _without_options(text: str) -> str:
    """A sentence of ``data_prep convert``, with a word on the options that it names."""
    if not re.search(r"--(?!detectors\b)", text):
        return text
    return f"{text} (These are options of 'python -m data_prep convert csv'.)"
