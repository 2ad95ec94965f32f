"""Do longer windows forecast the same hours better?

``python -m benchmarks.windows --config configs/metr_la_week.yaml`` trains variants of the default
network (:mod:`benchmarks.ablation`) with windows of several lengths, and tests all on the test
windows that all lengths have.
"""

import argparse
import functools
import itertools
from pathlib import Path

import numpy as np

from benchmarks.ablation import VARIANTS, folder_of, run_variant
from benchmarks.accuracy import load_datamodule, measure_errors
from benchmarks.environment import result_path, write_result
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import load

__all__ = ["main"]

_DEFAULT = ["stacked", "without xLSTM", "GRU for xLSTM"]
_DEFAULT += [name for name in VARIANTS if name.startswith(("window 48", "window 96"))]


def make_datamodule(checkpoint: Path, given: TrafficDataModule) -> TrafficDataModule:
    """The data of ``given`` in the windows of a checkpoint, set up."""
    spec = load(checkpoint).spec
    datamodule = TrafficDataModule(
        given.given,
        spec.features,
        spec.targets,
        windows=Windows(spec.window, spec.horizon),
        split=given.split,
        graph=given.graph,
        loading=given.loading,
    )
    datamodule.setup("test")
    return datamodule


def measure_alike(checkpoints: list[Path], given: TrafficDataModule) -> list[dict]:
    """Errors of each checkpoint on the windows whose forecasts all of them can make."""
    datamodules = [make_datamodule(path, given) for path in checkpoints]
    common = functools.reduce(np.intersect1d, [each.first_times("test") for each in datamodules])
    tests = []
    for path, datamodule in zip(checkpoints, datamodules, strict=True):
        chosen = np.isin(datamodule.first_times("test"), common)
        datamodule.starts["test"] = datamodule.starts["test"][chosen]
        tests.append(measure_errors(load(path), datamodule, path.with_suffix(".common.json")))
    return tests


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"windows_{args.config.stem}", args.quick)
    results, checkpoints = [], []
    for variant, seed in itertools.product(args.variants, args.seeds):
        results.append(run_variant(args, variant, seed))
        run = folder_of(args, variant) / VARIANTS[variant][0] / f"seed_{seed}"
        checkpoints.append(run / "checkpoints" / "best.ckpt")
        print(f"{variant}, seed {seed}", flush=True)
    tests = measure_alike(checkpoints, load_datamodule(args.config, args.data))
    results = [entry | {"test": test} for entry, test in zip(results, tests, strict=True)]
    write_result(
        output, "accuracy", {**vars(args), "jobs": 1, "profile": args.config.stem}, results
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--variants", nargs="+", default=_DEFAULT, choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--runs", default="runs/windows", help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches: does it run?")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
