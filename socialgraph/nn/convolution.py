"""The causal depthwise convolution of the xLSTM blocks as shifted products."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CausalConvolution"]


class CausalConvolution(nn.Module):
    r"""Weighted sum of each channel's last steps.

    .. math::
        \mathbf{y}_t = \mathbf{b} + \sum_{k=0}^{K-1} \mathbf{w}_{K-1-k} \odot \mathbf{x}_{t-k}

    with zeros before the first step: the depthwise convolution of the xlstm package, whose weights
    and names it keeps. Batched weights would turn that one, under :func:`torch.func.vmap`, into a
    grouped convolution, which CPU autocast refuses.

    Args:
        conv: the package's convolution, of which only the weights are used.

    Shapes:
        - **x:** :math:`(R, T, C)`; the package's layers also pass an empty state
        - **output:** :math:`(R, T, C)`
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, state: None = None, return_last_state: bool = False) -> Tensor:
        weight = self.conv.weight.squeeze(1)  # [C, K]
        size, steps = weight.size(1), x.size(1)
        padded = F.pad(x, (0, 0, size - 1, 0))
        y = self.conv.bias
        for k in range(size):
            y = y + weight[:, k] * padded[:, k : k + steps]
        return y
