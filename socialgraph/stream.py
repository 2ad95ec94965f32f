"""Forecasts that follow a stream of readings, at a cost that does not grow with the history."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from socialgraph.atomic import replacing
from socialgraph.calendar import clock
from socialgraph.data import graph_tensors
from socialgraph.forecaster import Forecaster
from socialgraph.nn import NetworkState
from socialgraph.spec import DataSpec

__all__ = ["StreamingForecaster"]

STATE_FORMAT = 4  # counts up if the numbers of a state come to mean something else


class StreamingForecaster:
    """Follows the readings of all detectors and forecasts after each of them.

    After every reading it gives the forecasts that the network gives for the whole history since
    the start, gaps included, at the cost of one step. Detectors come and go by their ids, and the
    state is saved and restored.

    Args:
        forecaster: a trained forecaster of a :class:`socialgraph.nn.SocialGraphNet`, as
            :func:`socialgraph.load` gives it.
        max_gap: missing steps in a row that are read as such; after a longer gap it starts anew.

    Raises:
        ValueError: for a forecaster without training, or a network that cannot stream.
    """

    def __init__(self, forecaster: Forecaster, max_gap: int = 288) -> None:
        if not getattr(forecaster.network, "steps", False):
            raise ValueError(
                "Expected a network whose encoder carries a state from step to step (got "
                f"{type(forecaster.network).__name__}). Forecast from the last window of readings "
                "instead: Forecaster.forecast(series), or 'socialgraph predict'."
            )
        if forecaster.spec is None:
            raise ValueError("Expected a trained forecaster: fit it, or load a checkpoint.")
        self.forecaster = forecaster.eval()
        self.network = forecaster.network
        self.trained_on = forecaster.spec
        self.max_gap = max_gap
        self.time: np.datetime64 | None = None
        self.readings: Tensor | None = None
        self._state = self.network.start(0)
        self._spare: NetworkState | None = None  # memory for the next state
        self._follow(self.trained_on, held=[])

    @property
    def vdids(self) -> list[str]:
        """Ids of the detectors that are followed."""
        return self.spec.vdids

    def set_detectors(
        self, vdids: Sequence[str], lat: Sequence[float] | Tensor, lon: Sequence[float] | Tensor
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
        lat, lon = (np.array(part, dtype=np.float64) for part in (lat, lon))
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
        for missed in self._missed(time):
            self._step(missed, torch.full_like(readings, torch.nan))
        forecast = self._step(time, readings)
        self.readings = readings
        return forecast

    def save(self, path: str | Path, extra: dict | None = None) -> None:
        """Write the state, whole or not at all.

        Args:
            path: file to write.
            extra: plain values to keep with it.
        """
        encoder = [tuple(block) for block in self._state.encoder]
        time = None if self.time is None else str(self.time)
        with replacing(path) as temporary:
            torch.save(
                {
                    "time": time,
                    "readings": self.readings,
                    "vdids": self.vdids,
                    "lat": self.spec.lat.tolist(),
                    "lon": self.spec.lon.tolist(),
                    "encoder": encoder,
                    "last": self._state.last,
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
            saved = torch.load(path, map_location=self.forecaster.device, weights_only=True)
            kinds = map(type, self._state.encoder)
            blocks = zip(kinds, saved["encoder"], strict=True)
            state = NetworkState(tuple(kind(*block) for kind, block in blocks), saved["last"])
            time = None if saved["time"] is None else np.datetime64(saved["time"])
            readings, weights, extra = (saved[name] for name in ("readings", "weights", "extra"))
            detectors = [saved[name] for name in ("vdids", "lat", "lon")]
        except Exception as error:
            raise ValueError(f"'{path}' is no state of a stream: {error}. Remove it.") from error
        if weights != self._fingerprint():
            raise ValueError(
                f"'{path}' is the state of a network with other weights or scales, or of another "
                "version of this library. Remove it to start anew, or give the checkpoint that it "
                "belongs to."
            )
        self.set_detectors(*detectors)
        self.time, self.readings, self._state = time, readings, state
        return extra

    def _follow(self, spec: DataSpec, held: list[str]) -> None:
        """Follow the detectors of ``spec``; those that were ``held`` keep their state."""
        node = self.forecaster.rows(spec)
        graph = graph_tensors(self.forecaster.build_graph(), spec)
        self.forecaster.check_batch(graph, spec)
        place = {vdid: row for row, vdid in enumerate(held)}
        rows = [place.get(vdid, len(held) + i) for i, vdid in enumerate(spec.vdids)]
        index = torch.tensor(rows)
        self._state = _map(
            lambda old, new: torch.cat([old, new]).index_select(0, index.to(old.device)),
            self._state,
            self.network.start(len(rows)),
        )
        self._spare = None
        if spec.vdids != held:
            self.readings = None
        self.spec, self.node = spec, node
        device = self.forecaster.device
        self.graph = {name: part.to(device) for name, part in graph.items()}

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
            self._state = self.network.start(len(self.vdids))
            return []
        return [self.time + k * self.spec.step for k in range(1, int(steps))]

    def _step(self, time: np.datetime64, readings: Tensor) -> Tensor:
        forecaster, device = self.forecaster, self.forecaster.device
        readings = readings.to(device)
        mask = ~readings.isnan()
        now = clock(np.array([time]), self.spec.timezone)
        time_of_day, day_of_week = (torch.from_numpy(part)[0].to(device) for part in now)
        batch = {
            "features": forecaster.scaler.transform(readings, mask)[None, None],
            "mask": mask[None, None],
            "time_of_day": time_of_day.view(1, 1),
            "day_of_week": day_of_week.view(1, 1),
            "node": self.node,
            **self.graph,
        }
        forecast, state = self.network.step(self._state, self._spare, **batch)
        self._state, self._spare = state, self._state
        self.time = time
        return forecaster.scaler.inverse(forecast.float())[0]

    def _fingerprint(self) -> str:
        """Hash of weights, scales and interval, by which a state is known to belong to them."""
        words = f"{STATE_FORMAT} {self.spec.features} {self.spec.step}"
        digest = hashlib.sha256(words.encode())
        tensors = [*self.network.parameters(), *self.forecaster.scaler.buffers()]
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _map(function, state: NetworkState, other: NetworkState) -> NetworkState:
    """A function of every pair of tensors of two states."""
    pairs = zip(state.encoder, other.encoder, strict=True)
    encoder = tuple(type(block)(*map(function, block, own)) for block, own in pairs)
    return NetworkState(encoder, function(state.last, other.last))
