"""Which ingredients of random networks does a network need that never saw a real one?

``python -m benchmarks.ingredients --configs configs/metr_la_week.yaml configs/constance.yaml``
trains on random networks alone, once with all that they have and once without each ingredient, and
in other forms of scale, graph and input; and forecasts the test part of each profile's data.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch

from benchmarks import pretrain, zero_shot
from benchmarks.environment import result_path, write_result

__all__ = ["CASES", "main"]

CASES: dict[str, list[str]] = {
    "all ingredients": [],
    **{f"without {name}": ["--lacking", name] for name in pretrain.INGREDIENTS},
    "told interval, spacing, quantity": ["--setting"],
    "scaled by network": ["--scale-by", "network"],
    "lengths relative to the spacing": ["--spacing", "1000"],
}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    torch.set_num_threads(1)
    results = [json.loads(path.read_text())["results"] for path in args.add]
    results = [entry for part in results for entry in part]
    for name in args.cases:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.ckpt"
            amount = [f"--epochs={args.epochs}", f"--batches={args.batches}"]
            amount += [f"--random={args.random}", f"--seed={args.seed}", f"--output={weights}"]
            scope = "--quick" if args.quick else "--simulated-only"
            pretrain.main([scope, *amount, *CASES[name]])
            measured = [zero_shot.measure(weights, config, [], 0) for config in args.configs]
        results.append({"case": name, "data": measured})
        print(name, [run["mae"] for run in measured], flush=True)
        write_result(args.output, "ingredients", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.ingredients", description=__doc__)
    parser.add_argument("--configs", type=Path, nargs="+", required=True, help="profiles")
    parser.add_argument("--cases", nargs="+", choices=[*CASES], default=[*CASES])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batches", type=int, default=16, help="of each network in an epoch")
    parser.add_argument("--random", type=int, default=8, help="networks in an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="small networks: does it run?")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="results to put first")
    parser.add_argument("--output", type=Path, default=result_path("ingredients", False))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
