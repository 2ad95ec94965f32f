"""HDF5 files: only what lies in the file itself is read, and a failure to write is an error."""

import io
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import h5py
import numpy as np

from socialgraph.interrupts import interrupt_soon

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["StorageError", "check_dataset", "check_links", "check_texts", "open_for_writing"]

_SECONDS_FOR_TEXTS = 60.0


class StorageError(ValueError):
    """Parts of an HDF5 file that lie elsewhere, or that are lost."""


def check_links(group: h5py.Group, name: str) -> None:
    """Refuse a path of which a part is a link, to another place or to another file.

    A name that there is not passes.

    Raises:
        StorageError: naming the link.
    """
    whole = f"{group.name}/{name}".strip("/")
    for part in name.split("/"):
        link = group.get(part, getlink=True)
        if link is None:
            return
        if not isinstance(link, h5py.HardLink):
            raise StorageError(
                f"'{whole}' is a link ({type(link).__name__}), and what it leads to is not read. "
                "Copy the data into the file."
            )
        group = group[part]
        if not isinstance(group, h5py.Group):
            return


def check_dataset(dataset: h5py.Dataset) -> None:
    """Refuse an array whose numbers lie in other files, or of which a part was never written.

    Parts that are not there would be read as the fill value, which passes only if it is NaN.

    Raises:
        StorageError: naming the array.
    """
    if dataset.is_virtual or dataset.external:
        raise StorageError(
            f"'{dataset.name}' lies in other files, which are not read. Copy the data into this "
            "file."
        )
    fill = dataset.fillvalue
    if isinstance(fill, np.floating) and np.isnan(fill):
        return
    if dataset.chunks is None:
        status = dataset.id.get_space_status()
        there = int(status != h5py.h5d.SPACE_STATUS_NOT_ALLOCATED)
        expected = int(dataset.size > 0)
    else:
        sides = zip(dataset.shape, dataset.chunks, strict=True)
        expected = math.prod(math.ceil(side / chunk) for side, chunk in sides)
        there = dataset.id.get_num_chunks()
    if there < expected:
        raise StorageError(
            f"{expected - there} of {expected} parts of '{dataset.name}' are lost or were never "
            f"written, and would be read as {fill}. Convert the raw data again."
        )


def check_texts(file: h5py.File, names: Iterable[str]) -> None:
    """Refuse a file whose texts of variable length cannot be read to their end.

    HDF5 keeps such texts in a heap, whose damage makes the library read on for ever or crash. So
    another process reads them first, once for each file. Files that this package writes have none.

    Args:
        file: the file, open for reading.
        names: arrays to look at; the attributes of the file are looked at too.

    Raises:
        StorageError: if that process does not end well.
    """
    held = [file[name].dtype for name in names if isinstance(file.get(name), h5py.Dataset)]
    held += [file.attrs.get_id(name).dtype for name in file.attrs]
    if any(_has_variable_length(dtype) for dtype in held):
        state = os.stat(file.filename)
        _try_texts(file.filename, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _try_texts(path: str, changed: int, size: int) -> None:
    words = [sys.executable, "-m", "socialgraph.storage", path]
    try:
        ended = subprocess.run(words, capture_output=True, timeout=_SECONDS_FOR_TEXTS).returncode
    except subprocess.TimeoutExpired:
        ended = -1
    if ended < 0:  # an error that is told passes, as it will be met again
        raise StorageError(
            "The texts of the file cannot be read to their end: the part that holds them is "
            "damaged. Convert the raw data again."
        )


def _has_variable_length(dtype: np.dtype) -> bool:
    text = h5py.check_string_dtype(dtype)
    return (text is not None and text.length is None) or h5py.check_vlen_dtype(dtype) is not None


def _read_texts(path: str) -> None:
    """Read every text of variable length of a file."""

    def read(name: str, thing: h5py.Group | h5py.Dataset) -> None:
        list(thing.attrs.values())
        elsewhere = isinstance(thing, h5py.Dataset) and (thing.is_virtual or thing.external)
        if isinstance(thing, h5py.Dataset) and not elsewhere and _has_variable_length(thing.dtype):
            thing[()]

    with h5py.File(path, "r") as file:
        read("/", file)
        file.visititems(read)


@contextmanager
def open_for_writing(path: str | Path, mode: Literal["w", "r+"] = "w") -> Iterator[h5py.File]:
    """Open a file to write to it.

    On a full disk the library of HDF5 fails again whenever it writes out what it still holds, and
    in the end crashes the process. So it writes through a file of Python, which drops what comes
    after a failure, and the failure is raised when the file is closed.

    Args:
        path: the file.
        mode: ``"w"`` for a new file, ``"r+"`` for one that is there.

    Raises:
        OSError: if something could not be written.
        KeyboardInterrupt: after a Ctrl-C, also one that came while HDF5 wrote.
    """
    with io.FileIO(path, "w+" if mode == "w" else "r+") as raw:
        sink = _Sink(raw)
        # Of 1.10 and later, whose own parts (all but the arrays) have checksums.
        # Room that is given back is used again when the file grows later.
        room = {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1}
        options = room if mode == "w" else {}
        try:
            with (
                _kept_interrupt(sink),
                h5py.File(sink, mode, libver=("v110", "latest"), **options) as file,
            ):
                yield file
        finally:
            if sink.failure is not None:
                raise sink.failure


@contextmanager
def _kept_interrupt(sink: "_Sink") -> Iterator[None]:
    """Note a Ctrl-C as a failure, and raise none inside of HDF5, which would lose it."""
    later: list[threading.Timer] = []
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        sink.failure = sink.failure or KeyboardInterrupt()
        if _is_in_hdf5(frame):
            later.append(interrupt_soon())
        else:
            before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        for timer in later:
            timer.cancel()
        signal.signal(signal.SIGINT, before)


class _Sink(io.RawIOBase):
    """A file that takes everything, and keeps the first failure to write."""

    def __init__(self, raw: io.FileIO) -> None:
        self.failure: OSError | KeyboardInterrupt | None = None
        self._raw = raw

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self._raw.readinto(buffer)

    def write(self, data: "ReadableBuffer") -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while self.failure is None and len(rest):
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self.failure = OSError(error.errno, error.strerror, self._raw.name)
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self.failure = self.failure or OSError(error.errno, error.strerror, self._raw.name)
            return size or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()


_CALLED_BY_HDF5 = {
    part.__code__ for part in (_Sink.readinto, _Sink.write, _Sink.truncate, _Sink.seek, _Sink.tell)
}


def _is_in_hdf5(frame: FrameType | None) -> bool:
    """Whether what runs was called by HDF5."""
    while frame is not None and frame.f_code not in _CALLED_BY_HDF5:
        frame = frame.f_back
    return frame is not None


if __name__ == "__main__":
    _read_texts(sys.argv[1])
