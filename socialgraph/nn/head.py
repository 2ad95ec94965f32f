"""From the state of a detector to its forecast."""

from torch import Tensor, nn

__all__ = ["RegressionHead"]


class RegressionHead(nn.Module):
    r"""Linear map from a node's state to its next ``horizon`` readings, or a perceptron.

    Args:
        in_channels: width of the state.
        out_channels: predicted features.
        horizon: predicted steps.
        hidden_channels: width inside a perceptron of two layers; None for one linear map.

    Shapes:
        - **x:** :math:`(B, N, C)`
        - **output:** :math:`(B, P, N, F)`
    """

    def __init__(
        self, in_channels: int, out_channels: int, horizon: int, hidden_channels: int | None = None
    ) -> None:
        super().__init__()
        self.shape = (horizon, out_channels)
        total = horizon * out_channels
        if hidden_channels is None:
            self.layers = nn.Linear(in_channels, total)
        else:
            self.layers = nn.Sequential(
                nn.Linear(in_channels, hidden_channels),
                nn.GELU(),
                nn.Linear(hidden_channels, total),
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).unflatten(-1, self.shape).transpose(1, 2)  # [B, P, N, F]
