"""``convert``: the readings of a source, of any format, to one HDF5 file."""

from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.account import report_axis, report_pairs
from data_prep.apart import APART, distances_of
from data_prep.coarsen import Coarsening, coarser_unit
from data_prep.detectors import DetectorTable
from data_prep.feed import Feed
from data_prep.filling import FinerError, fill
from data_prep.grid import Grid
from data_prep.kept import kept_of, pairs_as_kept, units_of
from data_prep.lanes import Lanes
from data_prep.missing import MissingRules, parse_rules, split_nulls
from data_prep.options import feature_pairs, zone_of
from data_prep.places import find_places, read_table, refuse_idle
from data_prep.report import Report
from socialgraph import schema
from socialgraph.atomic import refuse_existing, refuse_replacing
from socialgraph.series import SourceRules, TrafficSeries

__all__ = ["Gathered", "convert", "gather"]


@dataclass
class Gathered:
    """The readings of a feed on a regular axis, and what else is known.

    Args:
        series: everything but the readings, of which it has the shape.
        parts: gives the readings ``[t, N, F]``, part by part, once.
        tell: adds to the report what is known after the last part.
    """

    series: TrafficSeries
    parts: Iterator[np.ndarray]
    tell: Callable[[], None]


def convert(args: Namespace, read: Callable[[Namespace], Feed]) -> int:
    """Convert what ``read`` makes of the options; print the report."""
    refuse_existing(args.out, args.overwrite)
    refuse_replacing(args.out, *_sources(args))
    refuse_idle(args)
    report = Report()
    gathered = gather(args, read, Path(args.out).parent, report)
    schema.write_parts(args.out, gathered.series, gathered.parts, args.overwrite)
    gathered.tell()
    shape = gathered.series.values.shape
    report.add("written", f"'{args.out}', {shape} (time, detector, feature)")
    print(report)
    return 0


def gather(
    args: Namespace, read: Callable[[Namespace], Feed], folder: Path, report: Report
) -> Gathered:
    """Bring the readings of a feed to one regular axis, and its detectors to their places.

    Args:
        args: options of :func:`data_prep.options.add_convert_options`.
        read: gives the feed of these options.
        folder: where readings may be kept that do not fit into memory; the file has no name there.
        report: gets what was found and done.

    Raises:
        KeyError, ValueError: if an option does not fit, rows contradict each other, times form no
            grid, or detectors have no place.
    """
    finer = None
    while True:
        try:
            return _gather(args, read, folder, report, finer)
        except FinerError as error:
            finer = error.step  # less than before, of which it is a divisor


def _gather(
    args: Namespace,
    read: Callable[[Namespace], Feed],
    folder: Path,
    report: Report,
    finer: int | None,
) -> Gathered:
    zone = zone_of(args)  # refused before a file is read
    feed, table = _open(args, read)
    said = feed.units | feature_pairs(args.unit, "--unit", feed.features)
    rules = parse_rules(*_said_missing(args, feed.features, report), feed.features)
    grid, coarsening = fill(args, feed, rules, said, folder, report, finer)
    feed.tell(report)
    units = units_of(args.known, feed.features, said, coarsening.ratio)
    lane_rules = feature_pairs(args.lane_rule, "--lane-rule", feed.features)
    lane_rules = pairs_as_kept("--lane-rule", lane_rules, kept_of(args.known).lane_rules)
    lanes = Lanes(grid.vdids, feed.features, units, lane_rules)
    if coarsening.ratio == 1:
        lanes.check_distances(coarsening.stretches, grid.step)
    lanes.report(report)
    is_joined = coarsening.ratio > 1 or lanes.vdids != grid.vdids
    _check_kept_ranges(args, rules, is_joined)
    apart = distances_of(grid, coarsening.stretches)
    places = find_places(args, feed, table, lanes.vdids, report)
    axis = _axis(grid, coarsening)
    is_set = args.interval is not None
    report_axis(axis, grid, coarsening.ratio, is_set, zone, report)
    rules.report(report)
    absent: Counter[str] = Counter()
    shape = (len(axis), len(lanes.vdids), len(feed.features))
    series = TrafficSeries(
        values=np.broadcast_to(np.float32("nan"), shape),
        timestamps=axis,
        vdids=lanes.vdids,
        feature_names=feed.features,
        lat=places.lat,
        lon=places.lon,
        units=_units(feed, units, grid, coarsening),
        interval_minutes=grid.step * coarsening.ratio / 60,
        timezone=zone,
        dataset_name=args.name,
        source=f"data_prep {args.command}: {feed.read}{places.told}",
        missing=rules.describe(),
        **_rules_of(rules, not is_joined),
        source_rules=_source_rules(args, feed, units, coarsening, lane_rules),
        vd_info=_with_distances(places.info, apart),
        edges=places.edges,
    )
    return Gathered(
        series,
        _parts(grid, lanes, coarsening, absent),
        lambda: report_pairs(grid, coarsening, absent, report),
    )


def _open(args: Namespace, read: Callable[[Namespace], Feed]) -> tuple[Feed, DetectorTable | None]:
    """The feed, and the table of detectors that the options name."""
    table = getattr(args, "read_table", read_table)(args)
    args.located = () if table is None else table.vdids
    feed = read(args)
    if table is None and feed.detectors is None and args.known is None:
        raise ValueError("Set --detectors to a table of the detectors: ids and positions.")
    return feed, table


def _sources(args: Namespace) -> list[str]:
    """All words of the options that may name a file that is read."""
    values = [value for name, value in vars(args).items() if name not in ("out", "file")]
    words = [word for value in values for word in (value if type(value) is list else [value])]
    return [word.rpartition("=")[2] for word in words if type(word) is str]


def _said_missing(
    args: Namespace, features: list[str], report: Report
) -> tuple[list[str], list[str]]:
    """Numbers of ``--null-value`` and ``--range``; if they are not set, what the file says that
    readings are added to, or what is usual in the format."""
    nulls, texts = split_nulls(args.null_value or ())
    for name, text in texts:
        if not (text and getattr(args, "takes_texts", False)):
            raise ValueError(f"Expected --null-value such as -99 or speed=0 (got {text!r}).")
        if name and name not in features:
            raise KeyError(f"--null-value names {name!r}; the features are {features}.")
        report.add("null values", f"the text {text!r} of {name or 'all readings'} set to NaN")
    ranges = args.range
    kept, spans = _kept_rules(args.known)
    if not nulls:
        nulls = [f"{n}={value!r}" for n in features for value in kept.get(n, ())]
        nulls = nulls if kept else args.default_null_values
    kept_ranges = [f"{n}={spans[n][0]!r}:{spans[n][1]!r}" for n in features if n in spans]
    return nulls, ranges or kept_ranges


def _kept_rules(known: TrafficSeries | None) -> tuple[dict, dict]:
    """Null values and ranges of the readings that a file was made of."""
    if known is None:
        return {}, {}
    return known.null_values or known.finer_null_values, known.ranges or known.finer_ranges


def _check_kept_ranges(args: Namespace, rules: MissingRules, is_joined: bool) -> None:
    """Refuse what is outside the ranges of finer readings, and is none of them.

    Raises:
        ValueError: naming the feature.
    """
    if args.known is None or args.range or is_joined:
        return
    for name in args.known.finer_ranges:
        if rules.num_outside.get(name):
            low, high = rules.ranges[name]
            raise ValueError(
                f"{rules.num_outside[name]} readings of {name} are outside {low:g} to {high:g}, "
                "which was the range of the finer readings, or lanes, that the file was made of; "
                f"these are not finer. Set --range {name}=LOWEST:HIGHEST to what they can be."
            )


def _units(feed: Feed, units: dict[str, str], grid: Grid, coarsening: Coarsening) -> list[str]:
    known = [units.get(name, "") for name in feed.features]
    if coarsening.ratio == 1:
        return known
    interval = grid.step * coarsening.ratio
    pairs_of = zip(known, coarsening.rules, strict=True)
    return [coarser_unit(unit, rule, interval) for unit, rule in pairs_of]


def _rules_of(rules: MissingRules, whole: bool) -> dict[str, dict[str, list[float]]]:
    """The rules for who follows the readings, as those of finer ones if these are made of them."""
    finer = "" if whole else "finer_"
    nulls = {name: list(values) for name, values in rules.null_values.items() if values}
    spans = {name: list(span) for name, span in rules.ranges.items()}
    return {f"{finer}null_values": nulls, f"{finer}ranges": spans}


def _with_distances(info: dict[str, dict], apart: dict[str, int]) -> dict[str, dict]:
    """What is known of detectors, with the seconds between the readings of some."""
    return info | {vdid: {**info.get(vdid, {}), APART: seconds} for vdid, seconds in apart.items()}


def _source_rules(
    args: Namespace,
    feed: Feed,
    units: dict[str, str],
    coarsening: Coarsening,
    lane_rules: dict[str, str],
) -> SourceRules:
    is_finer = coarsening.ratio > 1
    return SourceRules(
        rules=dict(zip(feed.features, coarsening.rules, strict=True)) if is_finer else {},
        units={name: units[name] for name in feed.features if name in units} if is_finer else {},
        lane_rules=lane_rules,
        min_share=coarsening.min_share if is_finer else None,
        round=args.round,
        label_end=None if feed.length is None else feed.length / 60,
    )


def _axis(grid: Grid, coarsening: Coarsening) -> np.ndarray:
    if coarsening.ratio == 1:
        return grid.axis()
    ratio, interval = coarsening.ratio, grid.step * coarsening.ratio
    steps = np.arange(grid.first // ratio, grid.last // ratio + 1)
    return (grid.origin - coarsening.lead + steps * interval).astype("datetime64[s]")


def _parts(
    grid: Grid, lanes: Lanes, coarsening: Coarsening, absent: Counter
) -> Iterator[np.ndarray]:
    """Readings ``[t, N, F]`` of detectors. Lanes come to the interval before they are joined, as
    those of one detector may have readings at other distances."""
    ratio = coarsening.ratio
    first, end = grid.first // ratio, grid.last // ratio + 1
    for start, values, present in grid.parts():
        inside = slice(max(0, grid.first - start), grid.last + 1 - start)
        absent["pairs"] += int((~present[inside].any(axis=-1)).sum())
        part = coarsening.apply(values, start) if ratio > 1 else values
        part = lanes.apply(part)
        begin = start // ratio
        yield part[max(0, first - begin) : end - begin]
