"""From embeddings to forecasts: fusion of own and pooled state, and the regression head."""

import torch
from torch import Tensor, nn

__all__ = ["GatedFusion", "RegressionHead"]


class GatedFusion(nn.Module):
    r"""Own state plus as much of the context as a gate lets through.

    .. math::
        \mathbf{h}_i = \mathbf{x}_i + \sigma(\mathbf{W}_g [\mathbf{x}_i \,\|\, \mathbf{s}_i] +
        \mathbf{b}_g) \odot \mathbf{W}_s \mathbf{s}_i

    A zero context leaves the own state as it is.

    Args:
        channels: width of the own state.
        context_channels: width of the context.

    Shapes:
        - **own:** :math:`(*, C)`
        - **context:** :math:`(*, C_s)`
        - **output:** :math:`(*, C)`
    """

    def __init__(self, channels: int, context_channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels + context_channels, channels)
        self.project = nn.Linear(context_channels, channels, bias=False)

    def forward(self, own: Tensor, context: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([own, context], dim=-1)))
        return own + gate * self.project(context)


class RegressionHead(nn.Module):
    r"""Two-layer perceptron from a node's state to its next ``horizon`` readings.

    Args:
        in_channels: width of the state.
        out_channels: predicted features.
        horizon: predicted steps.

    Shapes:
        - **x:** :math:`(B, N, C)`
        - **output:** :math:`(B, P, N, F)`
    """

    def __init__(self, in_channels: int, out_channels: int, horizon: int) -> None:
        super().__init__()
        self.shape = (horizon, out_channels)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, 2 * in_channels),
            nn.GELU(),
            nn.Linear(2 * in_channels, horizon * out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).unflatten(-1, self.shape).transpose(1, 2)  # [B, P, N, F]
