"""The gradient of a step as that of the mean loss, however many batches and processes it has."""

from collections.abc import Iterable

import pytorch_lightning as pl
from torch import Tensor, nn

__all__ = ["StepMean"]


class StepMean:
    """Counts the observed targets of a step, and divides its gradient by them once.

    Lightning divides the loss of a batch by the batches of the step, and several processes take
    the mean of their gradients; a mean of means is wrong if the batches have unequal counts.
    """

    def __init__(self) -> None:
        self.count: Tensor | None = None

    def add(self, count: Tensor) -> None:
        """Add the observed targets of a batch."""
        self.count = count if self.count is None else self.count + count

    def divide(self, parameters: Iterable[nn.Parameter], trainer: pl.Trainer, unit: int) -> None:
        """Bring gradients of sums, divided by ``unit``, to the mean over the step's targets."""
        count = trainer.strategy.reduce(self.count, reduce_op="sum").clamp(min=1)
        factor = unit * trainer.accumulate_grad_batches * trainer.world_size / count
        for weight in parameters:
            if weight.grad is not None:
                weight.grad.mul_(factor)
        self.count = None

    def state(self, named: Iterable[tuple[str, nn.Parameter]]) -> dict | None:
        """Count and gradients inside a step of several batches, for a checkpoint; else None."""
        if self.count is None:
            return None
        gradients = {name: weight.grad for name, weight in named if weight.grad is not None}
        return {"count": self.count, "gradients": gradients}

    def restore(self, state: dict | None, named: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Go on where :meth:`state` was taken; None begins a step."""
        self.count = None
        for name, weight in named if state is not None else ():
            self.count = state["count"].to(weight.device)
            if name in state["gradients"]:
                weight.grad = state["gradients"][name].to(weight)
