"""What is in an HDF5 file."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np

from data_prep.findings import judge
from data_prep.joining import far_detectors
from data_prep.outliers import feature_ranges
from data_prep.plausibility import is_impossible
from socialgraph import schema
from socialgraph.calendar import format_local
from socialgraph.graph import RadiusGraph
from socialgraph.series import RoadDistances, TrafficSeries

__all__ = ["inspect_file"]

_NUM_WORST = 5


def inspect_file(path: str | Path, radius: float = 1000.0) -> dict:
    """Findings on a file, in types that JSON knows.

    Args:
        path: the file.
        radius: reach in metres within which neighbours are counted.

    Returns:
        Sections of findings; ``problems`` lists what training would be refused for, ``warnings``
        what may be meant. Of a file that cannot be read, only these and the path.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if ``radius`` is not above 0.
    """
    if not 0 < radius < np.inf:
        raise ValueError(f"Expected --radius above 0 metres (got {radius}).")
    try:
        series = schema.read(path)
        with h5py.File(path, "r") as file:
            lat, lon, status = schema.read_positions(file, series.vdids)
        poles = np.abs(lat) == 90  # a place on earth, and none on the Mercator map
        status = [
            "out of range" if pole else name for pole, name in zip(poles, status, strict=True)
        ]
    except FileNotFoundError:
        raise
    except (schema.SchemaError, OSError) as error:
        return {"file": str(path), "problems": [str(error)], "warnings": []}
    ranges, outliers = feature_ranges(series)
    found = {
        "file": str(path),
        "dataset_name": series.dataset_name,
        "num_steps": len(series.timestamps),
        "num_detectors": len(series.vdids),
        "features": dict(zip(series.feature_names, series.units, strict=True)),
        **_time_axis(series),
        **_readings(series),
        "ranges": ranges,
        "outliers": outliers,
        "positions": _positions(series.vdids, lat, lon, status),
        "neighbours": _neighbours(lat, lon, np.array(status) == "ok", radius),
        "edges": _edges(series.edges),
    }
    problems, warnings = judge(found, dict(zip(series.vdids, status, strict=True)))
    return found | {"problems": problems, "warnings": warnings}


def _time_axis(series: TrafficSeries) -> dict:
    steps = np.diff(series.timestamps) / np.timedelta64(1, "s") / (series.interval_minutes * 60)
    gaps = steps[steps > 1 + 1e-9]
    silent = np.isnan(series.values).all(axis=(1, 2))
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


def _readings(series: TrafficSeries) -> dict:
    missing = np.isnan(series.values)
    by_detector = missing.mean(axis=(0, 2))
    worst = np.argsort(-by_detector, kind="stable")[:_NUM_WORST]
    observed = len(missing) - missing.sum(axis=0)
    low, high = np.fmin.reduce(series.values), np.fmax.reduce(series.values)
    constant = (low == high) & (observed > 1)
    ids = np.array(series.vdids, dtype=object)
    return {
        "missing": {
            name: float(share)
            for name, share in zip(series.feature_names, missing.mean(axis=(0, 1)), strict=True)
        },
        "worst_detectors": [
            {"vdid": series.vdids[i], "missing": float(by_detector[i])} for i in worst
        ],
        "constant_detectors": {
            name: ids[constant[:, index]].tolist()
            for index, name in enumerate(series.feature_names)
        },
        "silent_detectors": ids[by_detector == 1].tolist(),
    }


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
