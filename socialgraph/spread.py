"""Some of many places, of which every n-th would fall on the same hours of the day."""

import numpy as np

__all__ = ["spread_over"]


def spread_over(count: int, most: int) -> np.ndarray:
    """``most`` places of ``count``, drawn at random but always the same, ascending; all, if there
    are no more."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))
