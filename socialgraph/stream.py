"""Forecasts that follow a stream of readings, at a cost that does not grow with the history."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from socialgraph.atomic import replacing
from socialgraph.data import time_covariates
from socialgraph.forecaster import Forecaster
from socialgraph.graph import build_radius_graph, project
from socialgraph.nn import NetworkState, SocialGraphNet

__all__ = ["StreamingForecaster"]

STATE_FORMAT = 2  # counts up where the numbers of a state come to mean something else


class StreamingForecaster:
    """Follows the readings of all detectors and forecasts after each of them.

    After every reading it gives the forecasts that the network gives for the whole history since
    the start, gaps included, at the cost of one step. Detectors come and go by their ids, and the
    state is saved and restored.

    Args:
        forecaster: a trained forecaster of a :class:`socialgraph.nn.SocialGraphNet`, as
            ``Forecaster.load_from_checkpoint`` gives it.
        max_gap: missing steps in a row that are read as such; after a longer gap it starts anew.

    Raises:
        ValueError: for a forecaster without training, or a network that cannot stream.
    """

    def __init__(self, forecaster: Forecaster, max_gap: int = 288) -> None:
        if not isinstance(forecaster.network, SocialGraphNet):
            raise ValueError(
                "Expected a SocialGraphNet, whose shared encoder carries a state (got "
                f"{type(forecaster.network).__name__})."
            )
        if forecaster.data is None or forecaster.scaler is None:
            raise ValueError("Expected a trained forecaster, from Forecaster.load_from_checkpoint.")
        self.forecaster = forecaster.eval()
        self.network = forecaster.network
        self.data = forecaster.data
        self.max_gap = max_gap
        self.step_length = np.timedelta64(round(60 * self.data["interval_minutes"]), "s")
        self.time: np.datetime64 | None = None
        self.vd_ids: list[str] = []
        self._state = self.network.start(0)
        self._spare: NetworkState | None = None  # memory for the next state
        self.set_detectors(*(self.data[name] for name in ("vdids", "position_lat", "position_lon")))

    @property
    def targets(self) -> list[str]:
        """Names of the features that are forecast."""
        return self.data["features"][: self.data["num_targets"]]

    def set_detectors(
        self, vd_ids: Sequence[str], lat: Sequence[float] | Tensor, lon: Sequence[float] | Tensor
    ) -> None:
        """Follow these detectors from now on.

        Those that were followed keep what they remember, others start without a memory.

        Args:
            vd_ids: ids of the detectors, N.
            lat: latitudes in degrees ``[N]``, NaN where not known.
            lon: longitudes.

        Raises:
            ValueError: without detectors, where an id stands twice, or the lengths differ.
        """
        vd_ids = [str(vdid) for vdid in vd_ids]
        lat, lon = (np.array(part, dtype=np.float64) for part in (lat, lon))
        if not vd_ids:
            raise ValueError("Expected one detector or more (got none).")
        if len(set(vd_ids)) < len(vd_ids) or not len(vd_ids) == len(lat) == len(lon):
            raise ValueError(
                f"Expected every id once, with a latitude and a longitude (got {len(vd_ids)} ids, "
                f"{len(set(vd_ids))} different ones, {len(lat)} and {len(lon)} coordinates)."
            )
        graph = self._build_graph(lat, lon)
        place = {vdid: row for row, vdid in enumerate(self.vd_ids)}
        fresh, held = self.network.start(len(vd_ids)), len(self.vd_ids)
        rows = torch.tensor([place.get(vdid, held + i) for i, vdid in enumerate(vd_ids)])
        self._state = _map(
            lambda old, new: torch.cat([old, new]).index_select(0, rows.to(old.device)),
            self._state,
            fresh,
        )
        self._spare = None
        self.vd_ids, self.lat, self.lon, self.graph = vd_ids, lat, lon, graph

    @torch.inference_mode()
    def update(self, time: np.datetime64, readings: Tensor | np.ndarray) -> Tensor:
        """Read what the detectors report at a time, and forecast the steps after it.

        Steps that were left out since the last time are read as missing.

        Args:
            time: of the readings, on the local clock of the training data.
            readings: in real units ``[N, F]``, in the order of :attr:`vd_ids`, NaN where missing.

        Returns:
            Forecasts in real units ``[P, N, F]``, of :attr:`targets`.

        Raises:
            ValueError: for readings of another shape or infinite ones, or a time that is not a
                whole number of intervals after the last.
        """
        exact, time = np.datetime64(time), np.datetime64(time, "s")
        if np.isnat(time) or exact != time:
            raise ValueError(f"Expected a time in whole seconds (got {exact}).")
        readings = torch.as_tensor(readings, dtype=torch.float32)
        if readings.shape != (len(self.vd_ids), len(self.data["features"])):
            raise ValueError(
                f"Expected readings of {len(self.vd_ids)} detectors and the features "
                f"{self.data['features']} (got shape {tuple(readings.shape)})."
            )
        if readings.isinf().any():
            rows = readings.isinf().any(dim=1).nonzero().flatten().tolist()
            names = [self.vd_ids[row] for row in rows[:5]]
            raise ValueError(
                f"Expected finite readings, or NaN where missing (got inf of {names})."
            )
        for missed in self._missed(time):
            self._step(missed, torch.full_like(readings, torch.nan))
        return self._step(time, readings)

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
                    "vd_ids": self.vd_ids,
                    "lat": self.lat.tolist(),
                    "lon": self.lon.tolist(),
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
            ValueError: where the file holds no such state, or that of other weights.
        """
        try:
            saved = torch.load(path, map_location=self.forecaster.device, weights_only=True)
            kinds = map(type, self._state.encoder)
            blocks = zip(kinds, saved["encoder"], strict=True)
            state = NetworkState(tuple(kind(*block) for kind, block in blocks), saved["last"])
            time = None if saved["time"] is None else np.datetime64(saved["time"])
            names = ("weights", "vd_ids", "extra")
            weights, vd_ids, extra = (saved[name] for name in names)
            lat, lon = (np.array(saved[name]) for name in ("lat", "lon"))
        except Exception as error:
            raise ValueError(f"'{path}' is no state of a stream: {error}. Remove it.") from error
        if weights != self._fingerprint():
            raise ValueError(
                f"'{path}' is the state of a network with other weights or scales, or of another "
                "version of this library. Remove it to start anew, or give the checkpoint that it "
                "belongs to."
            )
        self.graph = self._build_graph(lat, lon)
        self.time, self._state, self._spare = time, state, None
        self.vd_ids, self.lat, self.lon = vd_ids, lat, lon
        return extra

    def _missed(self, time: np.datetime64) -> list[np.datetime64]:
        """Times between the last and this one, none at the start or after a gap too long."""
        if self.time is None:
            return []
        steps, rest = divmod(time - self.time, self.step_length)
        if rest or steps < 1:
            raise ValueError(
                f"Expected a time some whole intervals of {self.step_length} after {self.time} "
                f"(got {time})."
            )
        if steps - 1 > self.max_gap:
            self._state = self.network.start(len(self.vd_ids))
            return []
        return [self.time + k * self.step_length for k in range(1, int(steps))]

    def _step(self, time: np.datetime64, readings: Tensor) -> Tensor:
        device = self.forecaster.device
        readings = readings.to(device)
        mask = ~readings.isnan()
        scaled = self.forecaster.scaler.transform(readings)
        time_of_day, day_of_week = (
            part[0].to(device) for part in time_covariates(np.array([time]))
        )
        forecast, state = self.network.step(
            self._state,
            torch.where(mask, scaled, 0.0),
            mask,
            time_of_day,
            day_of_week,
            vd_ids=self.vd_ids,
            **self.graph,
            out=self._spare,
        )
        self._state, self._spare = state, self._state
        self.time = time
        return self.forecaster.scaler.inverse(forecast.float())

    def _build_graph(self, lat: np.ndarray, lon: np.ndarray) -> dict:
        pos = project(lat, lon)
        if np.isnan(pos).all():
            return {}
        graph = {"positions_xy": torch.from_numpy(pos).float()}
        if np.isfinite(pos).all():
            edge_index, distance = build_radius_graph(
                pos, self.data["max_radius"], self.data["max_num_neighbors"]
            )
            graph["edge_index"] = torch.from_numpy(edge_index)
            graph["distance"] = torch.from_numpy(distance).float()
        return {name: part.to(self.forecaster.device) for name, part in graph.items()}

    def _fingerprint(self) -> str:
        """Hash of weights, scales and interval, by which a state is known to belong to them."""
        words = f"{STATE_FORMAT} {self.data['features']} {self.step_length}"
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
