"""``python -m data_prep COMMAND``: make, inspect and mend the HDF5 files of socialgraph."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from data_prep.backfill import backfill
from data_prep.convert import convert_csv, convert_metr_la, refuse_existing
from data_prep.detectors import read_detectors
from data_prep.findings import format_findings
from data_prep.inspect_file import inspect_file
from data_prep.simulate import simulate
from data_prep.simulate_random import random_networks
from data_prep.timeline import CONFLICT_RULES
from socialgraph import schema, shell
from socialgraph.calendar import RepeatedHour
from socialgraph.graph.road_table import Keys, Rows

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status, see :func:`socialgraph.shell.run`."""
    return shell.run(_run, shell.spell(sys.argv[1:] if argv is None else argv, "-"))


def _run(words: list[str]) -> int:
    args = _build_parser().parse_args(words)
    return args.run(args)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_prep", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    convert = commands.add_parser("convert", help="raw files to one HDF5 file")
    sources = convert.add_subparsers(required=True, metavar="SOURCE", dest="source")
    _add_metr_la(sources)
    _add_csv(sources)
    _add_inspect(commands)
    _add_backfill(commands)
    _add_simulate(commands)
    return parser


def _add_metr_la(sources: argparse._SubParsersAction) -> None:
    parser = sources.add_parser("metr-la", help="METR-LA, PEMS-BAY and files in their layout")
    parser.set_defaults(run=convert_metr_la)
    add = parser.add_argument
    add("raw", metavar="RAW", help="metr-la.h5, pems-bay.h5, or a CSV of time by detector")
    add("out", metavar="OUT")
    add("--locations", required=True, help="CSV of ids, latitudes and longitudes")
    add("--start", help="first time of a file without times, e.g. 2012-03-01T00:00:00")
    add("--key", help="group of the frame in HDF5 (default: the only one)")
    add("--unit", default="mph", help="unit of speed (default: %(default)s)")
    _add_source_options(parser, "metr-la", "America/Los_Angeles", [0.0])
    _add_detector_options(parser)
    _add_edge_options(parser)


def _add_csv(sources: argparse._SubParsersAction) -> None:
    parser = sources.add_parser("csv", help="CSV files, wide (time by detector) or long")
    parser.set_defaults(run=convert_csv)
    add, several = parser.add_argument, {"nargs": "+", "action": "extend"}
    add("out", metavar="OUT")
    add("--detectors", required=True, help="CSV of ids and positions")
    layout = parser.add_mutually_exclusive_group(required=True)
    layout.add_argument("--wide", **several, metavar="FEATURE=FILE", help="one file per feature")
    layout.add_argument("--long", **several, metavar="FILE", help="files, quoted globs, folders")
    add("--id-column", help="column of the ids in long files")
    add("--features", **several, metavar="COLUMN=FEATURE", help="readings of long files")
    add("--unit", **several, default=[], metavar="FEATURE=UNIT", help="e.g. speed=km/h")
    _add_source_options(parser, "", None, [])
    _add_detector_options(parser)
    _add_edge_options(parser)


def _add_source_options(
    parser: argparse.ArgumentParser, name: str, timezone: str | None, null_values: list[float]
) -> None:
    parser.set_defaults(default_null_values=null_values)
    add = parser.add_argument
    add("--name", default=name, help="name of the data set")
    add(
        "--timezone",
        default=timezone,
        help="zone of the network and of times without an offset, IANA name (default: "
        f"{timezone or 'UTC'})",
    )
    add(
        "--repeated-hour",
        choices=get_args(RepeatedHour),
        default="order",
        help="which of the two hours in autumn is meant: told by the order of the rows, or, for a "
        "source that holds this hour once, the first or the second (default: %(default)s)",
    )
    add("--interval", type=float, help="minutes between readings (default: inferred)")
    add("--time-column", help="column of the times (default in wide files: the first)")
    add("--time-format", default="", help="strptime format (default: ISO 8601 or since 1970)")
    add(
        "--null-value",
        nargs="+",
        action="extend",
        type=float,
        help=f"numbers that mean missing, e.g. -99 255; nan for none (default: {null_values})",
    )
    add(
        "--delimiter",
        type=_delimiter,
        default=",",
        help="between cells of the readings (default: '%(default)s')",
    )
    add("--on-conflict", choices=CONFLICT_RULES, default="error", help="rows that contradict")
    add("--overwrite", action="store_true", help="replace OUT if it exists")


def _delimiter(text: str) -> str:
    text = text.replace("\\t", "\t")
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"expected one character, \\t for a tab (got {text!r})")
    return text


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--detector-id-column", help="column of the ids in the table of detectors")
    several = {"nargs": "+", "action": "extend"}
    add("--lat-column", **several, help="latitude in degrees; of several columns the mean is taken")
    add("--lon-column", **several, help="longitude in degrees; as many columns as of latitude")
    add(
        "--detector-delimiter",
        type=_delimiter,
        default=",",
        help="between cells of the table (default: ',')",
    )


def _add_edge_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--edges", help="CSV of road distances to put into OUT: from, to, length, or a matrix")
    add(
        "--edge-rows",
        choices=get_args(Rows),
        default="to",
        help="whether a row of a matrix is where the way goes from or to (default: %(default)s)",
    )
    add(
        "--edge-keys",
        choices=get_args(Keys),
        default="auto",
        help="whether the table has ids or indices from 0 (default: what fits)",
    )
    add(
        "--edge-metres-per-unit",
        type=float,
        default=1.0,
        help="1000 for a table in kilometres (default: %(default)g)",
    )


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("inspect", help="what is in a file, and what is wrong with it")
    parser.set_defaults(run=_inspect)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--radius", type=float, default=1000.0, help="metres, to count neighbours")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")


def _inspect(args: argparse.Namespace) -> int:
    found = inspect_file(args.file, args.radius)
    print(json.dumps(found, indent=2, allow_nan=False) if args.json else format_findings(found))
    return 1 if found["problems"] else 0


def _add_backfill(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("backfill", help="write positions into an existing file")
    parser.set_defaults(run=_backfill)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--detectors", required=True, help="CSV of ids and positions")
    parser.add_argument("--overwrite", action="store_true", help="replace good positions too")
    _add_detector_options(parser)


def _backfill(args: argparse.Namespace) -> int:
    table = read_detectors(
        args.detectors,
        args.detector_id_column,
        args.lat_column,
        args.lon_column,
        args.detector_delimiter,
    )
    lacking, report = backfill(args.file, table, args.overwrite)
    print(report)
    return 1 if lacking else 0


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("simulate", help="traffic on a made-up network of freeways")
    parser.set_defaults(run=_simulate)
    add = parser.add_argument
    add("out", metavar="OUT", help="file; with --random-networks a folder")
    add("--detectors", type=int, help="default: 60")
    add("--days", type=int, help="default: 14")
    add("--interval", type=int, help="minutes between readings (default: 5)")
    add("--seed", type=int, default=0)
    add("--start", help="on the clock of Asia/Taipei (default: 2024-01-01T00:00:00)")
    add("--freeways", type=int, help="default: 3")
    add(
        "--random-networks",
        type=int,
        metavar="N",
        help="as many networks, each a file, drawn from the ranges of "
        "data_prep.simulate_ranges.Ranges: layouts, spacing, lanes, demand, rain, events, "
        "quantities, intervals, faults",
    )
    add("--overwrite", action="store_true", help="replace OUT if it exists")


def _simulate(args: argparse.Namespace) -> int:
    options = {
        "num_detectors": args.detectors,
        "days": args.days,
        "interval_minutes": args.interval,
        "start": args.start,
        "num_freeways": args.freeways,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if args.random_networks is not None:
        return _simulate_random(args, given)
    refuse_existing(args.out, args.overwrite)
    series = simulate(seed=args.seed, show_progress=True, **given)
    schema.write(args.out, series)
    print(f"'{args.out}', {series.values.shape} (time, detector, feature)")
    return 0


def _simulate_random(args: argparse.Namespace, given: dict) -> int:
    if given:
        raise ValueError(
            f"Expected no {sorted(given)} beside '--random-networks', which draws them. Other "
            "ranges are given in Python: data_prep.simulate_random.random_networks."
        )
    paths = [Path(args.out) / f"{number:04d}.h5" for number in range(args.random_networks)]
    for path in paths:
        refuse_existing(str(path), args.overwrite)
    for path, series in zip(paths, random_networks(len(paths), args.seed), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        schema.write(path, series)
        size = f"{len(series.vdids)} detectors, {len(series.values)} steps"
        unit = f"{series.feature_names[0]} [{series.units[0]}]"
        every = f"every {series.interval_minutes:g} minutes"
        print(f"'{path}', {unit} of {size} {every}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
