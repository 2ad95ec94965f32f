"""The causal depthwise convolution of the xLSTM blocks as shifted products."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["causal_convolution", "last_steps"]


def causal_convolution(
    x: Tensor, weight: Tensor, bias: Tensor, before: Tensor | None = None, dim: int = -2
) -> Tensor:
    r"""Weighted sum of each channel's last steps.

    .. math::
        \mathbf{y}_t = \mathbf{b} + \sum_{k=0}^{K-1} \mathbf{w}_{K-1-k} \odot \mathbf{x}_{t-k}

    the depthwise convolution of the xlstm package. Batched weights would turn its ``conv1d``, under
    :func:`torch.func.vmap`, into a grouped convolution, which CPU autocast refuses.

    Args:
        x: :math:`(*, T, *, C)`.
        weight: one factor for each of the last :math:`K` steps, the last axis :math:`(*, C, K)`.
        bias: :math:`(*, C)`.
        before: the :math:`K - 1` steps before ``x``; None for zeros.
        dim: the axis of time, counted from the end.

    Returns:
        As ``x``.
    """
    size, steps = weight.size(-1), x.size(dim)
    if before is None:
        x = F.pad(x, [0, 0] * (-1 - dim) + [size - 1, 0])
    else:
        x = torch.cat([before.to(x.dtype), x], dim=dim)
    y = bias
    for k, factor in enumerate(weight.unbind(dim=-1)):
        y = torch.addcmul(y, factor, x.narrow(dim, k, steps))
    return y


def last_steps(before: Tensor, x: Tensor) -> Tensor:
    """The last steps of both, as many as ``before`` has: ``[R, K - 1, C]`` and ``[R, T, C]``."""
    return torch.cat([before, x], dim=1)[:, x.size(1) :]
