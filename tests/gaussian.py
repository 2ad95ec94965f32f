"""An objective of somebody else: a normal distribution of each target."""

from collections.abc import Sequence
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor

from socialgraph.objective import Objective

__all__ = ["Gaussian"]


class Gaussian(Objective):
    """Mean and standard deviation of each target, by maximum likelihood.

    Args:
        levels: of the quantiles that are told.
        floor: least standard deviation, as a share of that of the readings.
    """

    width = 2

    def __init__(self, levels: Sequence[float] = (0.1, 0.5, 0.9), floor: float = 0.01) -> None:
        self.levels, self.floor = tuple(levels), floor

    def decode(self, raw: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        mean, deviation = raw.unflatten(-1, (2, -1)).unbind(-2)
        deviation = F.softplus(deviation) + self.floor
        return torch.stack([mean * scale + loc, deviation * scale], dim=-1)

    def loss(self, prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        mean, deviation = prediction.unbind(-1)
        target = torch.where(mask, target, mean.detach())
        loss = ((target - mean) / deviation).square() / 2 + deviation.log()
        return torch.where(mask, loss, 0.0).sum(), mask.sum()

    def point(self, prediction: Tensor) -> Tensor:
        return prediction[..., 0]

    def quantiles(self, prediction: Tensor, levels: Sequence[float]) -> Tensor:
        mean, deviation = prediction[..., :1], prediction[..., 1:]
        places = [NormalDist().inv_cdf(level) for level in levels]
        return mean + deviation * torch.tensor(places, device=prediction.device)
