"""What do a few days of readings give a network that was trained on other roads, and a new one?

``python -m benchmarks.few_days --weights FILE --configs configs/metr_la_week.yaml --days 2`` keeps
the last days before the validation part of a profile's data. On them it trains the default network
from nothing, as ``benchmarks.peers`` does, and trains a network of :mod:`benchmarks.pretrain` on;
both are scored on the test part.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import yaml

from benchmarks.accuracy import load_datamodule
from benchmarks.environment import result_path, write_result
from benchmarks.peers import run_ours
from benchmarks.zero_shot import training_part
from socialgraph import schema
from socialgraph.data import DateSplit, TrafficDataModule
from socialgraph.pretrained import load_pretrained
from socialgraph.series import TrafficSeries

__all__ = ["last_days", "main", "measure"]


def last_days(data: TrafficDataModule, days: float) -> tuple[TrafficSeries, DateSplit]:
    """The readings from some days before the validation part on, and the split by the same times.

    Args:
        data: data module after ``setup``.
        days: length of the training part.

    Raises:
        ValueError: if its training part is shorter.
    """
    first = {name: data.starts[name][0] for name in ("train", "val", "test")}
    begin = first["val"] - round(1440 * days / data.series.interval_minutes)
    if begin < first["train"]:
        raise ValueError(f"Expected 'days' up to the length of the training part (got {days:g}).")
    series = data.whole.select([data.spec.targets[0]])
    times = series.timestamps
    val, test = (f"{times[first[name]]}Z" for name in ("val", "test"))
    kept = replace(series, values=series.values[begin:], timestamps=times[begin:])
    return kept, DateSplit(val=val, test=test)


def measure(config: Path, days: float, args: argparse.Namespace) -> dict:
    """Errors of both on the test part of a profile's first target."""
    data = load_datamodule(config, None)
    series, split = last_days(data, days)
    target = series.feature_names[0]
    forecaster = load_pretrained(args.weights)
    rivals = forecaster.score(series, split=split)[target]
    start = time.perf_counter()
    tuned = forecaster.tune(training_part(forecaster, series, split), args.tune)
    seconds = time.perf_counter() - start
    mae = {**rivals, "tuned": tuned.score(series, split=split)[target]["forecast"]}
    with tempfile.TemporaryDirectory() as folder:
        profile = _profile(config, series, split, Path(folder))
        own = argparse.Namespace(config=profile, data=None, budget=args.budget, options=[])
        run = run_ours("stacked", 0, own, Path(folder))
    errors = next(iter(run["test"]["targets"].values()))
    return {
        "data": series.dataset_name,
        "target": target,
        "unit": series.units[0],
        "days": days,
        "mae": {**mae, "from_nothing": errors["mae_all"]},
        "tuned_seconds": seconds,
        "card": forecaster.card,
    }


def _profile(config: Path, series: TrafficSeries, split: DateSplit, folder: Path) -> Path:
    """The profile with these readings and this split."""
    schema.write(folder / "series.h5", series)
    profile = yaml.safe_load(config.read_text())
    sections = {
        name: yaml.safe_load((config.parent / profile[name]).read_text())
        for name in ("trainer", "data", "model")
    }
    dates = {"val": split.val, "test": split.test}
    sections["data"] |= {
        "series": str(folder / "series.h5"),
        "features": series.feature_names,
        "split": {"class_path": "socialgraph.data.DateSplit", "init_args": dates},
    }
    path = folder / config.name
    path.write_text(yaml.safe_dump({"seed_everything": 0, **sections}))
    return path


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = json.loads(args.add.read_text())["results"] if args.add else []
    for config in args.configs:
        results.append(measure(config, args.days, args))
        print(json.dumps(results[-1]["mae"]), flush=True)
        write_result(args.output, "few_days", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.few_days", description=__doc__)
    parser.add_argument("--weights", type=Path, help="of benchmarks.pretrain (default: shipped)")
    parser.add_argument("--configs", type=Path, nargs="+", required=True, help="profiles")
    parser.add_argument("--days", type=float, default=2.0, help="length of the training part")
    parser.add_argument("--tune", type=int, default=8, help="epochs")
    parser.add_argument("--budget", type=float, default=180.0, help="seconds from nothing")
    parser.add_argument("--add", type=Path, help="result file whose entries come first")
    parser.add_argument("--output", type=Path, default=result_path("few_days", False))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    return args


if __name__ == "__main__":
    main()
