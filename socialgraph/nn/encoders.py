"""Encoders besides the xLSTM, ``[R, T, C] -> [R, E]``, and the sum of several."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from socialgraph.nn.patches import to_patches
from socialgraph.nn.sizes import check_encoder, make_part
from socialgraph.recipe import recorded

__all__ = ["GRUEncoder", "LinearEncoder", "SumEncoder"]


class LinearEncoder(nn.Module):
    """A linear map of the whole window.

    Args:
        in_channels: features per step.
        out_channels: width of the result.
        window: steps of a window.

    Shapes:
        - **x:** :math:`(R, T, C_{in})`
        - **output:** :math:`(R, C)`

    Raises:
        ValueError: if ``window`` is not known, or a sequence has other steps.
    """

    def __init__(self, in_channels: int, out_channels: int = 64, window: int | None = None) -> None:
        super().__init__()
        if window is None or window < 1:
            raise ValueError(f"Expected 'window' of 1 or more for a LinearEncoder (got {window}).")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.window = window
        self.linear = nn.Linear(window * in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != self.window:
            raise ValueError(
                f"Expected windows of {self.window} steps, for which the LinearEncoder was made "
                f"(got {x.size(1)})."
            )
        return self.linear(x.flatten(1))


class GRUEncoder(nn.Module):
    """State of a GRU after the last step (:class:`torch.nn.GRU`).

    Args:
        in_channels: features per step.
        out_channels: width of the state.
        num_layers: GRUs on top of each other.
        patch: steps that are read at once.

    Shapes:
        - **x:** :math:`(R, T, C_{in})`, of any length
        - **output:** :math:`(R, C)`
    """

    def __init__(
        self, in_channels: int, out_channels: int = 64, num_layers: int = 1, patch: int = 1
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_layers = num_layers
        self.patch = patch
        self.gru = nn.GRU(patch * in_channels, out_channels, num_layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(to_patches(x, self.patch))[1][-1]


class SumEncoder(nn.Module):
    """The sum of what several encoders say of the same sequence.

    Args:
        in_channels: features per step.
        encoders: what makes each from ``in_channels``, or the encoders; all of one
            ``out_channels``.
        window: steps of a window, for encoders that take it.

    Shapes:
        - **x:** :math:`(R, T, C_{in})`
        - **output:** :math:`(R, C)`

    Raises:
        ValueError: if there is none, or they do not fit each other or the input.
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        encoders: Sequence[Callable[[int], nn.Module] | nn.Module],
        window: int | None = None,
    ) -> None:
        super().__init__()
        if not encoders:
            raise ValueError("Expected one encoder or more (got none).")
        made = [make_part(encoder, in_channels, window=window) for encoder in encoders]
        for encoder in made:
            check_encoder(encoder, in_channels)
        widths = [encoder.out_channels for encoder in made]
        if len(set(widths)) > 1:
            raise ValueError(
                f"Expected encoders of one 'out_channels', to be added (got {widths})."
            )
        self.in_channels = in_channels
        self.out_channels = widths[0]
        self.encoders = nn.ModuleList(made)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([encoder(x) for encoder in self.encoders]).sum(dim=0)
