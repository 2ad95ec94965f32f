"""What random networks are drawn from, and the plan of each."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.random import Generator

from data_prep.simulate.faults import FAULTS, Faults

__all__ = ["AT_ONCE", "QUANTITIES", "Plan", "Ranges", "draw_plan"]

AT_ONCE = 8  # networks of one length in days, which are simulated together
_MILE = 0.621371

# Name in the series, place among speed, flow and occupancy, unit, and factor to it.
QUANTITIES = {
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
        layouts: how roads lie: ``"polygon"`` and those of :mod:`data_prep.simulate.layouts`.
        num_roads: roads of two carriageways (one for ``"freeway"``).
        num_detectors: detectors.
        spacing: distance between detectors of a road, in cells (500 m at full scale).
        scale: lengths, speeds and flows against those of freeways; 0.3 is a town, with cells of
            150 m and 30 km/h.
        most_lanes: lanes of the widest road.
        days: length.
        intervals: minutes between readings.
        profiles: courses of the demand over a day
            (:func:`data_prep.simulate.road_network.demand_share`).
        rain: share of the days with showers, in which capacity and speed are lower.
        events: a week: crowds that come to one place for an hour or two.
        quantities: what detectors report, each in its unit.
        noise: deviation of further noise, as a share of that of the readings.
        faults: kinds of faults (:data:`data_prep.simulate.faults.FAULTS`).
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
    quantities: tuple[str, ...] = tuple(QUANTITIES)
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
    group = np.random.default_rng([seed, number // AT_ONCE, 1])
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


def _one_of(choices: tuple, rng: Generator):
    return choices[int(rng.integers(len(choices)))]


def _whole(bounds: tuple[int, int], rng: Generator) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))
