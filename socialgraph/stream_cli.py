"""The command ``socialgraph stream``: readings in as they come, forecasts out."""

import argparse
import contextlib
import csv
import sys
import warnings
from collections.abc import Iterator, Sequence
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
        lines: the lines, the header first.
        vd_ids: detectors that are followed, N.
        features: features of the readings, F.

    Raises:
        ValueError: for a header or a line that cannot be read, with its number.
    """

    def __init__(self, lines: TextIO, vd_ids: list[str], features: list[str]) -> None:
        self._rows = csv.reader(lines)
        self._shape = (len(vd_ids), len(features))
        header = next(self._rows, None)
        if not header or header[0] != "timestamp":
            raise ValueError(
                f"Expected a header that starts with 'timestamp' (got {header and header[0]!r})."
            )
        places = {f"{v}:{f}": (n, k) for n, v in enumerate(vd_ids) for k, f in enumerate(features)}
        if len(features) == 1:
            places |= {vdid: (row, 0) for row, vdid in enumerate(vd_ids)}
        unknown = [name for name in header[1:] if name not in places]
        if unknown:
            form = "<id>" if len(features) == 1 else f"<id>:<feature> of {features}"
            raise ValueError(
                f"{len(unknown)} of {len(header) - 1} columns are no detectors that are followed, "
                f"among them {unknown[:5]}. Name them {form}; give new detectors with --detectors."
            )
        self._places = [places[name] for name in header[1:]]
        if len(set(self._places)) < len(self._places):
            raise ValueError("Expected every detector and feature in one column (got some twice).")
        self.silent = [v for n, v in enumerate(vd_ids) if n not in {n for n, _ in self._places}]

    def __iter__(self) -> Iterator[tuple[np.datetime64, np.ndarray]]:
        """Time and readings ``[N, F]`` of every line, NaN where missing."""
        for cells in self._rows:
            if not cells:
                continue
            try:
                yield self._read(cells)
            except ValueError as error:
                raise ValueError(f"Line {self._rows.line_num}: {error}") from error

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

    Args:
        path: file to append to, or None for the standard output.
        targets: names of the forecast features.
        written: bytes that are known to be whole; what stands after them is cut off.
    """

    def __init__(self, path: Path | None, targets: list[str], written: int | None = None) -> None:
        self._file = sys.stdout if path is None else _open_at(path, written)
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._is_file = path is not None
        if not self._is_file or self._file.tell() == 0:
            self._rows.writerow(["issued", "timestamp", "step", "vdid", *targets])

    def write(
        self, issued: np.datetime64, step_length: np.timedelta64, vd_ids: list[str], forecast
    ) -> int | None:
        """Add forecasts ``[P, N, F]``; returns the size of the file, None for no file."""
        for node, vdid in enumerate(vd_ids):
            for step, values in enumerate(forecast[:, node].tolist(), start=1):
                time = issued + step * step_length
                self._rows.writerow([issued, time, step, vdid, *(f"{v:.6g}" for v in values)])
        self._file.flush()
        return self._file.tell() if self._is_file else None

    def close(self) -> None:
        """Close the file."""
        if self._is_file:
            self._file.close()


def main(args: Sequence[str] | None = None) -> None:
    """Follow readings from a file or the standard input, until it ends."""
    options = _parse(args)
    try:
        _run(options)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")


def _run(options: argparse.Namespace) -> None:
    if not options.ckpt.is_file():
        raise ValueError(f"--ckpt: no file '{options.ckpt}'.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forecaster = Forecaster.load_from_checkpoint(
            options.ckpt, map_location=options.device, weights_only=True
        )
    stream = StreamingForecaster(forecaster, options.max_gap)
    path = options.state or options.ckpt.with_suffix(".stream.pt")
    kept = stream.load(path) if path.is_file() else {}
    if options.detectors:
        stream.set_detectors(*_read_detectors(options.detectors))
    output = None if str(options.output) == "-" else options.output
    same_output = output is not None and kept.get("output") == str(output.resolve())
    log = ForecastLog(output, stream.targets, kept["written"] if same_output else None)
    resumed, count, skipped = stream.time, 0, 0
    with contextlib.closing(log), _open_input(options.input) as lines:
        table = ReadingTable(lines, stream.vd_ids, stream.data["features"])
        if table.silent:
            _say(f"{len(table.silent)} detectors have no column, among them {table.silent[:5]}")
        for time, readings in table:
            if resumed is not None and time <= resumed:
                skipped += 1
                continue
            forecast = stream.update(time, readings)
            written = log.write(time, stream.step_length, stream.vd_ids, forecast)
            count += 1
            if count % options.save_every == 0:
                stream.save(path, _kept(output, written))
        if count % options.save_every:
            stream.save(path, _kept(output, written))
    past = f", {skipped} were read before" if skipped else ""
    _say(f"{count} lines read{past}; state: {path}")


def _kept(output: Path | None, written: int | None) -> dict:
    return {} if output is None else {"output": str(output.resolve()), "written": written}


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _open_input(path: Path) -> contextlib.AbstractContextManager[TextIO]:
    if str(path) == "-":
        return contextlib.nullcontext(sys.stdin)
    return open(path, newline="")


def _open_at(path: Path, written: int | None) -> TextIO:
    """Open a file to append to, after cutting off what a killed process did not finish."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a", newline="")  # noqa: SIM115, closed by ForecastLog
    if written is not None and file.tell() > written:
        file.truncate(written)
        file.seek(written)
    return file


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
