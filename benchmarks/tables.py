"""Markdown tables of result files, one function per question."""

import statistics
from collections.abc import Callable

__all__ = ["TABLES"]

_MINUTES = (15, 30, 45, 60)


def accuracy(report: dict) -> str:
    """Errors and cost of each model, as means over the seeds."""
    rows = []
    for name, runs in _by_name(report["results"]).items():
        rows.append([name, *_errors(runs), f"{runs[0]['parameters']:,}", _fastest_epoch(runs)])
    heads = [*_error_heads(), "parameters", "s/epoch"]
    return _table(["model", *heads], rows) + "\n\n" + _accuracy_note(report)


def peers(report: dict) -> str:
    """Errors of each model after the same time of training, or why there are none."""
    rows = []
    for name, runs in _by_name(report["results"]).items():
        package = runs[0].get("package", "")
        failed = [run["error"] for run in runs if "error" in run]
        runs = [run for run in runs if "error" not in run]
        if not runs:
            rows.append([name, package, f"did not run: {_last_line(failed[0])}", *[""] * 7])
            continue
        versions = runs[0].get("versions", {})
        package = ", ".join(f"{name} {version}" for name, version in versions.items()) or package
        cost = [
            f"{runs[0]['parameters']:,}",
            _mean(runs, "windows_per_second", "{:.0f}"),
            _mean(runs, "peak_memory_mib", "{:,.0f}"),
        ]
        rows.append([name, package, *_errors(runs), *cost])
    heads = [*_error_heads(), "parameters", "windows/s", "peak MiB"]
    options = report["configuration"]
    note = (
        f"{_units(report['results'][0]['test'])}. {options['budget']:g} seconds of training steps "
        f"each; seed {_listed(options['seeds'])}. {_environment(report)}"
    )
    return _table(["model", "package", *heads], rows) + "\n\n" + note


def shared_vs_distributed(report: dict) -> str:
    """Cost of each form by number of detectors, and how it grows."""
    shared = {e["nodes"]: e for e in report["results"] if e["form"] == "shared"}
    rows = []
    for entry in report["results"]:
        step, forward = entry.get("training_step"), entry.get("forward")
        times = shared[entry["nodes"]]
        rows.append(
            [
                f"{entry['nodes']:,} ({entry.get('source', '')})",
                f"{entry['edges'] / entry['nodes']:.0f}" if "edges" in entry else "",
                entry["form"],
                _milliseconds(step) if step else _last_line(entry.get("error", "")),
                _ratio(step, times.get("training_step")),
                _milliseconds(forward),
                _ratio(forward, times.get("forward")),
                _number(entry, "peak_memory_mib", "{:,.0f}"),
                _number(entry, "parameters", "{:,}"),
                _number(entry, "optimizer_mib", "{:,.1f}"),
                _number(entry, "startup_seconds", "{:.2f}"),
                *([_number(entry, "launches", "{:,}")] if _on_gpu(report) else []),
                *([_number(entry, "utilisation", "{:.0%}")] if _on_gpu(report) else []),
            ]
        )
    heads = [
        *(
            "detectors (data)",
            "neighbours",
            "form",
            "training step, ms",
            "over shared",
            "forward, ms",
        ),
        *("over shared", "peak MiB", "parameters", "optimiser MiB", "start-up s"),
        *(["kernels", "busy"] if _on_gpu(report) else []),
    ]
    options = report["configuration"]
    note = (
        f"Median [quartiles] of {options['repeats']} rounds in turn; batch "
        f"{options['batch_size']}, 12 steps in and out, width {options['hidden_channels']}, "
        f"2 blocks, {options['aggr']} pooling. {_environment(report)}"
    )
    return "\n\n".join([_table(heads, rows), note, _growth_table(report)])


def data_loading(report: dict) -> str:
    """Windows per second and memory of each way of making batches."""
    rows = []
    for entry in report["results"]:
        label = [f"{entry['data']}, {entry['nodes']:,} detectors", entry["way"], entry["workers"]]
        if "left_out" in entry:
            rows.append([*label, f"left out: {entry['left_out']}", "", "", "", ""])
            continue
        rows.append(
            [
                *label,
                _rate(entry["windows_per_second"], digits=0),
                f"{entry['setup_seconds']['median']:.2f}",
                *(f"{entry[n]:,.0f}" for n in ("setup_peak_mib", "held_mib", "loading_peak_mib")),
            ]
        )
    heads = [
        *("data", "way", "workers", "windows/s", "set-up s"),
        *("peak MiB of set-up", "MiB held", "peak MiB of loading"),
    ]
    options = report["configuration"]
    note = (
        f"Median [quartiles] of {options['repeats']} epochs in turn, batch "
        f"{options['batch_size']}, {options['window']} steps in and out. {_environment(report)}"
    )
    return _table(heads, rows) + "\n\n" + note


def graph_building(report: dict) -> str:
    """Time and memory of each way of building the radius graph."""
    keys = dict.fromkeys((e["data"], e.get("degree"), e["nodes"]) for e in report["results"])
    ways = list(dict.fromkeys(entry["way"] for entry in report["results"]))
    rows = []
    for key in keys:
        own = [e for e in report["results"] if (e["data"], e.get("degree"), e["nodes"]) == key]
        cells = [_graph_cell(next(e for e in own if e["way"] == way)) for way in ways]
        rows.append([key[0], f"{key[2]:,}", f"{own[0]['edges'] / key[2]:.1f}", *cells])
    heads = ["data", "detectors", "neighbours", *(f"{way}, ms / MiB" for way in ways)]
    grown = ", ".join(
        f"{fit['way']} {fit['exponent']:.2f} ({fit['degree']:g} neighbours)"
        for fit in report["configuration"]["growth"]
        if fit["quantity"] == "seconds"
    )
    errors = dict.fromkeys(e["error"] for e in report["results"] if "error" in e)
    note = (
        f"Median time and peak memory; radius {report['configuration']['radius']:g} m. Exponents "
        f"of the growth of time: {grown}. {_environment(report)} "
        + " ".join(f"Did not run: {error.splitlines()[0]}" for error in errors)
    )
    return _table(heads, rows) + "\n\n" + note.strip()


def plan(report: dict) -> str:
    """Predicted and measured peak memory."""
    rows = []
    for entry in report["results"]:
        options = [f"width {entry['hidden_channels']}", f"{entry['num_blocks']} blocks"]
        options += ["checkpointing"] if entry["gradient_checkpointing"] else []
        options += [] if entry["precision"] == "float32" else [entry["precision"]]
        resident = entry["resident_mib"]
        rows.append(
            [
                entry["form"],
                f"{entry['nodes']:,}",
                f"{entry['batch_size']} × {entry['window']}",
                f"{entry['aggr']}, " + ", ".join(options),
                *(f"{entry[name]:,.0f}" for name in ("predicted_mib", "measured_mib")),
                f"{entry['ratio']:.2f}",
                f"{resident:,.0f}" if resident else "",
            ]
        )
    heads = [
        *("form", "detectors", "batch × steps", "model", "predicted MiB", "measured MiB"),
        *("ratio", "measured MiB, usual allocator"),
    ]
    return _table(heads, rows) + "\n\n" + _environment(report)


def batch_size(report: dict) -> str:
    """Training windows per second by batch size and way of training."""
    ways = list(dict.fromkeys(entry["way"] for entry in report["results"]))
    rows = []
    for size in dict.fromkeys(entry["batch_size"] for entry in report["results"]):
        own = {e["way"]: e for e in report["results"] if e["batch_size"] == size}
        rows.append([size, *(_rate(own[way]["windows_per_second"]) for way in ways)])
    first = report["results"][0]
    note = (
        f"Windows/s in training, median [quartiles] of {report['configuration']['repeats']} rounds "
        f"in turn; {first['nodes']} detectors ({first['source']}), width "
        f"{first['hidden_channels']}, attention. {_environment(report)}"
    )
    return _table(["windows per batch", *ways], rows) + "\n\n" + note


def pooling(report: dict) -> str:
    """Time and memory of social pooling over the layers of PyG, by shape."""
    groups = {}
    for entry in report["results"]:
        key = tuple(entry[name] for name in ("nodes", "degree", "windows"))
        groups.setdefault(key, {})[entry["way"]] = entry
    kinds = {
        "Attention": ("social", "social_fixed", ("GATConv", "GATv2Conv", "TransformerConv")),
        "Mean": ("social_mean", "social_mean_fixed", ("SAGEConv",)),
    }
    others = {"Attention": ("dense", "loop"), "Mean": ("loop_mean",)}
    parts = []
    for kind, (social, fixed, peers) in kinds.items():
        rows = [
            _pooling_row(key, own, (social, fixed), peers, others[kind])
            for key, own in groups.items()
        ]
        heads = [
            *("detectors", "neighbours", "windows", "forward, ms", "of PyG", "fixed"),
            *("training, ms", "of PyG", "fixed", "peak MiB", "of PyG", "fixed"),
            *(f"{name} forward / training" for name in others[kind]),
            "forward over floor",
        ]
        aim = "0.7 in time and memory" if kind == "Attention" else "1 in time"
        parts += [f"{kind} (aim: at most {aim} of the fastest of {', '.join(peers)}):"]
        parts += [_table(heads, rows)]
    rates = report["configuration"]["rates"]
    note = (
        "Medians in turn. *of PyG*: the ratio to its fastest; *fixed*: the same for a hard radius; "
        "the others are ratios of theirs to social. Copying runs at "
        f"{rates['bytes_per_second'] / 1e9:.1f} GB/s, matrix products at "
        f"{rates['operations_per_second'] / 1e9:.0f} Gflop/s. {_environment(report)}"
    )
    return "\n\n".join([*parts, note])


def encoder(report: dict) -> str:
    """Time and memory of the encoder over the package's, by shape."""
    groups = {}
    for entry in report["results"]:
        key = tuple(entry[name] for name in ("width", "blocks", "slstm", "steps", "rows"))
        groups.setdefault(key, {})[entry["way"]] = entry
    rows = []
    for (width, blocks, slstm, steps, count), own in groups.items():
        package, fused, compiled = own["package"], own["fused"], own.get("compiled", {})
        row = [width, f"{blocks}{' with sLSTM' if slstm else ''}", steps, f"{count:,}"]
        for kind in ("forward", "training"):
            row.append(_milliseconds(fused[kind]))
            row += [
                f"{package[kind]['median'] / way[kind]['median']:.1f}"
                if kind in way and kind in package
                else ""
                for way in (fused, compiled)
            ]
        memory = [way.get("peak_memory_mib") for way in (fused, package)]
        row.append(f"{memory[0] / memory[1]:.2f}" if all(memory) else "")
        row.append(f"{fused['forward']['median'] / fused['floor_seconds']:.1f}")
        rows.append([*row, package.get("left_out", "")])
    heads = [
        *("width", "blocks", "steps", "rows"),
        *("forward, ms", "times as fast", "compiled"),
        *("training, ms", "times as fast", "compiled"),
        *("peak memory, of the package's", "forward over floor", "package"),
    ]
    warm = [e["training_warm_up"] for e in report["results"] if e["way"] == "compiled"]
    note = f"Medians [quartiles] of {report['configuration']['repeats']} rounds in turn. "
    if warm:
        note += f"The first compiled step took {min(warm):.0f} to {max(warm):.0f} s. "
    return _table(heads, rows) + "\n\n" + note + _environment(report)


def streaming(report: dict) -> str:
    """Milliseconds per reading, from a state and over windows."""
    rows = []
    for nodes in dict.fromkeys(entry["nodes"] for entry in report["results"]):
        own = {e["way"]: e for e in report["results"] if e["nodes"] == nodes}
        step = own.pop("step")
        row = [f"{nodes:,}", _milliseconds(step["seconds"], 1), f"{step['state_mib']:,.1f}"]
        for entry in own.values():
            row += [_milliseconds(entry["seconds"], 1), _ratio(entry["seconds"], step["seconds"])]
        rows.append(row)
    windows = [
        head
        for length in report["configuration"]["windows"]
        for head in (f"window of {length}, ms", "over a step")
    ]
    note = (
        f"Median [quartiles] of {report['configuration']['repeats']} rounds in turn; width "
        f"{report['configuration']['hidden_channels']}, 2 blocks, attention. "
        f"{_environment(report)}"
    )
    heads = ["detectors", "step, ms", "state, MiB", *windows]
    return _table(heads, rows) + "\n\n" + note


def _pooling_row(
    key: tuple, own: dict[str, dict], socials: tuple[str, str], peers: tuple, others: tuple
) -> list[str]:
    """Ratios of one shape; those to PyG are to the best of its layers in each quantity."""
    values = {
        "forward": lambda e: e["forward"]["median"],
        "training": lambda e: e["training"]["median"],
        "memory": lambda e: e["peak_memory_mib"],
    }
    social = own[socials[0]]
    row = [f"{key[0]:,}", f"{social['edges'] / key[0]:.0f}", str(key[2])]
    for name, value in values.items():
        best = min(value(own[peer]) for peer in peers if "error" not in own[peer])
        scale, digits = (1, 1) if name == "memory" else (1e3, 2)
        row.append(f"{scale * value(social):,.{digits}f}")
        for way in socials:
            row.append(f"{value(own[way]) / best:.2f}" if best > 0 else "")
    for way in others:
        ratios = [
            f"{values[name](own[way]) / values[name](social):,.1f}"
            for name in ("forward", "training")
            if "error" not in own[way]
        ]
        row.append(" / ".join(ratios) or _last_line(own[way]["error"]))
    return [*row, f"{values['forward'](social) / social['floor_seconds']:.1f}"]


TABLES: dict[str, Callable[[dict], str]] = {
    function.__name__: function
    for function in (
        *(accuracy, peers, shared_vs_distributed, data_loading, graph_building, plan),
        *(batch_size, pooling, encoder, streaming),
    )
}


def _table(heads: list[str], rows: list[list]) -> str:
    numeric = [head not in ("model", "package", "form", "data", "way") for head in heads]
    lines = [heads, ["---:" if right else "---" for right in numeric], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _by_name(results: list[dict]) -> dict[str, list[dict]]:
    """Runs of a model with all its seeds."""
    groups = {}
    for result in results:
        groups.setdefault(result["model"], []).append(result)
    return {_with_radius(name, runs): runs for name, runs in groups.items()}


def _last_line(error: str) -> str:
    return error.strip().splitlines()[-1].replace("|", "/") if error.strip() else ""


def _with_radius(name: str, runs: list[dict]) -> str:
    if not runs[0].get("radius"):
        return name
    options = runs[0]["configuration"]["model"]["network"]["init_args"]["pooling"]["init_args"]
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


def _fastest_epoch(runs: list[dict]) -> str:
    epochs = [seconds for run in runs for seconds in run.get("epoch_seconds", [])]
    return f"{min(epochs):.0f}" if epochs else ""


def _mean(runs: list[dict], name: str, form: str) -> str:
    known = [run[name] for run in runs if run.get(name)]
    return form.format(statistics.fmean(known)) if known else ""


def _units(test: dict) -> str:
    name, target = next(iter(test["targets"].items()))
    shares = "/".join(f"{100 * share:.0f}" for share in test["split"])
    return (
        f"MAE / RMSE in {target['unit']} / MAPE in % of {name}, {test['detectors']} detectors, "
        f"{test['windows']:,} test windows ({test['border']}, split {shares}), missing targets "
        "left out"
    )


def _accuracy_note(report: dict) -> str:
    options = report["configuration"]
    trained = [result for result in report["results"] if "seed" in result]
    minutes = [result["fit_seconds"] / 60 for result in trained]
    stride = trained[0]["configuration"]["data"]["stride"]
    windows = "all training windows" if stride == 1 else f"one in {stride} training windows"
    seeds = options["seeds"]
    means = ", ".join(
        f"{name} {statistics.fmean(_mean_of_steps(run) for run in runs):.2f}"
        for name, runs in _by_name(report["results"]).items()
    )
    return (
        f"{_units(report['results'][0]['test'])}; mean of the seeds {_listed(seeds)}, ± their "
        f"standard deviation. {options['epochs']} epochs over {windows} ({min(minutes):.0f} to "
        f"{max(minutes):.0f} minutes a training, {options['jobs']} at a time), best validation "
        "epoch. The fastest epoch is given, with its validation, as other work slowed some. "
        f"{_environment(report)} RMSE as the mean of the steps: {means}."
    )


def _mean_of_steps(run: dict) -> float:
    return next(iter(run["test"]["targets"].values()))["rmse_mean_of_steps"]


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))


def _environment(report: dict) -> str:
    environment = report["environment"]
    threads = environment["threads"]
    machine = f"{threads} thread{'s' if threads > 1 else ''} of {environment['processor']}"
    if report["configuration"].get("device") == "cuda":
        machine = environment["gpu"]
    dirty = " with changes" if environment["dirty"] else ""
    return (
        f"{machine}, torch {environment['versions']['torch']}, commit "
        f"{environment['commit'][:8]}{dirty}. `{report['command']}`"
    )


def _on_gpu(report: dict) -> bool:
    return report["configuration"]["device"] == "cuda"


def _milliseconds(times: dict | None, digits: int = 0) -> str:
    if times is None:
        return ""
    low, middle, high = (
        1e3 * x for x in (times["quartiles"][0], times["median"], times["quartiles"][1])
    )
    return f"{middle:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def _rate(rate: dict, digits: int = 1) -> str:
    low, high = rate["quartiles"]
    return f"{rate['median']:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def _ratio(times: dict | None, others: dict | None) -> str:
    return f"{times['median'] / others['median']:.2f}" if times and others else ""


def _number(entry: dict, name: str, form: str) -> str:
    return form.format(entry[name]) if name in entry else ""


def _growth_table(report: dict) -> str:
    fits = report["configuration"]["growth"]
    quantities = list(dict.fromkeys(fit["quantity"] for fit in fits))
    rows = []
    for form in dict.fromkeys(fit["form"] for fit in fits):
        own = {fit["quantity"]: fit for fit in fits if fit["form"] == form}
        rows.append(
            [form]
            + [
                f"{own[q]['exponent']:z.2f} / {own[q]['tail_exponent']:z.2f}" if q in own else ""
                for q in quantities
            ]
        )
    table = _table(["form", *(q.replace("_", " ") for q in quantities)], rows).replace(
        "-0.00", "0.00"
    )
    return f"Exponents of growth in N, over all sizes / between the last two:\n\n{table}"


def _graph_cell(entry: dict) -> str:
    if "seconds" in entry:
        return f"{1e3 * entry['seconds']['median']:,.1f} / {entry['peak_memory_mib']:,.0f}"
    return (
        "left out: " + entry["left_out"].split(", limit")[0]
        if "left_out" in entry
        else "did not run"
    )
