"""Detectors on a made-up network: where they are, what they report, and when they are out."""

import numpy as np
from numpy.random import Generator

from data_prep.simulate.road_network import CELL, MARGIN, SPACING, STEP, Network
from data_prep.simulate.traffic import DAY

__all__ = ["describe_detectors", "observe", "outages", "place_detectors"]

VEHICLE = 6.5  # metres, as a loop sees it


def place_detectors(num_detectors: int, road: np.ndarray, spacing: float = SPACING) -> np.ndarray:
    """Cells with a detector ``[N]``, ascending, shared out evenly over the carriageways."""
    roads = road[-1] + 1
    length = len(road) // roads
    cells = []
    for i in range(roads):
        count = num_detectors // roads + (i < num_detectors % roads)
        at = MARGIN + (spacing * np.arange(count)).astype(int)
        cells.append(i * length + (at if i % 2 == 0 else length - 1 - at[::-1]))
    return np.concatenate(cells)


def observe(network: Network, cells, flow, vehicles, rng: Generator) -> np.ndarray:
    """Speed, flow and occupancy as a noisy detector reports them, ``[T, N, 3]`` float32."""
    empty, density = vehicles < 0.05, vehicles / CELL / network.lanes[cells]
    moved = np.where(empty, network.advance[cells], flow / np.where(empty, 1, vehicles))
    speed = moved * CELL / STEP + rng.normal(0, 1.5, moved.shape)
    flow = flow / STEP * rng.normal(1, 0.04, moved.shape)
    occupancy = density * VEHICLE / 10 * rng.normal(1, 0.04, moved.shape)
    values = np.stack([speed, flow, occupancy], axis=-1)
    return np.clip(values, 0, [130, np.inf, 100]).astype(np.float32)


def outages(steps: int, num_detectors: int, interval: int, rng: Generator) -> np.ndarray:
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


def describe_detectors(network: Network, cells: np.ndarray) -> dict[str, dict]:
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
