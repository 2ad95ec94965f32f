"""Files of the layout read: whole, without their readings, or in parts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from socialgraph.calendar import RepeatedHour, absent_hour, read_stamps, to_utc
from socialgraph.schema.layout import RULES, naming_file, open_file, read_text, read_texts
from socialgraph.schema.metadata import (
    read_edges,
    read_info,
    read_interval,
    read_positions,
    read_rules,
    read_source_rules,
    read_units,
)
from socialgraph.series import TrafficSeries

__all__ = ["read", "read_blocks", "read_outline", "read_steps", "read_vdids"]


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
    with open_file(path) as file:
        names = read_texts(file, "metadata/feature_names")
        chosen = _choose(path, names, features)
        with naming_file(path):
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
    with open_file(path) as file:
        names = read_texts(file, "metadata/feature_names")
        with naming_file(path):
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
    with open_file(path) as file, naming_file(path):
        data = file["data/features"]
        size = max(1, num_cells // max(1, data.shape[1] * data.shape[2]))
        size = max(1, size // data.chunks[0]) * data.chunks[0] if data.chunks else size
        for start in range(0, data.shape[0], size):
            yield start, data[start : start + size].astype(np.float32, copy=False)


def _is_local(path: str | Path) -> bool:
    """Whether a file has times on a local clock, of which the readings tell which are to drop."""
    with open_file(path) as file, naming_file(path):
        stamps = file["metadata/timestamps"]
        return len(stamps) > 0 and read_stamps([read_text(stamps[0])])[1] is None


def read_steps(path: str | Path, start: int, stop: int) -> np.ndarray:
    """The readings ``[stop - start, N, F]`` of some steps, float32.

    Raises:
        FileNotFoundError, SchemaError: as :func:`read` does.
    """
    with open_file(path) as file, naming_file(path):
        return file["data/features"][start:stop].astype(np.float32, copy=False)


def read_vdids(path: str | Path) -> list[str]:
    """The detector ids ``[N]`` of a file, without its readings; raises as :func:`read` does."""
    with open_file(path) as file:
        return read_texts(file, "metadata/vdids")


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
    vdids, stamps = (read_texts(file, f"metadata/{name}") for name in ("vdids", "timestamps"))
    lat, lon, _ = read_positions(file, vdids)
    units = read_units(file.attrs.get("units"), names)
    text = {
        name: read_text(file.attrs.get(name, ""))
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
        interval_minutes=read_interval(file),
        vd_info=read_info(file, vdids),
        edges=read_edges(file),
        source_rules=read_source_rules(file),
        **{name: read_rules(file, name) for name in RULES},
        **text,
    )


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
