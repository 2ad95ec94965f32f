"""What the file of a stream holds, for any number of readers while it is written."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from socialgraph.stream.database import check_version, second_of, told

__all__ = ["Detectors", "Forecast", "StoreReader"]


class Detectors(NamedTuple):
    """Ids ``[N]`` and positions in degrees ``[N]``, NaN where unknown."""

    vdids: list[str]
    lat: list[float]
    lon: list[float]


class Forecast(NamedTuple):
    """What was forecast after the readings of a time (UTC): an array ``[N, P]`` by column.

    Columns and P are those of the network that forecast then.
    """

    issued: np.datetime64
    detectors: Detectors
    values: dict[str, np.ndarray]

    @property
    def horizon(self) -> int:
        """How many steps were forecast, P."""
        return next(iter(self.values.values())).shape[1]

    def column(self, name: str) -> np.ndarray:
        """A column ``[N, P]``; NaN for one that was not forecast then."""
        shape = len(self.detectors.vdids), self.horizon
        return self.values[name] if name in self.values else np.full(shape, np.nan, np.float32)


class StoreReader:
    """Reads the file of a :class:`StreamStore`; one thread at a time.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no file of a stream.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"No state '{path}'.")
        with told(self.path):
            self._db = sqlite3.connect(self.path, check_same_thread=False)
            self._db.execute("PRAGMA query_only = ON")
            check_version(self._db, self.path)
        self._detectors: dict[int, Detectors] = {}
        self._places: dict[int, dict[str, int]] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """A plain value that was written, such as ``form``: what is forecast."""
        rows = self._all("SELECT value FROM meta WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else default

    def last(self) -> np.datetime64 | None:
        """Time of the last forecast, UTC."""
        (row,) = self._all("SELECT max(issued) FROM forecasts")
        return None if row[0] is None else _time(row[0])

    def issued(
        self, since: np.datetime64 | None = None, until: np.datetime64 | None = None
    ) -> list[np.datetime64]:
        """Times of the forecasts that are kept, from ``since`` to ``until``, both included."""
        low, high = (-(2**62) if since is None else second_of(since)), _high(until)
        query = "SELECT DISTINCT issued FROM forecasts WHERE issued BETWEEN ? AND ? ORDER BY issued"
        return [_time(row[0]) for row in self._all(query, low, high)]

    def forecast(self, issued: np.datetime64) -> Forecast | None:
        """All that was forecast at a time; None if it is not kept."""
        query = 'SELECT "column", detectors, "values" FROM forecasts WHERE issued = ?'
        rows = self._all(query, second_of(issued))
        if not rows:
            return None
        known = self._known(rows[0][1])
        values = {row[0]: _array(row[2], len(known.vdids)) for row in rows}
        return Forecast(issued, known, values)

    def forecast_of(self, vdid: str, issued: np.datetime64) -> Forecast | None:
        """What was forecast for one detector, N = 1; None if it is not kept."""
        rows = self._all(
            "SELECT detectors FROM forecasts WHERE issued = ? LIMIT 1", second_of(issued)
        )
        if not rows:
            return None
        known = self._known(rows[0][0])
        place = self._places[rows[0][0]].get(vdid)
        if place is None:
            return None
        query = (  # reads no other detector's part
            'SELECT "column", substr("values", 1 + ?1 * length("values") / ?2, '
            'length("values") / ?2) FROM forecasts WHERE issued = ?3'
        )
        found = self._all(query, place, len(known.vdids), second_of(issued))
        own = Detectors([vdid], [known.lat[place]], [known.lon[place]])
        return Forecast(issued, own, {name: _array(part, 1) for name, part in found})

    def readings_of(
        self, vdid: str, since: np.datetime64, until: np.datetime64 | None = None
    ) -> Iterator[tuple[np.datetime64, np.ndarray]]:
        """Times and readings ``[F]`` of a detector that are kept, NaN where missing."""
        query = (
            'SELECT time, detectors, "values" FROM readings WHERE time BETWEEN ? AND ? '
            "ORDER BY time"
        )
        for second, own, data in self._all(query, second_of(since), _high(until)):
            known = self._known(own)
            place = self._places[own].get(vdid)
            if place is not None:
                yield _time(second), _array(data, len(known.vdids))[place]

    def reading(self, time: np.datetime64) -> tuple[Detectors, np.ndarray] | None:
        """Detectors and readings ``[N, F]`` of a time; None if they are not kept."""
        query = 'SELECT detectors, "values" FROM readings WHERE time = ?'
        rows = self._all(query, second_of(time))
        if not rows:
            return None
        known = self._known(rows[0][0])
        return known, _array(rows[0][1], len(known.vdids))

    def detectors(self) -> Detectors:
        """Those of the last readings; none before the first."""
        rows = self._all("SELECT detectors FROM readings ORDER BY time DESC LIMIT 1")
        return self._known(rows[0][0]) if rows else Detectors([], [], [])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> "StoreReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _all(self, query: str, *values: object) -> list[tuple]:
        with told(self.path):
            return self._db.execute(query, values).fetchall()

    def _known(self, row: int) -> Detectors:
        if row not in self._detectors:
            (found,) = self._all("SELECT vdids, lat, lon FROM detectors WHERE id = ?", row)
            self._detectors[row] = Detectors(*map(json.loads, found))
            places = {vdid: place for place, vdid in enumerate(self._detectors[row].vdids)}
            self._places[row] = places
        return self._detectors[row]


def _array(data: bytes, nodes: int) -> np.ndarray:
    return np.frombuffer(data, np.float32).reshape(nodes, -1)


def _time(second: int) -> np.datetime64:
    return np.datetime64(second, "s")


def _high(until: np.datetime64 | None) -> int:
    return 2**62 if until is None else second_of(until)
