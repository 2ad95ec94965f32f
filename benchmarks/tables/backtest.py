"""The table of a backtest."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["backtest", "backtest_ways"]

_NAMES = {
    "every": "network, trained for every fold",
    "warm": "network, trained on from the fold before",
    "never": "network, trained once",
    "last_week": "same time last week",
    "quantile": "network, trained on, for quantiles",
    "week": "network, trained on, from windows of a week",
    "quantile, week": "network, trained on, for quantiles from windows of a week",
}


def backtest(report: dict) -> str:
    """Errors over all folds, and the difference of the network's with its interval."""
    first, *others = report["results"]
    (target, own), *_ = first["models"]["network"].items()
    rows = [[_NAMES["every"], *_errors(own), "", ""]]
    for run in others:
        test = run["than_first"][target]
        found = run["models"]["network"][target]
        rows.append([_NAMES[run["way"]], *_errors(found), _gain(test, own=False), ""])
    for rival, tests in first["tests"]["rivals"].items():
        found = first["models"][rival][target]
        cells = [_gain(tests[target]["all"]), _folds(tests[target]["by"]["fold"])]
        rows.append([_NAMES.get(rival, rival.replace("_", " ")), *_errors(found), *cells])
    heads = ["MAE", "RMSE", *_heads(own), "first network against it, MAE", "better / worse folds"]
    tests, options = first["tests"], report["configuration"]
    note = (
        f"Errors in {own['unit']} over all steps, {sum(own['count']):,.0f} readings of "
        f"{first['protocol']['data'][0]['detectors']} detectors in {len(first['folds'])} folds of "
        f"{options['step']}. Differences in percent of the other's MAE, with intervals of 95 % by "
        f"a stationary bootstrap of {tests['days']:,} days. "
        f"{measured_on(report)}"
    )
    return markdown_table(["model", *heads], rows) + "\n\n" + note


def backtest_ways(report: dict) -> str:
    """Errors and intervals of ways to train a network, and the rivals of the first."""
    first, *others = report["results"]
    (target, own), *_ = first["models"]["network"].items()
    rows = [[_NAMES[first["way"]], *_errors(own), "", *_intervals(own)]]
    for run in others:
        found = run["models"]["network"][target]
        gain = _gain(run["than_first"][target], own=False)
        rows.append([_NAMES[run["way"]], *_errors(found), gain, *_intervals(found)])
    for rival, tests in first["tests"]["rivals"].items():
        gain = _gain(tests[target]["all"])
        name = _NAMES.get(rival, rival.replace("_", " "))
        rows.append([name, *_errors(first["models"][rival][target]), gain, *[""] * 5])
    heads = ["MAE", "RMSE", *_heads(own), "first network against it, MAE"]
    heads += ["coverage, %", "folds, worst to best"]
    heads += [f"coverage, {name}" for name in sorted(own["by"]["state"])] + ["interval score"]
    tests, options = first["tests"], report["configuration"]
    note = (
        f"Errors in {own['unit']} over all steps, {sum(own['count']):,.0f} readings in "
        f"{len(first['folds'])} folds of {options['step']}; differences and intervals of 95 % as "
        f"above, {tests['days']:,} days. Coverage of intervals of nominal 90 %, calibrated on the "
        f"month before each fold. {measured_on(report)}"
    )
    return markdown_table(["model", *heads], rows) + "\n\n" + note


def _intervals(found: dict) -> list[str]:
    """Coverage over all, of the worst and best fold, and by state; and the interval score."""
    folds = [fold["coverage"] for fold in found["by"]["fold"].values()]
    states = [own["coverage"] for _, own in sorted(found["by"]["state"].items())]
    told = found["intervals"]
    ends = f"{100 * min(folds):.1f} to {100 * max(folds):.1f}"
    shares = (f"{100 * share:.1f}" for share in states)
    return [f"{100 * told['coverage']:.1f}", ends, *shares, f"{told['interval_score']:.1f}"]


def _errors(found: dict) -> list[str]:
    by = found["by"]["state"]
    states = [f"{by[name]['mae']:.1f}" for name in sorted(by)]
    return [f"{found['mae_all']:.2f}", f"{found['rmse_all']:.1f}", *states]


def _heads(found: dict) -> list[str]:
    return [f"MAE, {name}" for name in sorted(found["by"]["state"])]


def _gain(test: dict, own: bool = True) -> str:
    """Difference of the first network from another, in percent of the other's error."""
    base = test["rival_mae"] if own else test["mae"]
    sign = 1 if own else -1
    told = f"{100 * sign * test['difference'] / base + 0.0:+.1f} %"  # no minus before 0
    if test["interval"] is None:
        return f"{told} (too few days)"
    low, high = sorted(100 * sign * end / base for end in test["interval"])
    return f"{told} [{low:+.1f}, {high:+.1f}]"


def _folds(tests: dict[str, dict]) -> str:
    better = sum(bool(t["real"]) and t["difference"] < 0 for t in tests.values())
    worse = sum(bool(t["real"]) and t["difference"] > 0 for t in tests.values())
    return f"{better} / {worse} of {len(tests)}"
