"""Does a carried state forecast better than the last window, and how should it be trained?

``python -m benchmarks.stream_accuracy --config configs/metr_la_week.yaml`` trains the plain network
on windows, as ever, and with the state that is carried from window to window
(``data.windows.carry_state``), and the default network on windows. The test windows of each are
forecast as ``test`` does, by a stream that reads the last window, and by one that carries the state
since the beginning of the validation part.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy import load_datamodule, measure_errors
from benchmarks.environment import ROOT, result_path, write_result
from socialgraph.cli import main as command_line
from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import load
from socialgraph.series import TrafficSeries
from socialgraph.stream import StreamingForecaster

__all__ = ["TRAININGS", "main", "stream_error"]

_CARRY = "--data.windows.carry_state=true"
# Model of a training, and its further words.
TRAININGS: dict[str, tuple[str, list[str]]] = {
    "plain, on windows": ("attention", []),
    "plain, with its state": ("attention", [_CARRY]),
    "default, on windows": ("stacked", []),
}


def stream_error(
    stream: StreamingForecaster, series: TrafficSeries, first: int, scored: Sequence[int]
) -> dict:
    """Mean absolute errors of a stream, of the first target over all steps of its horizon.

    Args:
        stream: at its start.
        series: what it reads, with its targets first.
        first: step with which it begins.
        scored: steps after whose readings its forecast counts; at others none is made, unless the
            stream carries a state.

    Returns:
        ``mae``, and ``by_month`` its sums and counts by the UTC month of issue.
    """
    forecast, wanted = stream.backend.forecast, set(scored)
    empty = {"forecast": np.zeros((0, 0, 0))}
    months: dict[str, np.ndarray] = {}
    for step in range(first, max(wanted) + 1):
        stream.backend.forecast = forecast if step in wanted else lambda *_: empty
        told = stream.update(series.timestamps[step], series.values[step])
        if step not in wanted:
            continue
        truth = series.values[step + 1 : step + 1 + stream.spec.horizon, :, 0]
        apart = np.abs(np.asarray(told)[: len(truth), :, 0] - truth)
        month = str(series.timestamps[step].astype("datetime64[M]"))
        sums = np.array([np.nansum(apart, dtype=float), np.isfinite(apart).sum()])
        months[month] = months.get(month, np.zeros(2)) + sums
    total, count = sum(months.values())
    by_month = {month: sums.tolist() for month, sums in months.items()}
    return {"mae": float(total / count), "by_month": by_month}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"stream_accuracy_{args.config.stem}", args.quick)
    data = load_datamodule(args.config, args.data)
    configuration = {**vars(args), "profile": args.config.stem}
    results = []
    for seed, training in itertools.product(args.seeds, args.trainings):
        results.append(_run(args, data, training, seed))
        print({name: results[-1][name] for name in ("training", "seed", "mae")}, flush=True)
        write_result(output, "stream_accuracy", configuration, results)


def _run(args: argparse.Namespace, data: TrafficDataModule, training: str, seed: int) -> dict:
    """Train once, and score the network in every way that it can be used."""
    model, words = TRAININGS[training]
    folder = Path(args.runs) / args.config.stem / training.replace(", ", "_").replace(" ", "_")
    words = [
        *("fit", f"--config={args.config}"),
        f"--model={ROOT / 'configs' / 'model' / f'{model}.yaml'}",
        *(f"--seed_everything={seed}", f"--data.loading.seed={seed}"),
        *(f"--data.windows.stride={args.stride}", f"--data.loading.batch_size={args.batch_size}"),
        f"--trainer.max_epochs={args.epochs}",
        f"--trainer.logger.init_args.save_dir={folder}",
        f"--trainer.logger.init_args.version=seed_{seed}",
        *("--trainer.enable_progress_bar=false", "--overwrite", *words),
    ]
    words += ["--trainer.limit_train_batches=2"] if args.quick else []
    words += [f"--data.series={args.data}"] if args.data else []
    command_line(words)
    checkpoint = folder / "default" / f"seed_{seed}" / "checkpoints" / "best.ckpt"
    forecaster = load(checkpoint)
    test = measure_errors(load(checkpoint), data, checkpoint.with_suffix(".windows.json"))
    mae = {"windows": test["targets"][data.spec.targets[0]]["mae_all"]}
    scored = (data.starts["test"] + data.windows.window - 1).tolist()
    for memory in ("window", "state") if forecaster.network.steps else ("window",):
        stream = StreamingForecaster(forecaster, memory=memory)
        errors = stream_error(stream, data.series, int(data.starts["val"][0]), scored)
        mae[f"{memory} stream"] = errors["mae"]
    parameters = sum(p.numel() for p in forecaster.network.parameters())
    return {"training": training, "seed": seed, "mae": mae, "parameters": parameters}


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.stream_accuracy", description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, required=True, help="profile with trainer and data")
    add("--data", help="another HDF5 file than the profile's")
    add("--trainings", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--epochs", type=int, default=8)
    add("--stride", type=int, default=4, help="steps between two training windows")
    add("--batch_size", type=int, default=4, help="windows of a batch, small for few windows")
    add("--runs", default="runs/stream_accuracy", help="folder of the trainings")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="two batches a training: does it run?")
    args = parser.parse_args(argv)
    args.epochs = 1 if args.quick else args.epochs
    return args


if __name__ == "__main__":
    main()
