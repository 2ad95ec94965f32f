"""The command ``socialgraph stream``: readings in as they come, forecasts out."""

import argparse
import contextlib
import csv
import hashlib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow.csv
import torch

from socialgraph.forecaster import Forecaster
from socialgraph.stream import StreamingForecaster

__all__ = ["ReadingTable", "main"]


class ReadingTable:
    """Lines of readings, one per time: a column ``timestamp``, then one per detector.

    A column is named by the detector's id, or ``<id>:<feature>`` where there are several features.
    Cells are numbers, empty or ``nan`` where missing.

    Args:
        lines: the lines, the header first; one without an end is left unread, with a note, since it
            may still be written.
        vd_ids: detectors that are followed, N.
        features: features of the readings, F.

    Raises:
        ValueError: for a header or a line that cannot be read, with its number.
    """

    def __init__(self, lines: Iterable[str], vd_ids: list[str], features: list[str]) -> None:
        self._rows = csv.reader(_whole_lines(lines), strict=True)
        self._shape = (len(vd_ids), len(features))
        header = [name.strip("\ufeff \t") for name in next(self._rows, [])]
        if not header:
            raise ValueError("Expected a header (got no whole line).")
        if len(header) < 2 or header[0] != "timestamp":
            raise ValueError(
                "Expected a header that starts with 'timestamp' and names detectors (got "
                f"{header[:2]})."
            )
        places = {f"{v}:{f}": (n, k) for n, v in enumerate(vd_ids) for k, f in enumerate(features)}
        if len(features) == 1:
            places |= {vdid: (row, 0) for row, vdid in enumerate(vd_ids)}
        unknown = [name for name in header[1:] if name not in places]
        if bare := [name for name in unknown if name in vd_ids]:
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
        self.silent = [vdid for row, vdid in enumerate(vd_ids) if row not in named]

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
        time = datetime.fromisoformat(cells[0].strip())
        if time.tzinfo is not None:
            raise ValueError(
                "expected a time on the local clock of the training data, without an offset from "
                f"UTC (got {cells[0]!r})."
            )
        values = np.array([float(cell) if cell.strip() else np.nan for cell in cells[1:]])
        if np.isinf(values).any():
            raise ValueError("expected finite numbers, or empty cells where missing (got inf).")
        readings = np.full(self._shape, np.nan, dtype=np.float32)
        readings[tuple(np.array(self._places).T)] = values
        return np.datetime64(time, "s"), readings


class ForecastLog:
    """Forecasts as CSV, one row per detector and step, as ``predict`` writes them.

    A file is gone on with where :meth:`mark` left it; rows that a killed process wrote after that
    are cut off.

    Args:
        path: file to append to, or None for the standard output.
        targets: names of the forecast features.
        mark: what :meth:`mark` gave for this file, None at its start.
        time: of the last reading that the mark knows.

    Raises:
        ValueError: where the file holds what this stream did not write.
    """

    def __init__(
        self,
        path: Path | None,
        targets: list[str],
        mark: dict | None = None,
        time: np.datetime64 | None = None,
    ) -> None:
        self._header = ["issued", "timestamp", "step", "vdid", *targets]
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                _cut(path, ",".join(self._header), mark, time)
        self._file = sys.stdout if path is None else open(path, "a", newline="")  # noqa: SIM115
        self._rows = csv.writer(self._file, lineterminator="\n")
        if path is None or self._file.tell() == 0:
            self._rows.writerow(self._header)
            self._file.flush()

    def write(
        self, issued: np.datetime64, step_length: np.timedelta64, vd_ids: list[str], forecast
    ) -> None:
        """Add forecasts ``[P, N, F]``."""
        for node, vdid in enumerate(vd_ids):
            for step, values in enumerate(forecast[:, node].tolist(), start=1):
                time = issued + step * step_length
                self._rows.writerow([issued, time, step, vdid, *(f"{v:.6g}" for v in values)])
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
    options = _parse(args)
    try:
        _run(options)
    except (ValueError, OSError, RuntimeError, csv.Error) as error:
        sys.exit(f"error: {error}")


def _run(options: argparse.Namespace) -> None:
    if not options.ckpt.is_file():
        raise ValueError(f"--ckpt: no file '{options.ckpt}'.")
    output = None if str(options.output) == "-" else options.output
    if output is not None and output.resolve() == options.input.resolve():
        raise ValueError(f"--output is the file that is read, '{options.input}'.")
    stream = StreamingForecaster(_load(options.ckpt, options.device), options.max_gap)
    path = options.state or options.ckpt.with_suffix(".stream.pt")
    mark = stream.load(path) if path.is_file() else {}
    if options.detectors:
        stream.set_detectors(*_read_detectors(options.detectors))
    if output is None or mark.get("path") != str(output.resolve()):
        mark = None
    with _open_input(options.input) as lines:
        table = ReadingTable(lines, stream.vd_ids, stream.data["features"])
        if table.silent:
            _say(f"{len(table.silent)} detectors have no column, among them {table.silent[:5]}")
        log = ForecastLog(output, stream.targets, mark, stream.time)
        with contextlib.closing(log):
            stream.save(path, log.mark())
            count = _follow(stream, table, log, path, options.save_every)
    _say(f"Lines read: {count}. State: {path}")


def _follow(
    stream: StreamingForecaster, table: ReadingTable, log: ForecastLog, path: Path, save_every: int
) -> int:
    """Forecast after every line that is new and keep the state; the number of lines."""
    count, known = 0, stream.time
    try:
        for time, readings in table:
            if known is not None and time <= known:
                continue
            try:
                forecast = stream.update(time, readings)
            except ValueError as error:
                raise ValueError(f"Line {table.line_num}: {error}") from error
            log.write(time, stream.step_length, stream.vd_ids, forecast)
            count += 1
            if count % save_every == 0:
                stream.save(path, log.mark())
    except ValueError:  # of a line that was not read: what was before it is kept
        stream.save(path, log.mark())
        raise
    stream.save(path, log.mark())
    return count


def _load(path: Path, device: str) -> Forecaster:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Forecaster.load_from_checkpoint(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError(
            f"--ckpt: '{path}' is no checkpoint of 'socialgraph fit': {error}"
        ) from error


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
    """Whether a line, or a piece of one, can be of a forecast after a time."""
    issued = line.split(",")[0]
    is_time = re.fullmatch(r"[\d:T-]*", issued) is not None
    return is_time and (len(issued) < len(str(time)) or issued > str(time))


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
    add("--ckpt", type=Path, required=True, help="checkpoint of 'socialgraph fit'")
    add("--input", type=Path, required=True, help="CSV with 'timestamp' and a column per detector")
    add("--output", type=Path, default="-", help="CSV to append forecasts to; '-': standard output")
    add("--state", type=Path, help="file of the state; by default beside the checkpoint")
    add("--detectors", type=Path, help="CSV with vdid, lat, lon of those to follow from now on")
    add("--max_gap", type=int, default=288, help="missing steps after which it starts anew")
    add("--save_every", type=int, default=1, help="lines after which the state is kept")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    options = parser.parse_args(args)
    if options.save_every < 1 or options.max_gap < 0:
        parser.error("expected --save_every of 1 or more and --max_gap of 0 or more.")
    return options
