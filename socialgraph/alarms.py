"""Alarms: detectors whose readings leave their intervals too often, fall silent, or stand still."""

from typing import Any

import numpy as np

from socialgraph.cusum import Charts
from socialgraph.indicators import Indicators
from socialgraph.spec import DataSpec
from socialgraph.table import ALARMS

__all__ = ["AlarmWatch", "make_watch"]

_SHARES = np.array([0.8, 0.1, 0.1])  # of the false alarms
_SHARE_OFF = 0.25  # of the neighbours: an incident is felt in one direction of a road
_DRIFT = np.timedelta64(1, "D")


class AlarmWatch:
    """Follows detectors and says which are off, and of what kind it looks.

    - ``silent``: readings are missing more often than they use to.
    - ``stuck``: readings repeat themselves more often than they use to.
    - ``sensor``: readings leave their intervals too often, those of its neighbours do not.
    - ``incident``: those of more than a quarter of the neighbours do too; ``drift`` if that lasts
      for more than a day.
    - ``unexplained``: readings leave their intervals, and there is no neighbour to ask.

    Args:
        charts: of the detectors, by :meth:`socialgraph.quiet.QuietReadings.calibrate`.
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

    def codes(
        self, issued: np.datetime64, quantiles: np.ndarray, readings: np.ndarray
    ) -> np.ndarray:
        """What :meth:`update` tells as numbers ``[N]``: places in ``ALARMS`` from 1, and 0."""
        kinds = self.update(issued, quantiles, readings)
        return np.array([0 if kind is None else 1 + ALARMS.index(kind) for kind in kinds])

    def take(self, rows: np.ndarray, charts: Charts, edge_index: np.ndarray) -> None:
        """Watch other detectors: by place, and -1 for one that was not watched, which is well."""
        same = np.array_equal(rows, np.arange(self.on.shape[1]))
        self.charts, self.edge_index = charts, edge_index
        if same:
            return
        known, place = rows >= 0, np.maximum(rows, 0)
        self.statistic = np.where(known, self.statistic[:, place], 0.0)
        self.on = known & self.on[:, place]
        self.since = np.where(known, self.since[:, place], np.datetime64("NaT", "s"))
        self.indicators.told, self.indicators.last = {}, None

    def state(self) -> dict[str, Any]:
        """Arrays and plain values by name, to save."""
        told, last = self.indicators.told, self.indicators.last
        return {
            "horizon": self.indicators.aheads[1],
            "statistic": self.statistic,
            "on": self.on,
            "since": self.since.astype(np.int64),
            "last_time": None if last is None else str(last[0]),
            "last_reading": None if last is None else last[1],
            **{f"told/{time}": ends for time, ends in told.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave, but for what was told with another horizon."""
        self.statistic, self.on = state["statistic"], state["on"]
        self.since = state["since"].astype("datetime64[s]")
        horizon = self.indicators.aheads[1]
        same = state.get("horizon", horizon) == horizon  # earlier versions do not tell it
        self.indicators.told = {
            np.datetime64(name.removeprefix("told/"), "s"): part
            for name, part in state.items()
            if same and name.startswith("told/")
        }
        time = state["last_time"]
        self.indicators.last = time and (np.datetime64(time, "s"), state["last_reading"])

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


def make_watch(
    charts: Charts,
    trained: DataSpec,
    given: DataSpec,
    edge_index: np.ndarray | None,
    rate: float,
) -> AlarmWatch:
    """A watch on detectors that may not all have been in training.

    Args:
        charts: of the detectors of the training.
        trained: what the forecaster was trained on.
        given: what is forecast.
        edge_index: the graph of the detectors of ``given`` ``[2, E]``; None for no neighbours.
        rate: false alarms of a detector and day.
    """
    own = charts.take(trained.rows(given.vdids))
    edges = np.empty((2, 0), np.int64) if edge_index is None else np.asarray(edge_index)
    return AlarmWatch(own, edges, given.step, given.horizon, rate)
