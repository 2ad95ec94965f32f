"""With what a run was made, so that it can be made again."""

import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from socialgraph import __version__

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

__all__ = ["describe_run", "run_folder"]

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


def run_folder(trainer: "Trainer") -> Path:
    """Where a run keeps its files, beside ``checkpoints``, whatever logger it has.

    A logger that writes into a folder of its own says which; for others, such as MLflow, it is
    named as Lightning names that of the checkpoints. Unlike the Trainer's ``log_dir``, one of
    several processes can ask for it alone: the first one's is where files are.
    """
    logger = trainer.logger
    if logger is None:
        return Path(trainer.default_root_dir)
    if logger.log_dir is not None:
        return Path(logger.log_dir)
    name = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(logger.save_dir or trainer.default_root_dir, str(logger.name), name)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
