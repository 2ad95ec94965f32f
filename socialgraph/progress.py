"""What a training says: what it begins with, a line for each epoch, and how it ended."""

import time
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor

from socialgraph.error_table import describe_errors, format_row, headline, name_quarters, quarters
from socialgraph.metrics import ForecastErrors, errors_from_sums
from socialgraph.nn.inputs import last_observed
from socialgraph.run_record import run_folder

__all__ = ["Progress"]


class Progress(Callback):
    """Prints what a training begins with, where it ends, and how good it is.

    At the end come the validation errors of the best epoch beside those of the last value (the
    reading that was seen last, repeated), why the training stopped, where its files are, and what
    to type next. An epoch has a line of its own if no progress bar shows it.
    """

    def __init__(self) -> None:
        self._last_value: ForecastErrors | None = None
        self._is_full = False  # once all validation windows are in the errors of the last value
        self._best: tuple[float, int, dict[str, Tensor]] | None = None

    def state_dict(self) -> dict:
        """The best epoch, for a checkpoint: a training that goes on compares with it."""
        if self._best is None:
            return {}
        mae, epoch, errors = self._best
        return {"mae": mae, "epoch": epoch, "errors": errors}

    def load_state_dict(self, state: dict) -> None:
        """Go on from :meth:`state_dict`."""
        if state:
            self._best = state["mae"], state["epoch"], state["errors"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell what is trained."""
        spec = pl_module.given
        self._last_value = ForecastErrors(spec.horizon, spec.num_targets).to(pl_module.device)
        weights = sum(p.numel() for p in pl_module.network.parameters())
        if trainer.is_global_zero:
            print(
                f"{type(pl_module.network).__name__} with {weights:,} weights, for "
                f"{len(spec.vdids):,} detectors: {spec.window} steps of {spec.interval_minutes:g} "
                f"minutes give the next {spec.horizon}; on {pl_module.device}",
                flush=True,
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to measure time: a training that goes on may begin behind the start of an epoch."""
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to measure the time of the epoch."""
        self._start = time.perf_counter()

    def on_validation_batch_end(
        self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0
    ) -> None:
        """Add a batch to the errors of the last value, in the first validation of all windows."""
        if self._is_full or self._last_value is None or trainer.sanity_checking:
            return
        targets = batch["targets"]
        scaled = pl_module.scaler.transform(batch["features"], batch["mask"])
        last = last_observed(scaled, batch["mask"]).nan_to_num()[:, None, :, : targets.size(-1)]
        forecast = pl_module.scaler.inverse(last).expand_as(targets)
        self._last_value.update(forecast, targets, batch["target_mask"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the errors of the best epoch."""
        mae = trainer.callback_metrics.get("val/mae")
        if trainer.sanity_checking or self._last_value is None or mae is None:
            return
        self._is_full = True
        if self._best is None or mae < self._best[0]:
            self._best = float(mae), trainer.current_epoch, pl_module.val_errors

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell of an epoch that no progress bar shows."""
        if not trainer.is_global_zero or trainer.progress_bar_callback is not None:
            return
        shown = {n: trainer.callback_metrics.get(n) for n in ("train/loss", "val/mae")}
        parts = [f"{name} {value:.4g}" for name, value in shown.items() if value is not None]
        parts.append(f"{time.perf_counter() - self._start:.1f} s")
        print(f"epoch {trainer.current_epoch}: {', '.join(parts)}", flush=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell how it ended."""
        last_value = None if self._best is None else errors_from_sums(self._last_value.compute())
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        print(f"\nstopped        {_reason(trainer)}")
        if self._best is not None:
            print(f"best epoch     {self._best[1]} (val/mae {self._best[0]:.4g})\n")
            print(_compare(pl_module.given, self._best[2], last_value), end="\n\n")
        checkpoint = _checkpoint(trainer)
        if checkpoint:
            print(f"checkpoint     {checkpoint}")
        for name in ("metrics.csv", "config.yaml") if trainer.loggers else ():
            path = run_folder(trainer) / name
            if path.is_file():
                print(f"{path.stem:<15}{_from_here(path)}")
        if checkpoint:
            print(f"next           socialgraph test --ckpt_path {checkpoint}")
            apply = "predict --ckpt_path"
            if hasattr(trainer.datamodule, "networks"):  # what serves any
                apply = "forecast READINGS --checkpoint"
            print(f"               socialgraph {apply} {checkpoint}", flush=True)


def _compare(spec, errors: dict[str, Tensor], last_value: dict[str, Tensor]) -> str:
    rival = describe_errors(spec, last_value)
    lines = []
    for name, target in describe_errors(spec, errors).items():
        lines.append(format_row(headline(name, target), name_quarters(spec.horizon_minutes)))
        lines.append(format_row("  validation mae", quarters(target["mae"], target["mae_all"])))
        other = rival[name]
        lines.append(format_row("  of the last value", quarters(other["mae"], other["mae_all"])))
    return "\n".join(lines)


def _reason(trainer: pl.Trainer) -> str:
    for callback in trainer.early_stopping_callbacks:
        ended = isinstance(callback, EarlyStopping) and callback.stopped_epoch
        if ended and callback.stopped_epoch >= trainer.current_epoch - 1:
            return f"{callback.monitor} has not become better for {callback.patience} validations"
    if trainer.max_epochs is not None and 0 < trainer.max_epochs <= trainer.current_epoch:
        return f"all {trainer.max_epochs} epochs are trained"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"all {trainer.max_steps} steps are trained"
    return "asked for by a callback, such as a limit of time"


def _checkpoint(trainer: pl.Trainer) -> str:
    """The best checkpoint as a path from here, or the last."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            path = callback.best_model_path or callback.last_model_path
            if path:
                return str(_from_here(Path(path)))
    return ""


def _from_here(path: Path) -> Path:
    own, here = path.resolve(), Path.cwd()
    return own.relative_to(here) if own.is_relative_to(here) else own
