"""Positions of detectors joined to readings by id, and refused if they cannot be right."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from data_prep.detectors import DetectorTable
from data_prep.plausibility import (
    distance_to_median,
    far_limit,
    is_impossible,
    is_swapped,
    looks_exchanged,
)
from data_prep.report import Report, enumerate_first

__all__ = [
    "drop_null_island",
    "far_detectors",
    "locate_detectors",
    "match_ids",
    "refuse_swapped",
    "report_positions",
]


def match_ids(table: DetectorTable, vdids: Sequence[str], report: Report) -> DetectorTable:
    """The table with the ids of the readings where the two write the same id in other ways.

    An id of the table that no reading has is taken for the one that it equals without blanks, a
    ``.0`` behind a whole number and zeros before it, if exactly one id on either side does.

    Args:
        table: the table.
        vdids: ids of the readings.
        report: is told which ids were matched in this way.
    """
    known = set(table.vdids)
    wanted = _by_plain(vdid for vdid in vdids if vdid not in known)
    offered = _by_plain(vdid for vdid in table.vdids if vdid not in set(vdids))
    new = {
        offered[plain][0]: wanted[plain][0]
        for plain in wanted
        if len(wanted[plain]) == len(offered.get(plain, ())) == 1
    }
    if not new:
        return table
    named = enumerate_first(f"{ours!r} for {theirs!r}" for theirs, ours in new.items())
    report.add("ids", f"{len(new)} written in another way in the table: {named}")
    renamed = [new.get(vdid, vdid) for vdid in table.vdids]
    info = {new.get(vdid, vdid): known for vdid, known in table.info.items()}
    return replace(table, vdids=renamed, info=info)


def _by_plain(vdids: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for vdid in vdids:
        plain = re.sub(r"(?<=\d)\.0+$", "", vdid.strip())
        plain = re.sub(r"^0+(?=\d)", "", plain)
        groups.setdefault(plain, []).append(vdid)
    return groups


def drop_null_island(table: DetectorTable, report: Report) -> DetectorTable:
    """The table without positions at 0, 0, which sources write for unknown ones."""
    null = (table.lat == 0) & (table.lon == 0)
    if not null.any():
        return table
    named = enumerate_first(np.array(table.vdids)[null.any(axis=1)])
    report.add("at 0, 0", f"{null.any(axis=1).sum()} detectors, whose place is unknown: {named}")
    lat, lon = (np.where(null, np.nan, degrees) for degrees in (table.lat, table.lon))
    return replace(table, lat=lat, lon=lon)


def locate_detectors(table: DetectorTable, vdids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of ``vdids`` in degrees ``[N]``, ``[N]``, NaN for those that the table lacks.

    A detector with several points lies at their mean.

    Raises:
        ValueError: if no id is in the table, or a position cannot be right.
    """
    row_of = {vdid: row for row, vdid in enumerate(table.vdids)}
    rows = np.array([row_of.get(vdid, -1) for vdid in vdids])
    if (rows < 0).all():
        raise ValueError(
            f"None of the {len(vdids)} ids of the readings ({enumerate_first(vdids)}) is in "
            f"'{table.path}' ({enumerate_first(table.vdids)}). Set --detectors to "
            "the table of these detectors, or --detector-id-column."
        )
    points = [np.where(rows[:, None] < 0, np.nan, array[rows]) for array in (table.lat, table.lon)]
    _refuse_impossible(table, vdids, *points)
    lat, lon = (point.mean(axis=1) for point in points)
    refuse_swapped(table.path, vdids, lat, lon)
    return lat, lon


def refuse_swapped(path: str, vdids: Sequence[str], lat: np.ndarray, lon: np.ndarray) -> None:
    """Require that no detector comes near all others by exchanging its latitude and longitude.

    Raises:
        ValueError: naming those that do, and the table ``path``.
    """
    swapped = is_swapped(lat, lon)
    if swapped.any():
        named = enumerate_first(_describe(vdids, lat, lon, swapped))
        raise ValueError(
            f"'{path}' puts {swapped.sum()} of {len(swapped)} detectors far from all others, and "
            f"near them with latitude and longitude exchanged: {named}. "
            "Exchange the two in these rows."
        )


def report_positions(
    table: DetectorTable, vdids: Sequence[str], lat: np.ndarray, lon: np.ndarray, report: Report
) -> None:
    """Report how ``vdids`` and the table fit, and which positions are lacking or far away."""
    if table.num_repeated:
        report.add(
            "same id",
            f"{table.num_repeated} rows of the table have the id and place of another one; what "
            "they say otherwise is left out",
        )
    without = np.isnan(lat) | np.isnan(lon)
    report.add("positions", f"{(~without).sum()} of {len(vdids)} detectors")
    if without.any():
        named = enumerate_first(np.array(vdids)[without])
        report.add(
            "no position",
            f"{without.sum()} detectors: {named}; written without, to be filled by "
            "'python -m data_prep backfill FILE --detectors TABLE'",
        )
    row_of = {vdid: row for row, vdid in enumerate(table.vdids)}
    if (np.diff([row_of[vdid] for vdid in vdids if vdid in row_of]) < 0).any():
        report.add("order", "detectors stand in another order in the table; joined by id")
    unread = sorted(set(table.vdids) - set(vdids))
    if unread:
        report.add(
            "no readings", f"{len(unread)} rows of the table, dropped: {enumerate_first(unread)}"
        )
    for name in far_detectors(vdids, lat, lon)[:5]:
        report.add("far away", name)


def far_detectors(vdids: Sequence[str], lat: np.ndarray, lon: np.ndarray) -> list[str]:
    """Detectors far from the median position, each with its distance, the farthest first."""
    distance = distance_to_median(lat, lon)
    if np.isnan(distance).all():
        return []
    far = np.flatnonzero(distance > far_limit(distance))
    far = far[np.argsort(-distance[far], kind="stable")]
    return [f"{vdids[i]} ({distance[i] / 1000:.0f} km from the median position)" for i in far]


def _refuse_impossible(
    table: DetectorTable, vdids: Sequence[str], lat: np.ndarray, lon: np.ndarray
) -> None:
    bad = is_impossible(lat, lon).any(axis=1)
    if not bad.any():
        return
    advice = "Correct the table, or empty the cells if the position is unknown."
    known = np.isfinite(lat + lon).all(axis=1)
    no_degrees = (np.abs(lat[bad]) > 360).all() and (np.abs(lon[bad]) > 360).all()
    if no_degrees and bad.sum() > known.sum() / 2:  # else a code for missing ones
        advice = "They are no degrees: set --crs to their system, such as EPSG:3826."
    elif (looks_exchanged(lat, lon).any(axis=1) == bad).all():
        advice = "They look swapped: " + (
            f"exchange the columns, --lat-column {' '.join(table.lon_columns)} "
            f"--lon-column {' '.join(table.lat_columns)}."
            if (bad == known).all()
            else "exchange latitude and longitude in these rows."
        )
    named = enumerate_first(_describe(vdids, lat.mean(axis=1), lon.mean(axis=1), bad))
    raise ValueError(
        f"Expected latitudes within 90 and longitudes within 180 degrees, and no detector at 0, 0, "
        f"in '{table.path}'; {bad.sum()} of {len(bad)} detectors break this: {named}. {advice}"
    )


def _describe(vdids: Sequence[str], lat: np.ndarray, lon: np.ndarray, bad: np.ndarray) -> list[str]:
    return [f"{vdids[i]} (lat {lat[i]:.6g}, lon {lon[i]:.6g})" for i in np.flatnonzero(bad)]
