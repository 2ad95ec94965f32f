"""What an encoder reads at each step: readings, mask, clock and identity of a detector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from socialgraph.nn.embedding import NodeEmbedding

__all__ = ["NodeInputs", "last_observed"]


class NodeInputs(nn.Module):
    """Readings of every detector, joined with what else is known at each step.

    Args:
        in_channels: features per reading.
        use_mask: add the mask of observed readings.
        use_time_of_day: add sine and cosine of the time of day.
        use_day_of_week: add the day of the week, one channel per day.
        node_channels: width of a learned embedding per detector; 0 for none.
        num_nodes: detectors in training; only needed for ``node_channels`` above 0.

    Shapes:
        - **features, mask:** :math:`(B, T, N, F)`
        - **time_of_day, day_of_week:** :math:`(B, T)`
        - **node:** rows of the detectors :math:`(N)`; only needed for ``node_channels`` above 0
        - **output:** :math:`(B, T, N, C)`, with :math:`C` as :attr:`out_channels`

    Raises:
        ValueError: if there are vectors of another number of detectors than there are readings.
    """

    def __init__(
        self,
        in_channels: int,
        use_mask: bool,
        use_time_of_day: bool,
        use_day_of_week: bool,
        node_channels: int = 0,
        num_nodes: int = 0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.use_mask = use_mask
        self.use_time_of_day = use_time_of_day
        self.use_day_of_week = use_day_of_week
        self.embedding = NodeEmbedding(num_nodes, node_channels) if node_channels else None
        covariates = 2 * use_time_of_day + 7 * use_day_of_week + node_channels
        self.out_channels = in_channels * (1 + use_mask) + covariates

    def forward(
        self,
        features: Tensor,
        mask: Tensor,
        time_of_day: Tensor | None = None,
        day_of_week: Tensor | None = None,
        node: Tensor | None = None,
    ) -> Tensor:
        batch, window, nodes, _ = features.shape
        parts = [features]
        if self.use_mask:
            parts.append(mask.to(features.dtype))
        shared = []
        if self.use_time_of_day:
            angle = 2 * math.pi * time_of_day.to(features.dtype)
            shared += [torch.stack([angle.sin(), angle.cos()], dim=-1)]
        if self.use_day_of_week:
            shared += [F.one_hot(day_of_week.long(), 7).to(features.dtype)]
        parts += [part[:, :, None].expand(-1, -1, nodes, -1) for part in shared]
        if self.embedding is not None:
            vectors = self.embedding(node, batch)  # [B, N, C]
            if vectors.size(1) != nodes:
                raise ValueError(
                    f"Expected readings of {vectors.size(1)} detectors, as 'node' or the network "
                    f"has them (got features {tuple(features.shape)}, [batch, window, detectors, "
                    "features])."
                )
            parts.append(vectors[:, None].expand(-1, window, -1, -1))
        return torch.cat(parts, dim=-1)


def last_observed(features: Tensor, mask: Tensor) -> Tensor:
    """Last observed reading of each window ``[B, N, F]``, 0 where it has none."""
    steps = torch.arange(1, features.size(1) + 1, device=features.device).view(1, -1, 1, 1)
    last = (steps * mask).amax(dim=1, keepdim=True) - 1  # [B, 1, N, F]
    value = features.gather(1, last.clamp(min=0)).squeeze(1)
    return value * (last.squeeze(1) >= 0)
