"""What is wrong with detectors: faults that real networks have, at a stated rate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

__all__ = ["FAULTS", "Faults", "add_faults"]


@dataclass(frozen=True)
class Faults:
    """How the readings of a network are spoilt.

    Args:
        kinds: those of :data:`FAULTS` that happen.
        share: share of the detectors with one of these faults.
        rounding: readings are multiples of this; 0 for as they are.
        missing: share of the readings that are missing, one by one.
        zeros: write 0 where a reading is missing, as many agencies do.
    """

    kinds: tuple[str, ...] = ()
    share: float = 0.0
    rounding: float = 0.0
    missing: float = 0.0
    zeros: bool = False


def add_faults(values: np.ndarray, faults: Faults, rng: Generator) -> np.ndarray:
    """Readings ``[T, N]`` as a network with these faults reports them.

    Args:
        values: readings that are right, NaN where a detector is out.
        faults: what is wrong.
        rng: of when and where.
    """
    values = values.copy()
    if faults.kinds:
        for node in np.flatnonzero(rng.random(values.shape[1]) < faults.share):
            spoil = FAULTS[faults.kinds[rng.integers(len(faults.kinds))]]
            values[:, node] = spoil(values[:, node], rng)
    values[rng.random(values.shape) < faults.missing] = np.nan
    if faults.rounding:
        values = faults.rounding * np.rint(values / faults.rounding)
    return np.nan_to_num(values, nan=0.0) if faults.zeros else values


def _span(length: int, rng: Generator) -> slice:
    """Some of the steps: a twentieth to a third of them."""
    size = max(1, int(length * rng.uniform(0.05, 0.33)))
    first = int(rng.integers(0, length - size + 1))
    return slice(first, first + size)


def _stuck(readings: np.ndarray, rng: Generator) -> np.ndarray:
    span = _span(len(readings), rng)
    readings[span] = readings[span.start]
    return readings


def _offset(readings: np.ndarray, rng: Generator) -> np.ndarray:
    return np.maximum(readings + rng.uniform(-0.3, 0.3) * np.nanmean(readings), 0)


def _drift(readings: np.ndarray, rng: Generator) -> np.ndarray:
    return readings * np.linspace(1, rng.uniform(0.7, 1.3), len(readings))


def _dead(readings: np.ndarray, rng: Generator) -> np.ndarray:
    readings[_span(len(readings), rng)] = rng.choice([np.nan, 0.0])
    return readings


def _spikes(readings: np.ndarray, rng: Generator) -> np.ndarray:
    readings[rng.random(len(readings)) < 0.002] = rng.uniform(3, 20) * np.nanmax(readings)
    return readings


# By name, what a fault makes of the readings ``[T]`` of one detector.
FAULTS: dict[str, Callable[[np.ndarray, Generator], np.ndarray]] = {
    "stuck": _stuck,
    "offset": _offset,
    "drift": _drift,
    "dead": _dead,
    "spikes": _spikes,
}
