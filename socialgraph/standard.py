"""Readings of any network and quantity in one unit: each detector's own deviations."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from socialgraph.series import TrafficSeries

__all__ = ["Standard", "standardise"]

_LIMIT = 10.0
_PRIOR = 12  # readings for which all detectors together count
_LEAST_SCALE = 0.05  # of the median scale, for detectors that hardly change


class Standard(NamedTuple):
    """Mean and deviation of each detector.

    Args:
        loc, scale: in the unit of the readings :math:`(N)`; ``scale`` is above 0.
    """

    loc: np.ndarray
    scale: np.ndarray

    def inverse(self, z: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Bring values of the detectors ``node`` back to the unit of the readings."""
        return z * self.scale[node] + self.loc[node]


def standardise(series: TrafficSeries, steps: int | None = None) -> tuple[TrafficSeries, Standard]:
    r"""A series of one feature in deviations from each detector's mean.

    .. math:: z_{it} = \mathrm{clip}((x_{it} - \mu_i) / \sigma_i, -10, 10)

    Mean and deviation are drawn towards those of all detectors as if 12 readings came from these,
    so that a detector with few readings, or none, has some too.

    Args:
        series: with one feature.
        steps: leading steps from which mean and deviation are taken; None for all.

    Returns:
        The series, with the feature ``reading`` without a unit, and what brings it back.

    Raises:
        ValueError: for several features, or without a reading in these steps.
    """
    if len(series.feature_names) != 1:
        raise ValueError(f"Expected one feature (got {series.feature_names}). Select one of them.")
    values = series.values[:steps, :, 0].astype(np.float64)
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("Expected a reading in the history (got none).")
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    own = filled.sum(axis=0) / np.maximum(count, 1)
    everyone = filled.sum() / count.sum()
    loc = (count * own + _PRIOR * everyone) / (count + _PRIOR)
    square = np.where(known, (values - loc) ** 2, 0.0).sum(axis=0)
    variance = square / np.maximum(count, 1)
    usual = np.average(variance, weights=count)
    scale = np.sqrt((count * variance + _PRIOR * usual) / (count + _PRIOR))
    least = _LEAST_SCALE * np.median(scale)
    scale = np.maximum(scale, least if least > 0 else 1.0)
    z = np.clip((series.values[..., 0] - loc) / scale, -_LIMIT, _LIMIT).astype(np.float32)
    scaled = replace(
        series, values=z[..., None], feature_names=["reading"], units=[""], edges=None, vd_info={}
    )
    return scaled, Standard(loc, scale)
