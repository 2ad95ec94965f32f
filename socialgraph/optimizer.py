"""Which weights decay, and how the learning rate rises and falls."""

import math
from functools import partial

import torch
from torch import nn

__all__ = ["freeze_body", "make_optimizer", "parameter_groups", "rate_factor"]


def make_optimizer(
    network: nn.Module, learning_rate: float, weight_decay: float, warmup: int, total: float
) -> dict:
    """AdamW of :func:`parameter_groups` with the schedule of :func:`rate_factor`, by step.

    Returns:
        What ``configure_optimizers`` of a LightningModule gives.
    """
    groups = parameter_groups(network, weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    factor = partial(rate_factor, warmup=warmup, total=total)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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


def freeze_body(network: nn.Module) -> None:
    """Let a training change the head, its anchors and the norms of a network alone.

    Raises:
        ValueError: if the network has no ``head``.
    """
    spared: set[int] = set()
    for member in getattr(network, "members", [network]):
        head = getattr(member, "head", None)
        if not isinstance(head, nn.Module):
            raise ValueError(
                f"Expected a network with a 'head' for trainable = 'head' (got "
                f"{type(member).__name__}). Use trainable = 'all'."
            )
        spared |= {id(weight) for weight in head.parameters()}
        spared |= {id(weight) for weight in member.parameters(recurse=False)}  # the anchors
    norms = (part for part in network.modules() if "Norm" in type(part).__name__)
    spared |= {id(weight) for norm in norms for weight in norm.parameters()}
    for weight in network.parameters():
        weight.requires_grad_(id(weight) in spared)


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
