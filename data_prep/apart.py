"""Detectors whose readings are known to be further apart than those of the others.

A piece of a source may be too short to tell it: of a reading that holds for five minutes there is
one in five, as if four were missing.
"""

from argparse import Namespace
from collections.abc import Iterable, Sequence

import numpy as np

from data_prep.durations import parse_minutes, tell_seconds
from data_prep.grid import Grid
from data_prep.lanes import LANE_MARK
from data_prep.options import pairs
from data_prep.report import Report, enumerate_first
from data_prep.spacing import Stretch
from socialgraph.axis import whole_seconds

__all__ = ["APART", "apart_of", "distances_of", "known_stretches", "tell_absent"]

APART = "seconds_apart"  # what a file keeps of a detector


def apart_of(args: Namespace) -> dict[str, int]:
    """Seconds between readings by detector: as ``--apart`` says, else as the file tells.

    Raises:
        ValueError: if the option or the file holds no length of time.
    """
    info = {} if args.known is None else args.known.vd_info
    kept = {vdid: known[APART] for vdid, known in info.items() if APART in known}
    for vdid, seconds in kept.items():
        if not (isinstance(seconds, int | np.integer) and seconds > 0):
            raise ValueError(
                f"Expected whole seconds as {APART!r} of {vdid} in the file (got {seconds!r}). Set "
                "it anew, or take it away."
            )
    said = pairs(args.apart, "--apart")
    return {vdid: int(seconds) for vdid, seconds in kept.items()} | {
        vdid: whole_seconds(parse_minutes(text)) for vdid, text in said.items()
    }


def tell_absent(args: Namespace, grid: Grid, report: Report) -> None:
    """Report the detectors that ``--apart`` names and that have no readings."""
    there = {vdid.split(LANE_MARK)[0] for vdid in grid.vdids}
    absent = [vdid for vdid in pairs(args.apart, "--apart") if vdid not in there]
    if absent:
        report.add("apart", f"no readings of {enumerate_first(absent)}, which --apart names")


def known_stretches(
    grid: Grid, ratio: int, found: Sequence[Stretch], apart: dict[str, int], report: Report
) -> list[Stretch]:
    """The stretches of readings that are known to be further apart than the steps of ``grid``, and
    were not found. A reading beside another one says otherwise: it is taken as it is, and told.

    Args:
        grid: holds all readings.
        ratio: its steps in a step of the result.
        found: stretches that the readings themselves tell.
        apart: seconds by detector.
        report: is told of which detectors.
    """
    steps_apart = {vdid: s // grid.step for vdid, s in apart.items() if s % grid.step == 0}
    fits = {vdid: s for vdid, s in steps_apart.items() if s > 1 and ratio % s == 0}
    there = {(of.column, of.feature) for of in found}
    names = [vdid.split(LANE_MARK)[0] for vdid in grid.vdids]
    columns = [column for column, name in enumerate(names) if name in fits]
    known, odd = [], []
    for (column, feature), steps in _steps_of(grid, columns).items():
        distance = fits[names[column]]
        if (np.diff(steps) % distance).any():
            odd.append(names[column])
        elif (column, feature) not in there:
            first, last = int(steps[0]), int(steps[-1])
            known.append(Stretch(column, feature, distance, first, last, last - first + 1))
    for distance in sorted({of.distance for of in known}):
        of = [names[s.column] for s in known if s.distance == distance]
        _tell(f"{tell_seconds(distance * grid.step)} as is known, at", of, report)
    _tell("less than is known, and taken as they are, at", odd, report)
    return known


def distances_of(grid: Grid, stretches: Iterable[Stretch]) -> dict[str, int]:
    """Seconds between the readings of each detector whose last ones are further apart than others;
    of its lanes and features the least."""
    latest: dict[tuple[int, int], Stretch] = {}
    for of in sorted(stretches, key=lambda s: s.last):
        latest[of.column, of.feature] = of
    distances: dict[str, int] = {}
    for key, steps in _steps_of(grid, sorted({column for column, _ in latest})).items():
        if key in latest and steps[-1] <= latest[key].last:
            vdid = grid.vdids[key[0]].split(LANE_MARK)[0]
            seconds = latest[key].distance * grid.step
            distances[vdid] = min(seconds, distances.get(vdid, seconds))
    return distances


def _steps_of(grid: Grid, columns: list[int]) -> dict[tuple[int, int], np.ndarray]:
    """The steps of the readings of some columns, by column and feature, where there are any."""
    if not columns:
        return {}
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for start, there in grid.readings():
        for column in columns:
            for feature in np.flatnonzero(there[:, column].any(axis=0)).tolist():
                steps = np.flatnonzero(there[:, column, feature]) + start
                found.setdefault((column, feature), []).append(steps)
    return {key: np.concatenate(steps) for key, steps in found.items()}


def _tell(what: str, vdids: list[str], report: Report) -> None:
    if names := list(dict.fromkeys(vdids)):
        report.add("apart", f"{what} {len(names)} detectors ({enumerate_first(names)})")
