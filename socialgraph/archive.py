"""Files of ``torch.save``: read if they are undamaged, and no code of theirs is run."""

import errno
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["read_archive", "save_archive"]


def read_archive(path: str | Path, map_location: Any = None) -> Any:
    """What a file of ``torch.save`` holds, if it is undamaged; no code of it is run.

    Args:
        path: the file.
        map_location: where tensors go, as in ``torch.load``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file or is damaged: each of its parts has a checksum.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No checkpoint '{path}'.")
    try:
        _check_parts(Path(path))
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise ValueError(
            f"'{path}' is no checkpoint of tensors and plain values, or is damaged "
            f"({type(error).__name__}). Take an earlier one, or train again."
        ) from error


def save_archive(value: object, path: str | Path) -> None:
    """Write what :func:`read_archive` reads.

    Raises:
        OSError: if it cannot be written, as on a full disk.
    """
    # By a file, as an archive keeps the name of a path.
    with open(path, "wb") as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:  # of the writer of archives, which does not say why
            raise OSError(errno.ENOSPC, "Cannot write (is the disk full?)", str(path)) from error


def _check_parts(path: Path) -> None:
    """Refuse an archive that would grow when it is unpacked, or with a wrong checksum."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise zipfile.BadZipFile("a part is compressed")
        if len({part.filename for part in parts}) < len(parts):
            raise zipfile.BadZipFile("two parts have one name")
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise zipfile.BadZipFile("the parts are longer than the file")
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("a part has another checksum")
