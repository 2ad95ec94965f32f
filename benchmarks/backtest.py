"""How well would a forecaster have done over the years, and what does training it again add?

``python -m benchmarks.backtest --config configs/auckland.yaml --folds 24 --step 1q --val 1mo``
runs ``socialgraph backtest`` three times: trained for every fold from scratch, trained on from the
fold before, and trained once. The rivals are those of the first run. A run that was stopped goes
on.
"""

import argparse
import json
from pathlib import Path

from benchmarks.accuracy import run_command
from benchmarks.environment import result_path, write_result
from socialgraph.backtest.summary import compare_runs

__all__ = ["main", "shorten"]

REFITS = ("every", "warm", "never")


def shorten(report: dict) -> dict:
    """What the tables need of a ``backtest.json``: no group but quarters, states and outages."""
    kept = ("fold", "state", "outage", "weekday")
    models = {
        model: {
            target: {**own, "by": {group: own["by"][group] for group in kept}}
            for target, own in found["targets"].items()
        }
        for model, found in report["models"].items()
    }
    tests: dict[str, dict] = {}
    for rival, targets in report["tests"]["rivals"].items():
        tests[rival] = {}
        for target, test in targets.items():
            by = {group: test["by"][group] for group in (*kept, "detector")}
            tests[rival][target] = {"all": test["all"], "by": by}
    return {
        "protocol": report["protocol"],
        "folds": report["folds"],
        "models": models,
        "tests": {**report["tests"], "rivals": tests},
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args, words = _parse(argv)
    output = args.output or result_path(f"backtest_{args.config.stem}", args.quick)
    folders = {refit: args.runs / f"{args.config.stem}_{refit}" for refit in REFITS}
    results = []
    for refit, folder in folders.items():
        own = ["--rivals"] if refit != "every" else []
        own += ["--refit_epochs", str(args.refit_epochs)] if refit == "warm" else []
        if args.quick:
            own += ["--trainer.limit_train_batches=2", "--overwrite"]
        seconds, _ = run_command(
            [
                *("backtest", "--config", str(args.config), "--folds", str(args.folds)),
                *("--step", args.step, "--val", args.val, "--refit", refit),
                *("--folder", str(folder), *words, *own),
            ]
        )
        report = json.loads((folder / "backtest.json").read_text())
        results.append({"refit": refit, "seconds": seconds, **shorten(report)})
        if refit != "every":
            results[-1]["than_every"] = compare_runs(folder, folders["every"])
        print(f"{args.config.stem}: {refit}", flush=True)
        write_result(output, "backtest", {**vars(args), "words": words}, results)


def _parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.backtest", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, required=True, help="profile")
    parser.add_argument("--folds", type=int, default=24)
    parser.add_argument("--step", default="1q")
    parser.add_argument("--val", default="1mo")
    parser.add_argument("--refit_epochs", type=int, default=1, help="epochs of a warm refit")
    parser.add_argument("--runs", type=Path, default=Path("runs/backtest"), help="folder of runs")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches a fold: does it run?")
    args, words = parser.parse_known_args(argv)
    if args.quick:
        args.folds, args.runs = 2, Path("runs/quick/backtest")
    return args, words


if __name__ == "__main__":
    main()
