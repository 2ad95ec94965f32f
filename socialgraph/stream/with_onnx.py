"""A stream on an exported forecaster, without PyTorch."""

from typing import NoReturn

import numpy as np

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

    def state_memory(self) -> NoReturn:
        """Refuse: the file has no state between two steps.

        Raises:
            ValueError: always.
        """
        raise ValueError("An exported file forecasts from windows: use memory='window'.")

    def alarm_watch(self, rate: float) -> NoReturn:
        """Refuse: the file has no calibration of alarms.

        Raises:
            ValueError: always.
        """
        raise ValueError("An exported file tells no alarms: follow the stream with the checkpoint.")

    def learning_profile(self, half_life: float) -> NoReturn:
        """Refuse: what is usual is part of the file.

        Raises:
            ValueError: always.
        """
        raise ValueError("An exported file holds what is usual: learn it with the checkpoint.")
