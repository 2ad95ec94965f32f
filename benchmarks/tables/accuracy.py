"""Tables of forecast errors."""

import statistics
from collections import Counter

from benchmarks.tables.cells import last_line, listed, markdown_table, measured_on

__all__ = [
    "accuracy",
    "curve",
    "few_days",
    "ingredients",
    "outages",
    "peers",
    "unseen",
    "zero_shot",
]

_MINUTES = (15, 30, 45, 60)


def accuracy(report: dict) -> str:
    """Errors and cost of each model, as means over the seeds."""
    rows = []
    for name, runs in _by_name(report["results"]).items():
        rows.append([name, *_errors(runs), f"{runs[0]['parameters']:,}", _fastest_epoch(runs)])
    heads = [*_error_heads(), "parameters", "s/epoch"]
    return markdown_table(["model", *heads], rows) + "\n\n" + _accuracy_note(report)


def peers(report: dict) -> str:
    """Errors of each model after the same time of training, or why there are none."""
    rows = []
    for name, runs in _by_name(report["results"]).items():
        package = runs[0].get("package", "")
        failed = [run["error"] for run in runs if "error" in run]
        runs = [run for run in runs if "error" not in run]
        if not runs:
            rows.append([name, package, f"did not run: {last_line(failed[0])}", *[""] * 8])
            continue
        versions = runs[0].get("versions", {})
        package = ", ".join(f"{name} {version}" for name, version in versions.items()) or package
        cost = [
            f"{runs[0]['parameters']:,}",
            # Older files do not tell the time of ours, which was the whole budget then.
            _mean(runs, "training_seconds", "{:.0f}"),
            _mean(runs, "windows_per_second", "{:.0f}"),
            _mean(runs, "peak_memory_mib", "{:,.0f}"),
        ]
        rows.append([name, package, *_errors(runs), *cost])
    heads = [*_error_heads(), "parameters", "s", "windows/s", "peak MiB"]
    options = report["configuration"]
    trained = [run for run in report["results"] if "package" in run]
    seeds = sorted({run["seed"] for run in trained})
    note = (
        f"{_units(report['results'][0]['test'])}. {options['budget']:g} seconds of training steps "
        f"at most; seed {listed(seeds)}{_fewer(trained, seeds)}. {measured_on(report)}"
    )
    return markdown_table(["model", "package", *heads], rows) + "\n\n" + note


def unseen(report: dict) -> str:
    """Errors on detectors that were held out, beside those of a training with them."""
    rows = []
    for run in report["results"]:
        own, reference = run["mae_unseen"], run["mae_trained_on"]
        cells = [f"{own:.3f}", f"{reference:.3f}", f"{100 * (own / reference - 1):+.1f} %"]
        rows.append([run["model"], str(run["seed"]), *cells])
    first, options = report["results"][0], report["configuration"]
    note = (
        f"MAE in {first['unit']} of {first['target']} over the same {first['detectors']} detectors "
        f"and all test windows; {options['epochs']} epochs each. {measured_on(report)}"
    )
    heads = ["model", "seed", "never seen", "trained on", "difference"]
    return markdown_table(heads, rows) + "\n\n" + note


def zero_shot(report: dict) -> str:
    """MAE of networks on roads that they never saw, as means over their seeds, beside naive rivals
    and one trained there."""
    groups: dict[tuple, list[dict]] = {}
    for run in report["results"]:
        groups.setdefault((run["data"], run["target"], run["minutes"]), []).append(run)
    heads = ["data", "trained on", "last value", "usual day", "ridge there"]
    heads += ["forecast (against the better of last value and usual day)", "network alone"]
    heads += ["if its neighbours are taken away", "detectors with a day of history"]
    heads += ["tuned there", "trained there"]
    note = f"MAE over all steps of the test windows. {measured_on(report)}"
    return markdown_table(heads, [_never_seen(runs) for runs in groups.values()]) + "\n\n" + note


def _never_seen(runs: list[dict]) -> list[str]:
    """The row of networks of one kind, with all its seeds, on one set."""
    run, there = runs[0], runs[0]["trained_there"]
    mae = {name: statistics.fmean(r["mae"][name] for r in runs) for name in run["mae"]}
    spread = statistics.stdev(r["mae"]["forecast"] for r in runs) if len(runs) > 1 else None
    deviation = "" if spread is None else f" ± {spread:.2f}"
    rivals = min(mae["last_value"], mae["usual"])
    cells = [f"{mae[name]:.2f}" for name in ("last_value", "usual", "ridge")]
    cells.append(
        f"{mae['forecast']:.2f}{deviation} ({100 * (mae['forecast'] / rivals - 1):+.0f} %)"
    )
    cells.append(f"{mae['network']:.2f}")
    cells.append(f"{100 * (mae['without_neighbours'] / mae['network'] - 1):+.1f} %")
    cells.append(f"{100 * (mae['fifth_with_a_day'] / mae['fifth'] - 1):+.1f} %")
    cells.append(f"{mae['tuned']:.2f} ({run['tuned_seconds']:.0f} s)" if "tuned" in mae else "")
    cells.append(f"{there:.2f} ({100 * (mae['forecast'] / there - 1):+.0f} %)" if there else "")
    seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
    name = f"{run['data']}, {run['target']} [{run['unit']}], {run['minutes']:g} min{seeds}"
    return [name, _trained_on(run["card"]), *cells]


def _trained_on(card: dict) -> str:
    """The networks that a pre-trained one saw, from its card."""
    made = ("random", "simulated")
    names = [name.rsplit(" ", 1)[0] for name in card["series"]]
    real = dict.fromkeys(name for name in names if not name.startswith(made))
    count = card.get("random", 0) * card["epochs"] or names.count("simulated") // 2
    return ", ".join([*real, f"{count} made-up"])


def few_days(report: dict) -> str:
    """MAE with few days of readings: of a network trained on them, and of others."""
    rows = []
    for run in report["results"]:
        mae = run["mae"]
        names = ("last_value", "usual", "ridge", "from_nothing", "forecast")
        cells = [f"{mae[name]:.2f}" for name in names]
        gain = 100 * (mae["tuned"] / mae["from_nothing"] - 1)
        cells.append(f"{mae['tuned']:.2f} ({run['tuned_seconds']:.0f} s, {gain:+.1f} %)")
        rows.append([f"{run['data']}, {run['target']} [{run['unit']}]", f"{run['days']:g}", *cells])
    heads = ["data", "days", "last value", "usual day", "ridge there", "trained there"]
    heads += ["network of other roads", "tuned there (against trained there)"]
    note = (
        f"MAE over all steps of the test windows; {report['configuration']['budget']:g} seconds of "
        f"training there. {measured_on(report)}"
    )
    return markdown_table(heads, rows) + "\n\n" + note


def ingredients(report: dict) -> str:
    """MAE on roads never seen of a network that was trained on random ones, without each part."""
    first = report["results"][0]["data"]
    rows = []
    for run in report["results"]:
        cells = []
        for whole, part in zip(first, run["data"], strict=True):
            # Older files hold the network alone, as "forecast".
            own, full = (m.get("network", m["forecast"]) for m in (part["mae"], whole["mae"]))
            change = "" if run is report["results"][0] else f" ({100 * (own / full - 1):+.1f} %)"
            cells.append(f"{own:.2f}{change}")
        rows.append([run["case"], *cells])
    for name, label in (("last_value", "last value"), ("usual", "usual day"), ("ridge", "ridge")):
        rows.append([label, *(f"{part['mae'][name]:.2f}" for part in first)])
    heads = ["trained on random networks"]
    heads += [f"{part['data']}, {part['target']} [{part['unit']}]" for part in first]
    note = f"MAE over all steps of the test windows. {measured_on(report)}"
    return markdown_table(heads, rows) + "\n\n" + note


def outages(report: dict) -> str:
    """MAE of each model with a share of its input taken away."""
    shares = list(dict.fromkeys((run["kind"], run["share"]) for run in report["results"]))
    rows = [
        [name, *(f"{run['mae']:.3f}" for run in report["results"] if run["model"] == name)]
        for name in dict.fromkeys(run["model"] for run in report["results"])
    ]
    heads = ["nothing silent", *(f"{share:.0%} of {kind}" for kind, share in shares[1:])]
    note = f"MAE over all steps and test windows, in the unit of the target. {measured_on(report)}"
    return markdown_table(["model", *heads], rows) + "\n\n" + note


def curve(report: dict) -> str:
    """MAE of each model after each time of training, and the times that it needed."""
    budgets = report["configuration"]["budgets"]
    goals = (3.45, 3.395) if report["configuration"]["config"].endswith("metr_la_week.yaml") else ()
    rows = []
    for name in dict.fromkeys(run["model"] for run in report["results"]):
        runs = [r for r in report["results"] if r["model"] == name and "test" in r]
        mae = {b: statistics.fmean(_mae(r) for r in runs if r["budget"] == b) for b in budgets}
        reached = (next((f"{b:g}" for b in budgets if mae[b] <= goal), "-") for goal in goals)
        cost = (
            _mean(runs, column, form)
            for column, form in (("windows_per_second", "{:.0f}"), ("peak_memory_mib", "{:,.0f}"))
        )
        rows.append([name, *(f"{mae[b]:.3f}" for b in budgets), *reached, *cost])
    heads = [*(f"{b:g} s" for b in budgets), *(f"s to {goal}" for goal in goals)]
    first, options = report["results"][0], report["configuration"]
    note = (
        f"MAE over all steps; {_units(first['test'])}. Each cell is a training of its own; "
        f"seed {listed(options['seeds'])}. {measured_on(report)}"
    )
    return markdown_table(["model", *heads, "windows/s", "peak MiB"], rows) + "\n\n" + note


def _mae(run: dict) -> float:
    return next(iter(run["test"]["targets"].values()))["mae_all"]


def _by_name(results: list[dict]) -> dict[str, list[dict]]:
    """Runs of a model with all its seeds."""
    groups = {}
    for result in results:
        groups.setdefault(result["model"], []).append(result)
    return {_with_radius(name, runs): runs for name, runs in groups.items()}


def _with_radius(name: str, runs: list[dict]) -> str:
    if not runs[0].get("radius"):
        return name
    network = runs[0]["configuration"]["model"]["network"]["init_args"]
    if "network" in network:  # a member of an ensemble
        network = network["network"]["init_args"]
    part = network if "pooling" in network else network["block"]["init_args"]
    options = part["pooling"]["init_args"]
    radii = [radius for run in runs for radius in run["radius"]]
    if not options["learn_radius"]:
        return f"{name} (radius {radii[0]:.0f} m, fixed)"
    return f"{name} (radius {min(radii):.0f} to {max(radii):.0f} m, learned)"


def _error_heads() -> list[str]:
    return [*(f"{minute} min" for minute in _MINUTES), "all steps"]


def _errors(runs: list[dict]) -> list[str]:
    """MAE / RMSE / MAPE at each of the minutes and over all steps; deviation of the last MAE."""
    targets = [next(iter(run["test"]["targets"].values())) for run in runs]
    minutes = runs[0]["test"]["horizon_minutes"]
    cells = []
    for minute in _MINUTES:
        if minute not in minutes:
            cells.append("")
            continue
        step = minutes.index(minute)
        mean = [statistics.fmean(t[e][step] for t in targets) for e in ("mae", "rmse", "mape")]
        cells.append("{:.2f} / {:.2f} / {:.1f}".format(*mean))
    mae = [target["mae_all"] for target in targets]
    deviation = f" ± {statistics.stdev(mae):.3f}" if len(mae) > 1 else ""
    rest = [statistics.fmean(target[f"{e}_all"] for target in targets) for e in ("rmse", "mape")]
    return [*cells, f"{statistics.fmean(mae):.3f}{deviation} / {rest[0]:.2f} / {rest[1]:.1f}"]


def _mean(runs: list[dict], name: str, form: str) -> str:
    known = [run[name] for run in runs if run.get(name)]
    return form.format(statistics.fmean(known)) if known else ""


def _fastest_epoch(runs: list[dict]) -> str:
    epochs = [seconds for run in runs for seconds in run.get("epoch_seconds", [])]
    return f"{min(epochs):.0f}" if epochs else ""


def _units(test: dict) -> str:
    name, target = next(iter(test["targets"].items()))
    return (
        f"MAE / RMSE in {target['unit']} / MAPE in % of {name}, {test['detectors']} detectors, "
        f"{test['windows']:,} test windows ({_split(test)}), missing targets left out"
    )


def _split(test: dict) -> str:
    """How the windows were divided."""
    kind, options = test["split"]["class_path"].rpartition(".")[2], test["split"]["init_args"]
    if kind != "ShareSplit":
        return ", ".join([kind, *(f"{name} {value}" for name, value in options.items())])
    shares = (f"{100 * options[part]:.0f}" for part in ("train", "val", "test"))
    return f"{options['border']}, split {'/'.join(shares)}"


def _accuracy_note(report: dict) -> str:
    options = report["configuration"]
    trained = [result for result in report["results"] if "seed" in result]
    minutes = [result["fit_seconds"] / 60 for result in trained]
    stride = trained[0]["configuration"]["data"]["windows"]["stride"]
    windows = "all training windows" if stride == 1 else f"one in {stride} training windows"
    seeds = sorted({result["seed"] for result in trained})
    means = ", ".join(
        f"{name} {statistics.fmean(_mean_of_steps(run) for run in runs):.2f}"
        for name, runs in _by_name(report["results"]).items()
    )
    return (
        f"{_units(report['results'][0]['test'])}; mean of the seeds {listed(seeds)}, ± their "
        f"standard deviation{_fewer(trained, seeds)}. {options['epochs']} epochs over {windows} "
        f"({min(minutes):.0f} to {max(minutes):.0f} minutes a training, {options['jobs']} at a "
        "time), best validation epoch. The fastest epoch is given, with its validation, as other "
        "work slowed some. "
        f"{measured_on(report)} RMSE as the mean of the steps: {means}."
    )


def _fewer(trained: list[dict], seeds: list[int]) -> str:
    """What to say of models that have the first of several seeds alone."""
    counts = Counter(run["model"] for run in trained)
    single = len(seeds) > 1 and min(counts.values()) == 1
    return f" (without ±: seed {seeds[0]} alone)" if single else ""


def _mean_of_steps(run: dict) -> float:
    return next(iter(run["test"]["targets"].values()))["rmse_mean_of_steps"]
