"""The command ``socialgraph stream``: readings in as they come, forecasts out."""

import argparse
import contextlib
import csv
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import pyarrow.csv

from socialgraph.calendar import check_years, format_local, read_stamps, to_utc
from socialgraph.shell import split_names

if TYPE_CHECKING:  # what computes is imported when the options are read, so that --help is quick
    from torch import Tensor

    from socialgraph.spec import DataSpec
    from socialgraph.stream import StreamingForecaster

__all__ = ["ReadingTable", "main"]


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
        null_values: numbers that mean missing.

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
        null_values: Sequence[float] = (),
    ) -> None:
        self._timezone = timezone
        self._null_values = list(null_values)
        self.num_null = 0
        self._last = known
        self._is_first = True
        self._rows = csv.reader(_whole_lines(lines), strict=True)
        self._shape = (len(vdids), len(features))
        header = [name.strip("\ufeff \t") for name in next(self._rows, [])]
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

    @property
    def line_num(self) -> int:
        """Number of the line that was read last, the header's is 1."""
        return self._rows.line_num

    def __iter__(self) -> Iterator[tuple[np.datetime64, np.ndarray]]:
        """Time and readings ``[N, F]`` of every line, NaN where missing."""
        while True:
            try:
                cells = next(self._rows)
                if cells:
                    yield self._read(cells)
            except StopIteration:
                return
            except (ValueError, csv.Error) as error:
                raise ValueError(f"Line {self.line_num}: {error}") from error

    def _read(self, cells: list[str]) -> tuple[np.datetime64, np.ndarray]:
        if len(cells) != 1 + len(self._places):
            raise ValueError(f"expected {1 + len(self._places)} cells (got {len(cells)}).")
        time = self._utc(cells[0])
        values = np.array([float(cell) if cell.strip() else np.nan for cell in cells[1:]])
        if np.isinf(values).any():
            raise ValueError("expected finite numbers, or empty cells where missing (got inf).")
        null = np.isin(values, self._null_values)
        self.num_null += int(null.sum())
        values[null] = np.nan
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


class ForecastLog:
    """Forecasts as CSV, one row per detector and step, as ``predict`` writes them.

    A file is gone on with where :meth:`mark` left it; rows that a killed process wrote after that
    are cut off.

    Args:
        path: file to append to, or None for the standard output.
        spec: what is forecast.
        mark: what :meth:`mark` gave for this file, None at its start.
        time: of the last reading that the mark knows.

    Raises:
        ValueError: where the file holds what this stream did not write.
    """

    def __init__(
        self,
        path: Path | None,
        spec: "DataSpec",
        mark: dict | None = None,
        time: np.datetime64 | None = None,
    ) -> None:
        self._header = ["issued", "time", "step", "detector", *spec.targets]
        self._path = path
        self._spec = spec
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                _cut(path, ",".join(self._header), mark, time)
        self._file = sys.stdout if path is None else open(path, "a", newline="")  # noqa: SIM115
        self._rows = csv.writer(self._file, lineterminator="\n")
        if path is None or self._file.tell() == 0:
            self._rows.writerow(self._header)
            self._file.flush()

    def write(self, issued: np.datetime64, vdids: list[str], forecast: "Tensor") -> None:
        """Add forecasts ``[P, N, F]`` after the reading at ``issued`` (UTC)."""
        ahead = self._spec.times(np.array([issued]))[0]
        begin, *times = format_local(np.array([issued, *ahead]), self._spec.timezone)
        for node, vdid in enumerate(vdids):
            for step, values in enumerate(forecast[:, node].tolist(), start=1):
                row = [begin, times[step - 1], step, vdid, *(f"{v:.6g}" for v in values)]
                self._rows.writerow(row)
        self._file.flush()

    def mark(self) -> dict:
        """What is needed to go on with the file: its path, size and last bytes; {} for none."""
        if self._path is None:
            return {}
        size = self._file.tell()
        return {"path": str(self._path.resolve()), "size": size, "tail": _tail(self._path, size)}

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            self._file.close()


def main(args: Sequence[str] | None = None) -> None:
    """Follow readings from a file or the standard input, until it ends."""
    try:
        _run(_parse(args))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _run(options: argparse.Namespace) -> None:
    output = None if str(options.output) == "-" else options.output
    if output is not None and output.resolve() == options.input.resolve():
        raise ValueError(f"--output is the file that is read, '{options.input}'.")
    import torch

    from socialgraph.forecaster import load
    from socialgraph.stream import StreamingForecaster

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    stream = StreamingForecaster(
        load(options.ckpt_path, device, split_names(options.trust)),
        options.max_gap,
        options.memory,
    )
    path = options.state or options.ckpt_path.with_suffix(".stream.pt")
    mark: dict | None = stream.load(path) if path.is_file() else {}
    if options.detectors:
        stream.set_detectors(*_read_detectors(options.detectors))
    if output is None or mark is None or mark.get("path") != str(output.resolve()):
        mark = None
    with _open_input(options.input) as lines:
        table = ReadingTable(
            lines,
            stream.vdids,
            stream.spec.features,
            stream.spec.timezone,
            stream.time,
            options.null_value,
        )
        if table.silent:
            _say(f"{len(table.silent)} detectors have no column, among them {table.silent[:5]}")
        log = ForecastLog(output, stream.spec, mark, stream.time)
        with contextlib.closing(log):
            stream.save(path, log.mark())
            count = _follow(stream, table, log, path, options.save_every, options.restart_after_gap)
    nulls = f" Null values read as missing: {table.num_null}." if options.null_value else ""
    _say(f"Lines read: {count}.{nulls} State: {path}")


def _follow(
    stream: "StreamingForecaster",
    table: ReadingTable,
    log: ForecastLog,
    path: Path,
    save_every: int,
    restart: bool,
) -> int:
    """Forecast after every line that is new and keep the state; the number of lines."""
    count, known, old = 0, stream.time, 0
    try:
        for time, readings in table:
            if known is not None and time < known:
                old += 1
                continue
            if time == stream.time:
                _check_repeated(stream, table.line_num, readings)
                continue
            _check_jump(stream, time, table.line_num, restart)
            try:
                forecast = stream.update(time, readings)
            except ValueError as error:
                raise ValueError(f"Line {table.line_num}: {error}") from error
            log.write(time, stream.vdids, forecast)
            count += 1
            if count % save_every == 0:
                stream.save(path, log.mark())
    except ValueError:  # of a line that was not read: what was before it is kept
        stream.save(path, log.mark())
        raise
    stream.save(path, log.mark())
    if old:
        since = format_local(np.array([known]), stream.spec.timezone)[0]
        _say(f"Lines left out: {old}, of times before {since}, which the state knows.")
    return count


def _check_jump(
    stream: "StreamingForecaster", time: np.datetime64, line: int, restart: bool
) -> None:
    """Refuse a time so far ahead that it may be wrong: all right ones would then be too old."""
    if stream.time is None or restart:
        return
    missed = (time - stream.time) / stream.spec.step - 1
    if missed > stream.max_gap:
        before, after = format_local(np.array([stream.time, time]), stream.spec.timezone)
        raise ValueError(
            f"Line {line}: jumps from {before} to {after}, {missed:.0f} steps ahead. If the time "
            "is wrong, mend the line; if readings were lost that long, start anew with "
            "--restart_after_gap (or read up to --max_gap steps as missing)."
        )


def _check_repeated(stream: "StreamingForecaster", line: int, readings: np.ndarray) -> None:
    """Refuse a line that repeats the last time with other readings than those that were read."""
    if stream.readings is None:  # detectors have changed since
        return
    before = stream.readings.cpu().numpy()
    differs = ~((before == readings) | (np.isnan(before) & np.isnan(readings))).all(axis=1)
    if differs.any():
        time = format_local(np.array([stream.time]), stream.spec.timezone)[0]
        names = [stream.vdids[row] for row in np.flatnonzero(differs)[:5]]
        raise ValueError(
            f"Line {line}: repeats {time} with other readings of {int(differs.sum())} detectors, "
            f"among them {names}. Send a time once, and in the hour that comes twice in autumn "
            "give times with their offset from UTC."
        )


def _cut(path: Path, header: str, mark: dict | None, time: np.datetime64 | None) -> None:
    """Cut off what was written after the mark; refuse a file that others have written to."""
    with open(path, "r+b") as file:
        first = file.readline().decode(errors="replace")
        size = file.seek(0, 2)
        if first and first != header + "\n":
            raise ValueError(
                f"--output: '{path}' is no table of these forecasts. Name another file."
            )
        if mark is None:
            return
        file.seek(mark["size"])
        rest = file.read().decode(errors="replace").splitlines()
        ours = size >= mark["size"] and _tail(path, mark["size"]) == mark["tail"]
        later = [time is None or _issued_after(line, time) for line in rest]
        if not ours or not all(later):
            raise ValueError(
                f"--output: '{path}' holds lines that this stream did not write. Move it away, or "
                "name another file."
            )
        file.truncate(mark["size"])


def _issued_after(line: str, time: np.datetime64) -> bool:
    """Whether a line, or a piece of one, can be of a forecast after a time (UTC)."""
    issued = line.split(",")[0]
    if re.fullmatch(r"[\d:T-]{19}[+-]\d\d:\d\d", issued):
        clocks, offset = read_stamps([issued])
        return (clocks - offset)[0] > time
    return re.fullmatch(r"[\d:T+-]*", issued) is not None


def _tail(path: Path, size: int) -> str:
    """Hash of the last bytes before a place."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 4096))
        return hashlib.sha256(file.read(min(size, 4096))).hexdigest()


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if line.endswith(("\n", "\r")):
            yield line
        else:
            _say(f"The last line has no end and is left unread, as half written: {line[:40]!r}")
            return


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _open_input(path: Path) -> contextlib.AbstractContextManager[TextIO]:
    if str(path) == "-":
        return contextlib.nullcontext(sys.stdin)
    return open(path, newline="", encoding="utf-8-sig")


def _read_detectors(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    options = pyarrow.csv.ConvertOptions(column_types={"vdid": "string"})
    table = pyarrow.csv.read_csv(path, convert_options=options)
    if missing := {"vdid", "lat", "lon"} - set(table.column_names):
        raise ValueError(
            f"'{path}' has no column {sorted(missing)}; it holds {table.column_names}."
        )
    lat, lon = (table[name].to_numpy().astype(np.float64) for name in ("lat", "lon"))
    return table["vdid"].to_pylist(), lat, lon


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "socialgraph stream",
        description="Read readings as they come, one line per time, and write forecasts. The state "
        "is kept after each line; a command that was killed goes on where it stood.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--ckpt_path", type=Path, required=True, help="checkpoint of 'socialgraph fit'")
    add("--trust", default="", help="packages whose classes the checkpoint may name, with commas")
    add("--input", type=Path, required=True, help="CSV with 'timestamp' and a column per detector")
    add("--output", type=Path, default="-", help="CSV to append forecasts to; '-': standard output")
    add("--null_value", type=float, nargs="+", default=[], help="numbers that mean missing")
    add("--state", type=Path, help="file of the state; by default beside the checkpoint")
    add("--detectors", type=Path, help="CSV with vdid, lat, lon of those to follow from now on")
    add(
        "--memory",
        choices=["window", "state"],
        default="window",
        help="the last window, read again; or the state of an encoder that carries one",
    )
    add(
        "--max_gap", type=int, default=288, help="most missing steps in a row that are read as such"
    )
    add("--restart_after_gap", action="store_true", help="start anew after more missing steps")
    add("--save_every", type=int, default=1, help="lines after which the state is kept")
    add("--device", help="'cpu' or 'cuda' (default: 'cuda' where there is one)")
    options = parser.parse_args(args)
    if options.save_every < 1 or options.max_gap < 0:
        parser.error("expected --save_every of 1 or more and --max_gap of 0 or more.")
    return options
