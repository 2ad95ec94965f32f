"""The command ``socialgraph init``: starter configurations in a folder of one's own."""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

__all__ = ["main", "write_configs"]


def write_configs(folder: str | Path) -> Path:
    """Copy the configurations that come with the package to ``<folder>/configs``.

    Raises:
        FileExistsError: if that exists; nothing is replaced.
    """
    target = Path(folder) / "configs"
    if target.exists():
        raise FileExistsError(f"'{target}' exists. Name another folder, or move it away.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        resources.as_file(resources.files("socialgraph") / "configs") as source,
        tempfile.TemporaryDirectory(prefix=".configs.", dir=target.parent) as folder,
    ):
        shutil.copytree(source, Path(folder) / "configs").rename(target)  # whole or not at all
    return target


def main(args: Sequence[str] | None = None) -> None:
    """Write the configurations, and say what to type next."""
    parser = argparse.ArgumentParser(
        "socialgraph init", description="Write starter configurations.", allow_abbrev=False
    )
    parser.add_argument("folder", nargs="?", default=".", help="where (default: here)")
    options = parser.parse_args(args)
    target = write_configs(options.folder)
    print(
        f"{target}/ holds a profile for each data set, and the parts of profiles. Try one:\n"
        "  python -m data_prep simulate data/simulated.h5\n"
        f"  socialgraph fit --config {target}/simulated.yaml"
    )
