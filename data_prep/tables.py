"""Tables of any kind, read by pandas in pieces: times and ids as text, readings as numbers."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from data_prep.sources import OTHER_KINDS, TABLE_KINDS, kind_of, open_bytes
from data_prep.table_text import TableText, find_dialect

if TYPE_CHECKING:
    from io import TextIOBase

__all__ = ["TableFormat", "check_columns", "read_header", "read_pieces", "to_numbers"]

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


def read_header(path: str | Path, table_format: TableFormat) -> tuple[list[str], TableFormat]:
    """Names of the columns, and the format with what was found.

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
        return list(table_format.names) or found.header, table_format
    if kind not in TABLE_KINDS:
        raise ValueError(f"'{path}' is {OTHER_KINDS[kind]}, and no table.")
    frame = next(_whole_frame(path, kind, table_format))
    return [str(name) for name in frame.columns], table_format


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


def read_pieces(
    path: str | Path,
    texts: Sequence[str],
    numbers: Sequence[str],
    header: Sequence[str],
    table_format: TableFormat,
) -> Iterator[pd.DataFrame]:
    """Yield the rows in pieces, with the columns ``texts`` as stripped strings and ``numbers`` as
    float64 (NaN where a cell is empty or has a usual word for "missing").

    Args:
        path: the table.
        texts: columns kept as text.
        numbers: columns of numbers.
        header: names of all columns, as :func:`read_header` gives them.
        table_format: how it is written, as :func:`read_header` gives it.

    Raises:
        ValueError: if a row has another number of cells than the first one, a number cannot be
            read or is infinite, or the text is not in the encoding.
    """
    kind = kind_of(path)
    if kind == "text":
        pieces = _text_frames(path, texts, numbers, header, table_format)
    else:
        frames = _whole_frame(path, kind, table_format)
        pieces = (frame.set_axis(list(header), axis=1) for frame in frames)
    for piece in pieces:
        for name in texts:
            piece[name] = _as_text(piece[name])
        for name in numbers:
            piece[name] = to_numbers(piece[name], f"column {name!r} of '{path}'", table_format)
        yield piece[[*texts, *numbers]]


def to_numbers(column: pd.Series, where: str, table_format: TableFormat) -> pd.Series:
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


def _text_frames(
    path: str | Path,
    texts: Sequence[str],
    numbers: Sequence[str],
    header: Sequence[str],
    table_format: TableFormat,
) -> Iterator[pd.DataFrame]:
    wanted = [*texts, *numbers]
    # Names as texts: pandas takes whole numbers for places among those that are used.
    places = {name: str(list(header).index(name)) for name in wanted}
    with TableText(path, table_format, len(header)) as text, _told(path, table_format):
        reader = pd.read_csv(
            cast("TextIOBase", text),
            sep=table_format.delimiter,
            decimal=table_format.decimal or ".",
            thousands=table_format.thousands or None,
            header=None,
            names=[str(place) for place in range(len(header))],
            index_col=False,
            usecols=sorted(places.values(), key=int),
            dtype={places[name]: str for name in texts},
            keep_default_na=False,
            na_values=cast("dict", {places[name]: _NULL_TEXTS for name in numbers}),
            skipinitialspace=True,
            float_precision="round_trip",
            low_memory=False,
            chunksize=max(1, _PIECE_CELLS // len(header)),
        )
        for piece in reader:
            yield piece[[places[name] for name in wanted]].set_axis(wanted, axis="columns")


class _told:
    """Turn what pandas says of a text into an error with the name of the file."""

    def __init__(self, path: str | Path, table_format: TableFormat) -> None:
        self.path, self.delimiter = path, table_format.delimiter

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, pd.errors.ParserError | pd.errors.EmptyDataError | csv.Error):
            raise ValueError(
                f"'{self.path}' cannot be read as a CSV table with delimiter {self.delimiter!r}: "
                f"{error}. Every row must have as many cells as the first one."
            ) from error


def _whole_frame(path: str | Path, kind: str, table_format: TableFormat) -> Iterator[pd.DataFrame]:
    with open_bytes(path) as handle:
        try:
            if kind == "parquet":
                frame = pd.read_parquet(handle)
            else:
                first, last = table_format.skip_rows, table_format.skip_footer
                frame = pd.read_excel(handle, engine="openpyxl", skiprows=first, skipfooter=last)
        except ImportError as error:
            raise ValueError(
                f"'{path}' is {TABLE_KINDS[kind]}: pip install 'socialgraph[feeds]' to read it, or "
                f"save it as CSV ({error})."
            ) from error
        except Exception as error:  # of libraries, which raise all kinds over damaged files
            raise ValueError(f"'{path}' is damaged, or no table: {error}") from error
    named = [name for name in frame.index.names if name is not None]
    yield (frame.reset_index() if named else frame).rename(columns=str)


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
    if bad.any():
        _refuse_number(where, texts[bad].iloc[0], table_format)
    return numbers


def _refuse_number(where: str, text: str, table_format: TableFormat) -> None:
    advice = "Correct the cell, or leave it empty if the reading is missing."
    if "," in text and table_format.decimal != ",":
        advice = (
            "If the comma stands before the fraction set --decimal ',', if it stands between "
            "thousands --thousands ','."
        )
    raise ValueError(f"Expected finite numbers in {where} (got {text!r}). {advice}")
