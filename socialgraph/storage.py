"""HDF5 files: only what lies in the file itself is read, and a failure to write is an error."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import h5py
import numpy as np

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["StorageError", "check_dataset", "check_links", "open_for_writing"]


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
    """
    with io.FileIO(path, "w+" if mode == "w" else "r+") as raw:
        sink = _Sink(raw)
        try:
            # Of 1.10 and later, whose own parts (all but the arrays) have checksums.
            # Room that is given back is used again when the file grows later.
            room = {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1}
            with h5py.File(
                sink, mode, libver=("v110", "latest"), **(room if mode == "w" else {})
            ) as file:
                yield file
        finally:
            if sink.failure is not None:
                raise sink.failure


class _Sink(io.RawIOBase):
    """A file that takes everything, and keeps the first failure to write."""

    def __init__(self, raw: io.FileIO) -> None:
        self.failure: OSError | None = None
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
