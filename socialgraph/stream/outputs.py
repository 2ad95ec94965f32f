"""Where the forecasts of a stream go besides its file: a CSV that grows, or the standard output."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from socialgraph.stream.reader import StoreReader
from socialgraph.stream.store import StreamStore
from socialgraph.stream.tables import csv_header, csv_rows

__all__ = ["CsvFile", "StandardOutput"]


class StandardOutput:
    """Prints forecasts as CSV, each once at most; what a kill cuts off is in the stream's file.

    Args:
        store: the file of the stream.
    """

    def __init__(self, store: StreamStore) -> None:
        self._reader = StoreReader(store.path)
        self._form = self._reader.get("form")
        self._print(csv_header(self._form))

    def write(self, issued: list[np.datetime64]) -> None:
        """Print the forecasts of these times, which are committed."""
        self._print(_rows(self._reader, self._form, issued))

    def close(self) -> None:
        """Close what was read."""
        self._reader.close()

    def _print(self, lines: bytes) -> None:
        sys.stdout.write(lines.decode())
        sys.stdout.flush()


class CsvFile:
    """A CSV to which forecasts are appended after they are in the file of the stream.

    The file of the stream knows how far the CSV was written; a CSV that was killed behind it is
    completed from there, so that it has the lines of a run without a kill.

    Args:
        path: the CSV.
        store: the file of the stream.

    Raises:
        ValueError: if the CSV holds what this stream did not write; it is left as it is.
        OSError: if it cannot be read or written.
    """

    def __init__(self, path: Path, store: StreamStore) -> None:
        self._path, self._store = path, store
        self._name = f"output {path.resolve()}"
        self._reader = StoreReader(store.path)
        self._form = self._reader.get("form")
        self._last = self._reader.last()
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.is_file() and path.stat().st_size > 0
        behind = self._missing() if begun else csv_header(self._form)
        self._file = open(path, "ab")  # noqa: SIM115
        self._append(behind)
        self.mark()
        store.commit()

    def write(self, issued: list[np.datetime64]) -> None:
        """Append the forecasts of these times, which are committed."""
        self._append(_rows(self._reader, self._form, issued))
        self._last = issued[-1]
        self.mark()  # is committed with the next readings, or by the end

    def mark(self) -> None:
        """Let the file of the stream know how far the CSV is written."""
        os.fsync(self._file.fileno())
        size = self._file.tell()
        last = None if self._last is None else str(self._last)
        mark = {"last": last, "size": size, "tail": _tail(self._path, size)}
        self._store.set(self._name, mark)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._reader.close()

    def _append(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()

    def _missing(self) -> bytes:
        """The lines that a kill left out; refuses a file that others have written to."""
        header = csv_header(self._form)
        mark: dict[str, Any] | None = self._store.get(self._name)
        with open(self._path, "rb") as file:
            first = file.readline()
        if mark is None and first != header and header.startswith(first):  # killed in its header
            return header[len(first) :]
        if first != header:
            raise ValueError(
                f"--output: '{self._path}' is no table of these forecasts. Name another file."
            )
        if mark is None:  # of another stream, to which this one appends
            return b""
        last = None if mark["last"] is None else np.datetime64(mark["last"])
        after = [time for time in self._reader.issued(last) if time != last]
        lines = _rows(self._reader, self._form, after)
        with open(self._path, "rb") as file:
            file.seek(mark["size"])
            rest = file.read()
        ours = _tail(self._path, mark["size"]) == mark["tail"]
        if not ours or self._path.stat().st_size < mark["size"] or not lines.startswith(rest):
            raise ValueError(
                f"--output: '{self._path}' holds lines that this stream did not write. Move it "
                "away, or name another file."
            )
        return lines[len(rest) :]


def _rows(reader: StoreReader, form: dict[str, Any], issued: list[np.datetime64]) -> bytes:
    found = (reader.forecast(time) for time in issued)
    return b"".join(csv_rows(forecast, form) for forecast in found if forecast is not None)


def _tail(path: Path, size: int) -> str:
    """Hash of the last bytes before a place."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 4096))
        return hashlib.sha256(file.read(min(size, 4096))).hexdigest()
