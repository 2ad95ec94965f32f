"""A traffic series in memory: readings of detectors, their times, places and what else is known."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from socialgraph.axis import SeriesError, infer_interval, whole_seconds
from socialgraph.calendar import RepeatedHour, check_years, check_zone

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RoadDistances", "SeriesError", "SourceRules", "TrafficSeries", "as_id", "is_speed"]

_EMPTY_CELLS = ("nan", "NaT", "<NA>")


class RoadDistances(NamedTuple):
    """Directed lengths of ways between detectors.

    Args:
        edge_index: indices of the detectors where a way starts and where it ends :math:`(2, E)`,
            int64.
        distance: lengths in metres :math:`(E)`, float64.
    """

    edge_index: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class SourceRules:
    """How the readings of a source became those of a file, for readings that are added later.

    Args:
        rules: how finer readings came to the interval, by feature; empty if they were not finer.
        units: units of the finer readings, by feature.
        lane_rules: how lanes of a detector were joined, by feature, where it was said.
        min_share: share of the finer readings that a reading needs; None if they were not finer.
        round: minutes of which times were brought to a multiple; None if they were not.
        label_end: minutes of a reading, if times were its end; None if they were its start.
    """

    rules: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    lane_rules: dict[str, str] = field(default_factory=dict)
    min_share: float | None = None
    round: float | None = None
    label_end: float | None = None

    def __post_init__(self) -> None:
        texts = (self.rules, self.units, self.lane_rules)
        words = [word for pairs in texts for pair in pairs.items() for word in pair]
        numbers = [n for n in (self.min_share, self.round, self.label_end) if n is not None]
        if not all(isinstance(word, str) for word in words):
            raise SeriesError(f"Expected texts as rules and units by feature (got {self}).")
        if not all(isinstance(n, int | float) and np.isfinite(n) and n >= 0 for n in numbers):
            raise SeriesError(f"Expected numbers from 0 on as share and minutes (got {self}).")


@dataclass
class TrafficSeries:
    """Readings of N detectors at T times, with what is known of the detectors.

    Args:
        values: readings ``[T, N, F]``, float32, NaN where missing, in the unit of their feature.
        timestamps: start of each interval ``[T]``, UTC, ``datetime64[s]``, ascending.
        vdids: detector ids ``[N]``; numbers become text.
        feature_names: names ``[F]``.
        lat, lon: position in degrees (WGS84) ``[N]``, NaN where unknown; None if none is known.
        units: unit of each feature ``[F]``; None if none is known.
        interval_minutes: distance of two readings in minutes; None to infer it.
        timezone: zone of the network (IANA name), for the calendar and for people.
        dataset_name, source: what the data are, and where they came from.
        missing: how the source coded a missing reading.
        null_values: numbers by which the source says it, by feature.
        ranges: lowest and highest plausible reading, by feature.
        finer_null_values, finer_ranges: the same of the source, if its readings were joined to
            these, over lanes or to a longer interval.
        source_rules: how the readings of the source became these.
        vd_info: further attributes of detectors, by id.
        edges: lengths of ways between the detectors, if they are known.

    Raises:
        SeriesError: if the parts do not fit each other, a reading is infinite or too large for
            float32, an id or a name cannot be one or occurs twice, or a time is missing, out of
            order or outside the years 1970 to 2100.
    """

    values: np.ndarray
    timestamps: np.ndarray
    vdids: list[str]
    feature_names: list[str]
    lat: np.ndarray | None = None
    lon: np.ndarray | None = None
    units: list[str] | None = None
    interval_minutes: float | None = None
    timezone: str = "UTC"
    dataset_name: str = ""
    source: str = ""
    missing: str = ""
    vd_info: dict[str, dict] = field(default_factory=dict)
    edges: RoadDistances | None = None
    null_values: dict[str, list[float]] = field(default_factory=dict)
    ranges: dict[str, list[float]] = field(default_factory=dict)
    finer_null_values: dict[str, list[float]] = field(default_factory=dict)
    finer_ranges: dict[str, list[float]] = field(default_factory=dict)
    source_rules: SourceRules = field(default_factory=SourceRules)

    def __post_init__(self) -> None:
        self.vdids = [as_id(vdid) for vdid in self.vdids]
        self.feature_names = [str(name) for name in self.feature_names]
        self.values = _as_readings(self.values)
        self.timestamps = _as_times(self.timestamps)
        unknown = np.full(len(self.vdids), np.nan)
        self.lat = unknown if self.lat is None else np.array(self.lat, dtype=np.float64)
        self.lon = unknown.copy() if self.lon is None else np.array(self.lon, dtype=np.float64)
        units = [None] * len(self.feature_names) if self.units is None else self.units
        self.units = ["" if unit is None else str(unit) for unit in units]
        self.edges = None if self.edges is None else _as_edges(self.edges)
        self.vd_info = {as_id(vdid): known for vdid, known in self.vd_info.items()}
        if self.interval_minutes is None:
            self.interval_minutes = infer_interval(self.timestamps)
        self.check()

    @classmethod
    def from_frame(
        cls,
        readings: "pd.DataFrame | Mapping[str, pd.DataFrame]",
        detectors: "pd.DataFrame | None" = None,
        *,
        timezone: str | None = None,
        feature: str = "",
        units: Mapping[str, str] | None = None,
        interval_minutes: float | None = None,
        time_column: str = "time",
        id_column: str = "detector",
        repeated_hour: RepeatedHour = "order",
        dataset_name: str = "",
    ) -> "TrafficSeries":
        """Take readings and detectors from pandas frames.

        Times that no row has are filled with missing readings, so that the axis is regular.

        Args:
            readings: one of four forms. *Long*: a row per detector and time, with ``time_column``,
                ``id_column`` and a column per feature. *Wide*: a row per time, with ids as columns
                and ``feature`` as their feature; a mapping of feature to wide frame; or columns
                ``(feature, id)``. The times of a wide frame are its index, or ``time_column``.
            detectors: a row per detector, with its id in ``id_column`` or as index, ``lat`` and
                ``lon`` in degrees; further columns become attributes of the detector. None if no
                position is known.
            timezone: zone of the network; times without an offset are on its clock. None for the
                zone of zone-aware times, else UTC.
            feature: name of the feature of one wide frame.
            units: unit by feature.
            interval_minutes: distance of two readings; None for the most frequent one.
            time_column: column of the times: with or without an offset, texts in ISO 8601, or
                seconds or milliseconds since 1970 (UTC).
            id_column: column of the ids.
            repeated_hour: how naive times of the hour that comes twice in autumn are meant, see
                :func:`socialgraph.calendar.to_utc`.
            dataset_name: what the data are.

        Raises:
            KeyError: if a column is absent.
            SeriesError: if the frames make no series, see the class, or a position is no place on
                earth, or 0, 0.
            socialgraph.calendar.ClockError: if local times have no place in UTC.
        """
        from socialgraph import frames

        timezone = frames.zone_of(readings, time_column) if timezone is None else timezone
        return (
            cls(
                **frames.read_readings(
                    readings,
                    timezone,
                    feature,
                    interval_minutes,
                    time_column,
                    id_column,
                    repeated_hour,
                ),
                timezone=timezone,
                dataset_name=dataset_name,
                source="pandas frames",
            )
            ._with_detectors(detectors, id_column)
            ._with_units(units or {})
        )

    def to_frame(self) -> "pd.DataFrame":
        """Readings as a frame: local times (zone-aware) as index, columns ``(feature, id)``."""
        from socialgraph import frames

        return frames.wide_frame(self)

    def select(
        self, features: Sequence[str] | None = None, vdids: Sequence[str] | None = None
    ) -> "TrafficSeries":
        """The series of some features and detectors, in the order given; None for all.

        Raises:
            KeyError: if there is no such feature or detector.
        """
        columns = _places(self.feature_names, features, "feature")
        nodes = _places(self.vdids, vdids, "detector")
        if columns == list(range(len(self.feature_names))) and vdids is None:
            return self
        edges = self.edges if vdids is None or self.edges is None else _subgraph(self.edges, nodes)
        chosen = [self.vdids[i] for i in nodes]
        return replace(
            self,
            values=self.values[:, nodes][..., columns],
            vdids=chosen,
            feature_names=[self.feature_names[i] for i in columns],
            lat=self.lat[nodes],
            lon=self.lon[nodes],
            units=[self.units[i] for i in columns],
            vd_info={v: self.vd_info[v] for v in chosen if v in self.vd_info},
            edges=edges,
        )

    def first(self, steps: int | None) -> "TrafficSeries":
        """The series of the first ``steps`` times; None for all."""
        if steps is None or steps >= len(self.timestamps):
            return self
        return replace(self, values=self.values[:steps], timestamps=self.timestamps[:steps])

    def num_days(self) -> float:
        """Days from the first reading to the end of the last one; 0 without a reading."""
        heard = np.flatnonzero(np.isfinite(self.values).any(axis=(1, 2)))
        if not len(heard):
            return 0.0
        span = self.timestamps[heard[-1]] - self.timestamps[heard[0]]
        return float((span / np.timedelta64(1, "m") + self.interval_minutes) / 1440)

    def check(self) -> None:
        """Refuse parts that make no series; called when it is made and when it is written.

        Raises:
            SeriesError: see the class.
        """
        _check_lengths(self)
        _check_names("vdids", self.vdids)
        _check_names("feature_names", self.feature_names)
        _check_times(self)
        _check_edges(self)
        infinite = _count_infinite(self.values)
        if infinite:
            raise SeriesError(
                f"Expected finite readings; {infinite} are infinite or too large for float32. "
                "Write NaN where a reading is missing."
            )
        try:
            check_zone(self.timezone)
        except ValueError as error:
            raise SeriesError(str(error)) from error

    def _with_detectors(self, detectors: "pd.DataFrame | None", id_column: str) -> "TrafficSeries":
        from socialgraph import frames

        if detectors is None:
            return self
        return replace(self, **frames.read_detectors(detectors, self.vdids, id_column))

    def _with_units(self, units: Mapping[str, str]) -> "TrafficSeries":
        _places(self.feature_names, list(units), "feature")
        return replace(self, units=[units.get(name, "") for name in self.feature_names])


def as_id(vdid: object) -> str:
    """An id as text. A table reads whole numbers as floats if a cell is empty.

    Raises:
        SeriesError: if it is None, NaN or another mark of an empty cell.
    """
    if isinstance(vdid, bytes):
        return vdid.decode()
    if vdid is None or (not isinstance(vdid, str) and str(vdid) in _EMPTY_CELLS):
        raise SeriesError(f"Expected an id in every place (got {vdid}). Fill it, or drop the row.")
    whole = isinstance(vdid, float | np.floating) and float(vdid).is_integer()
    return str(int(vdid)) if whole else str(vdid)


def is_speed(name: str, unit: str) -> bool:
    """Whether a feature is a speed, by its name or its unit: only these are low in a jam."""
    return "speed" in name.lower() or unit.lower() in ("km/h", "kmh", "kph", "mph", "m/s")


def _as_readings(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 3:
        raise SeriesError(
            f"Expected readings [time, detector, feature] (got shape {values.shape})."
        )
    if values.dtype.kind not in "biuf":
        raise SeriesError(
            f"Expected readings as real numbers (got {values.dtype}). Convert them, with NaN for a "
            "missing one."
        )
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def _count_infinite(values: np.ndarray) -> int:
    """How many readings are infinite, looked at in parts, which take less memory."""
    size = max(1, 2**22 // max(1, values[0].size)) if len(values) else 1
    parts = (values[start : start + size] for start in range(0, len(values), size))
    return sum(int(np.isinf(part).sum()) for part in parts)


def _as_times(times: np.ndarray) -> np.ndarray:
    times = np.asarray(times)
    if times.dtype.kind != "M":
        raise SeriesError(
            f"Expected 'timestamps' as datetime64 in UTC (got {times.dtype}). Frames and texts are "
            "read by TrafficSeries.from_frame."
        )
    seconds = times.astype("datetime64[s]")
    between = (seconds != times) & ~np.isnat(seconds)
    if between.any():
        raise SeriesError(f"Expected times in whole seconds (got {times[between][0]}). Round them.")
    return seconds


def _as_edges(edges: RoadDistances) -> RoadDistances:
    index, distance = map(np.asarray, edges)
    if (index.size and index.dtype.kind not in "iu") or distance.dtype.kind not in "iuf":
        raise SeriesError(
            "Expected 'edge_index' as whole numbers and 'distance' as metres (got "
            f"{index.dtype} and {distance.dtype})."
        )
    return RoadDistances(index.astype(np.int64), distance.astype(np.float64))


def _places(names: list[str], chosen: Sequence[str] | None, what: str) -> list[int]:
    if chosen is None:
        return list(range(len(names)))
    place = {name: i for i, name in enumerate(names)}
    unknown = [name for name in chosen if name not in place]
    if unknown:
        more = "" if len(names) <= 10 else f" and {len(names) - 10} more"
        raise KeyError(f"There is no {what} {unknown[0]!r}; there are {names[:10]}{more}.")
    return [place[name] for name in chosen]


def _subgraph(edges: RoadDistances, nodes: list[int]) -> RoadDistances:
    place = np.full(max([*nodes, int(edges.edge_index.max(initial=0))]) + 1, -1)
    place[nodes] = np.arange(len(nodes))
    ends = place[edges.edge_index]
    kept = (ends >= 0).all(axis=0)
    return RoadDistances(ends[:, kept], edges.distance[kept])


def _check_lengths(series: TrafficSeries) -> None:
    steps, nodes, channels = series.values.shape
    if min(steps, nodes, channels) < 1:
        raise SeriesError(
            f"Expected a reading or more (got shape {series.values.shape}, [time, detector, "
            "feature])."
        )
    expected = {
        "timestamps": steps,
        "vdids": nodes,
        "lat": nodes,
        "lon": nodes,
        "feature_names": channels,
        "units": channels,
    }
    for name, length in expected.items():
        found = np.shape(getattr(series, name))
        if found != (length,):
            raise SeriesError(
                f"Expected {length} {name} for readings of shape {series.values.shape} (got "
                f"{found[0] if len(found) == 1 else f'shape {found}'})."
            )


def _check_names(what: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SeriesError(f"Expected unique {what}; {twice[:5]} occur more than once.")
    odd = [name for name in names if not name.strip() or not name.isprintable()]
    if what == "vdids":  # they are names of groups in HDF5
        odd += [name for name in names if "/" in name or name in (".", "..")]
    # Spreadsheets run these, and names stand in tables.
    odd += [name for name in names if re.match(r"[=@]|[+-].*[(|!]", name)]
    if odd:
        raise SeriesError(
            f"Expected {what} that are not empty, hold no control character and are no formula of "
            f"a spreadsheet, ids without '/' (got {odd[:5]}). Rename them."
        )


def _check_times(series: TrafficSeries) -> None:
    times = series.timestamps
    try:
        check_years(times)
    except ValueError as error:
        raise SeriesError(str(error)) from error
    late = np.flatnonzero(np.diff(times) <= np.timedelta64(0, "s"))
    if len(late):
        raise SeriesError(
            f"Expected times that ascend; {times[late[0] + 1]} follows {times[late[0]]} "
            f"({len(late)} such places, UTC). Sort them, and keep one row for each time."
        )
    if not series.interval_minutes > 0:
        raise SeriesError(f"Expected 'interval_minutes' above 0 (got {series.interval_minutes}).")
    whole_seconds(series.interval_minutes)


def _check_edges(series: TrafficSeries) -> None:
    if series.edges is None:
        return
    index, distance = series.edges
    if index.ndim != 2 or len(index) != 2 or distance.shape != index.shape[1:]:
        raise SeriesError(
            "Expected edges as 'edge_index' [2, E] and 'distance' [E] (got shapes "
            f"{index.shape} and {distance.shape})."
        )
    nodes = len(series.vdids)
    if index.size and not (index.min() >= 0 and index.max() < nodes):
        raise SeriesError(
            f"Expected edges between the {nodes} detectors, numbered from 0 (got {index.min()} to "
            f"{index.max()})."
        )
    if not (np.isfinite(distance) & (distance >= 0)).all():
        raise SeriesError("Expected lengths of edges as finite metres of 0 or more.")
