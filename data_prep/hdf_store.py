"""Frames that pandas wrote with ``HDFStore`` (fixed format), read with h5py."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data_prep.timestamps import to_seconds

__all__ = ["StoredFrame", "read_frames"]

_PIECE_CELLS = 2**22


@dataclass
class StoredFrame:
    """Some rows of a frame of readings, time by detector.

    Args:
        times: the index ``[T]``, ``datetime64[s]``; None if it holds no times.
        is_local: True for times on a local clock, False for UTC (an index with a zone).
        columns: names ``[N]``.
        values: float64 ``[T, N]``, in the order of the columns.
    """

    times: np.ndarray | None
    is_local: bool
    columns: list[str]
    values: np.ndarray


def read_frames(path: str | Path, key: str | None = None) -> Iterator[StoredFrame]:
    """Read a stored frame in pieces of some rows, at least one.

    Args:
        path: HDF5 file.
        key: group of the frame; None takes the only one.

    Raises:
        KeyError: if there is no frame at ``key``, or there are several and no key.
        ValueError: if the frame is stored in a way that is not read here.
    """
    with h5py.File(path, "r") as file:
        group = _find_frame(path, file, key)
        for name in ("axis0", "axis1"):
            if not isinstance(group.get(name), h5py.Dataset):
                raise ValueError(_unreadable(group, f"has no array {name!r}"))
        _check_filters(group)
        columns, times = _labels(group, "axis0"), _times(group)
        is_local = not _attribute(group["axis1"], "tz")
        num_rows = len(group["axis1"])
        size = max(1, _PIECE_CELLS // max(1, len(columns)))
        for start in range(0, max(1, num_rows), size):
            rows = slice(start, min(start + size, num_rows))
            part = None if times is None else times[rows]
            yield StoredFrame(part, is_local, columns, _values(group, columns, rows))


def _find_frame(path: str | Path, file: h5py.File, key: str | None) -> h5py.Group:
    kinds: dict[str, str] = {}
    file.visititems(lambda name, item: kinds.update({name: _attribute(item, "pandas_type")}))
    frames = [name for name, kind in kinds.items() if kind == "frame"]
    if key is None and len(frames) == 1:
        return file[frames[0]]
    if key is not None and key.strip("/") in frames:
        return file[key]
    other = {name: kind for name, kind in kinds.items() if kind and kind != "frame"}
    raise KeyError(
        f"Expected '{path}' to hold {'one pandas frame' if key is None else f'a frame {key!r}'} in "
        f"fixed format; it holds the frames {frames}"
        + (
            f" and, of another kind, {other} (write these with to_hdf(format='fixed'))"
            if other
            else ""
        )
        + (". Set --key to one of the frames." if frames else ".")
    )


def _check_filters(group: h5py.Group) -> None:
    """Refuse arrays that are compressed by what HDF5 itself does not know, such as Blosc."""
    for dataset in (item for item in group.values() if isinstance(item, h5py.Dataset)):
        filters = dataset.id.get_create_plist()
        for index in range(filters.get_nfilters()):
            number, _, _, name = filters.get_filter(index)
            if not h5py.h5z.filter_avail(number):
                known = name.decode(errors="replace").partition(" ")[0] or str(number)
                raise ValueError(_unreadable(group, f"is compressed with {known!r}"))


def _labels(group: h5py.Group, name: str) -> list[str]:
    data, kind = group[name], _attribute(group[name], "kind")
    if kind == "string" and data.dtype.kind == "S":
        encoding = _attribute(group, "encoding") or "utf-8"
        return [label.decode(encoding) for label in data[()].tolist()]
    if kind == "integer" and data.dtype.kind in "iu":
        return [str(label) for label in data[()].tolist()]
    raise ValueError(
        _unreadable(group, f"has labels {name!r} of kind {kind!r}, expected text or integers")
    )


def _times(group: h5py.Group) -> np.ndarray | None:
    data, kind = group["axis1"], _attribute(group["axis1"], "kind")
    if kind in ("integer", "float"):
        return None
    if not kind.startswith("datetime64") or data.dtype.kind != "i":
        raise ValueError(_unreadable(group, f"has an index of kind {kind!r}, expected datetime64"))
    unit = kind if "[" in kind else "datetime64[ns]"
    return to_seconds(data[()].astype(unit), f"the index of '{group.file.filename}'")


def _values(group: h5py.Group, columns: list[str], rows: slice) -> np.ndarray:
    position = {label: index for index, label in enumerate(columns)}
    num_rows = len(group["axis1"])
    values = np.full((rows.stop - rows.start, len(columns)), np.nan)
    for index in range(int(group.attrs.get("nblocks", 1))):
        items, data = _labels(group, f"block{index}_items"), group[f"block{index}_values"]
        if data.ndim != 2 or data.dtype.kind not in "fiu":
            raise ValueError(_unreadable(group, f"has a block of {data.dtype}, expected numbers"))
        turned = not data.attrs.get("transposed", 0)
        shape = data.shape[::-1] if turned else data.shape
        if shape != (num_rows, len(items)):
            expected = (num_rows, len(items))
            raise ValueError(
                _unreadable(group, f"has a block of shape {shape}, expected {expected}")
            )
        block = data[:, rows].T if turned else data[rows]
        values[:, [position[label] for label in items]] = block
    return values


def _attribute(item: h5py.HLObject, name: str) -> str:
    value = item.attrs.get(name, b"")
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return "" if text == "N." or isinstance(value, h5py.Empty) else text


def _unreadable(group: h5py.Group, problem: str) -> str:
    return (
        f"The frame {group.name!r} of '{group.file.filename}' {problem}. "
        "Read it with pandas and write it with to_csv, or to_hdf(complib='zlib'), which are read "
        "too."
    )
