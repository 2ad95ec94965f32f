"""The times of a source brought to UTC, with the hours that its clock skips and repeats."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from data_prep.feed import Block
from data_prep.report import Report
from data_prep.timestamps import to_seconds
from socialgraph.calendar import ClockError, RepeatedHour, absent_hour, parse_stamps, to_utc

__all__ = ["Clocks", "blocks_between", "blocks_in_utc", "report_clocks", "round_blocks"]

_NEAR = 3 * 3600  # seconds in which the next reading may be in an hour that comes twice


@dataclass
class Clocks:
    """What the times of a source were, and what was dropped.

    Args:
        num_local: rows whose time was on the local clock.
        num_known: rows whose time had an offset or counted from 1970.
        absent: local times of the dropped rows.
    """

    num_local: int = 0
    num_known: int = 0
    absent: list[np.datetime64] = field(default_factory=list)


def round_blocks(blocks: Iterable[Block], step: int | None) -> Iterator[Block]:
    """Blocks with times in whole seconds.

    Args:
        blocks: as a format gives them.
        step: seconds; each time goes to its nearest multiple. None refuses fractions of seconds.

    Raises:
        ValueError: if a time lies between two seconds and there is no ``step``.
    """
    for block in blocks:
        if step is None:
            yield replace(block, times=to_seconds(block.times, f"'{block.where}'"))
        else:
            seconds = block.times.astype("datetime64[ms]").astype(np.int64) / 1000
            whole = np.floor(seconds / step + 0.5).astype(np.int64) * step
            yield replace(block, times=whole.astype("datetime64[s]"))


def blocks_in_utc(
    blocks: Iterable[Block],
    zone: str,
    repeated_hour: RepeatedHour,
    clocks: Clocks,
    length: int = 0,
) -> Iterator[Block]:
    """Bring the times of blocks to UTC, and to the starts of their readings.

    A regular axis on a local clock has rows in the hour that this clock leaves out in spring. They
    stand for no time; those without any reading are dropped. Rows at the end of a block that are in
    an hour that comes twice, or near it, wait for the next block, with those before them, so that
    their order is seen as a whole.

    When clocks go forward from 2 to 3, the reading before may be labelled with its end as the clock
    shows it then (03:00), or as if it went on (02:00: BASt's hours). Both are understood, and so
    are both in autumn: the times that one of them cannot place are those of the other.

    Args:
        blocks: times in whole seconds, in the order of the source.
        zone: IANA name of the clock of local times.
        repeated_hour: see :func:`socialgraph.calendar.to_utc`.
        clocks: gets what was done.
        length: seconds of which the times are the ends; 0 if they are the starts.

    Raises:
        socialgraph.calendar.ClockError: if a local time has no place in UTC, or ``repeated_hour``
            is for a source that holds this hour once, and it is there twice.
    """
    waiting: Block | None = None
    for block in blocks:
        if not block.is_local:
            clocks.num_known += len(block)
            yield _earlier(block, length)
            continue
        clocks.num_local += len(block)
        if waiting is not None:
            joined = _join(waiting, block)
            if joined is None:
                yield from _place(waiting, zone, repeated_hour, clocks, length)
            block = block if joined is None else joined
        starts = _earlier(block, length).times
        twice = _comes_twice(block.times, zone) | _comes_twice(starts, zone)
        end = _last_before(block.times, twice) if _may_go_on(block, zone) else len(block)
        waiting = block.rows(slice(end, None)) if end < len(block) else None
        yield from _place(block.rows(slice(0, end)), zone, repeated_hour, clocks, length)
    if waiting is not None:
        yield from _place(waiting, zone, repeated_hour, clocks, length)


def blocks_between(
    blocks: Iterable[Block], since: str | None, until: str | None, zone: str
) -> Iterator[Block]:
    """The rows of blocks in UTC from ``since`` on and before ``until``.

    Args:
        blocks: times in UTC.
        since, until: ISO 8601, with an offset or on the clock of ``zone``; None for no limit.
        zone: IANA name.

    Raises:
        ValueError: if a limit is no time.
    """
    low, high = (None if t is None else parse_stamps([t], zone)[0] for t in (since, until))
    for block in blocks:
        inside = np.ones(len(block), dtype=bool)
        inside &= True if low is None else block.times >= low
        inside &= True if high is None else block.times < high
        if inside.any():
            yield block if inside.all() else block.rows(inside)


def report_clocks(clocks: Clocks, zone: str | None, report: Report) -> None:
    """Report what the times were taken for, and which rows were dropped.

    Args:
        clocks: what was done.
        zone: zone of the network, None if it was not given.
        report: gets the lines.
    """
    if clocks.num_known:
        report.add("times", f"{clocks.num_known} rows by their offset, or as seconds since 1970")
    if clocks.num_local and zone:
        report.add("times", f"{clocks.num_local} rows without offset, on the clock of {zone}")
    if clocks.num_local and not zone:
        report.add(
            "times",
            f"{clocks.num_local} rows without offset, taken as UTC since --timezone is not set",
        )
    if not zone:
        report.add("zone", "UTC; set --timezone for the time of day and the weekday of the network")
    if clocks.absent:
        report.add(
            "absent hour",
            f"{len(clocks.absent)} rows without a reading dropped, {min(clocks.absent)} to "
            f"{max(clocks.absent)}: the clock of {zone} leaves this hour out",
        )


def _place(
    block: Block, zone: str, repeated_hour: RepeatedHour, clocks: Clocks, length: int
) -> Iterator[Block]:
    """Bring the local times of a block to UTC, and from there to the starts of its readings; or the
    other way about, which is tried first if only the starts are in the hour that was chosen."""
    if not len(block):
        return
    before = [0, length] if repeated_hour == "order" else [length, 0]
    errors = []
    for seconds in dict.fromkeys(before):
        try:
            placed, absent = _in_utc(_earlier(block, seconds), zone, repeated_hour)
        except ClockError as error:
            errors.append(error)
            continue
        clocks.absent += absent
        yield _earlier(placed, length - seconds)
        return
    raise ClockError(f"'{block.where}': {errors[0]}") from errors[0]


def _in_utc(
    block: Block, zone: str, repeated_hour: RepeatedHour
) -> tuple[Block, list[np.datetime64]]:
    """A block in UTC, and the local times of its rows without readings in the absent hour."""
    silent = absent_hour(block.times, zone)
    silent[silent] = np.isnan(block.values[silent]).all(axis=tuple(range(1, block.values.ndim)))
    absent = list(block.times[silent])
    block = block.rows(~silent) if silent.any() else block
    utc = to_utc(block.times, zone, repeated_hour, block.codes)
    if repeated_hour != "order":
        _refuse_both_passes(block, zone, repeated_hour)
    return replace(block, times=utc, is_local=False), absent


def _earlier(block: Block, seconds: int) -> Block:
    return replace(block, times=block.times - np.timedelta64(seconds, "s"))


def _last_before(local: np.ndarray, twice: np.ndarray) -> int:
    """Where the rows of the last time before those at the end that are ``twice`` begin."""
    others = np.flatnonzero(~twice)
    if not len(others):
        return 0
    differs = np.flatnonzero(local[: others[-1]] != local[others[-1]])
    return int(differs[-1]) + 1 if len(differs) else 0


def _comes_twice(local: np.ndarray, zone: str) -> np.ndarray:
    """True for times in an hour that comes twice."""
    near = ~absent_hour(local, zone)
    twice = np.zeros(len(local), dtype=bool)
    twice[near] = to_utc(local[near], zone, "first") != to_utc(local[near], zone, "second")
    return twice


def _may_go_on(block: Block, zone: str) -> bool:
    """Whether a block ends in an hour that comes twice, or a few hours from it."""
    if not len(block):
        return False
    nearby = block.times[-1] + np.arange(-_NEAR, _NEAR + 1, 1800).astype("timedelta64[s]")
    return bool(_comes_twice(nearby, zone).any())


def _join(first: Block, second: Block) -> Block | None:
    """Two blocks as one; None if they have other columns."""
    wide = first.codes is None and second.codes is None and first.vdids == second.vdids
    if first.features != second.features or not (
        wide or (first.codes is not None is not second.codes)
    ):
        return None
    times = np.concatenate([first.times, second.times])
    values = np.concatenate([first.values, second.values])
    if wide:
        return replace(second, times=times, values=values)
    place = {vdid: i for i, vdid in enumerate(first.vdids)}
    codes = np.array([place.setdefault(vdid, len(place)) for vdid in second.vdids])[second.codes]
    joined = np.concatenate([first.codes, codes])
    return replace(second, times=times, values=values, vdids=list(place), codes=joined)


def _refuse_both_passes(block: Block, zone: str, how: str) -> None:
    """Refuse a choice of one pass if rows of both are there."""
    rows = np.flatnonzero(_comes_twice(block.times, zone))
    seen: dict[tuple, int] = {}
    odd = 0
    for row in rows.tolist():
        key = (block.times[row], None if block.codes is None else block.codes[row])
        first = seen.setdefault(key, row)
        odd += not np.array_equal(block.values[first], block.values[row], equal_nan=True)
    if odd:
        raise ClockError(
            f"{odd} times from {block.times[rows].min()} on, in the hour that comes twice in "
            f"{zone} when clocks go back, have rows with other readings: the source holds this "
            f"hour twice, and --repeated-hour {how} is for one that holds it once. Leave it out."
        )
