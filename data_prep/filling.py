"""All readings of a feed on a grid, and how they come to the interval that was asked for."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from data_prep.account import report_rows
from data_prep.apart import apart_of, known_stretches, tell_absent
from data_prep.clocks import (
    Clocks,
    blocks_between,
    blocks_in_utc,
    report_clocks,
    round_blocks,
)
from data_prep.coarsen import Coarsening, check_sums, choose_rules
from data_prep.durations import tell_seconds
from data_prep.feed import Block, Feed
from data_prep.grid import Grid
from data_prep.kept import as_kept, kept_of, pairs_as_kept, units_of
from data_prep.missing import MissingRules
from data_prep.options import feature_pairs, zone_of
from data_prep.report import Report
from data_prep.spacing import finest_step
from data_prep.steps import OffGridError, held_blocks, refuse_days, settle_step
from data_prep.stretches import settle_stretches
from socialgraph.axis import SeriesError, whole_seconds
from socialgraph.calendar import to_local
from socialgraph.series import TrafficSeries

__all__ = ["FinerError", "fill"]

_MIN_SHARE = 0.5  # of the finer readings, unless it is said or kept


class FinerError(Exception):
    """A later part of a source has readings that are ``step`` seconds apart, less than the first
    ones."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step


def fill(
    args: Namespace,
    feed: Feed,
    rules: MissingRules,
    said: dict[str, str],
    folder: Path,
    report: Report,
    finer: int | None,
) -> tuple[Grid, Coarsening]:
    """All readings on a grid, and how they come to the interval that was asked for.

    Args:
        args: options of :func:`data_prep.options.add_readings_options`.
        feed: gives the readings.
        rules: which of them are missing.
        said: units of the features, by the options or by the source.
        folder: where readings may be kept that do not fit into memory.
        report: gets what was found and done.
        finer: seconds between two readings of a later part of the source, if they are known.

    Raises:
        FinerError: if there is such a part.
        KeyError, ValueError: if an option does not fit, rows contradict each other, or times form
            no grid.
    """
    clocks, zone, apart = Clocks(), zone_of(args), apart_of(args)
    rounded = None if args.round is None else whole_seconds(args.round)
    blocks = round_blocks(rules.apply(feed.blocks), rounded)
    placed = blocks_in_utc(blocks, zone, args.repeated_hour, clocks, feed.length or 0)
    lists = held_blocks(blocks_between(placed, args.since, args.until, zone))
    first = next(lists, [])
    if not sum(map(len, first)):
        limits = " from --since to --until" if args.since or args.until else ""
        raise SeriesError(f"There are no readings in {feed.read}{limits}.")
    interval = None if args.interval is None else whole_seconds(args.interval)
    refuse_days(first, zone, clocks.num_known > 0)
    try:
        with _looking_on(first, lists, interval):
            step, how = settle_step(first, interval, feed.step, rounded, finer)
    except SeriesError:
        if len({*np.concatenate([block.times for block in first]).tolist()}) == 1:
            # Contradictions at this one time are what is wrong, and said first.
            Grid(1, feed.features, args.on_conflict, zone, folder).add(first)
        raise
    ratio = 1 if interval is None else interval // step
    units = units_of(args.known, feed.features, said, ratio)
    coarsening = _coarsening(args, feed, units, ratio)
    usual = _usual_time(first, step)
    start = _start(args.known, usual, step * ratio, zone)
    coarsening.lead = (int(usual.astype(np.int64)) - start) % step
    origin = start + coarsening.lead
    grid = Grid(step, feed.features, args.on_conflict, zone, folder, ratio, origin, how)
    lists = chain([first], lists)
    del first  # so that it goes when it has been added
    for held in lists:
        with _looking_on(held, lists, step):
            grid.add(held)
        held.clear()  # before the next ones are read
    grid.check_length()
    report_clocks(clocks, args.timezone, report)
    report_rows(grid, report)
    coarsening.stretches = settle_stretches(grid, interval, zone, report)
    if ratio > 1:
        tell_absent(args, grid, report)
        found = coarsening.stretches
        coarsening.stretches = [*found, *known_stretches(grid, ratio, found, apart, report)]
    if feed.length is not None:
        _check_length(feed.length, step, coarsening, report)
    if ratio > 1:
        check_sums(feed.features, units, coarsening.rules, step, coarsening.stretches)
    return grid, coarsening


def _check_length(length: int, step: int, coarsening: Coarsening, report: Report) -> None:
    """Require that readings whose times were their ends are as far apart as they are long."""
    apart = sorted({step} | {step * of.distance for of in coarsening.stretches})
    if apart != [length]:
        advice = f"Set --label-end {tell_seconds(step).replace(' ', '')}."
        if len(apart) > 1:
            advice = "Convert those of each distance to a file of their own."
        distances = " and ".join(map(tell_seconds, apart))
        raise SeriesError(
            f"The readings are {distances} apart, and --label-end says {tell_seconds(length)}. "
            f"{advice}"
        )
    report.add(
        "labels", f"times are the ends of {tell_seconds(length)}, and were brought to the starts"
    )


def _coarsening(args: Namespace, feed: Feed, units: dict[str, str], ratio: int) -> Coarsening:
    said = feature_pairs(args.rule, "--rule", feed.features)
    share, kept = args.min_share, kept_of(args.known)
    if ratio == 1:  # none is used, and none asked for
        said = dict.fromkeys(feed.features, "mean") | said
    else:
        said = pairs_as_kept("--rule", said, kept.rules)
        share = as_kept("--min-share", share, kept.min_share)
    rules, weight = choose_rules(feed.features, units, said, feed.rules)
    share = _MIN_SHARE if share is None else share
    if not 0 <= share <= 1:
        raise ValueError(f"Expected --min-share from 0 to 1 (got {share:g}).")
    return Coarsening(ratio, rules, weight, share)


@contextmanager
def _looking_on(
    blocks: list[Block], lists: Iterator[list[Block]], step: int | None
) -> Iterator[None]:
    """Raise :class:`FinerError` if times are off the grid, but those of ``blocks`` and the next
    ones are so many seconds apart that ``step`` is a multiple of it."""
    try:
        yield
    except OffGridError as error:
        times = np.unique(np.concatenate([b.times for b in (*blocks, *next(lists, []))]))
        finer = None if step is None else finest_step(times, step)
        if finer is not None:
            raise FinerError(finer) from error
        raise


def _usual_time(blocks: list[Block], step: int) -> np.datetime64:
    """A time that as many of the others as possible are multiples of ``step`` seconds from."""
    times = np.unique(np.concatenate([block.times for block in blocks]))
    _, first, counts = np.unique(
        times.astype(np.int64) % step, return_index=True, return_counts=True
    )
    return times[first[counts.argmax()]]


def _start(known: TrafficSeries | None, time: np.datetime64, interval: int, zone: str) -> int:
    """Seconds since 1970 at which an interval begins: as those of the file that readings are added
    to, else on the local clock at ``time``."""
    if known is not None:
        return int(known.timestamps[0].astype(np.int64)) % interval
    local = int(to_local(np.array([time]), zone)[0].astype(np.int64))
    return (int(time.astype(np.int64)) - local) % interval
