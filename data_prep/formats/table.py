"""Tables as CSV, Excel or Parquet, wide (time by detector) or long."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import Any

from data_prep.feed import Feed
from data_prep.formats.long import read_long
from data_prep.formats.wide import read_wide
from data_prep.lanes import LANE_MARK
from data_prep.options import add_table_options, minutes, pairs, table_format
from data_prep.sources import expand_paths
from socialgraph.axis import whole_seconds

__all__ = ["add_options", "read"]


def add_options(parser: ArgumentParser) -> None:
    """The options of tables."""
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    layout = parser.add_mutually_exclusive_group(required=True)
    layout.add_argument(
        "--wide", **several, metavar="FEATURE=FILE", help="files, quoted globs, folders by feature"
    )
    layout.add_argument("--long", **several, metavar="FILE", help="files, quoted globs, folders")
    add("--id-column", help="column of the ids in long tables")
    add("--features", **several, metavar="COLUMN=FEATURE", help="readings of long tables")
    add("--lane-files", action="store_true", help="each file holds a lane of its detectors")
    add("--lane-column", help="column of the lane, of tables with a row per lane")
    add(
        "--keep-rows",
        **several,
        metavar="COLUMN=TEXT",
        help="rows of long tables that are taken, e.g. error=N; others are missing",
    )
    add(
        "--label-end",
        type=minutes,
        metavar="LENGTH",
        help="times are the ends of readings of this length, e.g. 15min; they go to the starts",
    )
    add("--drop", nargs="+", default=[], help="columns of wide tables that are no detectors")
    add_table_options(parser)


def read(args: Namespace) -> Feed:
    """The feed of wide or of long tables.

    Raises:
        FileNotFoundError, KeyError, ValueError: if the options do not fit the tables.
    """
    if args.wide:
        if args.keep_rows:
            raise ValueError("Expected --keep-rows with --long. Leave it out for wide tables.")
        words = [word.partition("=")[::2] for word in args.wide]
        if not all(name and value for name, value in words):
            raise ValueError(f"Expected --wide as FEATURE=FILE (got {args.wide}).")
        files: dict[str, list] = {}
        for name, value in words:
            files.setdefault(name, []).extend(expand_paths([value]))
        return _as_said(args, read_wide(files, table_format(args), args.drop))
    lacking = [
        f"--{name.replace('_', '-')}"
        for name in ("id_column", "time_column", "features")
        if not getattr(args, name)
    ]
    if lacking:
        raise ValueError(f"--long needs {' and '.join(lacking)} too, e.g. --features v=speed.")
    features = pairs(args.features, "--features")
    keep: dict[str, list[str]] = {}
    for column, equals, text in (word.partition("=") for word in args.keep_rows or ()):
        if not equals:
            raise ValueError(f"Expected --keep-rows as COLUMN=TEXT (got {column!r}).")
        keep.setdefault(column, []).append(text)
    if both := sorted(set(features) & set(keep)):
        raise ValueError(f"Expected --keep-rows without columns of readings (got {both[0]!r}).")
    others = {args.id_column, *args.time_column, args.lane_column}
    if both := sorted(others & set(features)):
        raise ValueError(
            f"Expected --features as columns of readings (got {both[0]!r}, which holds the ids, "
            "times or lanes)."
        )
    paths, layout = expand_paths(args.long), table_format(args)
    feed = read_long(paths, args.id_column, features, layout, args.lane_column, keep)
    return _as_said(args, feed)


def _as_said(args: Namespace, feed: Feed) -> Feed:
    """The feed with a lane of its own for each file, if files hold lanes, and with the length of
    its readings, if its times are the ends."""
    if args.lane_files:
        blocks = (
            replace(b, vdids=[f"{vdid}{LANE_MARK}{b.where}" for vdid in b.vdids])
            for b in feed.blocks
        )
        feed = replace(feed, blocks=blocks)
    if args.label_end is None:
        return feed
    length = whole_seconds(args.label_end)
    return replace(feed, step=length, length=length)
