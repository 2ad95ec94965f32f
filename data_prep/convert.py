"""The commands ``convert metr-la`` and ``convert csv``: source files to one HDF5 file."""

from argparse import Namespace
from pathlib import Path

import numpy as np

from data_prep.clocks import report_clocks
from data_prep.detectors import DetectorTable, read_detectors
from data_prep.joining import locate_detectors, report_positions
from data_prep.long import combine_long, expand_paths, read_long
from data_prep.metr_la import read_metr_la
from data_prep.report import Report
from data_prep.road_distances import read_road_distances, refuse_wrong_unit
from data_prep.tables import TableFormat
from data_prep.timeline import Readings
from data_prep.wide import combine_wide, read_wide
from socialgraph import schema
from socialgraph.calendar import check_zone
from socialgraph.series import RoadDistances, TrafficSeries

__all__ = ["convert_csv", "convert_metr_la", "refuse_existing"]


def convert_metr_la(args: Namespace) -> int:
    """Convert METR-LA, PEMS-BAY or any file in their layout; print the report."""
    refuse_existing(args.out, args.overwrite)
    report = Report()
    detectors = _read_detectors(args)
    located = detectors.vdids
    table = read_metr_la(
        args.raw, located, _table_format(args), args.start, args.interval, args.key
    )
    report_clocks([table.clocks], args.timezone, report)
    readings = combine_wide({"speed": table}, args.interval, args.on_conflict, _zone(args), report)
    units = {"speed": args.unit}
    return _write(args, readings, detectors, units, f"'{Path(args.raw).name}'", report)


def convert_csv(args: Namespace) -> int:
    """Convert wide or long CSV files; print the report."""
    refuse_existing(args.out, args.overwrite)
    report = Report()
    detectors = _read_detectors(args)
    units = _pairs(args.unit, "--unit")
    if args.wide:
        readings, read = _read_wide_files(args, report)
    else:
        readings, read = _read_long_files(args, report)
    unknown = sorted(set(units) - set(readings.feature_names))
    if unknown:
        raise KeyError(f"--unit names {unknown}; the features are {readings.feature_names}.")
    return _write(args, readings, detectors, units, read, report)


def refuse_existing(out: str, overwrite: bool) -> None:
    """Stop before any work if ``out`` exists and ``overwrite`` is not set.

    Raises:
        ValueError: if ``out`` exists.
    """
    if Path(out).exists() and not overwrite:
        raise ValueError(f"'{out}' exists. Set --overwrite to replace it, or name another file.")


def _read_wide_files(args: Namespace, report: Report) -> tuple[Readings, str]:
    files = _pairs(args.wide, "--wide")
    tables = {name: read_wide(path, _table_format(args)) for name, path in files.items()}
    read = ", ".join(f"{name} of '{Path(path).name}'" for name, path in files.items())
    report_clocks([table.clocks for table in tables.values()], args.timezone, report)
    return combine_wide(tables, args.interval, args.on_conflict, _zone(args), report), read


def _read_long_files(args: Namespace, report: Report) -> tuple[Readings, str]:
    lacking = [
        f"--{name.replace('_', '-')}"
        for name in ("id_column", "time_column", "features")
        if not getattr(args, name)
    ]
    if lacking:
        raise ValueError(f"--long needs {' and '.join(lacking)} too, e.g. --features v=speed.")
    paths = expand_paths(args.long)
    features = _pairs(args.features, "--features")
    table = read_long(paths, args.id_column, features, _table_format(args), show_progress=True)
    read = f"{', '.join(features)} of {len(paths)} files from '{paths[0].name}'"
    report_clocks([table.clocks], args.timezone, report)
    return combine_long(table, args.interval, args.on_conflict, _zone(args), report), read


def _read_detectors(args: Namespace) -> DetectorTable:
    path = args.locations if "locations" in args else args.detectors
    return read_detectors(
        path, args.detector_id_column, args.lat_column, args.lon_column, args.detector_delimiter
    )


def _table_format(args: Namespace) -> TableFormat:
    return TableFormat(
        args.delimiter,
        args.time_column,
        args.time_format,
        check_zone(_zone(args)),
        tuple(_null_values(args)),
        args.repeated_hour,
    )


def _zone(args: Namespace) -> str:
    return args.timezone or "UTC"


def _null_values(args: Namespace) -> list[float]:
    chosen = args.default_null_values if args.null_value is None else args.null_value
    return [value for value in chosen if value == value]


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    split = [text.partition("=")[::2] for text in texts]
    names = [name for name, _ in split]
    if not all(name and value for name, value in split) or len(set(names)) < len(names):
        raise ValueError(f"Expected {option} as NAME=VALUE, each name once (got {texts}).")
    return dict(split)


def _write(
    args: Namespace,
    readings: Readings,
    detectors: DetectorTable,
    units: dict[str, str],
    read: str,
    report: Report,
) -> int:
    lat, lon = locate_detectors(detectors, readings.vdids)
    report_positions(detectors, readings.vdids, lat, lon, report)
    edges = _read_edges(args, readings.vdids, lat, lon, report)
    nulls = ", ".join(f"{value:g}" for value in _null_values(args))
    missing = "NaN where the source has no row or no number"
    if nulls:
        counts = ", ".join(f"{count} of {name}" for name, count in readings.num_null.items())
        missing += f", or a null value ({nulls}; {counts})"
        report.add("null values", f"{nulls}: {counts} readings set to NaN")
    points = " ".join([*detectors.lat_columns, *detectors.lon_columns])
    series = TrafficSeries(
        values=readings.values,
        timestamps=readings.timestamps,
        vdids=readings.vdids,
        feature_names=readings.feature_names,
        lat=lat,
        lon=lon,
        units=[units.get(name, "") for name in readings.feature_names],
        interval_minutes=readings.interval_minutes,
        timezone=_zone(args),
        dataset_name=args.name,
        source=f"data_prep convert {args.source}: {read}; positions from {points} of "
        f"'{Path(detectors.path).name}'",
        missing=missing,
        vd_info=detectors.info,
        edges=edges,
    )
    schema.write(args.out, series)
    report.add("written", f"'{args.out}', {series.values.shape} (time, detector, feature)")
    print(report)
    return 0


def _read_edges(
    args: Namespace, vdids: list[str], lat: np.ndarray, lon: np.ndarray, report: Report
) -> RoadDistances | None:
    if args.edges is None:
        return None
    edges = read_road_distances(
        args.edges, vdids, args.edge_rows, args.edge_keys, args.edge_metres_per_unit, report
    )
    refuse_wrong_unit(args.edges, edges, lat, lon)
    return edges
