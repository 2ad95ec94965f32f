"""Several networks in one run of the traffic: a step costs nearly as much for one as for many."""

from collections.abc import Iterator

import numpy as np

from data_prep.simulate.road_network import Network
from data_prep.simulate.traffic import run

__all__ = ["join", "split_run"]


def join(networks: list[Network]) -> Network:
    """Networks side by side, as one without a road between them."""
    sizes = [len(network.road) for network in networks]
    shift = np.cumsum([0, *sizes[:-1]])
    roads = np.cumsum([0, *(int(network.road[-1]) + 1 for network in networks[:-1])])
    plain = ("advance", "jam", "lanes", "capacity", "exit_share", "ramp", "demand")
    parts = {name: np.concatenate([getattr(n, name) for n in networks]) for name in plain}
    return Network(
        pos=np.concatenate([network.pos for network in networks]),
        road=np.concatenate([n.road + by for n, by in zip(networks, roads, strict=True)]),
        peaks=np.concatenate([network.peaks for network in networks], axis=1),
        junctions=np.concatenate([n.junctions + by for n, by in zip(networks, shift, strict=True)]),
        targets=np.concatenate([n.targets + by for n, by in zip(networks, shift, strict=True)]),
        **parts,
    )


def split_run(
    whole: Network,
    networks: list[Network],
    cells: list[np.ndarray],
    starts: list[np.ndarray],
    days_of: list[Iterator[tuple[np.ndarray, np.ndarray]]],
    interval: int,
) -> list[np.ndarray]:
    """Flow and vehicles at the detectors of each network, means over intervals ``[2, T, N]``.

    Args:
        whole: the networks as one.
        networks: these.
        cells: cells with a detector in each.
        starts: vehicles in the cells of each at the start.
        days_of: capacity and arrivals of each, day by day; of as many days.
        interval: minutes, a divisor of 1440.
    """
    shift = np.cumsum([0, *(len(network.road) for network in networks[:-1])])
    at = np.concatenate([c + by for c, by in zip(cells, shift, strict=True)])
    together = (
        tuple(np.concatenate(part, axis=1) for part in zip(*day, strict=True))
        for day in zip(*days_of, strict=True)
    )
    counts = run(whole, at, np.concatenate(starts), together, interval)
    return np.split(counts, np.cumsum([len(c) for c in cells])[:-1], axis=2)
