"""The documents of a folder in the order of their arrival, and which were taken."""

import json
import os
from pathlib import Path

from socialgraph.atomic import replacing

__all__ = ["Arrivals"]


class Arrivals:
    """Documents that arrive in a folder.

    What was taken is remembered in ``.<name>.watch.json`` beside the file that they are taken into.

    Args:
        folder: where they arrive; what begins with a dot is none.
        file: what they are taken into. If it does not exist, nothing was taken.

    Raises:
        ValueError: if the memory is damaged.
    """

    def __init__(self, folder: Path, file: Path) -> None:
        self._folder = folder
        self._memory = file.with_name(f".{file.name}.watch.json")
        self._taken: tuple[int, str] = (0, "")
        self._refused: set[str] = set()
        if self._memory.exists() and file.exists():
            try:
                moment, name = json.loads(self._memory.read_text())["taken"]
                self._taken = (int(moment), str(name))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"'{self._memory}' is damaged. Remove it: all documents are taken again, which "
                    "changes nothing."
                ) from error

    def waiting(self) -> list[tuple[int, str]]:
        """Moment of arrival (nanoseconds) and path of those that are not taken yet, in order."""
        found = []
        for folder, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = os.path.join(folder, name)
                if not name.startswith(".") and path not in self._refused:
                    found.append((os.stat(path).st_ctime_ns, path))
        return sorted(entry for entry in found if entry > self._taken)

    def refuse(self, path: str) -> None:
        """Pass a document over from now on."""
        self._refused.add(path)

    def take(self, last: tuple[int, str]) -> None:
        """Remember that everything up to ``last`` was taken."""
        self._taken = last
        with replacing(self._memory) as temporary:
            temporary.write_text(json.dumps({"taken": list(last)}))
