"""The HDF5 file that ``data_prep`` writes and ``socialgraph.data`` reads.

=====================================  ============================================================
``data/features``                      MUST: float ``[T, N, F]``, NaN where a reading is missing
``metadata/vdids``                     MUST: ``[N]`` UTF-8 strings, unique
``metadata/feature_names``             MUST: ``[F]`` UTF-8 strings, unique
``metadata/timestamps``                MUST: ``[T]`` ISO 8601 strings, ascending, local clock
``metadata/vd_info/<vdid>``            MAY: attributes ``position_lat``, ``position_lon`` (degrees,
                                       WGS84) and whatever else the source knows of the detector
root attributes                        MAY: ``schema_version``, ``dataset_name``,
                                       ``interval_minutes``, ``timezone``, ``units`` (one per
                                       feature),
                                       ``missing`` (how the source coded it), ``source``,
                                       ``created_by``
=====================================  ============================================================

A file without the MAY entries is read with what can be inferred. A file is written to a temporary
name and then renamed, so that a reader never meets half of one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np

from socialgraph import __version__
from socialgraph.atomic import replacing

__all__ = [
    "SCHEMA_VERSION",
    "SchemaError",
    "TrafficSeries",
    "infer_interval",
    "read",
    "read_positions",
    "read_vdids",
    "write",
    "write_position",
]

SCHEMA_VERSION = 1
_TEXT = h5py.string_dtype("utf-8")


class SchemaError(ValueError):
    """A file that is not in the layout of this module, with what is wrong and how to mend it."""


@dataclass
class TrafficSeries:
    """Readings of N detectors at T times, with what is known of the detectors.

    Args:
        values: readings ``[T, N, F]``, float32, NaN where missing, in the unit of their feature.
        timestamps: start of each interval ``[T]``, ``datetime64[s]``, local clock, ascending.
        vdids: detector ids ``[N]``.
        feature_names: names ``[F]``.
        lat, lon: position in degrees (WGS84) ``[N]``, NaN where unknown.
        units: unit of each feature ``[F]``.
        interval_minutes: distance of two readings in minutes.
        timezone: zone of the clock of ``timestamps`` (IANA name, or empty where unknown).
        dataset_name, source: what the data are, and where they came from.
        missing: how the source coded a missing reading.
        vd_info: further attributes per detector.
    """

    values: np.ndarray
    timestamps: np.ndarray
    vdids: list[str]
    feature_names: list[str]
    lat: np.ndarray
    lon: np.ndarray
    units: list[str]
    interval_minutes: float
    timezone: str = ""
    dataset_name: str = ""
    source: str = ""
    missing: str = ""
    vd_info: dict[str, dict] = field(default_factory=dict)


def write(path: str | Path, series: TrafficSeries) -> None:
    """Write ``series`` to ``path``, whole or not at all.

    Raises:
        SchemaError: where the parts of ``series`` do not fit each other, or an id cannot be a name
            in HDF5.
    """
    _check(series)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        steps, nodes, channels = series.values.shape
        file.create_dataset(
            "data/features",
            data=series.values.astype(np.float32, copy=False),
            chunks=(max(1, min(steps, 2**18 // max(1, nodes * channels))), nodes, channels),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        metadata = file.create_group("metadata")
        metadata.create_dataset("vdids", data=series.vdids, dtype=_TEXT)
        metadata.create_dataset("feature_names", data=series.feature_names, dtype=_TEXT)
        stamps = np.datetime_as_string(series.timestamps, unit="s").tolist()
        metadata.create_dataset("timestamps", data=stamps, dtype=_TEXT)
        for vdid, lat, lon in zip(series.vdids, series.lat, series.lon, strict=True):
            group = file.require_group(f"metadata/vd_info/{vdid}")
            group.attrs.update(series.vd_info.get(vdid, {}))
            if np.isfinite(lat) and np.isfinite(lon):
                write_position(group, lat, lon)
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["created_by"] = f"socialgraph {__version__}"
        file.attrs["interval_minutes"] = float(series.interval_minutes)
        file.attrs.create("units", series.units, dtype=_TEXT)
        for name in ("dataset_name", "timezone", "source", "missing"):
            file.attrs[name] = getattr(series, name)


def write_position(group: h5py.Group, lat: float, lon: float) -> None:
    """Set the position of a detector (degrees, WGS84) on its ``metadata/vd_info/<vdid>`` group."""
    group.attrs["position_lat"] = float(lat)
    group.attrs["position_lon"] = float(lon)


def read(path: str | Path, features: Sequence[str] | None = None) -> TrafficSeries:
    """Read a file of this layout, with only the named ``features`` (all, if None) held in memory.

    A detector without a position, or with one that is not a number, has NaN in ``lat`` and ``lon``.

    Raises:
        FileNotFoundError: where there is no such file.
        SchemaError: where the file is not in the layout, says what is wrong with it.
        KeyError: where it lacks one of ``features``.
    """
    with _open(path) as file:
        vdids = _strings(file, "metadata/vdids")
        names = _strings(file, "metadata/feature_names")
        timestamps = _parse_timestamps(path, _strings(file, "metadata/timestamps"))
        chosen = _choose(path, names, features)
        lat, lon, _ = read_positions(file, vdids)
        units = _units(file.attrs.get("units"), names)
        info = file.get("metadata/vd_info", {})
        series = TrafficSeries(
            values=_read_values(file, (len(timestamps), len(vdids), len(names)), chosen),
            timestamps=timestamps,
            vdids=vdids,
            feature_names=[names[i] for i in chosen],
            lat=lat,
            lon=lon,
            units=[units[i] for i in chosen],
            interval_minutes=_interval(path, file, timestamps),
            vd_info={v: dict(info[v].attrs) for v in vdids if v in info},
            **{
                name: _text(file.attrs.get(name, ""))
                for name in ("timezone", "dataset_name", "source", "missing")
            },
        )
    _check(series, path)
    return series


def read_positions(file: h5py.File, vdids: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Positions in degrees ``[N]``, ``[N]`` and, per detector, how they were found.

    Returns:
        Latitudes, longitudes, and ``"ok"``, ``"none"`` (no attribute), ``"malformed"`` (not a
        number),
        ``"nan"`` (NaN or infinite) or ``"out of range"`` (no place on earth). Only ``"ok"`` and
        ``"out of range"`` have finite numbers.
    """
    info = file.get("metadata/vd_info", {})
    found = [_position(info.get(vdid)) for vdid in vdids]
    lat, lon, status = zip(*found, strict=True)
    return np.array(lat, dtype=np.float64), np.array(lon, dtype=np.float64), list(status)


def read_vdids(path: str | Path) -> list[str]:
    """The detector ids ``[N]`` of a file, without its readings; raises as :func:`read` does."""
    with _open(path) as file:
        return _strings(file, "metadata/vdids")


def infer_interval(timestamps: np.ndarray) -> float:
    """The most frequent distance of neighbouring times, in minutes."""
    steps, counts = np.unique(np.diff(timestamps.astype("datetime64[s]")), return_counts=True)
    return float(steps[np.argmax(counts)] / np.timedelta64(1, "s")) / 60


def _open(path: str | Path) -> h5py.File:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"No file '{path}'. Make one with 'python -m data_prep convert' or "
            "'python -m data_prep simulate'."
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SchemaError(
            f"'{path}' is not an HDF5 file, or is damaged ({error}). "
            "Convert raw data with 'python -m data_prep convert'."
        ) from error
    version = file.attrs.get("schema_version", SCHEMA_VERSION)
    if str(version).split(".")[0] != str(SCHEMA_VERSION):
        file.close()
        raise SchemaError(
            f"'{path}' has schema_version {version}, this socialgraph reads {SCHEMA_VERSION}. "
            "Install a newer socialgraph or convert the raw data again."
        )
    lacking = [
        name
        for name in (
            "data/features",
            *(f"metadata/{n}" for n in ("vdids", "feature_names", "timestamps")),
        )
        if not isinstance(file.get(name), h5py.Dataset)
    ]
    if lacking:
        held = sorted(file)
        file.close()
        raise SchemaError(
            f"'{path}' lacks {lacking}; at its root are {held}. "
            "Convert the raw data with 'python -m data_prep convert'."
        )
    return file


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _strings(file: h5py.File, name: str) -> list[str]:
    data = file[name][()]
    if data.ndim != 1:
        raise SchemaError(
            f"'{file.filename}': expected '{name}' with one axis (got shape {data.shape})."
        )
    return [_text(value) for value in data.tolist()]


def _parse_timestamps(path: str | Path, texts: list[str]) -> np.ndarray:
    try:
        stamps = [datetime.fromisoformat(text) for text in texts]
    except ValueError as error:
        raise SchemaError(f"'{path}': 'metadata/timestamps' must be ISO 8601 ({error}).") from error
    offsets = {stamp.utcoffset() for stamp in stamps}
    if len(offsets) > 1:
        raise SchemaError(
            f"'{path}': 'metadata/timestamps' mix UTC offsets {sorted(map(str, offsets))}. "
            "Write them on one clock."
        )
    return np.array([stamp.replace(tzinfo=None) for stamp in stamps], dtype="datetime64[s]")


def _choose(path: str | Path, names: list[str], features: Sequence[str] | None) -> list[int]:
    if features is None:
        return list(range(len(names)))
    for name in features:
        if name not in names:
            raise KeyError(
                f"'{path}' has no feature {name!r}; it holds {names}. "
                "Set 'data.features' to some of them."
            )
    return [names.index(name) for name in features]


def _read_values(file: h5py.File, shape: tuple[int, int, int], chosen: list[int]) -> np.ndarray:
    data = file["data/features"]
    if data.shape != shape:
        raise SchemaError(
            f"'{file.filename}': expected 'data/features' of shape {shape}, from the lengths of "
            f"timestamps, vdids and feature_names (got {data.shape})."
        )
    values = np.empty((*shape[:2], len(chosen)), dtype=np.float32)
    block = max(1, 2**24 // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], block):
        values[start : start + block] = data[start : start + block][..., chosen]
    return values


def _position(group: h5py.Group | None) -> tuple[float, float, str]:
    missing = float("nan"), float("nan")
    if group is None or "position_lat" not in group.attrs or "position_lon" not in group.attrs:
        return *missing, "none"
    try:
        lat, lon = (float(_text(group.attrs[name])) for name in ("position_lat", "position_lon"))
    except ValueError:
        return *missing, "malformed"
    if not (np.isfinite(lat) and np.isfinite(lon)):
        return *missing, "nan"
    return lat, lon, "ok" if abs(lat) <= 90 and abs(lon) <= 180 else "out of range"


def _units(stored: object, names: list[str]) -> list[str]:
    if stored is None:
        return [""] * len(names)
    if isinstance(stored, str | bytes):
        text = _text(stored)
        stored = json.loads(text) if text.startswith(("[", "{")) else [text]
    if isinstance(stored, dict):
        return [str(stored.get(name, "")) for name in names]
    units = [_text(value) for value in stored]
    return units if len(units) == len(names) else [""] * len(names)


def _interval(path: str | Path, file: h5py.File, timestamps: np.ndarray) -> float:
    stored = file.attrs.get("interval_minutes")
    if stored is not None:
        return float(stored)
    if len(timestamps) < 2:
        raise SchemaError(
            f"'{path}' has {len(timestamps)} timestamps and no 'interval_minutes' attribute."
        )
    return infer_interval(timestamps)


def _check(series: TrafficSeries, path: str | Path = "series") -> None:
    steps, nodes, channels = series.values.shape
    lengths = {
        "timestamps": (len(series.timestamps), steps),
        "vdids": (len(series.vdids), nodes),
        "lat": (len(series.lat), nodes),
        "lon": (len(series.lon), nodes),
        "feature_names": (len(series.feature_names), channels),
        "units": (len(series.units), channels),
    }
    for name, (got, expected) in lengths.items():
        if got != expected:
            raise SchemaError(
                f"'{path}': expected {expected} {name} for values {series.values.shape} "
                f"(got {got})."
            )
    if min(steps, nodes, channels) < 1:
        raise SchemaError(
            f"'{path}' holds no readings: 'data/features' has shape {series.values.shape}."
        )
    for name in ("vdids", "feature_names"):
        values = getattr(series, name)
        twice = (
            sorted({value for value in values if values.count(value) > 1})
            if len(set(values)) < len(values)
            else []
        )
        if twice:
            raise SchemaError(f"'{path}': {name} must be unique; {twice[:5]} occur more than once.")
    odd = [vdid for vdid in series.vdids if not vdid or "/" in vdid or vdid in (".", "..")]
    if odd:
        raise SchemaError(
            f"'{path}': vdids must not be empty or contain '/' (got {odd[:5]}). Rename them."
        )
    late = np.flatnonzero(np.diff(series.timestamps) <= np.timedelta64(0, "s"))
    if len(late):
        raise SchemaError(
            f"'{path}': timestamps must ascend; {series.timestamps[late[0] + 1]} follows "
            f"{series.timestamps[late[0]]} ({len(late)} such places). Convert the raw data again."
        )
    if not series.interval_minutes > 0:
        raise SchemaError(
            f"'{path}': expected 'interval_minutes' above 0 (got {series.interval_minutes})."
        )
    infinite = int(np.isinf(series.values).sum())
    if infinite:
        raise SchemaError(
            f"'{path}' holds {infinite} infinite readings. Write NaN where a reading is missing."
        )
