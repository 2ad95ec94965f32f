"""Distances by road between the detectors, from the tables that ``RoadGraph`` reads."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.report import Report, enumerate_first
from data_prep.table_numbers import doubtful_cell, find_decimal
from data_prep.table_text import find_dialect, open_text
from data_prep.tables import TableFormat
from socialgraph.graph.geodesy import geodesics
from socialgraph.graph.road_table import Keys, RoadTable, Rows, match_detectors, read_road_table
from socialgraph.series import RoadDistances

__all__ = ["read_road_distances", "refuse_wrong_unit"]


def read_road_distances(
    path: str | Path,
    vdids: Sequence[str],
    rows: Rows,
    keys: Keys,
    metres_per_unit: float,
    report: Report,
    table_format: TableFormat | None = None,
) -> RoadDistances:
    """Read the ways between the detectors ``vdids`` that a table has.

    The shortest counts for a pair that is given twice. Lengths that are empty, infinite or negative
    say that there is no way.

    Args:
        path: CSV, a list ``from, to, length`` or a square matrix, see
            :class:`socialgraph.graph.RoadGraph`.
        vdids: ids of the detectors.
        rows: which end of a way names the row of a matrix.
        keys: whether the table names detectors by id or by index.
        metres_per_unit: metres in one unit of the table.
        report: gets what fits and what does not.
        table_format: how the CSV is written; None finds it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, no name is a detector, or no two detectors have a way.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file '{path}'. Set --edges to a table of road distances.")
    if not 0 < metres_per_unit < np.inf:
        raise ValueError(f"Expected --edge-metres-per-unit above 0 (got {metres_per_unit}).")
    written = table_format or TableFormat()
    found, encoding = find_dialect(path, written), written.encoding or "utf-8"
    decimal = found.decimal or _find_decimal(path, found.delimiter, written)
    table = read_road_table(str(path), rows, found.delimiter, decimal, encoding)
    node = _match(table, vdids, keys, str(path))
    start, end, metres = node[table.start], node[table.end], table.length * metres_per_unit
    between = (start >= 0) & (end >= 0) & (start != end)
    has_way = np.isfinite(metres) & (metres >= 0)
    kept = np.flatnonzero(between & has_way)
    if not len(kept):
        raise ValueError(
            f"'{path}' has no way between any two of the {len(vdids)} detectors. Give the table of "
            "this network, or leave out --edges."
        )
    kept = kept[np.lexsort((metres[kept], end[kept], start[kept]))]
    pairs, first = np.unique(np.stack([start[kept], end[kept]]), axis=1, return_index=True)
    edges = RoadDistances(pairs.astype(np.int64), metres[kept][first].astype(np.float64))
    _report_fit(table, node, vdids, edges, report)
    if (between & ~has_way).any():
        report.add("no way", f"{(between & ~has_way).sum()} pairs without a length, left out")
    return edges


def refuse_wrong_unit(
    path: str | Path, edges: RoadDistances, lat: np.ndarray, lon: np.ndarray
) -> None:
    """Require that ways are not far shorter than straight lines, as kilometres would be.

    Args:
        path: the table.
        edges: its ways.
        lat, lon: positions of the detectors in degrees ``[N]``, NaN if unknown.

    Raises:
        ValueError: if they add up to less than a hundredth of the straight lines.
    """
    known = np.isfinite(lat + lon)[edges.edge_index].all(axis=0)
    straight, *_ = geodesics(lat, lon, *edges.edge_index[:, known])
    total = edges.distance[known].sum()
    if total < straight.sum() / 100:
        raise ValueError(
            f"The {known.sum()} ways of '{path}' add up to {total:.6g} m, and the straight lines "
            f"to {straight.sum():.6g} m. Set --edge-metres-per-unit (1000 for kilometres, 1609.344 "
            "for miles), or mend the positions."
        )


def _find_decimal(path: str | Path, delimiter: str, table_format: TableFormat) -> str:
    """The mark before the fraction of a length: of the last of three columns, or of all but the
    first column of a matrix."""
    with open_text(path, table_format) as text:
        rows = csv.reader(text, delimiter=delimiter)
        lengths = (cell for row in rows for cell in (row[2:] if len(row) == 3 else row[1:]))
        mark, cell = find_decimal(lengths)
    if cell is not None:
        raise doubtful_cell(f"'{path}'", cell, "write the lengths without marks between thousands")
    return mark or "."


def _match(table: RoadTable, vdids: Sequence[str], keys: Keys, path: str) -> np.ndarray:
    try:
        return match_detectors(table.names, vdids, keys, path)
    except ValueError as error:
        option = " ('keys' is the option --edge-keys.)" if "'keys" in str(error) else ""
        raise ValueError(f"{error}{option}") from error


def _report_fit(
    table: RoadTable,
    node: np.ndarray,
    vdids: Sequence[str],
    edges: RoadDistances,
    report: Report,
) -> None:
    shortest, median, longest = np.quantile(edges.distance, [0, 0.5, 1])
    report.add(
        "road distances",
        f"{len(edges.distance)} ways: shortest {shortest:.0f} m, median {median:.0f} m, longest "
        f"{longest:.0f} m",
    )
    foreign = [name for name, place in zip(table.names, node, strict=True) if place < 0]
    if foreign:
        report.add(
            "no detector", f"{len(foreign)} names of the table, dropped: {enumerate_first(foreign)}"
        )
    lonely = np.setdiff1d(np.arange(len(vdids)), edges.edge_index)
    if len(lonely):
        named = enumerate_first(vdids[i] for i in lonely)
        report.add("no way", f"{len(lonely)} detectors with no distance by road: {named}")
