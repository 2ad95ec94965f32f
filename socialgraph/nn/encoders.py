"""Many encoders with weights of their own: evaluated one by one, or stacked and all at once."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.checkpoint import checkpoint

from socialgraph.nn.encoder import XLSTMEncoder

__all__ = ["LoopedEncoders", "StackedEncoders"]


class LoopedEncoders(nn.ModuleList):
    """One encoder per detector, evaluated one after the other.

    Shapes:
        - **x:** :math:`(N, B, T, C_{in})`
        - **rows:** which encoders read them :math:`(N)`; None for all in order
        - **output:** :math:`(N, B, C)`
    """

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        encoders = self if rows is None else [self[row] for row in rows.tolist()]
        return torch.stack([encoder(own) for encoder, own in zip(encoders, x, strict=True)])

    def copy_shared(self, encoder: XLSTMEncoder) -> None:
        """Give every detector the weights of one encoder."""
        for own in self:
            own.load_state_dict(encoder.state_dict())


class StackedEncoders(nn.Module):
    """One encoder per detector, evaluated together on weights with a leading axis of detectors.

    The encoder runs once under :func:`torch.func.vmap`, which turns its matrix products into
    batched ones. With ``gradient_checkpointing`` it runs in :attr:`chunks` groups of detectors,
    whose activations are computed again in the backward pass.

    Args:
        encoders: the encoders whose weights are stacked.

    Shapes:
        - **x:** :math:`(N, B, T, C_{in})`
        - **rows:** which encoders read them :math:`(N)`; None for all in order
        - **output:** :math:`(N, B, C)`
    """

    chunks = 8

    def __init__(self, encoders: Sequence[XLSTMEncoder]) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoders[0])
        self.gradient_checkpointing = getattr(self.encoder, "gradient_checkpointing", False)
        # Inside vmap a checkpoint would keep tensors that are gone after it.
        self.encoder.gradient_checkpointing = False
        self.encoder.compile_blocks = False  # compiled code has no rule for vmap
        stacked, _ = stack_module_state(list(encoders))
        for name, weight in stacked.items():
            module, _, last = name.rpartition(".")
            setattr(self.encoder.get_submodule(module), last, nn.Parameter(weight.detach()))

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        weights = dict(self.encoder.named_parameters())
        if rows is not None:
            weights = {name: weight[rows] for name, weight in weights.items()}
        if not (self.gradient_checkpointing and self.training):
            return self._encode(weights, x)
        parts = {name: weight.chunk(self.chunks) for name, weight in weights.items()}
        states = []
        for i, own in enumerate(x.chunk(self.chunks)):
            part = {name: weights[i] for name, weights in parts.items()}
            states.append(checkpoint(self._encode, part, own, use_reentrant=False))
        return torch.cat(states)

    def copy_shared(self, encoder: XLSTMEncoder) -> None:
        """Give every detector the weights of one encoder."""
        with torch.no_grad():
            for stacked, own in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
                if stacked.shape[1:] != own.shape:
                    raise ValueError(
                        f"Expected an encoder with the sizes of this network's (got a weight "
                        f"{tuple(own.shape)} for {tuple(stacked.shape[1:])})."
                    )
                stacked.copy_(own)

    def _encode(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return vmap(
            lambda weights, x: functional_call(self.encoder, weights, (x,)), randomness="different"
        )(weights, x)
