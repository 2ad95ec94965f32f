"""The causal depthwise convolution of the xLSTM blocks as shifted products."""

import torch
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
        weight: one factor for each of the last :math:`K` steps, the last axis :math:`(*, C, K)`,
            with one axis for each of ``x``.
        bias: :math:`(*, C)`, with one axis for each of ``x``.
        before: the :math:`K - 1` steps before ``x``; None for zeros.
        dim: the axis of time, counted from the end.

    Returns:
        As ``x``.
    """
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    if before is None:
        return _Convolution.apply(x, weight, bias, dim)
    steps = x.size(dim)
    x = torch.cat([before.to(x.dtype), x], dim=dim)
    return _Convolution.apply(x, weight, bias, dim).narrow(dim, before.size(dim), steps)


def last_steps(before: Tensor, x: Tensor) -> Tensor:
    """The last steps of both, as many as ``before`` has: ``[R, K - 1, C]`` and ``[R, T, C]``."""
    return torch.cat([before, x], dim=1)[:, x.size(1) :]


class _Convolution(torch.autograd.Function):
    """Shifted products with a backward of as many, which needs no padded copies."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, dim: int) -> Tensor:
        *earlier, own = weight.unbind(dim=-1)
        y = own * x + bias
        for lag, factor in enumerate(reversed(earlier), start=1):
            count = x.size(dim) - lag
            if count > 0:
                y.narrow(dim, lag, count).add_(factor * x.narrow(dim, 0, count))
        return y

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        x, weight, _, ctx.dim = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        *earlier, own = weight.unbind(dim=-1)
        shape = own.shape
        of_x, of_weight = grad * own, [(grad * x).sum_to_size(shape)]
        for lag, factor in enumerate(reversed(earlier), start=1):
            count = x.size(ctx.dim) - lag
            if count <= 0:
                of_weight.append(torch.zeros_like(factor))
                continue
            late, early = grad.narrow(ctx.dim, lag, count), x.narrow(ctx.dim, 0, count)
            of_x.narrow(ctx.dim, 0, count).add_(factor * late)
            of_weight.append((late * early).sum_to_size(shape))
        of_weight = torch.stack(of_weight[::-1], dim=-1)
        return of_x, of_weight, grad.sum_to_size(shape), None
