"""Forecasts that follow a stream of readings, at a cost that does not grow with the history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from socialgraph.runtime import RuntimeForecaster
from socialgraph.spec import DataSpec
from socialgraph.stream.memory import KINDS, Kept, Kind, Memory, WindowMemory
from socialgraph.stream.telling import Telling
from socialgraph.stream.with_onnx import OnnxBackend

if TYPE_CHECKING:
    from torch import Tensor

    from socialgraph.forecaster import Forecaster

__all__ = ["StreamingForecaster"]

STATE_FORMAT = 6  # counts up if the numbers of a state come to mean something else


class StreamingForecaster:
    """Follows the readings of all detectors and forecasts after each of them.

    With ``memory="window"`` it forecasts from the last window of readings, gaps included: the
    numbers of ``socialgraph predict`` and ``test``. With ``"state"`` it carries the state of the
    encoder from reading to reading and gives the forecasts of the whole history since the start, at
    the cost of one step. Detectors come and go by their ids; :meth:`state` and :meth:`restore` keep
    what it remembers, and :class:`socialgraph.stream.StoredStream` keeps it in a file.

    What a detector usually reads is that of the training, and goes on from there with
    ``profile_half_life``; a detector that was not in it is told the mean of the others.

    Args:
        forecaster: a trained forecaster, as :func:`socialgraph.load` gives it, or one that was
            exported, a :class:`socialgraph.runtime.RuntimeForecaster`.
        max_gap: missing steps in a row that are read as such; after a longer gap it starts anew.
        memory: ``"window"`` or ``"state"``.
        profile_half_life: days after which a reading counts half in what is usual, see
            :class:`socialgraph.stream.profile.LearningProfile`; None to leave it as trained.
        adapt: let intervals follow drift, see :class:`socialgraph.adaptive.AdaptiveIntervals`.
        alarm_rate: false alarms of a detector and day in the column ``alarm``, which holds the
            places of :data:`socialgraph.table.ALARMS` from 1, and 0 if all is well
            (:class:`socialgraph.alarms.AlarmWatch`); None for no such column.

    Raises:
        ValueError: for a forecaster without training, a memory of another name, or one that the
            network cannot have, a half-life without a profile, or if intervals or alarms are asked
            for and the training has calibrated none.
    """

    def __init__(
        self,
        forecaster: "Forecaster | RuntimeForecaster",
        max_gap: int = 288,
        memory: Kind = "window",
        profile_half_life: float | None = None,
        adapt: bool = False,
        alarm_rate: float | None = None,
    ) -> None:
        if memory not in KINDS:
            raise ValueError(f"Expected 'memory' as one of {list(KINDS)} (got {memory!r}).")
        if forecaster.spec is None:
            raise ValueError("Expected a trained forecaster: fit it, or load a checkpoint.")
        if forecaster.spec.known:
            raise ValueError(
                f"The forecaster reads {forecaster.spec.known}, which are known ahead, and a "
                "stream does not bring them. Forecast with 'socialgraph predict', or train without."
            )
        self.forecaster = forecaster
        self.trained_on = self.spec = forecaster.spec
        self.max_gap = max_gap
        self.kind = memory
        self.time: np.datetime64 | None = None
        self.backend: Any = _backend_of(forecaster)
        if memory == "window":
            self.memory: Memory = WindowMemory(self.backend)
        else:  # a usual day that goes on tells other things of readings that are read again
            self.memory = self.backend.state_memory(read_again=profile_half_life is None)
        # What has a state of its own, which is kept and restored under its name.
        self.kept: dict[str, Kept] = {"memory": self.memory}
        self.profile = None
        if profile_half_life is not None:
            self.kept["profile"] = self.profile = self.backend.learning_profile(profile_half_life)
        self.telling = Telling(forecaster, self.backend, adapt, alarm_rate)
        self.kept |= self.telling.kept()
        self._follow(self.trained_on, held=[])

    @property
    def vdids(self) -> list[str]:
        """Ids of the detectors that are followed."""
        return self.spec.vdids

    @property
    def columns(self) -> list[str]:
        """Names of what is forecast ``[C]``, the last axis of a forecast."""
        return self.telling.columns

    def set_detectors(
        self,
        vdids: Sequence[str],
        lat: "Sequence[float] | np.ndarray | Tensor",
        lon: "Sequence[float] | np.ndarray | Tensor",
    ) -> None:
        """Follow these detectors from now on.

        Those that were followed keep what they remember, others start without a memory. The same
        ids at the same places change nothing.

        Args:
            vdids: ids of the detectors, N.
            lat: latitudes in degrees ``[N]``, NaN where not known.
            lon: longitudes.

        Raises:
            ValueError: without detectors, if an id stands twice, the lengths differ, or the network
                knows each detector by itself and not one of these.
        """
        spec = self._spec_of(vdids, lat, lon)
        places = ((spec.lat, self.spec.lat), (spec.lon, self.spec.lon))
        moved = not all(np.array_equal(*both, equal_nan=True) for both in places)
        if moved or spec.vdids != self.vdids:
            self.backend.attend()
            self.memory.catch_up()
            self._follow(spec, held=self.vdids)

    def _spec_of(self, vdids: Any, lat: Any, lon: Any) -> DataSpec:
        """What is forecast for these detectors; raises as :meth:`set_detectors` does."""
        vdids = [str(vdid) for vdid in vdids]
        lat, lon = (np.asarray(part, dtype=np.float64) for part in (lat, lon))
        if not vdids:
            raise ValueError("Expected one detector or more (got none).")
        if len(set(vdids)) < len(vdids) or not len(vdids) == len(lat) == len(lon):
            raise ValueError(
                f"Expected every id once, with a latitude and a longitude (got {len(vdids)} ids, "
                f"{len(set(vdids))} different ones, {len(lat)} and {len(lon)} coordinates)."
            )
        trained = self.trained_on
        edges = trained.edges if vdids == trained.vdids else None
        return trained.with_detectors(vdids, lat, lon, edges)

    def update(self, time: np.datetime64, readings: "Tensor | np.ndarray") -> "Tensor":
        """Read what the detectors report at a time, and forecast the steps after it.

        Steps that were left out since the last time are read as missing.

        Args:
            time: of the readings, UTC.
            readings: in real units ``[N, F]``, in the order of :attr:`vdids`, NaN where missing.

        Returns:
            Forecasts in real units ``[P, N, C]``, of :attr:`columns`: a tensor, or an array of an
            exported forecaster.

        Raises:
            ValueError: for readings of another shape or infinite ones, or a time that is not a
                whole number of intervals after the last, or at a start after those of the training.
        """
        exact, time = np.datetime64(time), np.datetime64(time).astype("datetime64[s]")
        if np.isnat(time) or exact != time:
            raise ValueError(f"Expected a time in whole seconds (got {exact}).")
        readings = np.array(readings, dtype=np.float32)
        if readings.shape != (len(self.vdids), len(self.spec.features)):
            raise ValueError(
                f"Expected readings of {len(self.vdids)} detectors and the features "
                f"{self.spec.features} (got shape {readings.shape})."
            )
        if np.isinf(readings).any():
            rows = np.flatnonzero(np.isinf(readings).any(axis=1)).tolist()
            names = [self.vdids[row] for row in rows[:5]]
            raise ValueError(
                f"Expected finite readings, or NaN where missing (got inf of {names})."
            )
        self.backend.attend()
        missed = self._missed(time)
        self.time = time  # before anything is taken in, so that a failure from here on is seen
        for own in missed:
            self.memory.push(own, np.full_like(readings, np.nan))
        self.memory.push(time, readings)
        forecast = self.memory.forecast(time)
        if self.profile is not None:
            self.profile.learn(time, readings)
        return self.telling.tell(time, forecast, readings)

    def state(self) -> dict[str, Any]:
        """What it remembers: arrays and plain values by name.

        A part that did not change since is the same object, so that only others need be written.
        """
        parts = {f"{n}/{k}": v for n, kept in self.kept.items() for k, v in kept.state().items()}
        time = None if self.time is None else str(self.time)
        own = {"time": time, "detectors": self._detectors}
        return {"belongs_to": self._belongs_to, **own, **parts}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave; a part that it does not have starts anew.

        Raises:
            ValueError: if it is the state of another form of forecaster or of memory.
        """
        if state.get("belongs_to") != self._fingerprint():
            raise ValueError(
                "It is the state of a network with other weights, features or intervals, of "
                "another kind of memory, or of another version of this library. Remove it to start "
                "anew, or give the checkpoint that it belongs to."
            )
        found = state["detectors"]
        spec = self._spec_of(*(found[name] for name in ("vdids", "lat", "lon")))
        self._follow(spec, held=[])
        for name, kept in self.kept.items():
            start = f"{name}/"
            own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            if own or name == "memory":
                kept.restore(own)
        self.time = None if state["time"] is None else np.datetime64(state["time"])

    def _follow(self, spec: DataSpec, held: list[str]) -> None:
        """Follow the detectors of ``spec``; those that were ``held`` keep their state."""
        self.backend.follow(spec)
        place = {vdid: row for row, vdid in enumerate(held)}
        rows = np.array([place.get(vdid, -1) for vdid in spec.vdids], dtype=np.int64)
        self.memory.take(rows)
        self.telling.take(rows)
        self.spec = spec
        if self.profile is not None:
            self.profile.follow()
        positions = {"lat": spec.lat.tolist(), "lon": spec.lon.tolist()}
        self._detectors = {"vdids": spec.vdids, **positions}
        self._belongs_to = self._fingerprint()

    def _fingerprint(self) -> str:
        spec = self.spec
        words = f"{STATE_FORMAT} {self.kind} {spec.features} {spec.units} {spec.step} {spec.window}"
        return f"{words} {self.memory.fingerprint()}"

    def _missed(self, time: np.datetime64) -> list[np.datetime64]:
        """Times between the last and this one, none at the start or after a gap too long."""
        if self.time is None:
            self._check_phase(time)
            return []
        if (time - self.time) / self.spec.step - 1 > self.max_gap:
            self._check_phase(time)
            self.memory.forget(len(self.vdids))
            return []
        steps, rest = divmod(time - self.time, self.spec.step)
        if rest or steps < 1:
            raise ValueError(
                f"Expected a time some whole intervals of {self.spec.step} after {self.time} UTC "
                f"(got {time})."
            )
        return [self.time + k * self.spec.step for k in range(1, int(steps))]

    def _check_phase(self, time: np.datetime64) -> None:
        """Refuse a start off the grid of the training, whose times would all be refused later."""
        begin = self.trained_on.train_start
        if begin is None or not set(self.vdids) & set(self.trained_on.vdids):
            return  # detectors of elsewhere may have a grid of their own
        rest = (time - begin.astype("datetime64[s]")) % self.spec.step
        if rest != np.timedelta64(0, "s"):
            raise ValueError(
                f"Expected a time on the grid of the training, intervals of {self.spec.step} from "
                f"{begin} UTC (got {time})."
            )


def _backend_of(forecaster: "Forecaster | RuntimeForecaster") -> Any:
    if isinstance(forecaster, RuntimeForecaster):
        return OnnxBackend(forecaster)
    from socialgraph.stream.with_torch import TorchBackend

    return TorchBackend(forecaster)
