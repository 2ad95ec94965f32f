"""The HDF5 file that ``data_prep`` writes and ``socialgraph.data`` reads.

=====================================  ============================================================
``data/features``                      MUST: float ``[T, N, F]``, NaN where a reading is missing
``metadata/vdids``                     MUST: ``[N]`` UTF-8 strings, unique
``metadata/feature_names``             MUST: ``[F]`` UTF-8 strings, unique
``metadata/timestamps``                MUST: ``[T]`` ISO 8601 strings, ascending: UTC with ``Z``, or
                                       with another offset; without one they are on the local clock
                                       of ``timezone``
``metadata/vd_info/<vdid>``            MAY: attributes ``position_lat``, ``position_lon`` (degrees,
                                       WGS84) and whatever else the source knows of the detector
``metadata/edges``                     MAY: group of ``edge_index`` ``[2, E]`` (where a way starts,
                                       where it ends) and ``distance`` ``[E]`` in metres
root attributes                        MAY: ``schema_version``, ``dataset_name``,
                                       ``interval_minutes``, ``timezone`` (IANA name, else UTC),
                                       ``units`` (one per feature), ``missing`` (how the source
                                       coded it), ``null_values`` and ``ranges`` (JSON: the
                                       numbers that mean missing, and the lowest and highest
                                       plausible reading, by feature), ``source``, ``created_by``
=====================================  ============================================================

A file without the MAY entries is read with what can be inferred. Files of version 1 have times on
the local clock. A file is written to a temporary name and then renamed, so that a reader never
meets half of one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from socialgraph import __version__
from socialgraph.atomic import clone, replacing
from socialgraph.calendar import RepeatedHour, absent_hour, read_stamps, to_utc
from socialgraph.series import RoadDistances, SeriesError, TrafficSeries
from socialgraph.storage import (
    StorageError,
    check_dataset,
    check_links,
    check_texts,
    open_for_writing,
)

__all__ = [
    "SCHEMA_VERSION",
    "SchemaError",
    "append",
    "read",
    "read_blocks",
    "read_outline",
    "read_positions",
    "read_steps",
    "read_vdids",
    "write",
    "write_parts",
    "write_position",
]

SCHEMA_VERSION = 2
_READ_VERSIONS = ("1", "2")
_POSITION = ("position_lat", "position_lon")
_ARRAYS = ("data/features", "metadata/timestamps", "metadata/vdids", "metadata/feature_names")


class SchemaError(ValueError):
    """A file that is not in the layout of this module, with what is wrong and how to mend it."""


def write(path: str | Path, series: TrafficSeries) -> None:
    """Write ``series`` to ``path``, whole or not at all.

    Raises:
        OSError: if it cannot be written, as on a full disk.
        SeriesError: if the parts of ``series`` were changed and do not fit each other any more.
    """
    write_parts(path, series, [series.values])


def write_parts(path: str | Path, series: TrafficSeries, parts: Iterable[np.ndarray]) -> None:
    """Write a series whose readings come in parts, whole or not at all.

    Args:
        path: the file.
        series: everything but the readings; of its ``values`` only the shape ``[T, N, F]`` counts.
        parts: readings ``[t, N, F]`` of steps that follow each other, finite or NaN, T in all.

    Raises:
        OSError: if it cannot be written, as on a full disk.
        SeriesError: if the parts do not fit each other.
    """
    series = replace(series)  # made anew, it checks what was changed since
    with replacing(path) as temporary, open_for_writing(temporary) as file:
        _fill(_create_features(file, series.values.shape), parts)
        metadata = file.create_group("metadata")
        stamps = np.datetime_as_string(series.timestamps, unit="s", timezone="UTC")
        for name, texts in (
            ("vdids", series.vdids),
            ("feature_names", series.feature_names),
            ("timestamps", stamps.tolist()),
        ):
            _write_checked(metadata, name, _fixed(texts))
        if series.edges is not None:
            edges = metadata.create_group("edges")
            _write_checked(edges, "edge_index", series.edges.edge_index.astype(np.int64))
            _write_checked(edges, "distance", series.edges.distance.astype(np.float64))
        _write_info(file, series, slice(None))
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["created_by"] = _fixed(f"socialgraph {__version__}")
        file.attrs["interval_minutes"] = float(series.interval_minutes)
        file.attrs["units"] = _fixed(series.units)
        for name in ("dataset_name", "timezone", "source", "missing"):
            file.attrs[name] = _fixed(getattr(series, name))
        for name in ("null_values", "ranges"):
            file.attrs[name] = _fixed(json.dumps(getattr(series, name)))


def _create_features(file: h5py.File, shape: tuple[int, ...]) -> h5py.Dataset:
    steps, nodes, channels = shape
    return file.create_dataset(
        "data/features",
        shape=shape,
        dtype=np.float32,
        chunks=(max(1, min(steps, 2**18 // max(1, nodes * channels))), nodes, channels),
        maxshape=(None, None, channels),
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        fletcher32=True,
        fillvalue=np.float32("nan"),
    )


def _write_info(file: h5py.File, series: TrafficSeries, nodes: slice) -> None:
    """Write what is known of some detectors."""
    for vdid, lat, lon in zip(
        series.vdids[nodes], series.lat[nodes], series.lon[nodes], strict=True
    ):
        group = file.require_group(f"metadata/vd_info/{vdid}")
        for name, value in _without_position(series.vd_info.get(vdid, {})).items():
            if value is not None:
                _write_attribute(group, vdid, name, value)
        if np.isfinite(lat) and np.isfinite(lon):
            write_position(group, lat, lon)


def _fill(data: h5py.Dataset, parts: Iterable[np.ndarray], start: int = 0) -> None:
    """Write parts from a step on, in whole chunks, so that none is written twice."""
    size, rest = data.chunks[0], np.empty((0, *data.shape[1:]), dtype=np.float32)
    for part in parts:
        rest = np.concatenate([rest, part]) if len(rest) else part
        ahead = -start % size  # to the end of a chunk
        whole = ahead + (len(rest) - ahead) // size * size if len(rest) >= ahead else 0
        if whole:
            data[start : start + whole] = rest[:whole]
        start, rest = start + whole, rest[whole:]
    if len(rest):
        data[start : start + len(rest)] = rest
    if start + len(rest) != len(data):
        raise SeriesError(f"Expected readings of {len(data)} steps (got {start + len(rest)}).")


def _write_checked(group: h5py.Group, name: str, data: np.ndarray) -> None:
    """Write an array with a checksum, which only parts of an array have."""
    group.create_dataset(
        name, data=data, chunks=data.shape if data.size else None, fletcher32=data.size > 0
    )


def _write_attribute(group: h5py.Group, vdid: str, name: str, value: object) -> None:
    """Write what is known of a detector: a number, a text, or several of one kind.

    Raises:
        SeriesError: for anything else.
    """
    several = isinstance(value, list | tuple) and bool(value)
    texts = isinstance(value, str) or (several and all(isinstance(v, str) for v in value))
    try:
        group.attrs[name] = _fixed(value) if texts else value
    except TypeError as error:
        raise SeriesError(
            f"Expected numbers or texts as what is known of '{vdid}' (got {value!r} as {name!r})."
        ) from error


def _fixed(texts: str | Sequence[str]) -> np.ndarray:
    """Texts of one length in UTF-8: those of varying length lie where no checksum covers them."""
    listed = [texts] if isinstance(texts, str) else texts
    if odd := [text for text in listed if "\0" in text]:
        raise SeriesError(f"Expected texts without a NUL (got {odd[0]!r}).")
    encoded = [text.encode() for text in listed]
    kind = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
    return np.array(encoded[0] if isinstance(texts, str) else encoded, dtype=kind)


def write_position(group: h5py.Group, lat: float, lon: float) -> None:
    """Set the position of a detector (degrees, WGS84) on its ``metadata/vd_info/<vdid>`` group."""
    group.attrs["position_lat"] = float(lat)
    group.attrs["position_lon"] = float(lon)


def read(
    path: str | Path,
    features: Sequence[str] | None = None,
    repeated_hour: RepeatedHour = "order",
) -> TrafficSeries:
    """Read a file of this layout, with only the named ``features`` (all, if None) held in memory.

    A detector without a position, or with one that is not a number, has NaN in ``lat`` and ``lon``.

    Args:
        path: the file.
        features: names of the features, in the order wanted.
        repeated_hour: how stamps without an offset are meant in the hour that comes twice in
            autumn, see :func:`socialgraph.calendar.to_utc`.

    Raises:
        FileNotFoundError: if there is no such file.
        SchemaError: if the file is not in the layout, says what is wrong with it.
        KeyError: if it lacks one of ``features``.
    """
    with _open(path) as file:
        names = _strings(file, "metadata/feature_names")
        chosen = _choose(path, names, features)
        with _told(path):
            return _read_series(file, names, chosen, repeated_hour)


def read_outline(path: str | Path) -> TrafficSeries:
    """Everything of a file but its readings, which are NaN and take no memory.

    Raises:
        FileNotFoundError: if there is no such file.
        SchemaError: if the file is not in the layout.
    """
    if _is_local(path):
        whole = read(path)
        return replace(whole, values=np.broadcast_to(np.float32("nan"), whole.values.shape))
    with _open(path) as file:
        names = _strings(file, "metadata/feature_names")
        with _told(path):
            shape = file["data/features"].shape
            values = np.broadcast_to(np.float32("nan"), shape)
            return _make_series(file, names, list(range(len(names))), values, "order")


def read_blocks(path: str | Path, num_cells: int = 2**24) -> Iterator[tuple[int, np.ndarray]]:
    """The readings of a file in parts: the first step of each, and ``[t, N, F]`` float32.

    Args:
        path: the file.
        num_cells: about how many readings a part has.

    Raises:
        FileNotFoundError, SchemaError: as :func:`read` does.
    """
    if _is_local(path):
        yield 0, read(path).values
        return
    with _open(path) as file, _told(path):
        data = file["data/features"]
        size = max(1, num_cells // max(1, data.shape[1] * data.shape[2]))
        size = max(1, size // data.chunks[0]) * data.chunks[0] if data.chunks else size
        for start in range(0, data.shape[0], size):
            yield start, data[start : start + size].astype(np.float32, copy=False)


def _is_local(path: str | Path) -> bool:
    """Whether a file has times on a local clock, of which the readings tell which are to drop."""
    with _open(path) as file, _told(path):
        stamps = file["metadata/timestamps"]
        return len(stamps) > 0 and read_stamps([_text(stamps[0])])[1] is None


def read_steps(path: str | Path, start: int, stop: int) -> np.ndarray:
    """The readings ``[stop - start, N, F]`` of some steps, float32.

    Raises:
        FileNotFoundError, SchemaError: as :func:`read` does.
    """
    with _open(path) as file, _told(path):
        return file["data/features"][start:stop].astype(np.float32, copy=False)


def append(path: str | Path, series: TrafficSeries, start: int, parts: Iterable) -> None:
    """Add steps and detectors to the end of a file, as a whole or not at all.

    The file is copied, the copy changed, and renamed to ``path`` when complete; whoever reads
    ``path`` meanwhile has the file as it was. What is kept is copied as bytes, or only referred to
    if the file system can; time is spent on what is new.

    Args:
        path: the file.
        series: everything of the new file but the readings; its detectors and times begin with
            those of the file, and its features are the same.
        start: step from which readings are written.
        parts: readings ``[t, N, F]`` of the steps from ``start`` on, as :func:`write_parts` takes
            them.

    Raises:
        OSError: if it cannot be written, as on a full disk.
        SeriesError: if the parts do not fit each other.
    """
    series = replace(series)
    with replacing(path) as temporary:
        clone(path, temporary)
        with open_for_writing(temporary, "r+") as file:
            old = len(_strings(file, "metadata/vdids"))
            data = _resizable(file)
            data.resize(series.values.shape)
            _fill(data, parts, start)
            stamps = np.datetime_as_string(series.timestamps, unit="s", timezone="UTC")
            for name, texts in (("vdids", series.vdids), ("timestamps", stamps.tolist())):
                del file[f"metadata/{name}"]
                _write_checked(file["metadata"], name, _fixed(texts))
            _write_info(file, series, slice(old, None))


def _resizable(file: h5py.File) -> h5py.Dataset:
    """The readings as an array that can grow; those of older files are written anew."""
    data = file["data/features"]
    if data.maxshape[:2] == (None, None) and np.isnan(data.fillvalue):
        return data
    file.move("data/features", "data/old")
    new = _create_features(file, data.shape)
    for start in range(0, len(data), new.chunks[0]):
        new[start : start + new.chunks[0]] = data[start : start + new.chunks[0]]
    del file["data/old"]
    return new


def read_positions(file: h5py.File, vdids: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Positions in degrees ``[N]``, ``[N]`` and, per detector, how they were found.

    Returns:
        Latitudes, longitudes, and ``"ok"``, ``"none"`` (no attribute), ``"malformed"`` (not a
        number),
        ``"nan"`` (NaN or infinite) or ``"out of range"`` (no place on earth). Only ``"ok"`` and
        ``"out of range"`` have finite numbers.
    """
    info = file.get("metadata/vd_info", {})
    if "metadata/vd_info" in file:
        for vdid in vdids:
            check_links(info, vdid)
    found = [_position(info.get(vdid)) for vdid in vdids]
    lat, lon, status = zip(*found, strict=True)
    return np.array(lat, dtype=np.float64), np.array(lon, dtype=np.float64), list(status)


def read_vdids(path: str | Path) -> list[str]:
    """The detector ids ``[N]`` of a file, without its readings; raises as :func:`read` does."""
    with _open(path) as file:
        return _strings(file, "metadata/vdids")


@contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong in reading into an error with the name of the file."""
    try:
        yield
    except SchemaError:
        raise
    except (SeriesError, StorageError) as error:
        raise SchemaError(f"'{path}': {error}") from error
    except Exception as error:  # of libraries, which raise all kinds over damaged files
        text = str(error) or type(error).__name__
        raise SchemaError(f"'{path}' is not in the layout, or is damaged: {text}") from error


def _read_series(
    file: h5py.File, names: list[str], chosen: list[int], repeated_hour: RepeatedHour
) -> TrafficSeries:
    shape = file["data/features"].shape
    return _make_series(file, names, chosen, _read_values(file, shape, chosen), repeated_hour)


def _make_series(
    file: h5py.File,
    names: list[str],
    chosen: list[int],
    values: np.ndarray,
    repeated_hour: RepeatedHour,
) -> TrafficSeries:
    vdids, stamps = (_strings(file, f"metadata/{name}") for name in ("vdids", "timestamps"))
    lat, lon, _ = read_positions(file, vdids)
    units = _units(file.attrs.get("units"), names)
    text = {
        name: _text(file.attrs.get(name, ""))
        for name in ("timezone", "dataset_name", "source", "missing")
    }
    text["timezone"] = text["timezone"] or "UTC"
    times, kept = _place_in_utc(stamps, text["timezone"], values, repeated_hour)
    return TrafficSeries(
        values=values[kept],
        timestamps=times,
        vdids=vdids,
        feature_names=[names[i] for i in chosen],
        lat=lat,
        lon=lon,
        units=[units[i] for i in chosen],
        interval_minutes=_interval(file),
        vd_info=_read_info(file, vdids),
        edges=_read_edges(file),
        null_values=_rules(file, "null_values"),
        ranges=_rules(file, "ranges"),
        **text,
    )


def _rules(file: h5py.File, name: str) -> dict[str, list[float]]:
    """Finite numbers by feature; none if the file does not tell."""
    try:
        found = json.loads(_text(file.attrs.get(name, "")) or "{}")
        rules = {str(feature): [float(n) for n in numbers] for feature, numbers in found.items()}
        whole = name != "ranges" or all(len(span) == 2 for span in rules.values())
        finite = all(np.isfinite(numbers).all() for numbers in rules.values())
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        text = f"'{file.filename}': the attribute '{name}' is damaged ({error})."
        raise SchemaError(text) from error
    if not (whole and finite):
        raise SchemaError(f"'{file.filename}': the attribute '{name}' holds {rules}.")
    return rules


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
    try:
        with _told(path):
            _check_layout(path, file)
    except SchemaError:
        file.close()
        raise
    return file


def _check_layout(path: str | Path, file: h5py.File) -> None:
    """Refuse another version, absent or foreign parts, and sizes that do not fit."""
    for name in _ARRAYS:
        check_links(file, name)
    check_texts(file, _ARRAYS)
    version = file.attrs.get("schema_version", SCHEMA_VERSION)
    if _text(version).split(".")[0] not in _READ_VERSIONS:
        raise SchemaError(
            f"'{path}' has schema_version {version}, this socialgraph reads {_READ_VERSIONS}. "
            "Install a newer socialgraph or convert the raw data again."
        )
    for name in (
        *_ARRAYS,
        "metadata/vd_info",
        "metadata/edges/edge_index",
        "metadata/edges/distance",
    ):
        check_links(file, name)
    lacking = [name for name in _ARRAYS if not isinstance(file.get(name), h5py.Dataset)]
    if lacking:
        raise SchemaError(
            f"'{path}' lacks {lacking}; at its root are {sorted(file)}. "
            "Convert the raw data with 'python -m data_prep convert'."
        )
    kinds = {
        "metadata/vd_info": h5py.Group,
        "metadata/edges": h5py.Group,
        "metadata/edges/edge_index": h5py.Dataset,
        "metadata/edges/distance": h5py.Dataset,
    }
    for name, kind in kinds.items():
        if name in file and not isinstance(file[name], kind):
            raise SchemaError(f"'{path}': expected '{name}' as a {kind.__name__.lower()}.")
    for name in _ARRAYS:
        check_dataset(file[name])
    _, *axes = (file[name] for name in _ARRAYS)
    for axis in axes:
        if axis.ndim != 1:
            raise SchemaError(
                f"'{path}': expected '{axis.name[1:]}' with one axis (got shape {axis.shape})."
            )
    shape = tuple(axis.size for axis in axes)
    if file["data/features"].shape != shape:
        raise SchemaError(
            f"'{path}': expected 'data/features' of shape {shape}, from the lengths of timestamps, "
            f"vdids and feature_names (got {file['data/features'].shape})."
        )


def _text(value: object) -> str:
    if isinstance(value, h5py.Empty):
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _strings(file: h5py.File, name: str) -> list[str]:
    with _told(file.filename):
        return [_text(value) for value in file[name][()].tolist()]


def _place_in_utc(
    stamps: list[str], timezone: str, values: np.ndarray, repeated_hour: RepeatedHour
) -> tuple[np.ndarray, np.ndarray | slice]:
    """UTC of the stamps that are kept, and which are.

    A regular axis on a local clock has steps in the hour that this clock leaves out in spring;
    without a reading they go.
    """
    clocks, offset = read_stamps(stamps)
    if offset is not None:
        return clocks - offset, slice(None)
    kept = ~absent_hour(clocks, timezone) | ~np.isnan(values).all(axis=(1, 2))
    utc = to_utc(clocks[kept], timezone, repeated_hour)
    return utc, slice(None) if kept.all() else kept


def _read_info(file: h5py.File, vdids: list[str]) -> dict[str, dict]:
    groups = file.get("metadata/vd_info", {})
    info = {v: _without_position(groups[v].attrs) for v in vdids if v in groups}
    return {
        vdid: {n: _text(v) if isinstance(v, bytes) else v for n, v in known.items()}
        for vdid, known in info.items()
        if known
    }


def _without_position(known: Mapping) -> dict:
    return {name: value for name, value in known.items() if name not in _POSITION}


def _read_edges(file: h5py.File) -> RoadDistances | None:
    group = file.get("metadata/edges")
    if group is None:
        return None
    lacking = [name for name in ("edge_index", "distance") if name not in group]
    if lacking:
        raise SeriesError(f"'metadata/edges' lacks {lacking}. Write both, or drop the group.")
    for name in ("edge_index", "distance"):
        check_dataset(group[name])
    return RoadDistances(group["edge_index"][()].astype(np.int64), group["distance"][()])


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
    values = np.empty((*shape[:2], len(chosen)), dtype=np.float32)
    block = max(1, 2**24 // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], block):
        values[start : start + block] = data[start : start + block][..., chosen]
    return values


def _position(group: h5py.Group | None) -> tuple[float, float, str]:
    missing = float("nan"), float("nan")
    if group is None or not all(name in group.attrs for name in _POSITION):
        return *missing, "none"
    try:
        lat, lon = (float(_text(group.attrs[name])) for name in _POSITION)
    except ValueError:
        return *missing, "malformed"
    if not (np.isfinite(lat) and np.isfinite(lon)):
        return *missing, "nan"
    return lat, lon, "ok" if abs(lat) <= 90 and abs(lon) <= 180 else "out of range"


def _units(stored: object, names: list[str]) -> list[str]:
    if stored is None:
        return [""] * len(names)
    if isinstance(stored, str | bytes | h5py.Empty):
        stored = _from_json(_text(stored))
    if isinstance(stored, dict):
        stored = [stored.get(name) for name in names]
    units = ["" if value is None else _text(value) for value in stored]
    return units if len(units) == len(names) else [""] * len(names)


def _from_json(text: str) -> list | dict:
    try:
        known = json.loads(text)
    except ValueError:  # a unit such as km/h or [km/h]
        return [text]
    return known if isinstance(known, list | dict) else [text]


def _interval(file: h5py.File) -> float | None:
    stored = file.attrs.get("interval_minutes")
    return None if stored is None else float(stored)
