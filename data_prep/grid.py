"""Rows in any order on one regular time axis, in memory that does not grow with the axis."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from data_prep.feed import Block
from data_prep.lanes import LANE_MARK
from data_prep.report import enumerate_first
from socialgraph.axis import SeriesError, infer_interval, regular_axis, whole_seconds
from socialgraph.calendar import format_local

__all__ = ["CONFLICT_RULES", "Grid", "RowCounts", "held_blocks", "name_time", "settle_step"]

CONFLICT_RULES = ("error", "first", "last", "mean")
_CHUNK_CELLS = 2**21
_CHUNK_STEPS = 4096
_HELD_BYTES = 2**28  # of chunks
_HELD_BLOCKS = 2**26  # bytes of blocks
_NAME_BYTES = 64  # of a detector's name
_MOST_STEPS_PER_TIME = 20


@dataclass
class RowCounts:
    """What happened to the rows of a source.

    Args:
        rows: all of them.
        unsorted: those that stood after a later time (of the same detector, if the rows are long).
        identical: those that repeated another one, and were dropped.
        conflicts: those that repeated the time of another one with other readings.
    """

    rows: int = 0
    unsorted: int = 0
    identical: int = 0
    conflicts: int = 0


@dataclass
class _Chunk:
    """Readings ``[K, N, F]`` of some steps, which of them a row gave, and those of further rows."""

    values: np.ndarray
    present: np.ndarray
    more: list[tuple] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.values.nbytes + self.present.nbytes


class Grid:
    """Readings by step, detector and feature, filled block by block in any order.

    Steps are kept in chunks. Those that were not used for longest go to a file in ``folder`` if all
    together are large, so that neither the length of the source nor its order costs memory.

    Args:
        step: seconds between two readings.
        features: names ``[F]``.
        on_conflict: what to do with rows of one time and detector that differ: ``"error"``, or keep
            the ``"first"`` or ``"last"`` of the source, or the ``"mean"`` of what is not missing.
        zone: zone of the clock, for errors.
        folder: where a file without a name keeps chunks, if they are many; it must exist then.
        multiple: chunks have a multiple of this many steps, and begin at a multiple of it since
            ``origin``.
        origin: seconds since 1970 of the step that chunks are counted from.
        set_by: how ``step`` was found, for errors.
    """

    def __init__(
        self,
        step: int,
        features: list[str],
        on_conflict: str,
        zone: str,
        folder: Path,
        multiple: int = 1,
        origin: int = 0,
        set_by: str = "inferred",
    ) -> None:
        self.step, self.features, self.origin = step, features, origin
        self.vdids: list[str] = []
        self.counts: dict[tuple[str, ...], RowCounts] = {}
        self.first, self.last = 0, -1  # steps since origin
        self.on_conflict, self._zone, self._folder = on_conflict, zone, folder
        self._multiple, self._set_by = multiple, set_by
        self._per_chunk = 0
        self._place: dict[str, int] = {}
        self._chunks: dict[int, _Chunk | None] = {}  # None: in the file
        self._file: IO[bytes] | None = None
        self._offsets: dict[int, tuple[int, int]] = {}
        self._latest: dict[object, np.ndarray] = {}
        self._seen_steps: list[np.ndarray] = []

    def add(self, blocks: list[Block]) -> None:
        """Take the rows of ``blocks``, in their order.

        Raises:
            socialgraph.axis.SeriesError: if a time lies off the grid.
            ValueError: if rows of one time and detector differ, and that is an error.
        """
        placed = [(block, self._steps(block), self._codes(block)) for block in blocks if len(block)]
        if not placed:
            return
        if not self._per_chunk:
            fit = _CHUNK_CELLS // max(1, len(self.vdids) * len(self.features))
            fit = max(1, min(_CHUNK_STEPS, fit) // self._multiple)
            self._per_chunk = fit * self._multiple
        by_chunk: dict[int, list[tuple]] = {}
        for block, steps, codes in placed:
            self._count(block, steps, codes)
            numbers = steps // self._per_chunk
            for number in np.unique(numbers).tolist():
                rows = np.flatnonzero(numbers == number)
                by_chunk.setdefault(number, []).append((block, steps, codes, rows))
        for number, parts in by_chunk.items():
            chunk = self._take(number)
            for block, steps, codes, rows in parts:
                self._fill(chunk, number, block, steps, codes, rows)
            self._chunks[number] = chunk
            self._spill(keep=number)

    def num_steps(self) -> int:
        """Steps from the first reading to the last one."""
        return self.last - self.first + 1

    def axis(self) -> np.ndarray:
        """Times of these steps, UTC, ``datetime64[s]``."""
        steps = np.arange(self.first, self.last + 1)
        return (self.origin + steps * self.step).astype("datetime64[s]")

    def present(self) -> np.ndarray:
        """True for each step of :meth:`axis` that a row gave."""
        there = np.zeros(self.num_steps(), dtype=bool)
        for steps in self._seen_steps:
            there[steps - self.first] = True
        return there

    def check_length(self) -> None:
        """Require that the axis is not almost empty.

        Raises:
            socialgraph.axis.SeriesError: naming the widest gap.
        """
        times = self.axis()[self.present()]
        if self.num_steps() > _MOST_STEPS_PER_TIME * len(times):
            regular_axis(times, self.step / 60)

    def parts(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Runs of steps in order: the first (since origin), readings and presence ``[K, N, F]``.

        All begin at a multiple of ``multiple`` steps, and cover the axis.
        """
        start = self.first // self._per_chunk
        for number in range(start, self.last // self._per_chunk + 1):
            if number in self._chunks:
                chunk = self._take(number)
                values, present = _with_means(chunk), chunk.present
                self._chunks[number] = None
            else:
                shape = (self._per_chunk, len(self.vdids), len(self.features))
                values = np.full(shape, np.nan, dtype=np.float32)
                present = np.zeros(shape, dtype=bool)
            yield number * self._per_chunk, values, present

    def _steps(self, block: Block) -> np.ndarray:
        seconds = block.times.astype(np.int64) - self.origin
        steps = seconds // self.step
        off = np.flatnonzero(steps * self.step != seconds)
        if len(off):
            raise _off_grid(np.unique(block.times), block.times[off], self.step, self._set_by)
        low, high = int(steps.min()), int(steps.max())
        if self.last < self.first:
            self.first, self.last = low, high
        self.first, self.last = min(self.first, low), max(self.last, high)
        self._seen_steps.append(np.unique(steps))
        if len(self._seen_steps) > 1000:
            self._seen_steps = [np.unique(np.concatenate(self._seen_steps))]
        return steps

    def _codes(self, block: Block) -> np.ndarray:
        for vdid in block.vdids:
            if vdid not in self._place:
                self._place[vdid] = len(self.vdids)
                self.vdids.append(vdid)
        codes = np.array([self._place[vdid] for vdid in block.vdids], dtype=np.int64)
        return codes if block.codes is None else codes[block.codes]

    def _count(self, block: Block, steps: np.ndarray, codes: np.ndarray) -> None:
        counts = self.counts.setdefault(block.features, RowCounts())
        counts.rows += len(block)
        long = block.codes is not None
        latest = self._latest.get((block.features, long), np.zeros(0, dtype=np.int64))
        size = len(self.vdids) if long else 1
        unknown = np.full(max(0, size - len(latest)), np.iinfo(np.int64).min)
        latest = np.concatenate([latest, unknown])
        groups = codes if long else np.zeros(len(block), dtype=np.int64)
        order = np.argsort(groups, kind="stable")
        groups, ordered = groups[order], steps[order]
        before = np.roll(ordered, 1)
        begins = np.flatnonzero(np.diff(groups, prepend=-1))
        before[begins] = latest[groups[begins]]
        counts.unsorted += int((ordered < before).sum())
        ends = np.append(begins[1:], len(groups)) - 1
        latest[groups[ends]] = ordered[ends]
        self._latest[block.features, long] = latest

    def _fill(
        self,
        chunk: _Chunk,
        number: int,
        block: Block,
        steps: np.ndarray,
        codes: np.ndarray,
        rows: np.ndarray,
    ) -> None:
        local = steps[rows] - number * self._per_chunk
        columns = codes[None, :] if block.codes is None else codes[rows]
        keys = local if block.codes is None else local * len(self.vdids) + codes[rows]
        again = _is_repeated(keys)
        for chosen in (~again, again):
            if chosen.any():
                of = columns if block.codes is None else columns[chosen]
                self._put(chunk, block, rows[chosen], local[chosen], of)

    def _put(
        self,
        chunk: _Chunk,
        block: Block,
        rows: np.ndarray,
        local: np.ndarray,
        columns: np.ndarray,
    ) -> None:
        values = block.values[rows]
        index = [self.features.index(name) for name in block.features]
        chosen = index if index != list(range(len(self.features))) else slice(None)
        wide = block.codes is None
        place = (local[:, None], columns) if wide else (local, columns)
        was = chunk.present[place][..., chosen]
        if not was.any():
            _assign(chunk, place, chosen, values)
            return
        old = chunk.values[place][..., chosen]
        axes = tuple(range(1, values.ndim))
        same = (~was | (old == values) | (np.isnan(old) & np.isnan(values))).all(axis=axes)
        counts = self.counts[block.features]
        counts.identical += int((same & was.any(axis=axes)).sum())
        differs = np.flatnonzero(~same)
        counts.conflicts += len(differs)
        if len(differs) and self.on_conflict == "error":
            raise self._conflict(block, rows[differs])
        merged = np.where(was, old, values)
        if self.on_conflict == "last":
            merged[differs] = values[differs]
        elif self.on_conflict == "mean":
            cells = [np.broadcast_to(axis, values.shape[:-1]) for axis in place]
            chunk.more.append((*cells, chosen, np.where(was, values, np.nan)))
        _assign(chunk, place, chosen, merged)

    def _conflict(self, block: Block, rows: np.ndarray) -> ValueError:
        names = sorted(self._name(block, row) for row in rows.tolist())
        advice = "Correct the source, or set --on-conflict first, last or mean."
        days = block.times.astype("datetime64[D]")
        if (days == block.times).all():
            advice = (
                "All times lie at midnight: the time of day may stand in another column. Name both "
                "with --time-column DATE TIME."
            )
        return ValueError(
            f"{len(names)} times or (id, time) pairs have rows that differ: "
            f"{enumerate_first(names)} ('{block.where}'). {advice}"
        )

    def _name(self, block: Block, row: int) -> str:
        what = ", ".join(block.features) if block.codes is None else block.vdids[block.codes[row]]
        what = what.replace(LANE_MARK, " lane ")
        return f"{what} at {name_time(block.times[row], self._zone)}"

    def _take(self, number: int) -> _Chunk:
        """The chunk, as wide as there are detectors now; it belongs to the caller."""
        shape = (self._per_chunk, len(self.vdids), len(self.features))
        if number not in self._chunks:
            return _Chunk(np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=bool))
        chunk = self._chunks.pop(number)
        if chunk is None:
            assert self._file is not None  # as the chunk is in it
            self._file.seek(self._offsets[number][0])
            chunk = _Chunk(np.load(self._file), np.load(self._file))
        if chunk.values.shape != shape:
            more = ((0, 0), (0, shape[1] - chunk.values.shape[1]), (0, 0))
            chunk.values = np.pad(chunk.values, more, constant_values=np.nan)
            chunk.present = np.pad(chunk.present, more)
        return chunk

    def _spill(self, keep: int) -> None:
        held = {n: c for n, c in self._chunks.items() if c is not None}
        total = sum(chunk.size for chunk in held.values())
        for number, chunk in held.items():
            if total <= _HELD_BYTES:
                return
            if number == keep or chunk.more:
                continue
            self._store(number, chunk)
            total -= chunk.size

    def _store(self, number: int, chunk: _Chunk) -> None:
        self._file = self._file or _nameless_file(self._folder)
        offset, size = self._offsets.get(number, (0, -1))
        if size != chunk.size:
            offset = self._file.seek(0, 2)
        self._file.seek(offset)
        np.save(self._file, chunk.values)
        np.save(self._file, chunk.present)
        self._offsets[number] = (offset, chunk.size)
        self._chunks[number] = None


def settle_step(blocks: list[Block], interval: int | None, hint: int | None) -> tuple[int, str]:
    """Seconds between two readings, and how they are known.

    Args:
        blocks: readings from the start of the source, or all of them.
        interval: seconds between two steps of the result, None if they were not asked for.
        hint: seconds between two readings as the format or ``--round`` says it.

    Raises:
        socialgraph.axis.SeriesError: if it is unknown, or times lie off the grid.
    """
    times = np.unique(np.concatenate([block.times for block in blocks]))
    if hint is not None and (len(times) == 1 if interval is None else interval % hint == 0):
        return hint, "as the source says"
    if interval is not None:
        phases = times.astype(np.int64) % interval
        if (phases == phases[0]).all():
            return interval, "as set"
        step = whole_seconds(infer_interval(times))
        if step >= interval or interval % step:
            _refuse_interval(times, interval)
        interval = step
    _, minutes = regular_axis(times, None if interval is None else interval / 60)
    return whole_seconds(minutes), "inferred"


def _refuse_interval(times: np.ndarray, interval: int) -> None:
    """Raise the error of times that are off a grid of ``interval`` seconds."""
    phases = times.astype(np.int64) % interval
    values, counts = np.unique(phases, return_counts=True)
    raise _off_grid(times, times[phases != values[counts.argmax()]], interval, "as set")


def name_time(time: np.datetime64, zone: str) -> str:
    """A time in UTC as text on the local clock, with its offset."""
    return format_local(np.array([time]), zone)[0]


def _off_grid(times: np.ndarray, off: np.ndarray, step: int, set_by: str) -> SeriesError:
    return SeriesError(
        f"{len(off)} of {len(times)} distinct times are off the grid of {step / 60:g} minutes "
        f"({set_by}), first {off[0]} (UTC). If they jitter, set --round to the distance of two "
        "readings; if the readings are finer, set --interval to a multiple of their distance."
    )


def _is_repeated(keys: np.ndarray) -> np.ndarray:
    """True for keys that stood before."""
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(keys), dtype=bool)
    repeated[first] = False
    return repeated


def _assign(chunk: _Chunk, place: tuple, chosen: list[int] | slice, values: np.ndarray) -> None:
    if isinstance(chosen, slice):
        chunk.values[place], chunk.present[place] = values, True
        return
    for source, target in enumerate(chosen):
        chunk.values[(*place, target)] = values[..., source]
        chunk.present[(*place, target)] = True


def _with_means(chunk: _Chunk) -> np.ndarray:
    """Readings, of which those with further rows are the mean of all that is not missing."""
    if not chunk.more:
        return chunk.values
    total = np.nan_to_num(chunk.values.astype(np.float64))
    count = (~np.isnan(chunk.values)).astype(np.int64)
    touched = np.zeros(chunk.values.shape, dtype=bool)
    every = range(chunk.values.shape[-1])
    for rows, columns, chosen, values in chunk.more:
        for source, target in enumerate(every if isinstance(chosen, slice) else chosen):
            np.add.at(total, (rows, columns, target), np.nan_to_num(values[..., source]))
            np.add.at(count, (rows, columns, target), ~np.isnan(values[..., source]))
            touched[rows, columns, target] = True
    with np.errstate(invalid="ignore"):
        return np.where(touched, total / count, chunk.values).astype(np.float32)


def _nameless_file(folder: Path) -> IO[bytes]:
    """A file that is gone when the process is, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


def held_blocks(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks in lists that are large enough to be worth a pass over the chunks."""
    held: list[Block] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += block.values.nbytes + block.times.nbytes + _NAME_BYTES * len(block.vdids)
        if size >= _HELD_BLOCKS:
            yield held
            held, size = [], 0
    if held:
        yield held
