"""A rival that is trained on the history at once: one linear map for all detectors."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["Ridge"]

_PENALTY = 10.0


class Ridge:
    """Ridge regression of the targets on the window and what is usual, shared by all detectors.

    It forecasts how far the targets will be from what is usual, from how far each reading of the
    window was; missing readings count as usual.

    Args:
        batches: of training windows, with ``profile``, in deviations.
    """

    def __init__(self, batches: Iterable[dict[str, Tensor]]) -> None:
        square, product = 0.0, 0.0
        for batch in batches:
            inputs, usual = _inputs(batch)
            targets = batch["targets"][..., 0].transpose(1, 2).double() - usual
            whole = batch["target_mask"][..., 0].all(dim=1)  # [B, N]
            rows = inputs[whole]
            square = square + rows.T @ rows
            product = product + rows.T @ targets[whole]
        penalty = _PENALTY * torch.eye(len(square), dtype=torch.float64)
        self.weight = torch.linalg.solve(square + penalty, product)  # [C, P]

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        """Forecasts ``[B, P, N, 1]`` in deviations."""
        inputs, usual = _inputs(batch)
        return (inputs @ self.weight + usual).transpose(1, 2)[..., None].float()


def _inputs(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the map reads ``[B, N, C]``, and what is usual at the targets ``[B, N, P]``."""
    window = batch["features"].size(1)
    profile = batch["profile"][..., 0].transpose(1, 2).double()  # [B, N, T + P]
    usual = profile[..., window:]
    readings, mask = (batch[name][..., 0].transpose(1, 2) for name in ("features", "mask"))
    away = torch.where(mask, readings.double() - profile[..., :window], 0.0)
    return torch.cat([away, usual, torch.ones_like(usual[..., :1])], dim=-1), usual
