"""A stream whose readings, forecasts and state are kept in a file."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from socialgraph.calendar import format_local
from socialgraph.stream.forecaster import StreamingForecaster
from socialgraph.stream.store import StreamStore

__all__ = ["StoredStream", "as_arrays", "check_clock"]

_AHEAD = np.timedelta64(1, "D")  # a reading from later than that is a mistake of a clock


class StoredStream:
    """Forecasts after each reading, and keeps both with the state in one transaction.

    It goes on with the state that the file holds. ``counts`` has how many times were ``read``, left
    out as ``old`` or ``repeated``, or ``refused``, which the caller counts; the file keeps the sums
    of all runs.

    Args:
        stream: a stream at its start.
        store: the file.
        restart: whether a time beyond ``max_gap`` starts the stream anew, unless it is more than a
            day ahead of the clock; else it is refused.
        save_every: readings of one transaction. Readers see them, and a kill leaves them, when it
            is whole.

    Raises:
        ValueError: if the file holds the state of another form of forecaster.
        OSError: if it cannot be read or written.
    """

    def __init__(
        self,
        stream: StreamingForecaster,
        store: StreamStore,
        restart: bool = False,
        save_every: int = 1,
    ) -> None:
        self.stream, self.store = stream, store
        self.restart, self.save_every = restart, save_every
        self.unsaved: list[np.datetime64] = []  # times that were read since the last commit
        self.counts: Counter[str] = Counter()
        self._start = stream.state()
        if store.state():
            self._load()
        self._counted = Counter(store.get("counts", {}))
        store.describe(stream.spec, stream.columns)
        store.commit()

    @property
    def total(self) -> Counter[str]:
        """The counts of all runs that the file knows of."""
        return self._counted + self.counts

    def read(self, time: np.datetime64, readings: np.ndarray) -> Literal["read", "old", "repeated"]:
        """Take the readings of a time, forecast after them, and keep both.

        Args:
            time: UTC.
            readings: in real units ``[N, F]``, NaN where missing.

        Returns:
            ``"old"`` for a time before the last one, ``"repeated"`` for one whose readings are kept
            and are these; both change nothing.

        Raises:
            ValueError: for a time beyond ``max_gap``, for one ahead of the clock if it may restart,
                for other readings of the last time, or as :meth:`StreamingForecaster.update` does;
                nothing is changed.
            OSError: if the file cannot be written; the stream is then where the file is.
            Exception: as the network raises it, such as
                :class:`socialgraph.finite.NotFiniteError`; nothing is changed.
        """
        readings = np.asarray(readings, dtype=np.float32)  # as the file holds them
        found = self._seen(time, readings)
        if found == "read":
            self._check_jump(time)
            forecast = self._forecast(time, readings)
        self.counts[found] += 1
        if found == "read":
            self._keep(time, readings, forecast)
        return found

    def save(self) -> None:
        """Commit what was read."""
        try:
            self.store.set_state(self.stream.state())
            self.store.set("counts", self.total)
            self.store.commit()
        except Exception:
            self._back()
            raise
        self.unsaved = []

    def _forecast(self, time: np.datetime64, readings: np.ndarray) -> dict[str, np.ndarray]:
        """Forecast after readings; if none comes of them, they are not taken in."""
        last, before = self.stream.time, self.stream.state()
        try:
            # The device may tell of its errors as late as in the copy.
            return as_arrays(self.stream.update(time, readings), self.stream.columns)
        except Exception:
            if self.stream.time != last:
                self.stream.restore(before)
            raise

    def _keep(self, time: np.datetime64, readings: np.ndarray, forecast: dict) -> None:
        self.unsaved.append(time)
        try:
            self.store.add(time, self.stream.spec, readings, forecast)
        except Exception:
            self._back()
            raise
        if len(self.unsaved) >= self.save_every:
            self.save()

    def _back(self) -> None:
        """Be where the file is, after what could not be written, with the detectors of now."""
        spec = self.stream.spec
        self.counts["read"] -= len(self.unsaved)
        self.unsaved = []
        self.store.rollback()
        self._load()
        self.stream.set_detectors(spec.vdids, spec.lat, spec.lon)

    def _load(self) -> None:
        try:
            self.stream.restore(self.store.state() or self._start)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{self.store.path}' is damaged: its state lacks {error}. Remove it to start anew."
            ) from error
        except ValueError as error:
            raise ValueError(f"The state '{self.store.path}' cannot be used. {error}") from error

    def _seen(
        self, time: np.datetime64, readings: np.ndarray
    ) -> Literal["read", "old", "repeated"]:
        """Whether a time is new; other readings of the last time are refused."""
        last = self.stream.time
        if last is None or time > last:
            return "read"
        kept = self.store.reading(time)
        if kept is None or kept[0] != self.stream.vdids:
            return "repeated" if time == last else "old"
        differs = ~((kept[1] == readings) | (np.isnan(kept[1]) & np.isnan(readings))).all(axis=1)
        if not differs.any():
            return "repeated"
        if time < last:
            return "old"
        names = [self.stream.vdids[row] for row in np.flatnonzero(differs)[:5]]
        raise ValueError(
            f"repeats {self._tell(time)} with other readings of {int(differs.sum())} detectors, "
            f"among them {names}. Send a time once, and in the hour that comes twice in autumn "
            "give times with their offset from UTC."
        )

    def _check_jump(self, time: np.datetime64) -> None:
        """Refuse a time so far ahead that it may be wrong: all right ones would then be too old."""
        last, stream = self.stream.time, self.stream
        if self.restart:
            check_clock(time, stream.spec.timezone)
        if last is None or self.restart:
            return
        missed = (time - last) / stream.spec.step - 1
        if missed > stream.max_gap:
            raise ValueError(
                f"jumps from {self._tell(last)} to {self._tell(time)}, {missed:.0f} steps ahead. "
                "If the time is wrong, mend it; if readings were lost that long, start anew with "
                "--restart_after_gap (or read up to --max_gap steps as missing)."
            )

    def _tell(self, time: np.datetime64) -> str:
        return format_local(np.array([time]), self.stream.spec.timezone)[0]


def check_clock(time: np.datetime64, timezone: str) -> None:
    """Refuse a time (UTC) that is more than a day ahead of the clock.

    Raises:
        ValueError: for such a time.
    """
    if time > np.datetime64("now", "s") + _AHEAD:
        text = format_local(np.array([time]), timezone)[0]
        raise ValueError(f"{text} is more than a day ahead of the clock.")


def as_arrays(forecast: object, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """An array ``[P, N]`` by column of a forecast ``[P, N, C]``, which may be a tensor."""
    values = np.asarray(forecast.cpu() if hasattr(forecast, "cpu") else forecast, np.float32)
    return {name: values[..., place] for place, name in enumerate(columns)}
