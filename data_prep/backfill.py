"""Positions written into an existing HDF5 file, all of them or none."""

from pathlib import Path

import h5py
import numpy as np

from data_prep.detectors import DetectorTable
from data_prep.joining import locate_detectors, match_ids, refuse_swapped
from data_prep.report import Report, enumerate_first
from socialgraph import schema
from socialgraph.atomic import clone, one_writer, replacing
from socialgraph.storage import open_for_writing

__all__ = ["backfill"]


def backfill(
    path: str | Path, table: DetectorTable, overwrite: bool = False
) -> tuple[list[str], Report]:
    """Fill in the positions that detectors of a file lack, or that are no place on earth.

    The file is copied, the copy changed, and renamed to ``path`` when complete; whatever fails, the
    file stays as it was. If there is nothing to fill, it is not touched.

    Args:
        path: file in the layout of :mod:`socialgraph.schema`.
        table: positions by id.
        overwrite: replace good positions too.

    Returns:
        The detectors that still lack a position, and what was done.

    Raises:
        FileNotFoundError, SchemaError: if there is no such file.
        ValueError: if the table and the file share no id, or a position cannot be right.
    """
    path = Path(path).resolve()
    with one_writer(path):
        return _backfill(path, table, overwrite)


def _backfill(path: Path, table: DetectorTable, overwrite: bool) -> tuple[list[str], Report]:
    vdids = schema.read_vdids(path)
    with h5py.File(path, "r") as file:
        old_lat, old_lon, status = schema.read_positions(file, vdids)
    report = Report()
    table = match_ids(table, vdids, report)
    lat, lon = locate_detectors(table, vdids)
    good, known = np.array(status) == "ok", np.isfinite(lat) & np.isfinite(lon)
    filled = known & (~good | overwrite)
    kept = good & ~filled
    refuse_swapped(
        table.path,
        vdids,
        np.where(filled, lat, np.where(kept, old_lat, np.nan)),
        np.where(filled, lon, np.where(kept, old_lon, np.nan)),
    )
    if filled.any():
        _write_positions(path, vdids, lat, lon, np.flatnonzero(filled))
    lacking = [vdid for vdid, has in zip(vdids, good | filled, strict=True) if not has]
    _report(vdids, table, filled, kept, lacking, report)
    return lacking, report


def _write_positions(
    path: Path, vdids: list[str], lat: np.ndarray, lon: np.ndarray, rows: np.ndarray
) -> None:
    with replacing(path) as temporary:
        clone(path, temporary)
        with open_for_writing(temporary, "r+") as file:
            info = file.require_group("metadata/vd_info")
            for row in rows:
                schema.write_position(info.require_group(vdids[row]), lat[row], lon[row])


def _report(
    vdids: list[str],
    table: DetectorTable,
    filled: np.ndarray,
    kept: np.ndarray,
    lacking: list[str],
    report: Report,
) -> None:
    report.add("filled", f"{filled.sum()} of {len(vdids)} detectors")
    report.add("kept", f"{kept.sum()} good positions")
    absent = sorted(set(vdids) - set(table.vdids))
    if absent:
        report.add("not in table", f"{len(absent)} detectors: {enumerate_first(absent)}")
    if lacking:
        report.add("still without", f"{len(lacking)} detectors: {enumerate_first(lacking)}")
