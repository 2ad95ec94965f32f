"""How the numbers came about: split, windows, masks, versions, and how to make them again."""

import hashlib
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from socialgraph import __version__
from socialgraph.calendar import format_local
from socialgraph.report.scoring import Scores
from socialgraph.spec import DataSpec

__all__ = ["commands", "period", "protocol"]

_PACKAGES = ("torch", "torch-geometric", "pytorch-lightning", "xlstm", "numpy", "plotly")


def protocol(
    spec: DataSpec, scores: Scores, windows: int, ckpt_path: str | Path, network: str
) -> list[tuple[str, str]]:
    """Topics and texts.

    Args:
        spec: what was forecast.
        scores: of the windows that were scored.
        windows: how many test windows there are.
        ckpt_path: the checkpoint.
        network: what the network is, in words.
    """
    begin, end = period(scores.times, spec.timezone)
    scored = len(scores.issued)
    chosen = "all" if scored == windows else f"one in {scores.every} of {windows:,}"
    versions = [f"socialgraph {__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {_version(name)}" for name in _PACKAGES]
    return [
        ("data", spec.source or "a series in memory"),
        ("detectors", f"{len(spec.vdids):,}"),
        ("input", f"{', '.join(spec.features)}: {spec.window} steps of {_minutes(spec)}"),
        ("forecast", f"{', '.join(spec.targets)}: the next {spec.horizon} steps"),
        ("graph", _recipe(spec.graph)),
        ("split", _recipe(spec.split)),
        ("test windows", f"{chosen} ({begin} to {end}, {spec.timezone})"),
        ("missing", "missing targets are left out of every error; MAPE leaves out targets of 0"),
        ("RMSE", "root of the mean square over all targets at once, not the mean of the steps"),
        ("network", network),
        ("checkpoint", f"{ckpt_path} (SHA-256 {_digest(ckpt_path)})"),
        ("versions", ", ".join(versions)),
    ]


def period(times: np.ndarray, timezone: str) -> tuple[str, str]:
    """First and last of some times (UTC, ascending), on the local clock."""
    begin, end = format_local(times.ravel()[[0, -1]], timezone)
    return begin[:16].replace("T", " "), end[:16].replace("T", " ")


def commands(ckpt_path: str | Path, spec: DataSpec, words: list[str]) -> list[str]:
    """The commands that train, test and report again.

    Args:
        ckpt_path: the checkpoint; the configuration of its training is looked for in its folder
            and the one above.
        spec: what was forecast.
        words: those of the command line of this report; without, the shortest that make one.
    """
    folder = Path(ckpt_path).parent
    found = (place / "config.yaml" for place in (folder, folder.parent))
    config = next((path for path in found if path.is_file()), None)
    test = ["test", "--ckpt_path", str(ckpt_path)]
    test += ["--data.series", spec.source] if spec.source else []
    lines = [["fit", "--config", str(config), "--overwrite"]] if config else []
    lines += [test, ["report", *(words or ["--ckpt_path", str(ckpt_path)])]]
    return [shlex.join(["socialgraph", *line]) for line in lines]


def _minutes(spec: DataSpec) -> str:
    return f"{spec.interval_minutes:g} minutes"


def _recipe(recipe: dict | None) -> str:
    """A class and its arguments, in one line."""
    if recipe is None:
        return "none"
    args = recipe.get("init_args") or {}
    told = ", ".join(f"{name} = {value}" for name, value in args.items() if value is not None)
    return f"{recipe['class_path'].rsplit('.', 1)[-1]}({told})"


def _digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
