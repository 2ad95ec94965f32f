"""What is shown of one detector: a day of forecasts, and who influences them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from socialgraph.calendar import to_local
from socialgraph.data import TrafficDataModule
from socialgraph.report.influence import attention, disjoint_groups, influence, reach
from socialgraph.report.scoring import NETWORK, Scores

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = ["Influences", "choose", "day_lines", "influences", "neighbours_of"]

_MOST_NEIGHBOURS = 8
_HOURS = (3, 8, 13, 18)  # at which gradients are taken
_MOST_ROWS = 1_500_000  # detectors × windows that all gradients pass through: seconds


class Influences(NamedTuple):
    """Who influences whom.

    Args:
        edge_index: ``[2, E]``.
        layers: names of the L layers of pooling whose attention is known.
        attention: mean weight of each edge by layer and local hour ``[L, 24, E]``, NaN for an hour
            without a test window.
        receivers: detectors whose gradients were taken ``[R]``.
        gradient: ``[R, B, S, N]`` as of :func:`socialgraph.report.influence.influence`.
        hours: local hour of each of the B windows.
        steps: the S forecast steps, from 0.
    """

    edge_index: np.ndarray
    layers: list[str]
    attention: np.ndarray
    receivers: list[int]
    gradient: np.ndarray
    hours: list[int]
    steps: list[int]


def choose(mae: np.ndarray, most: int) -> list[int]:
    """Detectors that are shown in full: the worst half of ``most``, and others evenly spread."""
    order = np.argsort(-np.nan_to_num(mae, nan=-1.0), kind="stable").tolist()
    if len(order) <= most:
        return order
    worst, others = order[: most // 2], order[most // 2 :]
    places = np.linspace(0, len(others) - 1, most - len(worst)).round().astype(int)
    return worst + [others[place] for place in places]


def day_lines(
    scores: Scores, values: np.ndarray, usual: np.ndarray, data: TrafficDataModule, steps: list[int]
) -> dict[str, np.ndarray]:
    """The local day of the test part on which readings vary most, of those that are whole.

    A day is whole if at least half as much of it was tested as of any other.

    Args:
        scores: of the target.
        values, usual: readings of the target and what is usual ``[T, N]``.
        data: of the series.
        steps: forecast steps that are shown, from 0; the interval is that of the last.

    Returns:
        ``time`` ``[D]`` (local clock, ``datetime64[s]``); ``truth``, ``usual``, ``forecast_<step>``
        and with intervals ``low`` and ``high`` ``[D, N]``, NaN where there is none.
    """
    series = data.series
    day = to_local(series.timestamps, series.timezone).astype("datetime64[D]")
    tested = np.isin(series.timestamps, scores.times)
    days, count = np.unique(day[tested], return_counts=True)
    whole = days[2 * count >= count.max()]
    liveliest = max(whole, key=lambda d: _spread(values[(day == d) & tested]))
    shown = np.flatnonzero((day == liveliest) & tested)
    times = series.timestamps[shown]
    lines = {
        "time": to_local(times, series.timezone),
        "truth": values[shown],
        "usual": usual[shown],
    }
    for step in steps:
        lines[f"forecast_{step}"] = _at(times, scores, scores.forecasts[NETWORK], step)
    if scores.low is not None and scores.high is not None:
        lines["low"] = _at(times, scores, scores.low, steps[-1])
        lines["high"] = _at(times, scores, scores.high, steps[-1])
    return lines


def influences(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    target: int,
    receivers: list[int],
    steps: list[int],
) -> Influences | None:
    """Attention by hour, and gradients for as many receivers as take seconds.

    Args:
        forecaster: one that follows the detectors of ``data``.
        data: after ``setup("test")``.
        target: place of the target among the features.
        receivers: detectors whose gradients are wanted, the most wanted first.
        steps: forecast steps whose gradients are taken, from 0.

    Returns:
        None for a network without pooling or data without edges.
    """
    edge_index = data.graph_tensors.get("edge_index")
    if edge_index is None or not getattr(forecaster.network, "poolings", []):
        return None
    nodes = len(data.spec.vdids)
    by_hour = _windows_by_hour(data)
    found: dict[int, dict[str, torch.Tensor]] = {}
    for hour, starts in by_hour.items():
        shares = attention(forecaster, data.collator(starts))
        found[hour] = {layer: weight.mean(dim=0) for layer, weight in shares.items()}
    layers = list(next(iter(found.values())))
    weights = np.full((len(layers), 24, edge_index.size(1)), np.nan, dtype=np.float32)
    for hour, by_layer in found.items():
        for place, layer in enumerate(layers):
            weights[place, hour] = by_layer[layer].numpy()
    hours = sorted({min(by_hour, key=lambda h: abs(h - wanted)) for wanted in _HOURS})
    heard = reach(forecaster.network, edge_index, nodes)
    groups = disjoint_groups(heard, receivers)
    groups = groups[: max(1, _MOST_ROWS // (len(steps) * len(hours) * nodes))]
    batch = data.collator([by_hour[hour][0] for hour in hours])
    gradient = influence(forecaster, batch, groups, heard, steps, target)
    taken = [node for group in groups for node in group]
    return Influences(edge_index.numpy(), layers, weights, taken, gradient.numpy(), hours, steps)


def neighbours_of(node: int, found: Influences, pos: np.ndarray) -> dict:
    """The detectors that influence one most.

    Args:
        node: the receiver.
        found: of :func:`influences`.
        pos: positions in metres ``[N, 2]``.

    Returns:
        ``sender`` (at most 8, by gradient; by attention for a receiver without), ``distance``
        (metres), ``attention`` ``[L, K, 24]``, and with gradients ``by_hour`` ``[K, B]`` (the mean
        of the steps), ``by_step`` ``[K, S]`` (of the hours), ``own`` ``[S]`` (of its own readings)
        and ``others`` ``[S]`` (the sum of all others).
    """
    edges = np.flatnonzero(found.edge_index[1] == node)
    senders = found.edge_index[0, edges]
    weight = np.zeros((*found.attention.shape[:2], len(pos)), dtype=np.float32)
    np.add.at(weight, (slice(None), slice(None), senders), found.attention[:, :, edges])
    rank = np.nansum(weight, axis=(0, 1))
    told: dict = {}
    if node in found.receivers:
        gradient = found.gradient[found.receivers.index(node)]  # [B, S, N]
        others = np.delete(gradient, node, axis=2)
        told["own"] = gradient[..., node].mean(axis=0)
        told["others"] = others.sum(axis=2).mean(axis=0)
        rank = np.abs(gradient).mean(axis=(0, 1))
    rank[node] = 0
    top = np.argsort(-rank, kind="stable")[:_MOST_NEIGHBOURS]
    top = top[rank[top] > 0]
    told["sender"] = top
    told["distance"] = np.linalg.norm(pos[top] - pos[node], axis=1)
    told["attention"] = weight[:, :, top].swapaxes(1, 2)
    if "own" in told:
        told["by_hour"] = gradient[..., top].mean(axis=1).T
        told["by_step"] = gradient[..., top].mean(axis=0).T
    return told


def _windows_by_hour(data: TrafficDataModule) -> dict[int, list[int]]:
    """Up to two test windows whose first target lies in each local hour."""
    starts = data.starts["test"]
    times = to_local(data.first_times("test"), data.series.timezone)
    hours = times.astype("datetime64[h]").astype(np.int64) % 24
    found = {}
    for hour in np.unique(hours).tolist():
        own = starts[hours == hour]
        found[hour] = sorted({int(own[len(own) // 4]), int(own[3 * len(own) // 4])})
    return found


def _at(times: np.ndarray, scores: Scores, forecast: np.ndarray, step: int) -> np.ndarray:
    """Forecasts of one step at some times ``[D, N]``, NaN where there is none."""
    own = scores.times[:, step]
    place = np.clip(np.searchsorted(own, times), 0, len(own) - 1)
    there = (own[place] == times)[:, None]
    return np.where(there, forecast[place, step], np.nan)


def _spread(values: np.ndarray) -> float:
    """Range of the middle nine tenths of each detector's readings, the mean of all detectors."""
    known = np.sort(values, axis=0)
    count = (~np.isnan(known)).sum(axis=0)
    column = np.arange(known.shape[1])
    low, high = (np.clip((share * count).astype(int), 0, len(known) - 1) for share in (0.05, 0.95))
    return float(np.nan_to_num(known[high, column] - known[low, column]).mean())
