"""How the roads of a made-up network lie: centre lines in cells, before they are widened."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

__all__ = ["LAYOUTS"]


def _straight(angle: float, middle: np.ndarray, length: int, rng: Generator) -> np.ndarray:
    """A gently curved road ``[L, 2]`` through a point."""
    turn = 2 * np.pi * (np.arange(length) / length + rng.random())
    heading = angle + rng.uniform(0, 0.25) * np.sin(turn)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=-1), axis=0)
    return path - path.mean(axis=0) + middle


def _freeway(num_roads: int, length: int, rng: Generator) -> np.ndarray:
    """Roads that go the same way, far from each other."""
    angle = rng.uniform(0, np.pi)
    aside = np.array([-np.sin(angle), np.cos(angle)])
    return np.stack([_straight(angle, 8 * i * aside, length, rng) for i in range(num_roads)])


def _corridor(num_roads: int, length: int, rng: Generator) -> np.ndarray:
    """Parallel roads three to six cells apart, and one that crosses them."""
    angle = rng.uniform(0, np.pi)
    aside = np.array([-np.sin(angle), np.cos(angle)])
    apart = rng.uniform(3, 6)
    along = [
        _straight(angle, apart * (i - num_roads / 2 + 1) * aside, length, rng)
        for i in range(max(1, num_roads - 1))
    ]
    across = _straight(angle + np.pi / 2, np.zeros(2), length, rng)
    return np.stack([*along, across][:num_roads])


def _grid(num_roads: int, length: int, rng: Generator) -> np.ndarray:
    """Roads of two directions, evenly apart."""
    angle = rng.uniform(0, np.pi)
    paths = []
    for place in range(num_roads):
        way, number = angle + np.pi / 2 * (place % 2), place // 2
        of_way = (num_roads + 1 - place % 2) // 2
        offset = length / (of_way + 1) * (number - (of_way - 1) / 2) + rng.uniform(-1, 1)
        aside = offset * np.array([-np.sin(way), np.cos(way)])
        paths.append(_straight(way, aside, length, rng))
    return np.stack(paths)


def _ring(num_roads: int, length: int, rng: Generator) -> np.ndarray:
    """A ring, and roads through the town that it goes around."""
    turn = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(length) / length
    ring = length / (2 * np.pi) * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    angles = rng.uniform(0, np.pi) + np.pi * np.arange(num_roads - 1) / max(1, num_roads - 1)
    middles = rng.uniform(-2, 2, (num_roads - 1, 2))
    roads = [_straight(a, m, length, rng) for a, m in zip(angles, middles, strict=True)]
    return np.stack([ring, *roads])


Layout = Callable[[int, int, Generator], np.ndarray]

# From the number of roads and the cells of each to their centre lines ``[F, L, 2]``, in cells.
LAYOUTS: dict[str, Layout] = {
    "freeway": _freeway,
    "corridor": _corridor,
    "grid": _grid,
    "ring": _ring,
}
