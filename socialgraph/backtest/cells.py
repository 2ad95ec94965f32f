"""Sums of errors in cells, from which every table of a backtest is made."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from socialgraph.backtest.conditions import OUTAGES, conditions_of
from socialgraph.calendar import to_local
from socialgraph.data import TrafficDataModule
from socialgraph.metrics import interval_parts

__all__ = ["SUMS", "ErrorCells"]

# Of errors; then of intervals, if the forecaster tells some: readings, and INTERVAL_ERRORS.
SUMS = ("absolute", "square", "percentage", "count", "nonzero")
SUMS += ("told", "inside", "width", "interval_score", "crps")
_COUNTS = ("count", "nonzero", "told", "inside")
_HOURS = 24
_LEAST_PERCENTAGE = 1e-4  # as socialgraph.metrics


class ErrorCells:
    """Sums and counts of the errors of one forecaster on the test windows of a data module.

    They are kept twice: by local day, step and detector, and by local day, hour, state, outage
    (:mod:`socialgraph.backtest.conditions`) and step. Day, hour and state are those of the reading
    that is forecast.

    Args:
        datamodule: data module after ``setup``.
        sample: places of the detectors that every rival forecasts; the others' errors are kept
            apart by condition.
    """

    def __init__(self, datamodule: TrafficDataModule, sample: np.ndarray) -> None:
        series, self.windows = datamodule.series, datamodule.windows
        self.spec = datamodule.spec
        self.seconds = datamodule.collator.seconds
        local = to_local(series.timestamps, series.timezone)
        day = local.astype("datetime64[D]")
        self.hour = torch.from_numpy((local - day).astype("timedelta64[h]").astype(np.int64))
        first = datamodule.starts["test"] + self.windows.window
        self.days = np.unique(day[first[0] : first[-1] + self.windows.horizon])
        self.day = torch.from_numpy(np.searchsorted(self.days, day))
        self.conditions = conditions_of(datamodule)
        self.sampled = torch.zeros(len(series.vdids), dtype=torch.long)
        self.sampled[torch.as_tensor(sample)] = 1
        nodes, targets, steps = len(series.vdids), datamodule.num_targets, self.windows.horizon
        self.by_detector = torch.zeros(
            len(SUMS), len(self.days), steps, nodes, targets, dtype=torch.float64
        )
        self._places = (len(self.days), _HOURS, 2, len(OUTAGES), 2, steps)
        self.by_condition = torch.zeros(
            len(SUMS), *self._places, targets, dtype=torch.float64
        ).flatten(1, -2)

    def update(
        self,
        forecast: Tensor,
        target: Tensor,
        mask: Tensor,
        issued: Tensor,
        quantiles: Tensor | None = None,
        levels: Sequence[float] = (),
    ) -> None:
        """Add a batch.

        Args:
            forecast, target, mask: ``[B, P, N, F]``, in the unit of the target, True where scored.
            issued: seconds since 1970 (UTC) of the last reading that was known ``[B]``.
            quantiles: ``[B, P, N, F, L]``, if the forecaster tells intervals.
            levels: of the quantiles, ascending, without the median.
        """
        forecast, target, mask = forecast.cpu(), target.cpu(), mask.cpu()
        parts = _errors(forecast, target, mask)  # [5, B, P, N, F]
        told = torch.zeros_like(parts)
        if quantiles is not None and len(levels) > 1:
            told = interval_parts(forecast, quantiles.cpu(), target, mask, levels)
        parts = torch.cat([parts, told])
        horizon = self.windows.horizon
        step = torch.arange(horizon)
        row = torch.searchsorted(self.seconds, issued.cpu())[:, None] + 1 + step  # [B, P]
        place = self.day[row] * horizon + step
        self.by_detector.flatten(1, 2).index_add_(1, place.flatten(), parts.flatten(1, 2))
        shape = (*row.shape, len(self.sampled))
        days, hours, steps = (
            part[..., None].expand(shape) for part in (self.day[row], self.hour[row], step)
        )
        for target_place in range(parts.size(-1)):
            state, outage = (
                torch.from_numpy(kind[..., target_place])[row].long()
                for kind in (self.conditions.state, self.conditions.outage)
            )
            cell = _ravel((days, hours, state, outage, self.sampled, steps), self._places)
            own = parts[..., target_place].flatten(1)
            self.by_condition[..., target_place].index_add_(1, cell.flatten(), own)

    def tables(self, model: str) -> tuple[pa.Table, pa.Table]:
        """Rows by detector and by condition, of the cells in which something was scored."""
        by_detector, by_condition = [], []
        steps = self.windows.horizon
        for place, target in enumerate(self.spec.targets):
            sums = self.by_detector[..., place].flatten(1).numpy()
            full = np.flatnonzero(sums[SUMS.index("count")])
            shape = (len(self.days), steps, len(self.spec.vdids))
            day, step, node = np.unravel_index(full, shape)
            detector = pa.DictionaryArray.from_arrays(pa.array(node, pa.int32()), self.spec.vdids)
            keys = {"day": self.days[day], "step": _small(step + 1), "detector": detector}
            by_detector.append(_table(model, target, keys, sums[:, full]))

            sums = self.by_condition[..., place].numpy()
            full = np.flatnonzero(sums[SUMS.index("count")])
            day, hour, state, outage, sampled, step = np.unravel_index(full, self._places)
            keys = {
                "day": self.days[day],
                "hour": _small(hour),
                "state": _names(state, self.conditions.states[place]),
                "outage": _names(outage, OUTAGES),
                "sampled": sampled.astype(bool),
                "step": _small(step + 1),
            }
            by_condition.append(_table(model, target, keys, sums[:, full]))
        return pa.concat_tables(by_detector), pa.concat_tables(by_condition)


def _errors(forecast: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The first five parts of :data:`SUMS` of each target ``[5, B, P, N, F]``."""
    forecast, target = forecast.double(), target.double()
    error = torch.where(mask, forecast - target, 0.0).abs()
    nonzero = mask & (target.abs() > _LEAST_PERCENTAGE)
    relative = torch.where(nonzero, 100 * error / target.abs(), 0.0)
    return torch.stack([error, error**2, relative, mask.double(), nonzero.double()])


def _ravel(places: tuple[Tensor, ...], sizes: tuple[int, ...]) -> Tensor:
    cell = torch.zeros((), dtype=torch.long)
    for place, size in zip(places, sizes, strict=True):
        cell = cell * size + place
    return cell


def _small(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.int16)


def _names(places: np.ndarray, names: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), list(names))


def _table(model: str, target: str, keys: dict, sums: np.ndarray) -> pa.Table:
    rows = sums.shape[1]
    same = {
        name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [value])
        for name, value in (("model", model), ("target", target))
    }
    numbers = {
        name: own.astype(np.int64) if name in _COUNTS else own
        for name, own in zip(SUMS, sums, strict=True)
    }
    return pa.table({**same, **keys, **numbers})
