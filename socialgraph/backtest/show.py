"""A backtest for people: a line for each fold, and tables in the end."""

import json
from collections.abc import Iterator
from pathlib import Path

from socialgraph.backtest.fold import NETWORK
from socialgraph.backtest.paired import LEAST_DAYS
from socialgraph.error_table import format_row, headline, name_quarters, quarters

__all__ = ["format_difference", "format_fold", "format_summary"]


def format_fold(part: Path, count: int, kept: bool) -> str:
    """One line: what a fold was tested on, by what, and how long it took."""
    fold = json.loads((part / "fold.json").read_text())
    first, last = (fold[name][:16].replace("T", " ") for name in ("tested_from", "tested_to"))
    seconds = fold["fit_seconds"] + fold["score_seconds"]
    end = "kept" if kept else f"{seconds:.0f} s"
    return (
        f"fold {fold['number'] + 1} of {count}: {first} to {last}, {fold['test_windows']} windows "
        f"by {Path(fold['checkpoint']).parts[0]} ({end})"
    )


def format_summary(report: dict) -> str:
    """Errors of all forecasters, and the differences with their intervals."""
    return "\n".join(_lines(report))


def format_difference(test: dict) -> str:
    """Difference of the network's MAE from a rival's, in percent, with its interval."""
    if not test["rival_mae"]:
        return "-"
    share = 100 * test["difference"] / test["rival_mae"]
    if test["interval"] is None:
        return f"{share:+.1f} % (no test: fewer than {LEAST_DAYS} days)"
    low, high = (100 * end / test["rival_mae"] for end in test["interval"])
    told = "undecided" if not test["real"] else "better" if share < 0 else "worse"
    return f"{share:+.1f} % [{low:+.1f}, {high:+.1f}] {told}"


def _lines(report: dict) -> Iterator[str]:
    models, tests = report["models"], report["tests"]
    for name, own in models[NETWORK]["targets"].items():
        yield format_row(f"mae of {headline(name, own)}", name_quarters(report["horizon_minutes"]))
        for model, found in models.items():
            errors = found["targets"][name]
            row = format_row(f"  {_called(model)}", quarters(errors["mae"], errors["mae_all"]))
            if model != NETWORK:
                row += f"   network {format_difference(tests['rivals'][model][name]['all'])}"
            yield row
            if found["sample"] is not None:
                yield f"  ({_called(model)}: on {len(found['sample'])} detectors, evenly spread)"
        yield from _by_condition(models, name)
        if "intervals" in own:
            yield _intervals(own, report["folds"])
        if tests["rivals"] and tests["days"] >= LEAST_DAYS:
            yield from _by_days(tests, name)


def _by_days(tests: dict, target: str) -> Iterator[str]:
    """What the intervals say of the detectors, and what they are made of."""
    own = {model: found[target] for model, found in tests["rivals"].items()}
    for model, found in own.items():
        yield _by_detector(model, found["by"]["detector"])
    blocks = [found["block_days"] for found in own.values()]
    span = f"{min(blocks):.1f} to {max(blocks):.1f}"
    yield f"intervals of 95 %: {tests['days']} days in blocks of {span}"


def _by_condition(models: dict, target: str) -> Iterator[str]:
    by = models[NETWORK]["targets"][target]["by"]
    columns = [("state", value) for value in by["state"]]
    columns += [("outage", value) for value in by["outage"] if value != "none"]
    heads = [f"{value} outage" if group == "outage" else value for group, value in columns]
    yield _wide("mae by condition", heads)
    for model, found in models.items():
        own = found["targets"][target]["by"]
        cells = [own[group].get(value, {}).get("mae") for group, value in columns]
        yield _wide(f"  {_called(model)}", ["-" if c is None else f"{c:.2f}" for c in cells])


def _intervals(own: dict, folds: list[dict]) -> str:
    levels = folds[0]["levels"]
    shares = [100 * fold["coverage"] for fold in own["by"]["fold"].values() if "coverage" in fold]
    return (
        f"{100 * own['intervals']['coverage']:.1f} % of the readings are between the quantiles "
        f"{100 * levels[0]:g} % and {100 * levels[-1]:g} %, {own['intervals']['width']:.4g} "
        f"{own['unit']} apart; by fold {min(shares):.1f} to {max(shares):.1f} %"
    )


def _wide(label: str, cells: list[str]) -> str:
    return label.ljust(22) + "".join(cell.rjust(16) for cell in cells)


def _by_detector(model: str, tests: dict) -> str:
    better = sum(bool(t["real"]) and t["difference"] < 0 for t in tests.values())
    worse = sum(bool(t["real"]) and t["difference"] > 0 for t in tests.values())
    return (
        f"than {_called(model)}: better at {better} detectors, worse at {worse}, undecided at "
        f"{len(tests) - better - worse}"
    )


def _called(model: str) -> str:
    return model.replace("_", " ")
