"""The command ``socialgraph stream``: readings in as they come, forecasts out."""

import argparse
import contextlib
import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from socialgraph.atomic import beside, refuse_replacing
from socialgraph.calendar import format_local, parse_stamps
from socialgraph.stream.durations import parse_keep
from socialgraph.stream.lines import ReadingTable
from socialgraph.stream.options import KEEP, add_stream_options, open_stream, read_detectors
from socialgraph.stream.outputs import CsvFile, StandardOutput
from socialgraph.stream.reader import StoreReader
from socialgraph.stream.screen import Screen
from socialgraph.stream.store import StreamStore
from socialgraph.stream.stored import StoredStream
from socialgraph.stream.tables import export

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """Follow readings from a file or the standard input, until it ends."""
    options = _parse(args)
    if options.export:
        _export(options)
    else:
        _run(options)


def _run(options: argparse.Namespace) -> None:
    output = None if options.output in ("-", "none") else Path(options.output)
    if output is not None:
        refuse_replacing(output, options.input, options.ckpt_path)
    path = options.state or _default_state(options.ckpt_path, options.input, output)
    used = (options.input, options.ckpt_path, output)
    if path.resolve() in [file.resolve() for file in used if file is not None]:
        raise ValueError(f"--state is a file that is read or written, '{path}'. Name another.")
    table_last = output is not None and output.suffix == ".parquet"
    keep = options.keep or ("all" if table_last else KEEP)  # the table is of what is kept
    stream = open_stream(options)
    with StreamStore(path, parse_keep(keep)) as store:
        stored = StoredStream(stream, store, options.restart_after_gap, options.save_every)
        if options.detectors:
            stream.set_detectors(*read_detectors(options.detectors))
        with _open_input(options.input) as lines, contextlib.ExitStack() as stack:
            spec = stream.spec
            table = ReadingTable(lines, spec.vdids, spec.features, spec.timezone, stream.time)
            if table.silent:
                _say(f"{len(table.silent)} detectors have no column, among them {table.silent[:5]}")
            out = _open_output(options.output, output, store)
            if out is not None:
                stack.enter_context(contextlib.closing(out))
            screen = Screen(spec, options.null_value)
            try:
                _follow(stored, table, screen, out, options.skip_refused)
            except Exception:
                _tell_counts(stored, screen)
                raise
            _tell_counts(stored, screen)
        if output is not None and table_last:
            if not _export_to(path, output, parse_keep(keep)):
                _say(f"'{output}' is not written, as nothing was forecast.")
            elif keep != "all":
                _say(f"'{output}' holds what was forecast in the last {keep} (--keep).")
    _say(f"State: {path}")


def _follow(
    stored: StoredStream,
    table: ReadingTable,
    screen: Screen,
    out: CsvFile | StandardOutput | None,
    skip_refused: bool,
) -> None:
    """Forecast after every line that is new, and keep what comes of it."""

    def give(unsaved: list[np.datetime64]) -> None:
        if out is not None and unsaved and not stored.unsaved:
            out.write(unsaved)

    def save() -> None:
        unsaved = stored.unsaved
        stored.save()
        give(unsaved)
        stored.store.commit()  # of what the output has marked

    while True:
        try:
            line = next(table, None)
            if line is None:
                break
            time, readings = line
            unsaved = [*stored.unsaved, time]
            if _read(stored, table.line_num, time, screen.apply(readings)) == "read":
                give(unsaved)
        except ValueError as error:
            stored.counts["refused"] += 1
            if not skip_refused:
                save()  # what was before it is kept
                raise
            _say(f"Left out: {error}")
        except OSError:
            raise
        except Exception:  # of the network
            save()
            raise
    save()


def _read(stored: StoredStream, line: int, time: np.datetime64, readings: np.ndarray) -> str:
    try:
        return stored.read(time, readings)
    except ValueError as error:
        raise ValueError(f"Line {line}: {error}") from error


def _tell_counts(stored: StoredStream, screen: Screen) -> None:
    counts = stored.counts
    left = [f"{counts[name]} {name}" for name in ("old", "repeated", "refused") if counts[name]]
    said = f"Lines read: {counts['read']}."
    if left:
        said += f" Left out: {', '.join(left)}."
    if stored.stream.time is not None and (counts["old"] or counts["repeated"]):
        last = format_local(np.array([stored.stream.time]), stored.stream.spec.timezone)[0]
        said += f" The state knows all until {last}."
    if screen.num_null:
        said += f" Null values read as missing: {screen.num_null}."
    if screen.num_outside:
        said += f" Implausible readings read as missing: {screen.num_outside}."
    _say(said)


def _export(options: argparse.Namespace) -> None:
    if options.state is None:
        raise ValueError("--export writes what a file of a stream holds: name it with --state.")
    with StoreReader(options.state) as reader:
        zone = reader.get("form", {}).get("timezone", "UTC")
        since, until = (
            None if text is None else parse_stamps([text], zone, "first")[0]
            for text in (options.since, options.until)
        )
        count = export(reader, options.export, since, until)
    _say(f"Forecasts of {count} times: {options.export}")


def _export_to(state: Path, path: Path, keep: np.timedelta64 | None) -> int:
    """Write a table of what is kept for so long, if there is something; the number of its times."""
    with StoreReader(state) as reader:
        last = reader.last()
        if last is None:
            return 0
        return export(reader, path, None if keep is None else last - keep)


def _open_output(
    text: str, path: Path | None, store: StreamStore
) -> CsvFile | StandardOutput | None:
    if text == "-":
        return StandardOutput(store)
    if path is None or path.suffix == ".parquet":
        return None
    return CsvFile(path, store)


def _default_state(checkpoint: Path, source: Path, output: Path | None) -> Path:
    """A file of its own for each output, or for each input and checkpoint if there is none."""
    if output is not None:
        return output.with_name(f"{output.name}.stream.db")
    if str(source) == "-":
        return beside(checkpoint, "stdin.stream.db")
    place = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:8]
    return beside(checkpoint, f"{source.stem}-{place}.stream.db")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _open_input(path: Path) -> contextlib.AbstractContextManager[TextIO]:
    # A byte that is not UTF-8 is refused with its line, and does not end the input.
    if str(path) == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")
        return contextlib.nullcontext(sys.stdin)
    return open(path, newline="", encoding="utf-8-sig", errors="surrogateescape")


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "socialgraph stream",
        description="Read readings as they come, one line per time, and forecast after each. State "
        "and forecasts are kept in one SQLite file; a command that was killed goes on where it "
        "stood.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--input", type=Path, help="CSV with 'timestamp' and a column per detector; '-': stdin")
    add(
        "--output",
        default="-",
        help="CSV to append forecasts to, .parquet to write in the end (of all that is kept: "
        "without --keep of all), '-': stdout, or 'none'",
    )
    add("--save_every", type=int, default=1, help="lines that are kept at once")
    add("--skip_refused", action="store_true", help="tell of a line that is refused, and go on")
    add("--export", type=Path, help="write what --state holds as .csv or .parquet, and end")
    add("--since", help="first time of issue to export")
    add("--until", help="last time of issue to export")
    add_stream_options(parser)
    options = parser.parse_args(args)
    needed = () if options.export else ("ckpt_path", "input")
    if missing := [f"--{name}" for name in needed if getattr(options, name) is None]:
        parser.error(f"expected {' and '.join(missing)}.")
    if options.save_every < 1 or options.max_gap < 0:
        parser.error("expected --save_every of 1 or more and --max_gap of 0 or more.")
    return options
