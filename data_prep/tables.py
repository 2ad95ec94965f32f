"""Tables of any kind, read by pandas in pieces: times and ids as text, readings as numbers."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from data_prep.sources import OTHER_KINDS, TABLE_KINDS, kind_of, open_bytes
from data_prep.table_text import TableText, find_dialect

if TYPE_CHECKING:
    from io import TextIOBase

__all__ = ["Table", "TableFormat", "check_columns", "open_table"]

_PIECE_CELLS = 2**22
_NULL_TEXTS = ["", "NA", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "-nan", "-NaN", "NULL", "null"]
_NULL_TEXTS += ["None", "none", "<NA>"]


@dataclass(frozen=True)
class TableFormat:
    """How the tables of a source are written.

    Args:
        delimiter: character between two cells; None finds it.
        decimal: mark before the fraction of a number; None finds it.
        thousands: mark between the thousands of a number; empty for none.
        encoding: of the text; empty for UTF-8, or UTF-16 with a byte-order mark.
        skip_rows: lines before the one with the names.
        skip_footer: lines after the last row.
        names: names of the columns of a table without a line of names.
        time_column: columns of the time (one, or a date and a time of day), joined by a blank;
            None takes the first one if a reader allows it.
        time_format: ``strptime`` format of the times, empty to find it.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str = ""
    encoding: str = ""
    skip_rows: int = 0
    skip_footer: int = 0
    names: tuple[str, ...] = ()
    time_column: tuple[str, ...] | None = None
    time_format: str = ""


@dataclass(frozen=True)
class Table:
    """A table that was found out how to read.

    Args:
        path: file.
        format: how it is written, with what was found.
        header: names of its columns.
        kind: of its file, see :func:`data_prep.sources.kind_of`.
    """

    path: str | Path
    format: TableFormat
    header: list[str]
    kind: str

    def check(self, wanted: Mapping[str, str]) -> None:
        """Require columns, see :func:`check_columns`."""
        check_columns(self.path, self.header, wanted)

    def pieces(self, texts: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows in pieces, with the columns ``texts`` as stripped strings and ``numbers``
        as float64 (NaN where a cell is empty or has a usual word for "missing").

        Raises:
            ValueError: if a row has another number of cells than the first one, a number cannot be
                read or is infinite, or the text is not in the encoding.
        """
        if self.kind == "text":
            pieces = self._text_frames(texts, numbers)
        else:
            frame = _whole_frame(self.path, self.kind, self.format)
            pieces = iter([frame.set_axis(self.header, axis=1)])
        for piece in pieces:
            for name in texts:
                piece[name] = _as_text(piece[name])
            for name in numbers:
                where = f"column {name!r} of '{self.path}'"
                piece[name] = _to_numbers(piece[name], where, self.format)
            yield piece[[*texts, *numbers]]

    def first_row(self, count: int) -> list[str]:
        """The texts of the first cells of the first row; none if there is no row."""
        places = [str(place) for place in range(len(self.header))]
        first = next(replace(self, header=places).pieces(places[:count], ()), None)
        return [] if first is None or not len(first) else first.iloc[0].tolist()

    def _text_frames(self, texts: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
        wanted = [*texts, *numbers]
        # Names as texts: pandas takes whole numbers for places among those that are used.
        places = {name: str(self.header.index(name)) for name in wanted}
        with TableText(self.path, self.format, len(self.header)) as text, self._named():
            reader = pd.read_csv(
                cast("TextIOBase", text),
                sep=self.format.delimiter,
                decimal=self.format.decimal or ".",
                header=None,
                names=[str(place) for place in range(len(self.header))],
                index_col=False,
                usecols=sorted(places.values(), key=int),
                dtype={places[name]: str for name in texts},
                keep_default_na=False,
                na_values=cast("dict", {places[name]: _NULL_TEXTS for name in numbers}),
                skipinitialspace=True,
                float_precision="round_trip",
                low_memory=False,
                chunksize=max(1, _PIECE_CELLS // len(self.header)),
            )
            for piece in reader:
                yield piece[[places[name] for name in wanted]].set_axis(wanted, axis="columns")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what pandas says of a text into an error with the name of the file."""
        try:
            yield
        except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
            raise ValueError(
                f"'{self.path}' cannot be read as a CSV table with delimiter "
                f"{self.format.delimiter!r}: {error}. Every row must have as many cells as the "
                "first one."
            ) from error


def open_table(path: str | Path, table_format: TableFormat) -> Table:
    """Find out how a table is written.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no table, its text is in another encoding, or how it is written is not
            certain; names the option that tells it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'.")
    kind = kind_of(path)
    if kind == "text":
        found = find_dialect(path, table_format)
        table_format = replace(table_format, delimiter=found.delimiter, decimal=found.decimal)
        return Table(path, table_format, list(table_format.names) or found.header, kind)
    if kind not in TABLE_KINDS:
        raise ValueError(f"'{path}' is {OTHER_KINDS[kind]}, and no table.")
    frame = _whole_frame(path, kind, table_format)
    return Table(path, table_format, [str(name) for name in frame.columns], kind)


def check_columns(path: str | Path, header: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Require each column of ``wanted`` (column to the option that names it) exactly once.

    Raises:
        KeyError: if a column is absent.
        ValueError: if a column occurs more than once.
    """
    for column, option in wanted.items():
        if column not in header:
            raise KeyError(
                f"'{path}' has no column {column!r}; it has {list(header)}. "
                f"Set {option} to one of them, or --delimiter if these are not the columns."
            )
        if list(header).count(column) > 1:
            raise ValueError(
                f"Expected '{path}' to have one column {column!r} (got "
                f"{list(header).count(column)}). Rename or drop the others."
            )


def _to_numbers(column: pd.Series, where: str, table_format: TableFormat) -> pd.Series:
    """A column as float64.

    Raises:
        ValueError: naming the first cell that is no finite number.
    """
    if column.dtype.kind not in "iuf":
        column = _parse_numbers(column, where, table_format)
    numbers = column.astype(np.float64)
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        _refuse_number(where, str(numbers[infinite].iloc[0]), table_format)
    return numbers


def _whole_frame(path: str | Path, kind: str, table_format: TableFormat) -> pd.DataFrame:
    with open_bytes(path) as handle:
        try:
            if kind == "parquet":
                frame = pd.read_parquet(handle)
                named = [name for name in frame.index.names if name is not None]
                return (frame.reset_index() if named else frame).rename(columns=str)
            first, last = table_format.skip_rows, table_format.skip_footer
            sheets = pd.read_excel(
                handle,
                engine="openpyxl",
                sheet_name=None,
                header=None,
                dtype=object,  # else a name 101 over readings such as 1.5 becomes 101.0
                skiprows=first,
                skipfooter=last,
            )
        except ImportError as error:
            raise ValueError(
                f"'{path}' is {TABLE_KINDS[kind]}: pip install 'socialgraph[feeds]' to read it, or "
                f"save it as CSV ({error})."
            ) from error
        except Exception as error:  # of libraries, which raise all kinds over damaged files
            raise ValueError(f"'{path}' is damaged, or no table: {error}") from error
    return _frame_of_sheet(path, sheets, table_format.names)


def _frame_of_sheet(
    path: str | Path, sheets: Mapping[str, pd.DataFrame], names: tuple[str, ...]
) -> pd.DataFrame:
    """The rows of the only sheet that has any, with ``names`` or those of its first row."""
    filled = [name for name, sheet in sheets.items() if sheet.notna().any(axis=None)]
    if len(filled) != 1:
        raise ValueError(
            f"Expected cells in one sheet of '{path}' (got {', '.join(map(repr, filled)) or 'none'}"
            "). Save the sheet that is meant as a file of its own."
        )
    sheet = sheets[filled[0]]
    if names and len(names) != sheet.shape[1]:
        raise ValueError(
            f"Expected as many --columns as '{path}' has, {sheet.shape[1]} (got {len(names)})."
        )
    head = names or ["" if pd.isna(cell) else str(cell) for cell in sheet.iloc[0]]
    rows = sheet.iloc[0 if names else 1 :].infer_objects()
    return rows.reset_index(drop=True).set_axis(list(head), axis=1)


def _as_text(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.map(lambda time: "" if pd.isna(time) else time.isoformat())
    if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    codes, uniques = pd.factorize(column)  # few texts, in many rows; -1 if missing
    texts = np.array([*(str(text).strip() for text in uniques), ""], dtype=object)
    return pd.Series(texts[codes], index=column.index, dtype=str)


def _parse_numbers(column: pd.Series, where: str, table_format: TableFormat) -> pd.Series:
    """Texts and numbers as numbers: with blanks around them, and words for "missing"."""
    if column.dtype.kind == "b":
        _refuse_number(where, str(column.iloc[0]), table_format)
    texts = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    decimal = table_format.decimal or "."
    plain = texts.str.replace(table_format.thousands, "") if table_format.thousands else texts
    plain = plain.str.replace(decimal, ".", regex=False) if decimal != "." else plain
    numbers = pd.to_numeric(plain, errors="coerce")
    bad = numbers.isna() & ~texts.isin(_NULL_TEXTS)
    bad |= texts.str.contains("_", regex=False) | texts.str.startswith(("0x", "0X"))
    bad |= _has_odd_marks(texts, decimal, table_format.thousands)
    if bad.any():
        _refuse_number(where, texts[bad].iloc[0], table_format)
    return numbers


def _has_odd_marks(texts: pd.Series, decimal: str, thousands: str) -> pd.Series:
    """True where a point or comma can be neither before a fraction nor between thousands."""
    odd = pd.Series(False, index=texts.index)
    if thousands:
        whole = rf"[+-]?\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+(?:{re.escape(decimal)}\d*)?"
        odd = texts.str.contains(thousands, regex=False) & ~texts.str.fullmatch(whole)
    if decimal != "." and thousands != ".":
        odd |= texts.str.contains(".", regex=False)
    return odd


def _refuse_number(where: str, text: str, table_format: TableFormat) -> None:
    decimal, thousands = table_format.decimal, table_format.thousands
    advice = "Correct the cell, or leave it empty if the reading is missing."
    if thousands and thousands in text:
        advice = f"{thousands!r}, which --thousands names, has to stand before three digits."
    elif "," in text and decimal != ",":
        advice = (
            "If the comma stands before the fraction set --decimal ',', if it stands between "
            "thousands --thousands ','."
        )
    elif "." in text and decimal == ",":
        advice = (
            "The comma stands before the fractions here. If the point stands between thousands set "
            "--thousands '.'; if it stands before the fraction, write all numbers in one way."
        )
    raise ValueError(f"Expected finite numbers in {where} (got {text!r}). {advice}")
