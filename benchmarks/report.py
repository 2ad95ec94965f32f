"""Tables for the READMEs from ``benchmarks/results``: ``python -m benchmarks.report``.

A table stands between ``<!-- results: NAME -->`` and ``<!-- end -->`` and is replaced there.
"""

import argparse
import json
import re
from pathlib import Path

from benchmarks.environment import ROOT

__all__ = ["accuracy_table", "fill", "main"]

_MINUTES = (15, 30, 45, 60)


def accuracy_table(report: dict) -> str:
    """Markdown table of a file that ``benchmarks.accuracy`` wrote."""
    heads = [f"{m} min" for m in _MINUTES]
    lines = [
        "| model | " + " | ".join(heads) + " | all steps | parameters | s/epoch | peak MiB |",
        "| --- |" + " ---: |" * (len(heads) + 4),
    ]
    for result in report["results"]:
        cost = [
            f"{result['parameters']:,}",
            f"{result['epoch_seconds']:.0f}" if result.get("epoch_seconds") else "",
            f"{result['peak_memory_mib']:.0f}" if result.get("peak_memory_mib") else "",
        ]
        lines.append(f"| {_name(result)} | " + " | ".join([*_errors(result), *cost]) + " |")
    return "\n".join(lines) + "\n\n" + _footnote(report)


def fill(text: str, tables: dict[str, str]) -> str:
    """Replace the tables between their marks.

    Raises:
        KeyError: where the text asks for a table that there is not.
    """

    def table(match: re.Match) -> str:
        if match[1] not in tables:
            raise KeyError(f"No result file for '{match[1]}'; there are {sorted(tables)}.")
        return f"<!-- results: {match[1]} -->\n{tables[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->\n.*?<!-- end -->", table, text, flags=re.S)


def main(argv: list[str] | None = None) -> None:
    """Fill the READMEs."""
    parser = argparse.ArgumentParser("python -m benchmarks.report", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[ROOT / "README.md"])
    args = parser.parse_args(argv)
    results = ROOT / "benchmarks" / "results"
    tables = {
        path.stem: accuracy_table(json.loads(path.read_text()))
        for path in sorted(results.glob("accuracy_*.json"))
    }
    for path in args.files:
        path.write_text(fill(path.read_text(), tables))


def _name(result: dict) -> str:
    if not result.get("radius"):
        return result["model"]
    configuration = result["configuration"]["model"]["network"]["init_args"]["pooling"]["init_args"]
    radii = ", ".join(f"{r:.0f}" for r in result["radius"])
    learned = "learned" if configuration["learn_radius"] else "fixed"
    return f"{result['model']} (radius {radii} m, {learned})"


def _errors(result: dict) -> list[str]:
    (target,) = result["test"]["targets"].values()
    minutes = result["test"]["horizon_minutes"]
    cells = []
    for minute in _MINUTES:
        step = minutes.index(minute)
        cells.append(f"{target['mae'][step]:.2f} / {target['rmse'][step]:.2f}")
    return [*cells, f"{target['mae_all']:.2f} / {target['rmse_all']:.2f}"]


def _share_of_windows(result: dict) -> str:
    stride = result["configuration"]["data"]["stride"]
    return "all training windows" if stride == 1 else f"one in {stride} training windows"


def _footnote(report: dict) -> str:
    test = report["results"][0]["test"]
    ((name, target),) = test["targets"].items()
    mean_of_steps = ", ".join(
        f"{r['model']} {next(iter(r['test']['targets'].values()))['rmse_mean_of_steps']:.2f}"
        for r in report["results"]
    )
    environment = report["environment"]
    trained = [result for result in report["results"] if "seed" in result]
    minutes = [result["fit_seconds"] / 60 for result in trained]
    seeds = sorted({r["seed"] for r in report["results"] if "seed" in r})
    return (
        f"MAE / RMSE of {name} in {target['unit']}, {test['detectors']} detectors, "
        f"{test['windows']:,} test windows ({test['border']}, split "
        f"{'/'.join(f'{100 * share:.0f}' for share in test['split'])}), missing targets left out; "
        f"{report['budget_epochs']} epochs over {_share_of_windows(trained[0])} "
        f"({min(minutes):.0f} to {max(minutes):.0f} minutes a model), best validation epoch, seed "
        f"{', '.join(map(str, seeds))}; {environment['threads']} thread of "
        f"{environment['processor']}, "
        f"torch {environment['versions']['torch']}, commit {environment['commit'][:8]}. "
        f"RMSE as the mean of the steps: {mean_of_steps}. An epoch includes its validation. "
        f"`{report['command']}`"
    )


if __name__ == "__main__":
    main()
