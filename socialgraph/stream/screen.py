"""Readings that mean missing or that cannot be, as ``data_prep convert`` was told."""

from collections.abc import Sequence

import numpy as np

from socialgraph.spec import DataSpec

__all__ = ["Screen"]


class Screen:
    """Sets null values and readings outside their range to NaN, and counts them.

    Args:
        spec: what the forecaster was made for, with the null values and ranges of its file.
        null_values: further numbers that mean missing, in every feature.
    """

    def __init__(self, spec: DataSpec, null_values: Sequence[float] = ()) -> None:
        known = (spec.null_values.get(name, ()) for name in spec.features)
        self._null = [np.array([*own, *null_values], np.float32) for own in known]
        no_bounds = (-np.inf, np.inf)
        ranges = [spec.ranges.get(name, no_bounds) for name in spec.features]
        self._low, self._high = np.array(ranges, np.float32).T
        self.num_null = 0
        self.num_outside = 0

    def apply(self, readings: np.ndarray) -> np.ndarray:
        """Readings ``[N, F]``, with NaN for what they cannot be."""
        readings = np.array(readings, dtype=np.float32)
        null = np.stack([np.isin(readings[:, k], own) for k, own in enumerate(self._null)], axis=1)
        readings[null] = np.nan
        outside = (readings < self._low) | (readings > self._high)
        readings[outside] = np.nan
        self.num_null += int(null.sum())
        self.num_outside += int(outside.sum())
        return readings
