"""Files that appear whole or not at all, and where they go."""

import errno
import glob
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["beside", "clone", "refuse_replacing", "replacing"]

_FICLONE = 0x40049409  # Linux: share the blocks of another file


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
