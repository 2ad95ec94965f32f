"""What a result was measured with, and the file that keeps both."""

import functools
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from socialgraph.atomic import replacing

__all__ = ["RESULTS", "ROOT", "describe_environment", "result_path", "write_result"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_RESULTS = ":!benchmarks/results"  # a script changes them itself
_PACKAGES = ("torch", "torch-geometric", "xlstm", "pytorch-lightning", "numpy")


@functools.cache
def describe_environment() -> dict:
    """Commit, dirty flag, hardware and versions, as plain values for JSON; those of the first call.

    Commit and flag are None outside of a repository.
    """
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", _RESULTS)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def write_result(path: Path, question: str, configuration: dict, results: list[dict]) -> None:
    """Write a result file, whole or not at all.

    Args:
        path: JSON file.
        question: name of the benchmark.
        configuration: every option of the run.
        results: one entry per thing that was measured, with all repeats.
    """
    report = {
        "question": question,
        "command": " ".join([f"python -m {_module(question)}", *sys.argv[1:]]),
        "configuration": configuration,
        "environment": describe_environment(),
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1, default=str) + "\n")


def result_path(name: str, quick: bool) -> Path:
    """Where the result ``name`` is kept: quick ones away from those that the READMEs quote."""
    return (ROOT / "runs" / "quick" if quick else RESULTS) / f"{name}.json"


def _module(question: str) -> str:
    """The script that was typed."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    typed = "" if spec is None else spec.name.removesuffix(".__main__")
    return typed if typed.startswith(("benchmarks.", "tests.")) else f"benchmarks.{question}"


def _git(*words: str) -> str | None:
    result = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
