"""Averaging of weights over the last part of a training."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

__all__ = ["PowerAverage"]


class PowerAverage(WeightAveraging):
    r"""Mean of the weights so far, in which a step counts by a power of its place.

    .. math::
        \bar{\theta}_t = \beta_t \bar{\theta}_{t-1} + (1 - \beta_t)\, \theta_t,
        \qquad \beta_t = (1 - 1 / t)^{\gamma + 1}

    so that step :math:`t` of :math:`T` weighs about :math:`(t / T)^\gamma`: whatever the length of
    a training, its last part counts. Validation, test and checkpoints have the averaged weights;
    the training goes on from its own. Power function EMA of Karras et al., `Analyzing and Improving
    the Training Dynamics of Diffusion Models <https://arxiv.org/abs/2312.02696>`_.

    Args:
        gamma: the power; 0 is the plain mean, and the larger, the shorter the part that counts.

    Raises:
        ValueError: if ``gamma`` is negative or not finite.
    """

    def __init__(self, gamma: float = 1.0) -> None:
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"Expected 'gamma' of 0 or more (got {gamma}).")
        self.gamma = gamma
        super().__init__(use_buffers=False, avg_fn=self._average)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget an earlier training, and wait for the model's own set-up, which gives it parts."""
        self._average_model = None
        if stage == "fit":
            self._latest_update_step, self._latest_update_epoch = 0, -1

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin an average, if no checkpoint gave one."""
        if self._average_model is None:
            super().setup(trainer, pl_module, "fit")

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict
    ) -> None:
        """Go on with the average of a checkpoint, from which the network itself may have come.

        Without a training nothing is to be done: the weights of a checkpoint are the average.
        """
        if trainer.state.fn != "fit":
            return
        super().setup(trainer, pl_module, "fit")
        super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def _average(self, averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        """The average of ``count + 1`` steps from that of ``count``."""
        share = 1 - (1 - 1 / (int(count) + 1)) ** (self.gamma + 1)
        return averaged + share * (current - averaged)  # to the bit for a weight that is frozen
