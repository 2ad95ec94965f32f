"""Forecasts from an exported ONNX file, with numpy and onnxruntime and without PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from socialgraph.axis import SeriesError
from socialgraph.calendar import clock
from socialgraph.cusum import charts_of
from socialgraph.series import TrafficSeries
from socialgraph.silence import report_silent
from socialgraph.spec import DataSpec, SpecError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RuntimeForecaster"]

_EDGES = {"edge_index": 1, "distance": 0, "offset": 0, "edge_attr": 0}  # and the axis of edges


class RuntimeForecaster:
    """A forecaster that ``socialgraph export`` wrote.

    :attr:`spec` says what it is for, and :attr:`levels` which quantiles it tells besides the point
    forecast, as those of :class:`socialgraph.forecaster.Forecaster` do. If its training has
    calibrated alarms, a stream on it tells them (:class:`socialgraph.stream.StreamingForecaster`):
    :attr:`charts` are those, and :attr:`neighbours` the edges ``[2, E]`` by which they are told
    apart.

    Args:
        path: file ``.onnx``.
        threads: of a forecast; None leaves it to onnxruntime.

    Raises:
        ImportError: without onnxruntime.
        FileNotFoundError: if there is no such file.
        ValueError: if it is no forecaster of this library.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("Expected onnxruntime: pip install onnxruntime.") from error
        if not Path(path).is_file():
            raise FileNotFoundError(f"No file '{path}'.")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # not that inputs with a default are no constants
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            kept = self._session.get_modelmeta().custom_metadata_map
            self.spec = DataSpec.from_dict(json.loads(kept["socialgraph"]))
            self.levels = [float(level) for level in json.loads(kept.get("levels", "[]"))]
            alarms = json.loads(kept.get("alarms", "null"))
            self.charts = charts_of(alarms and alarms["charts"], len(self.spec.vdids))
            self.neighbours = alarms and _as_edges("edge_index", alarms["edge_index"])
        except Exception as error:  # those of onnxruntime have no class in common
            raise ValueError(
                f"'{path}' is no forecaster that 'socialgraph export' wrote ({error})."
            ) from error
        entries = [*self._session.get_inputs(), *self._session.get_overridable_initializers()]
        self._inputs = {entry.name: entry.shape for entry in entries}

    def predict(
        self,
        readings: np.ndarray,
        issued: np.ndarray,
        known: np.ndarray | None = None,
        node: np.ndarray | None = None,
        graph: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Point forecasts ``[B, P, N, F']``; arguments and errors are those of :meth:`outputs`."""
        return self.outputs(readings, issued, known, node, graph)["forecast"]

    def outputs(
        self,
        readings: np.ndarray,
        issued: np.ndarray,
        known: np.ndarray | None = None,
        node: np.ndarray | None = None,
        graph: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Forecasts of windows, with their quantiles.

        Args:
            readings: in the units of :attr:`spec` ``[B, T, N, F]``, NaN where missing.
            issued: time of the last reading of each window ``[B]``, UTC.
            known: features that are known ahead ``[B, T + P, N, K]``, if :attr:`spec` has some.
            node: rows of N detectors among those of the training, -1 for a stranger; None for all
                of them in their order.
            graph: ``edge_index`` ``[2, E]``, ``distance`` ``[E]`` and ``offset`` ``[E, 2]`` of
                these detectors, in metres; None for the graph of the training.

        Returns:
            ``forecast`` of the targets ``[B, P, N, F']``, and if there are :attr:`levels`,
            ``quantiles`` ``[B, P, N, F', L]``; float32.

        Raises:
            ValueError: if something is of another shape, or is absent.
        """
        readings, issued = np.asarray(readings, np.float32), _as_times(issued)
        rows = np.arange(len(self.spec.vdids)) if node is None else np.asarray(node)
        self._check(readings, issued, known, rows)
        graph = self._read_graph(graph or {}, rows)
        steps = self.spec.step * np.arange(1 - self.spec.window, self.spec.horizon + 1)
        times = issued[:, None] + steps  # [B, T + P]
        time_of_day, day_of_week = clock(times.ravel(), self.spec.timezone, self.spec.holidays)
        entries = {
            "readings": readings,
            "time_of_day": time_of_day.reshape(times.shape),
            "day_of_week": day_of_week.reshape(times.shape),
            "node": rows.astype(np.int64),
            "known": None if known is None else np.asarray(known, np.float32),
            **graph,
        }
        feed = {n: part for n, part in entries.items() if n in self._inputs and part is not None}
        return dict(zip(("forecast", "quantiles"), self._session.run(None, feed), strict=False))

    def forecast(self, series: TrafficSeries) -> "pd.DataFrame":
        """Forecasts of the steps after the end of a series.

        Args:
            series: the last readings, at least a window of them, of all detectors of the training
                (:meth:`socialgraph.series.TrafficSeries.from_frame` takes frames).

        Returns:
            The table of :meth:`socialgraph.forecaster.Forecaster.forecast`; pandas and pyarrow make
            it.

        Raises:
            ValueError: if the series is of another form, has other detectors, or ends in a gap.
            KeyError: if it lacks a feature.
        """
        from socialgraph.table import forecast_table

        spec = self.spec
        series = self._conform(series)
        issued = series.timestamps[-1:]
        values = series.values[-spec.window :]
        report_silent(values, series.vdids)
        prediction = self.outputs(values[None], issued) | {"issued": issued}
        return forecast_table(prediction, spec, False, self.levels).to_pandas()

    def _conform(self, series: TrafficSeries) -> TrafficSeries:
        """The series in the order of the specification, if it is of its form."""
        spec = self.spec
        if spec.known:
            raise ValueError(
                f"The forecaster reads {spec.known} ahead, which a series that ends now does not "
                "have. Give them to 'predict'."
            )
        strangers = sorted(set(series.vdids) - set(spec.vdids))
        absent = sorted(set(spec.vdids) - set(series.vdids))
        if strangers or absent:
            raise SpecError(
                f"Expected the {len(spec.vdids)} detectors of the training (strangers: "
                f"{strangers[:5]}, absent: {absent[:5]}). Give silent ones as NaN; for others give "
                "'predict' their graph, or use socialgraph.load with the checkpoint."
            )
        series = series.select(spec.features, spec.vdids)
        for name in ("units", "interval_minutes", "timezone"):
            given, own = getattr(series, name), getattr(spec, name)
            if given != own:
                raise SpecError(f"Expected '{name}' = {own!r}, as in the training (got {given!r}).")
        times = series.timestamps[-spec.window :]
        if len(times) < spec.window or (np.diff(times) != spec.step).any():
            raise SeriesError(
                f"The series has a gap in its last {spec.window} steps, or fewer steps: nothing to "
                "forecast from. Give a series whose end is whole."
            )
        return series

    def _check(self, readings, issued, known, rows) -> None:
        spec = self.spec
        shape = (len(issued), spec.window, len(rows), len(spec.features))
        if readings.shape != shape:
            raise ValueError(
                f"Expected 'readings' of shape {shape}, [windows, steps, detectors, features] (got "
                f"{readings.shape})."
            )
        if np.isinf(readings).any():
            raise ValueError("Expected finite readings, or NaN where missing (got infinite ones).")
        if rows.dtype.kind not in "iu" or ((rows < -1) | (rows >= len(spec.vdids))).any():
            raise ValueError(
                f"Expected 'node' as integers from -1 to {len(spec.vdids) - 1} (got {rows})."
            )
        if "known" in self._inputs:
            wanted = (len(issued), spec.window + spec.horizon, len(rows), len(spec.known))
            if known is None or np.shape(known) != wanted:
                raise ValueError(
                    f"Expected 'known' of shape {wanted}, with {spec.known} at the steps of window "
                    f"and targets (got {'none' if known is None else np.shape(known)})."
                )
            if np.isinf(np.asarray(known, np.float64)).any():
                raise ValueError("Expected finite 'known', or NaN where missing (got infinite).")

    def _read_graph(
        self, graph: Mapping[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        wanted = sorted(self._inputs.keys() & set(_EDGES))
        of_training = np.array_equal(rows, np.arange(len(self.spec.vdids)))
        if not graph and (of_training or not wanted):
            return {}
        if sorted(graph) != wanted:
            raise ValueError(
                f"Expected the graph of these detectors as 'graph', with {wanted} (got "
                f"{sorted(graph) or 'none'})."
            )
        graph = {name: _as_edges(name, part) for name, part in graph.items()}
        for name, part in graph.items():
            shape = self._inputs[name]
            if not _fits(part.shape, shape):
                raise ValueError(
                    f"Expected '{name}' of 'graph' of shape {shape} (got {part.shape})."
                )
        counts = {name: part.shape[_EDGES[name]] for name, part in graph.items()}
        index = graph["edge_index"]
        if len(set(counts.values())) > 1:
            raise ValueError(f"Expected as many edges in all parts of 'graph' (got {counts}).")
        if index.size and not 0 <= index.min() <= index.max() < len(rows):
            raise ValueError(
                f"Expected 'edge_index' from 0 to {len(rows) - 1} (got {index.min()} to "
                f"{index.max()})."
            )
        odd = [name for name, part in graph.items() if not np.isfinite(part).all()]
        if odd:
            raise ValueError(f"Expected finite numbers in 'graph' (not so in {odd}).")
        return graph


def _as_edges(name: str, part: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(part, np.int64 if name == "edge_index" else np.float32)
    if array.ndim < 1 + (name != "distance"):
        raise ValueError(f"Expected '{name}' of 'graph' with an axis of edges (got {part!r}).")
    return array


def _fits(shape: tuple[int, ...], wanted: list[int | str]) -> bool:
    """Whether a shape is the one that is wanted; an axis with a name may be of any length."""
    pairs = zip(shape, wanted, strict=False)
    return len(shape) == len(wanted) and all(isinstance(b, str) or a == b for a, b in pairs)


def _as_times(issued: np.ndarray) -> np.ndarray:
    times = np.asarray(issued)
    if times.dtype.kind != "M" or times.ndim != 1 or np.isnat(times).any():
        raise ValueError(
            f"Expected 'issued' as datetime64 in UTC, one for each window (got {issued!r})."
        )
    return times.astype("datetime64[s]")
