"""Evaluation of the package's sLSTM blocks, without branches on data and from any state."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from socialgraph.nn.convolution import causal_convolution, last_steps
from socialgraph.nn.precision import precise, precise_dtype

__all__ = ["SLSTMState", "slstm_block", "slstm_start"]


class SLSTMState(NamedTuple):
    """What an sLSTM block remembers of each row; :math:`D` is the width of a head.

    Args:
        hidden: :math:`h` :math:`(R, H, D)`.
        cell: :math:`c`, of the same shape.
        norm: :math:`n`.
        top: :math:`m`, the logarithm by which both are scaled down, minus infinity before all.
        recent: last inputs of the convolution :math:`(R, K - 1, H D)`.
    """

    hidden: Tensor
    cell: Tensor
    norm: Tensor
    top: Tensor
    recent: Tensor


def slstm_start(block: nn.Module, rows: int) -> SLSTMState:
    """State before the first step."""
    kernel = block.xlstm.slstm_cell._recurrent_kernel_
    heads, _, width = kernel.shape
    dtype = precise_dtype(kernel.dtype)
    size = block.xlstm.conv1d.conv.weight.size(-1)
    hidden, cell, norm, top = (
        kernel.new_full((rows, heads, width), number, dtype=dtype)
        for number in (0.0, 0.0, 0.0, -torch.inf)
    )
    return SLSTMState(hidden, cell, norm, top, kernel.new_zeros(rows, size - 1, heads * width))


def slstm_block(
    block: nn.Module, x: Tensor, state: SLSTMState | None = None, last: bool = False
) -> tuple[Tensor, SLSTMState | None]:
    r"""Output of the package's sLSTM block, and its state where one was given.

    .. math::
        (\tilde i, \tilde f, \tilde z, \tilde o)_t &= \mathbf{x}_t + \mathbf{R} \mathbf{h}_{t-1} +
        \mathbf{b}, \qquad m_t = \max(\tilde i_t, \log \sigma(\tilde f_t) + m_{t-1}) \\
        c_t &= e^{\log \sigma(\tilde f_t) + m_{t-1} - m_t} c_{t-1} + e^{\tilde i_t - m_t}
        \tanh \tilde z_t, \qquad
        n_t = e^{\log \sigma(\tilde f_t) + m_{t-1} - m_t} n_{t-1} + e^{\tilde i_t - m_t} \\
        h_t &= \sigma(\tilde o_t) \, c_t / n_t

    after Beck et al., `xLSTM: Extended Long Short-Term Memory <https://arxiv.org/abs/2405.04517>`_.
    The package's cell asks at every step whether the state is still zero and writes every step into
    a prepared tensor, so that it neither compiles whole nor runs under :func:`torch.func.vmap`.
    Here :math:`m_0 = -\infty`, or the closed form of the first step. With ``last``, the norm and
    the feed-forward part are those of :math:`t = -1` alone.

    Args:
        block: the block, of whose modules the weights (and the dropout) are used.
        x: rows :math:`(R, T, C)`.
        state: what was before; None for nothing.
        last: return the last step alone.

    Returns:
        :math:`(R, T, C)`, or :math:`(R, 1, C)`; the state after the last step, or None.
    """
    layer, norm = block.xlstm, block.xlstm_norm
    rows, _, channels = x.shape
    width = layer.fgate.weight.size(1)
    normed = F.layer_norm(x, (channels,), norm.weight_proxy, norm.bias, norm.eps)
    gates = _gates(layer, normed, None if state is None else state.recent)  # [T, H, R, 4D]
    hidden, (cell, scale, top) = _run(gates, layer.slstm_cell, state)
    after = None
    if state is not None:
        ends = (hidden[-1], cell, scale, top)
        recent = last_steps(state.recent, normed.to(state.recent.dtype))
        after = SLSTMState(*(end.transpose(0, 1) for end in ends), recent)
    hidden = hidden[-1].unsqueeze(2) if last else torch.stack(hidden, dim=2)  # [H, R, T, D]
    hidden = F.layer_norm(layer.dropout(hidden), (width,), eps=layer.group_norm.eps)
    hidden = hidden.permute(1, 2, 0, 3).reshape(rows, -1, channels)
    x = (x[:, -1:] if last else x) + (hidden * layer.group_norm.weight_proxy).to(x.dtype)
    return x + block.ffn(block.ffn_norm(x)), after


def _gates(layer: nn.Module, normed: Tensor, before: Tensor | None) -> Tensor:
    """Input part of the gates with their bias ``[T, H, R, 4D]``, gate by gate."""
    rows, steps, _ = normed.shape
    heads, width = layer.fgate.weight.shape[:2]
    raw = normed.unflatten(-1, (heads, width)).permute(2, 1, 0, 3).contiguous()  # [H, T, R, D]
    if before is not None:
        before = before.unflatten(-1, (heads, width)).permute(2, 1, 0, 3)
    convolution = layer.conv1d.conv
    weight = convolution.weight.view(heads, 1, 1, width, -1)
    bias = convolution.bias.view(heads, 1, 1, width)
    convolved = F.silu(causal_convolution(raw, weight, bias, before, dim=-3))
    # The package's names of the first two are swapped: its cell takes 'fgate' as input gate.
    from_convolved = torch.cat([layer.fgate.weight.mT, layer.igate.weight.mT], dim=-1)
    from_raw = torch.cat([layer.zgate.weight.mT, layer.ogate.weight.mT], dim=-1)  # [H, D, 2D]
    bias = layer.slstm_cell._bias_.view(4, heads, width).transpose(0, 1).reshape(heads, 1, -1)
    pair = (
        torch.baddbmm(bias[..., : 2 * width], convolved.flatten(1, 2), from_convolved),
        torch.baddbmm(bias[..., 2 * width :], raw.flatten(1, 2), from_raw),
    )
    return torch.cat(pair, dim=-1).unflatten(1, (steps, rows)).transpose(0, 1)


def _run(
    gates: Tensor, parameters: nn.Module, state: SLSTMState | None
) -> tuple[list[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Hidden states of all steps, each ``[H, R, D]``, and cell, norm and top after the last."""
    kernel = parameters._recurrent_kernel_.mT  # [H, D, 4D]
    width = kernel.size(1)
    hidden, steps = [], gates.unbind()
    if state is None:
        top, _, fresh, out = precise(steps[0]).split(width, dim=-1)
        cell, norm = torch.tanh(fresh), torch.ones_like(fresh)
        hidden.append(torch.sigmoid(out) * cell)
        steps = steps[1:]
    else:
        last, cell, norm, top = (part.transpose(0, 1) for part in state[:4])
    for inputs in steps:
        last = hidden[-1] if hidden else last
        gate = precise(torch.baddbmm(inputs, last.to(inputs.dtype), kernel))
        admit, forget, fresh, out = gate.split(width, dim=-1)
        kept = top + F.logsigmoid(forget)
        top = torch.maximum(admit, kept)
        admit, keep = torch.exp(admit - top), torch.exp(kept - top)
        cell = torch.addcmul(keep * cell, admit, torch.tanh(fresh))
        norm = torch.addcmul(admit, keep, norm)
        hidden.append(torch.sigmoid(out) * cell / norm)
    return hidden, (cell, norm, top)
