"""Learned identity of the nodes."""

import torch
from torch import Tensor, nn

__all__ = ["NodeEmbedding"]


class NodeEmbedding(nn.Module):
    """One learned vector per detector, found by its id.

    The ids are those of the first batch in training; they are saved with the weights, so that a
    forecast for a subset of the detectors, or for another order, takes the right vectors.

    Args:
        num_nodes: detectors in training.
        channels: width of a vector.
        swap: probability that, in training, a detector gets the vector of a random other one; keeps
            the network from leaning on identity alone.

    Shapes:
        - **output:** :math:`(B, N, C)`

    Raises:
        ValueError: for detectors that were not in training, or a wrong ``num_nodes``.
    """

    def __init__(self, num_nodes: int, channels: int, swap: float = 0.1) -> None:
        super().__init__()
        if num_nodes < 1:
            raise ValueError(
                f"Expected 'num_nodes' of 1 or more for node embeddings (got {num_nodes}). Set it "
                "to the number of detectors, or 'node_channels' to 0."
            )
        self.weight = nn.Parameter(torch.empty(num_nodes, channels))
        nn.init.normal_(self.weight, std=0.1)
        self.swap = swap
        self.vd_ids: list[str] = []

    def forward(self, vd_ids: list[str], batch_size: int) -> Tensor:
        rows = self._rows(vd_ids).expand(batch_size, -1)  # [B, N]
        if self.training and self.swap > 0:
            others = torch.randint(len(self.weight), rows.shape, device=rows.device)
            swapped = torch.rand(rows.shape, device=rows.device) < self.swap
            rows = torch.where(swapped, others, rows)
        return self.weight[rows]  # [B, N, C]

    def get_extra_state(self) -> list[str]:
        """Return the ids of the rows; they are saved in ``state_dict``."""
        return list(self.vd_ids)

    def set_extra_state(self, state: list[str]) -> None:
        """Take the ids of the rows from a ``state_dict``."""
        self.vd_ids = list(state)

    def _rows(self, vd_ids: list[str]) -> Tensor:
        if not self.vd_ids:
            if len(vd_ids) != len(self.weight):
                raise ValueError(
                    f"Expected 'num_nodes' as {len(vd_ids)}, the number of detectors, for node "
                    f"embeddings (got {len(self.weight)})."
                )
            self.vd_ids = list(vd_ids)
        if list(vd_ids) == self.vd_ids:
            return torch.arange(len(vd_ids), device=self.weight.device)
        row = {vdid: i for i, vdid in enumerate(self.vd_ids)}
        strangers = [vdid for vdid in vd_ids if vdid not in row]
        if strangers:
            raise ValueError(
                f"{len(strangers)} of {len(vd_ids)} detectors have no node embedding, among them "
                f"{strangers[:5]}. Train on them, or train with 'node_channels' = 0 to forecast "
                "detectors never seen."
            )
        return torch.tensor([row[vdid] for vdid in vd_ids], device=self.weight.device)
