"""As many made-up networks as one asks for, drawn from stated ranges."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import gcd

import numpy as np
from numpy.random import Generator

from data_prep.road_network import Network, build_network
from data_prep.simulate import series_of
from data_prep.simulate_detectors import observe, outages, place_detectors
from data_prep.simulate_faults import FAULTS, Faults, add_faults
from data_prep.simulate_join import join, split_run
from data_prep.simulate_traffic import Happenings, conditions, fill, rain_of
from socialgraph.series import TrafficSeries

__all__ = ["Plan", "Ranges", "draw_plan", "random_networks"]

_AT_ONCE = 8  # networks that are simulated together, as a step takes as long for one
_MILE = 0.621371
_SLOWER_IN_RAIN = 0.12

# Name in the series, place among speed, flow and occupancy, unit, and factor to it.
_QUANTITIES = {
    "speed": ("speed", 0, "km/h", 1.0),
    "speed_mph": ("speed", 0, "mph", _MILE),
    "flow": ("flow", 1, "veh/h", 1.0),
    "count": ("count", 1, "veh", None),  # by the interval
    "occupancy": ("occupancy", 2, "%", 1.0),
}


@dataclass(frozen=True)
class Ranges:
    """What a random network is drawn from: each of a tuple of names, lowest and highest of two.

    Args:
        layouts: how roads lie: ``"polygon"`` and those of :mod:`data_prep.simulate_layouts`.
        num_roads: roads of two carriageways (one for ``"freeway"``).
        num_detectors: detectors.
        spacing: distance between detectors of a road, in cells (500 m at full scale).
        scale: lengths, speeds and flows against those of freeways; 0.3 is a town, with cells of
            150 m and 30 km/h.
        most_lanes: lanes of the widest road.
        days: length.
        intervals: minutes between readings.
        profiles: courses of the demand over a day (:func:`data_prep.road_network.demand_share`).
        rain: share of the days with showers, in which capacity and speed are lower.
        events: a week: crowds that come to one place for an hour or two.
        quantities: what detectors report, each in its unit.
        noise: deviation of further noise, as a share of that of the readings.
        faults: kinds of faults (:data:`data_prep.simulate_faults.FAULTS`).
        faulty: share of the detectors with a fault.
        rounding: share of the deviation of the readings that they are rounded to.
        missing: share of the readings that are missing, beside outages.
        zeros: share of the networks that write 0 where a reading is missing.
    """

    layouts: tuple[str, ...] = ("polygon", "freeway", "corridor", "grid", "ring")
    num_roads: tuple[int, int] = (2, 6)
    num_detectors: tuple[int, int] = (16, 120)
    spacing: tuple[float, float] = (1.0, 3.0)
    scale: tuple[float, float] = (0.3, 1.1)
    most_lanes: tuple[int, int] = (2, 5)
    days: tuple[int, int] = (7, 12)
    intervals: tuple[int, ...] = (5, 5, 5, 10, 15, 60)
    profiles: tuple[str, ...] = ("commuter", "commuter", "leisure", "freight", "flat")
    rain: tuple[float, float] = (0.0, 0.4)
    events: tuple[float, float] = (0.0, 3.0)
    quantities: tuple[str, ...] = tuple(_QUANTITIES)
    noise: tuple[float, float] = (0.0, 0.3)
    faults: tuple[str, ...] = tuple(FAULTS)
    faulty: tuple[float, float] = (0.0, 0.2)
    rounding: tuple[float, float] = (0.0, 0.2)
    missing: tuple[float, float] = (0.0, 0.1)
    zeros: float = 0.15


@dataclass(frozen=True)
class Plan:
    """A random network before it is simulated; the arguments are as in :class:`Ranges`."""

    seed: tuple[int, int]
    layout: str
    num_roads: int
    num_detectors: int
    spacing: float
    scale: float
    most_lanes: int
    days: int
    interval: int
    begin: datetime
    profile: str
    rain: float
    events: float
    quantity: str
    noise: float
    faults: Faults


def draw_plan(seed: int, number: int, ranges: Ranges = Ranges()) -> Plan:
    """The plan of a random network by its number; the same arguments give the same plan.

    The length in days is that of its group of eight, which are simulated together.
    """
    rng = np.random.default_rng([seed, number])
    group = np.random.default_rng([seed, number // _AT_ONCE, 1])
    layout = _one_of(ranges.layouts, rng)
    freeway = layout == "freeway"
    plan = Plan(
        seed=(seed, number),
        layout=layout,
        num_roads=1 if freeway else _whole(ranges.num_roads, rng),
        num_detectors=_whole(ranges.num_detectors, rng),
        spacing=rng.uniform(*ranges.spacing),
        scale=rng.uniform(*ranges.scale),
        most_lanes=_whole(ranges.most_lanes, rng),
        days=_whole(ranges.days, group),
        interval=_one_of(ranges.intervals, rng),
        begin=datetime(2024, 1, 1) + timedelta(days=int(rng.integers(0, 300))),
        profile=_one_of(ranges.profiles, rng),
        rain=rng.uniform(*ranges.rain),
        events=rng.uniform(*ranges.events),
        quantity=_one_of(ranges.quantities, rng),
        noise=rng.uniform(*ranges.noise),
        faults=Faults(
            kinds=ranges.faults,
            share=rng.uniform(*ranges.faulty),
            rounding=rng.uniform(*ranges.rounding),
            missing=rng.uniform(*ranges.missing),
            zeros=bool(rng.random() < ranges.zeros),
        ),
    )
    return replace(plan, num_roads=min(plan.num_roads, max(1, plan.num_detectors // 4)))


def random_networks(
    count: int,
    seed: int = 0,
    ranges: Ranges = Ranges(),
    first: int = 0,
) -> Iterator[TrafficSeries]:
    """Random networks, one by one, each of one quantity; nothing is kept.

    Args:
        count: how many.
        seed: the same seed, ranges and number give the same bits, whichever comes first.
        ranges: what they are drawn from.
        first: number of the first of them.

    Raises:
        ValueError: if ``count`` is below 1, or ``seed`` or ``first`` below 0.
    """
    if count < 1 or seed < 0 or first < 0:
        raise ValueError(
            "Expected 'count' of 1 or more, and 'seed' and 'first' of 0 or more (got "
            f"{count}, {seed} and {first})."
        )
    numbers = list(range(first, first + count))
    while numbers:
        group = [n for n in numbers[:_AT_ONCE] if n // _AT_ONCE == numbers[0] // _AT_ONCE]
        numbers = numbers[len(group) :]
        yield from _simulate([draw_plan(seed, number, ranges) for number in group])


def _simulate(plans: list[Plan]) -> Iterator[TrafficSeries]:
    """Networks of as many days, in one run of the traffic."""
    generators = [np.random.default_rng([*plan.seed, 2]).spawn(4) for plan in plans]
    networks = [_build(plan, own[0]) for plan, own in zip(plans, generators, strict=True)]
    cells = [
        place_detectors(plan.num_detectors, network.road, plan.spacing)
        for plan, network in zip(plans, networks, strict=True)
    ]
    rains = [rain_of(p.days, p.rain, own[3]) for p, own in zip(plans, generators, strict=True)]
    days_of, starts = [], []
    for plan, network, own, rain in zip(plans, networks, generators, rains, strict=True):
        happenings = Happenings(plan.profile, rain, _events(plan, network, own[3]))
        days_of.append(conditions(network, plan.days, plan.begin, own[1], happenings))
        starts.append(fill(network, plan.begin, plan.profile))
    fine = gcd(*(plan.interval for plan in plans))
    runs = split_run(join(networks), networks, cells, starts, days_of, fine)
    for parts in zip(plans, networks, cells, runs, rains, generators, strict=True):
        plan, network, at, counts, rain, own = parts
        counts = counts.reshape(2, -1, plan.interval // fine, len(at)).mean(axis=2)
        yield _report(plan, network, at, counts, rain, own[2])


def _build(plan: Plan, rng: Generator) -> Network:
    return build_network(
        plan.num_detectors, plan.num_roads, rng, plan.layout, plan.spacing, plan.most_lanes
    )


def _events(plan: Plan, network: Network, rng: Generator) -> np.ndarray:
    """First and last minute, cell and factor of the demand of each event ``[E, 4]``."""
    count = rng.poisson(plan.events * plan.days / 7)
    first = 1440 * rng.integers(0, plan.days, count) + rng.integers(9 * 60, 22 * 60, count)
    last = first + rng.integers(60, 150, count)
    cell = rng.integers(0, len(network.road), count)
    return np.stack([first, last, cell, rng.uniform(1.4, 2.5, count)], axis=1)


def _report(
    plan: Plan,
    network: Network,
    cells: np.ndarray,
    counts: np.ndarray,
    rain: np.ndarray,
    rng: Generator,
) -> TrafficSeries:
    """The series of what the detectors say, at the scale, in the unit and with the faults."""
    values = observe(network, cells, *counts, rng)
    steps = len(values)
    wet = np.interp(np.arange(steps) * plan.interval / 5, np.arange(len(rain)), rain)
    slower = 1 - _SLOWER_IN_RAIN * wet[:, None]
    # Of one and the same traffic at another scale, speeds and flows change as the lengths do.
    values *= np.stack([plan.scale * slower, plan.scale + 0 * slower, 1 / slower], axis=-1)
    values[outages(steps, len(cells), plan.interval, rng)] = np.nan
    name, place, unit, factor = _QUANTITIES[plan.quantity]
    factor = plan.interval / 60 if factor is None else factor
    readings = factor * values[..., place].astype(np.float64)
    spread = np.nanstd(readings)
    readings = np.maximum(readings + plan.noise * spread * rng.standard_normal(readings.shape), 0)
    rounding = 1.0 if plan.quantity == "count" else plan.faults.rounding * spread
    readings = add_faults(readings, replace(plan.faults, rounding=rounding), rng)
    small = replace(network, pos=plan.scale * network.pos)
    source = f"cell transmission model, network {plan.seed[1]} of seed {plan.seed[0]}"
    values = np.repeat(readings[..., None].astype(np.float32), 3, axis=-1)
    series = series_of(small, cells, values, plan.begin, plan.interval, source)
    series = series.select([series.feature_names[place]])
    kind = "town" if plan.scale < 0.6 else plan.layout
    return replace(
        series, feature_names=[name], units=[unit], dataset_name=f"random-{plan.seed[1]}-{kind}"
    )


def _one_of(choices: tuple, rng: Generator):
    return choices[int(rng.integers(len(choices)))]


def _whole(bounds: tuple[int, int], rng: Generator) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))
