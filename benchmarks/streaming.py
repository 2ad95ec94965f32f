"""What does a forecast cost after each new reading: one step from a state, or the window again?

``python -m benchmarks.streaming`` takes, in turn, a step of the network from its state and its
forward pass over the last windows of several lengths, on simulated detectors, without gradients.
The state that a step carries is reported with it.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import torch

from benchmarks.environment import result_path, write_result
from benchmarks.measure import interleaved_seconds, summary
from benchmarks.workload import Size, make_batch, make_forward, make_network

__all__ = ["main", "measure"]


def measure(size: Size, windows: list[int], repeats: int, device: str) -> list[dict]:
    """One entry for a step, and one for each length of window."""
    runs, entries = {}, []
    for window in windows:
        own = dataclasses.replace(size, window=window)
        batch, _ = make_batch(own, [], device)
        network = make_network("shared", own).to(device).eval()
        runs[f"window {window}"] = torch.no_grad()(make_forward(network, batch, "float32"))
    entries_of_a_step = ("features", "mask", "time_of_day", "day_of_week")
    reading = {name: batch[name][:, -1:] for name in entries_of_a_step}
    arguments = {name: batch[name] for name in network.entries if name in batch} | reading
    with torch.no_grad():
        _, state = network.step(network.start(size.nodes), **arguments)
    out = network.start(size.nodes)
    runs["step"] = torch.no_grad()(partial(network.step, state, out, **arguments))
    held = [part for block in state.encoder for part in block]
    for name, seconds in interleaved_seconds(runs, repeats, warmup=2, device=device).items():
        entries.append({"way": name, **dataclasses.asdict(size), "seconds": summary(seconds)})
    entries[-1]["state_mib"] = sum(p.numel() * p.element_size() for p in held) / 2**20
    return entries


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = []
    for nodes in args.nodes:
        size = Size(nodes, batch_size=1, hidden_channels=args.hidden_channels)
        results += measure(size, args.windows, args.repeats, args.device)
        for entry in results[-1 - len(args.windows) :]:
            print(f"{nodes} {entry['way']}: {1e3 * entry['seconds']['median']:.1f} ms", flush=True)
        write_result(args.output, "streaming", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.streaming", description=__doc__)
    add = parser.add_argument
    add("--nodes", type=int, nargs="+", default=[207, 2000, 8600], help="detectors")
    add("--windows", type=int, nargs="+", default=[12, 96], help="steps that are read again")
    add("--hidden_channels", type=int, default=64)
    add("--repeats", type=int, default=15, help="timed rounds")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="small, two rounds")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.windows, args.hidden_channels, args.repeats = [5, 10], [4], 8, 2
    args.output = args.output or result_path(f"streaming_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
