"""With what a run was made, so that it can be made again."""

import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from socialgraph import __version__

__all__ = ["describe_run"]

_PACKAGES = ("torch", "torch-geometric", "xlstm", "pytorch-lightning", "numpy", "pandas", "pyarrow")


def describe_run(words: list[str] | None = None) -> dict:
    """Command line, versions and machine, as plain values for JSON.

    Args:
        words: words of the command, if they are not those of this process.
    """
    typed = [Path(sys.argv[0]).name, *sys.argv[1:]] if words is None else ["socialgraph", *words]
    return {
        "command": shlex.join(typed),
        "socialgraph": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
