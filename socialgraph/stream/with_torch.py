"""A stream on a forecaster of PyTorch: batches, graph, and the state of an encoder."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from socialgraph.alarms import AlarmWatch, make_watch
from socialgraph.calendar import clock
from socialgraph.data import graph_tensors
from socialgraph.forecaster import Forecaster
from socialgraph.profile import DailyProfile
from socialgraph.spec import DataSpec
from socialgraph.stream.profile import LearningProfile
from socialgraph.stream.state_memory import StateMemory

__all__ = ["TorchBackend"]


class TorchBackend:
    """Forecasts from windows by the network of a forecaster.

    Args:
        forecaster: a trained forecaster, which several streams may share.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self.forecaster = forecaster.eval()
        self.spec = forecaster.spec
        self.graph: dict[str, Tensor] = {}
        self.usual: DailyProfile | None = None  # what the followed detectors usually read

    def follow(self, spec: DataSpec) -> None:
        """Forecast the detectors of ``spec`` from now on.

        Raises:
            ValueError: if the network cannot.
        """
        graph = graph_tensors(self.forecaster.build_graph(), spec)
        self.forecaster.check_batch(graph, spec)
        self._tell(spec)
        self.spec = spec
        self.usual = self.forecaster.usual
        device = self.forecaster.device
        self.graph = {name: part.to(device) for name, part in graph.items()}

    def attend(self) -> None:
        """Tell the forecaster again what is followed, as another stream may have used it."""
        if self.forecaster.given is not self.spec:
            self._tell(self.spec)
        self.forecaster.usual = self.usual

    @torch.inference_mode()
    def forecast(self, times: np.ndarray, readings: np.ndarray) -> dict[str, Tensor]:
        """As of :class:`socialgraph.stream.memory.Backend`."""
        prediction = self.forecaster.predict(self.make_batch(times, readings))[0]
        return self.forecaster.outputs(prediction)

    def state_memory(self, read_again: bool) -> StateMemory:
        """A memory of the state of the encoder; arguments and errors of :class:`StateMemory`."""
        return StateMemory(self, read_again)

    def learning_profile(self, half_life: float) -> LearningProfile:
        """What is usual, as it goes on; raises as :class:`LearningProfile` does."""
        return LearningProfile(self, half_life)

    def alarm_watch(self, rate: float) -> AlarmWatch:
        """A watch on the detectors of the training.

        Raises:
            ValueError: if the training has calibrated no alarms.
        """
        charts = self.forecaster.charts
        if charts is None:
            raise ValueError(
                "Expected a training that calibrates alarms. Train with --model.coverage 0.9, in "
                "one process and on one series, or leave --alarm_rate out."
            )
        self.follow(self.spec)
        return make_watch(charts, self.forecaster.spec, self.spec, self._edges(), rate)

    def watch_others(self, watch: AlarmWatch, rows: np.ndarray) -> None:
        """Let a watch be on the detectors that are followed now, by their places before."""
        trained = self.forecaster.spec
        fresh = make_watch(self.forecaster.charts, trained, self.spec, self._edges(), 1.0)
        watch.take(rows, fresh.charts, fresh.edge_index)

    def make_batch(self, times: np.ndarray, readings: np.ndarray) -> dict[str, Tensor]:
        """A batch of one window from its times ``[T]`` and readings ``[T, N, F]``."""
        values = torch.from_numpy(readings).to(self.forecaster.device)
        mask = ~values.isnan()
        spec = self.spec
        clocks = zip(
            ("", "target_"),
            (
                clock(part, spec.timezone, spec.holidays)
                for part in (times, spec.times(times[-1:])[0])
            ),
            strict=True,
        )
        entries = {
            f"{target}{name}": torch.from_numpy(part)[None].to(values.device)
            for target, parts in clocks
            for name, part in zip(("time_of_day", "day_of_week"), parts, strict=True)
        }
        return {
            "features": torch.where(mask, values, 0.0)[None],
            "mask": mask[None],
            **entries,
            **self.graph,
        }

    def fingerprint(self) -> str:
        """Hash of weights and scales, by which the state of an encoder is known to be theirs."""
        digest = hashlib.sha256()
        for tensor in (*self.forecaster.network.parameters(), *self.forecaster.scaler.buffers()):
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _edges(self) -> np.ndarray | None:
        edge_index = self.graph.get("edge_index")
        return None if edge_index is None else edge_index.cpu().numpy()

    def _tell(self, spec: DataSpec) -> None:
        before = self.forecaster.given
        with torch.inference_mode(False):  # weights that can be trained later
            try:
                self.forecaster.follow(spec)
            except ValueError:
                if before is not None:
                    self.forecaster.follow(before)
                raise
