"""State, readings and forecasts of a stream in one SQLite file."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from socialgraph.spec import DataSpec
from socialgraph.stream.database import check_kind, open_database, second_of, told
from socialgraph.stream.lock import WriterLock

__all__ = ["StreamStore"]


class StreamStore:
    """The file of a stream, for its only writer; :class:`StoreReader` reads it meanwhile.

    Its tables: ``meta`` (texts, such as what is forecast), ``state`` (the parts of
    :meth:`StreamingForecaster.state`), ``detectors`` (lists of ids and positions), ``readings``
    (one float32 array ``[N, F]`` for each time) and ``forecasts`` (one float32 array ``[N, P]`` for
    each time of issue and column), times in seconds since 1970, UTC. What is written between two
    calls of :meth:`commit` is there whole or not at all, after a kill and a power cut too (journal
    mode WAL, ``synchronous=FULL``). Beside the file stand its journal (``-wal``, ``-shm``) while it
    is open, and ``.lock``, which tells the writer.

    Args:
        path: the file, made if it is not there.
        keep: how long readings and forecasts are kept, by their times, but until they are committed
            in any case; None for ever.

    Raises:
        ValueError: if the file is something else, or of another version.
        OSError: if it cannot be written, or another process or store writes it.
    """

    def __init__(self, path: str | Path, keep: np.timedelta64 | None = None) -> None:
        self.path = Path(path)
        self.keep = keep
        self._written: dict[str, Any] = {}  # the parts of the state that the file holds
        self._detectors: tuple[object, int] | None = None
        self._begin: int | None = None  # second of the first reading that is not committed
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Nothing opens the file before the lock is held: a close in this process would drop the
        # locks that SQLite has on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
        self._lock = WriterLock(self.path.resolve())
        try:
            check_kind(self.path)
            with told(self.path):
                self._db = open_database(self.path)
        except BaseException:
            self._lock.release()
            raise

    def state(self) -> dict[str, Any]:
        """The state that was written last, {} for none."""
        with told(self.path):
            rows = self._db.execute("SELECT name, value FROM state").fetchall()
        return {name: _unpack(value) for name, value in rows}

    def describe(self, spec: DataSpec, columns: Sequence[str]) -> None:
        """Tell the readers of the file what is forecast."""
        form = {
            "features": spec.features,
            "units": spec.units,
            "targets": spec.targets,
            "columns": list(columns),
            "interval_minutes": spec.interval_minutes,
            "horizon": spec.horizon,
            "timezone": spec.timezone,
        }
        self.set("form", form)

    def set(self, name: str, value: object) -> None:
        """Write a plain value."""
        self._do("INSERT OR REPLACE INTO meta VALUES(?, ?)", (name, json.dumps(value)))

    def get(self, name: str, default: Any = None) -> Any:
        """A plain value that was written."""
        with told(self.path):
            row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set_state(self, state: dict[str, Any]) -> None:
        """Write the parts of a state that are not those of the last one."""
        if not self._written:
            self._do("DELETE FROM state", ())
        for name, value in state.items():
            if name not in self._written or self._written[name] is not value:
                self._do("INSERT OR REPLACE INTO state VALUES(?, ?)", (name, _pack(value)))
        for name in self._written.keys() - state.keys():
            self._do("DELETE FROM state WHERE name = ?", (name,))
        self._written = dict(state)

    def add(
        self, time: np.datetime64, spec: DataSpec, readings: np.ndarray, forecast: dict[str, Any]
    ) -> None:
        """Write readings ``[N, F]`` and what was forecast after them, and drop what is too old.

        Args:
            time: of the readings, UTC.
            spec: of the detectors.
            readings: as they were read, NaN where missing.
            forecast: an array ``[P, N]`` by column.
        """
        second, own = second_of(time), self._detectors_of(spec)
        row = (second, own, _bytes(readings))
        self._do("INSERT OR REPLACE INTO readings VALUES(?, ?, ?)", row)
        rows = [(second, name, own, _bytes(part.T)) for name, part in forecast.items()]
        with told(self.path):
            self._db.executemany("INSERT OR REPLACE INTO forecasts VALUES(?, ?, ?, ?)", rows)
        if self._begin is None:
            self._begin = second
        if self.keep is not None:
            self._forget_before(min(second_of(time - self.keep), self._begin))

    def reading(self, time: np.datetime64) -> tuple[list[str], np.ndarray] | None:
        """Detectors and readings ``[N, F]`` of a time, None if they are not kept."""
        query = (
            'SELECT d.vdids, r."values" FROM readings r JOIN detectors d ON d.id = r.detectors '
            "WHERE r.time = ?"
        )
        with told(self.path):
            row = self._db.execute(query, (second_of(time),)).fetchone()
        if row is None:
            return None
        vdids = json.loads(row[0])
        return vdids, np.frombuffer(row[1], np.float32).reshape(len(vdids), -1)

    def commit(self) -> None:
        """Make what was written last."""
        with told(self.path):
            self._db.commit()
            self._begin = None
            free, pages = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("freelist_count", "page_count")
            )
            if free > pages // 4:  # fewer are soon used again
                self._db.executescript("PRAGMA incremental_vacuum")

    def rollback(self) -> None:
        """Drop what was written since the last :meth:`commit`."""
        self._written, self._detectors, self._begin = {}, None, None
        with told(self.path):
            self._db.rollback()

    def close(self) -> None:
        """Close the file; what was not committed is dropped."""
        try:
            with told(self.path):
                self._db.close()
        finally:
            self._lock.release()

    def __enter__(self) -> "StreamStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _do(self, command: str, values: tuple) -> None:
        with told(self.path):
            self._db.execute(command, values)

    def _detectors_of(self, spec: DataSpec) -> int:
        """The row of a list of detectors, which is written if it is another than the last."""
        if self._detectors is not None and self._detectors[0] is spec:
            return self._detectors[1]
        values = tuple(map(json.dumps, (spec.vdids, spec.lat.tolist(), spec.lon.tolist())))
        query = "SELECT id FROM detectors WHERE vdids = ? AND lat = ? AND lon = ?"
        insert = "INSERT INTO detectors(vdids, lat, lon) VALUES(?, ?, ?)"
        with told(self.path):
            found = self._db.execute(query, values).fetchone()
            row = int(found[0] if found else self._db.execute(insert, values).lastrowid or 0)
        self._detectors = (spec, row)
        return row

    def _forget_before(self, second: int) -> None:
        with told(self.path):
            gone = self._db.execute("DELETE FROM readings WHERE time < ?", (second,)).rowcount
            self._db.execute("DELETE FROM forecasts WHERE issued < ?", (second,))
            if gone:
                self._db.execute(
                    "DELETE FROM detectors WHERE id NOT IN (SELECT detectors FROM readings)"
                )


def _pack(value: Any) -> bytes:
    """An array in the format of NumPy, or JSON."""
    if not isinstance(value, np.ndarray):
        return json.dumps(value).encode()
    out = io.BytesIO()
    np.save(out, value, allow_pickle=False)
    return out.getvalue()


def _unpack(data: bytes) -> Any:
    if data.startswith(b"\x93NUMPY"):
        return np.load(io.BytesIO(data), allow_pickle=False)
    return json.loads(data)


def _bytes(values: Any) -> bytes:
    return np.ascontiguousarray(values, dtype=np.float32).tobytes()
