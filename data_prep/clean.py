"""The readings that a report doubts, masked in a copy of the file."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np

from data_prep.marks import REASONS, SHIFTED
from data_prep.report import Report
from data_prep.scan import mark_days, scan_file
from socialgraph import schema
from socialgraph.atomic import refuse_replacing, replacing
from socialgraph.calendar import format_local
from socialgraph.series import TrafficSeries

__all__ = ["clean"]


def clean(
    path: str | Path,
    out: str | Path,
    reasons: Sequence[str] | None = None,
    account: str | Path | None = None,
    overwrite: bool = False,
) -> Report:
    """Copy a file without the readings that cannot be right; they are NaN in the copy.

    Args:
        path: file in the layout of :mod:`socialgraph.schema`, which stays as it is.
        out: the copy.
        reasons: of :data:`data_prep.marks.REASONS`; None for all but a shifted clock, for which all
            readings of a detector would go.
        account: CSV of ``time, detector, feature, value, reason`` of each masked reading; None for
            ``out`` with ``.masked.csv`` in place of ``.h5``.
        overwrite: whether an account that exists is replaced.

    Returns:
        How many were masked, by reason.

    Raises:
        FileNotFoundError, SchemaError: if there is no such file, or it is damaged.
        ValueError: if there is no such reason, the copy or the account would replace the file, or
            there is such an account.
    """
    usual = [reason for reason in REASONS if reason != SHIFTED]
    chosen = usual if reasons is None else list(dict.fromkeys(reasons))
    unknown = [reason for reason in chosen if reason not in REASONS]
    if unknown:
        raise ValueError(f"Expected --reasons of {list(REASONS)} (got {unknown}).")
    name = Path(out).name.removesuffix(".h5")
    listed = Path(account) if account else Path(out).with_name(f"{name}.masked.csv")
    refuse_replacing(out, path)
    refuse_replacing(listed, path, out)
    if listed.exists() and not overwrite:
        raise ValueError(f"'{listed}' exists. Set --overwrite to replace it, or set --account.")
    outline = schema.read_outline(path)
    counts: Counter[str] = Counter()
    missing = f"{outline.missing}; masked by data_prep clean: {', '.join(chosen)}"
    with replacing(listed) as temporary, open(temporary, "w", encoding="utf-8", newline="") as text:
        parts = _masked(path, outline, chosen, text, counts)
        schema.write_parts(out, replace(outline, missing=missing), parts, overwrite)
        text.flush()
    report = Report()
    for reason in chosen:
        report.add(reason, f"{counts[reason]} readings")
    report.add("masked", f"{sum(counts.values())} of {outline.values.size}, listed in '{listed}'")
    report.add("written", f"'{out}'")
    return report


def _masked(
    path: str | Path,
    outline: TrafficSeries,
    reasons: list[str],
    text: TextIO,
    counts: Counter,
) -> Iterator[np.ndarray]:
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["time", "detector", "feature", "value", "reason"])
    scan = scan_file(path, outline)
    for start, values, marks in mark_days(path, outline, scan):
        times = format_local(outline.timestamps[start : start + len(values)], outline.timezone)
        masked = np.zeros(values.shape, dtype=bool)
        for reason in reasons:
            new = marks[reason] & ~masked
            for step, node, index in np.argwhere(new).tolist():
                value = np.format_float_positional(values[step, node, index], trim="-")
                name = outline.feature_names[index]
                rows.writerow([times[step], outline.vdids[node], name, value, reason])
            counts[reason] += int(new.sum())
            masked |= new
        yield np.where(masked, np.float32("nan"), values)
