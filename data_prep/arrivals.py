"""The documents of a folder in the order of their arrival, and which were taken."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from socialgraph.atomic import replacing

__all__ = ["Arrivals"]


class Arrivals:
    """Documents that arrive in a folder.

    What was taken is remembered in ``.<name>.watch.json`` beside the file that they are taken into.
    Documents after it may have been read, of which a part is in the file: ``read`` is the last one.

    Args:
        folder: where they arrive; what begins with a dot is none.
        file: what they are taken into. If it does not exist, nothing was taken.

    Raises:
        ValueError: if the memory is damaged.
    """

    def __init__(self, folder: Path, file: Path) -> None:
        self._folder = folder
        self._memory = file.with_name(f".{file.name}.watch.json")
        self._taken = self.read = (0, "")
        self._refused: set[str] = set()
        if self._memory.exists() and file.exists():
            try:
                memory = json.loads(self._memory.read_text())
                self._taken = _entry(memory["taken"])
                self.read = _entry(memory.get("read", memory["taken"]))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"'{self._memory}' is damaged. Remove it: all documents are taken again, which "
                    "changes nothing."
                ) from error

    def waiting(self) -> list[tuple[int, str]]:
        """Moment of arrival (nanoseconds) and path of those that are not taken yet, in order."""
        found = [
            (moment, path)
            for path in self._paths()
            if path not in self._refused and (moment := _arrival(path)) is not None
        ]
        return sorted(entry for entry in found if entry > self._taken)

    def _paths(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (os.path.join(folder, n) for n in names if not n.startswith("."))

    def refuse(self, path: str) -> None:
        """Pass a document over from now on."""
        self._refused.add(path)

    def take(self, last: tuple[int, str] | None, read: tuple[int, str]) -> None:
        """Remember that everything up to ``last`` was taken, if that is any, and up to ``read``
        was read."""
        self._taken, self.read = last or self._taken, read
        with replacing(self._memory) as temporary:
            temporary.write_text(json.dumps({"taken": self._taken, "read": self.read}))


def _entry(pair: list) -> tuple[int, str]:
    moment, name = pair
    return int(moment), str(name)


def _arrival(path: str) -> int | None:
    """Nanoseconds since 1970; None for what was renamed meanwhile, or links to nothing."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return None
