"""A training that was stopped: what it leaves in a checkpoint, and how one goes on with it."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging

from socialgraph.optimizer import rate_factor

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = [
    "StoppedTraining",
    "random_state",
    "take_average",
    "tell_of_average",
    "tell_of_silence",
]


@dataclass
class StoppedTraining:
    """What the training that goes on has still to take up from the one that was stopped.

    Args:
        step_mean: counts and gradients of a step in progress
            (:meth:`socialgraph.step_mean.StepMean.state`).
        random_state: what :func:`random_state` gave.
        planned_steps: over which its learning rate was laid.
        carried: state of the network inside an epoch
            (:meth:`socialgraph.carried.CarriedState.entries`).
    """

    step_mean: dict | None = None
    random_state: dict | None = None
    planned_steps: float | None = None
    carried: dict | None = None

    @classmethod
    def of(cls, checkpoint: dict, world_size: int) -> "StoppedTraining":
        """What a checkpoint tells, for so many processes.

        Raises:
            ValueError: if it was written inside a step, and several processes are to go on.
        """
        step_mean = checkpoint.get("step_mean")
        if step_mean is not None and world_size > 1:
            raise ValueError(
                "The checkpoint was written inside a step of several batches, and several "
                "processes cannot go on there. Take one between two steps, or one process."
            )
        others = (checkpoint.get(name) for name in ("random_state", "total_steps", "carried"))
        return cls(step_mean, *others)

    def restore_random(self, world_size: int) -> None:
        """Go on with the random numbers, in a training of one process."""
        if self.random_state is None or world_size > 1:
            return
        torch.set_rng_state(self.random_state["cpu"].cpu())
        if "cuda" in self.random_state and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.random_state["cuda"].cpu())

    def tell_of_rate(self, forecaster: "Forecaster", total_steps: float) -> None:
        """Warn if the learning rate goes on otherwise, as the training has another length."""
        if self.planned_steps is None:
            return
        step = forecaster.trainer.global_step
        before, now = (
            forecaster.learning_rate * rate_factor(step, forecaster.warmup_steps, steps)
            for steps in (self.planned_steps, total_steps)
        )
        if math.isclose(before, now, rel_tol=0.01):
            return
        warnings.warn(
            f"The schedule of the learning rate was laid over {self.planned_steps:g} steps and now "
            f"is over {total_steps:g}: at step {step} the rate goes on at {now:.2g} instead of "
            f"{before:.2g}. For a new training with a warm-up, start from the weights with "
            "init_from.",
            stacklevel=3,
        )


def random_state() -> dict[str, torch.Tensor]:
    """Where the random numbers of a training stand, for its checkpoint."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def take_average(forecaster: "Forecaster", checkpoint: dict) -> None:
    """Put averaged weights into a checkpoint of weights alone, which callbacks do not see."""
    for callback in forecaster.trainer.callbacks:
        if isinstance(callback, WeightAveraging):
            callback.on_save_checkpoint(forecaster.trainer, forecaster, checkpoint)
    for name in ("current_model_state", "averaging_state"):
        checkpoint.pop(name, None)


def tell_of_average(trainer: pl.Trainer, checkpoint: dict) -> None:
    """Warn if the weights were averaged, and now will not be."""
    averaged = any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks)
    if "averaging_state" in checkpoint and not averaged:
        warnings.warn(
            "The weights of this training were averaged, and now are not: it goes on from the "
            "average. Put its callback back into trainer.callbacks.",
            stacklevel=3,
        )


def tell_of_silence(silence: float, checkpoint: dict) -> None:
    """Warn if another share of the input is taken away than before."""
    before = checkpoint.get("hyper_parameters", {}).get("silence", silence)
    if before != silence:
        warnings.warn(
            f"The training was begun with silence = {before:g} and goes on with {silence:g}. For "
            f"that of before set --model.silence {before:g}.",
            stacklevel=3,
        )
