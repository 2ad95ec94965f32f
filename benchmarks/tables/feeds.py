"""Tables of detector feeds: what samples hold, and what converting costs."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["feed_samples", "feeds"]


def feed_samples(report: dict) -> str:
    """Readings and means of each sample in its source and in the file."""
    rows = [
        [
            entry["sample"],
            entry["feature"],
            " x ".join(f"{size:,}" for size in entry["shape"]),
            *(f"{count:,}" for count in entry["count"]),
            *(f"{mean:.6g}" for mean in entry["mean"]),
        ]
        for entry in report["results"]
    ]
    heads = ["sample", "feature", "times x detectors", "readings before", "after", "mean before"]
    return markdown_table([*heads, "after"], rows)


def feeds(report: dict) -> str:
    """Seconds, those of the processor, and peak memory of each run."""
    rows = [
        [
            entry["name"],
            f"{entry['seconds']:.1f}",
            f"{entry['cpu_seconds']:.1f}" if "cpu_seconds" in entry else "",
            f"{entry['peak_mib']:,.0f}",
        ]
        for entry in report["results"]
    ]
    heads = ["source: what reads it", "seconds", "of the processor", "peak MiB"]
    table = markdown_table(heads, rows)
    return f"{table}\n\n{measured_on(report)}"
