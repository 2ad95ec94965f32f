"""Options of the command line that several formats and commands share."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from data_prep.durations import parse_minutes
from data_prep.formats import Format
from socialgraph.calendar import RepeatedHour, check_zone
from socialgraph.graph.road_table import Keys, Rows

if TYPE_CHECKING:
    from data_prep.tables import TableFormat

__all__ = [
    "add_convert_options",
    "add_detector_options",
    "add_readings_options",
    "add_table_options",
    "add_unit_option",
    "feature_pairs",
    "minutes",
    "pairs",
    "table_format",
    "zone_of",
]

_SEVERAL = {"nargs": "+", "action": "extend"}


def add_convert_options(parser: ArgumentParser, format_: Format) -> None:
    """The options of every ``convert``."""
    add = parser.add_argument
    add("--name", default=format_.name, help="name of the data set")
    add("--overwrite", action="store_true", help="replace OUT if it exists")
    add_unit_option(parser)
    add_readings_options(parser, format_)
    add_detector_options(parser)
    _add_edge_options(parser)


def add_readings_options(parser: ArgumentParser, format_: Format) -> None:
    """The options that say what the readings of a source mean."""
    parser.set_defaults(known=None)  # the file that readings are added to
    _add_time_options(parser, format_.timezone)
    _add_rule_options(parser)
    _add_value_options(parser, format_.null_values)


def _add_time_options(parser: ArgumentParser, zone: str | None) -> None:
    add = parser.add_argument
    add(
        "--timezone",
        default=zone,
        help="zone of the network and of times without an offset, IANA name (default: "
        f"{zone or 'UTC'})",
    )
    add(
        "--repeated-hour",
        choices=get_args(RepeatedHour),
        default="order",
        help="which of the two hours in autumn is meant: told by the order of the rows, or, for a "
        "source that holds this hour once, the first or the second (default: %(default)s)",
    )
    add("--since", metavar="TIME", help="first time to take (ISO 8601; local, or with an offset)")
    add("--until", metavar="TIME", help="time from which on nothing is taken")
    add("--interval", type=minutes, help="of the result, e.g. 5min or 30s (default: inferred)")
    add("--round", type=minutes, help="bring times that jitter to a multiple of this, e.g. 30s")


def _add_rule_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--rule",
        **_SEVERAL,
        default=[],
        metavar="FEATURE=RULE",
        help="how finer readings come to --interval: mean, weighted (by the vehicles), sum or last",
    )
    add(
        "--lane-rule",
        **_SEVERAL,
        default=[],
        metavar="FEATURE=RULE",
        help="how lanes of a detector are joined: sum, mean or weighted (default: vehicles are "
        "summed, speeds weighted by them, others averaged)",
    )
    add(
        "--min-share",
        type=float,
        help="share of the finer readings that a reading needs, 0 to 1 (default: 0.5)",
    )
    add(
        "--apart",
        **_SEVERAL,
        default=[],
        metavar="DETECTOR=LENGTH",
        help="detectors whose readings are further apart than those of others, e.g. VD-3=5min, if "
        "a source is too short to tell it (default: as the file knows)",
    )
    add(
        "--on-conflict",
        choices=("error", "first", "last", "mean"),
        default="error",
        help="rows that contradict (default: %(default)s)",
    )


def _add_value_options(parser: ArgumentParser, nulls: Sequence[str]) -> None:
    parser.set_defaults(default_null_values=list(nulls))
    add = parser.add_argument
    add(
        "--null-value",
        **_SEVERAL,
        metavar="[FEATURE=]VALUE",
        help="numbers that mean missing, e.g. -99 speed=0; nan for none; in tables texts too, e.g. "
        "Bad speed=- (default: "
        f"{' '.join(nulls) or 'none'})",
    )
    add(
        "--range",
        **_SEVERAL,
        default=[],
        metavar="FEATURE=LOWEST:HIGHEST",
        help="readings that can be; others are missing",
    )


def add_table_options(parser: ArgumentParser) -> None:
    """The options that say how tables are written, besides :func:`add_detector_options`."""
    parser.set_defaults(takes_texts=True)
    add = parser.add_argument
    add("--delimiter", type=_character, help="between cells, \\t for a tab (default: found)")
    add("--thousands", default="", help="between the thousands of a number, e.g. ',' or ' '")
    add("--skip-rows", type=int, default=0, help="lines before the names of the columns")
    add("--skip-footer", type=int, default=0, help="lines after the last row")
    add("--sheet", default="", help="of an Excel workbook (default: the only one with cells)")
    add("--columns", **_SEVERAL, default=[], help="names of all columns, if no line has them")
    add(
        "--time-column",
        nargs="+",
        help="column of the times, or of a date and one of the time of day (or of seconds since "
        "midnight); default in wide tables: the first",
    )
    add("--time-format", default="", help="strptime format (default: ISO 8601, or what fits alone)")


def add_detector_options(parser: ArgumentParser, required: bool = False) -> None:
    """The options of the table of detectors, and of how all tables are written."""
    add = parser.add_argument
    add(
        "--detectors",
        "--locations",
        required=required,
        help="table of ids and positions: CSV, Excel, GeoJSON, shapefile",
    )
    add("--detector-id-column", help="column of the ids in the table of detectors")
    add("--lat-column", **_SEVERAL, help="latitude; of several columns the mean is taken")
    add("--lon-column", **_SEVERAL, help="longitude; as many columns as of latitude")
    add("--crs", help="system of the coordinates if they are no degrees, e.g. EPSG:3826")
    add("--detector-delimiter", type=_character, help="between cells (default: found)")
    add("--detector-sheet", default="", help="of an Excel workbook of detectors")
    add("--detector-decimal", choices=(".", ","), help="in coordinates (default: --decimal)")
    add("--decimal", choices=(".", ","), help="before the fraction of a number (default: found)")
    add("--encoding", default="", help="e.g. latin-1 (default: UTF-8, or by the byte-order mark)")


def table_format(args: Namespace) -> "TableFormat":
    """The format that the options of :func:`add_table_options` tell."""
    from data_prep.missing import split_nulls
    from data_prep.tables import TableFormat

    return TableFormat(
        delimiter=args.delimiter,
        decimal=args.decimal,
        thousands=args.thousands,
        encoding=args.encoding,
        skip_rows=args.skip_rows,
        skip_footer=args.skip_footer,
        names=tuple(args.columns),
        time_column=tuple(args.time_column) if args.time_column else None,
        time_format=args.time_format,
        sheet=args.sheet,
        null_texts=tuple(split_nulls(args.null_value or ())[1]),
    )


def zone_of(args: Namespace) -> str:
    """The zone of the network; raises ValueError if there is no such zone."""
    return check_zone(args.timezone or "UTC")


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Words ``NAME=VALUE`` as a dictionary.

    Raises:
        ValueError: if a word is none, or a name is there twice.
    """
    split = [text.partition("=")[::2] for text in texts]
    names = [name for name, _ in split]
    if not all(name and value for name, value in split) or len(set(names)) < len(names):
        raise ValueError(f"Expected {option} as NAME=VALUE, each name once (got {texts}).")
    return dict(split)


def feature_pairs(texts: Sequence[str], option: str, features: Sequence[str]) -> dict[str, str]:
    """Words ``FEATURE=VALUE`` as a dictionary, see :func:`pairs`.

    Raises:
        KeyError: if there is no such feature.
    """
    said = pairs(texts, option)
    unknown = sorted(set(said) - set(features))
    if unknown:
        raise KeyError(f"{option} names {unknown}; the features are {list(features)}.")
    return said


def minutes(text: str) -> float:
    """A length of time in minutes, for argparse."""
    try:
        return parse_minutes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _character(text: str) -> str:
    text = text.replace("\\t", "\t")
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"expected one character, \\t for a tab (got {text!r})")
    return text


def add_unit_option(parser: ArgumentParser) -> None:
    """The option of the units of features."""
    parser.add_argument(
        "--unit", **_SEVERAL, default=[], metavar="FEATURE=UNIT", help="e.g. speed=km/h"
    )


def _add_edge_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--edges", help="CSV of road distances to put into OUT: from, to, length, or a matrix")
    add("--edge-delimiter", type=_character, help="between cells (default: found)")
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
