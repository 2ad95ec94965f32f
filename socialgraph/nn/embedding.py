"""Learned identity of the nodes."""

import torch
from torch import Tensor, nn

__all__ = ["NodeEmbedding"]


class NodeEmbedding(nn.Module):
    """One learned vector per detector.

    Args:
        num_nodes: detectors in training.
        channels: width of a vector.
        swap: probability that, in training, a detector gets the vector of a random other one; keeps
            the network from leaning on identity alone.

    Shapes:
        - **node:** rows of the detectors :math:`(N)`, integers from 0 to ``num_nodes - 1``; None
          for all in order
        - **output:** :math:`(B, N, C)`

    Raises:
        ValueError: if ``num_nodes`` is below 1.
    """

    def __init__(self, num_nodes: int, channels: int, swap: float = 0.1) -> None:
        super().__init__()
        if num_nodes < 1:
            raise ValueError(
                f"Expected 'num_nodes' of 1 or more for node embeddings (got {num_nodes}). Set it "
                "to the number of detectors, or 'node_channels' to 0."
            )
        self.num_nodes = num_nodes
        self.weight = nn.Parameter(torch.empty(num_nodes, channels))
        nn.init.normal_(self.weight, std=0.1)
        self.swap = swap

    def forward(self, node: Tensor | None, batch_size: int) -> Tensor:
        if node is None:
            node = torch.arange(self.num_nodes, device=self.weight.device)
        rows = node.expand(batch_size, -1)  # [B, N]
        if self.training and self.swap > 0:
            others = torch.randint(self.num_nodes, rows.shape, device=rows.device)
            swapped = torch.rand(rows.shape, device=rows.device) < self.swap
            rows = torch.where(swapped, others, rows)
        return self.weight[rows]  # [B, N, C]
