"""Computes what the page tells."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from socialgraph.calendar import clock
from socialgraph.data import TrafficDataModule
from socialgraph.graph import project
from socialgraph.layers import named_poolings
from socialgraph.report.content import (
    Accuracy,
    Content,
    Details,
    Detectors,
    Origin,
    Subject,
    Tested,
)
from socialgraph.report.details import choose, day_lines, influences, neighbours_of
from socialgraph.report.errors import (
    by_detector,
    by_hour_of_week,
    by_step,
    coverage,
    mae,
    traffic_state,
)
from socialgraph.report.health import health, reasons
from socialgraph.report.protocol import commands, period, protocol
from socialgraph.report.scoring import Scores
from socialgraph.report.training import metrics_file, read_training

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster
    from socialgraph.spec import DataSpec

__all__ = ["collect"]

_WORST = 10


def collect(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    scores: Scores,
    target: str,
    ckpt_path: str | Path,
    most_details: int = 250,
    words: list[str] | None = None,
    backtest: dict | None = None,
) -> Content:
    """What the page tells of scored forecasts.

    Args:
        forecaster: one that follows the detectors of ``data``.
        data: after ``setup("test")``.
        scores: of :func:`socialgraph.report.scoring.score`.
        target: the target of the scores.
        ckpt_path: the checkpoint of the forecaster, beside whose run its curves are looked for.
        most_details: detectors that are shown in full.
        words: the words of the command line of the report.
        backtest: of :func:`socialgraph.report.backtest.read_backtest`; None for none.
    """
    usual = _usual(data, data.series.feature_names.index(target))
    detectors = _detectors(forecaster, data, scores, target, usual)
    chosen = choose(detectors.errors["mae"], most_details)
    return Content(
        subject=_subject(forecaster.given, target),
        tested=_tested(data, scores),
        accuracy=_accuracy(data, scores, target),
        detectors=detectors,
        details=_details(forecaster, data, scores, target, usual, chosen, detectors.pos),
        origin=_origin(forecaster, data, scores, ckpt_path, words or []),
        backtest=backtest,
    )


def _subject(spec: "DataSpec", target: str) -> Subject:
    return Subject(
        name=spec.dataset_name or Path(spec.source).stem,
        target=target,
        unit=spec.units[spec.targets.index(target)],
        timezone=spec.timezone,
        minutes=spec.horizon_minutes,
        vdids=spec.vdids,
    )


def _tested(data: TrafficDataModule, scores: Scores) -> Tested:
    return Tested(
        windows=len(scores.issued),
        all_windows=len(data.starts["test"]),
        every=scores.every,
        period=period(scores.times, data.spec.timezone),
    )


def _accuracy(data: TrafficDataModule, scores: Scores, target: str) -> Accuracy:
    spec = data.spec
    training = data.series.values[: data.train_steps, :, data.series.feature_names.index(target)]
    state = traffic_state(scores, training, target, spec.units[spec.targets.index(target)])
    rows = [
        _state_row(scores, name, kept & ~np.isnan(scores.truth))
        for name, kept in zip(state.names, (state.dense, ~state.dense), strict=True)
    ]
    return Accuracy(
        errors=by_step(scores, spec, target),
        coverage=coverage(scores),
        nominal=scores.nominal,
        week=by_hour_of_week(scores, spec.timezone),
        state={"rule": state.rule, "rows": rows},
    )


def _detectors(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    scores: Scores,
    target: str,
    usual: np.ndarray,
) -> Detectors:
    errors = by_detector(scores)
    none = torch.empty(2, 0, dtype=torch.int64)
    edges = data.graph_tensors.get("edge_index", none).numpy()
    return Detectors(
        errors=errors,
        worst=_worst(forecaster, data, usual, target, errors, edges),
        pos=project(data.series.lat, data.series.lon),
        edges=edges,
        radii=_radii(forecaster),
    )


def _details(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    scores: Scores,
    target: str,
    usual: np.ndarray,
    chosen: list[int],
    pos: np.ndarray,
) -> Details:
    spec = data.spec
    values = data.series.values[..., data.series.feature_names.index(target)]
    steps = sorted({max(0, spec.horizon // 4 - 1), spec.horizon - 1})
    place, quarters = spec.targets.index(target), _quarters(spec.horizon)
    found = influences(forecaster, data, place, chosen, quarters)
    return Details(
        chosen=chosen,
        layers=[] if found is None else found.layers,
        day=day_lines(scores, values, usual, data, steps),
        day_steps=steps,
        neighbours=[] if found is None else [neighbours_of(n, found, pos) for n in chosen],
        influences=None if found is None else {"hours": found.hours, "steps": found.steps},
        gradients=0 if found is None else len(found.receivers),
    )


def _origin(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    scores: Scores,
    ckpt_path: str | Path,
    words: list[str],
) -> Origin:
    metrics, spec = metrics_file(ckpt_path), forecaster.given
    windows = len(data.starts["test"])
    return Origin(
        training={} if metrics is None else read_training(metrics),
        protocol=protocol(spec, scores, windows, ckpt_path, _describe(forecaster)),
        commands=commands(ckpt_path, spec, words),
    )


def _usual(data: TrafficDataModule, column: int) -> np.ndarray:
    """The usual readings of a feature at every step of the series ``[T, N]``."""
    time_of_day, day_of_week = map(
        torch.from_numpy,
        clock(data.series.timestamps, data.series.timezone, data.holidays),
    )
    profile = data.usual.profile()
    return profile(time_of_day[None], day_of_week[None])[0][0, ..., column].numpy()


def _state_row(scores: Scores, name: str, kept: np.ndarray) -> dict:
    """Errors of a state of the traffic: its share of the targets, and the MAE of each forecast."""
    share = kept.sum() / max(1, (~np.isnan(scores.truth)).sum())
    errors = {forecast: mae(scores, forecast, kept) for forecast in scores.forecasts}
    return {"name": name, "share": float(share), "mae": errors}


def _worst(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    usual: np.ndarray,
    target: str,
    detectors: dict[str, np.ndarray],
    edges: np.ndarray,
) -> list[dict]:
    """The ten detectors with the largest MAE, and what is unusual about each."""
    nodes = len(data.spec.vdids)
    strange = forecaster.spec.rows(data.spec.vdids) < 0
    degree = (
        np.bincount(edges[1], minlength=nodes)
        if getattr(forecaster.network, "poolings", [])
        else np.ones(nodes)
    )
    starts = data.starts["test"]
    part = slice(int(starts[0]), int(starts[-1]) + data.windows.length)
    looked = health(data.series, target, part, usual, degree, strange)
    order = np.argsort(-np.nan_to_num(detectors["mae"], nan=-1.0), kind="stable")[:_WORST]
    return [
        {
            "node": int(n),
            "why": reasons(looked, n),
            **{k: float(v[n]) for k, v in detectors.items()},
        }
        for n in order
    ]


def _radii(forecaster: "Forecaster") -> dict[str, list[float]]:
    """The reach of each head of each pooling, in metres."""
    poolings = named_poolings(forecaster.network)
    return {layer: p.radius.tolist() for layer, p in poolings if hasattr(p, "radius")}


def _quarters(horizon: int) -> list[int]:
    return sorted({max(1, horizon * k // 4) - 1 for k in (1, 2, 3, 4)})


def _describe(forecaster: "Forecaster") -> str:
    weights = sum(weight.numel() for weight in forecaster.network.parameters())
    poolings = len(getattr(forecaster.network, "poolings", []))
    pooled = f"{poolings} poolings" if poolings else "no pooling"
    return f"{type(forecaster.network).__name__}, {weights:,} weights, {pooled}"
