"""The encoder of a detector's history; the only file that imports ``xlstm``."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

from socialgraph.nn.convolution import CausalConvolution
from socialgraph.nn.slstm import SLSTMCell

__all__ = ["XLSTMEncoder"]


class XLSTMEncoder(nn.Module):
    r"""State of an xLSTM after the last step of a sequence, the same weights for every sequence.

    A linear map to ``hidden_channels``, then the residual blocks of the `xlstm package
    <https://github.com/NX-AI/xlstm>`_ (Beck et al., `xLSTM: Extended Long Short-Term Memory
    <https://arxiv.org/abs/2405.04517>`_): mLSTM blocks, with sLSTM blocks at the positions
    ``slstm_at``. The recurrence of the sLSTM is :class:`socialgraph.nn.slstm.SLSTMCell`, in PyTorch
    for CPU and CUDA alike. Sequences of any length are read.

    Args:
        in_channels: features per step.
        hidden_channels: width of the state; a multiple of ``heads``.
        num_blocks: how many blocks are stacked.
        slstm_at: positions (from 0) of the sLSTM blocks; the others are mLSTM blocks.
        heads: memory heads per block.
        dropout: share of a block's output that is dropped in training.
        gradient_checkpointing: compute each block's activations again in the backward pass instead
            of keeping them: less memory, about a third more time.

    Shapes:
        - **x:** :math:`(R, T, C_{in})`, one row per sequence
        - **output:** :math:`(R, C)`, the state at :math:`t = -1`

    Raises:
        ValueError: where a size is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 64,
        num_blocks: int = 2,
        slstm_at: Sequence[int] = (1,),
        heads: int = 4,
        dropout: float = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(hidden_channels, num_blocks, slstm_at, heads)
        self.in_channels = in_channels
        self.out_channels = hidden_channels
        self.gradient_checkpointing = gradient_checkpointing
        self.project = nn.Linear(in_channels, hidden_channels)
        self.stack = _build_stack(hidden_channels, num_blocks, list(slstm_at), heads, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)  # [R, T, C]
        for block in self.stack.blocks:
            if self.gradient_checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.stack.post_blocks_norm(x[:, -1])  # [R, C]


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
        block.xlstm.conv1d = CausalConvolution(block.xlstm.conv1d.conv)
        if hasattr(block.xlstm, "mlstm_cell"):
            # The stored mask is right for one length only; without it the cell makes one that fits.
            block.xlstm.mlstm_cell.causal_mask = None
        else:
            cell = block.xlstm.slstm_cell
            block.xlstm.slstm_cell = SLSTMCell(cell._recurrent_kernel_, cell._bias_)
    return stack
