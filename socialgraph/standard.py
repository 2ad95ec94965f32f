"""Readings of any network and quantity in one unit: each detector's own deviations."""

from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from socialgraph.series import TrafficSeries

__all__ = ["ScaleBy", "Standard", "standardise"]

ScaleBy = Literal["detector", "network"]

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


def standardise(
    series: TrafficSeries, steps: int | None = None, scale_by: ScaleBy = "detector"
) -> tuple[TrafficSeries, Standard]:
    r"""A series of one feature in deviations from each detector's mean.

    .. math:: z_{it} = \mathrm{clip}((x_{it} - \mu_i) / \sigma_i, -10, 10)

    Mean and deviation are drawn towards those of all detectors as if 12 readings came from these,
    so that a detector with few readings, or none, has some too.

    Args:
        series: with one feature.
        steps: leading steps from which mean and deviation are taken; None for all.
        scale_by: ``"network"`` gives all detectors the mean and deviation of all readings.

    Returns:
        The series, without a unit, and what brings it back.

    Raises:
        ValueError: for several features, without a reading in these steps, or for another
            ``scale_by``.
    """
    if scale_by not in get_args(ScaleBy):
        raise ValueError(f"Expected 'scale_by' as one of {get_args(ScaleBy)} (got {scale_by!r}).")
    if len(series.feature_names) != 1:
        raise ValueError(f"Expected one feature (got {series.feature_names}). Select one of them.")
    values = series.values[:steps, :, 0].astype(np.float64)
    known = np.isfinite(values)
    if not known.any():
        raise ValueError(
            f"Expected a reading of {series.feature_names[0]!r} in the history (got none). Leave "
            "this feature out, or give more history."
        )
    loc, scale = (_by_detector if scale_by == "detector" else _of_all)(values, known)
    z = np.clip((series.values[..., 0] - loc) / scale, -_LIMIT, _LIMIT).astype(np.float32)
    scaled = replace(series, values=z[..., None], units=[""], vd_info={}, null_values={}, ranges={})
    return scaled, Standard(loc, scale)


def _by_detector(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each detector ``[N]``, drawn to those of all."""
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
    return loc, np.maximum(scale, least if least > 0 else 1.0)


def _of_all(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of all readings, the same for each detector ``[N]``."""
    everything = values[known]
    scale = everything.std()
    same = np.ones(values.shape[1])
    return everything.mean() * same, (scale if scale > 0 else 1.0) * same
