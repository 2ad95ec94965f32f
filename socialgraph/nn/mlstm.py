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

    The values and both gates are linear in the block's normed input, the rest of the gates in the
    convolved one; so the up-projection, the values and the gates are folded into one product, and
    queries, keys and gates into one product per head (the package's blocks of four lie within a
    head). With ``last``, queries, output gate, skip, norm and down-projection are those of
    :math:`t = -1` alone, and one row of the decay matrix serves them. Longer sequences are read in
    chunks of :data:`CHUNK` steps with the state in between, so that memory grows linearly.

    Args:
        block: the block, of whose modules the weights (and the dropout) are used.
        x: rows :math:`(R, T, C)`.
        state: what was before; None for nothing.
        last: return the last step alone.

    Returns:
        :math:`(R, T, C)`, or :math:`(R, 1, C)`; the state after the last step, or None.
    """
    layer, cell, norm = block.xlstm, block.xlstm.mlstm_cell, block.xlstm_norm
    rows, _, channels = x.shape
    heads, inner = cell.igate.bias.numel(), layer.learnable_skip.numel()
    normed = F.layer_norm(x, (channels,), norm.weight_proxy, norm.bias, norm.eps)
    up, up_gate = layer.proj_up.weight.split(inner)
    parts, convolved, recent = _project(layer, normed, up, None if state is None else state.recent)
    out_steps = slice(-1, None) if last else slice(None)
    if last:
        convolved = convolved[:, :, -1:]
    hidden, state = _attend(parts, state, last)  # [H, R, T, D]
    width = inner // heads
    hidden = F.layer_norm(hidden, (width,), eps=cell.outnorm.eps)
    hidden = hidden * cell.outnorm.weight_proxy.view(heads, 1, 1, width)
    hidden = hidden + layer.learnable_skip.view(heads, 1, 1, width) * convolved
    hidden = hidden.permute(1, 2, 0, 3).reshape(rows, -1, inner)  # [R, T, I]
    gate = F.silu(F.linear(normed[:, out_steps], up_gate))
    y = layer.dropout(F.linear(hidden.to(gate.dtype) * gate, layer.proj_down.weight))
    after = None if state is None else state._replace(recent=recent)
    return x[:, out_steps] + y, after


def _project(
    layer: nn.Module, normed: Tensor, up: Tensor, before: Tensor | None
) -> tuple[_Steps, Tensor, Tensor | None]:
    """What the memory reads, the convolved input ``[H, R, T, D]``, and its last raw inputs."""
    cell = layer.mlstm_cell
    rows, steps, channels = normed.shape
    heads, inner = cell.igate.bias.numel(), up.size(0)
    width = inner // heads
    query, key, value = (
        _within_heads(linear.weight, heads) for linear in (layer.q_proj, layer.k_proj, layer.v_proj)
    )  # [H, D, D], from input to output
    gates = torch.cat([cell.igate.weight, cell.fgate.weight])  # [2H, 3I]
    of_query, of_key, of_value = gates.view(2 * heads, 3, heads, width).permute(1, 2, 3, 0)
    up = up.view(heads, width, channels).mT  # [H, C, D]
    up_value = up @ value
    of_normed = (up_value @ of_value).sum(dim=0)  # [C, 2H]

    flat = normed.reshape(rows * steps, channels)
    # Not 'matmul', which folds the heads and copies the result back.
    lifted = torch.bmm(flat.expand(heads, -1, -1), torch.cat([up, up_value], dim=-1))
    raw, values = lifted.unflatten(1, (rows, steps)).split(width, dim=-1)  # [H, R, T, D]
    convolution = layer.conv1d.conv
    convolved = F.silu(
        causal_convolution(
            raw,
            convolution.weight.view(heads, 1, 1, width, -1),
            convolution.bias.view(heads, 1, 1, width),
            None if before is None else _by_head(before, heads),
        )
    )
    folded = [query, key / math.sqrt(width), query @ of_query + key @ of_key]
    lifted = torch.bmm(convolved.flatten(1, 2), torch.cat(folded, dim=-1))
    queries, keys, of_convolved = lifted.split([width, width, 2 * heads], dim=-1)
    bias = torch.cat([cell.igate.bias, cell.fgate.bias])
    gates = precise(torch.addmm(bias, flat, of_normed)) + precise(of_convolved).sum(dim=0)
    admit, keep = gates.T.unflatten(1, (rows, steps)).split(heads)
    shape = (heads, rows, steps, width)
    recent = None
    if before is not None:
        row_major = raw[:, :, -before.size(1) :].permute(1, 2, 0, 3).flatten(2)
        recent = last_steps(before, row_major.to(before.dtype))
    steps = _Steps(queries.view(shape), keys.view(shape), values, admit, F.logsigmoid(keep))
    return steps, convolved, recent


def _attend(
    parts: _Steps, state: MLSTMState | None, last: bool
) -> tuple[Tensor, MLSTMState | None]:
    """Hidden states ``[H, R, T, D]``, or of the last step alone, and the state after it."""
    steps = parts.admit.size(-1)
    if last or (steps <= CHUNK and state is None):
        return _read(parts, state, last), None if state is None else _remember(parts, state)
    running = _start_like(parts) if state is None else state
    hidden = []
    for start in range(0, steps, CHUNK):
        part = parts.part(start, start + CHUNK)
        hidden.append(_read(part, running, last=False))
        running = _remember(part, running)
    return torch.cat(hidden, dim=2), None if state is None else running


def _read(parts: _Steps, state: MLSTMState | None, last: bool) -> Tensor:
    """Hidden states within a chunk that follows a state."""
    query = parts.query[:, :, -1:] if last else parts.query
    age = parts.keep.cumsum(dim=-1)  # [H, R, T]
    since = age[..., -1:] if last else age
    decay = since.unsqueeze(-1) - age.unsqueeze(-2) + parts.admit.unsqueeze(-2)  # [H, R, T', T]
    if not last:
        steps = age.size(-1)
        future = torch.ones(steps, steps, dtype=torch.bool, device=age.device).triu(1)
        decay = decay.masked_fill(future, -torch.inf)
    top = decay.max(dim=-1, keepdim=True)[0]  # [H, R, T', 1]
    if state is not None:
        carried = (since + state.top.T.unsqueeze(-1)).unsqueeze(-1)
        top = torch.maximum(top, carried)
    score = torch.matmul(query, parts.key.mT) * torch.exp(decay - top)
    total, values = score.sum(dim=-1, keepdim=True), None
    if state is not None:
        old = torch.exp(carried - top)  # [H, R, T', 1]
        by_row = precise(query).transpose(0, 1)  # [R, H, T', D]
        values = old * torch.matmul(by_row, state.memory).transpose(0, 1)
        total = total + old * torch.matmul(by_row, state.norm.unsqueeze(-1)).transpose(0, 1)
    divisor = torch.maximum(total.abs(), torch.exp(-top)) + EPS
    read = torch.matmul((score / divisor).to(parts.value.dtype), parts.value)
    return read if values is None else read + values / divisor


def _remember(parts: _Steps, state: MLSTMState) -> MLSTMState:
    """State after a chunk that follows a state."""
    age = parts.keep.cumsum(dim=-1)
    decay = age[..., -1:] - age + parts.admit  # [H, R, T]
    carried = age[..., -1] + state.top.T  # [H, R]
    top = torch.maximum(decay.max(dim=-1)[0], carried)
    weight = torch.exp(decay - top.unsqueeze(-1)).transpose(0, 1)  # [R, H, T]
    old = torch.exp(carried - top).T.unsqueeze(-1)  # [R, H, 1]
    key = precise(parts.key).transpose(0, 1) * weight.unsqueeze(-1)  # [R, H, T, D]
    value = precise(parts.value).transpose(0, 1)
    memory = torch.addcmul(torch.matmul(key.mT, value), old.unsqueeze(-1), state.memory)
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


def _within_heads(weight: Tensor, heads: int) -> Tensor:
    """Blocks ``[B, out, in]`` on the diagonal of one matrix per head ``[H, in, out]``."""
    size = weight.size(-1)
    blocks = weight.unflatten(0, (heads, -1)).mT  # [H, B / H, in, out]
    count = blocks.size(1)
    eye = torch.eye(count, dtype=weight.dtype, device=weight.device).view(count, 1, count, 1)
    return (blocks.unsqueeze(-2) * eye).reshape(heads, count * size, count * size)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """``[R, T, H * D]`` as ``[H, R, T, D]``."""
    return x.unflatten(-1, (heads, -1)).permute(2, 0, 1, 3)
