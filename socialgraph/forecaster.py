"""The training of any forecasting network: loss, errors, optimiser, and what a checkpoint holds."""

import inspect
import math
import time
import warnings

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from socialgraph.metrics import ForecastErrors, Loss, errors_from_sums, masked_loss
from socialgraph.scaler import Scaler

__all__ = ["Forecaster"]

_MUST_MATCH = ("features", "num_targets", "units", "interval_minutes", "window", "horizon")


class Forecaster(pl.LightningModule):
    """Trains, tests and applies a network on batches of
    :class:`socialgraph.data.TrafficDataModule`.

    The network is called with the entries of the batch that its ``forward`` names, with
    ``features`` scaled, and returns scaled forecasts ``[B, P, N, F]``. Loss and errors are in the
    units of the file; of several targets, each error is weighted by (mean scale / own scale) so
    that none rules the loss by its unit. A checkpoint holds the scaler and, under ``"data"``,
    features, units, interval, detector ids, positions and graph options; prediction refuses a file
    that differs.

    Args:
        network: the network.
        loss: ``"mae"``, ``"huber"`` or ``"mse"``.
        huber_delta: where the Huber loss turns linear, in the unit of the (weighted) target.
        learning_rate: peak of the schedule of AdamW.
        weight_decay: decay of matrices; vectors (biases, norms, radii) have none, nor what the
            network names in ``no_weight_decay()``, where it has that method.
        warmup_steps: steps of linear rise to the peak; after them a cosine falls to 1 % at the last
            step (constant, where training has no last step).
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss = "mae",
        huber_delta: float = 1.0,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup_steps: int = 50,
    ) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.save_hyperparameters()
        if isinstance(self.hparams.network, nn.Module):
            # The command line saves the network's configuration; an object would not load.
            del self.hparams["network"]
        self.network = network
        self.loss = loss
        self.huber_delta = huber_delta
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.scaler: Scaler | None = None
        self.data: dict | None = None
        self._inputs = list(inspect.signature(network.forward).parameters)
        self._random_state: dict | None = None

    def setup(self, stage: str) -> None:
        """Take scaler and description of the data from the data module."""
        datamodule = self.trainer.datamodule
        if datamodule is None:
            raise ValueError("Expected a data module: trainer.fit(forecaster, datamodule=...).")
        if self.trainer.precision in ("bf16-true", "16-true"):
            raise ValueError(
                "Expected a precision that keeps readings and errors exact (got "
                f"'{self.trainer.precision}'). Use 'bf16-mixed' or '16-mixed'."
            )
        if stage == "fit":
            self._fit_scaler()
        if self.data is None:
            self.data = datamodule.describe()
        size = (datamodule.horizon, datamodule.num_targets)
        self.errors = nn.ModuleDict({"val": ForecastErrors(*size), "test": ForecastErrors(*size)})

    def on_validation_start(self) -> None:
        """Fit a scaler, where neither a training nor a checkpoint has brought one."""
        self._fit_scaler()

    on_test_start = on_predict_start = on_validation_start

    def forward(self, batch: dict) -> Tensor:
        """Forecasts ``[B, P, N, F]`` in real units for a batch in real units."""
        scaled = self.scaler.transform(batch["features"])
        inputs = batch | {"features": torch.where(batch["mask"], scaled, 0.0)}
        forecast = self.network(**{k: inputs[k] for k in self._inputs if k in inputs})
        return self.scaler.inverse(forecast.float())

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Masked loss of a batch."""
        weight = self._target_weight()
        loss = masked_loss(
            weight * self(batch),
            weight * batch["targets"],
            batch["target_mask"],
            self.loss,
            self.huber_delta,
        )
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["features"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Add a batch to the validation errors."""
        self.errors["val"].update(self(batch), batch["targets"], batch["target_mask"])

    def on_validation_epoch_end(self) -> None:
        """Log the errors over all validation windows."""
        self._log_errors("val")

    def test_step(self, batch: dict, batch_idx: int) -> None:
        """Add a batch to the test errors."""
        self.errors["test"].update(self(batch), batch["targets"], batch["target_mask"])

    def on_test_epoch_end(self) -> None:
        """Log the errors over all test windows, and keep them in :attr:`test_errors`."""
        self.test_errors = self._log_errors("test")

    def predict_step(self, batch: dict, batch_idx: int) -> dict[str, Tensor]:
        """Forecasts of a batch with the truth where it is known, in real units."""
        known = ("targets", "target_mask", "first_step")
        return {"forecast": self(batch), **{name: batch[name] for name in known}}

    def configure_optimizers(self) -> dict:
        """AdamW with warm-up and cosine decay, stepped per batch."""
        spared = getattr(self.network, "no_weight_decay", set)()
        groups = [
            {"params": [], "weight_decay": self.weight_decay},
            {"params": [], "weight_decay": 0.0},
        ]
        for name, weight in self.network.named_parameters():
            if weight.requires_grad:
                groups[weight.ndim <= 1 or name in spared]["params"].append(weight)
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.learning_rate)
        total = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _learning_rate_factor(step, self.warmup_steps, total)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add the description of the data and the state of the random numbers."""
        checkpoint["data"] = self.data
        checkpoint["random_state"] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            checkpoint["random_state"]["cuda"] = torch.cuda.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take scaler, data and random numbers from a checkpoint.

        Raises:
            ValueError: where the checkpoint's data and the data at hand do not fit.
        """
        if "data" not in checkpoint:
            raise ValueError("The checkpoint has no 'data': it was not written by a Forecaster.")
        if self._trainer is not None and self.trainer.datamodule is not None:
            _check_match(checkpoint["data"], self.trainer.datamodule.describe())
        weights = checkpoint["state_dict"]
        self.scaler = Scaler(weights["scaler.loc"], weights["scaler.scale"]).to(self.device)
        if self._trainer is None or not self.trainer.training:
            self.data = checkpoint["data"]
        self._random_state = checkpoint.get("random_state")

    def on_train_epoch_end(self) -> None:
        """Log the wall time of the epoch, its validation included."""
        self.log("epoch_seconds", time.perf_counter() - self._epoch_start)

    def on_train_epoch_start(self) -> None:
        """After loading, go on with the random numbers where the saved training stood."""
        self._epoch_start = time.perf_counter()
        if self._random_state is not None and self.trainer.world_size == 1:
            torch.set_rng_state(self._random_state["cpu"].cpu())
            if "cuda" in self._random_state and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._random_state["cuda"].cpu())
            self._random_state = None

    def _fit_scaler(self) -> None:
        if self.scaler is None:
            self.scaler = self.trainer.datamodule.fit_scaler().to(self.device)

    def _target_weight(self) -> Tensor:
        scale = self.scaler.scale[: self.data["num_targets"]]
        return scale.mean() / scale

    def _log_errors(self, part: str) -> dict[str, Tensor]:
        errors = errors_from_sums(self.errors[part].compute())
        self.errors[part].reset()
        weight = self._target_weight().double()
        self.log(f"{part}/mae", (weight * errors["mae_all"]).nanmean(), prog_bar=True)
        self.log(f"{part}/rmse", (weight * errors["rmse_all"]).nanmean())
        return errors


def _learning_rate_factor(step: int, warmup: int, total: float) -> float:
    if step < warmup:
        return (step + 1) / warmup
    if not math.isfinite(total) or total <= warmup:
        return 1.0
    progress = min(1.0, (step - warmup) / (total - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def _check_match(trained: dict, given: dict) -> None:
    for name in _MUST_MATCH:
        if trained[name] != given[name]:
            raise ValueError(
                f"The checkpoint was trained with {name} = {trained[name]} on "
                f"'{trained['path']}', but '{given['path']}' is used with {name} = {given[name]}. "
                "Give the same options, or a file with the same features, units and interval."
            )
    same_file = trained["path"] == given["path"]
    for name in ("split", "border") if same_file else ():
        if trained[name] != given[name]:
            raise ValueError(
                f"The checkpoint was trained on '{trained['path']}' with {name} = {trained[name]}; "
                f"with {given[name]} training windows would be tested. Use the same 'data.{name}'."
            )
    for name in ("max_radius", "max_num_neighbors"):
        if trained[name] != given[name]:
            raise ValueError(
                f"The checkpoint was trained on a graph with {name} = {trained[name]} (got "
                f"{given[name]}). Set 'data.{name}' to {trained[name]}."
            )
