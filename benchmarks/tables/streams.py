"""Tables of what streams forecast: their memory, and a usual day that goes on."""

import statistics

from benchmarks.tables.cells import listed, markdown_table, measured_on, milliseconds

__all__ = ["kept_stream", "profile_drift", "stream_accuracy"]

_WAYS = ("windows", "window stream", "state stream")


def stream_accuracy(report: dict) -> str:
    """MAE of windows and streams, by training: mean over the seeds, with the range."""
    configuration = report["configuration"]
    rows = []
    for training in dict.fromkeys(entry["training"] for entry in report["results"]):
        own = [entry for entry in report["results"] if entry["training"] == training]
        cells = [_mean_and_range([e["mae"][way] for e in own if way in e["mae"]]) for way in _WAYS]
        rows.append([training, *cells, listed([e["seed"] for e in own])])
    heads = ["model", "test, windows", *_WAYS[1:], "seeds"]
    note = (
        f"MAE of {configuration['profile']} over all steps, mean [range] over the seeds; "
        f"{configuration['epochs']} epochs of every {configuration['stride']}th window in batches "
        f"of {configuration['batch_size']}. "
        f"{measured_on(report)}"
    )
    return markdown_table(heads, rows) + "\n\n" + note


def profile_drift(report: dict) -> str:
    """MAE of a stream by half-life of its usual day, and by year if there are some."""
    results, configuration = report["results"], report["configuration"]
    years = sorted({month[:4] for month in results[0]["by_month"]})
    years = years if len(years) > 1 else []
    rows = []
    for entry in results:
        half_life = entry["half_life_days"]
        off = _change(entry["mae"], results[0]["mae"]) if half_life else ""
        name = f"{half_life:g} days" if half_life else "as trained"
        cells = [f"{_mae_of(entry, year):.2f}" for year in years]
        rows.append([name, f"{entry['mae']:.2f}", off, *cells])
    begin, end = (configuration[name][:10] for name in ("train_start", "train_end"))
    note = (
        f"MAE in {configuration['unit']} over all steps; trained on {begin} to {end}, and streamed "
        f"from there; one reading in {configuration['every']} is scored. {measured_on(report)}"
    )
    return markdown_table(["half-life", "MAE", "change", *years], rows) + "\n\n" + note


def kept_stream(report: dict) -> str:
    """What ``socialgraph stream`` takes for a reading, in its parts."""
    names = {"line": "its line", "forecast": "forecast", "file": "file", "total": "**all told**"}
    names |= {"csv": "and as CSV"}
    rows = [
        [
            f"{entry['nodes']:,}",
            entry["memory"],
            *(milliseconds(entry[name], 1) for name in names),
            f"{1e3 * entry['longest']:,.0f}",
            f"{entry['kib_per_reading']:,.0f}",
            f"{entry['peak_memory_mib']:,.0f}",
        ]
        for entry in report["results"]
    ]
    heads = ["detectors", "way", *(f"{text}, ms" for text in names.values())]
    heads += ["longest, ms", "disk, KiB a reading", "peak MiB"]
    note = f"Median [quartiles] of {report['configuration']['repeats']} readings. "
    return markdown_table(heads, rows) + "\n\n" + note + measured_on(report)


def _mean_and_range(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def _mae_of(entry: dict, year: str) -> float:
    own = [sums for month, sums in entry["by_month"].items() if month.startswith(year)]
    return sum(total for total, _ in own) / sum(count for _, count in own)


def _change(value: float, base: float) -> str:
    return f"{100 * (value / base - 1):+.1f} %"
