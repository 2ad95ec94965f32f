"""Readings in chunks of some steps, of which those not in use lie in a file without a name."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

__all__ = ["Chunk", "ChunkStore"]

_HELD_BYTES = 2**27


@dataclass
class Chunk:
    """Readings ``[K, N, F]`` of some steps, which of them a row gave, and those of further rows.

    Args:
        values: float32, NaN if missing.
        present: True for what a row gave.
        more: readings of rows that repeat others: steps, detectors, features, readings.
    """

    values: np.ndarray
    present: np.ndarray
    more: list[tuple] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.values.nbytes + self.present.nbytes

    def assign(self, place: tuple, chosen: list[int] | slice, values: np.ndarray) -> None:
        """Set readings of some cells and features, which a row gave."""
        if isinstance(chosen, slice):
            self.values[place], self.present[place] = values, True
            return
        for source, target in enumerate(chosen):
            self.values[(*place, target)] = values[..., source]
            self.present[(*place, target)] = True

    def with_means(self) -> np.ndarray:
        """Readings, of which those with further rows are the mean of all that is not missing."""
        if not self.more:
            return self.values
        total = np.nan_to_num(self.values.astype(np.float64))
        count = (~np.isnan(self.values)).astype(np.int64)
        touched = np.zeros(self.values.shape, dtype=bool)
        every = range(self.values.shape[-1])
        for rows, columns, chosen, values in self.more:
            for source, target in enumerate(every if isinstance(chosen, slice) else chosen):
                np.add.at(total, (rows, columns, target), np.nan_to_num(values[..., source]))
                np.add.at(count, (rows, columns, target), ~np.isnan(values[..., source]))
                touched[rows, columns, target] = True
        with np.errstate(invalid="ignore"):
            return np.where(touched, total / count, self.values).astype(np.float32)


class ChunkStore:
    """Chunks by number. Those that were not used for longest go to a file if all are large.

    Args:
        folder: where the file without a name lies, if it is needed; it is gone when the process is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks: dict[int, Chunk | None] = {}  # None: in the file
        self._file: IO[bytes] | None = None
        self._offsets: dict[int, tuple[int, int]] = {}

    def take(self, number: int, shape: tuple[int, int, int]) -> Chunk:
        """The chunk, which belongs to the caller, with as many detectors as ``shape``; empty if
        there is none."""
        chunk = self.look(number, shape)
        self._chunks.pop(number, None)
        return chunk

    def look(self, number: int, shape: tuple[int, int, int]) -> Chunk:
        """The chunk as :meth:`take` gives it, to be read alone."""
        if number not in self._chunks:
            return Chunk(np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=bool))
        chunk = self._chunks[number]
        if chunk is None:
            assert self._file is not None  # as the chunk is in it
            self._file.seek(self._offsets[number][0])
            chunk = Chunk(np.load(self._file), np.load(self._file))
        if chunk.values.shape != shape:
            more = ((0, 0), (0, shape[1] - chunk.values.shape[1]), (0, 0))
            chunk.values = np.pad(chunk.values, more, constant_values=np.nan)
            chunk.present = np.pad(chunk.present, more)
        return chunk

    def give(self, number: int, chunk: Chunk) -> None:
        """Take a chunk back, and put others into the file if all together are large."""
        self._chunks[number] = chunk
        held = {n: c for n, c in self._chunks.items() if c is not None}
        total = sum(chunk.size for chunk in held.values())
        for other, old in held.items():
            if total <= _HELD_BYTES:
                return
            if other != number and not old.more:
                self._store(other, old)
                total -= old.size

    def _store(self, number: int, chunk: Chunk) -> None:
        self._file = self._file or _nameless_file(self._folder)
        offset, size = self._offsets.get(number, (0, -1))
        if size != chunk.size:
            offset = self._file.seek(0, 2)
        self._file.seek(offset)
        np.save(self._file, chunk.values)
        np.save(self._file, chunk.present)
        self._offsets[number] = (offset, chunk.size)
        self._chunks[number] = None


def _nameless_file(folder: Path) -> IO[bytes]:
    """A file that is gone when the process is, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)
