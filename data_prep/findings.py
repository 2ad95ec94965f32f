"""What is wrong with an HDF5 file, judged and told from the findings of ``inspect_file``."""

import numpy as np

from data_prep.marks import NEVER_NEGATIVE, SHIFTED
from data_prep.report import enumerate_first, format_table

__all__ = ["describe", "format_findings", "judge"]

_POOLING_ADVICE = (
    "Training with social pooling would be refused. Mend them with 'python -m data_prep backfill "
    "FILE --detectors TABLE', or disable social pooling"
)
_MOST_NULL_VALUES = 5
_FEWEST_STEPS = 6  # training, validation and test, each with a step to read and one to forecast
_OCCUPANCIES = {"occupancy", "occ"}
_MOST = {"1": 1.0, "%": 100.0}  # by unit
_OTHER = {"1": "%", "%": "1"}


def format_findings(found: dict) -> str:
    """Findings of :func:`data_prep.inspect_file.inspect_file` as an aligned table."""
    rows = [("file", found["file"])]
    if "num_steps" in found:
        rows += describe(found)
    rows += [("problem", text) for text in found["problems"]]
    rows += [("warning", text) for text in found["warnings"]]
    rows.append(("verdict", "not fit for training" if found["problems"] else "fine"))
    return format_table(rows)


def describe(found: dict) -> list[tuple[str, str]]:
    """What is in a readable file, as topics and texts."""
    gaps, silent, near = found["gaps"], found["silent_steps"], found["neighbours"]
    positions = found["positions"]
    units = [f"{name} ({unit})" if unit else name for name, unit in found["features"].items()]
    worst = [
        f"{entry['vdid']} {entry['missing']:.1%}"
        for entry in found["worst_detectors"]
        if entry["missing"]
    ]
    missing = [f"{name} {share:.1%}" for name, share in found["missing"].items()]
    constant = [f"{len(ids)} in {name}" for name, ids in found["constant_detectors"].items() if ids]
    status = [f"{count} {name}" for name, count in positions["status"].items()]
    return [
        ("data set", found["dataset_name"] or "(no name)"),
        ("shape", f"{found['num_steps']} steps, {found['num_detectors']} detectors"),
        ("features", ", ".join(units)),
        ("time", f"{found['start']} to {found['end']}, zone {found['timezone']}"),
        ("interval", f"{found['interval_minutes']:g} minutes"),
        ("gaps", f"{gaps['count']}, longest {gaps['longest_steps']:g} steps"),
        ("silent steps", f"{silent['count']}, longest run {silent['longest_run']}"),
        *[("range", _describe_range(name, found)) for name in found["features"]],
        ("missing", ", ".join(missing)),
        ("most missing", ", ".join(worst) or "none"),
        ("constant", ", ".join(constant) or "none"),
        ("positions", ", ".join(status)),
        ("silent days", _describe_silent_days(found["silent_days"])),
        ("same position", f"{positions['sharing']} detectors share one with another"),
        ("far away", enumerate_first(positions["far"]) or "none"),
        (
            "neighbours",
            f"within {near['radius']:g} m: minimum {near['minimum']}, median {near['median']:g}, "
            f"maximum {near['maximum']}; {near['alone']} with none",
        ),
        ("road distances", _describe_edges(found["edges"])),
    ]


def _describe_silent_days(days: dict[str, int]) -> str:
    if not days:
        return "none"
    worst = max(days, key=days.__getitem__)
    return f"on {len(days)} days; most on {worst}, {days[worst]} detectors"


def _describe_mark(entry: dict) -> str:
    first = entry["first"]
    return (
        f"{entry['count']} readings of '{entry['feature']}' on {entry['days']} days are doubtful, "
        f"'{entry['reason']}' ({entry['meaning']}), in {len(entry['detectors'])} detectors, most "
        f"in {enumerate_first(entry['detectors'])}; first {_plain(first['value'])} in "
        f"{first['vdid']} at {first['time']}. 'python -m data_prep clean' masks them."
    )


def _describe_shift(shift: dict) -> str:
    since, until = shift["since"], shift["until"]
    days = " ".join([f"from {since} on"] * bool(since) + [f"before {until}"] * bool(until))
    return (
        f"The usual day of {shift['vdid']} is {abs(shift['minutes'])} minutes "
        f"{'later' if shift['minutes'] > 0 else 'earlier'} than it should be, {days or 'always'}, "
        "beside its other days and the other detectors. Is its clock right? 'python -m data_prep "
        f"clean' masks these readings with --reasons '{SHIFTED}'."
    )


def _describe_range(name: str, found: dict) -> str:
    span = found["ranges"][name]
    if span is None:
        return f"{name}: no reading"
    shown = {"minimum": "minimum", "low": "0.1 %", "median": "median", "high": "99.9 %"}
    parts = [f"{words} {span[key]:g}" for key, words in shown.items()]
    return f"{name}: {', '.join(parts)}, maximum {span['maximum']:g}"


def _describe_edges(edges: dict | None) -> str:
    if edges is None:
        return "none"
    return (
        f"{edges['count']} ways: shortest {edges['shortest']:.0f} m, median "
        f"{edges['median']:.0f} m, longest {edges['longest']:.0f} m"
    )


def _describe_outliers(entry: dict) -> str:
    values, first = [_plain(value) for value in entry["values"]], entry["first"]
    low, high = map(_plain, entry["others"])
    nulls = [f"{entry['feature']}={value}" for value in values]
    advice = (
        f"convert again with --null-value {' '.join(nulls)}, beside the numbers in use"
        if len(values) <= _MOST_NULL_VALUES
        else "empty their cells in the source and convert again"
    )
    return (
        f"{entry['count']} readings of '{entry['feature']}' ({entry['share']:.2%}) are "
        f"{enumerate_first(values)}, far outside the others ({low} to {high}), in detectors "
        f"{enumerate_first(entry['detectors'])}; first {_plain(first['value'])} in {first['vdid']} "
        f"at {first['time']}. If they are wrong or mean missing, {advice}."
    )


def _plain(value: float) -> str:
    """The shortest text that gives the same float32."""
    return np.format_float_positional(np.float32(value), trim="-")


def judge(found: dict, status: dict[str, str]) -> tuple[list[str], list[str]]:
    """Problems, for which training would be refused or learn nothing true, and warnings.

    Args:
        found: sections of the findings.
        status: detector to the status of its position, see ``schema.read_positions``.
    """
    problems, warnings = [], []
    for kind in ("none", "malformed", "nan", "out of range"):
        vdids = [vdid for vdid, value in status.items() if value == kind]
        if vdids:
            problems.append(
                f"{len(vdids)} detectors have positions of status '{kind}': "
                f"{enumerate_first(vdids)}. {_POOLING_ADVICE}."
            )
    missing, gaps = found["missing"], found["gaps"]
    if all(share == 1 for share in missing.values()):
        problems.append("All readings are missing. Check the null values of the conversion.")
    else:
        empty = [name for name, share in missing.items() if share == 1]
        problems.extend(
            f"Feature '{name}' has no reading at all. Leave it out of 'data.features'."
            for name in empty
        )
    for name, span in found["ranges"].items():
        if name in NEVER_NEGATIVE and span is not None and span["maximum"] < 0:
            problems.append(
                f"All readings of '{name}' are negative, {span['minimum']:g} to "
                f"{span['maximum']:g}, so that nothing true can be learnt from them. If they are "
                f"another feature, name it so; if they mean missing, leave '{name}' out."
            )
    if found["num_steps"] < _FEWEST_STEPS:
        problems.append(
            f"{found['num_steps']} steps are too few for training, validation and test, which take "
            f"{_FEWEST_STEPS} at least. Convert or append more readings."
        )
    if found["num_steps"] > 1 and not gaps["regular"]:
        problems.append("No two neighbouring times are 'interval_minutes' apart. Correct it.")
    return problems, warnings + _warnings(found)


def _warnings(found: dict) -> list[str]:
    positions, gaps = found["positions"], found["gaps"]
    listed = {
        "detectors have no reading at all": found["silent_detectors"],
        "detectors lie at 0, 0": positions["impossible"],
        "detectors lie far away": positions["far"],
    }
    texts = [
        f"{len(items)} {what}: {enumerate_first(items)}" for what, items in listed.items() if items
    ]
    texts += [_describe_outliers(entry) for entry in found["outliers"]]
    told_apart = ("negative", SHIFTED)
    texts += [_describe_mark(e) for e in found["marks"] if e["reason"] not in told_apart]
    texts += [
        f"From {change['day']} on the usual day is {abs(change['minutes'])} minutes "
        f"{'later' if change['minutes'] > 0 else 'earlier'} than before: was a clock changed, or "
        "not changed? Convert with the right --timezone."
        for change in found["clock_changes"]
    ]
    texts += [_describe_shift(shift) for shift in found["clock_shifts"]]
    texts += [
        f"{len(group)} detectors have the same readings throughout: {enumerate_first(group)}"
        for group in found["copies"]
    ]
    texts += [
        f"The usual day of {entry['vdid']} is unlike those beside it and like that of "
        f"{entry['other']}, {entry['metres'] / 1000:.1f} km away. Check its position and its id."
        for entry in found["resemblances"]
    ]
    told = {entry["feature"] for entry in found["outliers"]}
    for name, span in found["ranges"].items():
        if span is None:
            continue
        if name in NEVER_NEGATIVE - told and span["minimum"] < 0 <= span["maximum"]:
            texts.append(
                f"{name} has negative readings, down to {span['minimum']:g}. If they mean missing, "
                f"convert again with --null-value {name}={_plain(span['minimum'])}, beside the "
                "numbers in use."
            )
        unit = found["features"][name]
        if name in _OCCUPANCIES and span["high"] > _MOST.get(unit, np.inf):
            texts.append(
                f"{name} goes up to {span['maximum']:g}, and its unit {unit!r} up to "
                f"{_MOST[unit]:g}. If it is another quantity or unit, convert again with --unit "
                f"{name}={_OTHER[unit]} or whichever is right."
            )
    for name, vdids in found["constant_detectors"].items():
        if vdids:
            texts.append(f"{len(vdids)} detectors never change in {name}: {enumerate_first(vdids)}")
    if gaps["count"]:
        texts.append(f"The time axis lacks steps in {gaps['count']} places; windows avoid them.")
    if gaps["off_grid"]:
        texts.append(f"{gaps['off_grid']} distances of times are no multiple of the interval.")
    return texts
