"""``convert``: the readings of a source, of any format, to one HDF5 file."""

from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from data_prep.account import report_axis, report_pairs, report_rows
from data_prep.clocks import (
    Clocks,
    blocks_between,
    blocks_in_utc,
    report_clocks,
    round_blocks,
)
from data_prep.coarsen import Coarsening, choose_rules, coarser_unit
from data_prep.detectors import DetectorTable, read_detectors
from data_prep.feed import Block, Feed
from data_prep.grid import Grid
from data_prep.joining import drop_null_island, locate_detectors, match_ids, report_positions
from data_prep.lanes import Lanes
from data_prep.missing import MissingRules, parse_rules
from data_prep.options import pairs, refuse_existing, zone_of
from data_prep.report import Report
from data_prep.road_distances import read_road_distances, refuse_wrong_unit
from data_prep.steps import held_blocks, settle_step
from socialgraph import schema
from socialgraph.axis import SeriesError, whole_seconds
from socialgraph.calendar import to_local
from socialgraph.series import RoadDistances, TrafficSeries

__all__ = ["Gathered", "convert", "gather", "read_table"]

_SHORTEST = 20.0  # metres, of a median way


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
    report = Report()
    gathered = gather(args, read, Path(args.out).parent, report)
    schema.write_parts(args.out, gathered.series, gathered.parts)
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
    zone = zone_of(args)
    table = getattr(args, "read_table", read_table)(args)
    args.located = () if table is None else table.vdids
    feed = read(args)
    known = getattr(args, "known", None)  # the file that readings are added to
    if table is None and feed.detectors is None and known is None:
        raise ValueError("Set --detectors to a table of the detectors: ids and positions.")
    units = feed.units | _known(pairs(args.unit, "--unit"), feed.features, "--unit")
    rules = _missing_rules(args, feed)
    rounded = None if args.round is None else whole_seconds(args.round)
    clocks = Clocks()
    blocks = round_blocks(rules.apply(feed.blocks), rounded)
    placed = blocks_in_utc(blocks, zone, args.repeated_hour, clocks)
    lists = held_blocks(blocks_between(placed, args.since, args.until, zone))
    grid, coarsening = _fill(args, feed, lists, zone, units, rounded or feed.step, folder)
    report_clocks(clocks, args.timezone, report)
    report_rows(grid, report)
    feed.tell(report)
    lane_rules = _known(pairs(args.lane_rule, "--lane-rule"), feed.features, "--lane-rule")
    lanes = Lanes(grid.vdids, feed.features, lane_rules)
    axis = _axis(grid, coarsening)
    if table is None and feed.detectors is not None and (own := feed.detectors()) is not None:
        table = drop_null_island(own, report)
    table = None if table is None else match_ids(table, lanes.vdids, report)
    lat, lon = _locate(table, lanes.vdids, report, () if known is None else known.vdids)
    edges = _read_edges(args, lanes.vdids, lat, lon, report)
    report_axis(axis, grid, coarsening.ratio, args.interval is not None, zone, report)
    interval = grid.step * coarsening.ratio
    if coarsening.ratio > 1:
        units = {
            name: coarser_unit(units.get(name, ""), rule, interval)
            for name, rule in zip(feed.features, coarsening.rules, strict=True)
        }
    shape = (len(axis), len(lanes.vdids), len(feed.features))
    series = TrafficSeries(
        values=np.broadcast_to(np.float32("nan"), shape),
        timestamps=axis,
        vdids=lanes.vdids,
        feature_names=feed.features,
        lat=lat,
        lon=lon,
        units=[units.get(name, "") for name in feed.features],
        interval_minutes=interval / 60,
        timezone=zone,
        dataset_name=args.name,
        source=f"data_prep {args.command}: {feed.read}{_places(table)}",
        missing=rules.describe(),
        **_rules_of(rules, coarsening.ratio == 1 and lanes.vdids == grid.vdids),
        vd_info={} if table is None else table.info,
        edges=edges,
    )
    rules.report(report)
    absent: Counter[str] = Counter()
    parts = _parts(grid, lanes, coarsening, absent)
    return Gathered(series, parts, lambda: report_pairs(grid, coarsening, absent, report))


def _rules_of(rules: MissingRules, whole: bool) -> dict[str, dict[str, list[float]]]:
    """The rules for who follows the readings; none if these are sums of what they are for."""
    if not whole:
        return {}
    nulls = {name: list(values) for name, values in rules.null_values.items() if values}
    return {"null_values": nulls, "ranges": {n: list(span) for n, span in rules.ranges.items()}}


def read_table(args: Namespace) -> DetectorTable | None:
    """The table of detectors that the options name, if they name one."""
    if args.detectors is None:
        return None
    return read_detectors(
        args.detectors,
        args.detector_id_column,
        args.lat_column,
        args.lon_column,
        args.detector_delimiter,
        args.crs,
    )


def _fill(
    args: Namespace,
    feed: Feed,
    lists: Iterator[list[Block]],
    zone: str,
    units: dict[str, str],
    hint: int | None,
    folder: Path,
) -> tuple[Grid, Coarsening]:
    first = next(lists, [])
    if not sum(map(len, first)):
        limits = " from --since to --until" if args.since or args.until else ""
        raise ValueError(f"There are no readings in {feed.read}{limits}.")
    interval = None if args.interval is None else whole_seconds(args.interval)
    try:
        step, how = settle_step(first, interval, hint)
    except SeriesError:
        if len({*np.concatenate([block.times for block in first]).tolist()}) == 1:
            # Contradictions at this one time are what is wrong, and said first.
            Grid(1, feed.features, args.on_conflict, zone, folder).add(first)
        raise
    ratio = 1 if interval is None else interval // step
    rules, weight = ["mean"] * len(feed.features), None
    said = _known(pairs(args.rule, "--rule"), feed.features, "--rule")
    if ratio > 1 or said:
        rules, weight = choose_rules(feed.features, units, said, feed.rules)
    if not 0 <= args.min_share <= 1:
        raise ValueError(f"Expected --min-share from 0 to 1 (got {args.min_share:g}).")
    origin = _origin(first[0].times[0], step, step * ratio, zone)
    grid = Grid(step, feed.features, args.on_conflict, zone, folder, ratio, origin, how)
    lists = chain([first], lists)
    del first  # so that it goes when it has been added
    for blocks in lists:
        grid.add(blocks)
        blocks.clear()  # before the next ones are read
    grid.check_length()
    return grid, Coarsening(ratio, rules, weight, args.min_share)


def _origin(time: np.datetime64, step: int, interval: int, zone: str) -> int:
    """Seconds since 1970 of a step of the source that begins an interval on the local clock."""
    second = int(time.astype(np.int64))
    local = int(to_local(np.array([time]), zone)[0].astype(np.int64))
    base = (second - local) % interval
    return base + (second - base) % step


def _axis(grid: Grid, coarsening: Coarsening) -> np.ndarray:
    if coarsening.ratio == 1:
        return grid.axis()
    ratio, interval = coarsening.ratio, grid.step * coarsening.ratio
    steps = np.arange(grid.first // ratio, grid.last // ratio + 1)
    start = grid.origin - grid.origin % grid.step  # readings within a step may be off its start
    return (start + steps * interval).astype("datetime64[s]")


def _parts(
    grid: Grid, lanes: Lanes, coarsening: Coarsening, absent: Counter
) -> Iterator[np.ndarray]:
    ratio = coarsening.ratio
    first, end = grid.first // ratio, grid.last // ratio + 1
    for start, values, present in grid.parts():
        inside = slice(max(0, grid.first - start), grid.last + 1 - start)
        absent["pairs"] += int((~present[inside].any(axis=-1)).sum())
        part = lanes.apply(values)
        part = coarsening.apply(part) if ratio > 1 else part
        begin = start // ratio
        yield part[max(0, first - begin) : end - begin]


def _missing_rules(args: Namespace, feed: Feed) -> MissingRules:
    words = args.default_null_values if args.null_value is None else args.null_value
    return parse_rules(words, args.range, feed.features)


def _known(said: dict[str, str], features: list[str], option: str) -> dict[str, str]:
    unknown = sorted(set(said) - set(features))
    if unknown:
        raise KeyError(f"{option} names {unknown}; the features are {features}.")
    return said


def _locate(
    table: DetectorTable | None, vdids: list[str], report: Report, known: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    if table is None:
        if not set(vdids) <= set(known):
            report.add("positions", "none: set --detectors, or use 'python -m data_prep backfill'")
        return np.full(len(vdids), np.nan), np.full(len(vdids), np.nan)
    lat, lon = locate_detectors(table, vdids)
    report_positions(table, vdids, lat, lon, report)
    return lat, lon


def _places(table: DetectorTable | None) -> str:
    if table is None:
        return ""
    points = " ".join([*table.lat_columns, *table.lon_columns])
    return f"; positions from {points} of '{Path(table.path).name}'"


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
        args.edges, vdids, args.edge_rows, args.edge_keys, args.edge_metres_per_unit, report
    )
    refuse_wrong_unit(args.edges, edges, lat, lon)
    if not np.isfinite(lat).any() and np.median(edges.distance) < _SHORTEST:
        raise ValueError(
            f"The ways of '{args.edges}' have a median of {np.median(edges.distance):.3g} m, which "
            "is no distance of detectors. Set --edge-metres-per-unit (1000 for kilometres, "
            "1609.344 for miles)."
        )
    return edges
