"""Two passes over a file: what is in it, and which readings cannot be right."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.days import read_days
from data_prep.marks import FLOWS, REASONS, mark_day
from data_prep.outliers import ValueCounts, describe_range, find_far
from data_prep.shifts import ClockShift, ShiftFinder
from socialgraph.calendar import to_local
from socialgraph.series import TrafficSeries

__all__ = ["Marked", "Scan", "mark_days", "scan_file", "sum_marks"]

_MOST_DAYS = 20_000  # of which each has a row in memory


@dataclass
class Scan:
    """What the first pass over a file finds.

    Args:
        missing: missing readings of each detector and feature ``[N, F]``.
        low, high: lowest and highest reading of each ``[N, F]``, NaN without one.
        infinite: readings that are infinite.
        silent_steps: True for steps without any reading ``[T]``.
        ranges: by feature, see :func:`data_prep.outliers.describe_range`.
        far: groups of readings far outside, by feature.
        others: range of the others, by feature.
        distinct: distinct readings and their counts, by feature.
        days: local days ``[D]``.
        silent: True for a detector without a reading on a day ``[D, N]``.
        profile: mean of the profile's feature by step of the local day ``[S, N]``.
        day_means: the same over all detectors, by day ``[D, S]``.
        feature: index of the feature of the profiles.
        digest: equal for detectors with equal readings ``[N]``.
        shifts: clocks of detectors that seem to be wrong, told by flow if there is one.
    """

    missing: np.ndarray
    low: np.ndarray
    high: np.ndarray
    infinite: int = 0
    silent_steps: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    ranges: dict[str, dict | None] = field(default_factory=dict)
    far: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    others: dict[str, tuple[float, float]] = field(default_factory=dict)
    distinct: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    days: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype="datetime64[D]"))
    silent: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))
    profile: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    day_means: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    feature: int = 0
    digest: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    shifts: list[ClockShift] = field(default_factory=list)

    @property
    def spans(self) -> dict[str, float]:
        """Usual range of each feature that has readings, without those far outside."""
        spans = {}
        for name, (values, counts) in self.distinct.items():
            low, high = self.others.get(name, (-np.inf, np.inf))
            inside = (values >= low) & (values <= high)
            span = describe_range(values[inside], counts[inside])
            if span is not None:
                spans[name] = span["high"] - span["low"]
        return spans


@dataclass
class Marked:
    """Readings of a file that cannot be right, for one reason and feature.

    Args:
        count: how many.
        by_detector: how many of each detector ``[N]``.
        days: how many local days have one.
        first: step, detector and value of the first one.
    """

    count: int
    by_detector: np.ndarray
    days: int
    first: tuple[int, int, float]


def scan_file(path: str | Path, outline: TrafficSeries) -> Scan:
    """The first pass.

    Args:
        path: the file.
        outline: everything of it but the readings.

    Raises:
        SchemaError: if the file is damaged.
    """
    steps, nodes, channels = outline.values.shape
    names = outline.feature_names
    scan = Scan(
        np.zeros((nodes, channels), dtype=np.int64),
        np.full((nodes, channels), np.nan, dtype=np.float32),
        np.full((nodes, channels), np.nan, dtype=np.float32),
        silent_steps=np.zeros(steps, dtype=bool),
        feature=names.index("speed") if "speed" in names else 0,
    )
    counts = [ValueCounts() for _ in names]
    profile = _Profiles(outline, scan.feature)
    clock = next((names.index(name) for name in FLOWS if name in names), scan.feature)
    shifts = ShiftFinder(profile.step)
    silent, days = [], []
    scan.digest = np.zeros(nodes, dtype=np.uint64)
    random = np.random.default_rng(0)
    for day, start, values in read_days(path, outline):
        nan = np.isnan(values)
        scan.infinite += int(np.isinf(values).sum())
        scan.missing += nan.sum(axis=0)
        scan.low = np.fmin(scan.low, np.fmin.reduce(values, axis=0))
        scan.high = np.fmax(scan.high, np.fmax.reduce(values, axis=0))
        scan.silent_steps[start : start + len(values)] = nan.all(axis=(1, 2))
        days.append(day)
        silent.append(nan.all(axis=(0, 2)))
        for index, of in enumerate(counts):
            of.add(values[..., index])
        profile.add(start, values)
        shifts.add(day, profile.seconds[start : start + len(values)], values[..., clock])
        scan.digest += _digest(values, random)
    if not scan.infinite:
        for name, of in zip(names, counts, strict=True):
            _judge_values(scan, name, *of.result())
    scan.days, scan.silent = np.array(days), np.array(silent)
    scan.profile, scan.day_means = profile.result()
    scan.shifts = shifts.result()
    return scan


def mark_days(
    path: str | Path, outline: TrafficSeries, scan: Scan
) -> Iterator[tuple[int, np.ndarray, dict[str, np.ndarray]]]:
    """The second pass: first step, readings and marks of each local day, see ``mark_day``."""
    spans = scan.spans
    for day, start, values in read_days(path, outline):
        shifted = [shift.node for shift in scan.shifts if shift.holds(day)]
        yield start, values, mark_day(values, outline.feature_names, scan.far, spans, shifted)


def sum_marks(
    path: str | Path, outline: TrafficSeries, scan: Scan
) -> dict[tuple[str, str, int], Marked]:
    """The marks of a whole file, of those that there are: by reason, feature, and for those far
    outside the number of their group."""
    found: dict[tuple[str, str, int], Marked] = {}
    for start, values, marks in mark_days(path, outline, scan):
        for reason in REASONS:
            for index, name in enumerate(outline.feature_names):
                column, mark = values[..., index], marks[reason][..., index]
                if not mark.any():
                    continue
                groups = scan.far[name] if reason == "far outside" else [(-np.inf, np.inf)]
                for number, (low, high) in enumerate(groups):
                    of_group = mark & (column >= np.float32(low)) & (column <= np.float32(high))
                    _add_mark(found, (reason, name, number), start, column, of_group)
    return found


def _add_mark(
    found: dict[tuple[str, str, int], Marked],
    key: tuple[str, str, int],
    start: int,
    column: np.ndarray,
    mark: np.ndarray,
) -> None:
    if not mark.any():
        return
    step, node = np.argwhere(mark)[0]
    first = (start + int(step), int(node), float(column[step, node]))
    entry = found.setdefault(key, Marked(0, np.zeros(mark.shape[1], dtype=np.int64), 0, first))
    entry.count += int(mark.sum())
    entry.by_detector += mark.sum(axis=0)
    entry.days += 1


def _judge_values(scan: Scan, name: str, values: np.ndarray, counts: np.ndarray) -> None:
    scan.distinct[name] = (values, counts)
    scan.ranges[name] = describe_range(values, counts)
    if len(values):
        groups, scan.others[name] = find_far(values, counts)
        if groups:
            scan.far[name] = groups


def _digest(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    factors = random.integers(1, 2**63, (len(values), 1, values.shape[2]), dtype=np.uint64)
    return (bits * factors).sum(axis=(0, 2), dtype=np.uint64)


class _Profiles:
    """Means of a feature by step of the local day, of each detector and of each day.

    ``step`` is the distance of two readings, and ``seconds`` are those since midnight ``[T]``.
    """

    def __init__(self, outline: TrafficSeries, feature: int) -> None:
        self.step = max(1, round(outline.interval_minutes * 60))
        local = to_local(outline.timestamps, outline.timezone)
        self.seconds = (local - local.astype("datetime64[D]")).astype(np.int64)
        self._slots, self._feature = self.seconds // self.step, feature
        slots = max(1, -(-86400 // self.step))
        nodes = outline.values.shape[1]
        self._total = np.zeros((slots, nodes))
        self._count = np.zeros((slots, nodes), dtype=np.int64)
        self._days: list[np.ndarray] = []

    def add(self, start: int, values: np.ndarray) -> None:
        readings = values[..., self._feature].astype(np.float64)
        slots = self._slots[start : start + len(values)]
        there = ~np.isnan(readings)
        if len(np.unique(slots)) == len(slots):
            self._total[slots] += np.nan_to_num(readings)
            self._count[slots] += there
        else:  # the day on which an hour comes twice
            np.add.at(self._total, slots, np.nan_to_num(readings))
            np.add.at(self._count, slots, there)
        if len(self._days) < _MOST_DAYS:
            day = np.full(len(self._total), np.nan)
            with np.errstate(invalid="ignore"):
                day[slots] = np.nan_to_num(readings).sum(axis=1) / there.sum(axis=1)
            self._days.append(day)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore"):
            return self._total / self._count, np.array(self._days)
