"""How often do alarms lie on quiet readings, and how soon do they tell a fault?

``python -m benchmarks.alarms`` simulates weeks of traffic, trains the default network on the first
ones, and watches the test weeks: as they are, and with a fault of two days in every fifth detector.
It writes ``benchmarks/results/alarms.json``. The simulated traffic has incidents of its own, in the
validation as in the test; outages too, which are told as silent and are no lies.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration import train
from benchmarks.environment import ROOT, result_path, write_result
from data_prep.simulate import simulate
from socialgraph.alarms import make_watch
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster, load
from socialgraph.quiet import last_reading
from socialgraph.schema import write
from socialgraph.series import TrafficSeries

__all__ = ["FAULTS", "inject", "main", "watch"]

_SPLIT = (0.4, 0.3, 0.3)
Spoil = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
# Readings [T] of a detector, those of another far away, and random numbers, to what is reported.
FAULTS: dict[str, Spoil] = {
    "stuck": lambda own, other, rng: np.full_like(own, own[np.isfinite(own)][0]),
    "offset of -20 km/h": lambda own, other, rng: own - 20,
    "noise of 15 km/h": lambda own, other, rng: own + rng.normal(0, 15, len(own)),
    "swapped": lambda own, other, rng: other,
    "dead": lambda own, other, rng: np.full_like(own, np.nan),
}


def inject(
    series: TrafficSeries, first: int, kind: str, length: int, rng: np.random.Generator
) -> tuple[TrafficSeries, dict[int, int]]:
    """A series with a fault in every fifth detector, each of some steps.

    Args:
        series: of one feature.
        first: step after which they begin.
        kind: of :data:`FAULTS`; a swap takes two detectors.
        length: of each, in steps.
        rng: of when and where.

    Returns:
        The series, and the step at which each detector with a fault has it begin.
    """
    values, original = series.values.copy(), series.values[..., 0]
    chosen = rng.permutation(values.shape[1])[: 2 * max(1, values.shape[1] // 10)]
    begins = {}
    for one, other in chosen.reshape(-1, 2):
        begin = int(rng.integers(first, len(values) - length))
        span = slice(begin, begin + length)
        for own, far in ((one, other), (other, one)):
            told = FAULTS[kind](original[span, own], original[span, far], rng)
            values[span, own, 0] = told
            begins[int(own)] = begin
    return replace(series, values=values.astype(np.float32)), begins


@torch.inference_mode()
def watch(
    forecaster: Forecaster, datamodule: TrafficDataModule, rates: list[float]
) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """What is told of each detector after each test window.

    Returns:
        Times of the windows ``[W]``, and for each rate the kinds ``[W, N]``, None if all is well.
    """
    forecaster.follow(datamodule.spec)
    edges = datamodule.graph_tensors["edge_index"].numpy()
    parts = forecaster.charts, forecaster.spec, datamodule.spec, edges
    watches = {rate: make_watch(*parts, rate) for rate in rates}
    times, told = [], {rate: [] for rate in rates}
    for batch in datamodule.test_dataloader():
        quantiles = forecaster.outputs(forecaster.predict(batch))["quantiles"].numpy()
        readings = last_reading(batch).unsqueeze(-1).numpy()
        issued = batch["issued"].numpy().astype("datetime64[s]")
        times += list(issued)
        for rate, own in watches.items():
            for window in zip(issued, quantiles, readings, strict=True):
                told[rate].append(own.update(*window))
    return np.array(times), {rate: np.array(kinds) for rate, kinds in told.items()}


def count_alarms(kinds: np.ndarray) -> Counter:
    """How many alarms begin, by the kind that is told first."""
    before = np.vstack([np.full((1, kinds.shape[1]), None), kinds[:-1]])
    return Counter(kinds[(kinds != None) & (before == None)].tolist())  # noqa: E711, by element


def find_fault(
    times: np.ndarray, kinds: np.ndarray, begin: np.datetime64, end: np.datetime64
) -> dict:
    """When an alarm of a detector ``[W]`` is first on in a fault, and what is told most often."""
    on = np.array([kind is not None for kind in kinds])
    inside = (times >= begin) & (times < end)
    was_on = on[times < begin]
    if len(was_on) and was_on[-1]:  # for another reason
        return {"skipped": True}
    found = np.flatnonzero(inside & on)
    if not len(found):
        return {"hours": None, "kind": None}
    hours = (times[found[0]] - begin) / np.timedelta64(1, "h")
    return {"hours": float(hours), "kind": Counter(kinds[found].tolist()).most_common(1)[0][0]}


def open_data(series: TrafficSeries) -> TrafficDataModule:
    """The data module of a series, in the parts of this benchmark."""
    data = TrafficDataModule(series, windows=Windows(12, 12), split=_SPLIT)
    data.setup("test")
    return data


def measure(args: argparse.Namespace, folder: Path) -> list[dict]:
    """Entries of quiet readings and of each fault."""
    path = folder / "quiet.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    series = simulate(args.detectors, args.days, seed=args.seed).select(["speed"])
    write(path, series)
    options = [
        f"--data.series={path}",
        "--data.features=[speed]",
        f"--data.split={list(_SPLIT)}",
        f"--trainer.max_time=00:00:{args.seconds // 60:02d}:{args.seconds % 60:02d}",
    ]
    profile = ROOT / "configs" / "simulated.yaml"
    forecaster = load(train(profile, "Quantile", args.model, folder, options))
    data = open_data(series)
    times, told = watch(forecaster, data, args.rates)
    days = len(times) * len(series.vdids) * (data.spec.step / np.timedelta64(1, "D"))
    results = [
        {"fault": None, "rate": rate, "detector_days": days, "alarms": dict(count_alarms(kinds))}
        for rate, kinds in told.items()
    ]
    rng, length = np.random.default_rng(args.seed), round(2 * 1440 / series.interval_minutes)
    first = len(series.values) - round(_SPLIT[2] * len(series.values)) + length
    for fault in FAULTS:
        found = {rate: [] for rate in args.rates}
        for _ in range(args.repeats):
            spoilt, begins = inject(series, first, fault, length, rng)
            times, told = watch(forecaster, open_data(spoilt), args.rates)
            for rate, (node, begin) in ((r, b) for r in args.rates for b in begins.items()):
                ends = series.timestamps[[begin, min(begin + length, len(series.values) - 1)]]
                found[rate].append(find_fault(times, told[rate][:, node], *ends))
        for rate, own in found.items():
            kept = [one for one in own if "skipped" not in one]
            results.append({"fault": fault, "rate": rate, "found": kept})
        print(f"{fault}: {len(found[args.rates[0]])} faults", flush=True)
    return results


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.alarms", description=__doc__)
    parser.add_argument("--detectors", type=int, default=40)
    parser.add_argument("--days", type=int, default=70)
    parser.add_argument("--model", default="stacked", help="name of a file in configs/model")
    parser.add_argument("--seconds", type=int, default=90, help="of the training, at the most")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.02, 0.1, 0.5])
    parser.add_argument("--repeats", type=int, default=2, help="passes with each fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", default="runs/alarms", help="folder of the training")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="few days: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.detectors, args.days, args.seconds, args.repeats = 20, 14, 10, 1
    output = args.output or result_path("alarms", args.quick)
    write_result(output, "alarms", vars(args), measure(args, Path(args.runs)))


if __name__ == "__main__":
    main()
