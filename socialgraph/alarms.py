"""Alarms: detectors whose readings leave their intervals too often, fall silent, or stand still."""

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from socialgraph.conformal import Conformal
from socialgraph.cusum import Charts, fit_charts

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = [
    "KINDS",
    "AlarmWatch",
    "QuietReadings",
    "charts_entries",
    "charts_from",
    "last_reading",
    "make_watch",
]

KINDS = ("outside", "repeated", "missing")
_SUSPECT = np.array([0.6, 0.9, 0.9])  # shares of steps that are looked for
_SHARES = np.array([0.8, 0.1, 0.1])  # of the false alarms
_MOST = 2**23  # numbers of quiet readings that are kept
_SHARE_OFF = 0.25  # of the neighbours: an incident is felt in one direction of a road
_DRIFT = np.timedelta64(1, "D")


class Indicators:
    """What is told of each detector at each time, in the order of :data:`KINDS`.

    ``outside``: its reading is outside the interval that was told one step before, or that told the
    horizon before (noise leaves the first, an offset the second); ``repeated``: it is the reading
    before to the bit; ``missing``: there is none.

    Args:
        step: distance of two steps.
        horizon: how many are forecast.
    """

    def __init__(self, step: np.timedelta64, horizon: int) -> None:
        self.step = step
        self.aheads = (1, horizon)
        self.told: dict[np.datetime64, np.ndarray] = {}  # [2, N, 2] by the time of telling
        self.last: tuple[np.datetime64, np.ndarray] | None = None

    def update(self, time: np.datetime64, ends: np.ndarray, reading: np.ndarray) -> np.ndarray:
        """The indicators ``[3, N]`` of a time: 1, 0, or NaN if they cannot be told.

        Args:
            time: of the readings.
            ends: intervals that are told then, of the next step and of the last ``[2, N, 2]``.
            reading: ``[N]``, NaN where missing.
        """
        missing = np.isnan(reading)
        outside = np.full(len(reading), np.nan)
        for place, ahead in enumerate(self.aheads):
            told = self.told.get(time - ahead * self.step)
            if told is not None:
                lower, upper = told[place].T
                outside = np.fmax(outside, (reading < lower) | (reading > upper))
        outside[missing] = np.nan
        repeated = np.full(len(reading), np.nan)
        if self.last is not None and self.last[0] == time - self.step:
            before = self.last[1]
            repeated = np.where(missing | np.isnan(before), np.nan, reading == before)
        self.last = time, reading
        oldest = time - self.aheads[1] * self.step
        self.told = {own: part for own, part in self.told.items() if own > oldest} | {time: ends}
        return np.stack([outside, repeated, missing.astype(float)])


class QuietReadings:
    """Readings and intervals of validation windows, on which charts are calibrated.

    The last windows are kept, as many as fit into some memory.

    Args:
        step: distance of two steps.
    """

    def __init__(self, step: np.timedelta64) -> None:
        self.step = step
        self._kept: deque[tuple[np.datetime64, np.ndarray, np.ndarray]] = deque()
        self._horizon = 1

    def add(self, batch: dict[str, Tensor], quantiles: Tensor) -> None:
        """Add the windows of a batch, in the order of time.

        Args:
            batch: in real units.
            quantiles: of each window, not yet corrected ``[B, P, N, F, L]``.
        """
        self._horizon = quantiles.size(1)
        ends = quantiles[:, [0, -1], :, 0][..., [0, -1]].cpu().numpy()  # [B, 2, N, 2]
        times = batch["issued"].cpu().numpy().astype("datetime64[s]")
        self._kept.extend(zip(times, ends, last_reading(batch).cpu().numpy(), strict=True))
        while len(self._kept) * ends[0].size > _MOST and len(self._kept) > 1:
            self._kept.popleft()

    def calibrate(self, conformal: Conformal) -> Charts | None:
        """The charts; None without windows."""
        if not self._kept:
            return None
        shift = conformal.own[[0, -1], :, 0][..., [0, -1]].numpy()
        indicators = Indicators(self.step, self._horizon)
        found = [indicators.update(time, ends + shift, own) for time, ends, own in self._kept]
        return fit_charts(np.stack(found), _SUSPECT)


class AlarmWatch:
    """Follows detectors and says which are off, and of what kind it looks.

    - ``silent``: readings are missing more often than they use to.
    - ``stuck``: readings repeat themselves more often than they use to.
    - ``sensor``: readings leave their intervals too often, those of its neighbours do not.
    - ``incident``: those of more than a quarter of the neighbours do too; ``drift`` if that lasts
      for more than a day.
    - ``unexplained``: readings leave their intervals, and there is no neighbour to ask.

    Args:
        charts: of the detectors, by :meth:`QuietReadings.calibrate`.
        edge_index: the graph: row 0 is heard by row 1 ``[2, E]``.
        step: distance of two steps.
        horizon: how many are forecast.
        rate: false alarms of a detector and day that are accepted, on readings like those of the
            validation.

    Raises:
        ValueError: for a rate that is not above 0.
    """

    def __init__(
        self,
        charts: Charts,
        edge_index: np.ndarray,
        step: np.timedelta64,
        horizon: int,
        rate: float = 0.02,
    ) -> None:
        if not 0 < rate < np.inf:
            raise ValueError(
                f"Expected a rate of false alarms by detector and day above 0 (got {rate})."
            )
        self.charts, self.edge_index = charts, edge_index
        self.indicators = Indicators(step, horizon)
        by_step = rate * float(step / np.timedelta64(1, "D"))
        self.height = charts.thresholds(_SHARES * by_step)[:, None]
        self.statistic = np.zeros(charts.normal.shape)
        self.on = np.zeros(charts.normal.shape, dtype=bool)
        self.since = np.full(charts.normal.shape, np.datetime64("NaT", "s"))

    def update(
        self, issued: np.datetime64, quantiles: np.ndarray, readings: np.ndarray
    ) -> list[str | None]:
        """Read what the detectors report at a time; the alarm of each, None if all is well.

        Args:
            issued: time of the readings.
            quantiles: that are told then ``[P, N, F, L]``.
            readings: ``[N, F]``, NaN where missing. The first target is watched.
        """
        ends = quantiles[[0, -1], :, 0][..., [0, -1]]
        found = self.indicators.update(issued, ends, readings[:, 0])
        self.statistic = np.minimum(self.charts.advance(self.statistic, found), self.height)
        begins = (self.statistic >= self.height - 1e-9) & ~self.on
        self.on = (self.on | begins) & (self.statistic > 0)
        self.since = np.where(begins, issued, self.since)
        return self._kinds(issued)

    def take(self, rows: np.ndarray, charts: Charts, edge_index: np.ndarray) -> None:
        """Watch other detectors: by place, and -1 for one that was not watched, which is well."""
        known, place = rows >= 0, np.maximum(rows, 0)
        self.charts, self.edge_index = charts, edge_index
        self.statistic = np.where(known, self.statistic[:, place], 0.0)
        self.on = known & self.on[:, place]
        self.since = np.where(known, self.since[:, place], np.datetime64("NaT", "s"))
        self.indicators.told, self.indicators.last = {}, None

    def state(self) -> dict:
        """Plain values and tensors to save."""
        told, last = self.indicators.told, self.indicators.last
        return {
            "statistic": torch.from_numpy(self.statistic),
            "on": torch.from_numpy(self.on),
            "since": torch.from_numpy(self.since.astype(np.int64)),
            "told": {str(time): torch.from_numpy(ends) for time, ends in told.items()},
            "last": None if last is None else (str(last[0]), torch.from_numpy(last[1])),
        }

    def restore(self, state: dict) -> None:
        """Take what :meth:`state` gave."""
        self.statistic, self.on = state["statistic"].numpy(), state["on"].numpy()
        self.since = state["since"].numpy().astype("datetime64[s]")
        told = state["told"].items()
        self.indicators.told = {np.datetime64(time, "s"): part.numpy() for time, part in told}
        last = state["last"]
        self.indicators.last = last and (np.datetime64(last[0], "s"), last[1].numpy())

    def _kinds(self, now: np.datetime64) -> list[str | None]:
        outside, repeated, missing = self.on
        sender, receiver = self.edge_index
        off = self.statistic[0] >= self.height[0] / 2
        nodes = len(outside)
        heard = np.bincount(receiver, minlength=nodes)
        share = np.bincount(receiver, off[sender], nodes) / np.maximum(heard, 1)
        kinds = np.full(nodes, None, dtype=object)
        kinds[outside] = "sensor"
        kinds[outside & (share > _SHARE_OFF)] = "incident"
        kinds[(kinds == "incident") & (now - self.since[0] > _DRIFT)] = "drift"
        kinds[outside & (heard == 0)] = "unexplained"
        kinds[repeated] = "stuck"
        kinds[missing] = "silent"
        return kinds.tolist()


def last_reading(batch: dict[str, Tensor]) -> Tensor:
    """The reading at the end of each window, of the first feature ``[B, N]``; NaN where missing."""
    readings = torch.where(batch["mask"], batch["features"], torch.nan)
    return readings[:, -1, :, 0]


def make_watch(
    forecaster: "Forecaster", edge_index: Tensor | None, rate: float
) -> AlarmWatch | None:
    """A watch on the detectors that a forecaster has at hand; None if it has no charts.

    Args:
        forecaster: a trained one.
        edge_index: the graph of these detectors ``[2, E]``; None for no neighbours.
        rate: false alarms of a detector and day.
    """
    if forecaster.charts is None:
        return None
    spec = forecaster.given
    charts = forecaster.charts.take(forecaster.spec.rows(spec.vdids))
    edges = np.empty((2, 0), np.int64) if edge_index is None else edge_index.cpu().numpy()
    return AlarmWatch(charts, edges, spec.step, spec.horizon, rate)


def charts_entries(charts: Charts) -> dict[str, Tensor]:
    """What :func:`charts_from` reads, for a checkpoint."""
    return {name: torch.from_numpy(part) for name, part in vars(charts).items()}


def charts_from(entries: dict | None, num_nodes: int) -> Charts | None:
    """The charts that a checkpoint holds; None if it holds none.

    Args:
        entries: arguments of :class:`socialgraph.cusum.Charts`, as tensors.
        num_nodes: detectors of the training.

    Raises:
        ValueError: if they are none of so many detectors.
    """
    if entries is None:
        return None
    try:
        charts = Charts(**{name: part.double().numpy() for name, part in entries.items()})
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"The 'alarms' of the checkpoint are none ({error}).") from error
    if charts.normal.shape != (len(KINDS), num_nodes):
        raise ValueError(f"The 'alarms' of the checkpoint are not of {num_nodes} detectors.")
    return charts
