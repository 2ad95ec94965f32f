"""Lines of readings, one per time, as a stream reads them."""

import csv
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from socialgraph.calendar import check_years, read_stamps, to_utc

__all__ = ["ReadingTable"]


class ReadingTable:
    """Lines of readings, one per time: a column ``timestamp``, then one per detector.

    A column is named by the detector's id, or ``<id>:<feature>`` where there are several features.
    Cells are numbers, empty or ``nan`` where missing.

    Times are ISO 8601, with an offset from UTC or on the local clock. When that clock goes back in
    autumn, times of the hour that comes twice belong to its second pass once they jump back.

    Args:
        lines: the lines, the header first; one without an end is left unread, with a note, since it
            may still be written.
        vdids: detectors that are followed, N.
        features: features of the readings, F.
        timezone: zone of the local clock.
        known: time (UTC) of the last reading that was read before, from another input.

    Raises:
        ValueError: for a header or a line that cannot be read, with its number.
    """

    def __init__(
        self,
        lines: Iterable[str],
        vdids: list[str],
        features: list[str],
        timezone: str = "UTC",
        known: np.datetime64 | None = None,
    ) -> None:
        self._timezone = timezone
        self._last = known
        self._is_first = True
        self._lines = _whole_lines(lines)
        self.line_num = 0  # of the line that was read last, the header's is 1
        self._shape = (len(vdids), len(features))
        header = [name.strip("\ufeff \t") for name in self._cells() or ()]
        if not header:
            raise ValueError("Expected a header (got no whole line).")
        if len(header) < 2 or header[0] != "timestamp":
            raise ValueError(
                "Expected a header that starts with 'timestamp' and names detectors (got "
                f"{header[:2]})."
            )
        places = {f"{v}:{f}": (n, k) for n, v in enumerate(vdids) for k, f in enumerate(features)}
        if len(features) == 1:
            places |= {vdid: (row, 0) for row, vdid in enumerate(vdids)}
        unknown = [name for name in header[1:] if name not in places]
        if bare := [name for name in unknown if name in vdids]:
            raise ValueError(
                f"Expected columns with the name of their feature, one of {features}, as "
                f"'{bare[0]}:{features[0]}' (got '{bare[0]}')."
            )
        if unknown:
            form = "<id>" if len(features) == 1 else f"<id>:<feature> of {features}"
            raise ValueError(
                f"{len(unknown)} of {len(header) - 1} columns are no detectors that are followed, "
                f"among them {unknown[:5]}. Name them {form}; give new detectors with --detectors."
            )
        self._places = [places[name] for name in header[1:]]
        if len(set(self._places)) < len(self._places):
            raise ValueError("Expected every detector and feature in one column (got some twice).")
        named = {row for row, _ in self._places}
        self.silent = [vdid for row, vdid in enumerate(vdids) if row not in named]

    def __iter__(self) -> Iterator[tuple[np.datetime64, np.ndarray]]:
        """Time and readings ``[N, F]`` of every line, NaN where missing."""
        return self

    def __next__(self) -> tuple[np.datetime64, np.ndarray]:
        cells: list[str] | None = []
        while not cells:
            cells = self._cells()
            if cells is None:
                raise StopIteration
        try:
            return self._read(cells)
        except ValueError as error:  # the lines after it can be read
            raise ValueError(f"Line {self.line_num}: {error}") from error

    def _cells(self) -> list[str] | None:
        """Cells of the next line, None at the end; a quote that stays open ends with its line."""
        line = next(self._lines, None)
        if line is None:
            return None
        self.line_num += 1
        try:
            return next(csv.reader([line], strict=True), [])
        except csv.Error as error:
            raise ValueError(f"Line {self.line_num}: {error}") from error

    def _read(self, cells: list[str]) -> tuple[np.datetime64, np.ndarray]:
        if len(cells) != 1 + len(self._places):
            raise ValueError(f"expected {1 + len(self._places)} cells (got {len(cells)}).")
        time = self._utc(cells[0])
        values = np.array([float(cell) if cell.strip() else np.nan for cell in cells[1:]])
        if np.isinf(values).any():
            raise ValueError("expected finite numbers, or empty cells where missing (got inf).")
        readings = np.full(self._shape, np.nan, dtype=np.float32)
        readings[tuple(np.array(self._places).T)] = values
        return time, readings

    def _utc(self, text: str) -> np.datetime64:
        clocks, offset = read_stamps([text])
        if offset is not None:
            time = (clocks - offset)[0]
        else:
            passes = [to_utc(clocks, self._timezone, which)[0] for which in ("first", "second")]
            time = self._choose(passes, text)
        self._last, self._is_first = check_years(np.array([time]))[0], False
        return time

    def _choose(self, passes: list[np.datetime64], text: str) -> np.datetime64:
        """Which pass of the hour that comes twice is meant."""
        first, second = passes
        if first == second or self._last is None:
            return first
        if not self._is_first:
            return first if first >= self._last else second
        # What was read before is followed, or in part repeated: the nearer pass is meant.
        apart = [abs(time - self._last) for time in passes]
        if apart[0] == apart[1]:
            raise ValueError(
                f"expected a time with its offset from UTC, as {text!r} comes twice when clocks go "
                "back, and either can follow what was read before."
            )
        return passes[int(apart[1] < apart[0])]


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if line.endswith(("\n", "\r")):
            yield line
        else:
            said = f"The last line has no end and is left unread, as half written: {line[:40]!r}"
            print(said, file=sys.stderr)
            return
