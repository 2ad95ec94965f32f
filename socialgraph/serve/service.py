"""What the service does, without HTTP: one writer, and as many readers as read at once."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from socialgraph.calendar import format_local
from socialgraph.stream.forecaster import StreamingForecaster
from socialgraph.stream.reader import Detectors, StoreReader
from socialgraph.stream.screen import Screen
from socialgraph.stream.store import StreamStore
from socialgraph.stream.stored import StoredStream, check_clock

__all__ = ["Busy", "Failed", "Refused", "Service"]

_MOST_WAITING = 16
_LATE = 3  # intervals without a reading


class Refused(ValueError):
    """Readings that were not taken; ``taken`` tells what was before them."""

    def __init__(self, text: str, taken: dict[str, Any]) -> None:
        super().__init__(text)
        self.taken = taken


class Failed(RuntimeError):
    """No forecast came of readings; ``taken`` tells what was before them."""

    def __init__(self, text: str, taken: dict[str, Any]) -> None:
        super().__init__(text)
        self.taken = taken


class Busy(RuntimeError):
    """Too many requests wait to be written."""


class Service:
    """Takes readings one request after the other, and gives what the file holds to any thread.

    Args:
        stream: at its start.
        store: its file.
        restart: as of :class:`socialgraph.stream.StoredStream`.
        null_values: numbers that mean missing, besides those that the forecaster knows.
    """

    def __init__(
        self,
        stream: StreamingForecaster,
        store: StreamStore,
        restart: bool = False,
        null_values: Iterable[float] = (),
    ) -> None:
        self.stored = StoredStream(stream, store, restart)
        self.screen = Screen(stream.spec, list(null_values))
        self.seconds, self.num_timed = 0.0, 0  # spent on readings, and on how many
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._waiting = 0
        self._readers: list[StoreReader] = []  # that nobody uses now
        with self.reader() as reader:
            self.form = reader.get("form")

    @property
    def path(self) -> Path:
        """The file of the stream."""
        return self.stored.store.path

    @contextlib.contextmanager
    def reader(self) -> Iterator[StoreReader]:
        """A reader that nobody else uses meanwhile."""
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = StoreReader(self.path)
        try:
            yield reader
        finally:
            self._readers.append(reader)

    async def take(
        self, read: Callable[[], Iterable[tuple[np.datetime64, np.ndarray]]]
    ) -> dict[str, Any]:
        """Take times and readings, in order; what was taken when this returns is on the disk.

        Args:
            read: gives them, in the thread of the writer.

        Returns:
            How many times were ``read``, ``old`` and ``repeated``, and the ``last`` that is known.

        Raises:
            Refused: for readings that cannot be right; those before them are kept.
            Failed: if the network fails, or anything else; those before them are kept.
            Busy: if too many requests wait.
            OSError: if the file cannot be written.
        """
        if self._waiting >= _MOST_WAITING:
            raise Busy("Too many requests with readings wait; send this one again later.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            job = loop.run_in_executor(self._writer, self.take_now, read)
            return await asyncio.shield(job)  # a client that goes away stops nothing halfway
        finally:
            self._waiting -= 1

    def take_now(
        self, read: Callable[[], Iterable[tuple[np.datetime64, np.ndarray]]]
    ) -> dict[str, Any]:
        """As :meth:`take`, in the thread of the writer."""
        counts = {"read": 0, "old": 0, "repeated": 0}
        try:
            for moment, readings in read():
                check_clock(moment, self.stored.stream.spec.timezone)
                start = time.perf_counter()
                counts[self.stored.read(moment, self.screen.apply(readings))] += 1
                self.seconds += time.perf_counter() - start
                self.num_timed += 1
        except ValueError as error:
            self.stored.counts["refused"] += 1
            raise Refused(str(error), {**counts, "last": self.last}) from error
        except OSError:
            raise
        except Exception as error:
            text = f"The readings were not taken: {type(error).__name__}: {error}"
            raise Failed(text, {**counts, "last": self.last}) from error
        return {**counts, "last": self.last}

    @property
    def last(self) -> str | None:
        """Time of the last reading that is kept, on the local clock."""
        with self.reader() as reader:
            last = reader.last()
        return None if last is None else self._tell(last)

    def last_reading(self) -> tuple[Detectors, np.ndarray | None]:
        """Detectors and readings ``[N, F]`` of the last time that is kept.

        Before the first one, the detectors that are followed, and None.
        """
        found = self._last_kept()
        if found is not None:
            return found
        spec = self.stored.stream.spec
        return Detectors(spec.vdids, spec.lat.tolist(), spec.lon.tolist()), None

    def health(self) -> dict[str, Any]:
        """Age of the last reading, and the share of detectors without a last one."""
        with self.reader() as reader:
            last = reader.last()
        age = None
        if last is not None:
            age = float((np.datetime64("now", "s") - last) / np.timedelta64(1, "s"))
        late = age is not None and age > _LATE * 60 * self.form["interval_minutes"]
        return {
            "status": "empty" if age is None else "late" if late else "ok",
            "last_reading": None if last is None else self._tell(last),
            "age_seconds": age,
            "detectors": len(self.stored.stream.vdids),
            "share_silent": self.share_silent(),
            "readings": dict(self.stored.total),
        }

    def share_silent(self) -> float | None:
        """Share of the detectors without a reading at the last time; None before the first."""
        found = self._last_kept()
        return None if found is None else float(np.isnan(found[1]).all(axis=1).mean())

    def close(self) -> None:
        """Wait for what is being written, and close the file."""
        self._writer.shutdown(wait=True)
        self.stored.save()
        while self._readers:
            self._readers.pop().close()
        self.stored.store.close()

    def _last_kept(self) -> tuple[Detectors, np.ndarray] | None:
        with self.reader() as reader:
            last = reader.last()
            return None if last is None else reader.reading(last)

    def _tell(self, moment: np.datetime64) -> str:
        return format_local(np.array([moment]), self.stored.stream.spec.timezone)[0]
