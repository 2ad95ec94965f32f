"""A seeded network of crossing freeways, with the traffic of the cell transmission model.

Queues grow backwards from merges and incidents and spill over interchanges, so that a detector's
neighbours know of its future what its own past does not.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np
from numpy.random import Generator
from pyproj import Proj
from scipy.signal import lfilter
from tqdm import tqdm

from data_prep.road_network import (
    CELL,
    MARGIN,
    RETREAT,
    SPACING,
    STEP,
    STEPS,
    Network,
    build_network,
    demand_share,
    steady_flow,
)
from socialgraph.calendar import to_utc
from socialgraph.series import TrafficSeries

__all__ = ["simulate"]

ZONE = "Asia/Taipei"
DAY = 1440  # minutes
DISCHARGE = 0.97  # share of the capacity that leaves a queue
PRIORITY = 0.3  # share of a full cell's intake that comes from its ramp
STORAGE = 120.0  # vehicles on a connector between freeways when it blocks its exits
VEHICLE = 6.5  # metres, as a loop sees it


def simulate(
    num_detectors: int = 60,
    days: int = 14,
    interval_minutes: int = 5,
    seed: int = 0,
    start: str = "2024-01-01T00:00:00",
    num_freeways: int = 3,
    show_progress: bool = False,
) -> TrafficSeries:
    r"""Readings of detectors on crossing freeways, under random demand, capacity and incidents.

    Each carriageway follows the cell transmission model of `Daganzo (1994)
    <https://doi.org/10.1016/0191-2615(94)90002-7>`_, its ramps and interchanges the merges and
    diverges of `Daganzo (1995) <https://doi.org/10.1016/0191-2615(94)00022-R>`_. With :math:`n_i`
    vehicles in cell :math:`i`, on a road without ramps,

    .. math::
        y_i = \min\{v_{i-1} n_{i-1},\; Q_i,\; w (N_i - n_i)\}, \qquad
        n_i \leftarrow n_i + y_i - y_{i+1}.

    Demand has a morning and an evening peak, weekends, and random factors by day and hour. Capacity
    fluctuates, drops by 3 % at the head of a queue, and to 20-60 % in the 15-90 minutes of an
    incident. A detector reports the density of its cell, the flow out of it and their quotient, the
    speed (Edie's definitions), with noise; in all about 3 % of the readings are missing.

    Args:
        num_detectors: N, 500 or 1000 m apart; the roads are as long as this needs.
        days: length in days.
        interval_minutes: averaging time, a divisor of 1440.
        seed: the same options and seed give the same bits.
        start: first time on the clock of Asia/Taipei, ISO 8601 without UTC offset; it decides
            which days are weekends.
        num_freeways: roads, each with two carriageways, that cross near the middle.
        show_progress: whether to show a bar of days.

    Returns:
        ``values`` ``[T, N, 3]``: speed (km/h), flow (veh/h, all lanes), occupancy (%), NaN in
        outages. Detectors are sorted by carriageway, then in its direction of travel; ``vd_info``
        holds ``road_name``, ``direction``, ``lane_num`` and ``milepost_m`` (along the freeway).

    Raises:
        ValueError: if an option is out of its range.
    """
    begin = _check_options(num_detectors, days, interval_minutes, seed, start, num_freeways)
    roads, traffic, devices = np.random.default_rng(seed).spawn(3)
    network = build_network(num_detectors, num_freeways, roads)
    cells = _place_detectors(num_detectors, network.road)
    conditions = _conditions(network, days, begin, traffic)
    progress = tqdm(conditions, total=days, unit="day", disable=not show_progress)
    counts = _run(network, cells, _fill(network, begin), progress, interval_minutes)
    values = _observe(network, cells, *counts, devices)
    values[_outages(*values.shape[:2], interval_minutes, devices)] = np.nan
    vd_info = _describe(network, cells)
    first = to_utc(np.array([begin], "datetime64[s]"), ZONE)
    lon, lat = Proj(proj="aeqd", lat_0=24.99, lon_0=121.30)(*network.pos[cells].T, inverse=True)
    return TrafficSeries(
        values=values,
        timestamps=first + 60 * interval_minutes * np.arange(len(values)),
        vdids=list(vd_info),
        feature_names=["speed", "flow", "occupancy"],
        lat=lat,
        lon=lon,
        units=["km/h", "veh/h", "%"],
        interval_minutes=float(interval_minutes),
        timezone=ZONE,
        dataset_name="simulated",
        source=f"cell transmission model, seed {seed}",
        missing="NaN where the simulated detector is out",
        vd_info=vd_info,
    )


def _check_options(num_detectors, days, interval_minutes, seed, start, num_freeways) -> datetime:
    least = {"num_detectors": 2, "days": 1, "seed": 0, "num_freeways": 1}
    given = (num_detectors, days, seed, num_freeways)
    for (name, bound), value in zip(least.items(), given, strict=True):
        if value < bound:
            raise ValueError(f"Expected '{name}' of {bound} or more (got {value}).")
    if interval_minutes < 1 or DAY % interval_minutes:
        raise ValueError(
            f"Expected 'interval_minutes' as a divisor of {DAY} (got {interval_minutes})."
        )
    try:
        begin = datetime.fromisoformat(start)
    except ValueError as error:
        raise ValueError(f"Expected 'start' as an ISO 8601 time (got {start!r}).") from error
    if begin.tzinfo is not None:
        raise ValueError(f"Expected 'start' without UTC offset (got {start!r}).")
    return begin


def _fill(network: Network, begin: datetime) -> np.ndarray:
    """Vehicles in each cell ``[C]`` at the start: the usual flow of that hour, without queues."""
    share = demand_share(begin.hour + begin.minute / 60, begin.weekday() >= 5, network.peaks)
    return np.minimum(steady_flow(network, share) / network.advance, network.critical)


def _place_detectors(num_detectors: int, road: np.ndarray) -> np.ndarray:
    """Cells with a detector ``[N]``, ascending, shared out evenly over the carriageways."""
    roads = road[-1] + 1
    length = len(road) // roads
    cells = []
    for i in range(roads):
        count = num_detectors // roads + (i < num_detectors % roads)
        at = MARGIN + (SPACING * np.arange(count)).astype(int)
        cells.append(i * length + (at if i % 2 == 0 else length - 1 - at[::-1]))
    return np.concatenate(cells)


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


def _conditions(
    network: Network, days: int, begin: datetime, rng: Generator
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
        share = demand_share(minute[:, None] / 60 % 24 + shift[date], weekend, peaks)
        expected = demand / 60 * share * np.exp(daily[date]) * surge[window]
        arrivals = np.zeros((DAY, size))
        arrivals[:, sources] = rng.poisson(expected) / STEPS
        capacity = network.capacity * dip[window]
        for first, last, cell, percent in incidents - [day * DAY, day * DAY, 0, 0]:
            capacity[max(0, first) : max(0, last), cell] *= percent / 100
        yield capacity, arrivals


def _step(
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


def _run(
    network: Network, cells: np.ndarray, vehicles: np.ndarray, conditions: Iterable, interval: int
) -> np.ndarray:
    """Flow out of and vehicles in the detectors' cells, means over each interval ``[2, T, N]``."""
    queue, days = np.zeros_like(vehicles), []
    for capacity, arrivals in conditions:
        sums = np.zeros((2, DAY, len(cells)))
        for minute, now in enumerate(zip(capacity, arrivals, strict=True)):
            for _ in range(STEPS):
                sums[1, minute] += vehicles[cells]
                vehicles, queue, outflow, _ = _step(network, vehicles, queue, *now)
                sums[0, minute] += outflow[cells]
        days.append(sums.reshape(2, -1, interval, len(cells)).mean(axis=2) / STEPS)
    return np.concatenate(days, axis=1)


def _observe(network: Network, cells, flow, vehicles, rng: Generator) -> np.ndarray:
    """Speed, flow and occupancy as a noisy detector reports them, ``[T, N, 3]`` float32."""
    empty, density = vehicles < 0.05, vehicles / CELL / network.lanes[cells]
    moved = np.where(empty, network.advance[cells], flow / np.where(empty, 1, vehicles))
    speed = moved * CELL / STEP + rng.normal(0, 1.5, moved.shape)
    flow = flow / STEP * rng.normal(1, 0.04, moved.shape)
    occupancy = density * VEHICLE / 10 * rng.normal(1, 0.04, moved.shape)
    values = np.stack([speed, flow, occupancy], axis=-1)
    return np.clip(values, 0, [130, np.inf, 100]).astype(np.float32)


def _outages(steps: int, num_detectors: int, interval: int, rng: Generator) -> np.ndarray:
    """True where a detector is out ``[T, N]``: bursts, longer failures, two gaps of the network."""
    change = np.zeros((steps + 1, num_detectors), np.int32)
    for per_day, mean_minutes in ((0.5, 45), (0.06, 240)):
        count = rng.poisson(per_day * num_detectors * steps * interval / DAY)
        which, first = rng.integers(0, num_detectors, count), rng.uniform(0, steps, count)
        last = first + rng.exponential(mean_minutes / interval, count)
        for edge, sign in ((first, 1), (last, -1)):
            np.add.at(change, (np.rint(np.minimum(edge, steps)).astype(int), which), sign)
    first = rng.uniform(0, steps, 2)
    for edge, sign in ((first, 1), (first + rng.uniform(10, 30, 2) / interval, -1)):
        np.add.at(change, np.rint(np.minimum(edge, steps)).astype(int), sign)
    return change[:-1].cumsum(axis=0) > 0


def _describe(network: Network, cells: np.ndarray) -> dict[str, dict]:
    """``vd_info`` by vdid: road, compass direction, lanes and position along the road."""
    length = len(network.road) // (network.road[-1] + 1)
    road, along = cells // length, cells % length
    number = np.arange(len(cells)) - np.searchsorted(road, road) + 1
    place = np.where(road % 2 == 0, along, length - 1 - along)
    east, north = (network.pos[length - 1 :: length] - network.pos[::length]).T
    quarter = np.rint(np.arctan2(north, east) / (np.pi / 2)).astype(int) % 4
    way = np.array(list("ENWS"))[quarter].tolist()
    return {
        f"VD-F{r // 2 + 1}-{way[r]}-{k:04d}": {
            "road_name": f"Freeway {r // 2 + 1}",
            "direction": way[r],
            "lane_num": int(network.lanes[cell]),
            "milepost_m": float(1000 * CELL * (at + 0.5)),
        }
        for cell, r, k, at in zip(cells, road, number, place, strict=True)
    }
