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
        x: :math:`(A, \cdot, \cdot, C)`, the second or third axis is time.
        weight: one factor for each of the last :math:`K` steps :math:`(A, 1, 1, C, K)`.
        bias: :math:`(A, 1, 1, C)`.
        before: the :math:`K - 1` steps before ``x``; None for zeros.
        dim: the axis of time, -3 or -2.

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

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, dim: int) -> Tensor:
        *earlier, own = weight.unbind(dim=-1)
        y = torch.addcmul(_spread(bias, x), _spread(own, x), x)
        for lag, factor in enumerate(reversed(earlier), start=1):
            count = x.size(dim) - lag
            if count > 0:
                late = y.narrow(dim, lag, count)
                late.addcmul_(_spread(factor, late), x.narrow(dim, 0, count))
        return y

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        x, weight, _, ctx.dim = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def vmap(info, in_dims: tuple, *inputs: Tensor | int) -> tuple[Tensor, int]:
        *tensors, dim = inputs
        whole = (
            x.expand(info.batch_size, *x.shape) if at is None else x.movedim(at, 0)
            for x, at in zip(tensors, in_dims, strict=False)
        )
        y = _Convolution.apply(*(x.flatten(0, 1) for x in whole), dim)
        return y.unflatten(0, (info.batch_size, -1)), 0

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        *earlier, own = weight.unbind(dim=-1)
        of_x, of_weight = grad * _spread(own, grad), [_total(grad * x)]
        for lag, factor in enumerate(reversed(earlier), start=1):
            count = x.size(ctx.dim) - lag
            if count <= 0:
                of_weight.append(torch.zeros_like(factor))
                continue
            late, early = grad.narrow(ctx.dim, lag, count), x.narrow(ctx.dim, 0, count)
            of_x.narrow(ctx.dim, 0, count).addcmul_(_spread(factor, late), late)
            of_weight.append(_total(late * early))
        of_weight = torch.stack(of_weight[::-1], dim=-1)
        return of_x, of_weight, _total(grad), None


def _spread(factor: Tensor, x: Tensor) -> Tensor:
    """Factor repeated along the axis before the channels, so that long runs lie in one piece."""
    return factor.expand(*factor.shape[:-2], x.size(-2), -1).contiguous()


def _total(x: Tensor) -> Tensor:
    return x.sum(dim=-3, keepdim=True).sum(dim=-2, keepdim=True)
