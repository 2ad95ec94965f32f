"""The traffic of the cell transmission model on a made-up network, day by day."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter

from data_prep.simulate.road_network import RETREAT, STEPS, Network, demand_share, steady_flow

__all__ = ["DAY", "Happenings", "conditions", "fill", "rain_of", "run", "step"]

DAY = 1440  # minutes
DISCHARGE = 0.97  # share of the capacity that leaves a queue
PRIORITY = 0.3  # share of a full cell's intake that comes from its ramp
STORAGE = 120.0  # vehicles on a connector between freeways when it blocks its exits
EVENT_REACH = 4000.0  # metres around an event in which demand rises
RAIN_CAPACITY = 0.85  # share of the capacity that heavy rain leaves


@dataclass(frozen=True)
class Happenings:
    """What comes on top of the usual days.

    Args:
        profile: course of the demand over a day, see :func:`demand_share`.
        rain: strength of the rain every 5 minutes ``[288 days]``, 0 to 1; None for none.
        events: first minute, last minute, place (cell) and factor of the demand around it
            ``[E, 4]``; None for none.
    """

    profile: str = "commuter"
    rain: np.ndarray | None = None
    events: np.ndarray | None = None


def rain_of(days: int, share: float, rng: Generator) -> np.ndarray:
    """Strength of the rain every 5 minutes ``[288 days]``: showers of hours on a share of days."""
    wet = np.zeros(288 * days)
    for day in np.flatnonzero(rng.random(days) < share):
        first = 288 * day + rng.integers(0, 288)
        shower = np.sin(np.linspace(0, np.pi, rng.integers(12, 120)))[: len(wet) - first]
        wet[first : first + len(shower)] += rng.uniform(0.3, 1) * shower
    return np.minimum(wet, 1)


def fill(network: Network, begin: datetime, profile: str = "commuter") -> np.ndarray:
    """Vehicles in each cell ``[C]`` at the start: the usual flow of that hour, without queues."""
    share = demand_share(
        begin.hour + begin.minute / 60, begin.weekday() >= 5, network.peaks, profile
    )
    return np.minimum(steady_flow(network, share) / network.advance, network.critical)


def _draw_noise(days: int, width: int, minutes: float, rng: Generator) -> np.ndarray:
    """Standard normal noise that forgets in ``minutes``, every 5 minutes ``[288 days, width]``."""
    keep = np.exp(-5 / minutes)
    white = rng.standard_normal((288 * days, width))
    white[1:] *= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], white, axis=0)


def _draw_incidents(size: int, days: int, rng: Generator) -> np.ndarray:
    """First and last minute, cell, percent of capacity left ``[I, 4]``; one a month per cell."""
    count = rng.poisson(size * days / 30)
    first = rng.integers(0, days * DAY, count)
    last = first + rng.integers(15, 91, count)
    cell, percent = rng.integers(0, size, count), rng.integers(20, 61, count)
    return np.stack([first, last, cell, percent], axis=1)


def conditions(
    network: Network,
    days: int,
    begin: datetime,
    rng: Generator,
    happenings: Happenings = Happenings(),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each day's capacity and arrivals, in vehicles per step, for each minute ``[1440, C]``."""
    sources, size = np.flatnonzero(network.demand), len(network.road)
    demand, peaks = network.demand[sources], network.peaks[:, sources]
    incidents = _draw_incidents(size, days, rng)
    daily = rng.normal(0, 0.05, (days + 1, 1)) + rng.normal(0, 0.05, (days + 1, len(sources)))
    shift = rng.normal(0, 0.12, (days + 1, 1)) + rng.normal(0, 0.25, len(sources))  # hours
    surge = np.exp(0.07 * _draw_noise(days, len(sources), 60, rng))
    dip = np.clip(1 + 0.08 * _draw_noise(days, size, 20, rng), 0.7, 1)
    for day in range(days):
        minute = begin.hour * 60 + begin.minute + day * DAY + np.arange(DAY)
        date, window = minute // DAY, np.arange(day * DAY, (day + 1) * DAY) // 5
        weekend = (begin.weekday() + date[:, None]) % 7 >= 5
        hour = minute[:, None] / 60 % 24 + shift[date]
        share = demand_share(hour, weekend, peaks, happenings.profile)
        expected = demand / 60 * share * np.exp(daily[date]) * surge[window]
        if happenings.events is not None:
            expected = expected * _crowds(network.pos, sources, day, happenings.events)
        arrivals = np.zeros((DAY, size))
        arrivals[:, sources] = rng.poisson(expected) / STEPS
        capacity = network.capacity * dip[window]
        if happenings.rain is not None:
            capacity *= 1 - (1 - RAIN_CAPACITY) * happenings.rain[window, None]
        for first, last, cell, percent in incidents - [day * DAY, day * DAY, 0, 0]:
            capacity[max(0, first) : max(0, last), cell] *= percent / 100
        yield capacity, arrivals


def _crowds(pos: np.ndarray, sources: np.ndarray, day: int, events: np.ndarray) -> np.ndarray:
    """Factor of the demand at the sources ``[1440, S]`` by the events of a day."""
    factor = np.ones((DAY, len(sources)))
    for first, last, cell, much in events - [day * DAY, day * DAY, 0, 0]:
        near = np.linalg.norm(pos[sources] - pos[int(cell)], axis=1) < EVENT_REACH
        span = slice(int(np.clip(first, 0, DAY)), int(np.clip(last, 0, DAY)))
        factor[span, near] *= much
    return factor


def step(
    network: Network,
    vehicles: np.ndarray,
    queue: np.ndarray,
    capacity: np.ndarray,
    arrivals: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Vehicles and queues ``[C]`` a step later, outflow of the cells ``[C]``, vehicles gone."""
    junctions, targets, keep = network.junctions, network.targets, 1 - network.exit_share
    queue = queue + arrivals
    sending = np.minimum(network.advance * vehicles, capacity)
    space = np.maximum(STORAGE - queue[targets].max(axis=1), 0)
    sending[junctions] = np.minimum(sending[junctions], space / network.exit_share[junctions])
    through = np.append(0, (keep * sending)[:-1])
    behind_queue = np.append(False, ((keep > 0) & (vehicles > network.critical))[:-1])
    intake = np.where(behind_queue, DISCHARGE * capacity, capacity)
    receiving = np.minimum(intake, RETREAT * (network.jam - vehicles))
    waiting = np.minimum(queue, network.ramp)
    main = np.minimum(through, np.maximum(receiving - waiting, (1 - PRIORITY) * receiving))
    merging = np.minimum(waiting, receiving - main)
    ahead = np.append(main[1:], 0)
    outflow = np.where(keep > 0, ahead / np.where(keep > 0, keep, 1), sending)
    leaving = outflow - ahead
    turning = np.bincount(targets.ravel(), np.repeat(leaving[junctions] / 2, 2), len(queue))
    gone = leaving.sum() - turning.sum()
    return vehicles + (main + merging - outflow), queue - merging + turning, outflow, gone


def run(
    network: Network, cells: np.ndarray, vehicles: np.ndarray, days_of: Iterable, interval: int
) -> np.ndarray:
    """Flow out of and vehicles in the detectors' cells, means over each interval ``[2, T, N]``."""
    queue, days = np.zeros_like(vehicles), []
    for capacity, arrivals in days_of:
        sums = np.zeros((2, DAY, len(cells)))
        for minute, now in enumerate(zip(capacity, arrivals, strict=True)):
            for _ in range(STEPS):
                sums[1, minute] += vehicles[cells]
                vehicles, queue, outflow, _ = step(network, vehicles, queue, *now)
                sums[0, minute] += outflow[cells]
        days.append(sums.reshape(2, -1, interval, len(cells)).mean(axis=2) / STEPS)
    return np.concatenate(days, axis=1)
