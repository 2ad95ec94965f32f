"""The text of a CSV table: its encoding, its delimiter, and rows that have all their cells."""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data_prep.sources import open_bytes
from data_prep.table_numbers import decimal_beside

if TYPE_CHECKING:
    from data_prep.tables import TableFormat

__all__ = ["Dialect", "TableText", "find_dialect", "is_unicode", "open_text"]

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 200
_BLOCK = 2**20  # characters
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Dialect(NamedTuple):
    """How a table is written, and the names of its columns."""

    delimiter: str
    decimal: str | None
    header: list[str]


class TableText:
    """The rows of a table as text, without the lines around them, for :func:`pandas.read_csv`.

    Args:
        path: the table.
        table_format: its encoding, delimiter, and lines that are no rows.
        num_cells: cells that every row must have.

    Raises:
        ValueError: when it is read, if a row has another number of cells or the text is not in the
            encoding. pandas fills up a row that ends early, as the last one of a download does.
    """

    def __init__(self, path: str | Path, table_format: "TableFormat", num_cells: int) -> None:
        self._path, self._format, self._num_cells = path, table_format, num_cells
        self._stack = ExitStack()
        self._parts: Iterator[str] = iter(())

    def __enter__(self) -> "TableText":
        text = self._stack.enter_context(open_text(self._path, self._format))
        self._parts = self._checked(text)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def read(self, size: int = -1) -> str:
        """Some whole lines, about ``_BLOCK`` characters of them; empty at the end."""
        return next(self._parts, "")

    def _checked(self, text: io.TextIOBase) -> Iterator[str]:
        """Parts of whole lines, each of which has all its cells."""
        held: list[str] = []  # what may be the footer
        try:
            for _ in range(self._format.skip_rows + (not self._format.names)):
                text.readline()
            while lines := text.readlines(_BLOCK):
                held += [line for line in lines if not line.isspace()]
                end = len(held) - self._format.skip_footer
                rows, held = held[: max(0, end)], held[max(0, end) :]
                self._check(rows)
                if rows:
                    yield "".join(rows)
        except UnicodeDecodeError as error:
            raise _wrong_encoding(self._path, error) from error

    def _check(self, rows: list[str]) -> None:
        delimiter = self._format.delimiter or ","
        for line in rows:
            if '"' in line and _is_open(line, delimiter):
                raise ValueError(
                    f"Line {self._number(line)} of '{self._path}' has a quote that does not close: "
                    f"{line.strip()[:80]!r}. It would take in the lines behind it. Remove the "
                    "quote, or the line break within its cell."
                )
            cells = _count_cells(line, delimiter)
            if cells != self._num_cells:
                raise ValueError(
                    f"'{self._path}' cannot be read as a CSV table with delimiter {delimiter!r}: "
                    f"Expected {self._num_cells} columns, got {cells} in line {self._number(line)}."
                    " Every row must have as many cells as the first one; lines after the rows are "
                    "left out with --skip-footer."
                )

    def _number(self, wanted: str) -> int:
        with open_text(self._path, self._format) as text:
            return next(number for number, line in enumerate(text, 1) if line == wanted)


def find_dialect(path: str | Path, table_format: "TableFormat") -> Dialect:
    """The delimiter and the names of the columns, from the first lines; and the decimal mark, if it
    is set or the delimiter is a comma.

    Raises:
        ValueError: if the first line is empty or has no names, the text is not in the encoding, or
            several ways fit.
    """
    lines = _first_lines(path, table_format)
    if not lines or not lines[0].strip():
        raise ValueError(f"Expected '{path}' to start with column names (got an empty first line).")
    delimiter = table_format.delimiter or _find_delimiter(path, lines, table_format.decimal)
    header = [cell.strip() for cell in next(csv.reader([lines[0]], delimiter=delimiter))]
    decimal = table_format.decimal
    if decimal is None and not table_format.thousands:
        decimal = decimal_beside(delimiter)
    return Dialect(delimiter, decimal, header)


def is_unicode(path: str | Path) -> bool:
    """Whether a text is in UTF-8, or begins with a byte-order mark. No text with other letters than
    those of ASCII is in UTF-8 by accident."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(path) as handle:
        part = handle.read(_BLOCK)
        if part.startswith(tuple(mark for mark, _ in _BOMS)):
            return True
        try:
            while part:
                decoder.decode(part)
                part = handle.read(_BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _first_lines(path: str | Path, table_format: "TableFormat") -> list[str]:
    with open_text(path, table_format) as text:
        try:
            for _ in range(table_format.skip_rows):
                next(text, "")
            return [line for _, line in zip(range(_SAMPLE_LINES), text, strict=False)]
        except UnicodeDecodeError as error:
            raise _wrong_encoding(path, error) from error


def _find_delimiter(path: str | Path, lines: list[str], decimal: str | None) -> str:
    rows = [line for line in lines if line.strip()]
    fitting = []
    for delimiter in _DELIMITERS.replace(decimal or ".", ""):
        counts = {_count_cells(line, delimiter) for line in rows[:-1] or rows}
        if counts - {1} and len(counts) == 1:
            fitting.append(delimiter)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:  # one column, or rows that differ, which is told when they are read
        present = [mark for mark in _DELIMITERS if mark in rows[0]]
        return present[0] if len(present) == 1 else ","
    marks = " and ".join(map(repr, fitting))
    raise ValueError(
        f"'{path}' has the same number of cells in each line with {marks} between them. Set "
        "--delimiter (--detector-delimiter for the table of detectors, --edge-delimiter for that "
        "of --edges) to the right one, or --decimal ',' (--detector-decimal) if the comma stands "
        "before fractions."
    )


def _count_cells(line: str, delimiter: str) -> int:
    if '"' in line:
        return len(next(csv.reader([line], delimiter=delimiter, skipinitialspace=True)))
    return line.count(delimiter) + 1


def _is_open(line: str, delimiter: str) -> bool:
    """Whether a quote that begins a cell goes on in the next line."""
    lines = csv.reader([line, ""], delimiter=delimiter, skipinitialspace=True)
    return sum(1 for _ in lines) == 1


def open_text(path: str | Path, table_format: "TableFormat") -> io.TextIOWrapper:
    """The text of a table, in the encoding that is set or that its byte-order mark tells.

    Raises:
        ValueError: if there is no such encoding.
    """
    handle = open_bytes(path)
    start = handle.read(4)
    handle.seek(0)
    encoding = table_format.encoding
    if not encoding:
        encoding = next((name for mark, name in _BOMS if start.startswith(mark)), "utf-8")
    try:
        return io.TextIOWrapper(handle, encoding, newline=None)
    except LookupError as error:
        raise ValueError(f"There is no --encoding {encoding!r}. Try latin-1 or utf-16.") from error


def _wrong_encoding(path: str | Path, error: UnicodeDecodeError) -> ValueError:
    return ValueError(
        f"'{path}' cannot be read: expected text in UTF-8 ({error}). Save it as UTF-8, or set "
        "--encoding to its own, such as latin-1, cp1252 or big5."
    )
