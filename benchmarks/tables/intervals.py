"""Tables of intervals."""

import statistics
from collections import Counter

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["alarms", "calibration"]


def calibration(report: dict) -> str:
    """Coverage of intervals of nominal 90 % in percent, and what they cost."""
    rows = []
    for entry in report["results"]:
        steps = entry["by_step"]
        hours = [hour for hour in entry["by_hour"] if hour is not None]
        detectors = [own for own in entry["by_detector"] if own is not None]
        near = sum(abs(own - 0.9) < 0.05 for own in detectors) / len(detectors)
        rows.append(
            [
                entry["way"],
                f"**{_percent(entry['coverage'])}**",
                *(_percent(steps[len(steps) * k // 4 - 1]) for k in (1, 2, 4)),
                f"{_percent(min(hours))} to {_percent(max(hours))}",
                _percent(entry["congested"]["coverage"]),
                _percent(entry["free"]["coverage"]),
                f"{100 * near:.0f}",
                f"{entry['width']:.2f}",
                f"{entry['interval_score']:.2f}",
                f"{entry['crps']:.3f}",
                f"{entry['mae']:.3f}",
            ]
        )
    heads = ["all", "1st quarter", "half", "last step", "hours, worst to best"]
    heads += ["below 70 %", "above", "% of detectors near"]
    heads += ["width", "interval score", "CRPS", "MAE"]
    first, options = report["results"][0], report["configuration"]
    note = (
        f"Coverage in % of {first['target']}, nominal 90; the rest in {first['unit']}. Below and "
        "above 70 % of the 95th percentile of the detector was its last reading. A detector is "
        f"near from 85 to 95 %. {options['model']}, at the most {options['seconds']} seconds of "
        f"training each. {measured_on(report)}"
    )
    parts = markdown_table(["way", *heads], rows), _by_hour(report["results"]), note
    return "\n\n".join(parts)


def _by_hour(results: list[dict]) -> str:
    """Coverage by the local hour of the target, the mean of three hours."""
    firsts = range(0, 24, 3)
    rows = []
    for entry in results:
        blocks = [entry["by_hour"][first : first + 3] for first in firsts]
        known = [[share for share in block if share is not None] for block in blocks]
        means = [sum(block) / len(block) if block else None for block in known]
        rows.append([entry["way"], *map(_percent, means)])
    heads = [f"{first} to {first + 3} o'clock" for first in firsts]
    return markdown_table(["way", *heads], rows)


def alarms(report: dict) -> str:
    """False alarms by detector and day, and which faults are told how soon."""
    results = report["results"]
    rates = [entry["rate"] for entry in results if entry["fault"] is None]
    rows = [["accepted, of readings outside", *(f"{0.8 * rate:g}" for rate in rates)]]
    quiet = [entry for entry in results if entry["fault"] is None]
    told = [
        sum(number for kind, number in e["alarms"].items() if kind not in ("silent", "stuck"))
        for e in quiet
    ]
    days = quiet[0]["detector_days"]
    rows.append(["told, on quiet weeks", *(f"{count / days:.3f} ({count})" for count in told)])
    for fault in dict.fromkeys(entry["fault"] for entry in results if entry["fault"]):
        own = {entry["rate"]: entry["found"] for entry in results if entry["fault"] == fault}
        rows.append([fault, *(_found(own[rate]) for rate in rates)])
    options = report["configuration"]
    note = (
        f"Above: false alarms by detector and day. Below: faults of two days that are told, "
        f"the median delay, and as what most often. {days:,.0f} detector days, simulated; "
        f"{options['model']}. {measured_on(report)}"
    )
    heads = [f"{rate:g} a day" for rate in rates]
    return markdown_table(["way", *heads], rows) + "\n\n" + note


def _found(faults: list[dict]) -> str:
    told = [fault for fault in faults if fault["kind"] is not None]
    if not told:
        return f"0 of {len(faults)}"
    hours = statistics.median(fault["hours"] for fault in told)
    kind, _ = Counter(fault["kind"] for fault in told).most_common(1)[0]
    return f"{len(told)} of {len(faults)}, {hours:.1f} h, {kind}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
