"""A stream on an exported forecaster, without PyTorch."""

from typing import NoReturn

import numpy as np

from socialgraph.alarms import AlarmWatch, make_watch
from socialgraph.runtime import RuntimeForecaster
from socialgraph.spec import DataSpec, SpecError

__all__ = ["OnnxBackend"]


class OnnxBackend:
    """Forecasts from windows by onnxruntime, of the detectors of the training.

    Args:
        forecaster: the exported forecaster.
    """

    def __init__(self, forecaster: RuntimeForecaster) -> None:
        self.forecaster = forecaster
        self.spec = forecaster.spec

    def follow(self, spec: DataSpec) -> None:
        """Refuse other detectors than those of the training.

        Raises:
            SpecError: for these.
        """
        if spec.vdids != self.spec.vdids:
            raise SpecError(
                "Expected the detectors of the training in their order, as an exported file has "
                "the graph of these alone. Give the checkpoint to follow others."
            )

    def attend(self) -> None:
        """Nothing: it has one list of detectors."""

    def forecast(self, times: np.ndarray, readings: np.ndarray) -> dict[str, np.ndarray]:
        """As of :class:`socialgraph.stream.memory.Backend`."""
        found = self.forecaster.outputs(readings[None], times[-1:])
        return {name: part[0] for name, part in found.items()}

    def state_memory(self, read_again: bool) -> NoReturn:
        """Refuse: the file has no state between two steps.

        Raises:
            ValueError: always.
        """
        raise ValueError("An exported file forecasts from windows: use memory='window'.")

    def alarm_watch(self, rate: float) -> AlarmWatch:
        """A watch on the detectors of the training.

        Raises:
            ValueError: if the file holds no charts of alarms.
        """
        charts = self.forecaster.charts
        if charts is None:
            raise ValueError(
                "Expected an exported file with alarms. Export a checkpoint whose training has "
                "calibrated them (--model.coverage 0.9) again, or leave --alarm_rate out."
            )
        return make_watch(charts, self.spec, self.spec, self.forecaster.neighbours, rate)

    def watch_others(self, watch: AlarmWatch, rows: np.ndarray) -> None:
        """Let a watch be on the detectors of the training, by their places before."""
        watch.take(rows, watch.charts, watch.edge_index)

    def learning_profile(self, half_life: float) -> NoReturn:
        """Refuse: what is usual is part of the file.

        Raises:
            ValueError: always.
        """
        raise ValueError("An exported file holds what is usual: learn it with the checkpoint.")
