"""How do other people's released models forecast on the same data in the same time of training?

``bash benchmarks/peers_environment.sh`` installs their packages, each in an environment of its own;
``python -m benchmarks.peers --config configs/metr_la_week.yaml`` exports the series once, trains
every released model in its environment (``benchmarks/peer_runners``) and ours through the command
line, and computes all errors here, over the same windows and masks. Peers read the targets and the
clock, and our radius graph if they take one. What cannot be run stays in the result, with its
error.

``--budget`` is wall time in training steps: neither start-up nor the validation checks count, at
most eight, evenly spread, of which the best gives the weights. This holds for ours as well
(:class:`TrainingBudget`; Lightning's ``max_time`` would count validation). Ours are trained as the
profile says, for its epochs if they take less than the budget. Sizes are those of each author's
examples if there are some; all peers have Adam with one rate throughout (0.001; 0.003 for two
models of tsl) and 16 windows a batch, neuralforecast one, which is 207 of its series.
neuralforecast's own scaling of each window is left out.
"""

import argparse
import datetime
import itertools
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from benchmarks.accuracy import load_datamodule, measure_errors, run_model, run_naive
from benchmarks.environment import ROOT, result_path, write_result
from socialgraph.backtest.rivals import fitted_scaler
from socialgraph.calendar import clock
from socialgraph.data import TrafficDataModule
from socialgraph.scaler import Scaler

__all__ = ["TrainingBudget", "export", "main", "run_peer"]

PEERS = {
    "basicts": ("basicts_stid.py", "STID"),
    "neuralforecast": ("neuralforecast_models.py", "LSTM xLSTM"),
    "tsl": (
        "tsl_models.py",
        "STIDModel RNNModel GRUGCNModel RNNEncGCNDecModel GraphWaveNetModel DCRNNModel AGCRNModel",
    ),
}


class TrainingBudget(pl.Callback):
    """Ends a training after ``budget`` seconds in training steps, or after its last step if that
    comes first, with a validation; validation does not count."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.seconds, self.windows = 0.0, 0

    def on_train_start(self, trainer, pl_module) -> None:
        """Stop the clock, here and while the model is checked and saved."""
        self._since = None

    on_validation_start = on_train_start

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Start the clock, if it stands still."""
        self._since = self._since or time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Count the batch; stop, with a last validation, if it was the last one."""
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.windows += len(batch["features"])
        is_last = trainer.global_step >= trainer.estimated_stepping_batches
        trainer.should_stop = trainer.should_stop or is_last or self.seconds >= self.budget

    def state_dict(self) -> dict:
        """What was spent, for the checkpoint."""
        return {"seconds": self.seconds, "windows": self.windows}


class _Recorded(nn.Module):
    """Forecasts ``[W, P, N, F]`` that were made elsewhere, with the call of a network."""

    def __init__(self, forecasts: Tensor, issued: Tensor, scaler: Scaler) -> None:
        super().__init__()
        channels = slice(forecasts.size(-1))
        self.scaled = (forecasts - scaler.loc[channels]) / scaler.scale[channels]
        self.issued = issued

    def forward(self, issued: Tensor) -> Tensor:
        return self.scaled[torch.searchsorted(self.issued, issued)]


def export(datamodule: TrafficDataModule, path: Path) -> None:
    """Write what a runner needs: targets in real units, windows, clock and graph.

    Args:
        datamodule: data module after ``setup``.
        path: npz with ``values`` ``[T, N, F]``, NaN where missing; the first steps of the windows
            ``train``, ``val`` and ``test``; ``window``, ``horizon``, ``slots_per_day``;
            ``statistics_steps``, the leading steps whose statistics may be used; ``time_of_day``
            and ``day_of_week`` ``[T]``; ``edge_index`` ``[2, E]`` and ``distance`` ``[E]`` in
            metres, empty without valid positions.
    """
    series, windows, graph = datamodule.series, datamodule.windows, datamodule.graph_tensors
    time_of_day, day_of_week = clock(series.timestamps, series.timezone)
    np.savez(
        path,
        values=series.values[..., : datamodule.num_targets],
        **datamodule.starts | {"train": datamodule.starts["train"][:: windows.stride]},
        window=windows.window,
        horizon=windows.horizon,
        slots_per_day=round(1440 / series.interval_minutes),
        statistics_steps=datamodule.train_steps,
        time_of_day=time_of_day,
        day_of_week=day_of_week,
        edge_index=graph.get("edge_index", torch.empty(2, 0, dtype=torch.int64)),
        distance=graph.get("distance", torch.empty(0)),
    )


def run_peer(
    command: list, datamodule: TrafficDataModule, folder: Path, budget: float, seed: int
) -> dict:
    """Train and test one released model.

    Args:
        command: interpreter and runner, with what the runner needs besides.
        datamodule: the data module that was exported.
        folder: where :func:`export` wrote ``data.npz``.
        budget: seconds of training.
        seed: seed of weights and of the order of windows.

    Returns:
        What the runner reports of the model and its cost, and its test errors.

    Raises:
        RuntimeError: if the runner fails, with the last lines that it printed, or gives other
            forecasts than were asked for.
        subprocess.TimeoutExpired: if it takes more than 10 minutes and 10 budgets.
    """
    output = folder / "forecasts.npz"
    output.unlink(missing_ok=True)  # of another model
    words = [*command, folder / "data.npz", output, "--budget", budget, "--seed", seed]
    process = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=600 + 10 * budget
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines()[-15:]
        raise RuntimeError("\n".join([f"The runner ended with {process.returncode}:", *lines]))
    with np.load(output) as file:
        forecasts = torch.from_numpy(file["forecasts"])
    report = json.loads(output.with_suffix(".json").read_text())
    return report | {"test": _test(forecasts, datamodule, folder / "test.json")}


def _test(forecasts: Tensor, data: TrafficDataModule, path: Path) -> dict:
    issued = data.collator.seconds[data.starts["test"] + data.windows.window - 1]
    shape = (len(issued), data.windows.horizon, len(data.series.vdids), data.num_targets)
    if forecasts.shape != shape or not forecasts.isfinite().all():
        wrong = (~forecasts.isfinite()).sum()
        raise RuntimeError(
            f"Expected finite forecasts {shape} (got {tuple(forecasts.shape)}, {wrong} not finite)."
        )
    return measure_errors(_Recorded(forecasts, issued, fitted_scaler(data)), data, path)


def run_ours(model: str, seed: int, args: argparse.Namespace, folder: Path) -> dict:
    """Entry of one of our models, trained for the same time at most."""
    interval = datetime.timedelta(seconds=math.ceil(args.budget / 8))
    # In place of the profile's: Lightning's EarlyStopping fails with an interval in time.
    keep = {"monitor": "val/mae", "filename": "best", "save_last": True}
    callbacks = [
        {"class_path": "pytorch_lightning.callbacks.ModelCheckpoint", "init_args": keep},
        {"class_path": "benchmarks.peers.TrainingBudget", "init_args": {"budget": args.budget}},
        {"class_path": "socialgraph.averaging.PowerAverage"},
    ]
    options = [
        "--trainer.accelerator=cpu",  # as the peers
        f"--trainer.val_check_interval=00:0{interval}",
        f"--trainer.callbacks={json.dumps(callbacks)}",
    ]
    options += [f"--data.series={args.data}"] if args.data else []
    options += args.options
    result = run_model(args.config, seed, model, folder, options)
    last = folder / model / f"seed_{seed}" / "checkpoints" / "last.ckpt"
    spent = torch.load(last, weights_only=True)["callbacks"]["TrainingBudget"]
    seconds = spent["seconds"]
    speed = {"training_seconds": seconds, "windows_per_second": spent["windows"] / seconds}
    return result | {"package": "socialgraph", **speed}


def measure(args: argparse.Namespace, folder: Path) -> Iterator[dict]:
    """Entries of the naive rivals, the released models and ours, as they come."""
    datamodule = load_datamodule(args.config, args.data)
    if not args.add:
        yield from run_naive(datamodule, folder)
    export(datamodule, folder / "data.npz")
    for package in args.peers:
        runner, names = PEERS[package]
        python = args.environments / package / "bin" / "python"
        names = names.split()[: 1 if args.quick else None]
        for model, seed in itertools.product(names, args.seeds):
            entry = {"model": model, "package": package, "seed": seed}
            try:
                if not python.exists():
                    script = f"bash benchmarks/peers_environment.sh {package}"
                    raise RuntimeError(f"no environment {python.parents[1]}: run {script}")
                command = [python, ROOT / "benchmarks" / "peer_runners" / runner, "--model", model]
                yield entry | run_peer(command, datamodule, folder, args.budget, seed)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                yield entry | {"error": str(error)}
    for model, seed in itertools.product(args.models, args.seeds):
        try:
            yield run_ours(model, seed, args, folder)
        except RuntimeError as error:
            yield {"model": model, "package": "socialgraph", "seed": seed, "error": str(error)}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = json.loads(args.add.read_text())["results"] if args.add else []
    with tempfile.TemporaryDirectory() as folder:
        for entry in measure(args, Path(folder)):
            print(entry.get("package", "naive"), entry["model"], entry.get("error", ""), flush=True)
            results.append(entry)
            write_result(args.output, "peers", {**vars(args), "profile": args.config.stem}, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.peers")
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--models", nargs="*", default=["alone", "mean", "attention"], help="ours")
    parser.add_argument("--budget", type=float, default=180.0, help="seconds of training each")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--add", type=Path, help="result file whose entries come first")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="last: further words for our 'fit'"
    )
    parser.add_argument("--quick", action="store_true", help="5 s, one model of each package")
    args = parser.parse_args(argv)
    if args.quick:
        args.budget, args.models = 5.0, args.models[:1]
    args.output = args.output or result_path(f"peers_{args.config.stem}", args.quick)
    return args


if __name__ == "__main__":
    main()
