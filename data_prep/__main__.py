"""``python -m data_prep COMMAND``: make, inspect and mend the HDF5 files of socialgraph."""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from data_prep.formats import FORMATS, Format
from data_prep.options import (
    add_convert_options,
    add_detector_options,
    add_readings_options,
    add_unit_option,
    minutes,
)
from data_prep.report import format_table
from socialgraph import schema, shell
from socialgraph.atomic import refuse_existing, refuse_replacing

__all__ = ["main"]

_WATCHED = [name for name, known in FORMATS.items() if known.arrives]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status, see :func:`socialgraph.shell.run`."""
    return shell.run(_run, shell.spell(sys.argv[1:] if argv is None else argv, "-"))


def _run(words: list[str]) -> int:
    args = _build_parser(words).parse_args(words)
    return args.run(args)


def _build_parser(words: list[str]) -> argparse.ArgumentParser:
    """The parser of the command in ``words`` alone, as each takes time; without one, of all."""
    parser = argparse.ArgumentParser(prog="python -m data_prep", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    known: dict[str, Callable[[argparse._SubParsersAction], None]] = {
        "formats": _add_formats,
        "convert": partial(_add_convert, words=words),
        "append": partial(_add_append, words=words),
        "watch": partial(_add_watch, words=words),
        "inspect": _add_inspect,
        "clean": _add_clean,
        "backfill": _add_backfill,
        "simulate": _add_simulate,
    }
    for name in [name for name in known if name in words[:1]] or known:
        known[name](commands)
    return parser


def _add_formats(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("formats", help="the formats that 'convert' reads, with examples")
    parser.set_defaults(run=_formats)


def _formats(args: argparse.Namespace) -> int:
    rows = []
    for name, known in FORMATS.items():
        rows += [(name, known.summary), ("", f"python -m data_prep {known.example}")]
    print(format_table(rows))
    return 0


def _add_convert(commands: argparse._SubParsersAction, words: list[str]) -> None:
    """The parser of the format in ``words``, with its options; without one, those of all formats,
    without options, as the module of each takes time to load."""
    convert = commands.add_parser("convert", help="raw files to one HDF5 file")
    formats = convert.add_subparsers(required=True, metavar="FORMAT", dest="format")
    chosen = [name for name in FORMATS if name in words[1:2]]
    for name in chosen or FORMATS:
        known = FORMATS[name]
        parser = formats.add_parser(name, help=known.summary, description=known.summary)
        if chosen:
            _add_format(parser, known)
            _add_raw(parser, known)
            parser.add_argument("out", metavar="OUT")
            add_convert_options(parser, known)
            parser.set_defaults(run=_convert)


def _add_format(parser: argparse.ArgumentParser, known: Format) -> None:
    module = importlib.import_module(f"data_prep.formats.{known.module}")
    module.add_options(parser)
    parser.set_defaults(read=module.read)
    if hasattr(module, "read_table"):
        parser.set_defaults(read_table=module.read_table)


def _convert(args: argparse.Namespace) -> int:
    from data_prep.convert import convert

    args.command = f"convert {args.format}"
    return convert(args, args.read)


def _add_raw(parser: argparse.ArgumentParser, known: Format) -> None:
    if known.raw:
        several = {"nargs": "+"} if known.several else {}
        parser.add_argument("raw", metavar="RAW", help=known.raw, **several)


def _format_in(words: list[str]) -> str:
    """The format that ``--format`` names: its options are wanted before the words are parsed."""
    chosen = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chosen.add_argument("--format", default="csv")
    return chosen.parse_known_args(words)[0].format


def _add_append(commands: argparse._SubParsersAction, words: list[str]) -> None:
    parser = commands.add_parser("append", help="add newer readings to a file")
    parser.add_argument("file", metavar="FILE")
    _add_source(parser, words, "append")
    parser.set_defaults(run=_append)


def _add_source(parser: argparse.ArgumentParser, words: list[str], command: str) -> None:
    """The options of the format that the words name, with the rest of those of readings."""
    parser.add_argument("--format", required=True, choices=list(FORMATS), help="of the source")
    name = _format_in(words)
    if words[:1] == [command] and name in FORMATS:
        _add_format(parser, FORMATS[name])
        _add_raw(parser, FORMATS[name])
        add_unit_option(parser)
        add_readings_options(parser, FORMATS[name])
        add_detector_options(parser)
        parser.set_defaults(timezone=None)  # that of the file


def _append(args: argparse.Namespace) -> int:
    from data_prep.append import append

    args.command = f"append --format {args.format}"
    print(append(args.file, args, args.read))
    return 0


def _add_watch(commands: argparse._SubParsersAction, words: list[str]) -> None:
    parser = commands.add_parser("watch", help="take documents of a folder as they arrive")
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--format", required=True, choices=_WATCHED, help="of the documents")
    parser.add_argument("--every", type=minutes, default=minutes("10s"), help="look this often")
    parser.add_argument("--once", action="store_true", help="take what is there, and end")
    parser.add_argument(
        "--lines",
        metavar="CSV",
        help="also write the new readings as 'socialgraph stream' reads them; - for the output",
    )
    name = _format_in(words)
    if words[:1] == ["watch"] and name in _WATCHED:
        _add_format(parser, FORMATS[name])
        add_convert_options(parser, FORMATS[name])
    parser.set_defaults(run=_watch)


def _watch(args: argparse.Namespace) -> int:
    from data_prep.watch import watch

    args.command = f"watch --format {args.format}"
    return watch(args)


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("inspect", help="what is in a file, and what is wrong with it")
    parser.set_defaults(run=_inspect)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--radius", type=float, default=1000.0, help="metres, to count neighbours")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--html", metavar="PAGE", help="also write a page with a map")


def _inspect(args: argparse.Namespace) -> int:
    from data_prep.findings import format_findings
    from data_prep.inspect_file import inspect_file
    from data_prep.page import write_page

    if args.html:
        refuse_replacing(args.html, args.file)
    found = inspect_file(args.file, args.radius)
    if args.html:
        write_page(args.html, found)
    print(json.dumps(found, indent=2, allow_nan=False) if args.json else format_findings(found))
    return 1 if found["problems"] else 0


def _add_clean(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("clean", help="mask the readings that 'inspect' doubts")
    parser.set_defaults(run=_clean)
    add = parser.add_argument
    add("file", metavar="FILE")
    add("out", metavar="OUT")
    add(
        "--reasons",
        nargs="+",
        metavar="REASON",
        help="of those that 'inspect' names (default: all but 'shifted clock')",
    )
    add("--account", metavar="CSV", help="which readings, and why (default: OUT with .masked.csv)")
    add("--overwrite", action="store_true", help="replace OUT and the account if they exist")


def _clean(args: argparse.Namespace) -> int:
    from data_prep.clean import clean

    refuse_existing(args.out, args.overwrite)
    print(clean(args.file, args.out, args.reasons, args.account, args.overwrite))
    return 0


def _add_backfill(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("backfill", help="write positions into an existing file")
    parser.set_defaults(run=_backfill)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace good positions too")
    add_detector_options(parser, required=True)


def _backfill(args: argparse.Namespace) -> int:
    from data_prep.backfill import backfill
    from data_prep.places import read_table

    table = read_table(args)
    assert table is not None  # as the option is required
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
        "data_prep.simulate.ranges.Ranges: layouts, spacing, lanes, demand, rain, events, "
        "quantities, intervals, faults",
    )
    add("--overwrite", action="store_true", help="replace OUT if it exists")


def _simulate(args: argparse.Namespace) -> int:
    from data_prep.simulate import simulate

    options = {
        "num_detectors": args.detectors,
        "days": args.days,
        "interval_minutes": args.interval,
        "start": args.start,
        "num_freeways": args.freeways,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if args.random_networks is not None:
        names = ("detectors", "days", "interval", "start", "freeways")
        said = [f"--{name}" for name in names if getattr(args, name) is not None]
        return _simulate_random(args, said)
    refuse_existing(args.out, args.overwrite)
    series = simulate(seed=args.seed, show_progress=True, **given)
    schema.write(args.out, series, args.overwrite)
    print(f"'{args.out}', {series.values.shape} (time, detector, feature)")
    return 0


def _simulate_random(args: argparse.Namespace, given: list[str]) -> int:
    from data_prep.simulate import random_networks

    if given:
        raise ValueError(
            f"Expected no {', '.join(given)} beside '--random-networks', which draws them. Other "
            "ranges are given in Python: data_prep.simulate.random_networks."
        )
    paths = [Path(args.out) / f"{number:04d}.h5" for number in range(args.random_networks)]
    for path in paths:
        refuse_existing(str(path), args.overwrite)
    for path, series in zip(paths, random_networks(len(paths), args.seed), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        schema.write(path, series, args.overwrite)
        size = f"{len(series.vdids)} detectors, {len(series.values)} steps"
        unit = f"{series.feature_names[0]} [{series.units[0]}]"
        every = f"every {series.interval_minutes:g} minutes"
        print(f"'{path}', {unit} of {size} {every}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
