"""Files of readings that are put into a folder."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from socialgraph.serve.intake import read_csv
from socialgraph.serve.service import Busy, Failed, Service

__all__ = ["follow_folder"]

Mark = tuple[int, int]
# Taken, or wrong; not to be read; no room for it now; the network failed.
End = Literal["taken", "unread", "full", "failed"]
_MOST_FAILURES = 6  # of the network at a file
_MOST_DOUBLINGS = 6  # of the pause after one


@dataclass
class _File:
    """A file as it is now: whether it is done with, what was told of it, and its failures."""

    mark: Mark
    done: bool = False
    told: str = ""
    failures: int = 0


async def follow_folder(service: Service, folder: Path, seconds: float = 1.0) -> None:
    """Take the files ``*.csv`` of a folder in the order of their names, for ever.

    A file holds the lines of ``socialgraph stream`` and is taken when it has not changed for a
    moment, and again when it changes; what is known is left out. A file that is wrong is left until
    it changes. If the disk is full or the network fails, the file is tried again after pauses that
    double, up to 64 looks, and later files wait, as its times would be too old after theirs; one at
    which the network fails six times is left until it changes, too. What is wrong is told on the
    standard error, once until it is something else.

    Args:
        service: what takes them.
        folder: where they are put.
        seconds: pause between two looks.
    """
    seen: dict[Path, _File] = {}
    held: Path | None = None  # for which later ones wait
    doublings = 0
    while True:
        marks = {path: _mark(path) for path in _files(folder)}
        still = {path: file for path, file in seen.items() if marks.get(path) == file.mark}
        before, doublings = doublings, 0
        for path in marks:
            if path not in still and path == held:  # it has changed, and may yet be written
                break
            if path not in still or still[path].done:
                continue
            if await _try(service, path, still[path]):
                held, doublings = path, min(before + 1, _MOST_DOUBLINGS)
                break
            before = 0 if still[path].done else before
        seen = {path: still.get(path, _File(mark)) for path, mark in marks.items()}
        await asyncio.sleep(seconds * 2**doublings)


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


async def _try(service: Service, path: Path, file: _File) -> bool:
    """Take a file, and tell what is wrong; whether the later ones must wait for it."""
    end, wrong = await _take(service, path)
    file.failures += end == "failed"
    waiting = end == "full" or (end == "failed" and file.failures < _MOST_FAILURES)
    file.done = end in ("taken", "failed") and not waiting
    if wrong and wrong != file.told:
        print(f"'{path}': {wrong}", file=sys.stderr, flush=True)
        file.told = wrong
    return waiting


async def _take(service: Service, path: Path) -> tuple[End, str]:
    """Take a file: what became of it, and what is wrong with it."""
    stream = service.stored.stream
    try:
        body = path.read_bytes()
    except OSError as error:  # may be mended while the file stays as it is
        return "unread", str(error)
    try:
        await service.take(lambda: read_csv(body, stream.spec, stream.time, most=None))
    except Busy:
        return "full", ""
    except OSError as error:
        return "full", str(error)
    except Failed as error:
        return "failed", str(error)
    except Exception as error:  # the other files are taken all the same
        return "taken", str(error)
    return "taken", ""
