"""Files of readings that are put into a folder."""

import asyncio
import sys
from pathlib import Path

from socialgraph.serve.intake import read_csv
from socialgraph.serve.service import Busy, Service

__all__ = ["follow_folder"]

Mark = tuple[int, int]


async def follow_folder(service: Service, folder: Path, seconds: float = 1.0) -> None:
    """Take the files ``*.csv`` of a folder in the order of their names, for ever.

    A file holds the lines of ``socialgraph stream`` and is taken when it has not changed for a
    moment, and again when it changes; what is known is left out. What is wrong with a file is told
    on the standard error, once until it changes.

    Args:
        service: what takes them.
        folder: where they are put.
        seconds: pause between two looks.
    """
    done: dict[Path, Mark] = {}
    told: dict[Path, Mark] = {}
    before: dict[Path, Mark] = {}
    while True:
        now = {path: _mark(path) for path in _files(folder)}
        for path, mark in now.items():
            if done.get(path) == mark or before.get(path) != mark:
                continue
            is_done, wrong = await _take(service, path)
            if is_done:
                done[path] = mark
            if wrong and told.get(path) != mark:
                print(f"'{path}': {wrong}", file=sys.stderr, flush=True)
                told[path] = mark
        for marks in (done, told):
            for path in marks.keys() - now.keys():
                del marks[path]
        before = now
        await asyncio.sleep(seconds)


def _files(folder: Path) -> list[Path]:
    """None while the folder cannot be read, as one of another machine that is away."""
    try:
        return sorted(folder.glob("*.csv"))
    except OSError:
        return []


def _mark(path: Path) -> Mark:
    """When a file was changed, and its size; zeros for one that has just gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


async def _take(service: Service, path: Path) -> tuple[bool, str]:
    """Take a file: whether it is done with, else it is tried again, and what is wrong with it."""
    stream = service.stored.stream
    try:
        body = path.read_bytes()
        await service.take(lambda: read_csv(body, stream.spec, stream.time, most=None))
    except Busy:
        return False, ""
    except OSError as error:  # may be mended while the file stays as it is
        return False, str(error)
    except Exception as error:  # the other files are taken all the same
        return True, str(error)
    return True, ""
