"""The encoder of a detector's history; the only file that imports ``xlstm``."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric import is_compiling
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

from socialgraph.nn.mlstm import MLSTMState, mlstm_block, mlstm_start
from socialgraph.nn.patches import to_patches
from socialgraph.nn.slstm import SLSTMState, slstm_block, slstm_start
from socialgraph.recipe import recorded

__all__ = ["EncoderState", "XLSTMEncoder", "map_state"]

EncoderState = tuple[MLSTMState | SLSTMState, ...]


class XLSTMEncoder(nn.Module):
    r"""State of an xLSTM after the last step of a sequence, the same weights for every sequence.

    A linear map to ``hidden_channels``, then the residual blocks of the `xlstm package
    <https://github.com/NX-AI/xlstm>`_ (Beck et al., `xLSTM: Extended Long Short-Term Memory
    <https://arxiv.org/abs/2405.04517>`_): mLSTM blocks, with sLSTM blocks at the positions
    ``slstm_at``. ``encoder.stack`` is the package's stack, with its parameters, initialisation and
    ``state_dict``. By default its blocks are evaluated by :mod:`socialgraph.nn.mlstm` and
    :mod:`socialgraph.nn.slstm`, which give the same numbers faster (``benchmarks.encoder``).

    A long history can be read in pieces: ``state = encoder.start(rows)``, then ``embedding, state =
    encoder(x, state)`` for every piece; with ``map_state(Tensor.detach, state)`` between pieces
    this is truncated backpropagation through time. ``encoder.step(x_t, state)`` reads one step. A
    large state is written fastest into memory that is already held: ``out``, which may be ``state``
    itself.

    Args:
        in_channels: features per step.
        hidden_channels: width of the state; a multiple of ``heads``.
        out_channels: width of the result, a linear map of the state; None for the state itself.
        num_blocks: how many blocks are stacked.
        slstm_at: positions (from 0) of the sLSTM blocks; the others are mLSTM blocks.
        heads: memory heads per block.
        dropout: share of a block's output that is dropped in training.
        patch: steps that are read at once, so that a long history costs little; the first patch
            begins with zeros if they do not divide the steps.
        gradient_checkpointing: compute each block's activations again in the backward pass instead
            of keeping them: less memory, about a third more time.
        backend: ``"fused"``, or ``"package"`` for the package's own forward, as a reference.
        compile: evaluate the blocks by :func:`torch.compile`, as one graph; the first call for a
            length of sequence takes tens of seconds.
        chunk_steps: steps of all rows that are evaluated at once where no gradient is wanted, which
            bounds the memory and keeps it in the cache; None for all.

    Shapes:
        - **x:** :math:`(R, T, C_{in})`, one row per sequence, of any length
        - **state:** what was before, one entry per block, or None
        - **out:** a state of as many rows, which is overwritten and returned; without gradients
        - **output:** :math:`(R, C)`, the state at :math:`t = -1`; with ``state`` a tuple of it and
          the state after the last step

    Raises:
        ValueError: if a size is out of range, ``x`` is empty, a state has other rows, the package's
            forward or one that reads patches is to go on from a state, or ``out`` is given while a
            gradient is wanted.
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 64,
        num_blocks: int = 2,
        slstm_at: Sequence[int] = (1,),
        heads: int = 4,
        dropout: float = 0.0,
        out_channels: int | None = None,
        patch: int = 1,
        gradient_checkpointing: bool = False,
        backend: Literal["fused", "package"] = "fused",
        compile: bool = False,
        chunk_steps: int | None = 8192,
    ) -> None:
        super().__init__()
        _check_sizes(hidden_channels, num_blocks, slstm_at, heads)
        if backend not in ("fused", "package"):
            raise ValueError(f"Expected 'backend' as 'fused' or 'package' (got {backend!r}).")
        if chunk_steps is not None and chunk_steps < 1:
            raise ValueError(f"Expected 'chunk_steps' of 1 or more, or None (got {chunk_steps}).")
        if patch < 1 or (out_channels is not None and out_channels < 1):
            raise ValueError(
                "Expected 'patch' and 'out_channels' of 1 or more (got "
                f"{patch} and {out_channels})."
            )
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.out_channels = hidden_channels if out_channels is None else out_channels
        self.patch = patch
        self.gradient_checkpointing = gradient_checkpointing
        self.backend = backend
        self.compile_blocks = compile
        self.chunk_steps = chunk_steps
        self.project = nn.Linear(patch * in_channels, hidden_channels)
        self.stack = _build_stack(hidden_channels, num_blocks, list(slstm_at), heads, dropout)
        mapped = out_channels is not None
        self.map_out = nn.Linear(hidden_channels, out_channels) if mapped else nn.Identity()

    def forward(
        self, x: Tensor, state: EncoderState | None = None, out: EncoderState | None = None
    ) -> Tensor | tuple[Tensor, EncoderState]:
        self._check(x, state, out)
        x = to_patches(x, self.patch)
        if self.backend == "package":
            return self.map_out(self.stack(self.project(x))[:, -1])
        rows = self._rows_at_once(x, state)
        if rows >= x.size(0) and out is None:
            embedding, state = self._encode(x, state)
            return embedding if state is None else (embedding, state)
        if state is not None and out is None:
            out = map_state(torch.empty_like, state)
        embeddings = []
        for start in range(0, x.size(0), rows):
            own = slice(start, start + rows)
            before = None if state is None else map_state(lambda part, own=own: part[own], state)
            embedding, after = self._encode(x[own], before)
            embeddings.append(embedding)
            for block, parts in zip(out or (), after or (), strict=True):
                for whole, part in zip(block, parts, strict=True):
                    whole[own] = part
        embedding = torch.cat(embeddings)
        return embedding if state is None else (embedding, out)

    def step(
        self, x: Tensor, state: EncoderState, out: EncoderState | None = None
    ) -> tuple[Tensor, EncoderState]:
        """Read one more step ``[R, C_in]``: the embedding ``[R, C]`` and the state after it.

        Args:
            x: the step.
            state: what was before.
            out: a state whose memory is used for the one that is returned, maybe ``state`` itself.
        """
        return self(x.unsqueeze(1), state, out)

    def start(self, rows: int) -> EncoderState:
        """State of ``rows`` sequences before their first step."""
        return tuple(_functions(block)[1](block, rows) for block in self.stack.blocks)

    def _check(self, x: Tensor, state: EncoderState | None, out: EncoderState | None) -> None:
        if x.dim() != 3 or 0 in x.shape:
            raise ValueError(
                f"Expected 'x' of shape [rows, steps, channels] (got {tuple(x.shape)})."
            )
        if (state is not None or out is not None) and (self.backend, self.patch) != ("fused", 1):
            raise ValueError(
                "Expected backend='fused' and patch=1 to go on from a state (got "
                f"{self.backend!r} and {self.patch})."
            )
        if state is not None and state[0].top.size(0) != x.size(0):
            raise ValueError(
                f"Expected a state of {x.size(0)} rows, as 'x' has them (got "
                f"{state[0].top.size(0)})."
            )
        if out is None:
            return
        if state is None or torch.is_grad_enabled():
            raise ValueError("Expected 'out' with a state, and where no gradient is wanted.")
        for block, own in zip(state, out, strict=True):
            for part, memory in zip(block, own, strict=True):
                mine, theirs = ((t.shape, t.dtype, t.device) for t in (memory, part))
                if mine != theirs:
                    raise ValueError(
                        f"Expected 'out' like 'state', a tensor of {theirs} (got {mine})."
                    )

    def _rows_at_once(self, x: Tensor, state: EncoderState | None) -> int:
        if self.chunk_steps is None or torch.is_grad_enabled() or is_compiling():
            return x.size(0)
        numbers = 0 if state is None else max(part[:1].numel() for block in state for part in block)
        # A step keeps several numbers per channel.
        return max(1, self.chunk_steps // max(x.size(1), numbers // (4 * self.hidden_channels)))

    def _encode(self, x: Tensor, state: EncoderState | None) -> tuple[Tensor, EncoderState | None]:
        run = _compiled_run() if self.compile_blocks and not is_compiling() else _run
        saving = self.gradient_checkpointing and self.training
        x, state = run(self.stack.blocks, self.project(x), state, saving)
        return self.map_out(self.stack.post_blocks_norm(x[:, -1])), state


def map_state(function: Callable[[Tensor], Tensor], state: EncoderState) -> EncoderState:
    """State with a function applied to every tensor; all have the rows as first axis.

    ``map_state(Tensor.detach, state)`` cuts the gradient, ``map_state(lambda t: t[rows], state)``
    takes some rows.
    """
    return tuple(type(block)(*map(function, block)) for block in state)


def _run(
    blocks: nn.ModuleList, x: Tensor, state: EncoderState | None, saving: bool
) -> tuple[Tensor, EncoderState | None]:
    """Last step ``[R, 1, C]`` after all blocks, and their states where one was given."""
    after = []
    for number, block in enumerate(blocks):
        evaluate, _ = _functions(block)
        before = None if state is None else state[number]
        arguments = (block, x, before, number == len(blocks) - 1)
        if saving:
            x, own = checkpoint(evaluate, *arguments, use_reentrant=False)
        else:
            x, own = evaluate(*arguments)
        after.append(own)
    return x, None if state is None else tuple(after)


@functools.cache
def _compiled_run() -> Callable:
    # Not 'fullgraph', with which a process that has compiled eight shapes would fail at the ninth.
    return torch.compile(_run)


def _functions(block: nn.Module) -> tuple[Callable, Callable]:
    """What evaluates a block, and what makes its first state."""
    if hasattr(block.xlstm, "mlstm_cell"):
        return mlstm_block, mlstm_start
    return slstm_block, slstm_start


def _check_sizes(
    hidden_channels: int, num_blocks: int, slstm_at: Sequence[int], heads: int
) -> None:
    if num_blocks < 1 or heads < 1:
        raise ValueError(
            f"Expected 'num_blocks' and 'heads' of 1 or more (got {num_blocks} and {heads})."
        )
    if hidden_channels % heads or hidden_channels < 2 * heads:
        raise ValueError(
            f"Expected 'hidden_channels' as a multiple of 'heads' = {heads}, at least twice as "
            f"many (got {hidden_channels})."
        )
    if not all(0 <= at < num_blocks for at in slstm_at):
        raise ValueError(
            f"Expected 'slstm_at' as positions from 0 to {num_blocks - 1} (got {list(slstm_at)})."
        )


def _build_stack(
    channels: int, num_blocks: int, slstm_at: list[int], heads: int, dropout: float
) -> xLSTMBlockStack:
    stack = xLSTMBlockStack(
        xLSTMBlockStackConfig(
            mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=heads)),
            slstm_block=sLSTMBlockConfig(
                slstm=sLSTMLayerConfig(backend="vanilla", num_heads=heads),
                feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu", dropout=dropout),
            ),
            context_length=1,
            num_blocks=num_blocks,
            embedding_dim=channels,
            dropout=dropout,
            slstm_at=slstm_at,
        )
    )
    for block in stack.blocks:
        if hasattr(block.xlstm, "mlstm_cell"):
            # The stored mask is right for one length only; without it the cell makes one that fits.
            block.xlstm.mlstm_cell.causal_mask = None
            inner = block.xlstm.learnable_skip.numel()
            if inner % heads or inner // heads % 4:
                raise ValueError(
                    f"Expected 'heads' that split the inner width {inner} of the mLSTM blocks into "
                    f"multiples of four (got {heads})."
                )
        else:
            # Views for the initialisation, which is done; they cannot be unpickled.
            del block.xlstm.slstm_cell.recurrent_kernel, block.xlstm.slstm_cell.bias
    return stack
