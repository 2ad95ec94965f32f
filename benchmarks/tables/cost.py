"""Tables of what training, loading, the graph and memory cost."""

from benchmarks.tables.cells import (
    last_line,
    markdown_table,
    measured_on,
    milliseconds,
    number,
    on_gpu,
    rate,
    ratio,
)

__all__ = [
    "batch_size",
    "data_loading",
    "graph_building",
    "pages",
    "plan",
    "runtime",
    "shared_vs_distributed",
]


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
                milliseconds(step) if step else last_line(entry.get("error", "")),
                ratio(step, times.get("training_step")),
                milliseconds(forward),
                ratio(forward, times.get("forward")),
                number(entry, "peak_memory_mib", "{:,.0f}"),
                number(entry, "parameters", "{:,}"),
                number(entry, "optimizer_mib", "{:,.1f}"),
                number(entry, "startup_seconds", "{:.2f}"),
                *([number(entry, "launches", "{:,}")] if on_gpu(report) else []),
                *([number(entry, "utilisation", "{:.0%}")] if on_gpu(report) else []),
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
        *(["kernels", "busy"] if on_gpu(report) else []),
    ]
    options = report["configuration"]
    note = (
        f"Median [quartiles] of {options['repeats']} rounds in turn; batch "
        f"{options['batch_size']}, 12 steps in and out, width {options['hidden_channels']}, "
        f"2 blocks, {options['aggr']} pooling. {measured_on(report)}"
    )
    return "\n\n".join([markdown_table(heads, rows), note, _growth_table(report)])


def batch_size(report: dict) -> str:
    """Training windows per second by batch size and way of training."""
    ways = list(dict.fromkeys(entry["way"] for entry in report["results"]))
    rows = []
    for size in dict.fromkeys(entry["batch_size"] for entry in report["results"]):
        own = {e["way"]: e for e in report["results"] if e["batch_size"] == size}
        rows.append([size, *(rate(own[way]["windows_per_second"]) for way in ways)])
    first = report["results"][0]
    note = (
        f"Windows/s in training, median [quartiles] of {report['configuration']['repeats']} rounds "
        f"in turn; {first['nodes']} detectors ({first['source']}), width "
        f"{first['hidden_channels']}, attention. {measured_on(report)}"
    )
    return markdown_table(["windows per batch", *ways], rows) + "\n\n" + note


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
                rate(entry["windows_per_second"], digits=0),
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
        f"{options['batch_size']}, {options['window']} steps in and out. {measured_on(report)}"
    )
    return markdown_table(heads, rows) + "\n\n" + note


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
        f"of the growth of time: {grown}. {measured_on(report)} "
        + " ".join(f"Did not run: {error.splitlines()[0]}" for error in errors)
    )
    return markdown_table(heads, rows) + "\n\n" + note.strip()


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
    return markdown_table(heads, rows) + "\n\n" + measured_on(report)


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
    table = markdown_table(["form", *(q.replace("_", " ") for q in quantities)], rows).replace(
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


def runtime(report: dict) -> str:
    """Starts, and milliseconds of a forecast by each way with its distance from PyTorch's."""
    starts = [e for e in report["results"] if "start_seconds" in e]
    forecasts = [e for e in report["results"] if "seconds" in e]
    rows = [
        [
            entry["way"],
            f"{entry['start_seconds']['median']:.1f}",
            f"{entry['peak_memory_mib']:,.0f}",
            f"{entry['file_mib']:.1f}",
        ]
        for entry in starts
    ]
    start = markdown_table(["from nothing to a forecast", "s", "peak MiB", "file, MiB"], rows)
    nodes = list(dict.fromkeys(entry["nodes"] for entry in forecasts))
    rows = []
    for way in dict.fromkeys(entry["way"] for entry in forecasts):
        own = [e for e in forecasts if e["way"] == way]
        apart = max(e["largest_difference"] for e in own)
        rows.append([way, *(milliseconds(e["seconds"], 1) for e in own), f"{apart:.1e}"])
    heads = ["forecast", *(f"{n:,} detectors, ms" for n in nodes), "farthest from torch"]
    note = (
        f"Median [quartiles] of {report['configuration']['repeats']} rounds in turn, one window; "
        f"the distance in the unit of the target. {measured_on(report)}"
    )
    return "\n\n".join([start, markdown_table(heads, rows), note])


def pages(report: dict) -> str:
    """Seconds, memory and size of a report, and how much it looks at."""
    rows = [
        [
            f"{entry['nodes']:,}",
            f"{entry['seconds']:.1f}",
            f"{entry['cpu_seconds']:.1f}",
            f"{entry['peak_memory_mib']:,.0f}",
            f"{entry['megabytes']:.1f}",
            f"{entry['windows']:,}" if entry["every"] == 1 else f"1 in {entry['every']}",
            f"{entry['details']:,}",
            f"{entry['gradients']:,}",
        ]
        for entry in report["results"]
    ]
    heads = ["detectors", "s", "CPU s", "peak MiB", "page, MB", "test windows", "opened"]
    note = f"A week of each, with imports. {measured_on(report)}"
    return markdown_table([*heads, "with gradients"], rows) + "\n\n" + note
