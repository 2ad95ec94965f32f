"""How well does a network forecast roads that it was never trained on?

``python -m benchmarks.zero_shot --weights FILE --configs configs/metr_la_week.yaml`` forecasts the
test part of each profile's data by a network of :mod:`benchmarks.pretrain` that did not see them,
with and without neighbours, and the time of its naive rivals beside it. ``--trained`` names result
files of networks that were trained there.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.accuracy import load_datamodule
from benchmarks.environment import result_path, write_result
from socialgraph.pretrained import load_pretrained

__all__ = ["main", "measure"]


def measure(weights: Path | None, config: Path, trained: list[Path], tune: int) -> dict:
    """Errors on the test part of a profile's first target."""
    data = load_datamodule(config, None)
    target = data.spec.targets[0]
    series = data.whole.select([target])
    forecaster = load_pretrained(weights)
    start = time.perf_counter()
    own = forecaster.score(series, split=data.split)[target]
    seconds = time.perf_counter() - start
    alone = forecaster.score(replace(series, lat=None, lon=None), split=data.split)[target]
    mae = {**own, "without_neighbours": alone["forecast"]}
    tuned_seconds = None
    if tune:
        start = time.perf_counter()
        history = replace(
            series,
            values=series.values[: data.train_steps],
            timestamps=series.timestamps[: data.train_steps],
        )
        tuned = forecaster.tune(history, tune)
        tuned_seconds = time.perf_counter() - start
        mae["tuned"] = tuned.score(series, split=data.split)[target]["forecast"]
    found = [
        next(iter(run["test"]["targets"].values()))["mae_all"]
        for path in trained
        for run in json.loads(path.read_text())["results"]
        if run["model"] == "stacked" and run["configuration"]["data"]["series"] == str(data.path)
    ]
    return {
        "data": series.dataset_name,
        "target": target,
        "unit": series.units[0],
        "detectors": len(series.vdids),
        "seconds": seconds,
        "mae": mae,
        "tuned_seconds": tuned_seconds,
        "trained_there": statistics.fmean(found) if found else None,
        "card": forecaster.card,
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = [json.loads(path.read_text())["results"] for path in args.add]
    results = [entry for part in results for entry in part]
    for config in args.configs:
        results.append(measure(args.weights, config, args.trained, args.tune))
        print(json.dumps(results[-1]["mae"]), flush=True)
        write_result(args.output, "zero_shot", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.zero_shot", description=__doc__)
    parser.add_argument("--weights", type=Path, help="of benchmarks.pretrain (default: shipped)")
    parser.add_argument("--configs", type=Path, nargs="+", required=True, help="profiles")
    parser.add_argument("--trained", type=Path, nargs="*", default=[], help="results there")
    parser.add_argument("--tune", type=int, default=4, help="epochs; 0 for none")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="results to put first")
    parser.add_argument("--output", type=Path, default=result_path("zero_shot", False))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    return args


if __name__ == "__main__":
    main()
