"""What of an HDF5 file may be read: what lies in the file itself, and all of it."""

import math

import h5py
import numpy as np

__all__ = ["StorageError", "check_dataset", "check_links"]


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
