"""Files of the layout written, and made longer: whole or not at all."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np

from socialgraph import __version__
from socialgraph.atomic import clone, one_writer, refuse_existing, replacing
from socialgraph.schema.layout import RULES, SCHEMA_VERSION, read_texts, without_position
from socialgraph.series import SeriesError, TrafficSeries
from socialgraph.storage import open_for_writing

__all__ = ["append", "write", "write_parts", "write_position"]


def write(path: str | Path, series: TrafficSeries, overwrite: bool = True) -> None:
    """Write ``series`` to ``path``, whole or not at all.

    Raises:
        ValueError: if ``path`` exists, and not ``overwrite``.
        OSError: if it cannot be written, as on a full disk.
        SeriesError: if the parts of ``series`` were changed and do not fit each other any more.
    """
    write_parts(path, series, [series.values], overwrite)


def write_parts(
    path: str | Path, series: TrafficSeries, parts: Iterable[np.ndarray], overwrite: bool = True
) -> None:
    """Write a series whose readings come in parts, whole or not at all.

    Args:
        path: the file.
        series: everything but the readings; of its ``values`` only the shape ``[T, N, F]`` counts.
        parts: readings ``[t, N, F]`` of steps that follow each other, finite or NaN, T in all.
        overwrite: replace ``path`` if it exists; it may have come while the readings were read.

    Raises:
        ValueError: if ``path`` exists, and not ``overwrite``.
        OSError: if it cannot be written, as on a full disk.
        SeriesError: if the parts do not fit each other.
    """
    series = replace(series)  # made anew, it checks what was changed since
    with one_writer(path):
        refuse_existing(path, overwrite)
        _write_whole(path, series, parts)


def _write_whole(path: str | Path, series: TrafficSeries, parts: Iterable[np.ndarray]) -> None:
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
        for name in RULES:
            file.attrs[name] = _fixed(json.dumps(getattr(series, name)))
        file.attrs["source_rules"] = _fixed(json.dumps(asdict(series.source_rules)))


def append(path: str | Path, series: TrafficSeries, start: int, parts: Iterable) -> None:
    """Add steps and detectors to the end of a file, as a whole or not at all.

    The file is copied, the copy changed, and renamed to ``path`` when complete; whoever reads
    ``path`` meanwhile has the file as it was. Whoever reads it to know what to add does so in a
    block of :func:`socialgraph.atomic.one_writer`, as another may add to it. What is kept is copied
    as bytes, or only referred to if the file system can; time is spent on what is new.

    Args:
        path: the file.
        series: everything of the new file but the readings; its detectors and times begin with
            those of the file, and its features are the same.
        start: step from which readings are written.
        parts: readings ``[t, N, F]`` of the steps from ``start`` on, as :func:`write_parts` takes
            them; steps of the file after the last one stay as they are.

    Raises:
        OSError: if it cannot be written, as on a full disk.
        SeriesError: if the parts do not fit each other.
    """
    series = replace(series)
    with one_writer(path), replacing(path) as temporary:
        clone(path, temporary)
        with open_for_writing(temporary, "r+") as file:
            old = len(read_texts(file, "metadata/vdids"))
            data = _resizable(file)
            known = len(data)
            if known > len(series.timestamps) or old > len(series.vdids):
                raise SeriesError(
                    f"'{path}' has more steps or detectors ({known}, {old}) than it would have "
                    f"then {series.values.shape[:2]}. It was added to meanwhile: read it again."
                )
            data.resize(series.values.shape)
            _fill(data, parts, start, known)
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


def write_position(group: h5py.Group, lat: float, lon: float) -> None:
    """Set the position of a detector (degrees, WGS84) on its ``metadata/vd_info/<vdid>`` group."""
    group.attrs["position_lat"] = float(lat)
    group.attrs["position_lon"] = float(lon)


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
        for name, value in without_position(series.vd_info.get(vdid, {})).items():
            if value is not None:
                _write_attribute(group, vdid, name, value)
        if np.isfinite(lat) and np.isfinite(lon):
            write_position(group, lat, lon)


def _fill(data: h5py.Dataset, parts: Iterable[np.ndarray], start: int = 0, known: int = 0) -> None:
    """Write parts from a step on, in whole chunks, so that none is written twice; ``known`` steps
    are there before."""
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
    if max(known, start + len(rest)) != len(data):
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
