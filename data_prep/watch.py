"""Documents of a folder taken into a file as they arrive."""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from data_prep.append import append
from data_prep.arrivals import Arrivals
from data_prep.clocks import round_blocks
from data_prep.convert import convert
from data_prep.detectors import DetectorTable
from data_prep.feed import Block, Feed
from data_prep.left_out import LeftOut, seconds_of
from data_prep.stream_lines import StreamLines
from socialgraph import schema
from socialgraph.axis import whole_seconds
from socialgraph.calendar import to_local

__all__ = ["watch"]

_PATIENCE = 60.0  # seconds in which a document may be half written
_MOST_AT_ONCE = 2000  # documents whose readings are in memory together, if that ends a step
_WRITTEN = "a step that was written before it came."
_BEFORE = "before the file begins. Convert it to a file of its own."


class _Document(NamedTuple):
    """A document that was read: when it arrived, its path, its readings, its detectors."""

    entry: tuple[int, str]
    blocks: list[Block]
    feed: Feed
    table: DetectorTable | None


def watch(args: Namespace) -> int:
    """Take the documents of ``args.folder`` into ``args.file`` as they arrive, until Ctrl-C.

    If the steps of the file are longer than those of the documents, a step is written when a
    document has arrived of which half the detectors are in a later one. What was taken is
    remembered beside the file, so that a watch that ends goes on where it stood; a document that is
    taken twice changes nothing. Readings that come too late or lie ahead of their document are
    left out, and told.

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
        args.left_out = LeftOut()
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
    """Take what has arrived; False if there was nothing that can be taken."""
    waiting = _read_waiting(args, arrivals)
    documents: list[_Document] = []
    while more := list(islice(waiting, _MOST_AT_ONCE)):
        documents += more
        tables = [document.table for document in more if document.table is not None]
        args.listed = tables[-1] if tables else args.listed
        kept, last = _whole_steps(args, path, documents, arrivals.read)
        if kept:
            _write(args, path, documents[-1].feed, kept)
        if kept or last is not None:
            arrivals.take(last, documents[-1].entry)
            return True
    if path.exists() and documents and documents[-1].entry > arrivals.read:
        arrivals.take(None, documents[-1].entry)
    return False


def _read_waiting(args: Namespace, arrivals: Arrivals) -> Iterator[_Document]:
    """The documents that can be read, up to the first one that may be half written."""
    for entry in arrivals.waiting():
        try:
            document = _read(args, entry)
        except (ValueError, OSError) as error:
            if time.time() - entry[0] / 1e9 < _PATIENCE and not args.once:
                return
            print(f"passed over: {error}", file=sys.stderr)
            arrivals.refuse(entry[1])
            continue
        yield document


def _read(args: Namespace, entry: tuple[int, str]) -> _Document:
    args.raw, args.located = [entry[1]], ()
    feed = args.read(args)
    rounded = None if args.round is None else whole_seconds(args.round)
    found = feed.blocks if rounded is None else round_blocks(feed.blocks, rounded)
    blocks = [args.left_out.without_ahead(block, entry[0] / 1e9) for block in found]
    return _Document(entry, blocks, feed, feed.detectors() if feed.detectors else None)


def _whole_steps(
    args: Namespace, path: Path, documents: list[_Document], read: tuple[int, str]
) -> tuple[list[Block], tuple[int, str] | None]:
    """The readings of steps that are complete, and the last document that is not needed again.

    Those that the file cannot take any more are told, of documents after ``read``.
    """
    step = documents[-1].feed.step
    interval = _interval(args, path)
    if interval is None or step is None or interval <= step:
        return _from(args, path, documents, read, None), documents[-1].entry
    if any(block.is_local for document in documents for block in document.blocks):
        raise ValueError(
            f"Times without an offset from UTC cannot be brought to {interval // 60} minutes while "
            "they arrive. Leave out --interval, and convert the file later."
        )
    end = max(map(_time_of, documents)) // interval * interval
    blocks = [b.rows(seconds_of(b) < end) for b in _from(args, path, documents, read, interval)]
    last = None
    for document in documents:  # those that have a reading of a step to come are read again
        if any((seconds_of(block) >= end).any() for block in document.blocks):
            break
        last = document.entry
    return [block for block in blocks if len(block)], last


def _time_of(document: _Document) -> int:
    """Seconds since 1970 that half the detectors have reached, as some clocks may be ahead."""
    latest: dict[str, int] = {}
    for block in document.blocks:
        vdids = np.array(block.vdids, dtype=object)[block.codes].tolist()
        for vdid, second in zip(vdids, seconds_of(block).tolist(), strict=True):
            latest[vdid] = max(second, latest.get(vdid, 0))
    return sorted(latest.values())[(len(latest) - 1) // 2] if latest else 0


def _from(
    args: Namespace,
    path: Path,
    documents: list[_Document],
    read: tuple[int, str],
    interval: int | None,
) -> list[Block]:
    """The readings that the file can take: after its last step, if steps are written when they are
    complete, else from its first one on."""
    blocks = [(block, d.entry <= read) for d in documents for block in d.blocks]
    if not path.exists():
        return [block for block, _ in blocks]
    outline = schema.read_outline(path)
    at = outline.timestamps[:1] if interval is None else outline.timestamps[-1:] + interval
    begins = [int(of.astype(np.int64)[0]) for of in (at, to_local(at, outline.timezone))]
    why = _BEFORE if interval is None else _WRITTEN
    return [args.left_out.without_late(b, begins[b.is_local], why, told) for b, told in blocks]


def _interval(args: Namespace, path: Path) -> int | None:
    """Seconds of a step of the file, if it is known."""
    minutes = args.interval
    if path.exists():
        minutes = schema.read_outline(path).interval_minutes
    return None if minutes is None else whole_seconds(minutes)


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
