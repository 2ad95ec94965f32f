"""Forecasts that follow a stream of readings, at a cost that does not grow with the history."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from socialgraph.atomic import replacing
from socialgraph.calendar import clock
from socialgraph.checkpoint import read_archive, save_archive
from socialgraph.data import graph_tensors
from socialgraph.forecaster import Forecaster
from socialgraph.memory import KINDS, Kind
from socialgraph.spec import DataSpec

__all__ = ["StreamingForecaster"]

STATE_FORMAT = 5  # counts up if the numbers of a state come to mean something else


class StreamingForecaster:
    """Follows the readings of all detectors and forecasts after each of them.

    With ``memory="window"`` it forecasts from the last window of readings, gaps included: the
    numbers of ``socialgraph predict`` and ``test``. With ``"state"`` it carries the state of the
    encoder from reading to reading and gives the forecasts of the whole history since the start, at
    the cost of one step. Detectors come and go by their ids, and the memory is saved and restored.

    What a detector usually reads is that of the training; a detector that was not in it is told the
    mean of the others.

    Args:
        forecaster: a trained forecaster, as :func:`socialgraph.load` gives it.
        max_gap: missing steps in a row that are read as such; after a longer gap it starts anew.
        memory: ``"window"`` or ``"state"``.

    Raises:
        ValueError: for a forecaster without training, a memory of another name, or one that the
            network cannot have.
    """

    def __init__(self, forecaster: Forecaster, max_gap: int = 288, memory: Kind = "window") -> None:
        if memory not in KINDS:
            raise ValueError(f"Expected 'memory' as one of {list(KINDS)} (got {memory!r}).")
        if forecaster.spec is None:
            raise ValueError("Expected a trained forecaster: fit it, or load a checkpoint.")
        if forecaster.spec.known:
            raise ValueError(
                f"The forecaster reads {forecaster.spec.known}, which are known ahead, and a "
                "stream does not bring them. Forecast with 'socialgraph predict', or train without."
            )
        if memory == "state" and not getattr(forecaster.network, "steps", False):
            raise ValueError(
                "Expected a network whose encoder carries a state from step to step, for "
                f"memory='state' (got a {type(forecaster.network).__name__} that does not). Use "
                "memory='window'."
            )
        self.forecaster = forecaster.eval()
        self.network = forecaster.network
        self.trained_on = forecaster.spec
        self.max_gap = max_gap
        self.kind = memory
        self.time: np.datetime64 | None = None
        self.readings: Tensor | None = None
        self.memory = KINDS[memory](forecaster, self._make_batch)
        self._follow(self.trained_on, held=[])

    @property
    def vdids(self) -> list[str]:
        """Ids of the detectors that are followed."""
        return self.spec.vdids

    def set_detectors(
        self,
        vdids: Sequence[str],
        lat: Sequence[float] | np.ndarray | Tensor,
        lon: Sequence[float] | np.ndarray | Tensor,
    ) -> None:
        """Follow these detectors from now on.

        Those that were followed keep what they remember, others start without a memory.

        Args:
            vdids: ids of the detectors, N.
            lat: latitudes in degrees ``[N]``, NaN where not known.
            lon: longitudes.

        Raises:
            ValueError: without detectors, if an id stands twice, the lengths differ, or the network
                knows each detector by itself and not one of these.
        """
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
        self._follow(trained.with_detectors(vdids, lat, lon, edges), held=self.vdids)

    @torch.inference_mode()
    def update(self, time: np.datetime64, readings: Tensor | np.ndarray) -> Tensor:
        """Read what the detectors report at a time, and forecast the steps after it.

        Steps that were left out since the last time are read as missing.

        Args:
            time: of the readings, UTC.
            readings: in real units ``[N, F]``, in the order of :attr:`vdids`, NaN where missing.

        Returns:
            Forecasts in real units ``[P, N, F]``, of the targets.

        Raises:
            ValueError: for readings of another shape or infinite ones, or a time that is not a
                whole number of intervals after the last.
        """
        exact, time = np.datetime64(time), np.datetime64(time, "s")
        if np.isnat(time) or exact != time:
            raise ValueError(f"Expected a time in whole seconds (got {exact}).")
        readings = torch.as_tensor(readings, dtype=torch.float32).clone()
        if readings.shape != (len(self.vdids), len(self.spec.features)):
            raise ValueError(
                f"Expected readings of {len(self.vdids)} detectors and the features "
                f"{self.spec.features} (got shape {tuple(readings.shape)})."
            )
        if readings.isinf().any():
            rows = readings.isinf().any(dim=1).nonzero().flatten().tolist()
            names = [self.vdids[row] for row in rows[:5]]
            raise ValueError(
                f"Expected finite readings, or NaN where missing (got inf of {names})."
            )
        if self.forecaster.given is not self.spec:  # another stream has used it
            self._tell_forecaster()
        for missed in self._missed(time):
            self.memory.push(missed, torch.full_like(readings, torch.nan))
        self.memory.push(time, readings)
        self.time, self.readings = time, readings
        return self.forecaster.objective.point(self.memory.forecast(time))

    def save(self, path: str | Path, extra: dict | None = None) -> None:
        """Write the state, whole or not at all.

        Args:
            path: file to write.
            extra: plain values to keep with it.
        """
        time = None if self.time is None else str(self.time)
        with replacing(path) as temporary:
            save_archive(
                {
                    "time": time,
                    "readings": self.readings,
                    "vdids": self.vdids,
                    "lat": self.spec.lat.tolist(),
                    "lon": self.spec.lon.tolist(),
                    "memory": self.memory.state(),
                    "weights": self._fingerprint(),
                    "extra": extra or {},
                },
                temporary,
            )

    def load(self, path: str | Path) -> dict:
        """Go on from a saved state; returns the values that were kept with it.

        Raises:
            ValueError: if the file holds no such state, or that of other weights.
        """
        try:
            saved = read_archive(path, self.forecaster.device)
            time = None if saved["time"] is None else np.datetime64(saved["time"])
            readings, weights, extra = (saved[name] for name in ("readings", "weights", "extra"))
            detectors = [saved[name] for name in ("vdids", "lat", "lon")]
            memory = saved["memory"]
        except Exception as error:
            raise ValueError(f"'{path}' is no state of a stream: {error}. Remove it.") from error
        if weights != self._fingerprint():
            raise ValueError(
                f"'{path}' is the state of a network with other weights or scales, of another "
                "kind of memory, or of another version of this library. Remove it to start anew, "
                "or give the checkpoint that it belongs to."
            )
        self.set_detectors(*detectors)
        self.memory.restore(memory)
        self.time, self.readings = time, readings
        return extra

    def _follow(self, spec: DataSpec, held: list[str]) -> None:
        """Follow the detectors of ``spec``; those that were ``held`` keep their state."""
        graph = graph_tensors(self.forecaster.build_graph(), spec)
        self.forecaster.check_batch(graph, spec)
        place = {vdid: row for row, vdid in enumerate(held)}
        rows = torch.tensor([place.get(vdid, -1) for vdid in spec.vdids])
        before, self.spec = getattr(self, "spec", spec), spec
        try:
            self._tell_forecaster()
        except ValueError:
            self.spec = before
            raise
        self.memory.take(rows)
        if spec.vdids != held:
            self.readings = None
        device = self.forecaster.device
        self.graph = {name: part.to(device) for name, part in graph.items()}

    def _tell_forecaster(self) -> None:
        with torch.inference_mode(False):  # weights that can be trained later
            self.forecaster.follow(self.spec)

    def _missed(self, time: np.datetime64) -> list[np.datetime64]:
        """Times between the last and this one, none at the start or after a gap too long."""
        if self.time is None:
            return []
        steps, rest = divmod(time - self.time, self.spec.step)
        if rest or steps < 1:
            raise ValueError(
                f"Expected a time some whole intervals of {self.spec.step} after {self.time} UTC "
                f"(got {time})."
            )
        if steps - 1 > self.max_gap:
            self.memory.forget(len(self.vdids))
            return []
        return [self.time + k * self.spec.step for k in range(1, int(steps))]

    def _make_batch(self, times: np.ndarray, readings: Tensor) -> dict[str, Tensor]:
        """A batch of one window from its times ``[T]`` and readings ``[T, N, F]``."""
        readings = readings.to(self.forecaster.device)
        mask = ~readings.isnan()
        clocks = zip(
            ("", "target_"),
            (
                clock(part, self.spec.timezone, self.spec.holidays)
                for part in (times, self.spec.times(times[-1:])[0])
            ),
            strict=True,
        )
        entries = {
            f"{target}{name}": torch.from_numpy(part)[None].to(readings.device)
            for target, parts in clocks
            for name, part in zip(("time_of_day", "day_of_week"), parts, strict=True)
        }
        return {
            "features": torch.where(mask, readings, 0.0)[None],
            "mask": mask[None],
            **entries,
            **self.graph,
        }

    def _fingerprint(self) -> str:
        """Hash of weights, scales and interval, by which a state is known to belong to them."""
        words = f"{STATE_FORMAT} {self.kind} {self.spec.features} {self.spec.step}"
        digest = hashlib.sha256(words.encode())
        tensors = [*self.network.parameters(), *self.forecaster.scaler.buffers()]
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
