"""What a forecaster is made for: one record, made by the data module and kept in the checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from socialgraph.calendar import check_holidays, check_zone, format_local, same_clock
from socialgraph.series import RoadDistances, TrafficSeries

__all__ = ["DataSpec", "SpecError"]

_FORM = {  # what must be the same, and where it is said
    "targets": "data.targets",
    "features": "data.features",
    "units": "units in the file",
    "interval_minutes": "an interval in the file",
    "window": "data.windows.window",
    "horizon": "data.windows.horizon",
    "known": "data.known",
    "attributes": "data.attributes",
    "holidays": "data.holidays",
    "graph": "data.graph",
}
_PERIOD = ("vdids", "lat", "lon", "train_start", "train_end")


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
        scaling: how it was scaled, see :func:`socialgraph.scaler.scale_of`.
        source: file of the series, or empty.
        dataset_name: name of the series.
        loc, scale: centre and deviation of each feature ``[F]`` in training; None before it.
        limit: bound of scaled readings, or None.
        train_start, train_end: first and last time (UTC) of the targets of training and
            validation; None without a training.
        known: features that are known ahead, at the forecast steps too.
        attributes: names of what is known of each detector once and for all.
        attribute_values: those ``[N, A]``, NaN where unknown.
        holidays: region whose public holidays count as Sundays, or None.
        earlier: detectors, positions and times of trainings before this one, from whose weights it
            started, each as a dictionary of the five.
        null_values: numbers that mean missing in the source of the series, by feature.
        ranges: lowest and highest plausible reading, by feature.
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
    graph: dict | None = None
    max_radius: float | None = None
    edges: RoadDistances | None = None
    split: dict = field(default_factory=dict)
    scaling: str = "standard"
    source: str = ""
    dataset_name: str = ""
    loc: list[float] | None = None
    scale: list[float] | None = None
    limit: float | None = None
    train_start: np.datetime64 | None = None
    train_end: np.datetime64 | None = None
    known: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    attribute_values: np.ndarray | None = None
    holidays: str | None = None
    earlier: tuple[dict, ...] = ()
    null_values: dict[str, list[float]] = field(default_factory=dict)
    ranges: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.attribute_values is None:
            unknown = np.full((len(self.vdids), len(self.attributes)), np.nan)
            object.__setattr__(self, "attribute_values", unknown)

    @classmethod
    def of(cls, series: TrafficSeries, window: int, horizon: int) -> "DataSpec":
        """The record of a series all of whose features are read and forecast."""
        return cls(
            features=series.feature_names,
            targets=series.feature_names,
            units=series.units,
            interval_minutes=series.interval_minutes,
            timezone=series.timezone,
            window=window,
            horizon=horizon,
            vdids=series.vdids,
            lat=series.lat,
            lon=series.lon,
            edges=series.edges,
            dataset_name=series.dataset_name,
            null_values=_of(series.feature_names, series.null_values),
            ranges=_of(series.feature_names, series.ranges),
        )

    @property
    def num_targets(self) -> int:
        """How many features are forecast."""
        return len(self.targets)

    @property
    def step(self) -> np.timedelta64:
        """Distance of two readings."""
        return np.timedelta64(round(60 * self.interval_minutes), "s")

    @property
    def horizon_minutes(self) -> list[float]:
        """How far ahead each forecast step is."""
        return [step * self.interval_minutes for step in range(1, self.horizon + 1)]

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
            SpecError: if targets, features, units, interval, window, horizon or graph differ, or
                the same detectors have another local clock.
        """
        for name, place in _FORM.items():
            own, other = (_comparable(getattr(spec, name)) for spec in (self, given))
            if own != other:
                raise SpecError(
                    f"The forecaster was trained with {name} = {own}, but {_where(given)} is used "
                    f"with {name} = {other}. Give {place} as in training, or train a forecaster "
                    "for these data."
                )
        same_clock_needed = _shared(vars(self), given)
        if same_clock_needed and not same_clock(self.timezone, given.timezone):
            raise SpecError(
                f"The forecaster was trained with the clock of {self.timezone}, but "
                f"{_where(given)} has the same detectors with that of {given.timezone}. Give the "
                "series its zone (timezone=, --timezone)."
            )

    def check_same_data(self, given: "DataSpec") -> None:
        """Refuse to go on with a training on other data.

        Raises:
            SpecError: if the form, the scaling, the detectors or the time of the training differ.
        """
        self.check_form(given)
        if self.scaling != given.scaling:
            raise SpecError(
                f"The training goes on with data.scaling = {self.scaling} (got {given.scaling}). "
                "Start a new one from its weights with --model.init_from to scale otherwise."
            )
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
        """Refuse to test on windows that were trained on, or by which the training was chosen.

        The part that is left for testing by the same division of the same times passes.

        Args:
            given: the data at hand.
            first_times: times ``[W]`` (UTC) of the first forecast step of the test windows.

        Raises:
            SpecError: if one lies in the time of a training, for a detector of it.
        """
        for period in (*self.earlier, {name: getattr(self, name) for name in _PERIOD}):
            start, end = period["train_start"], period["train_end"]
            division = (given.split, given.train_start, given.train_end)
            if start is None or division == (self.split, start, end) or not _shared(period, given):
                continue
            seen = (first_times >= start) & (first_times <= end)
            if seen.any():
                begin, end = format_local(np.array([start, end]), self.timezone)
                raise SpecError(
                    f"{int(seen.sum())} of {len(seen)} test windows of {_where(given)} lie in the "
                    f"time of training and validation, {begin} to {end}, with the same detectors: "
                    "training windows would be tested. Use the 'data.split' of the training, or "
                    "later readings."
                )

    def after(self, trained: "DataSpec") -> "DataSpec":
        """This record, with the trainings of another on whose weights it builds."""
        if trained.train_end is None:
            return self
        last = {name: getattr(trained, name) for name in _PERIOD}
        return replace(self, earlier=(*trained.earlier, last))

    def to_dict(self) -> dict:
        """Plain values, for a checkpoint."""
        return _plain(vars(self))

    @classmethod
    def from_dict(cls, kept: dict) -> "DataSpec":
        """The record of which :meth:`to_dict` made plain values.

        Raises:
            SpecError: if an entry is absent, unknown, or cannot be one.
        """
        if isinstance(kept, dict):  # of a version without them
            kept = {"null_values": {}, "ranges": {}, **kept}
        names = set(cls.__dataclass_fields__)
        if not isinstance(kept, dict) or set(kept) != names:
            odd = sorted(map(str, names ^ set(kept))) if isinstance(kept, dict) else sorted(names)
            raise SpecError(
                "The checkpoint was written by another version of this library, or changed: in its "
                f"'spec' {odd} are absent or unknown. Train again."
            )
        try:
            edges = kept["edges"]
            if edges is not None:
                index = np.array(edges[0], dtype=np.int64).reshape(2, -1)
                edges = RoadDistances(index, np.array(edges[1], dtype=np.float64))
            earlier = tuple({**period, **_period(period)} for period in kept["earlier"])
            values = np.array(kept["attribute_values"], dtype=np.float64)
            values = values.reshape(len(kept["vdids"]), len(kept["attributes"]))
            parts = {"edges": edges, "earlier": earlier, "attribute_values": values}
            spec = cls(**{**kept, **_period(kept), **parts})
            spec._check()
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            raise SpecError(
                f"The 'spec' of the checkpoint cannot be right ({error}). Train again."
            ) from error
        return spec

    def _check(self) -> None:
        """Refuse parts that do not fit each other."""
        names = (*self.features, *self.targets, *self.units, *self.vdids)
        names += (*self.known, *self.attributes)
        if not all(isinstance(name, str) for name in names):
            raise ValueError("Expected names as text")
        nodes, channels = len(self.vdids), len(self.features)
        sizes = {"lat": nodes, "lon": nodes, "units": channels}
        sizes |= {} if self.loc is None else {"loc": channels, "scale": channels}
        for name, size in sizes.items():
            if len(getattr(self, name)) != size:
                raise ValueError(f"Expected {size} {name} (got {len(getattr(self, name))})")
        if self.loc is not None and not (
            np.isfinite([*self.loc, *self.scale]).all() and min(self.scale) > 0
        ):
            raise ValueError("Expected finite 'loc', and finite 'scale' above 0")
        if not set(self.known) <= set(self.features) - set(self.targets):
            raise ValueError("Expected 'known' among the features that are no targets")
        if self.targets != self.features[: len(self.targets)] or not self.targets:
            raise ValueError("Expected the targets as the first features")
        if (self.train_start is None) != (self.train_end is None):
            raise ValueError("Expected both ends of the time of the training, or none")
        steps = (self.window, self.horizon)
        if not (all(isinstance(n, int) and n >= 1 for n in steps) and self.interval_minutes > 0):
            raise ValueError("Expected 'window', 'horizon' and 'interval_minutes' above 0")
        for number in (self.limit, self.max_radius):
            if number is not None and not number > 0:
                raise ValueError("Expected 'limit' and 'max_radius' above 0")
        if not isinstance(self.vdids, list) or len(set(self.vdids)) < nodes:
            raise ValueError("Expected a list of different ids")
        if self.edges is not None:
            index, distance = self.edges
            if index.shape[1] != len(distance) or (index.size and index.max() >= nodes):
                raise ValueError("Expected edges between the detectors, each with its length")
        for period in (*self.earlier, vars(self)):
            if not len(period["vdids"]) == len(period["lat"]) == len(period["lon"]):
                raise ValueError("Expected a position for each detector of a training")
            start, end = period["train_start"], period["train_end"]
            if start is not None and not start <= end:
                raise ValueError("Expected times of a training in order")
        for name, numbers in (*self.null_values.items(), *self.ranges.items()):
            if name not in self.features or not all(isinstance(n, int | float) for n in numbers):
                raise ValueError("Expected numbers for features as 'null_values' and 'ranges'")
        if any(len(span) != 2 for span in self.ranges.values()):
            raise ValueError("Expected a lowest and a highest reading as each of 'ranges'")
        check_zone(self.timezone)
        check_holidays(self.holidays)

    def with_detectors(
        self, vdids: list[str], lat: np.ndarray, lon: np.ndarray, edges: RoadDistances | None
    ) -> "DataSpec":
        """The same for other detectors; the attributes of those that are not known here are NaN."""
        rows = self.rows(vdids)
        values = np.where((rows >= 0)[:, None], self.attribute_values[rows], np.nan)
        return replace(self, vdids=vdids, lat=lat, lon=lon, edges=edges, attribute_values=values)


def _of(features: Sequence[str], rules: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: list(rules[name]) for name in features if name in rules}


def _shared(period: dict, given: DataSpec) -> bool:
    """Whether a detector of both has the same id and, as far as known, the same place."""
    place = {vdid: row for row, vdid in enumerate(period["vdids"])}
    both = [(place[vdid], row) for row, vdid in enumerate(given.vdids) if vdid in place]
    if not both:
        return False
    own, other = np.array(both).T
    shared = np.ones(len(own), dtype=bool)
    for name in ("lat", "lon"):
        apart = np.abs(period[name][own] - getattr(given, name)[other])
        shared &= ~(apart > 1e-4)  # 10 m; NaN is no distance
    return bool(shared.any())


def _period(kept: dict) -> dict:
    """Positions and times of a training from plain values."""
    times = {
        name: None if kept[name] is None else np.datetime64(kept[name], "s")
        for name in ("train_start", "train_end")
    }
    return times | {name: np.array(kept[name], dtype=np.float64) for name in ("lat", "lon")}


def _plain(value: object) -> object:
    """Values that a checkpoint takes: without arrays, times, and numbers of NumPy."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, str) else value


def _comparable(value: object) -> object:
    """A description without the places of files, which differ between machines, and what is None.

    An option that came later is None in the description of what was made before it.
    """
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != "path" and item is not None}
        return {name: _comparable(item) for name, item in kept.items()}
    return [_comparable(item) for item in value] if isinstance(value, list) else value


def _where(spec: DataSpec) -> str:
    if spec.source:
        return f"'{spec.source}'"
    return f"the series {spec.dataset_name!r}" if spec.dataset_name else "the series that is given"
