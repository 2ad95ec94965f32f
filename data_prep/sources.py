"""Files as they come: plain, compressed, in archives and folders, opened with bounds.

No member of an archive is ever written to a disk, so its name is only a name.
"""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from tqdm import tqdm

__all__ = [
    "OTHER_KINDS",
    "TABLE_KINDS",
    "Document",
    "expand_paths",
    "kind_of",
    "open_bytes",
    "read_documents",
]

TABLE_KINDS = {"text": "a text", "parquet": "a Parquet file", "xlsx": "an Excel workbook"}
OTHER_KINDS = {
    "hdf5": "an HDF5 file (of pandas: 'convert metr-la', or write it with to_csv)",
    "numpy": "an array of NumPy ('convert pems-npz' reads those of PEMS03 to 08)",
    "xls": "an old Excel workbook (save it as .xlsx or CSV)",
    "zip": "a zip archive of several files (unpack it, or make one for each file)",
    "empty": "a zip archive without a file (download it again)",
    "nested": "a zip archive in a zip archive (unpack the outer one)",
    "tar": "a tar archive (unpack it)",
}
_KINDS = {
    b"PAR1": "parquet",
    b"\x93NUMPY": "numpy",
    b"\xd0\xcf\x11\xe0": "xls",
    b"\x89HDF\r\n\x1a\n": "hdf5",
}
_MOST_MEMBERS = 2_000_000
_BUFFER = 2**20
_LARGEST_DOCUMENT = 2**29  # bytes of one document when unpacked
_ZIP = b"PK\x03\x04", b"PK\x05\x06"  # the second one is empty
_ABOUT = re.compile(r"(.*/)?(readme|licen[cs]e|copying)[^/]*|.*\.(pdf|md|html?|docx?|rtf)", re.I)
_COMPRESSED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


class Document(NamedTuple):
    """One document, with its name: the path, and the member of an archive behind it."""

    name: str
    data: bytes


def expand_paths(patterns: Sequence[str]) -> list[Path]:
    """The files named by paths, globs and folders (their visible files), sorted within each.

    Raises:
        FileNotFoundError: if one names no file.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        if Path(pattern).is_dir():
            found = [
                path
                for path in Path(pattern).rglob("*")
                if not any(part.startswith(".") for part in path.relative_to(pattern).parts)
            ]
        else:
            found = [
                Path(name) for name in ([pattern] if Path(pattern).exists() else glob(pattern))
            ]
        files = sorted(path for path in found if path.is_file())
        if not files:
            raise FileNotFoundError(
                f"No file for '{pattern}'. Give files, a quoted glob or a folder."
            )
        paths.update(dict.fromkeys(files))
    return list(paths)


def kind_of(path: str | Path) -> str:
    """What a file is by its first bytes: ``"text"``, ``"parquet"``, ``"xlsx"``, ``"xls"``,
    ``"hdf5"``, ``"numpy"``, ``"zip"`` or ``"tar"``; a compressed file is what is in it, and so is a
    zip archive of one file, besides those that tell about it. Archives of none are ``"empty"``,
    and those in archives ``"nested"``."""
    with open(path, "rb") as raw:
        start = raw.read(8)
    if start.startswith(_ZIP):
        names = _zip_names(path)
        if "xl/workbook.xml" in names:
            return "xlsx"
        if names and all(name.endswith(".npy") for name in names):
            return "numpy"
        if len(_without_about(names)) != 1:
            return "zip" if names else "empty"
    with open_bytes(path) as handle:
        head = handle.read(512)
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return kind
    if head.startswith(_ZIP):
        return "nested"
    return "tar" if head[257:262] == b"ustar" else "text"


def open_bytes(path: str | Path) -> io.BufferedReader:
    """Open a file, or what is in a compressed one (gzip, bzip2, xz, or zip with one member besides
    those that tell about it, which may be compressed too).

    Raises:
        ValueError: if it is a zip archive of several files, or has a password.
    """
    with open(path, "rb") as raw:
        start = raw.read(6)
    for magic, opener in _COMPRESSED.items():
        if start.startswith(magic):
            return _buffered(opener(path, "rb"), path)
    if start.startswith(_ZIP) and len(names := _without_about(_zip_names(path))) == 1:
        member = _buffered(_open_zip_member(path, names[0]), path)
        return _unpacking(member, Path(path))
    return open(path, "rb")


def read_documents(paths: Sequence[Path], suffixes: tuple[str, ...]) -> Iterator[Document]:
    """The documents of files and of archives (zip, tar, also compressed; archives in archives are
    left alone), in the order of ``paths`` and, within a zip archive, of the names. On a terminal a
    bar shows how many of their bytes were read.

    Args:
        paths: files.
        suffixes: endings of the members of archives that are documents, also with ``.gz``.

    Raises:
        ValueError: if an archive is damaged, has more members or larger ones than can be right.
    """
    sizes = [path.stat().st_size for path in paths]
    with tqdm(
        total=sum(sizes), desc="reading", unit="B", unit_scale=True, disable=None, delay=1
    ) as bar:
        begin = 0
        for path, size in zip(paths, sizes, strict=True):
            try:
                for place, document in _documents(path, suffixes):
                    bar.update(max(0, begin + place - bar.n))
                    yield document
            except _DAMAGED as error:
                raise ValueError(f"'{path}' is damaged: {error}. Download it again.") from error
            begin += size
            bar.update(begin - bar.n)


class _Told(io.RawIOBase):
    """A compressed file whose damage is told with its name."""

    def __init__(self, handle: IO[bytes] | io.BufferedIOBase, path: str | Path) -> None:
        self._handle, self._path = handle, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._handle.seekable()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            data = self._handle.read(len(buffer))
        except _DAMAGED as error:
            raise ValueError(f"'{self._path}' is damaged: {error}. Download it again.") from error
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        return self._handle.tell()

    def close(self) -> None:
        self._handle.close()
        super().close()


def _unpacking(raw: io.BufferedReader, path: Path) -> io.BufferedReader:
    """What is in an open file that may be compressed."""
    start = raw.read(6)
    raw.seek(0)
    for magic, opener in _COMPRESSED.items():
        if start.startswith(magic):
            return _buffered(opener(raw, "rb"), path)
    return raw


def _buffered(handle: IO[bytes] | io.BufferedIOBase, path: str | Path) -> io.BufferedReader:
    return io.BufferedReader(_Told(handle, path), _BUFFER)  # type: ignore[arg-type]


def _zip_names(path: str | Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise ValueError(f"'{path}' is damaged: {error}. Download it again.") from error
    return [name for name in names if not _is_hidden(name)]


def _without_about(names: list[str]) -> list[str]:
    """The members that hold something; all, if none does but what tells about it."""
    return [name for name in names if not _ABOUT.fullmatch(name)] or names


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _open_zip_member(path: str | Path, name: str) -> IO[bytes]:
    try:
        return zipfile.ZipFile(path).open(name)
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(f"'{path}' cannot be unpacked: {error}. Unpack it yourself.") from error


def _documents(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[int, Document]]:
    """The documents of a file, with the bytes of it that were read."""
    kind = kind_of(path)
    if kind == "tar":
        yield from _tar_documents(path, suffixes)
    elif kind in ("zip", "empty", "nested"):
        yield from _zip_documents(path, suffixes)
    else:
        with open_bytes(path) as handle:
            data = _read_bounded(handle, str(path))
        yield path.stat().st_size, Document(str(path), data)


def _zip_documents(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[int, Document]]:
    names = sorted(name for name in _zip_names(path) if _is_document(name, suffixes))
    _check_count(path, len(names))
    size = 0
    with zipfile.ZipFile(path) as archive:
        for name in names:
            with archive.open(name) as handle:
                data = _read_bounded(handle, f"{path}:{name}")
            size += archive.getinfo(name).compress_size
            yield size, _unpacked(f"{path}:{name}", data)


class _Member(tarfile.TarInfo):
    """A member whose header, if it cannot be read, does not count as the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"cut off, or a member cannot be read ({error})") from error


def _tar_documents(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[int, Document]]:
    """Members in their own order: sorting them would unpack the archive again for each."""
    with (
        open(path, "rb") as raw,
        _unpacking(raw, path) as unpacked,  # 'r|*' reads the first of several gzip members alone
        tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Member) as archive,
    ):
        count = 0
        while member := archive.next():
            # All that were read are kept otherwise, a kilobyte for each.
            archive.members.clear()  # type: ignore[attr-defined]
            _check_count(path, count := count + 1)
            if member.isfile() and _is_document(member.name, suffixes):
                handle = archive.extractfile(member)
                assert handle is not None  # as it is a file
                name = f"{path}:{member.name}"
                yield raw.tell(), _unpacked(name, _read_bounded(handle, name))


def _unpacked(name: str, data: bytes) -> Document:
    if data.startswith(b"\x1f\x8b"):
        with gzip.open(io.BytesIO(data)) as handle:
            data = _read_bounded(handle, name)
    return Document(name, data)


def _is_document(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().removesuffix(".gz").endswith(suffixes) and not _is_hidden(name)


def _check_count(path: Path, count: int) -> None:
    if count > _MOST_MEMBERS:
        raise ValueError(f"'{path}' has more than {_MOST_MEMBERS:,} members. Divide it.")


def _read_bounded(handle: IO[bytes] | io.BufferedIOBase, name: str) -> bytes:
    parts: list[bytes] = []  # as one read would take the room of the largest document each time
    size = 0
    while part := handle.read(_BUFFER):
        parts.append(part)
        size += len(part)
        if size > _LARGEST_DOCUMENT:
            raise ValueError(
                f"'{name}' has more than {_LARGEST_DOCUMENT // 2**20} MiB when it is unpacked, "
                "which no document of a feed has. Divide it."
            )
    return b"".join(parts)
