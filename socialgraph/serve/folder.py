"""Files of readings that are put into a folder."""

import asyncio
import sys
from pathlib import Path

from socialgraph.serve.intake import read_csv
from socialgraph.serve.service import Busy, Refused, Service

__all__ = ["follow_folder"]


async def follow_folder(service: Service, folder: Path, seconds: float = 1.0) -> None:
    """Take the files ``*.csv`` of a folder in the order of their names, for ever.

    A file holds the lines of ``socialgraph stream`` and is taken when it has not changed for a
    moment, and again when it changes; what is known is left out. A file that is refused is told on
    the standard error once.

    Args:
        service: what takes them.
        folder: where they are put.
        seconds: pause between two looks.
    """
    done: dict[Path, tuple[int, int]] = {}
    before: dict[Path, tuple[int, int]] = {}
    while True:
        now = {path: _mark(path) for path in sorted(folder.glob("*.csv"))}
        for path, mark in now.items():
            still = done.get(path) != mark and before.get(path) == mark
            if still and await _take(service, path):
                done[path] = mark
        done = {path: mark for path, mark in done.items() if path in now}
        before = now
        await asyncio.sleep(seconds)


def _mark(path: Path) -> tuple[int, int]:
    """When a file was changed, and its size; zeros for one that has just gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


async def _take(service: Service, path: Path) -> bool:
    """Take a file; False to try again later."""
    stream = service.stored.stream
    try:
        body = path.read_bytes()
        await service.take(lambda: read_csv(body, stream.spec, stream.time, most=None))
    except Busy:
        return False
    except (Refused, OSError) as error:
        print(f"'{path}': {error}", file=sys.stderr, flush=True)
        return isinstance(error, Refused)
    return True
