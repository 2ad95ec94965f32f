"""What is in an HDF5 file, and what is wrong with it."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np

from data_prep.findings import judge
from data_prep.joining import far_detectors
from data_prep.marks import REASONS
from data_prep.plausibility import is_impossible
from data_prep.profiles import find_clock_changes, find_copies, find_resemblances
from data_prep.scan import Marked, Scan, scan_file, sum_marks
from data_prep.steps import name_time
from socialgraph import schema
from socialgraph.calendar import format_local
from socialgraph.graph import RadiusGraph
from socialgraph.series import RoadDistances, TrafficSeries

__all__ = ["inspect_file"]

_NUM_WORST = 5


def inspect_file(path: str | Path, radius: float = 1000.0) -> dict:
    """Findings on a file, in types that JSON knows. The readings are read in parts.

    Args:
        path: the file.
        radius: reach in metres within which neighbours are counted.

    Returns:
        Sections of findings; ``problems`` lists what training would be refused for, or learn
        nothing true from, ``warnings`` what may be meant. Of a file that cannot be read, only these
        and the path.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if ``radius`` is not above 0.
    """
    if not 0 < radius < np.inf:
        raise ValueError(f"Expected --radius above 0 metres (got {radius}).")
    try:
        return _inspect(path, radius)
    except FileNotFoundError:
        raise
    except (schema.SchemaError, OSError) as error:
        return {"file": str(path), "problems": [str(error)], "warnings": []}


def _inspect(path: str | Path, radius: float) -> dict:
    series = schema.read_outline(path)
    with h5py.File(path, "r") as file:
        lat, lon, status = schema.read_positions(file, series.vdids)
    poles = np.abs(lat) == 90  # a place on earth, and none on the Mercator map
    status = ["out of range" if pole else name for pole, name in zip(poles, status, strict=True)]
    scan = scan_file(path, series)
    if scan.infinite:
        raise schema.SchemaError(
            f"'{path}': Expected finite readings; {scan.infinite} are infinite or too large for "
            "float32. Write NaN where a reading is missing."
        )
    marks = sum_marks(path, series, scan)
    ok = np.array(status) == "ok"
    found = {
        "file": str(path),
        "dataset_name": series.dataset_name,
        "num_steps": len(series.timestamps),
        "num_detectors": len(series.vdids),
        "features": dict(zip(series.feature_names, series.units, strict=True)),
        **_time_axis(series, scan),
        **_readings(series, scan),
        "ranges": scan.ranges,
        **_doubts(series, scan, marks),
        **_usual_days(series, scan, np.where(ok, lat, np.nan), np.where(ok, lon, np.nan)),
        "positions": _positions(series.vdids, lat, lon, status),
        "neighbours": _neighbours(lat, lon, ok, radius),
        "edges": _edges(series.edges),
        "detectors": _detectors(series, scan, marks, lat, lon, ok),
    }
    problems, warnings = judge(found, dict(zip(series.vdids, status, strict=True)))
    return found | {"problems": problems, "warnings": warnings}


def _time_axis(series: TrafficSeries, scan: Scan) -> dict:
    steps = np.diff(series.timestamps) / np.timedelta64(1, "s") / (series.interval_minutes * 60)
    gaps = steps[steps > 1 + 1e-9]
    silent = scan.silent_steps
    edges = np.flatnonzero(np.diff(silent.astype(np.int8), prepend=0, append=0))
    start, end = format_local(series.timestamps[[0, -1]], series.timezone)
    return {
        "start": start,
        "end": end,
        "timezone": series.timezone,
        "interval_minutes": float(series.interval_minutes),
        "gaps": {
            "count": len(gaps),
            "longest_steps": float(gaps.max() - 1) if len(gaps) else 0,
            "off_grid": int((np.abs(steps - np.round(steps)) > 1e-9).sum()),
            "regular": int((np.abs(steps - 1) <= 1e-9).sum()),
        },
        "silent_steps": {
            "count": int(silent.sum()),
            "longest_run": int((edges[1::2] - edges[0::2]).max(initial=0)),
        },
    }


def _readings(series: TrafficSeries, scan: Scan) -> dict:
    steps = len(series.timestamps)
    share = scan.missing / steps
    by_detector = share.mean(axis=1)
    worst = np.argsort(-by_detector, kind="stable")[:_NUM_WORST]
    constant = (scan.low == scan.high) & (steps - scan.missing > 1)
    ids = np.array(series.vdids, dtype=object)
    silent_days = scan.silent.sum(axis=1)
    often = np.flatnonzero(silent_days)
    return {
        "missing": {
            name: float(value)
            for name, value in zip(series.feature_names, share.mean(axis=0), strict=True)
        },
        "worst_detectors": [
            {"vdid": series.vdids[i], "missing": float(by_detector[i])} for i in worst
        ],
        "constant_detectors": {
            name: ids[constant[:, index]].tolist()
            for index, name in enumerate(series.feature_names)
        },
        "silent_detectors": ids[by_detector == 1].tolist(),
        "silent_days": {str(scan.days[day]): int(silent_days[day]) for day in often},
    }


def _doubts(series: TrafficSeries, scan: Scan, marks: dict[tuple[str, str, int], Marked]) -> dict:
    far = "far outside"
    return {
        "outliers": [
            _outlier(series, scan, name, group, marked)
            for (reason, name, group), marked in marks.items()
            if reason == far
        ],
        "marks": [
            _mark(series, reason, name, marked)
            for (reason, name, _), marked in marks.items()
            if reason != far
        ],
    }


def _usual_days(series: TrafficSeries, scan: Scan, lat: np.ndarray, lon: np.ndarray) -> dict:
    changes = find_clock_changes(scan, series.interval_minutes)
    shifts = [
        {
            "vdid": series.vdids[shift.node],
            "minutes": shift.minutes,
            "since": None if shift.since is None else str(shift.since),
            "until": None if shift.until is None else str(shift.until),
        }
        for shift in scan.shifts
    ]
    return {
        "clock_changes": [{"day": day, "minutes": minutes} for day, minutes in changes],
        "clock_shifts": shifts,
        "copies": find_copies(scan, series.vdids),
        "resemblances": [vars(of) for of in find_resemblances(scan, series.vdids, lat, lon)],
    }


def _outlier(series: TrafficSeries, scan: Scan, name: str, group: int, marked: Marked) -> dict:
    low, high = scan.far[name][group]
    values, counts = scan.distinct[name]
    inside = (values >= np.float32(low)) & (values <= np.float32(high))
    return {
        "feature": name,
        "values": values[inside].tolist(),
        "count": marked.count,
        "share": marked.count / int(counts.sum()),
        **_where(series, marked, np.arange(len(series.vdids))),
        "others": scan.others[name],
    }


def _mark(series: TrafficSeries, reason: str, name: str, marked: Marked) -> dict:
    return {
        "reason": reason,
        "meaning": REASONS[reason],
        "feature": name,
        "count": marked.count,
        "days": marked.days,
        **_where(series, marked, np.argsort(-marked.by_detector, kind="stable")),
    }


def _where(series: TrafficSeries, marked: Marked, order: np.ndarray) -> dict:
    step, node, value = marked.first
    return {
        "detectors": [series.vdids[i] for i in order.tolist() if marked.by_detector[i]],
        "first": {
            "value": value,
            "vdid": series.vdids[node],
            "time": name_time(series.timestamps[step], series.timezone),
        },
    }


def _detectors(
    series: TrafficSeries,
    scan: Scan,
    marks: dict[tuple[str, str, int], Marked],
    lat: np.ndarray,
    lon: np.ndarray,
    ok: np.ndarray,
) -> list[dict]:
    """What the page shows of each detector."""
    share = (scan.missing / len(series.timestamps)).mean(axis=1)
    doubtful = sum((m.by_detector for m in marks.values()), np.zeros(len(share), dtype=np.int64))
    silent = scan.silent.sum(axis=0)
    return [
        {
            "vdid": vdid,
            "lat": float(lat[i]) if ok[i] else None,
            "lon": float(lon[i]) if ok[i] else None,
            "missing": float(share[i]),
            "silent_days": int(silent[i]),
            "doubtful": int(doubtful[i]),
        }
        for i, vdid in enumerate(series.vdids)
    ]


def _positions(vdids: list[str], lat: np.ndarray, lon: np.ndarray, status: list[str]) -> dict:
    ok = np.array(status) == "ok"
    points = np.column_stack([lat, lon])[ok]
    _, counts = np.unique(points, axis=0, return_counts=True)
    return {
        "status": dict(Counter(status)),
        "sharing": int(counts[counts > 1].sum()),
        "impossible": np.array(vdids, dtype=object)[ok & is_impossible(lat, lon)].tolist(),
        "far": far_detectors(vdids, np.where(ok, lat, np.nan), np.where(ok, lon, np.nan)),
    }


def _neighbours(lat: np.ndarray, lon: np.ndarray, ok: np.ndarray, radius: float) -> dict:
    located = SimpleNamespace(vdids=np.flatnonzero(ok), lat=lat[ok], lon=lon[ok])
    edge_index = RadiusGraph(radius).build(located).edge_index
    counts = np.bincount(edge_index[1], minlength=int(ok.sum()))
    return {
        "radius": float(radius),
        "minimum": int(counts.min(initial=counts.max(initial=0))),
        "median": float(np.median(counts)) if len(counts) else 0.0,
        "maximum": int(counts.max(initial=0)),
        "alone": int((counts == 0).sum()),
    }


def _edges(edges: RoadDistances | None) -> dict | None:
    if edges is None or not len(edges.distance):
        return None
    shortest, median, longest = np.quantile(edges.distance, [0, 0.5, 1]).tolist()
    return {
        "count": len(edges.distance),
        "shortest": shortest,
        "median": median,
        "longest": longest,
    }
