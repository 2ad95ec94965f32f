"""Which weights decay, and how the learning rate rises and falls."""

import math

from torch import nn

__all__ = ["parameter_groups", "rate_factor"]


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Groups for an optimiser: matrices, which decay; and vectors, which do not.

    Vectors are biases, norms and radii. What the network names in ``no_weight_decay()``, if it has
    that method, does not decay either.
    """
    spared: set[str] = getattr(network, "no_weight_decay", set)()
    weights: tuple[list[nn.Parameter], ...] = ([], [])
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            weights[weight.ndim <= 1 or name in spared].append(weight)
    decays = (weight_decay, 0.0)
    groups = zip(weights, decays, strict=True)
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def rate_factor(step: int, warmup: int, total: float) -> float:
    """Share of the peak rate at a step.

    A linear rise over ``warmup`` steps, then a cosine to 1 % at step ``total``; constant after the
    rise if training has no last step (infinite ``total``).
    """
    if step < warmup:
        return (step + 1) / warmup
    if not math.isfinite(total) or total <= warmup:
        return 1.0
    progress = min(1.0, (step - warmup) / (total - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
