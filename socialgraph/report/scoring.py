"""Forecasts of the test windows beside the truth, by the network, its variants and its rivals."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from socialgraph.data import TrafficDataModule
from socialgraph.report.rivals import Rivals
from socialgraph.table import forecast_table

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = ["NETWORK", "POOLED", "RIVALS", "Scores", "cells_of", "score", "without_edges"]

NETWORK, POOLING_OFF = "network", "pooling off"
#: Names of the rivals (the last week only after one).
RIVALS = ("ridge", "usual day", "last week", "last value")
#: Names of the network without pooling: at the test, and in training.
POOLED = (POOLING_OFF, "trained without pooling")
_MOST_FORECASTS = 300_000  # detectors × windows
_QUANTILE = re.compile(r"p\d+(\.\d+)?")  # percent
_AT_ONCE = 6_000  # detectors × windows in a batch: faster than fewer and more


@dataclass
class Scores:
    """Forecasts of W test windows of one target, in its unit.

    Args:
        issued: time of the last reading of each window ``[W]``, UTC, ``datetime64[s]``.
        times: times of the targets ``[W, P]``, likewise.
        truth: ``[W, P, N]``, NaN where missing.
        forecasts: ``[W, P, N]`` by name: :data:`NETWORK` first, then the rivals, and the variants
            of the network.
        low, high: ends of its interval ``[W, P, N]``; None if it forecasts none.
        nominal: share of the truth that the interval should hold.
        every: only each so many-th test window was scored.
    """

    issued: np.ndarray
    times: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    nominal: float = 0.0
    every: int = 1


def score(
    forecaster: "Forecaster",
    data: TrafficDataModule,
    target: str,
    variants: Mapping[str, "Forecaster"] | None = None,
    every: int | None = None,
) -> Scores:
    """Forecast the test windows.

    Args:
        forecaster: one that follows the detectors of ``data``.
        data: after ``setup("test")``.
        target: one of its targets.
        variants: other forecasters of the same data, by name.
        every: score each so many-th window; None for all, up to 300,000 forecasts of a detector
            (then evenly spread).

    Raises:
        ValueError: if there is no such target, or no test window.
        RuntimeError: if the pooling cannot work with the graph, as in a test.
    """
    data.test_dataloader()  # refuses a part without windows
    starts, nodes = data.starts["test"], len(data.spec.vdids)
    every = every or -(-len(starts) * nodes // _MOST_FORECASTS)
    starts = starts[::every].tolist()
    rivals = Rivals(data, data.spec.targets.index(target))
    size = max(1, _AT_ONCE // nodes)
    parts: list[dict[str, np.ndarray]] = []
    for first in range(0, len(starts), size):
        batch = data.collator(starts[first : first + size])
        forecaster.check_batch(batch)
        parts.append(_forecast(forecaster, batch, target, rivals, variants or {}))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    issued = joined.pop("issued").astype("datetime64[s]")
    ends = sorted((n for n in joined if _QUANTILE.fullmatch(n)), key=_percent)
    interval = (joined.pop(ends[0]), joined.pop(ends[-1])) if len(ends) > 1 else (None, None)
    nominal = (_percent(ends[-1]) - _percent(ends[0])) / 100 if len(ends) > 1 else 0.0
    truth = joined.pop("truth")
    forecasts = {name: part for name, part in joined.items() if name not in ends}
    return Scores(issued, data.spec.times(issued), truth, forecasts, *interval, nominal, every)


def cells_of(table: pa.Table, target: str, nodes: int, horizon: int) -> dict[str, np.ndarray]:
    """The columns of one target in a forecast table, as arrays of windows.

    Args:
        table: of :func:`socialgraph.table.forecast_table`, in its order of rows.
        target: the target.
        nodes, horizon: detectors and steps of each window.

    Returns:
        ``[B, P, N]``, NaN where missing: the forecast as :data:`NETWORK`, ``truth``, and each
        quantile as ``p05``, ``p95``, ... if the table has columns ``<target>_p05``, ...
    """
    names = {target: NETWORK, f"{target}_observed": "truth"}
    for column in table.column_names:
        if _QUANTILE.fullmatch(column.removeprefix(f"{target}_")):
            names[column] = column.removeprefix(f"{target}_")
    return {
        name: table[column].to_numpy().reshape(-1, nodes, horizon).swapaxes(1, 2)
        for column, name in names.items()
    }


def without_edges(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A batch whose detectors have no neighbours."""
    cut = {"edge_index": batch["edge_index"][:, :0]} if "edge_index" in batch else {}
    for name in ("distance", "offset", "edge_attr"):
        if name in batch:
            cut[name] = batch[name][:0]
    return {**batch, **cut}


@torch.inference_mode()
def _forecast(
    forecaster: "Forecaster",
    batch: dict[str, Tensor],
    target: str,
    rivals: Rivals,
    variants: Mapping[str, "Forecaster"],
) -> dict[str, np.ndarray]:
    """All forecasts of a batch ``[B, P, N]``, with ``truth`` and ``issued``."""
    cells = _cells(forecaster, batch, target)
    place = forecaster.given.targets.index(target)
    for name, forecast in rivals.forecast(batch).items():
        cells[name] = forecast.numpy()
    if getattr(forecaster.network, "poolings", []):
        cells[POOLING_OFF] = forecaster(without_edges(batch))[..., place].numpy()
    for name, other in variants.items():
        cells[name] = other(batch)[..., place].numpy()
    return {**cells, "issued": batch["issued"].numpy()}


def _cells(forecaster: "Forecaster", batch: dict[str, Tensor], target: str) -> dict:
    """What the forecast table says of a batch, see :func:`cells_of`."""
    spec = forecaster.given
    table = forecast_table(forecaster.predict_step(batch, 0), spec, levels=forecaster.levels)
    return cells_of(table, target, len(spec.vdids), spec.horizon)


def _percent(name: str) -> float:
    return float(name[1:])
