"""Do intervals of nominal 90 % hold 90 %, and what do quantiles cost in MAE?

``python -m benchmarks.calibration --config configs/metr_la_week.yaml`` trains the model for points
and for quantiles, for the same time, and looks at the intervals of all test windows: over all, by
horizon, by hour of the day, and by whether the detector was congested when the forecast was made.
It writes ``benchmarks/results/calibration_<profile>.json``.

``tracked`` intervals follow the test windows in their order as a stream does
(:class:`socialgraph.adaptive.AdaptiveIntervals`); the others know nothing of the test part.
"""

import argparse
import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy import load_datamodule, run_command
from benchmarks.environment import ROOT, result_path, write_result
from socialgraph.adaptive import AdaptiveIntervals
from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import Forecaster, load
from socialgraph.metrics import INTERVAL_ERRORS, IntervalErrors

__all__ = ["congested", "look", "main", "train"]

WAYS = {
    "point, conformal": ("Point", "conformal"),
    "point, conformal, tracked": ("Point", "tracked"),
    "quantile": ("Quantile", "alone"),
    "quantile, conformal": ("Quantile", "conformal"),
    "quantile, conformal, tracked": ("Quantile", "tracked"),
}
_FREE_SHARE = 0.7  # of the speed of a free road, below which a detector is congested


def train(profile: Path, objective: str, model: str, folder: Path, options: list[str]) -> Path:
    """The best checkpoint of a training with an objective."""
    words = [
        "fit",
        f"--config={profile}",
        f"--model={ROOT / 'configs' / 'model' / f'{model}.yaml'}",
        f"--model.objective={objective}",
        f"--trainer.logger.init_args.save_dir={folder}",
        "--trainer.logger.init_args.name=calibration",
        f"--trainer.logger.init_args.version={objective}",
        "--trainer.enable_progress_bar=false",
        "--overwrite",
        *options,
    ]
    run_command(words)
    return folder / "calibration" / objective / "checkpoints" / "best.ckpt"


def told(forecaster: Forecaster, batch: dict, intervals: AdaptiveIntervals | None) -> dict:
    """Forecasts and quantiles of a batch; tracked ones window by window."""
    outputs = forecaster.outputs(forecaster.predict(batch))
    if intervals is None:
        return outputs
    targets = outputs["forecast"].size(-1)
    readings = torch.where(batch["mask"], batch["features"], torch.nan)[:, -1, :, :targets]
    parts = []
    for window, issued in enumerate(batch["issued"].numpy().astype("datetime64[s]")):
        own = {name: part[window].numpy() for name, part in outputs.items()}
        parts.append(intervals.update(issued, own, readings[window].numpy()))
    return outputs | {"quantiles": torch.from_numpy(np.stack(parts))}


def congested(batch: dict, free: Tensor) -> Tensor:
    """Where a detector's last reading is below 70 % of that of a free road ``[B, N, F]``."""
    last = torch.where(batch["mask"], batch["features"], torch.nan)[:, -1, :, : free.size(-1)]
    return last < _FREE_SHARE * free


@torch.inference_mode()
def look(forecaster: Forecaster, datamodule: TrafficDataModule, way: str) -> dict:
    """Errors of the intervals of the first target over all test windows, told in a way."""
    spec = datamodule.spec
    forecaster.follow(spec)
    if way == "alone":
        forecaster.conformal = forecaster.bounds = None
    levels = forecaster.levels
    intervals = AdaptiveIntervals(levels, spec.step) if way == "tracked" else None
    training = datamodule.series.values[: datamodule.train_steps, :, : spec.num_targets]
    free = torch.from_numpy(np.nanquantile(training, 0.95, axis=0))  # [N, F]
    shape = spec.horizon, len(spec.vdids), spec.num_targets
    parts = {name: IntervalErrors(shape, levels) for name in ("all", "congested", "free")}
    absolute = count = 0.0
    for batch in datamodule.test_dataloader():
        outputs = told(forecaster, batch, intervals)
        jam = congested(batch, free).unsqueeze(1)
        masks = {"all": True, "congested": jam, "free": ~jam}
        for name, mask in masks.items():
            known = batch["target_mask"] & mask
            parts[name].update(
                *outputs.values(), batch["targets"], known, batch["target_time_of_day"]
            )
        wrong = (outputs["forecast"] - batch["targets"]).abs()
        absolute += float(wrong[batch["target_mask"]].double().sum())
        count += int(batch["target_mask"].sum())
    found = {name: errors.compute() for name, errors in parts.items()}
    return {
        "mae": absolute / count,
        **_named(found["all"]["all"][:, 0]),
        "by_step": found["all"]["step"][0, :, 0].tolist(),
        "by_hour": _plain(found["all"]["hour"][0, :, 0]),
        "by_detector": _plain(found["all"]["detector"][0, :, 0]),
        "congested": _named(found["congested"]["all"][:, 0]),
        "free": _named(found["free"]["all"][:, 0]),
    }


def _named(errors: Tensor) -> dict[str, float | None]:
    return dict(zip(INTERVAL_ERRORS, _plain(errors), strict=True))


def _plain(values: Tensor) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def measure(args: argparse.Namespace, folder: Path) -> Iterator[dict]:
    """Entries of each way, as they come."""
    datamodule = load_datamodule(args.config, args.data)
    limit = datetime.timedelta(seconds=args.seconds)
    options = [f"--trainer.max_time=00:0{limit}"]
    options += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"] if args.quick else []
    options += [f"--data.series={args.data}"] if args.data else []
    checkpoints = {
        objective: train(args.config, objective, args.model, folder, options)
        for objective in ("Point", "Quantile")
    }
    unit = datamodule.spec.units[0]
    for way, (objective, kind) in WAYS.items():
        found = look(load(checkpoints[objective]), datamodule, kind)
        yield {"way": way, "target": datamodule.spec.targets[0], "unit": unit, **found}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"calibration_{args.config.stem}", args.quick)
    folder = Path(args.runs) / args.config.stem
    results = []
    for entry in measure(args, folder):
        results.append(entry)
        print(f"{entry['way']}: MAE {entry['mae']:.3f}, coverage {entry['coverage']:.3f}")
        write_result(output, "calibration", {**vars(args), "profile": args.config.stem}, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--model", default="stacked", help="name of a file in configs/model")
    parser.add_argument("--seconds", type=int, default=90, help="of each training, at the most")
    parser.add_argument("--runs", default="runs/calibration", help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches: does it run?")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
