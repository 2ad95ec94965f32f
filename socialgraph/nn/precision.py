"""Single precision or better, whatever autocast or half-precise weights make of the rest."""

import torch
from torch import Tensor

__all__ = ["precise", "precise_dtype"]


def precise_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type itself, or float32 for a half-precise one."""
    return torch.promote_types(dtype, torch.float32)


def precise(x: Tensor) -> Tensor:
    """``x`` in single precision or better."""
    return x.to(precise_dtype(x.dtype))
