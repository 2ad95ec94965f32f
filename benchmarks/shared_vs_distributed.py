"""What does one encoder per detector cost against one for all, as the detectors grow in number?

``python -m benchmarks.shared_vs_distributed`` measures, for each number of detectors and each form
(shared; distributed and evaluated in one vectorised pass; distributed and looped over), parameters,
optimiser state, start-up, peak memory of two training steps, forward pass and training step, and
fits how each grows. The looped form stops if a step exceeds ``--limit``.

Start-up and memory are measured in a process for each form, which holds nothing else. Times are
taken in one process for each number of detectors, the forms in turn. On a GPU a profiled step also
gives the kernels launched and the share of its time in which they run.
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.environment import result_path, write_result
from benchmarks.measure import growth, interleaved_seconds, isolated, peak_memory, summary
from benchmarks.workload import (
    FORMS,
    Size,
    make_batch,
    make_forward,
    make_network,
    make_optimizer,
    make_training_step,
)

__all__ = ["main", "measure_cost", "measure_times"]

GROWING = ("parameters", "optimizer_mib", "startup_seconds", "peak_memory_mib")
TIMED = ("forward", "training_step")


def measure_cost(form: str, size: Size, paths: list[Path], device: str) -> dict:
    """Size, start-up and peak memory of a form; to be called in a process of its own.

    Returns:
        ``parameters``, ``optimizer_mib`` (state of AdamW), ``startup_seconds`` (network, optimiser
        and transfer to the device) and ``peak_memory_mib`` (of all this and two training steps).
    """
    small = dataclasses.replace(size, nodes=4)
    _start(form, small, make_batch(small, paths, device)[0])[2]()  # loads what is loaded once
    batch, source = make_batch(size, paths, device)
    cost = {"source": source, "edges": batch["edge_index"].size(1)}

    def train() -> None:
        start = time.perf_counter()
        network, optimizer, step = _start(form, size, batch)
        cost["startup_seconds"] = time.perf_counter() - start
        step()
        step()
        state = [t for entry in optimizer.state.values() for t in entry.values()]
        cost["parameters"] = sum(p.numel() for p in network.parameters())
        cost["optimizer_mib"] = sum(t.numel() * t.element_size() for t in state) / 2**20

    _, cost["peak_memory_mib"] = peak_memory(train, device)
    return cost


def _start(form: str, size: Size, batch: dict) -> tuple:
    """Network, optimiser and training step, on the device of the batch."""
    network = make_network(form, size).to(batch["features"].device)
    optimizer = make_optimizer(network)
    return network, optimizer, make_training_step(network, optimizer, batch, size.precision)


def measure_times(
    forms: list[str], size: Size, paths: list[Path], device: str, repeats: int, limit: float
) -> dict[str, dict]:
    """Forward pass and training step of the forms, in turn; to be called in a process of its own.

    Returns:
        By form, ``forward`` and ``training_step`` as :func:`benchmarks.measure.summary`, or an
        ``error`` if one looped step takes more than ``limit`` seconds; on CUDA also
        ``launches`` and ``utilisation`` of a training step.
    """
    batch, _ = make_batch(size, paths, device)
    times, steps, forwards = {}, {}, {}
    for form in forms:
        network, _, step = _start(form, size, batch)
        step()
        (seconds,) = interleaved_seconds({form: step}, repeats=1, warmup=0, device=device)[form]
        if form == "looped" and seconds > limit:
            times[form] = {"error": f"one training step takes {seconds:.1f} s, limit {limit:g} s"}
            continue
        times[form] = _profile(step, seconds) if device == "cuda" else {}
        steps[form] = step
        forwards[form] = torch.no_grad()(make_forward(network, batch, size.precision))
    for name, functions in (("forward", forwards), ("training_step", steps)):
        measured = interleaved_seconds(functions, repeats, device=device)
        for form, seconds in measured.items():
            times[form][name] = summary(seconds)
    return times


def _profile(step: Callable[[], None], seconds: float) -> dict:
    """Kernels of a step, and the share of the ``seconds`` of one that is not profiled."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step()
        torch.cuda.synchronize()
    on_gpu = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [e for e in on_gpu if not e.is_user_annotation and not e.name.startswith("Mem")]
    busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
    return {"launches": len(kernels), "utilisation": busy / seconds}


def measure_size(size: Size, args: argparse.Namespace, looped: bool) -> list[dict]:
    """All forms at one size; without the looped one if ``looped`` is False."""
    forms = [form for form in FORMS if looped or form != "looped"]
    results = []
    for form in forms:
        entry = {"form": form, **dataclasses.asdict(size)}
        try:
            entry |= isolated(
                measure_cost, form, size, args.data, args.device, timeout=args.patience
            )
        except (RuntimeError, TimeoutError) as error:
            entry["error"] = str(error)[-500:]
        results.append(entry)
    able = [entry["form"] for entry in results if "error" not in entry]
    try:
        options = (args.data, args.device, args.repeats, args.limit)
        times = isolated(measure_times, able, size, *options)
    except RuntimeError as error:
        times = {form: {"error": str(error)[-500:]} for form in able}
    for entry in results:
        entry |= times.get(entry["form"], {})
    return results


def fit_growth(results: list[dict]) -> list[dict]:
    """Exponents of growth in the number of detectors, by form and quantity."""
    fits = []
    for form in FORMS:
        own = [entry for entry in results if entry["form"] == form]
        for name in (*GROWING, *TIMED):
            known = [entry for entry in own if name in entry]
            values = [e[name]["median"] if name in TIMED else e[name] for e in known]
            nodes = [entry["nodes"] for entry in known]
            if len(set(nodes)) > 1:
                fits.append({"form": form, "quantity": name, **growth(nodes, values)})
    return fits


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results, looped = [], True
    for nodes in args.nodes:
        size = Size(nodes, args.batch_size, aggr=args.aggr, hidden_channels=args.hidden_channels)
        entries = measure_size(size, args, looped)
        for entry in entries:
            median = entry.get("training_step", {}).get("median", math.nan)
            print(f"{nodes:5d} {entry['form']:10s} {median:8.3f} s/step", flush=True)
        if any(entry["form"] == "looped" and "error" in entry for entry in entries):
            looped = False
        results += entries
        configuration = {**vars(args), "growth": fit_growth(results)}
        write_result(args.output, "shared_vs_distributed", configuration, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.shared_vs_distributed")
    parser.add_argument(
        "--nodes",
        type=int,
        nargs="+",
        default=[10, 25, 50, 100, 207, 325, 500, 1000, 2000],
        help="numbers of detectors",
    )
    parser.add_argument(
        "--data", type=Path, nargs="*", default=[], help="HDF5 files with 'speed'; else simulated"
    )
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--hidden_channels", type=int, default=32)
    parser.add_argument("--aggr", default="attention", help="pooling, or 'none'")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds a looped step may take")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds a process may take")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="few detectors, two rounds")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.repeats = [4, 8], 2
    args.output = args.output or result_path(f"shared_vs_distributed_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
