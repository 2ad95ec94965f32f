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

import numpy as np
import torch

from benchmarks.accuracy import load_datamodule
from benchmarks.environment import result_path, write_result
from socialgraph.data import Split, window_starts
from socialgraph.pretrained import PretrainedForecaster, load_pretrained
from socialgraph.series import TrafficSeries

__all__ = ["averaged", "main", "measure", "training_part"]


def measure(
    weights: Path | None, config: Path, trained: list[Path], tune: int, minutes: float | None = None
) -> dict:
    """Errors on the test part of a profile's first target.

    Args:
        weights: file of the network; None for that of the package.
        config: profile.
        trained: result files of networks that were trained there.
        tune: epochs of training there; 0 for none.
        minutes: interval to average the readings over; None for their own.
    """
    data = load_datamodule(config, None)
    target = data.spec.targets[0]
    series = data.whole.select([target])
    series = series if minutes is None else averaged(series, minutes)
    forecaster = load_pretrained(weights)
    start = time.perf_counter()
    own = forecaster.score(series, split=data.split)[target]
    seconds = time.perf_counter() - start
    alone = forecaster.score(replace(series, lat=None, lon=None), split=data.split)[target]
    mae = {**own, "without_neighbours": alone["network"]}
    mae |= _joined(forecaster, series, data.split)
    history = training_part(forecaster, series, data.split)
    tuned_seconds = None
    if tune:
        start = time.perf_counter()
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
        "minutes": series.interval_minutes,
        "detectors": len(series.vdids),
        "seconds": seconds,
        "mae": mae,
        "tuned_seconds": tuned_seconds,
        "trained_there": statistics.fmean(found) if found and minutes is None else None,
        "card": forecaster.card,
    }


def averaged(series: TrafficSeries, minutes: float) -> TrafficSeries:
    """A series at a longer interval: means of what was observed, NaN where nothing was.

    Raises:
        ValueError: if the interval is no multiple of that of the series, or its time has gaps.
    """
    step = minutes / series.interval_minutes
    whole = (np.diff(series.timestamps) == np.diff(series.timestamps)[0]).all()
    if step != int(step) or not whole:
        raise ValueError(f"Expected a multiple of {series.interval_minutes:g} (got {minutes:g}).")
    count = int(step)
    steps = len(series.values) // count * count
    parts = series.values[:steps].reshape(-1, count, *series.values.shape[1:])
    known = np.isfinite(parts).sum(axis=1)
    means = np.nansum(parts, axis=1) / np.maximum(known, 1)
    values = np.where(known > 0, means, np.nan).astype(np.float32)
    times = series.timestamps[:steps:count]
    return replace(series, values=values, timestamps=times, interval_minutes=float(minutes))


def _joined(forecaster: PretrainedForecaster, series: TrafficSeries, split: Split) -> dict:
    """Errors of a fifth of the detectors, with all their history and with its last day alone."""
    chosen = np.random.default_rng(0).permutation(len(series.vdids))[: len(series.vdids) // 5]
    vdids = [series.vdids[row] for row in chosen]
    steps = len(training_part(forecaster, series, split).timestamps)
    day = round(1440 / series.interval_minutes)
    new = replace(series, values=series.values.copy())
    new.values[: max(0, steps - day), chosen] = np.nan
    (before,) = forecaster.score(series, split=split, vdids=vdids).values()
    (after,) = forecaster.score(new, split=split, vdids=vdids).values()
    return {"fifth": before["forecast"], "fifth_with_a_day": after["forecast"]}


def training_part(
    forecaster: PretrainedForecaster, series: TrafficSeries, split: Split
) -> TrafficSeries:
    """The training part of a series, by windows of a forecaster."""
    windows = forecaster.windows
    starts = window_starts(series.timestamps, series.interval_minutes, windows.length)
    sizes = windows.window, windows.horizon
    _, steps = split.divide(starts, series.timestamps, series.timezone, *sizes)
    return replace(series, values=series.values[:steps], timestamps=series.timestamps[:steps])


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = [json.loads(path.read_text())["results"] for path in args.add]
    results = [entry for part in results for entry in part]
    for config in args.configs:
        results.append(measure(args.weights, config, args.trained, args.tune, args.minutes))
        print(json.dumps(results[-1]["mae"]), flush=True)
        write_result(args.output, "zero_shot", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.zero_shot", description=__doc__)
    parser.add_argument("--weights", type=Path, help="of benchmarks.pretrain (default: shipped)")
    parser.add_argument("--configs", type=Path, nargs="+", required=True, help="profiles")
    parser.add_argument("--trained", type=Path, nargs="*", default=[], help="results there")
    parser.add_argument("--tune", type=int, default=4, help="epochs; 0 for none")
    parser.add_argument("--minutes", type=float, help="interval to average over")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="results to put first")
    parser.add_argument("--output", type=Path, default=result_path("zero_shot", False))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    return args


if __name__ == "__main__":
    main()
