"""What was done to the rows, the axis and the gaps of a source, for the report."""

from collections import Counter

import numpy as np

from data_prep.coarsen import Coarsening
from data_prep.durations import tell_seconds
from data_prep.grid import Grid
from data_prep.lanes import LANE_MARK
from data_prep.report import Report, enumerate_first
from data_prep.steps import name_time
from socialgraph.calendar import to_local

__all__ = ["report_axis", "report_clock_change", "report_gaps", "report_pairs", "report_rows"]


def report_rows(grid: Grid, report: Report) -> None:
    """Report the rows of each set of features, and what was mended among them."""
    for features, counts in grid.counts.items():
        report.add(", ".join(features), f"{counts.rows} rows, {len(grid.vdids)} detectors")
    every = grid.counts.values()
    unsorted = sum(counts.unsorted for counts in every)
    identical = sum(counts.identical for counts in every)
    conflicts = sum(counts.conflicts for counts in every)
    if unsorted:
        report.add("order", f"{unsorted} rows stood after a later time of their detector; sorted")
    if identical:
        report.add("duplicates", f"{identical} identical rows dropped")
    if conflicts:
        report.add("conflicts", f"{conflicts} rows that differ: {grid.on_conflict} kept")


def report_axis(
    axis: np.ndarray, grid: Grid, ratio: int, is_set: bool, zone: str, report: Report
) -> None:
    """Report the interval, the span and the gaps of the axis ``[T]``."""
    interval = grid.step * ratio
    how = "as set" if is_set else "inferred"
    odd = "" if 86400 % interval == 0 else ", which does not divide a day"
    report.add("interval", f"{interval / 60:g} minutes ({how}){odd}")
    if ratio > 1:
        report.add("source", f"a reading every {tell_seconds(grid.step)}")
    report_clock_change(axis, interval, zone, report)
    first, last = (name_time(axis[end], zone) for end in (0, -1))
    report.add("time axis", f"{len(axis)} steps from {first} to {last}")
    present = np.zeros(len(axis), dtype=bool)
    there = np.flatnonzero(grid.present()) + grid.first
    present[there // ratio - grid.first // ratio] = True
    report_gaps(axis, present, zone, report)


def report_clock_change(axis: np.ndarray, interval: int, zone: str, report: Report) -> None:
    """Report from which of the times ``[T]`` on steps of ``interval`` seconds begin at other times
    of the day, as the clock was changed."""
    phases = to_local(axis, zone).astype("datetime64[s]").astype(np.int64) % min(interval, 86400)
    if 86400 % interval == 0 and (changes := np.flatnonzero(np.diff(phases))).size:
        moved = name_time(axis[changes[0] + 1], zone)
        report.add("clock", f"steps begin at other times of the day from {moved} on")


def report_gaps(axis: np.ndarray, present: np.ndarray, zone: str, report: Report) -> None:
    """Report the runs of steps that no row of the source covers.

    Args:
        axis: regular times ``[T]``.
        present: True for a step that the source has a row of ``[T]``.
        zone: zone of the clock for the report.
        report: gets the number of gaps and the longest one.
    """
    edges = np.flatnonzero(np.diff(present.astype(np.int8)))
    starts, ends = edges[0::2] + 1, edges[1::2] + 1
    if not len(starts):
        return report.add("gaps in time", "none")
    longest = int(np.argmax(ends - starts))
    first, last = (name_time(axis[i], zone) for i in (starts[longest], ends[longest] - 1))
    return report.add(
        "gaps in time",
        f"{len(starts)}, {int((~present).sum())} steps filled with NaN; the longest has "
        f"{ends[longest] - starts[longest]} steps, {first} to {last}",
    )


def report_pairs(grid: Grid, coarsening: Coarsening, absent: Counter, report: Report) -> None:
    """Report the pairs of detector and time that no row gave, and the readings made of few.

    Args:
        grid: held the rows.
        coarsening: brought the readings to the interval.
        absent: how many pairs no row gave.
        report: gets the lines.
    """
    pairs = grid.num_steps() * len(grid.vdids)
    if absent["pairs"]:
        report.add(
            "missing rows", f"{absent['pairs']} of {pairs} (id, time) pairs have no row; set to NaN"
        )
    if coarsening.ratio > 1:
        rules = ", ".join(
            f"{name} {rule}" for name, rule in zip(grid.features, coarsening.rules, strict=True)
        )
        of_lanes = " of lanes or detectors" if any(LANE_MARK in v for v in grid.vdids) else ""
        report.add(
            "coarser",
            f"{rules}; {coarsening.num_filled} readings{of_lanes} of all {coarsening.ratio} of a "
            f"step, {coarsening.num_partial} of some, {coarsening.num_dropped} of too few "
            f"(--min-share {coarsening.min_share:g}) set to NaN",
        )
        _report_few(grid, coarsening, report)


def _report_few(grid: Grid, coarsening: Coarsening, report: Report) -> None:
    """Report the detectors that never have enough readings for a step, or never all for a sum."""
    most = coarsening.most
    assert most is not None  # as there was a part
    few = (most > 0) & (most < coarsening.needed)
    is_sum = np.array(coarsening.rules) == "sum"
    raised = (most >= coarsening.needed) & (most < coarsening.ratio) & is_sum
    for name, chosen, what in (
        ("too few", few, "have readings, but for no step enough"),
        ("raised", raised, "have sums of some readings alone, raised in proportion"),
    ):
        found = np.array(grid.vdids)[chosen.any(axis=1)].tolist()
        if names := list(dict.fromkeys(name.split(LANE_MARK)[0] for name in found)):
            report.add(
                name,
                f"{len(names)} detectors {what}: {enumerate_first(names)}. If theirs are further "
                f"apart than others, set --apart {names[0]}=LENGTH, or take a longer piece",
            )
