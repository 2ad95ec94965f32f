"""One writer of a file at a time."""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows, where SQLite alone keeps a second writer off
    fcntl = None  # type: ignore[assignment]

__all__ = ["WriterLock"]


class WriterLock:
    """Is held until it is released or the process ends, however it ends.

    The lock is on ``<path>.lock``, as SQLite has locks of its own on the file; it stays there
    empty-handed, since a file that is removed could be locked by two.

    Args:
        path: the file that is written.

    Raises:
        OSError: if another process holds it, or the lock cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._file, 32).decode(errors="replace").strip() or "of another"
            os.close(self._file)
            raise OSError(
                f"'{path}' is in use by process {owner}. End it, or give another --state."
            ) from None
        except OSError:
            os.close(self._file)
            raise
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let another process write."""
        os.close(self._file)
