"""Which one-line changes of the code would the tests not see?

``python -m benchmarks.mutation --count 6`` changes a copy of the package at random places of each
module (cosmic-ray, one change at a time), runs the module's own tests that are not slow, and writes
``benchmarks/results/mutation.json`` with every change that they did not see. The tests run in a
fork of a process that has loaded the packages which they need, as these take longest to load.
"""

import argparse
import contextlib
import difflib
import importlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.environment import ROOT, result_path, write_result

__all__ = ["SUBJECTS", "main"]

# Module: the tests that speak of it.
SUBJECTS = {
    "adaptive": "test_adaptive.py",
    "atomic": "test_atomic.py",
    "averaging": "test_averaging.py",
    "axis": "test_series.py",
    "backtest/conditions": "backtest/test_conditions.py",
    "backtest/folds": "backtest/test_folds.py",
    "backtest/paired": "backtest/test_paired.py",
    "backtest/rivals": "backtest/test_rivals.py",
    "backtest/summary": "backtest/test_summary.py",
    "calendar": "test_calendar.py",
    "checkpoint": "test_checkpoint.py test_cli.py hostile",
    "conformal": "test_conformal.py",
    "cusum": "test_alarms.py",
    "data/datamodule": "data test_forecaster_profile.py test_held_out.py",
    "data/split": "data/test_split.py",
    "data/windows": "data/test_windows.py",
    "data_prep/clocks": "data_prep/test_clocks.py",
    "data_prep/coarsen": "data_prep/test_grid.py data_prep/test_cases.py",
    "data_prep/detectors": "data_prep/test_detectors.py",
    "data_prep/grid": "data_prep/test_grid.py",
    "data_prep/joining": "data_prep/test_joining.py",
    "data_prep/outliers": "data_prep/test_outliers.py",
    "data_prep/plausibility": "data_prep/test_plausibility.py",
    "data_prep/road_distances": "data_prep/test_road_distances.py",
    "data_prep/steps": "data_prep/test_grid.py",
    "data_prep/timestamps": "data_prep/test_timestamps.py",
    "error_table": "test_cli.py test_forecaster.py",
    "finite": "test_forecaster.py",
    "forecaster": "test_forecaster.py test_forecaster_profile.py test_held_out.py",
    "frames": "test_frames.py",
    "graph/geodesy": "graph",
    "graph/radius": "graph",
    "graph/road": "graph",
    "losses": "test_objective.py",
    "metrics": "test_metrics.py",
    "nn/block": "nn/test_network.py",
    "nn/edges": "nn/test_pooling.py",
    "nn/embedding": "nn/test_network.py test_checkpoint.py",
    "nn/encoder": "nn/test_encoder.py",
    "nn/encoders": "nn/test_network.py nn/test_encoder.py",
    "nn/inputs": "nn/test_network.py",
    "nn/mlstm": "nn/test_encoder.py",
    "nn/network": "nn/test_network.py",
    "nn/pooling": "nn/test_pooling.py",
    "nn/slstm": "nn/test_encoder.py",
    "nn/sparse": "nn/test_sparse.py nn/test_pooling.py",
    "objective": "test_objective.py",
    "optimizer": "test_optimizer.py test_forecaster.py",
    "profile": "test_profile.py test_forecaster_profile.py",
    "progress": "test_cli.py",
    "protocol": "test_compare.py",
    "quiet": "test_alarms.py",
    "recipe": "test_recipe.py",
    "report/errors": "report/test_errors.py",
    "scaler": "test_scaler.py",
    "schema/layout": "test_schema.py test_storage.py",
    "schema/metadata": "test_schema.py",
    "schema/reading": "test_schema.py",
    "schema/writing": "test_schema.py test_storage.py",
    "series": "test_series.py test_frames.py",
    "spec": "test_spec.py",
    "standard": "test_standard.py",
    "storage": "test_storage.py",
    "stream/forecaster": "test_stream.py",
    "stream/lines": "test_stream.py",
    "stream/memory": "test_stream.py",
    "stream/outputs": "test_stream.py test_stream_store.py",
    "stream/profile": "test_stream_profile.py",
    "stream/store": "test_stream_store.py",
    "stream/stored": "test_stream.py test_stream_store.py",
    "table": "test_cli.py test_frames.py",
    "warm_start": "test_checkpoint.py test_forecaster.py",
    "writers": "test_cli.py",
}
_PARTS = (
    "socialgraph",
    "data_prep",
    "tests",
    "benchmarks",
    "configs",
    "pyproject.toml",
    "README.md",
)
_HEAVY = ("torch", "torch_geometric", "pytorch_lightning", "xlstm", "pandas", "pyarrow.parquet")
_MOST_SECONDS = 300.0
# Changes that no test can see: of texts for people, of annotations, of equal meaning.
_IDLE = ("ReplaceBinaryOperator_BitOr",)


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    for name in _HEAVY:
        importlib.import_module(name)
    results = [] if args.add is None else json.loads(args.add.read_text())["results"]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in _PARTS:
            source = (ROOT / part).resolve()
            take = shutil.copytree if source.is_dir() else shutil.copy
            take(source, copy / part)
        with contextlib.chdir(copy):
            for subject in args.subjects:
                found = _try(subject, args.count, args.seed)
                results.append(found)
                print(f"{subject}: {found['killed']} of {found['tried']} seen", flush=True)
                write_result(args.output, "mutation", vars(args), results)


def _try(subject: str, count: int, seed: int) -> dict:
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator, operator_names

    path = Path(f"{subject}.py")
    if not subject.startswith("data_prep/"):
        path = "socialgraph" / path
    nodes = list(ast_nodes(get_ast_from_path(path)))
    changes = []
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or any(idle in name for idle in _IDLE):
            continue
        places = sum(1 for node in nodes for _ in operator().mutation_positions(node))
        changes += [(operator, number) for number in range(places)]
    random.Random(f"{seed}{subject}").shuffle(changes)
    files = [f"tests/{name}" for name in SUBJECTS[subject].split()]
    survivors = []
    for operator, number in changes[:count]:
        with use_mutation(path, operator(), number) as (before, after):
            if _passes(files):
                lines = difflib.unified_diff(*(c.splitlines() for c in (before, after)), n=3)
                survivors.append("\n".join(lines))
    tried = len(changes[:count])
    return {
        "subject": subject,
        "tried": tried,
        "killed": tried - len(survivors),
        "survivors": survivors,
    }


def _passes(files: list[str]) -> bool:
    """Whether all tests in these files of the working folder pass, in time."""
    process = multiprocessing.get_context("fork").Process(target=_run_tests, args=(files,))
    process.start()
    process.join(_MOST_SECONDS)
    process.kill()
    process.join()
    return process.exitcode == 0


def _run_tests(files: list[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in _PARTS]:
        del sys.modules[name]  # to be loaded from the copy
    sys.path.insert(0, os.getcwd())
    sys.dont_write_bytecode = True
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    words = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
    sys.exit(pytest.main([*words, *files]))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=6, help="changes of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--add", type=Path, help="result file whose entries come first")
    parser.add_argument("--output", type=Path, default=result_path("mutation", False))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
