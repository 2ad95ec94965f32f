"""Documents of a folder taken into a file as they arrive."""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from data_prep.append import append
from data_prep.arrivals import Arrivals
from data_prep.convert import convert
from data_prep.detectors import DetectorTable
from data_prep.feed import Block, Feed
from data_prep.stream_lines import StreamLines
from socialgraph import schema
from socialgraph.axis import whole_seconds

__all__ = ["watch"]

_START = np.datetime64(0, "s")
_PATIENCE = 60.0  # seconds in which a document may be half written
_MOST_AT_ONCE = 2000  # documents, of which the readings are in memory together


class _Document(NamedTuple):
    """A document that was read: when it arrived, its path, its readings, its detectors."""

    entry: tuple[int, str]
    blocks: list[Block]
    feed: Feed
    table: DetectorTable | None


def watch(args: Namespace) -> int:
    """Take the documents of ``args.folder`` into ``args.file`` as they arrive, until Ctrl-C.

    If the steps of the file are longer than those of the documents, a step is written when a
    document of a later one has arrived. What was taken is remembered beside the file, so that a
    watch that ends goes on where it stood; a document that is taken twice changes nothing.

    Args:
        args: options of the command; with ``once``, ends when all that is there has been taken.

    Raises:
        FileNotFoundError: if there is no such folder.
        KeyError, ValueError: as ``convert`` and ``append`` do.
    """
    if not Path(args.folder).is_dir():
        raise FileNotFoundError(f"No folder '{args.folder}'.")
    path = Path(args.file)
    arrivals = Arrivals(Path(args.folder), path)
    with _open_lines(args.lines) as out, redirect_stdout(sys.stderr):
        lines = None if out is None else StreamLines(path, out)
        args.listed = None  # the latest list of detectors that arrived
        while True:
            while _take(args, path, arrivals):
                if lines is not None:
                    lines.write_new()
            if args.once:
                return 0
            time.sleep(args.every * 60)


@contextmanager
def _open_lines(name: str | None) -> Iterator[TextIO | None]:
    if name is None or name == "-":
        yield None if name is None else sys.stdout
    else:
        with open(name, "a", encoding="utf-8", newline="") as out:
            yield out


def _take(args: Namespace, path: Path, arrivals: Arrivals) -> bool:
    """Take what has arrived; False if there was nothing."""
    documents = list(_read_waiting(args, arrivals))
    if not documents:
        return False
    tables = [document.table for document in documents if document.table is not None]
    args.listed = tables[-1] if tables else args.listed
    kept, last = _whole_steps(args, path, documents)
    if kept:
        _write(args, path, documents[-1].feed, kept)
    if last is not None:
        arrivals.take(last)
    return bool(kept) or last is not None


def _read_waiting(args: Namespace, arrivals: Arrivals) -> Iterator[_Document]:
    """The documents that can be read, up to the first one that may be half written."""
    for entry in arrivals.waiting()[:_MOST_AT_ONCE]:
        args.raw, args.located = [entry[1]], ()
        try:
            feed = args.read(args)
            blocks = list(feed.blocks)
        except ValueError as error:
            if time.time() - entry[0] / 1e9 < _PATIENCE and not args.once:
                return
            print(f"passed over: {error}", file=sys.stderr)
            arrivals.refuse(entry[1])
            continue
        yield _Document(entry, blocks, feed, feed.detectors() if feed.detectors else None)


def _whole_steps(
    args: Namespace, path: Path, documents: list[_Document]
) -> tuple[list[Block], tuple[int, str] | None]:
    """The readings of steps that are complete, and the last document that is not needed again."""
    step = documents[-1].feed.step
    interval = _interval(args, path)
    blocks = [block for document in documents for block in document.blocks]
    if interval is None or step is None or interval <= step:
        return blocks, documents[-1].entry
    if any(block.is_local for block in blocks):
        raise ValueError(
            f"Times without an offset from UTC cannot be brought to {interval // 60} minutes while "
            "they arrive. Leave out --interval, and convert the file later."
        )
    seconds = np.concatenate(
        [block.times.astype("datetime64[s]").astype(np.int64) for block in blocks]
    )
    end = int(seconds.max()) // interval * interval if len(seconds) else 0
    begin = _end_of(path, interval)
    kept = [_between(block, begin, end) for block in blocks]
    last = None
    for document in documents:  # those that have a reading of a step to come are read again
        later = [_between(block, end, None) for block in document.blocks]
        if any(map(len, later)):
            break
        last = document.entry
    return [block for block in kept if len(block)], last


def _interval(args: Namespace, path: Path) -> int | None:
    """Seconds of a step of the file, if it is known."""
    minutes = args.interval
    if path.exists():
        minutes = schema.read_outline(path).interval_minutes
    return None if minutes is None else whole_seconds(minutes)


def _end_of(path: Path, interval: int) -> int:
    """Seconds since 1970 up to which the file has steps."""
    if not path.exists():
        return 0
    return int(schema.read_outline(path).timestamps[-1].astype(np.int64)) + interval


def _between(block: Block, begin: int, end: int | None) -> Block:
    seconds = block.times.astype("datetime64[s]").astype(np.int64)
    inside = seconds >= begin
    return block.rows(inside if end is None else inside & (seconds < end))


def _write(args: Namespace, path: Path, feed: Feed, kept: list[Block]) -> None:
    def read(options: Namespace) -> Feed:
        detectors = None if options.detectors is not None else lambda: args.listed
        return replace(feed, blocks=iter(kept), detectors=detectors, tell=lambda report: None)

    options = Namespace(**vars(args), out=str(path))
    if path.exists():
        options.timezone = None
        print(append(path, options, read))
    else:
        if options.interval is None and feed.step is not None:
            options.interval = feed.step / 60  # the first documents may not follow each other
        convert(options, read)
