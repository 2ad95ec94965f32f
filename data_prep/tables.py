"""Tables of any kind, read by pandas in pieces: times and ids as text, readings as numbers."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from data_prep.sources import OTHER_KINDS, TABLE_KINDS, kind_of, open_bytes
from data_prep.table_numbers import (
    NULL_TEXTS,
    decimal_beside,
    find_decimal,
    settle_decimal,
    to_numbers,
)
from data_prep.table_text import TableText, find_dialect

if TYPE_CHECKING:
    from io import TextIOBase

__all__ = ["Table", "TableFormat", "check_columns", "open_table"]

_PIECE_CELLS = 2**22
_SAMPLE_ROWS = 200


@dataclass(frozen=True)
class TableFormat:
    """How the tables of a source are written.

    Args:
        delimiter: character between two cells; None finds it.
        decimal: mark before the fraction of a number; None finds it when numbers are read.
        thousands: mark between the thousands of a number; empty for none.
        encoding: of the text; empty for UTF-8, or UTF-16 with a byte-order mark.
        skip_rows: lines before the one with the names.
        skip_footer: lines after the last row.
        names: names of the columns of a table without a line of names.
        time_column: columns of the time (one, or a date and a time of day), joined by a blank;
            None takes the first one if a reader allows it.
        time_format: ``strptime`` format of the times, empty to find it.
        sheet: of a workbook; empty for the only one that has cells.
        null_texts: texts that mean "missing", each behind its feature (empty for all).
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
    sheet: str = ""
    null_texts: tuple[tuple[str, str], ...] = ()

    def nulls(self, feature: str) -> list[str]:
        """The texts that mean "missing" in readings of ``feature``."""
        return [text for name, text in self.null_texts if name in ("", feature)]


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

    def pieces(
        self,
        texts: Sequence[str],
        numbers: Sequence[str],
        nulls: Mapping[str, Sequence[str]] | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows in pieces, with the columns ``texts`` as stripped strings and ``numbers``
        as float64 (NaN where a cell is empty or has a usual word for "missing").

        Args:
            texts, numbers: columns.
            nulls: further words for "missing", by column; None if no option takes them.

        Raises:
            ValueError: if a row has another number of cells than the first one, a number cannot be
                read, is infinite or can be read in two ways, or the text is not in the encoding.
        """
        thousands = self.format.thousands
        decimal = self.format.decimal or decimal_beside(thousands)
        words = {name: [*NULL_TEXTS, *(nulls or {}).get(name, ())] for name in numbers}
        if self.kind == "text":
            decimal = decimal or self._sampled_decimal(words)
            pieces = self._text_frames(texts, words, decimal)
        else:
            frame = _whole_frame(self.path, self.kind, self.format)
            pieces = iter([frame.set_axis(self.header, axis=1)])
        for piece in pieces:
            decimal = decimal or settle_decimal(self.path, piece[[*numbers]], thousands)
            for name in texts:
                piece[name] = _as_text(piece[name])
            for name in numbers:
                where = f"column {name!r} of '{self.path}'"
                piece[name] = to_numbers(
                    piece[name], where, decimal, thousands, words[name], nulls is not None
                )
            yield piece[[*texts, *numbers]]

    def first_row(self, count: int) -> list[str]:
        """The texts of the first cells of the first row; none if there is no row."""
        places = [str(place) for place in range(len(self.header))]
        first = next(replace(self, header=places).pieces(places[:count], ()), None)
        return [] if first is None or not len(first) else first.iloc[0].tolist()

    def _sampled_decimal(self, numbers: Mapping[str, list[str]]) -> str | None:
        """The mark before fractions, if the first rows tell it: all others are read faster then."""
        first = next(self._text_frames((), numbers, None, _SAMPLE_ROWS), None) if numbers else None
        if first is None:
            return None
        return find_decimal(first.to_numpy().ravel().tolist(), self.format.thousands)[0]

    def _text_frames(
        self,
        texts: Sequence[str],
        numbers: Mapping[str, list[str]],
        decimal: str | None,
        num_rows: int | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Pieces of the text, with numbers as texts if it is not known which mark they have."""
        wanted = [*texts, *numbers]
        as_text = wanted if decimal is None else texts
        # Names as texts: pandas takes whole numbers for places among those that are used.
        places = {name: str(self.header.index(name)) for name in wanted}
        with TableText(self.path, self.format, len(self.header)) as text, self._named():
            reader = pd.read_csv(
                cast("TextIOBase", text),
                sep=self.format.delimiter,
                decimal=decimal or ".",
                header=None,
                names=[str(place) for place in range(len(self.header))],
                index_col=False,
                usecols=sorted(places.values(), key=int),
                dtype={places[name]: str for name in as_text},
                keep_default_na=False,
                na_values=cast("dict", {places[name]: words for name, words in numbers.items()}),
                skipinitialspace=True,
                float_precision="round_trip",
                low_memory=False,
                chunksize=max(1, _PIECE_CELLS // len(self.header)),
                nrows=num_rows,
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
    if table_format.decimal and table_format.decimal == table_format.thousands:
        raise ValueError(
            f"Expected --decimal and --thousands as two marks (got {table_format.decimal!r} for "
            "both). Leave out the one that is not in the numbers."
        )
    kind = kind_of(path)
    if kind not in TABLE_KINDS:
        raise ValueError(f"'{path}' is {OTHER_KINDS[kind]}, and no table.")
    if table_format.sheet and kind != "xlsx":
        raise ValueError(
            f"'{path}' is {TABLE_KINDS[kind]}, which has no sheets (got {table_format.sheet!r}). "
            "Leave out --sheet (--detector-sheet for the table of detectors)."
        )
    if kind == "text":
        found = find_dialect(path, table_format)
        table_format = replace(table_format, delimiter=found.delimiter, decimal=found.decimal)
        return Table(path, table_format, list(table_format.names) or found.header, kind)
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
    return _frame_of_sheet(path, sheets, table_format)


def _frame_of_sheet(
    path: str | Path, sheets: Mapping[str, pd.DataFrame], table_format: TableFormat
) -> pd.DataFrame:
    """The rows of the sheet that is named, or of the only one that has any, with the names of its
    columns."""
    filled = [name for name, sheet in sheets.items() if sheet.notna().any(axis=None)]
    chosen = [name for name in filled if name == table_format.sheet or not table_format.sheet]
    if len(chosen) != 1:
        wanted = f"in the sheet {table_format.sheet!r}" if table_format.sheet else "in one sheet"
        there = ", ".join(map(repr, filled)) or "none"
        raise ValueError(
            f"Expected cells {wanted} of '{path}' (got {there}). Set --sheet to the one that is "
            "meant (--detector-sheet for the table of detectors)."
        )
    sheet, names = sheets[chosen[0]], table_format.names
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
