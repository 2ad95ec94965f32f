"""Files that appear whole or not at all, and where they go."""

import errno
import glob
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["beside", "clone", "one_writer", "refuse_existing", "refuse_replacing", "replacing"]

_FICLONE = 0x40049409  # Linux: share the blocks of another file
_PATIENCE = 600.0  # seconds for which another process may write
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held = threading.local()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    If the block fails, the temporary file is removed and ``path`` stays as it was. What a process
    of this machine left that was killed in such a block is removed first.

    Raises:
        OSError: if the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Expected a file, got a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{socket.gethostname()}-"
    for name in glob.glob(f"{glob.escape(prefix)}*.tmp", root_dir=path.parent):
        owner = re.fullmatch(r"(\d+)\.tmp", name.removeprefix(prefix))
        if owner and not _is_alive(int(owner[1])):
            path.with_name(name).unlink(missing_ok=True)
    temporary = path.with_name(f"{prefix}{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename = str(path)  # the name that the user gave
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def one_writer(path: str | Path) -> Iterator[None]:
    """Keep other processes off writing a file from when it is read until it is replaced.

    Only those are kept off that come through here, and they wait; nobody who reads is. In a block
    of the same thread for the same file it does nothing. It ends with its process, however that
    ends. Where the system or the file system knows no locks, nobody is kept off.

    Raises:
        OSError: if another process holds the file for ten minutes.
    """
    path = Path(path).resolve()
    mine = vars(_held).setdefault("paths", set())
    if fcntl is None or path in mine or not path.parent.is_dir():
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    file = _lock(path, lock)
    mine.add(path)
    try:
        yield
    finally:
        mine.discard(path)
        lock.unlink(missing_ok=True)  # who waits for it sees that it is gone, and takes a new one
        os.close(file)


def _lock(path: Path, lock: Path) -> int:
    """The open file ``lock``, which no other process has locked."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            error.filename = str(path)  # the name that the user gave
            raise
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            os.close(file)
            if not isinstance(error, BlockingIOError):
                raise
            if time.monotonic() > end:
                raise OSError(
                    f"'{path}' is being written by another process. Wait for it, or end it."
                ) from None
            time.sleep(0.05)
            continue
        if _is_at(file, lock):
            return file
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one that is called ``path`` now."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def refuse_existing(out: str | Path, overwrite: bool) -> None:
    """Stop if ``out`` exists and ``overwrite`` is not set.

    Raises:
        ValueError: if ``out`` exists, or is a folder.
    """
    if Path(out).is_dir():
        raise ValueError(f"'{out}' is a folder. Name a file.")
    if Path(out).exists() and not overwrite:
        raise ValueError(f"'{out}' exists. Set --overwrite to replace it, or name another file.")


def refuse_replacing(out: str | Path, *sources: str | Path | None) -> None:
    """Stop before any work if ``out`` is one of the files that are read.

    Raises:
        ValueError: naming it.
    """
    for source in sources:
        if source is not None and Path(out).resolve() == Path(source).resolve():
            raise ValueError(f"'{source}' is read, and would be replaced. Name another file.")


def clone(source: str | Path, target: str | Path) -> None:
    """Copy a file; a file system that can lets both share what neither changes.

    Raises:
        OSError: if it cannot be read or written.
    """
    with open(source, "rb") as reader, open(target, "wb") as writer:
        if fcntl is not None:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
                return
            except OSError:  # another file system
                pass
        shutil.copyfileobj(reader, writer, 2**24)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere, to ask would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True


def beside(checkpoint: str | Path, ending: str) -> Path:
    """A file in the folder of a checkpoint, of its name with another ending.

    Only ``.ckpt`` is taken for an ending, as names may hold dots (``epoch=3-mae=3.21.ckpt``).
    """
    path = Path(checkpoint)
    return path.with_name(f"{path.name.removesuffix('.ckpt')}.{ending}")
