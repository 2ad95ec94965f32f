"""A seeded network of crossing freeways, with the traffic of the cell transmission model.

Queues grow backwards from merges and incidents and spill over interchanges, so that a detector's
neighbours know of its future what its own past does not.
"""

from datetime import datetime

import numpy as np
from pyproj import Proj
from tqdm import tqdm

from data_prep.simulate.detectors import describe_detectors, observe, outages, place_detectors
from data_prep.simulate.road_network import Network, build_network
from data_prep.simulate.traffic import DAY, conditions, fill, run
from socialgraph.calendar import to_utc
from socialgraph.series import TrafficSeries

__all__ = ["series_of", "simulate"]

ZONE = "Asia/Taipei"


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
    cells = place_detectors(num_detectors, network.road)
    weather = conditions(network, days, begin, traffic)
    progress = tqdm(weather, total=days, unit="day", disable=None if show_progress else True)
    counts = run(network, cells, fill(network, begin), progress, interval_minutes)
    values = observe(network, cells, *counts, devices)
    values[outages(*values.shape[:2], interval_minutes, devices)] = np.nan
    source = f"cell transmission model, seed {seed}"
    return series_of(network, cells, values, begin, interval_minutes, source)


def series_of(
    network: Network,
    cells: np.ndarray,
    values: np.ndarray,
    begin: datetime,
    interval_minutes: int,
    source: str,
) -> TrafficSeries:
    """The series of speed, flow and occupancy ``[T, N, 3]`` in cells ``[N]`` of a network."""
    vd_info = describe_detectors(network, cells)
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
        source=source,
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
