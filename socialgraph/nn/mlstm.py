"""Evaluation of the package's mLSTM blocks, in few large products and from any state."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from socialgraph.nn.convolution import causal_convolution, last_steps
from socialgraph.nn.precision import precise, precise_dtype

__all__ = ["MLSTMState", "mlstm_block", "mlstm_start"]

CHUNK = 64
EPS = 1e-6  # of the package


class MLSTMState(NamedTuple):
    """What an mLSTM block remembers of each row; :math:`D` is the width of a head.

    The keys are the convolved inputs, since the queries bear the projection of both.

    Args:
        memory: sum of decayed keys times values :math:`(R, H, D, D)`.
        norm: sum of decayed keys :math:`(R, H, D)`.
        top: logarithm by which both are scaled down :math:`(R, H)`, minus infinity before all.
        recent: last inputs of the convolution :math:`(R, K - 1, H D)`.
    """

    memory: Tensor
    norm: Tensor
    top: Tensor
    recent: Tensor


class _Weights(NamedTuple):
    """Weights of a block, folded.

    ``up`` takes the normed input to keys before their convolution and ``value`` to values, both
    ``[I, C]``; ``query`` takes a convolved input to what keys are compared with ``[H, D, D]``;
    ``gates_normed`` ``[2H, C]`` and ``gates_convolved`` ``[2H, I]`` take both to both gates.
    """

    up: Tensor
    value: Tensor
    query: Tensor
    gates_normed: Tensor
    gates_convolved: Tensor


class _Steps(NamedTuple):
    """Queries, keys, values ``[H, R, T, D]`` and logarithms of both gates ``[H, R, T]``."""

    query: Tensor
    key: Tensor
    value: Tensor
    admit: Tensor
    keep: Tensor

    def part(self, start: int, stop: int) -> "_Steps":
        return _Steps(*(x[:, :, start:stop] for x in self))


def mlstm_start(block: nn.Module, rows: int) -> MLSTMState:
    """State before the first step."""
    layer = block.xlstm
    inner, size = layer.learnable_skip, layer.conv1d.conv.weight.size(-1)
    heads = layer.mlstm_cell.igate.bias.numel()
    width = inner.numel() // heads
    dtype = precise_dtype(inner.dtype)
    return MLSTMState(
        inner.new_zeros(rows, heads, width, width, dtype=dtype),
        inner.new_zeros(rows, heads, width, dtype=dtype),
        inner.new_full((rows, heads), -torch.inf, dtype=dtype),
        inner.new_zeros(rows, size - 1, inner.numel()),
    )


def mlstm_block(
    block: nn.Module, x: Tensor, state: MLSTMState | None = None, last: bool = False
) -> tuple[Tensor, MLSTMState | None]:
    r"""Output of the package's mLSTM block, and its state where one was given.

    .. math::
        \mathbf{q}_t^\top \mathbf{k}_s / \sqrt D = \mathbf{c}_t^\top (\mathbf{W}_q^\top
        \mathbf{W}_k / \sqrt D) \, \mathbf{c}_s, \qquad
        \sum_s a_{ts} \mathbf{v}_s = \mathbf{W}_v \mathbf{U} \sum_s a_{ts} \mathbf{x}_s

    so that the convolved inputs :math:`\mathbf{c}` are the keys, and where the last step after no
    state is wanted, the block's normed inputs :math:`\mathbf{x}` are summed and the sum projected.
    The gates are linear in :math:`\mathbf{x}` and :math:`\mathbf{c}`: their maps are folded too.
    With ``last``, queries, output gate, skip, norm and down-projection are those of :math:`t = -1`,
    and one row of the decay matrix serves them. Otherwise long sequences are read in chunks of
    :data:`CHUNK` steps with the state in between, so that memory grows linearly.

    Args:
        block: the block, of whose modules the weights (and the dropout) are used.
        x: rows :math:`(R, T, C)`.
        state: what was before; None for nothing.
        last: return the last step alone.

    Returns:
        :math:`(R, T, C)`, or :math:`(R, 1, C)`; the state after the last step, or None.
    """
    layer, cell, norm = block.xlstm, block.xlstm.mlstm_cell, block.xlstm_norm
    heads, inner = cell.igate.bias.numel(), layer.learnable_skip.numel()
    up, up_gate = layer.proj_up.weight.split(inner)
    weights = _fold(layer, up)
    normed = F.layer_norm(x, x.shape[-1:], norm.weight_proxy, norm.bias, norm.eps)
    raw = F.linear(normed, weights.up)  # [R, T, I]
    key = F.silu(_convolve(layer, raw, state))
    out_steps = slice(-1, None) if last else slice(None)
    query = _by_head(key[:, out_steps], heads).flatten(1, 2)
    query = torch.bmm(query, weights.query).unflatten(1, (x.size(0), -1))  # [H, R, T, D]
    admit, keep = _gates(weights, cell, normed, key)  # [R, T, H]
    if last and state is None:
        hidden = _read_last(query.squeeze(2), key, normed, admit, keep, weights.value)
    else:
        value = _by_head(F.linear(normed, weights.value), heads)
        gates = (gate.permute(2, 0, 1) for gate in (admit, keep))
        steps = _Steps(query, _by_head(key, heads), value, *gates)
        hidden, state = _attend(steps, state, last)
    hidden = F.layer_norm(hidden, hidden.shape[-1:], eps=cell.outnorm.eps)  # [H, R, T, D]
    hidden = hidden.permute(1, 2, 0, 3).flatten(2)  # [R, T, I]
    hidden = hidden * cell.outnorm.weight_proxy
    hidden = torch.addcmul(hidden, layer.learnable_skip, key[:, out_steps])
    gate = F.silu(F.linear(normed[:, out_steps], up_gate))
    y = layer.dropout(F.linear(hidden.to(gate.dtype) * gate, layer.proj_down.weight))
    if state is not None:
        recent = last_steps(state.recent, raw[:, -state.recent.size(1) :].to(state.recent.dtype))
        state = state._replace(recent=recent)
    return x[:, out_steps] + y, state


def _fold(layer: nn.Module, up: Tensor) -> _Weights:
    cell = layer.mlstm_cell
    heads, inner = cell.igate.bias.numel(), up.size(0)
    width = inner // heads
    # The package's blocks of four ``[I / 4, out, in]`` lie within a head.
    of_query, of_key, of_value = (
        linear.weight.mT for linear in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    query = _within_heads(of_query @ of_key.mT, heads) / math.sqrt(width)
    gates = torch.cat([cell.igate.weight, cell.fgate.weight])  # [2H, 3I]
    gates = gates.T.unflatten(0, (3, -1, of_query.size(-1)))  # [3, I / 4, 4, 2H]
    of_convolved = of_query @ gates[0] + of_key @ gates[1]
    value = of_value.mT @ up.unflatten(0, (-1, of_value.size(-1)))  # [I / 4, 4, C]
    value = value.flatten(0, 1)
    gates_normed = gates[2].flatten(0, 1).T @ value
    return _Weights(up, value, query, gates_normed, of_convolved.flatten(0, 1).T)


def _convolve(layer: nn.Module, raw: Tensor, state: MLSTMState | None) -> Tensor:
    convolution = layer.conv1d.conv
    weight = convolution.weight.view(1, 1, 1, raw.size(-1), -1)
    bias = convolution.bias.view(1, 1, 1, -1)
    before = None if state is None else state.recent.unsqueeze(0)
    return causal_convolution(raw.unsqueeze(0), weight, bias, before).squeeze(0)


def _gates(
    weights: _Weights, cell: nn.Module, normed: Tensor, key: Tensor
) -> tuple[Tensor, Tensor]:
    """Logarithms of both gates ``[R, T, H]``."""
    bias = torch.cat([cell.igate.bias, cell.fgate.bias])
    gates = precise(F.linear(normed, weights.gates_normed, bias))
    gates = gates + precise(F.linear(key, weights.gates_convolved))
    admit, keep = gates.chunk(2, dim=-1)
    return admit, F.logsigmoid(keep)


def _read_last(
    query: Tensor, key: Tensor, normed: Tensor, admit: Tensor, keep: Tensor, value: Tensor
) -> Tensor:
    """Hidden state ``[H, R, 1, D]`` of the last step after no state."""
    heads = query.size(0)
    age = keep.cumsum(dim=1)
    decay = age[:, -1:] - age + admit  # [R, T, H]
    top = decay.max(dim=1, keepdim=True)[0]
    query = query.transpose(0, 1).flatten(1).unsqueeze(1)  # [R, 1, I]
    # Not 'matmul', whose backward is slow for outer products of small vectors.
    score = (precise(query) * precise(key)).unflatten(-1, (heads, -1)).sum(dim=-1)
    score = score * torch.exp(decay - top)
    share = score / _divisor(score.sum(dim=1, keepdim=True), top)
    read = torch.bmm(share.to(normed.dtype).mT, normed)  # [R, H, C]
    value = value.unflatten(0, (heads, -1)).mT  # [H, C, D]
    return torch.bmm(read.transpose(0, 1), value).unsqueeze(2)


def _attend(
    parts: _Steps, state: MLSTMState | None, last: bool
) -> tuple[Tensor, MLSTMState | None]:
    """Hidden states ``[H, R, T, D]``, or of the last step alone, and the state after it."""
    steps = parts.key.size(2)
    if last or (steps == 1 and state is not None):
        state = _remember(parts, state)
        return _recall(parts.query, state), state
    if steps <= CHUNK and state is None:
        return _read(parts, None), None
    running = _start_like(parts) if state is None else state
    hidden = []
    for start in range(0, steps, CHUNK):
        part = parts.part(start, start + CHUNK)
        hidden.append(_read(part, running))
        if state is not None or start + CHUNK < steps:
            running = _remember(part, running)
    return torch.cat(hidden, dim=2), None if state is None else running


def _read(parts: _Steps, state: MLSTMState | None) -> Tensor:
    """Hidden states within a chunk that follows a state."""
    age = parts.keep.cumsum(dim=-1)  # [H, R, T]
    steps = age.size(-1)
    future = torch.ones(steps, steps, dtype=torch.bool, device=age.device).triu(1)
    decay = age.unsqueeze(-1) - age.unsqueeze(-2) + parts.admit.unsqueeze(-2)  # [H, R, T', T]
    decay = decay.masked_fill(future, -torch.inf)
    top = decay.max(dim=-1, keepdim=True)[0]  # [H, R, T', 1]
    if state is not None:
        carried = (age + state.top.T.unsqueeze(-1)).unsqueeze(-1)
        top = torch.maximum(top, carried)
    score = torch.matmul(parts.query, parts.key.mT) * torch.exp(decay - top)
    total, values = score.sum(dim=-1, keepdim=True), None
    if state is not None:
        old = torch.exp(carried - top)  # [H, R, T', 1]
        by_row = precise(parts.query).transpose(0, 1)  # [R, H, T', D]
        values = old * torch.matmul(by_row, state.memory).transpose(0, 1)
        total = total + old * torch.matmul(by_row, state.norm.unsqueeze(-1)).transpose(0, 1)
    divisor = _divisor(total, top)
    read = torch.matmul((score / divisor).to(parts.value.dtype), parts.value)
    return read if values is None else read + values / divisor


def _recall(query: Tensor, state: MLSTMState) -> Tensor:
    """Hidden state ``[H, R, 1, D]`` of the last step from the state after it."""
    query = precise(query).transpose(0, 1)  # [R, H, 1, D]
    total = (query.squeeze(2) * state.norm).sum(dim=-1, keepdim=True)  # [R, H, 1]
    divisor = _divisor(total, state.top.unsqueeze(-1)).unsqueeze(-1)
    return (torch.matmul(query, state.memory) / divisor).transpose(0, 1)


def _divisor(total: Tensor, top: Tensor) -> Tensor:
    return torch.maximum(total.abs(), torch.exp(-top)) + EPS


def _remember(parts: _Steps, state: MLSTMState) -> MLSTMState:
    """State after a chunk that follows a state."""
    age = parts.keep.cumsum(dim=-1)
    decay = age[..., -1:] - age + parts.admit  # [H, R, T]
    carried = age[..., -1] + state.top.T  # [H, R]
    top = torch.maximum(decay.max(dim=-1)[0], carried)
    weight = torch.exp(decay - top.unsqueeze(-1)).transpose(0, 1)  # [R, H, T]
    # The large product takes its layout from the small ones.
    old = torch.exp(carried - top).T.contiguous().unsqueeze(-1)  # [R, H, 1]
    key = precise(parts.key).transpose(0, 1) * weight.unsqueeze(-1)  # [R, H, T, D]
    value = precise(parts.value).transpose(0, 1)
    memory = old.unsqueeze(-1) * state.memory
    if key.size(2) == 1:
        memory.addcmul_(key.mT.contiguous(), value.contiguous())
    else:
        memory.add_(torch.matmul(key.mT, value))
    return state._replace(
        memory=memory, norm=torch.addcmul(key.sum(dim=-2), old, state.norm), top=top.T
    )


def _start_like(parts: _Steps) -> MLSTMState:
    """State before the first step; of a convolution that has nothing before it."""
    heads, rows, _, width = parts.query.shape
    new = parts.admit.new_zeros
    return MLSTMState(
        new(rows, heads, width, width),
        new(rows, heads, width),
        parts.admit.new_full((rows, heads), -torch.inf),
        new(0),
    )


def _within_heads(blocks: Tensor, heads: int) -> Tensor:
    """Blocks ``[B, in, out]`` on the diagonal of one matrix per head ``[H, in, out]``."""
    size = blocks.size(-1)
    blocks = blocks.unflatten(0, (heads, -1))  # [H, B / H, in, out]
    count = blocks.size(1)
    eye = torch.eye(count, dtype=blocks.dtype, device=blocks.device).view(count, 1, count, 1)
    return (blocks.unsqueeze(-2) * eye).reshape(heads, count * size, count * size)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """``[R, T, H * D]`` as ``[H, R, T, D]``."""
    return x.unflatten(-1, (heads, -1)).permute(2, 0, 1, 3)
