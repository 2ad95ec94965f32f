"""Rows in any order on one regular time axis, in memory that does not grow with the axis."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.chunks import Chunk, ChunkStore
from data_prep.feed import Block
from data_prep.lanes import LANE_MARK
from data_prep.report import enumerate_first
from data_prep.steps import UnfitError, name_time, off_grid
from socialgraph.axis import regular_axis

__all__ = ["MOST_STEPS_PER_TIME", "Grid", "RowCounts"]

_CHUNK_CELLS = 2**21
_CHUNK_STEPS = 4096
MOST_STEPS_PER_TIME = 20  # more are a stray date


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
        self.on_conflict, self._zone = on_conflict, zone
        self._multiple, self._set_by = multiple, set_by
        self._per_chunk = 0
        self._place: dict[str, int] = {}
        self._chunks = ChunkStore(folder)
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
            chunk = self._chunks.take(number, self._shape())
            for block, steps, codes, rows in parts:
                self._fill(chunk, number, block, steps, codes, rows)
            self._chunks.give(number, chunk)

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
        if self.num_steps() > MOST_STEPS_PER_TIME * len(times):
            regular_axis(times, self.step / 60)

    def readings(self) -> Iterator[tuple[int, np.ndarray]]:
        """Runs of steps in order: the first (since origin), and where there are readings
        ``[K, N, F]``; they cover the axis."""
        for number in range(self.first // self._per_chunk, self.last // self._per_chunk + 1):
            start = number * self._per_chunk
            begin = max(start, self.first)
            values = self._chunks.look(number, self._shape()).values
            yield begin, ~np.isnan(values[begin - start : self.last + 1 - start])

    def parts(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Runs of steps in order: the first (since origin), readings and presence ``[K, N, F]``.

        All begin at a multiple of ``multiple`` steps, and cover the axis.
        """
        start = self.first // self._per_chunk
        for number in range(start, self.last // self._per_chunk + 1):
            chunk = self._chunks.take(number, self._shape())
            yield number * self._per_chunk, chunk.with_means(), chunk.present

    def _shape(self) -> tuple[int, int, int]:
        return self._per_chunk, len(self.vdids), len(self.features)

    def _steps(self, block: Block) -> np.ndarray:
        seconds = block.times.astype(np.int64) - self.origin
        steps = seconds // self.step
        off = np.flatnonzero(steps * self.step != seconds)
        if len(off):
            every = np.unique(block.times)
            raise off_grid(every, block.times[off], self.step, self._set_by, block.where)
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
        chunk: Chunk,
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
        chunk: Chunk,
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
            chunk.assign(place, chosen, values)
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
        chunk.assign(place, chosen, merged)

    def _conflict(self, block: Block, rows: np.ndarray) -> UnfitError:
        names = sorted(self._name(block, row) for row in rows.tolist())
        advice = "Correct the source, or set --on-conflict first, last or mean."
        days = block.times.astype("datetime64[D]")
        if (days == block.times).all():
            advice = (
                "All times lie at midnight: the time of day may stand in another column. Name both "
                "with --time-column DATE TIME."
            )
        return UnfitError(
            f"{len(names)} times or (id, time) pairs have rows that differ: "
            f"{enumerate_first(names)} ('{block.where}'). {advice}",
            block.where,
        )

    def _name(self, block: Block, row: int) -> str:
        what = ", ".join(block.features) if block.codes is None else block.vdids[block.codes[row]]
        what = what.replace(LANE_MARK, " lane ")
        return f"{what} at {name_time(block.times[row], self._zone)}"


def _is_repeated(keys: np.ndarray) -> np.ndarray:
    """True for keys that stood before."""
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(keys), dtype=bool)
    repeated[first] = False
    return repeated
