"""Tables of intervals."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["calibration"]


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
    heads += ["congested", "free", "% of detectors near", "width", "interval score", "CRPS", "MAE"]
    first, options = report["results"][0], report["configuration"]
    note = (
        f"Coverage in % of {first['target']}, nominal 90; the rest in {first['unit']}. "
        f"A detector is near from 85 to 95 %; congested below 70 % of its 95th percentile. "
        f"{options['model']}, at the most {options['seconds']} seconds of training each. "
        f"{measured_on(report)}"
    )
    return markdown_table(["way", *heads], rows) + "\n\n" + note


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
