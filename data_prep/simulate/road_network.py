"""Crossing freeways cut into cells: what the simulated traffic drives on."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.random import Generator
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import spsolve

from data_prep.simulate.layouts import LAYOUTS

__all__ = ["Network", "build_network", "demand_share", "steady_flow"]

CELL = 0.5  # km
STEPS = 4  # per minute: below 120 km/h nobody crosses a cell in one step, as the model demands
STEP = 1 / (60 * STEPS)  # hours
RETREAT = 18 * STEP / CELL  # share of a cell that a wave in a queue, at 18 km/h, moves back
MARGIN = 3  # cells without a detector at either end of a road
SPACING = 1.5  # cells between detectors


@dataclass(frozen=True)
class Network:
    """F freeways of two carriageways, cut into cells of 500 m, in travel order; C cells in all.

    Vehicles are counted per cell, and flows in vehicles per step of 15 s where not in veh/h.

    Args:
        pos: centre of each cell in metres ``[C, 2]``; opposite carriageways lie 25 m apart.
        road: carriageway of each cell ``[C]``: 2f northward or eastward on freeway f, 2f + 1 back.
        advance: share of a cell driven through in one step at free speed ``[C]``, below 1.
        jam: vehicles in a cell that is full ``[C]``.
        lanes: lanes of each cell ``[C]``, 2 to 4.
        capacity: highest flow ``[C]``, at some merges below what the lanes would carry.
        exit_share: share of the outflow that leaves at the cell's end ``[C]``, 1 in last cells.
        ramp: highest flow from the queue beside the cell into it ``[C]``, 0 without a ramp.
        demand: what arrives at entrances and ramps at a full peak, veh/h ``[C]``, 0 elsewhere.
        peaks: height of the morning and of the evening peak ``[2, C]``, 0.5 to 1.1.
        junctions: cells whose exit leads to another freeway ``[X]``.
        targets: cells, one per direction, beside which half of that exit's flow queues ``[X, 2]``.
    """

    pos: np.ndarray
    road: np.ndarray
    advance: np.ndarray
    jam: np.ndarray
    lanes: np.ndarray
    capacity: np.ndarray
    exit_share: np.ndarray
    ramp: np.ndarray
    demand: np.ndarray
    peaks: np.ndarray
    junctions: np.ndarray
    targets: np.ndarray

    @cached_property
    def critical(self) -> np.ndarray:
        """Vehicles in a cell at capacity and free speed ``[C]``; more of them are a queue."""
        return self.capacity / self.advance


def _lay_roads(num_freeways: int, length: int, rng: Generator) -> np.ndarray:
    """Cell centres in metres ``[F, 2, L, 2]``: gently curved roads along the sides of a polygon."""
    angle = np.pi * (0.5 + np.arange(num_freeways) / num_freeways) + rng.uniform(-0.1, 0.1)
    angle = (angle[:, None] + np.pi / 4) % np.pi - np.pi / 4  # east or north first
    turn = 2 * np.pi * (np.arange(length) / length + rng.random((num_freeways, 1)))
    heading = angle + 0.2 * np.sin(turn)
    ahead = np.stack([np.cos(heading), np.sin(heading)], axis=-1)  # [F, L, 2]
    path = 1000 * CELL * np.cumsum(ahead, axis=1)
    path -= path.mean(axis=1, keepdims=True)
    path += 200 * CELL * length * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    right = 12.5 * np.stack([ahead[..., 1], -ahead[..., 0]], axis=-1)
    return np.stack([path + right, (path - right)[:, ::-1]], axis=1)


def _widen(path: np.ndarray) -> np.ndarray:
    """Cell centres in metres ``[F, 2, L, 2]`` of both carriageways of centre lines ``[F, L, 2]``.

    Travel is northward or eastward first, as on the roads of :func:`_lay_roads`.
    """
    path = 1000 * CELL * path
    back = (path[:, -1] - path[:, 0]).sum(axis=-1) < 0
    path = np.where(back[:, None, None], path[:, ::-1], path)
    ahead = np.gradient(path, axis=1)
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    right = 12.5 * np.stack([ahead[..., 1], -ahead[..., 0]], axis=-1)
    return np.stack([path + right, (path - right)[:, ::-1]], axis=1)


def _find_crossings(pos: np.ndarray) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where freeways cross, as pairs of (freeway, place), away from ends and other crossings."""
    path, last = pos[:, 0], pos.shape[2] - 1
    crossings, taken = [], set()
    for f, g in combinations(range(len(path)), 2):
        gap = np.linalg.norm(path[f][:, None] - path[g], axis=-1)
        s, t = (int(index) for index in np.unravel_index(gap.argmin(), gap.shape))
        near = {(road, at + d) for road, at in ((f, s), (g, t)) for d in (-2, -1, 0, 1, 2)}
        if gap[s, t] < 1000 * CELL and min(s, t) > 1 and max(s, t) < last - 1 and not near & taken:
            crossings.append(((f, s), (g, t)))
            taken |= near
    return crossings


def _place_ramps(pos: np.ndarray, rng: Generator) -> dict[str, np.ndarray]:
    """Entrances, ramps every 2.5 km and interchanges: fields of ``Network`` by name."""
    freeways, _, length, _ = pos.shape
    exit_share, ramp, demand = np.zeros((3, 2 * freeways, length))
    exit_share[:, -1], ramp[:, 0] = 1, np.inf
    demand[:, 0] = rng.uniform(3000, 6400, 2 * freeways)
    both = np.array([0, 1])
    crossings = _find_crossings(pos)
    busy = {end for pair in crossings for end in pair}
    for f in range(freeways):
        for s in range(3 + int(rng.integers(3)), length - 3, 5):
            if not busy & {(f, s + d) for d in (-2, -1, 0, 1, 2)}:
                at = np.array([s, length - 1 - s])  # in travel order
                exit_share[2 * f + both, at - 1] = rng.uniform(0.06, 0.16, 2)
                demand[2 * f + both, at + 1] = rng.uniform(300, 700, 2)
                ramp[2 * f + both, at + 1] = 1800 * STEP
    junctions, targets = [], []
    for pair in crossings:
        for (f, s), (g, t) in (pair, pair[::-1]):
            before = (2 * f + both) * length + [s - 1, length - 2 - s]
            after = (2 * g + both) * length + [t + 1, length - t]
            exit_share.flat[before] = rng.uniform(0.12, 0.25, 2)
            ramp.flat[after] = 3600 * STEP
            junctions.extend(before)
            targets.extend([after, after])
    return {
        "exit_share": exit_share.ravel(),
        "ramp": ramp.ravel(),
        "demand": demand.ravel(),
        "junctions": np.array(junctions, int),
        "targets": np.array(targets, int).reshape(-1, 2),
    }


def build_network(
    num_detectors: int,
    num_freeways: int,
    rng: Generator,
    layout: str = "polygon",
    spacing: float = SPACING,
    most_lanes: int = 4,
) -> Network:
    """Roads just long enough for the detectors, with lanes for the higher peak.

    Args:
        num_detectors: how many, on both carriageways of all roads.
        num_freeways: roads.
        rng: of what is drawn.
        layout: ``"polygon"``, or one of :data:`data_prep.simulate.layouts.LAYOUTS`.
        spacing: cells between detectors, 1 or more.
        most_lanes: of a carriageway, 2 or more; the demand is what they carry.
    """
    length = int(np.ceil(spacing * np.ceil(num_detectors / (2 * num_freeways)))) + 2 * MARGIN
    if layout == "polygon":
        pos = _lay_roads(num_freeways, length, rng)
    else:
        pos = _widen(LAYOUTS[layout](num_freeways, length, rng))
    road = np.repeat(np.arange(2 * num_freeways), length)
    inbound = np.where([road % 2 == 0, road % 2 == 1], 1.0, 0.6)
    advance = rng.uniform(94, 106, len(road)) * STEP / CELL
    jam = rng.uniform(120, 130, len(road)) * CELL
    network = Network(
        pos=pos.reshape(-1, 2),
        road=road,
        advance=advance,
        jam=jam,
        lanes=np.ones(len(road), int),
        capacity=jam / (1 / RETREAT + 1 / advance),  # tip of the triangle
        peaks=inbound + rng.uniform(-0.1, 0.1, inbound.shape),
        **_place_ramps(pos, rng),
    )
    return _add_lanes(network, most_lanes, rng)


def _add_lanes(network: Network, most: int, rng: Generator) -> Network:
    """Lanes that carry both peaks, except at half of the merges, where up to 8 % do not fit."""
    peaks = [demand_share(hour, False, network.peaks) for hour in (7.8, 17.8)]
    flow = np.maximum(*(steady_flow(network, peak) for peak in peaks))
    need = flow / network.capacity
    fits = min(1.0, most / need.max())
    lanes = np.clip(np.ceil(fits * need), 2, most).astype(int)
    merge = (network.ramp > 0) & np.isfinite(network.ramp) & (rng.random(len(flow)) < 0.5)
    short = np.where(merge, fits * flow / rng.uniform(0.98, 1.08, len(flow)), np.inf)
    capacity = np.minimum(network.capacity * lanes, short)
    demand = fits * network.demand
    return replace(network, lanes=lanes, jam=network.jam * lanes, capacity=capacity, demand=demand)


def steady_flow(network: Network, share: np.ndarray) -> np.ndarray:
    """Outflow of each cell ``[C]`` under a ``share`` ``[C]`` of the demand, without queues."""
    size, junctions = len(network.demand), network.junctions
    sender = np.concatenate([np.arange(size - 1), np.repeat(junctions, 2)])
    receiver = np.concatenate([np.arange(1, size), network.targets.ravel()])
    stay, turn = 1 - network.exit_share[:-1], np.repeat(network.exit_share[junctions] / 2, 2)
    moves = coo_array((np.concatenate([stay, turn]), (receiver, sender)), shape=(size, size))
    return spsolve((eye_array(size) - moves).tocsc(), STEP * network.demand * share)


def demand_share(
    hour: np.ndarray, weekend: np.ndarray, peaks: np.ndarray, profile: str = "commuter"
) -> np.ndarray:
    """Share of the demand that arrives at an hour of the day ``[..., S]``, for peaks ``[2, S]``.

    Args:
        hour: of the day.
        weekend: whether the day is one.
        peaks: height of the morning and of the evening peak ``[2, S]``.
        profile: ``"commuter"`` has both on working days; ``"leisure"`` has its peak in the
            afternoon of weekends; ``"freight"`` begins early on working days and has no peaks;
            ``"flat"`` hardly changes.
    """

    def daytime(first: float, last: float) -> np.ndarray:
        return 1 / (1 + np.exp((first - hour) / 0.5)) / (1 + np.exp((hour - last) / 0.9))

    morning = peaks[0] * np.exp(-(((hour - 7.8) / 1.1) ** 2) / 2)
    evening = peaks[1] * np.exp(-(((hour - 17.8) / 1.4) ** 2) / 2)
    if profile == "leisure":
        afternoon = 0.4 * peaks.mean(axis=0) * np.exp(-(((hour - 15.5) / 2.5) ** 2) / 2)
        workday = 0.06 + 0.4 * daytime(8.0, 21.5)
        return np.where(weekend, 0.06 + 0.6 * daytime(8.5, 21.0) + afternoon, workday)
    if profile == "freight":
        workday = 0.12 + (0.4 + 0.4 * peaks.mean(axis=0)) * daytime(4.5, 17.5)
        return np.where(weekend, 0.1 + 0.15 * daytime(6.0, 14.0), workday)
    if profile == "flat":
        return 0.35 + 0.25 * daytime(6.0, 22.0) + 0 * (morning + weekend)
    workday = 0.08 + 0.52 * daytime(5.8, 20.5) + 0.4 * (morning + evening)
    return np.where(weekend, 0.08 + 0.58 * daytime(8.5, 20.5), workday)
