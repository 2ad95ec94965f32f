"""Which batch size and precision train most windows per second?

``python -m benchmarks.batch_size`` times training steps of the shared network, for batches of 1 to
32 windows in float32, under bfloat16 autocast, and with gradient checkpointing: the three in turn,
in one process.
"""

import argparse
import dataclasses
from pathlib import Path

import torch

from benchmarks.environment import result_path, write_result
from benchmarks.measure import interleaved_seconds, summary
from benchmarks.workload import Size, make_batch, make_network, make_optimizer, make_training_step

__all__ = ["WAYS", "main"]

WAYS = {
    "float32": {},
    "bfloat16": {"precision": "bfloat16"},
    "checkpointing": {"gradient_checkpointing": True},
}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = []
    for batch_size in args.batch_sizes:
        sizes = {
            way: Size(args.nodes, batch_size, hidden_channels=args.hidden_channels, **options)
            for way, options in WAYS.items()
        }
        steps = {}
        for way, size in sizes.items():
            batch, source = make_batch(size, args.data, args.device)
            network = make_network("shared", size).to(args.device)
            optimizer = make_optimizer(network)
            steps[way] = make_training_step(network, optimizer, batch, size.precision)
        for way, seconds in interleaved_seconds(steps, args.repeats, device=args.device).items():
            rate = summary([batch_size / s for s in seconds])
            entry = {"way": way, "source": source, **dataclasses.asdict(sizes[way])}
            results.append(entry | {"windows_per_second": rate})
            print(batch_size, way, f"{rate['median']:.1f} windows/s", flush=True)
        write_result(args.output, "batch_size", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.batch_size")
    add = parser.add_argument
    add("--nodes", type=int, default=207, help="detectors")
    add("--data", type=Path, nargs="*", default=[], help="HDF5 files with 'speed'; else simulated")
    add("--batch_sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    add("--hidden_channels", type=int, default=32, help="width of the encoder")
    add("--repeats", type=int, default=5, help="timed rounds")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="few detectors, two rounds")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.batch_sizes, args.repeats = 8, [1, 2], 2
    args.output = args.output or result_path(f"batch_size_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
