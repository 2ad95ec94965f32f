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
from data_prep.clocks import Clocks, blocks_in_utc, round_blocks
from data_prep.convert import convert
from data_prep.detectors import DetectorTable
from data_prep.durations import tell_seconds
from data_prep.feed import Block, Feed
from data_prep.left_out import LeftOut, seconds_of
from data_prep.options import zone_of
from data_prep.steps import DistanceError, OffGridError
from data_prep.stream_lines import StreamLines
from socialgraph import schema
from socialgraph.atomic import one_writer
from socialgraph.axis import SeriesError, whole_seconds
from socialgraph.calendar import ClockError, to_local

__all__ = ["watch"]

_PATIENCE = 60.0  # seconds in which a document may be half written
_MOST_AT_ONCE = 2000  # documents whose readings are in memory together, if that ends a step
_UNFIT = (SeriesError, ClockError)  # what is wrong with readings, and not with options
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
    left out, and told; so are documents that contradict what was taken before, or whose times are
    off its grid or have no place on the clock.

    Args:
        args: options of the command; with ``once``, ends when all that is there has been taken.

    Raises:
        FileNotFoundError: if there is no such folder.
        KeyError, ValueError: as ``convert`` and ``append`` do, if an option is wrong.
    """
    for length in (args.interval, args.round):
        if length is not None:
            whole_seconds(length)
    if not Path(args.folder).is_dir():
        raise FileNotFoundError(f"No folder '{args.folder}'.")
    path = Path(args.file)
    arrivals = Arrivals(Path(args.folder), path)
    with _open_lines(args.lines) as out, redirect_stdout(sys.stderr):
        lines = None if out is None else StreamLines(path, out)
        args.listed = None  # the latest list of detectors that arrived
        args.left_out = LeftOut()
        while True:
            args.at_once = _MOST_AT_ONCE
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
    interval, zone = _steps_and_zone(args, path)
    waiting = _read_waiting(args, arrivals, interval, zone)
    documents: list[_Document] = []
    while more := list(islice(waiting, args.at_once)):
        documents += more
        tables = [document.table for document in more if document.table is not None]
        args.listed = tables[-1] if tables else args.listed
        kept, last = _whole_steps(args, path, documents, arrivals.read, interval, zone)
        try:
            if kept:
                with one_writer(path):
                    _write(args, path, documents[-1].feed, kept)
        except _UNFIT as error:
            if isinstance(error, DistanceError) and not path.exists():
                raise  # the option is wrong; later, documents may have been lost
            _set_aside(args, documents, arrivals, error)
            return True
        if kept or last is not None:
            arrivals.take(last, documents[-1].entry)
            return True
    if path.exists() and documents and documents[-1].entry > arrivals.read:
        arrivals.take(None, documents[-1].entry)
    return False


def _set_aside(
    args: Namespace, documents: list[_Document], arrivals: Arrivals, error: ValueError
) -> None:
    """Pass over the document that ``error`` is about.

    Of documents that contradict each other either may be wrong: they are taken one by one from now
    on, and it is the later one. An error that names none of several ends the watch.
    """
    odd = []
    where = getattr(error, "where", None)
    if args.at_once == 1 or isinstance(error, OffGridError):
        odd = [d for d in documents if where in {block.where for block in d.blocks}]
    if args.at_once == 1 and not odd:
        if len(documents) > 1:
            raise error
        odd = documents
    args.at_once = 1
    for document in odd:
        path = document.entry[1]
        print(f"set aside: '{path}'. {error}", file=sys.stderr)
        arrivals.refuse(path)


def _read_waiting(
    args: Namespace, arrivals: Arrivals, interval: int | None, zone: str
) -> Iterator[_Document]:
    """The documents that can be read, up to the first one that may be half written."""
    for entry in arrivals.waiting():
        try:
            document = _read(args, entry, interval, zone)
        except (ValueError, OSError) as error:
            if time.time() - entry[0] / 1e9 < _PATIENCE and not args.once:
                return
            print(f"passed over: {error}", file=sys.stderr)
            arrivals.refuse(entry[1])
            continue
        yield document


def _read(args: Namespace, entry: tuple[int, str], interval: int | None, zone: str) -> _Document:
    args.raw, args.located = [entry[1]], ()
    feed = args.read(args)
    rounded = None if args.round is None else whole_seconds(args.round)
    found = feed.blocks if rounded is None else round_blocks(feed.blocks, rounded)
    if _is_coarser(interval, feed):
        found = blocks_in_utc(round_blocks(found, None), zone, args.repeated_hour, Clocks())
    blocks = [args.left_out.without_ahead(block, entry[0] / 1e9) for block in found]
    return _Document(entry, blocks, feed, feed.detectors() if feed.detectors else None)


def _whole_steps(
    args: Namespace,
    path: Path,
    documents: list[_Document],
    read: tuple[int, str],
    interval: int | None,
    zone: str,
) -> tuple[list[Block], tuple[int, str] | None]:
    """The readings of steps that are complete, and the last document that is not needed again.

    Those that the file cannot take any more are told, of documents after ``read``.
    """
    if interval is None or not _is_coarser(interval, documents[-1].feed):
        return _from(args, path, documents, read, None), documents[-1].entry
    latest = max(map(_time_of, documents))
    end = latest - (latest - _first_start(path, latest, zone)) % interval
    blocks = [b.rows(seconds_of(b) < end) for b in _from(args, path, documents, read, interval)]
    last = None
    for document in documents:  # those that have a reading of a step to come are read again
        if any((seconds_of(block) >= end).any() for block in document.blocks):
            break
        last = document.entry
    return [block for block in blocks if len(block)], last


def _first_start(path: Path, latest: int, zone: str) -> int:
    """Seconds since 1970 of a time at which a step begins: of the file, or on the local clock."""
    if path.exists():
        return int(schema.read_outline(path).timestamps[0].astype(np.int64))
    local = to_local(np.array([latest]).astype("datetime64[s]"), zone)
    return latest - int(local[0].astype(np.int64))


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


def _steps_and_zone(args: Namespace, path: Path) -> tuple[int | None, str]:
    """Seconds of a step of the file, if they are known, and the zone of its clock."""
    minutes, zone = args.interval, zone_of(args)
    if path.exists():
        outline = schema.read_outline(path)
        minutes, zone = outline.interval_minutes, outline.timezone
    return None if minutes is None else whole_seconds(minutes), zone


def _is_coarser(interval: int | None, feed: Feed) -> bool:
    """Whether a step of the file is longer than one of the documents."""
    return interval is not None and feed.step is not None and interval > feed.step


def _check_interval(args: Namespace, feed: Feed) -> None:
    """Require an interval that documents of the length that their format says can be brought to."""
    if args.interval is None or feed.step is None:
        return
    step = max(feed.step, 0 if args.round is None else whole_seconds(args.round))
    if whole_seconds(args.interval) % step:
        raise ValueError(
            f"The documents are {tell_seconds(step)} apart, and --interval says "
            f"{tell_seconds(whole_seconds(args.interval))}. Set it to a multiple, or leave it out."
        )


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
        _check_interval(options, feed)
        if (
            options.interval is None
            and len({*np.concatenate([b.times for b in kept]).tolist()}) < 2
        ):
            raise ValueError(
                f"One time, in '{kept[0].where}', does not tell how far apart documents are. Set "
                "--interval to it."
            )
        convert(options, read)
