"""The steps of a source: how far apart its times are, and what lies off them."""

from collections.abc import Iterable, Iterator

import numpy as np

from data_prep.durations import tell_seconds
from data_prep.feed import Block
from data_prep.spacing import finest_step
from socialgraph.axis import SeriesError, infer_interval, regular_axis, whole_seconds
from socialgraph.calendar import format_local, to_local

__all__ = [
    "DistanceError",
    "OffGridError",
    "UnfitError",
    "held_blocks",
    "name_time",
    "off_grid",
    "refuse_days",
    "settle_step",
]

_HELD_BYTES = 2**26
_NAME_BYTES = 64  # of a detector's name
_DAY = 86400  # seconds
_FEW = 4  # times, of which the distance may be by chance


class DistanceError(SeriesError):
    """Readings that are further apart than the steps that were asked for."""


class UnfitError(SeriesError):
    """Readings that do not fit the others; ``where`` is the file that they are of."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.where = where


class OffGridError(UnfitError):
    """Times that are off the grid of most others."""


def held_blocks(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks in lists that are large enough to be worth a pass over the chunks."""
    held: list[Block] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += block.values.nbytes + block.times.nbytes + _NAME_BYTES * len(block.vdids)
        size += 0 if block.codes is None else block.codes.nbytes
        if size >= _HELD_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def settle_step(
    blocks: list[Block],
    interval: int | None,
    told: int | None,
    rounded: int | None,
    finer: int | None = None,
) -> tuple[int, str]:
    """Seconds between two readings, and how they are known.

    Args:
        blocks: readings from the start of the source, or all of them.
        interval: seconds between two steps of the result, None if they were not asked for.
        told: seconds between two readings as the format says it.
        rounded: seconds of which all times are multiples by ``--round``; readings may be further
            apart.

    Raises:
        socialgraph.axis.SeriesError: if it is unknown, times lie off the grid, or all readings are
            further apart than the steps that were asked for.
    """
    times = np.unique(np.concatenate([block.times for block in blocks]))
    if finer is not None:
        return finer, "inferred"
    if told is not None and rounded is not None:
        told = max(told, rounded)
    hint = rounded if told is None and len(times) == 1 else told
    if hint is not None and (len(times) == 1 if interval is None else interval % hint == 0):
        return hint, "as the source says"
    if interval is not None:
        phases = times.astype(np.int64) % interval
        if (phases == phases[0]).all():
            _check_distance(times, interval)
            return interval, "as set"
        step = whole_seconds(infer_interval(times))
        step = finest_step(times, step) or step
        if step >= interval or interval % step:
            _refuse_interval(blocks, times, interval)
        interval = step
    elif len(times) > 1:
        interval = finest_step(times, whole_seconds(infer_interval(times)))
    _, minutes = regular_axis(times, None if interval is None else interval / 60)
    return whole_seconds(minutes), "inferred"


def refuse_days(blocks: list[Block], zone: str, has_offsets: bool) -> None:
    """Require that readings are not days on a clock that changes, which are not equally long.

    Args:
        blocks: readings from the start of the source, in UTC.
        zone: zone of the clock.
        has_offsets: whether times had an offset from UTC.

    Raises:
        socialgraph.axis.SeriesError: naming a zone whose clock does not change.
    """
    times = np.unique(np.concatenate([block.times for block in blocks])).astype("datetime64[s]")
    local = to_local(times, zone).astype("datetime64[s]").astype(np.int64)
    utc = times.astype(np.int64)
    if len(np.unique(local % _DAY)) > 1 or len(np.unique(utc % _DAY)) == 1:
        return
    hours, rest = divmod(int((local - utc).min()), 3600)
    fixed = "UTC" if rest or not hours else f"Etc/GMT{-hours:+d}"
    write = "Write the dates without offsets, and set" if has_offsets else "Set"
    raise SeriesError(
        f"The readings are of days on the clock of {zone}, of which some have 23 or 25 hours; the "
        f"steps of a file are equally long. {write} --timezone {fixed}, whose clock does not "
        "change."
    )


def _check_distance(times: np.ndarray, interval: int) -> None:
    """Require that not all readings are further apart than ``interval`` seconds."""
    distance = int(np.gcd.reduce(np.diff(times.astype("datetime64[s]").astype(np.int64))))
    if len(times) >= _FEW and distance > interval:
        raise DistanceError(
            f"The readings are {tell_seconds(distance)} apart, and not {tell_seconds(interval)}. "
            "Convert them at their own distance to a file of their own: set --interval of "
            "'convert' to it, or leave it out."
        )


def _refuse_interval(blocks: list[Block], times: np.ndarray, interval: int) -> None:
    """Raise the error of times that are off a grid of ``interval`` seconds."""
    phases = times.astype(np.int64) % interval
    values, counts = np.unique(phases, return_counts=True)
    off = times[phases != values[counts.argmax()]]
    where = next(block.where for block in blocks if np.isin(block.times, off).any())
    raise off_grid(times, off, interval, "as set", where)


def name_time(time: np.datetime64, zone: str) -> str:
    """A time in UTC as text on the local clock, with its offset."""
    return format_local(np.array([time]), zone)[0]


def off_grid(
    times: np.ndarray, off: np.ndarray, step: int, set_by: str, where: str
) -> OffGridError:
    """The error of times ``off`` a grid of ``step`` seconds, of all ``times`` of a file."""
    return OffGridError(
        f"{len(off)} of {len(times)} distinct times are off the grid of {step / 60:g} minutes "
        f"({set_by}), first {off[0]} (UTC) of '{where}'. If they jitter, set --round to the "
        "distance of two readings; if the readings are finer, set --interval to a multiple of "
        "their distance.",
        where,
    )
