"""CSV files, read in blocks with pyarrow: ids and times as text, readings as numbers."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from socialgraph.calendar import RepeatedHour

__all__ = [
    "TableFormat",
    "check_columns",
    "read_blocks",
    "read_header",
    "replace_null_values",
    "to_matrix",
]

_BLOCK_BYTES = 2**24
_NULL_TEXTS = [*pa_csv.ConvertOptions().null_values, "None", "none"]


@dataclass(frozen=True)
class TableFormat:
    """How the tables of a source are written.

    Args:
        delimiter: character between two cells.
        time_column: column of the times; None takes the first one if a reader allows it.
        time_format: ``strptime`` format of the times, empty for ISO 8601.
        timezone: zone of the clock of times without an offset (IANA name).
        null_values: numbers that mean "missing" in the source.
        repeated_hour: how local times of the hour that comes twice in autumn are meant, see
            :func:`socialgraph.calendar.to_utc`.
    """

    delimiter: str = ","
    time_column: str | None = None
    time_format: str = ""
    timezone: str = "UTC"
    null_values: tuple[float, ...] = ()
    repeated_hour: RepeatedHour = "order"


def read_header(path: str | Path, delimiter: str = ",") -> list[str]:
    """The cells of the first line.

    Raises:
        ValueError: if the file is empty, starts with an empty line, or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader(handle, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected '{path}' in UTF-8 ({error}). Save it as UTF-8.") from error
    if not header:
        raise ValueError(f"Expected '{path}' to start with column names (got an empty first line).")
    return header


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
        if header.count(column) > 1:
            raise ValueError(
                f"Expected '{path}' to have one column {column!r} (got {header.count(column)}). "
                "Rename or drop the others."
            )


def read_blocks(
    path: str | Path,
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    delimiter: str = ",",
    column_names: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in blocks, with the columns ``texts`` as strings and ``numbers`` as float64.

    Args:
        path: CSV file in UTF-8, with or without byte-order mark.
        texts: columns kept as text.
        numbers: columns of numbers; an empty cell and the usual words for "missing" are null.
        delimiter: character between two cells.
        column_names: names of all columns if the file has no header.

    Raises:
        ValueError: if a row has another number of cells than the first one, a number cannot be
            read, or the file is not UTF-8.
    """
    types = {name: pa.string() for name in texts} | {name: pa.float64() for name in numbers}
    try:
        with pa_csv.open_csv(
            path,
            pa_csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=column_names),
            pa_csv.ParseOptions(delimiter=delimiter),
            pa_csv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=_NULL_TEXTS
            ),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        if "conversion error to double" in str(error):
            _name_bad_number(path, numbers, delimiter, column_names)
        raise ValueError(
            f"'{path}' cannot be read as a CSV table with delimiter {delimiter!r}: {error}. "
            "Every row must have as many cells as the first one, in UTF-8."
        ) from error


def to_matrix(path: str | Path, block: pa.RecordBatch, numbers: Sequence[str]) -> np.ndarray:
    """The columns ``numbers`` of a block as float64 ``[R, len(numbers)]``, NaN if null.

    Raises:
        ValueError: if a number is infinite.
    """
    matrix = np.empty((block.num_rows, len(numbers)))
    for index, name in enumerate(numbers):
        matrix[:, index] = block.column(name).to_numpy(zero_copy_only=False)
    infinite = np.argwhere(np.isinf(matrix))
    if len(infinite):
        row, column = infinite[0]
        _refuse_number(path, numbers[column], str(matrix[row, column]))
    return matrix


def replace_null_values(values: np.ndarray, null_values: Sequence[float]) -> np.ndarray:
    """Set what equals one of ``null_values`` to NaN, in place; return how many in each column."""
    null = np.isin(values, list(null_values))
    values[null] = np.nan
    return null.sum(axis=0)


def _name_bad_number(
    path: str | Path, numbers: Sequence[str], delimiter: str, column_names: Sequence[str] | None
) -> None:
    for block in read_blocks(path, numbers, (), delimiter, column_names):
        for name in numbers:
            for text in pc.unique(block.column(name)).to_pylist():
                if not _is_number(text) and text not in _NULL_TEXTS:
                    _refuse_number(path, name, text)


def _refuse_number(path: str | Path, column: str, text: str) -> None:
    raise ValueError(
        f"Expected finite numbers in column {column!r} of '{path}' (got {text!r}). "
        "Correct the cell, or leave it empty if the reading is missing."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
