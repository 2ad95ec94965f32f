"""Sequences read some steps at once."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["to_patches"]


def to_patches(x: Tensor, patch: int) -> Tensor:
    """Sequences ``[R, T, C]`` as patches of steps ``[R, ceil(T / patch), patch * C]``.

    The first patch begins with zeros if ``patch`` does not divide the steps.
    """
    if patch == 1:
        return x
    return F.pad(x, (0, 0, -x.size(1) % patch, 0)).unflatten(1, (-1, patch)).flatten(2)
