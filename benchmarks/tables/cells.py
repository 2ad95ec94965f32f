"""Tables, cells and notes that the tables of all questions are made of."""

import re

__all__ = [
    "last_line",
    "listed",
    "markdown_table",
    "measured_on",
    "milliseconds",
    "number",
    "on_gpu",
    "rate",
    "ratio",
]


def markdown_table(heads: list[str], rows: list[list]) -> str:
    """Rows under their heads; columns of words to the left, of numbers to the right."""
    words = ("model", "package", "form", "data", "way", "half-life")
    numeric = [head not in words for head in heads]
    lines = [heads, ["---:" if right else "---" for right in numeric], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def milliseconds(times: dict | None, digits: int = 0) -> str:
    """Median [quartiles] of a summary in seconds."""
    if times is None:
        return ""
    low, middle, high = (
        1e3 * x for x in (times["quartiles"][0], times["median"], times["quartiles"][1])
    )
    return f"{middle:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def rate(rates: dict, digits: int = 1) -> str:
    """Median [quartiles] of a summary per second."""
    low, high = rates["quartiles"]
    return f"{rates['median']:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def ratio(times: dict | None, others: dict | None) -> str:
    """Median of one summary over that of another."""
    return f"{times['median'] / others['median']:.2f}" if times and others else ""


def number(entry: dict, name: str, form: str) -> str:
    """Entry in a form, if it is there."""
    return form.format(entry[name]) if name in entry else ""


def listed(seeds: list[int]) -> str:
    """Seeds with commas."""
    return ", ".join(map(str, seeds))


def last_line(error: str) -> str:
    """Last line of an error, as a cell."""
    return error.strip().splitlines()[-1].replace("|", "/") if error.strip() else ""


def measured_on(report: dict) -> str:
    """Machine, versions, commit and command of a report."""
    environment = report["environment"]
    threads = environment["threads"]
    machine = f"{threads} thread{'s' if threads > 1 else ''} of {environment['processor']}"
    if report["configuration"].get("device") == "cuda":
        machine = environment["gpu"]
    dirty = " with changes" if environment["dirty"] else ""
    command = re.sub(r" --output \S+", "", report["command"])
    commit = f"commit {environment['commit'][:8]}{dirty}" if environment["commit"] else "no commit"
    return f"{machine}, torch {environment['versions']['torch']}, {commit}. `{command}`"


def on_gpu(report: dict) -> bool:
    """Whether a report was measured on a GPU."""
    return report["configuration"]["device"] == "cuda"
