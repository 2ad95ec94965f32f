"""How good is a forecast after how many seconds of training?

``python -m benchmarks.curve --config configs/metr_la_week.yaml`` trains STID and our models anew
for each budget of seconds, as :mod:`benchmarks.peers` does; ``benchmarks.report`` draws the errors
against the time.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.environment import ROOT, result_path, write_result
from benchmarks.peers import measure

__all__ = ["main"]


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = []
    for budget in args.budgets:
        args.budget = budget
        with tempfile.TemporaryDirectory() as folder:
            for entry in measure(args, Path(folder)):
                results.append(entry | {"budget": budget})
                shown = entry.get("error", "") or f"{budget:g} s"
                print(entry["model"], shown, flush=True)
                write_result(args.output, "curve", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.curve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--peers", nargs="*", default=["basicts"], choices=["basicts"])
    parser.add_argument("--models", nargs="*", default=["stacked", "stacked_alone"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[7.5, 15, 30, 60, 120])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="2 s, one model: does it run?")
    args = parser.parse_args(argv)
    args.add, args.options = True, []  # no naive rivals, which need no training
    if args.quick:
        args.budgets, args.models = [2.0], args.models[:1]
    args.output = args.output or result_path(f"curve_{args.config.stem}", args.quick)
    return args


if __name__ == "__main__":
    main()
