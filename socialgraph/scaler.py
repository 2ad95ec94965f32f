"""Standard scaling of readings, and back."""

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Scaler"]


class Scaler(nn.Module):
    r"""Zero mean and unit deviation per feature, from observed training readings.

    .. math:: \mathbf{z} = (\mathbf{x} - \mathrm{loc}) / \mathrm{scale}

    Args:
        loc: mean of each feature :math:`(F)`, in its unit.
        scale: standard deviation of each feature :math:`(F)`, above 0.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("loc", loc.float())
        self.register_buffer("scale", scale.float())

    @classmethod
    def fit(cls, values: np.ndarray, feature_names: list[str]) -> "Scaler":
        """Take the statistics of the readings that are not NaN.

        A feature that never changes gets the scale 1.

        Args:
            values: training readings ``[T, N, F]``, NaN where missing.
            feature_names: their names ``[F]``, for the error.

        Raises:
            ValueError: where a feature has no observed reading.
        """
        count = total = np.zeros(values.shape[-1])
        blocks = np.array_split(values, max(1, values.size // 2**24))
        for block in blocks:
            count = count + np.isfinite(block).sum(axis=(0, 1))
            total = total + np.nansum(block, axis=(0, 1), dtype=np.float64)
        empty = [name for name, n in zip(feature_names, count, strict=True) if n == 0]
        if empty:
            raise ValueError(
                f"Features {empty} have no observed reading in the training split. Leave them out "
                "of 'data.features', or look at the file with 'python -m data_prep inspect'."
            )
        loc = total / count
        square = sum(np.nansum((b - loc) ** 2, axis=(0, 1), dtype=np.float64) for b in blocks)
        scale = np.sqrt(square / count)
        scale[scale < 1e-6 * np.maximum(1, np.abs(loc))] = 1.0
        return cls(torch.from_numpy(loc), torch.from_numpy(scale))

    def transform(self, x: Tensor) -> Tensor:
        """Scale readings ``[..., F]``."""
        return (x - self.loc) / self.scale

    def inverse(self, z: Tensor) -> Tensor:
        """Bring the first ``z.size(-1)`` features ``[..., F]`` back to their units."""
        channels = z.size(-1)
        return z * self.scale[:channels] + self.loc[:channels]
