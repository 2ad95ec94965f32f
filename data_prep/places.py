"""Where the detectors of a source are: from a table, from the source itself, and by road."""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.detectors import DetectorTable, read_detectors
from data_prep.feed import Feed
from data_prep.joining import drop_null_island, locate_detectors, match_ids, report_positions
from data_prep.report import Report
from data_prep.road_distances import read_road_distances, refuse_wrong_unit
from data_prep.table_text import is_unicode
from data_prep.tables import TableFormat
from socialgraph.series import RoadDistances

__all__ = ["Places", "detector_format", "find_places", "read_table", "refuse_idle"]

_SHORTEST = 20.0  # metres, of a median way


@dataclass
class Places:
    """Where detectors are, and what is known of them.

    Args:
        lat, lon: degrees ``[N]``, NaN if unknown.
        info: what else is known, by detector.
        told: where the positions are from, for the account in the file.
        edges: ways by road, if the options name them.
    """

    lat: np.ndarray
    lon: np.ndarray
    info: dict[str, dict]
    told: str
    edges: RoadDistances | None


def read_table(args: Namespace) -> DetectorTable | None:
    """The table of detectors that the options name, if they name one."""
    if args.detectors is None:
        return None
    return read_detectors(
        args.detectors,
        args.detector_id_column,
        args.lat_column,
        args.lon_column,
        detector_format(args),
        args.crs,
    )


def detector_format(args: Namespace) -> TableFormat:
    """The format of the table of detectors that the options name."""
    written = _format_beside(args, args.detectors, args.detector_delimiter)
    decimal = args.detector_decimal or args.decimal
    return replace(written, sheet=args.detector_sheet, decimal=decimal)


def refuse_idle(args: Namespace) -> None:
    """Stop before any work if options tell how a table of ways is written, and there is none.

    Raises:
        ValueError: naming the first of them.
    """
    usual = {
        "edge_delimiter": None,
        "edge_rows": "to",
        "edge_keys": "auto",
        "edge_metres_per_unit": 1.0,
    }
    said = [name for name, value in usual.items() if getattr(args, name) != value]
    if args.edges is None and said:
        option = said[0].replace("_", "-")
        raise ValueError(
            f"Expected --{option} with --edges, whose table it is about (got "
            f"{getattr(args, said[0])!r} without). Set --edges to that table, or leave it out."
        )


def find_places(
    args: Namespace, feed: Feed, table: DetectorTable | None, vdids: list[str], report: Report
) -> Places:
    """The places of the detectors of the readings.

    Args:
        args: options of :func:`data_prep.options.add_convert_options`; ``known`` is the file that
            readings are added to, or None.
        feed: gives the table of the source itself.
        table: that the options name; None takes the source's own.
        vdids: ids of the readings ``[N]``.
        report: gets what was found.

    Raises:
        KeyError, ValueError: if positions or ways cannot be right, or are of other detectors.
    """
    if table is None and feed.detectors is not None and (own := feed.detectors()) is not None:
        table = drop_null_island(own, report)
    if table is None:
        if not set(vdids) <= set(() if args.known is None else args.known.vdids):
            report.add("positions", "none: set --detectors, or use 'python -m data_prep backfill'")
        lat, lon, info, told = np.full(len(vdids), np.nan), np.full(len(vdids), np.nan), {}, ""
    else:
        table = match_ids(table, vdids, report)
        lat, lon = locate_detectors(table, vdids)
        report_positions(table, vdids, lat, lon, report)
        points = " ".join([*table.lat_columns, *table.lon_columns])
        info, told = table.info, f"; positions from {points} of '{Path(table.path).name}'"
    return Places(lat, lon, info, told, _read_edges(args, vdids, lat, lon, report))


def _read_edges(
    args: Namespace,
    vdids: list[str],
    lat: np.ndarray,
    lon: np.ndarray,
    report: Report,
) -> RoadDistances | None:
    if args.edges is None:
        return None
    edges = read_road_distances(
        args.edges,
        vdids,
        args.edge_rows,
        args.edge_keys,
        args.edge_metres_per_unit,
        report,
        _format_beside(args, args.edges, args.edge_delimiter),
    )
    refuse_wrong_unit(args.edges, edges, lat, lon)
    if not np.isfinite(lat).any() and np.median(edges.distance) < _SHORTEST:
        raise ValueError(
            f"The ways of '{args.edges}' have a median of {np.median(edges.distance):.3g} m, which "
            "is no distance of detectors. Set --edge-metres-per-unit (1000 for kilometres, "
            "1609.344 for miles)."
        )
    return edges


def _format_beside(args: Namespace, path: str, delimiter: str | None) -> TableFormat:
    """The format of a table beside the readings, which may be in UTF-8 when they are not."""
    is_other = bool(args.encoding) and Path(path).is_file() and not is_unicode(path)
    return TableFormat(delimiter, args.decimal, encoding=args.encoding if is_other else "")
