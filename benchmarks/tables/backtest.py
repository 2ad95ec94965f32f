"""The table of a backtest."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["backtest"]

_NAMES = {
    "every": "network, trained for every fold",
    "warm": "network, trained on from the fold before",
    "never": "network, trained once",
    "last_week": "same time last week",
}


def backtest(report: dict) -> str:
    """Errors over all folds, and the difference of the network's with its interval."""
    first, *others = report["results"]
    (target, own), *_ = first["models"]["network"].items()
    rows = [[_NAMES["every"], *_errors(own), "", ""]]
    for run in others:
        test = run["than_every"][target]
        found = run["models"]["network"][target]
        rows.append([_NAMES[run["refit"]], *_errors(found), _gain(test, own=False), ""])
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
