"""As many made-up networks as one asks for, drawn from stated ranges."""

from collections.abc import Iterator
from dataclasses import replace
from math import gcd

import numpy as np
from numpy.random import Generator

from data_prep.simulate.detectors import observe, outages, place_detectors
from data_prep.simulate.faults import add_faults
from data_prep.simulate.freeways import series_of
from data_prep.simulate.join import join, split_run
from data_prep.simulate.ranges import AT_ONCE, QUANTITIES, Plan, Ranges, draw_plan
from data_prep.simulate.road_network import Network, build_network
from data_prep.simulate.traffic import Happenings, conditions, fill, rain_of
from socialgraph.series import TrafficSeries

__all__ = ["random_networks"]

_SLOWER_IN_RAIN = 0.12


def random_networks(
    count: int,
    seed: int = 0,
    ranges: Ranges = Ranges(),  # noqa: B008, frozen
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
        group = [n for n in numbers[:AT_ONCE] if n // AT_ONCE == numbers[0] // AT_ONCE]
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
    name, place, unit, factor = QUANTITIES[plan.quantity]
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
