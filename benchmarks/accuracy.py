"""How well does each model forecast, under one protocol and one budget of epochs?

``python -m benchmarks.accuracy --config configs/metr_la_week.yaml --seeds 0 1 2`` trains every
model through the command line, tests its best checkpoint, tests the naive rivals on the same
windows, and writes ``benchmarks/results/accuracy_<profile>.json``.
"""

import argparse
import contextlib
import io
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.csv
import pytorch_lightning as pl
import yaml
from jsonargparse import ArgumentParser
from torch import nn

from benchmarks.environment import ROOT, result_path, write_result
from benchmarks.measure import isolated, resident_mib
from socialgraph.backtest.rivals import LastValue, Ridge, TimeOfDayMean
from socialgraph.cli import main as command_line
from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import Forecaster, load
from socialgraph.writers import ErrorWriter

__all__ = ["load_datamodule", "main", "measure_errors", "run_command", "run_model", "run_naive"]

MODELS = ["alone", "mean", "attention", "stacked_alone", "stacked", "stacked_identity"]


def run_command(words: list[str]) -> tuple[float, float]:
    """Run ``socialgraph`` in a process of its own.

    Returns:
        Seconds, and the peak of its resident memory in MiB.

    Raises:
        RuntimeError: if it fails, with its error.
    """
    start = time.perf_counter()
    memory = isolated(_run_command_line, words)
    return time.perf_counter() - start, memory


def _run_command_line(words: list[str]) -> float:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            command_line(words)
        except SystemExit as error:
            end = printed.getvalue()[-3000:]
            raise RuntimeError(
                f"socialgraph {' '.join(words)} ended with {error}:\n{end}"
            ) from None
    # Of this program alone: the peak that the system reports of a child begins with its parent's.
    return resident_mib("VmHWM")


def _shortened(test: dict) -> dict:
    """Test errors without those of the intervals of each detector, which no table shows."""
    for errors in test["targets"].values():
        errors.get("intervals", {}).pop("by_detector", None)
    return test


def run_model(profile: Path, seed: int, model: str, folder: Path, options: list[str]) -> dict:
    """Train and test one model.

    Args:
        profile: YAML with trainer and data.
        seed: seed of weights and of the order of windows.
        model: name of a file in ``configs/model``.
        folder: where the run is kept.
        options: further words for ``fit``.

    Returns:
        What the model is, what it cost, and its test errors.
    """
    fit = [
        "fit",
        f"--config={profile}",
        f"--model={ROOT / 'configs' / 'model' / f'{model}.yaml'}",
        f"--seed_everything={seed}",
        f"--data.loading.seed={seed}",
        f"--trainer.logger.init_args.save_dir={folder}",
        f"--trainer.logger.init_args.name={model}",
        f"--trainer.logger.init_args.version=seed_{seed}",
        "--trainer.enable_progress_bar=false",
        "--overwrite",
        *options,
    ]
    seconds, memory = run_command(fit)
    run = folder / model / f"seed_{seed}"
    checkpoint = run / "checkpoints" / "best.ckpt"
    run_command(["test", f"--ckpt_path={checkpoint}"])
    network = load(checkpoint).network
    metrics = pyarrow.csv.read_csv(run / "metrics.csv")
    epochs = [s for s in metrics["epoch_seconds"].to_pylist() if s is not None]
    return {
        "model": model,
        "seed": seed,
        "parameters": sum(p.numel() for p in network.parameters()),
        "fit_seconds": seconds,
        "epoch_seconds": epochs,
        "peak_memory_mib": memory,
        "radius": [r for pooling in network.poolings for r in pooling.radius.tolist()] or None,
        "configuration": yaml.safe_load((run / "config.yaml").read_text()),
        "test": _shortened(json.loads(checkpoint.with_suffix(".test.json").read_text())),
    }


def run_naive(datamodule: TrafficDataModule, folder: Path) -> list[dict]:
    """Test the models that need no training on the same windows."""
    networks = {
        "last value": LastValue(datamodule.windows.horizon, datamodule.num_targets),
        "time-of-day mean": TimeOfDayMean(datamodule),
        "ridge": Ridge(datamodule),
    }
    results = []
    for name, network in networks.items():
        test = measure_errors(network, datamodule, folder / f"{name.replace(' ', '_')}.test.json")
        fitted = sum(buffer.numel() for buffer in network.buffers())
        results.append({"model": name, "parameters": fitted, "test": test})
    return results


def measure_errors(network: nn.Module, datamodule: TrafficDataModule, path: Path) -> dict:
    """Errors on the test windows, as ``socialgraph test`` writes them to ``path``.

    Args:
        network: a forecaster, or a network that needs no training.
        datamodule: the data.
        path: JSON file to write.
    """
    trainer = pl.Trainer(
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ErrorWriter(str(path))],
    )
    forecaster = network if isinstance(network, Forecaster) else Forecaster(network)
    trainer.test(forecaster, datamodule=datamodule, verbose=False)
    return json.loads(path.read_text())


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"accuracy_{args.config.stem}", args.quick)
    configuration = {**vars(args), "profile": args.config.stem}
    folder = Path(args.runs) / args.config.stem
    folder.mkdir(parents=True, exist_ok=True)
    results = run_naive(load_datamodule(args.config, args.data), folder)
    options = _budget(args) + ([f"--data.series={args.data}"] if args.data else [])
    trainings = itertools.product([args.config], args.seeds, args.models, [folder], [options])
    with ThreadPoolExecutor(args.jobs) as executor:
        for result in executor.map(run_model, *zip(*trainings, strict=True)):
            print(f"{args.config.stem}: {result['model']}, seed {result['seed']}", flush=True)
            results.append(result)
            write_result(output, "accuracy", configuration, results)


def load_datamodule(profile: Path, path: str | None) -> TrafficDataModule:
    """Data module of a profile after ``setup``, on another file if ``path`` names one."""
    part = profile.parent / yaml.safe_load(profile.read_text())["data"]
    options = yaml.safe_load(part.read_text())
    parser = ArgumentParser()
    parser.add_class_arguments(TrafficDataModule, "data")
    config = parser.parse_object({"data": {**options, "series": path or options["series"]}})
    datamodule = parser.instantiate_classes(config).data
    datamodule.setup()
    return datamodule


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=10, help="budget of each model")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--runs", default="runs/accuracy", help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches a model: does it run?")
    return parser.parse_args(argv)


def _budget(args: argparse.Namespace) -> list[str]:
    if args.quick:
        return ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    return [f"--trainer.max_epochs={args.epochs}"]


if __name__ == "__main__":
    main()
