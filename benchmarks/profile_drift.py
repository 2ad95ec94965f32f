"""Does a usual day that goes on in a stream (``--profile_half_life``) forecast better?

``python -m benchmarks.profile_drift --config configs/auckland.yaml --checkpoint best.ckpt`` streams
what a series has after the training of a checkpoint, with the usual day as it was trained, and with
half-lives of some days. Every so many-th reading is scored, all are learned from.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.accuracy import load_datamodule
from benchmarks.environment import result_path, write_result
from benchmarks.stream_accuracy import stream_error
from socialgraph.forecaster import load
from socialgraph.stream import StreamingForecaster

__all__ = ["main"]


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"profile_drift_{args.config.stem}", args.quick)
    series = load_datamodule(args.config, args.data).series
    spec = load(args.checkpoint).spec
    first = int(np.searchsorted(series.timestamps, spec.train_end)) + 1
    last = min(len(series.timestamps) - spec.horizon, first + (args.most or len(series.timestamps)))
    scored = range(first + spec.window - 1, last, args.every)
    configuration = {
        **vars(args),
        "profile": args.config.stem,
        "unit": spec.units[0],
        "train_start": str(spec.train_start),
        "train_end": str(spec.train_end),
    }
    results = []
    for half_life in (None, *args.half_lives):
        stream = StreamingForecaster(load(args.checkpoint), profile_half_life=half_life)
        errors = stream_error(stream, series, first, scored)
        results.append({"half_life_days": half_life, **errors})
        print(half_life, errors["mae"], flush=True)
        write_result(output, "profile_drift", configuration, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.profile_drift", description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, required=True, help="profile with the data")
    add("--data", help="another HDF5 file than the profile's")
    add("--checkpoint", type=Path, required=True, help="of a network that reads what is usual")
    add("--half_lives", type=float, nargs="+", default=[7, 14, 28, 56], help="in days")
    add("--every", type=int, default=1, help="readings of which one is scored")
    add("--most", type=int, help="readings that are streamed; default: all")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="200 readings: does it run?")
    args = parser.parse_args(argv)
    args.most = 200 if args.quick else args.most
    return args


if __name__ == "__main__":
    main()
