"""Learned identity of the nodes."""

import torch
from torch import Tensor, nn

__all__ = ["NodeEmbedding"]


class NodeEmbedding(nn.Module):
    """One learned vector per detector, and one for all strangers.

    Args:
        num_nodes: detectors in training.
        channels: width of a vector.
        swap: probability that, in training, a detector gets the vector of a random other one; keeps
            the network from leaning on identity alone.
        hide: probability that it gets the vector of strangers, which learns from that.

    Shapes:
        - **node:** rows of the detectors :math:`(N)`, integers from 0 to ``num_nodes - 1``, or -1
          for a stranger; None for all in order
        - **output:** :math:`(B, N, C)`

    Raises:
        ValueError: if ``num_nodes`` is below 1, or the probabilities are none.
    """

    def __init__(
        self, num_nodes: int, channels: int, swap: float = 0.1, hide: float = 0.05
    ) -> None:
        super().__init__()
        if num_nodes < 1:
            raise ValueError(
                f"Expected 'num_nodes' of 1 or more for node embeddings (got {num_nodes}). Set it "
                "to the number of detectors, or 'node_channels' to 0."
            )
        if min(swap, hide) < 0 or swap + hide > 1:
            raise ValueError(
                f"Expected 'swap' and 'hide' as probabilities, together up to 1 (got {swap}, "
                f"{hide})."
            )
        self.num_nodes = num_nodes
        self.swap = swap
        self.hide = hide
        self.weight = nn.Parameter(torch.empty(num_nodes, channels))
        self.stranger = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, node: Tensor | None, batch_size: int) -> Tensor:
        if node is None:
            node = torch.arange(self.num_nodes, device=self.weight.device)
        rows = node.expand(batch_size, -1)  # [B, N]
        if self.training and self.swap + self.hide > 0:
            others = torch.randint(self.num_nodes, rows.shape, device=rows.device)
            chance = torch.rand(rows.shape, device=rows.device)
            rows = torch.where(chance < self.swap, others, rows)
            rows = torch.where(chance >= 1 - self.hide, -1, rows)
        own = self.weight[rows.clamp(min=0)]  # [B, N, C]
        return torch.where((rows >= 0).unsqueeze(-1), own, self.stranger)
