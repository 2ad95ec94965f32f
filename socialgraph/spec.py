"""What a forecaster is made for: one record, made by the data module and kept in the checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from socialgraph.calendar import format_local
from socialgraph.series import RoadDistances

__all__ = ["DataSpec", "SpecError"]

_FORM = ("features", "targets", "units", "interval_minutes", "window", "horizon", "graph")
_NAMES = {"interval_minutes": "the interval of the file", "units": "the units of the file"}


class SpecError(ValueError):
    """Data that a forecaster was not made for, with both sides and what to do."""


@dataclass(frozen=True, eq=False)
class DataSpec:
    """What data a forecaster reads and forecasts, and what it was trained on.

    Args:
        features: features of the readings ``[F]``, the targets first.
        targets: those that are forecast.
        units: unit of each feature ``[F]``.
        interval_minutes: distance of two readings.
        timezone: zone of the network.
        window: input steps.
        horizon: forecast steps.
        vdids: ids of the detectors ``[N]``.
        lat, lon: positions in degrees ``[N]``, NaN where unknown.
        graph: the builder of the graph, as :func:`socialgraph.recipe.describe` gives it; None for
            none.
        max_radius: longest edge that the graph may have, in metres; None without a graph.
        edges: lengths of ways that came with the series, or None.
        split: how the series was divided by time, described likewise.
        source: file of the series, or empty.
        dataset_name: name of the series.
        loc, scale: centre and deviation of each feature ``[F]`` in training; None before it.
        limit: bound of scaled readings, or None.
        train_start, train_end: first and last time (UTC) at which the first forecast step of a
            training window lies; None without a training.
    """

    features: list[str]
    targets: list[str]
    units: list[str]
    interval_minutes: float
    timezone: str
    window: int
    horizon: int
    vdids: list[str]
    lat: np.ndarray
    lon: np.ndarray
    graph: dict | None
    max_radius: float | None
    edges: RoadDistances | None
    split: dict
    source: str
    dataset_name: str
    loc: list[float] | None = None
    scale: list[float] | None = None
    limit: float | None = None
    train_start: np.datetime64 | None = None
    train_end: np.datetime64 | None = None

    @property
    def num_targets(self) -> int:
        """How many features are forecast."""
        return len(self.targets)

    @property
    def step(self) -> np.timedelta64:
        """Distance of two readings."""
        return np.timedelta64(round(60 * self.interval_minutes), "s")

    def times(self, issued: np.ndarray) -> np.ndarray:
        """Times ``[B, P]`` of the forecast steps of windows whose last reading is ``issued``."""
        return issued[:, None] + self.step * np.arange(1, self.horizon + 1)

    def rows(self, vdids: Sequence[str]) -> np.ndarray:
        """Places ``[M]`` of detectors among :attr:`vdids`, -1 for strangers."""
        place = {vdid: row for row, vdid in enumerate(self.vdids)}
        return np.array([place.get(vdid, -1) for vdid in vdids], dtype=np.int64)

    def check_form(self, given: "DataSpec") -> None:
        """Refuse data of another form than those of the training.

        Raises:
            SpecError: if features, targets, units, interval, window, horizon or graph differ.
        """
        for name in _FORM:
            own, other = getattr(self, name), getattr(given, name)
            if own != other:
                raise SpecError(
                    f"The forecaster was trained with {name} = {own}, but {_where(given)} is used "
                    f"with {name} = {other}. Give {_NAMES.get(name, f'data.{name}')} as in "
                    "training, or train a forecaster for these data."
                )

    def check_same_data(self, given: "DataSpec") -> None:
        """Refuse to go on with a training on other data.

        Raises:
            SpecError: if the form, the detectors or the time of the training differ.
        """
        self.check_form(given)
        same = (self.train_start, self.train_end) == (given.train_start, given.train_end)
        if self.vdids != given.vdids or not same:
            raise SpecError(
                f"The checkpoint belongs to a training on {_where(self)} ({len(self.vdids)} "
                f"detectors, {self.train_start} to {self.train_end} UTC); {_where(given)} has "
                f"{len(given.vdids)} detectors, {given.train_start} to {given.train_end} UTC. "
                "--ckpt_path goes on with the same training. To start from its weights on other "
                "data, set --model.init_from to the checkpoint and leave --ckpt_path out."
            )

    def check_unseen(self, given: "DataSpec", first_times: np.ndarray) -> None:
        """Refuse to test on windows that were trained on.

        Args:
            given: the data at hand.
            first_times: times ``[W]`` (UTC) of the first forecast step of the test windows.

        Raises:
            SpecError: if one lies in the time of the training, for a detector of the training.
        """
        if self.train_end is None or not self._shares_detectors(given):
            return
        seen = (first_times >= self.train_start) & (first_times <= self.train_end)
        if seen.any():
            begin, end = format_local(np.array([self.train_start, self.train_end]), self.timezone)
            raise SpecError(
                f"{int(seen.sum())} of {len(seen)} test windows of {_where(given)} lie in the time "
                f"of the training, {begin} to {end}, with the same detectors: training windows "
                "would be tested. Use the 'data.split' of the training, or later readings."
            )

    def to_dict(self) -> dict:
        """Plain values, for a checkpoint."""
        kept = dict(vars(self))
        for name in ("lat", "lon"):
            kept[name] = kept[name].tolist()
        for name in ("train_start", "train_end"):
            kept[name] = None if kept[name] is None else str(kept[name])
        if self.edges is not None:
            kept["edges"] = [np.asarray(part).tolist() for part in self.edges]
        return kept

    @classmethod
    def from_dict(cls, kept: dict) -> "DataSpec":
        """The record of which :meth:`to_dict` made plain values.

        Raises:
            SpecError: if an entry is absent or unknown.
        """
        names = set(cls.__dataclass_fields__)
        if set(kept) != names:
            raise SpecError(
                "The checkpoint was written by another version of this library, or changed: in its "
                f"'spec' {sorted(names ^ set(kept))} are absent or unknown. Train again."
            )
        times = {
            name: None if kept[name] is None else np.datetime64(kept[name], "s")
            for name in ("train_start", "train_end")
        }
        places = {name: np.array(kept[name], dtype=np.float64) for name in ("lat", "lon")}
        edges = kept["edges"]
        if edges is not None:
            index = np.array(edges[0], dtype=np.int64).reshape(2, -1)
            edges = RoadDistances(index, np.array(edges[1], dtype=np.float64))
        return cls(**{**kept, **times, **places, "edges": edges})

    def with_detectors(
        self, vdids: list[str], lat: np.ndarray, lon: np.ndarray, edges: RoadDistances | None
    ) -> "DataSpec":
        """The same for other detectors."""
        return replace(self, vdids=vdids, lat=lat, lon=lon, edges=edges)

    def _shares_detectors(self, given: "DataSpec") -> bool:
        """Whether a detector of both has the same id and, as far as known, the same place."""
        rows = self.rows(given.vdids)
        both = np.flatnonzero(rows >= 0)
        for own, other in ((self.lat, given.lat), (self.lon, given.lon)):
            apart = np.abs(own[rows[both]] - other[both]) > 1e-4  # 10 m; False for NaN
            both = both[~apart]
        return len(both) > 0


def _where(spec: DataSpec) -> str:
    return f"'{spec.source}'" if spec.source else f"the series {spec.dataset_name or 'given'!r}"
