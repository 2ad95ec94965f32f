"""Tables of detector feeds: what samples hold, what converting costs, which clocks are found."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["clock_shifts", "feed_samples", "feeds"]


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


def clock_shifts(report: dict) -> str:
    """Clocks told where none is late, and found of those that were made an hour late."""
    rows = [
        [
            entry["network"],
            f"{entry['days']} x {entry['detectors']}",
            str(entry["told_as_it_is"]),
            f"{entry['found_from_the_middle']} of {entry['shifted']}",
            f"{entry['found_throughout']} of {entry['shifted']}",
            str(entry["others_told"]),
        ]
        for entry in report["results"]
    ]
    heads = ["network", "days x detectors", "told as it is", "found, late from the middle on"]
    return markdown_table([*heads, "found, late throughout", "others told"], rows)


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
