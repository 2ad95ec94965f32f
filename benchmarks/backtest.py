"""How well would a forecaster have done over the years, and what does training it again add?

``python -m benchmarks.backtest --config configs/auckland.yaml --folds 24 --step 1q --val 1mo``
runs ``socialgraph backtest`` three times: trained for every fold from scratch, trained on from the
fold before, and trained once. The rivals are those of the first run. A run that was stopped goes
on. ``--ways warm quantile week`` compares other ways: trained on from fold to fold for points, for
quantiles, and from windows of a week, and writes ``backtest_<profile>_ways.json``.
"""

import argparse
import json
from pathlib import Path

from benchmarks.accuracy import run_command
from benchmarks.environment import result_path, write_result
from socialgraph.backtest.summary import compare_runs

__all__ = ["main", "shorten"]

# A longer window is known to earlier, and forecasts the same.
_FREE = ("window", "known_to", "validated_from")

REFITS = ("every", "warm", "never")
WAYS = {
    "every": ["--refit=every"],
    "warm": ["--refit=warm"],
    "never": ["--refit=never"],
    "quantile": ["--refit=warm", "--model.objective=Quantile"],
    "week": ["--refit=warm", "--data.windows.window=168"],
    "quantile, week": [
        *("--refit=warm", "--model.objective=Quantile", "--data.windows.window=168"),
    ],
}


def shorten(report: dict) -> dict:
    """What the tables need of a ``backtest.json``: no group but folds, states and outages."""
    kept = ("fold", "state", "outage")
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
            by = {group: test["by"][group] for group in kept}
            tests[rival][target] = {**test, "by": by}
    return {
        "protocol": report["protocol"],
        "folds": report["folds"],
        "models": models,
        "tests": {**report["tests"], "rivals": tests},
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args, words = _parse(argv)
    of_refits = tuple(args.ways) == REFITS
    name = f"backtest_{args.config.stem}{'' if of_refits else '_ways'}"
    output = args.output or result_path(name, args.quick)
    names = {way: way.replace(", ", "_") for way in args.ways}
    folders = {way: args.runs / f"{args.config.stem}_{names[way]}" for way in args.ways}
    first = folders[args.ways[0]]
    results: list[dict] = []
    for way, folder in folders.items():
        own = [*WAYS[way], *(["--rivals"] if results else [])]
        own += ["--refit_epochs", str(args.refit_epochs)] if "--refit=warm" in own else []
        if args.quick:
            own += ["--trainer.limit_train_batches=2", "--overwrite"]
        run_command(
            [
                *("backtest", "--config", str(args.config), "--folds", str(args.folds)),
                *("--step", args.step, "--val", args.val),
                *("--folder", str(folder), *words, *own),
            ]
        )
        report = json.loads((folder / "backtest.json").read_text())
        spent = [fold["fit_seconds"] + fold["score_seconds"] for fold in report["folds"]]
        results.append({"way": way, "seconds": sum(spent), **shorten(report)})
        if len(results) > 1:
            results[-1]["than_first"] = compare_runs(folder, first, _FREE)
        print(f"{args.config.stem}: {way}", flush=True)
        question = "backtest" if of_refits else "backtest_ways"
        write_result(output, question, {**vars(args), "words": words}, results)


def _parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.backtest", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, required=True, help="profile")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(REFITS))
    parser.add_argument("--folds", type=int, default=24)
    parser.add_argument("--step", default="1q")
    parser.add_argument("--val", default="1mo")
    parser.add_argument("--refit_epochs", type=int, default=1, help="epochs of a warm refit")
    parser.add_argument("--runs", type=Path, default=Path("runs/backtest"), help="folder of runs")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches a fold: does it run?")
    args, words = parser.parse_known_args(argv)
    args.ways = list(dict.fromkeys(args.ways))
    if args.quick:
        args.folds, args.runs = 2, Path("runs/quick/backtest")
    return args, words


if __name__ == "__main__":
    main()
