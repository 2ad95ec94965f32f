"""What a file knows besides its readings: positions, units, rules, edges."""

import json

import h5py
import numpy as np

from socialgraph.schema.layout import POSITION, SchemaError, read_text, without_position
from socialgraph.series import RoadDistances, SeriesError, SourceRules
from socialgraph.storage import check_dataset, check_links

__all__ = [
    "read_edges",
    "read_info",
    "read_interval",
    "read_positions",
    "read_rules",
    "read_source_rules",
    "read_units",
]


def read_positions(file: h5py.File, vdids: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Positions in degrees ``[N]``, ``[N]`` and, per detector, how they were found.

    Returns:
        Latitudes, longitudes, and ``"ok"``, ``"none"`` (no attribute), ``"malformed"`` (not a
        number), ``"nan"`` (NaN or infinite) or ``"out of range"`` (no place on earth). Only
        ``"ok"`` and ``"out of range"`` have finite numbers.
    """
    info = file.get("metadata/vd_info", {})
    if "metadata/vd_info" in file:
        for vdid in vdids:
            check_links(info, vdid)
    found = [_position(info.get(vdid)) for vdid in vdids]
    lat, lon, status = zip(*found, strict=True)
    return np.array(lat, dtype=np.float64), np.array(lon, dtype=np.float64), list(status)


def read_rules(file: h5py.File, name: str) -> dict[str, list[float]]:
    """Finite numbers by feature of the attribute ``name``; none if the file does not tell.

    Raises:
        SchemaError: if it is damaged.
    """
    try:
        found = json.loads(read_text(file.attrs.get(name, "")) or "{}")
        rules = {str(feature): [float(n) for n in numbers] for feature, numbers in found.items()}
        whole = not name.endswith("ranges") or all(len(span) == 2 for span in rules.values())
        finite = all(np.isfinite(numbers).all() for numbers in rules.values())
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        text = f"'{file.filename}': the attribute '{name}' is damaged ({error})."
        raise SchemaError(text) from error
    if not (whole and finite):
        raise SchemaError(f"'{file.filename}': the attribute '{name}' holds {rules}.")
    return rules


def read_source_rules(file: h5py.File) -> SourceRules:
    """How readings of the source became those of the file; empty if the file does not tell.

    Raises:
        SchemaError: if the attribute is damaged.
    """
    try:
        return SourceRules(**json.loads(read_text(file.attrs.get("source_rules", "")) or "{}"))
    except (AttributeError, TypeError, ValueError) as error:
        text = f"'{file.filename}': the attribute 'source_rules' is damaged ({error})."
        raise SchemaError(text) from error


def read_info(file: h5py.File, vdids: list[str]) -> dict[str, dict]:
    """What is known of detectors besides their positions, of those of which something is."""
    groups = file.get("metadata/vd_info", {})
    info = {v: without_position(groups[v].attrs) for v in vdids if v in groups}
    return {
        vdid: {n: read_text(v) if isinstance(v, bytes) else v for n, v in known.items()}
        for vdid, known in info.items()
        if known
    }


def read_edges(file: h5py.File) -> RoadDistances | None:
    """The ways by road, if the file has them; raises SeriesError or StorageError if in part."""
    group = file.get("metadata/edges")
    if group is None:
        return None
    lacking = [name for name in ("edge_index", "distance") if name not in group]
    if lacking:
        raise SeriesError(f"'metadata/edges' lacks {lacking}. Write both, or drop the group.")
    for name in ("edge_index", "distance"):
        check_dataset(group[name])
    return RoadDistances(group["edge_index"][()].astype(np.int64), group["distance"][()])


def read_units(stored: object, names: list[str]) -> list[str]:
    """The unit of each feature of ``names`` from the attribute ``units``, empty if unknown."""
    if stored is None:
        return [""] * len(names)
    if isinstance(stored, str | bytes | h5py.Empty):
        stored = _from_json(read_text(stored))
    if isinstance(stored, dict):
        stored = [stored.get(name) for name in names]
    units = ["" if value is None else read_text(value) for value in stored]
    return units if len(units) == len(names) else [""] * len(names)


def read_interval(file: h5py.File) -> float | None:
    """Minutes between two steps, if the file tells."""
    stored = file.attrs.get("interval_minutes")
    return None if stored is None else float(stored)


def _position(group: h5py.Group | None) -> tuple[float, float, str]:
    missing = float("nan"), float("nan")
    if group is None or not all(name in group.attrs for name in POSITION):
        return *missing, "none"
    try:
        lat, lon = (float(read_text(group.attrs[name])) for name in POSITION)
    except ValueError:
        return *missing, "malformed"
    if not (np.isfinite(lat) and np.isfinite(lon)):
        return *missing, "nan"
    return lat, lon, "ok" if abs(lat) <= 90 and abs(lon) <= 180 else "out of range"


def _from_json(text: str) -> list | dict:
    try:
        known = json.loads(text)
    except ValueError:  # a unit such as km/h or [km/h]
        return [text]
    return known if isinstance(known, list | dict) else [text]
