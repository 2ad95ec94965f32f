"""What a stream tells of a forecast: its columns, intervals that follow drift, and alarms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from socialgraph.adaptive import AdaptiveIntervals
from socialgraph.stream.memory import Kept
from socialgraph.table import column_names

if TYPE_CHECKING:
    from torch import Tensor

    from socialgraph.alarms import AlarmWatch
    from socialgraph.forecaster import Forecaster
    from socialgraph.runtime import RuntimeForecaster

__all__ = ["Telling"]


class Telling:
    """Makes the columns that a stream tells from the forecasts of its backend.

    Args:
        forecaster: as of :class:`socialgraph.stream.StreamingForecaster`.
        backend: what forecasts, and watches over detectors.
        adapt, alarm_rate: as of the stream.

    Raises:
        ValueError: if intervals or alarms are asked for, and the training has calibrated none.
    """

    def __init__(
        self,
        forecaster: "Forecaster | RuntimeForecaster",
        backend: Any,
        adapt: bool,
        alarm_rate: float | None,
    ) -> None:
        self.forecaster, self.backend = forecaster, backend
        self.intervals = _intervals_of(forecaster) if adapt else None
        self.watch: AlarmWatch | None = None
        if alarm_rate is not None:
            self.watch = backend.alarm_watch(alarm_rate)

    @property
    def columns(self) -> list[str]:
        """Names of what is told ``[C]``."""
        levels, targets = self.forecaster.levels, self.forecaster.spec.targets
        names = [name for target in targets for name in column_names(target, levels)]
        return names if self.watch is None else [*names, "alarm"]

    def kept(self) -> dict[str, Kept]:
        """What of it has a state of its own, by name."""
        parts = {"intervals": self.intervals, "alarms": self.watch}
        return {name: part for name, part in parts.items() if part is not None}

    def take(self, rows: np.ndarray) -> None:
        """Tell of other detectors, as :meth:`socialgraph.stream.memory.Memory.take`."""
        if self.intervals is not None:
            self.intervals.take(rows)
        if self.watch is not None:
            self.backend.watch_others(self.watch, rows)

    def tell(
        self,
        time: np.datetime64,
        forecast: "Mapping[str, np.ndarray | Tensor]",
        readings: np.ndarray,
    ) -> "np.ndarray | Tensor":
        """The columns ``[P, N, C]`` of a forecast.

        Args:
            time: of the readings.
            forecast: as of :class:`socialgraph.stream.memory.Backend`.
            readings: after which it was made ``[N, F]``.
        """
        if self.intervals is None and self.watch is None:
            return _by_column(forecast)
        arrays = {n: np.asarray(p.cpu() if hasattr(p, "cpu") else p) for n, p in forecast.items()}
        if self.intervals is not None:
            targets = readings[:, : arrays["forecast"].shape[-1]]
            arrays["quantiles"] = self.intervals.update(time, arrays, targets)
        told = _by_column(arrays)
        if self.watch is not None:
            codes = self.watch.codes(time, arrays["quantiles"], readings)
            column = np.broadcast_to(codes[:, None], (*told.shape[:2], 1))
            told = np.concatenate([told, column], axis=-1)
        point = forecast["forecast"]
        return told if isinstance(point, np.ndarray) else point.new_tensor(told)


def _by_column(forecast: "Mapping[str, np.ndarray | Tensor]") -> "np.ndarray | Tensor":
    """``[P, N, C]``: of each target its forecast, then its quantiles."""
    point, quantiles = forecast["forecast"], forecast.get("quantiles")
    if quantiles is None:
        return point
    if isinstance(point, np.ndarray):
        parts = np.concatenate([point[..., None], quantiles], axis=-1)
    else:
        parts = point.new_empty((*point.shape, 1 + quantiles.shape[-1]))
        parts[..., 0], parts[..., 1:] = point, quantiles
    return parts.reshape(*point.shape[:2], -1)


def _intervals_of(forecaster: "Forecaster | RuntimeForecaster") -> AdaptiveIntervals:
    if len(forecaster.levels) < 2:
        raise ValueError(
            "Expected a forecaster that tells intervals, to let them follow drift. Train with "
            "--model.coverage 0.9, or without --adapt."
        )
    return AdaptiveIntervals(forecaster.levels, forecaster.spec.step)
