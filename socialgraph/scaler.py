"""Scaling of readings, and back."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from socialgraph.spread import spread_over

__all__ = ["Scaler", "Scaling", "scale_of"]

Scaling = Literal["standard", "robust"]

_ROBUST_QUANTILES = (0.005, 0.995)
# Far beyond readings, and near enough that one code among them makes no infinity.
_LIMITS = {"standard": 100.0, "robust": 10.0}
_MOST_FOR_QUANTILES = 2**22


class Scaler(nn.Module):
    r"""Zero mean and unit deviation per feature; missing readings become 0.

    .. math:: \mathbf{z} = (\mathbf{x} - \mathrm{loc}) / \mathrm{scale}

    Args:
        loc: centre of each feature :math:`(F)`, in its unit.
        scale: deviation of each feature :math:`(F)`, above 0.
        limit: scaled readings beyond it, above or below 0, are set to it; None for no limit.
    """

    def __init__(self, loc: Tensor, scale: Tensor, limit: float | None = None) -> None:
        super().__init__()
        # Kept by the specification of the data, and not with the weights.
        self.register_buffer("loc", torch.as_tensor(loc).float(), persistent=False)
        self.register_buffer("scale", torch.as_tensor(scale).float(), persistent=False)
        self.limit = limit

    def transform(self, x: Tensor, mask: Tensor) -> Tensor:
        """Scale readings ``[..., F]``; 0 where ``mask`` is False, whatever ``x`` holds there."""
        z = (x - self.loc) / self.scale
        if self.limit is not None:
            z = z.clamp(-self.limit, self.limit)
        return torch.where(mask, z, 0.0)

    def inverse(self, z: Tensor) -> Tensor:
        """Bring the first ``z.size(-1)`` features ``[..., F]`` back to their units."""
        channels = z.size(-1)
        return z * self.scale[:channels] + self.loc[:channels]


def scale_of(
    values: np.ndarray, feature_names: list[str], scaling: Scaling = "standard"
) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre and deviation of each feature, from the readings that are not NaN.

    A feature that never changes gets the deviation 1.

    Args:
        values: training readings ``[T, N, F]``, NaN where missing.
        feature_names: their names ``[F]``, for the error.
        scaling: ``"standard"`` for mean and standard deviation; ``"robust"`` takes them after the
            lowest and the highest 0.5 % of the readings are drawn in to the quantiles, so that a
            code such as 65535 changes nothing elsewhere.

    Returns:
        ``loc`` ``[F]`` and ``scale`` ``[F]``, float64, and the limit of scaled readings: 10 if
        robust, else 100.

    Raises:
        ValueError: if a feature has no observed reading.
    """
    low, high = _bounds(values, scaling)
    count = total = np.zeros(values.shape[-1])
    blocks = np.array_split(values, max(1, values.size // 2**24))
    for block in blocks:
        count = count + np.isfinite(block).sum(axis=(0, 1))
        total = total + np.nansum(np.clip(block, low, high), axis=(0, 1), dtype=np.float64)
    empty = [name for name, n in zip(feature_names, count, strict=True) if n == 0]
    if empty:
        raise ValueError(
            f"Features {empty} have no observed reading in the training part. Leave them out of "
            "'data.features', or look at the file with 'python -m data_prep inspect'."
        )
    loc = total / count
    square = sum(
        np.nansum((np.clip(b, low, high) - loc) ** 2, axis=(0, 1), dtype=np.float64) for b in blocks
    )
    scale = np.sqrt(square / count)
    scale[scale <= 1e-6 * np.abs(loc)] = 1.0  # rounding alone
    return loc, scale, _LIMITS[scaling]


def _bounds(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Lowest and highest value of each feature that counts, ``[2, F]``."""
    everything = np.array([-np.inf, np.inf])
    if scaling == "standard":
        return np.tile(everything[:, None], values.shape[-1]).astype(values.dtype)
    most = max(1, _MOST_FOR_QUANTILES * len(values) // values.size)  # whole steps, all detectors
    steps = values[spread_over(len(values), most)]
    columns = (column[~np.isnan(column)] for column in steps.reshape(-1, values.shape[-1]).T)
    bounds = [np.quantile(c, _ROBUST_QUANTILES) if len(c) else everything for c in columns]
    # A feature that is nearly always the same has no spread to draw the rest in to.
    bounds = [pair if pair[0] < pair[1] else everything for pair in bounds]
    return np.stack(bounds, axis=1).astype(values.dtype)
