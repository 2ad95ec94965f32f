"""The training of any forecasting network: loss, errors, optimiser, and what a checkpoint holds."""

import inspect
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from socialgraph.checkpoint import (
    check_entries,
    check_resumable,
    check_same_network,
    check_unfinished,
    network_of,
    profile_of,
    read_checkpoint,
    recipe_of,
)
from socialgraph.checkpoint_io import WholeCheckpoints
from socialgraph.finite import check_finite, check_weights
from socialgraph.forecasting import forecast_series
from socialgraph.graph import GraphBuilder
from socialgraph.logger import MetricsLogger
from socialgraph.metrics import ForecastErrors, Loss, errors_from_sums, masked_loss
from socialgraph.optimizer import freeze_body, parameter_groups, rate_factor
from socialgraph.pretrained.archive import read_start
from socialgraph.profile import DailyProfile
from socialgraph.recipe import make
from socialgraph.scaler import Scaler
from socialgraph.series import TrafficSeries
from socialgraph.spec import DataSpec, SpecError
from socialgraph.step_mean import StepMean
from socialgraph.warm_start import check_start, load_start, tell_other_features

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Forecaster", "load"]

_NO_NETWORK = "Expected a network: Forecaster(network=...), or a checkpoint of one."
_OPTIONS = ("loss", "huber_delta", "learning_rate", "weight_decay", "warmup_steps", "silence")
_OPTIONS += ("trainable",)


class Forecaster(pl.LightningModule):
    """Trains, tests and applies a network on batches of
    :class:`socialgraph.data.TrafficDataModule`.

    The network is called with the entries of the batch that its ``forward`` (or its ``entries``)
    names, with ``features`` scaled, and returns scaled forecasts ``[B, P, N, F]``. A network with a
    method ``build`` is told the sizes that this names. One that reads ``profile`` and
    ``profile_deviation`` is told what each detector usually reads at each step of the window and of
    the targets, scaled ``[B, T + P, N, F]``; a detector that was not in training needs some days of
    readings in its series for that.

    Loss and errors are in the units of the series; of several targets, each error is weighted by
    (mean scale / own scale) so that none rules the loss by its unit. The loss of a step is the mean
    over all its observed targets, however many batches and processes it is made of.

    :attr:`spec` says what data the forecaster is for; a checkpoint keeps it, and data of another
    form are refused.

    Args:
        network: the network, or what makes one; None to take it from a checkpoint.
        loss: ``"mae"``, ``"huber"`` or ``"mse"``.
        huber_delta: where the Huber loss turns linear, in the unit of the (weighted) target.
        learning_rate: peak of the schedule of AdamW.
        weight_decay: decay of matrices; vectors (biases, norms, radii) have none, nor what the
            network names in ``no_weight_decay()``, if it has that method.
        warmup_steps: steps of linear rise to the peak; after them a cosine falls to 1 % at the last
            step (constant, if training has no last step).
        silence: largest share of the input that is taken away in training, so that a network learns
            to forecast without it: of each window a random share up to this of its detectors, and
            another of the readings of the rest.
        init_from: checkpoint whose weights a training starts from. Scales and detectors are those
            of the new data; what the network knows of a detector goes by its id, and a stranger
            gets the mean. Without ``network`` its network is taken too. ``"pretrained"`` is the
            network that comes with the package (:mod:`socialgraph.pretrained`).
        trust: packages besides this one whose classes may be made from a checkpoint.
        trainable: ``"all"`` weights, or ``"head"`` for those of the head, its anchors and the norms
            alone, as is enough where little is known.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[], nn.Module] | None = None,
        loss: Loss = "mae",
        huber_delta: float = 1.0,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup_steps: int = 50,
        silence: float = 0.0,
        init_from: str | None = None,
        trust: Sequence[str] = (),
        trainable: Literal["all", "head"] = "all",
    ) -> None:
        super().__init__()
        made = network is None or isinstance(network, nn.Module)
        self.network = network if made else network()
        # Numbers and texts of NumPy would make a checkpoint that cannot be read.
        self.loss = str(loss)
        self.huber_delta = float(huber_delta)
        self.learning_rate = float(learning_rate)
        self.weight_decay = float(weight_decay)
        self.warmup_steps = int(warmup_steps)
        self.silence = float(silence)
        self.trainable = str(trainable)
        _check_options(self)
        self.init_from = init_from
        self.trust = [trust] if isinstance(trust, str) else list(trust)
        self.save_hyperparameters({name: getattr(self, name) for name in _OPTIONS})
        self.spec: DataSpec | None = None
        self.given: DataSpec | None = None
        self.scaler: Scaler | None = None
        self.profile: DailyProfile | None = None  # of the trained detectors
        self.usual: DailyProfile | None = None  # of the given ones
        self.unseen: Tensor | None = None  # places of given detectors that were not in training
        self.graph: GraphBuilder | None = None
        self.attributes: Tensor | None = None  # of the given detectors, scaled
        self.node: Tensor | None = None  # places of the given detectors among the trained ones
        self._step_mean = StepMean()
        self._random_state: dict | None = None
        self._saved_mean: dict | None = None
        self._total_steps: float | None = None
        self._planned_steps: float | None = None  # by the training that was stopped

    def configure_callbacks(self) -> list:
        """Build the network before callbacks are set up, as some copy it (averaging of weights)."""
        datamodule = self.trainer.datamodule
        if self.trainer.training and datamodule is not None and self.network is not None:
            datamodule.setup("fit")
            self._build_network(datamodule.spec)
        return []

    def setup(self, stage: str) -> None:
        """Meet the data, and adopt them for a training.

        Raises:
            ValueError: without a data module or a network, or for a precision that loses readings.
        """
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = WholeCheckpoints()
        datamodule = self.trainer.datamodule
        if datamodule is None:
            raise ValueError("Expected a data module: trainer.fit(forecaster, datamodule=...).")
        if self.trainer.precision in ("bf16-true", "16-true"):
            raise ValueError(
                "Expected a precision that keeps readings and errors exact (got "
                f"'{self.trainer.precision}'). Use 'bf16-mixed' or '16-mixed'."
            )
        self.given = datamodule.spec
        if stage == "fit":
            if not self.training:  # as one that was loaded
                self.train()
            self.graph = datamodule.graph
            self._begin(datamodule.fitted_spec())
            self._freeze()
            if self.wants_profile:
                self.profile = datamodule.usual.profile()
                self.follow(self.given)
            self._tell_types_of_edges(datamodule.graph_tensors)
        size = (self.given.horizon, self.given.num_targets)
        parts = ("val", "test", "unseen")
        self.errors = nn.ModuleDict({part: ForecastErrors(*size) for part in parts})

    def forward(self, batch: dict) -> Tensor:
        """Forecasts ``[B, P, N, F]`` in real units for a batch in real units.

        Raises:
            socialgraph.finite.NotFiniteError: if one is NaN or infinite.
        """
        forecast = self.scaler.inverse(self.network(**self.inputs(batch)).float())
        check_finite(forecast, "forecast", batch, self.scaler)
        return forecast

    def inputs(self, batch: dict) -> dict:
        """What the network reads of a batch in real units: scaled, with what is usual."""
        features = self.scaler.transform(batch["features"], batch["mask"])
        inputs = {**batch, "features": features, "node": self.node}
        if self.wants_profile:
            inputs |= self._profile_entries(batch)
        if "known" in batch:
            inputs["known"] = self._scale_known(batch["known"])
        if self.attributes is not None:
            inputs["attributes"] = self.attributes
        return {name: inputs[name] for name in _entries(self.network) if name in inputs}

    @property
    def wants_profile(self) -> bool:
        """Whether the network reads what is usual."""
        return self.network is not None and "profile" in _entries(self.network)

    def forecast(self, series: TrafficSeries) -> "pd.DataFrame":
        """Forecasts of the steps after the end of a series, as ``socialgraph predict`` gives them.

        Args:
            series: the last readings, at least a window of them.

        Returns:
            A row per detector and step: ``issued`` and ``time`` (local clock), ``step``,
            ``detector``, and a column per target in its unit.

        Raises:
            ValueError, KeyError: as :func:`socialgraph.forecasting.forecast_series` does.
        """
        return forecast_series(self, series)

    def adopt(self, datamodule: pl.LightningDataModule) -> None:
        """Be a forecaster for the data of a data module, with the weights at hand and no training.

        Args:
            datamodule: after ``setup``; scales and profile are those of its training part.
        """
        untrained = {"train_start": None, "train_end": None}
        with torch.inference_mode(False):  # weights that can be trained later
            self._adopt(replace(datamodule.fitted_spec(), **untrained))
            if self.wants_profile:
                self.profile = datamodule.usual.profile().to(self.device)
            self.network.to(self.device)
        self.follow(self.spec)

    def build_graph(self) -> GraphBuilder | None:
        """The builder of the graph: that of the data at hand, or one made from the record."""
        if self.spec.graph is None or self.graph is not None:
            return self.graph
        return make(self.spec.graph, self.trust)

    def rows(self, given: DataSpec) -> Tensor | None:
        """Places of the detectors of ``given`` among those of the training; None for all in order.

        A stranger, which was not in training, has place -1.

        Raises:
            ValueError: for strangers, if the network has an encoder for each detector.
        """
        rows = self.spec.rows(given.vdids)
        strangers = [vdid for vdid, row in zip(given.vdids, rows, strict=True) if row < 0]
        if strangers and not getattr(self.network, "serves_strangers", True):
            raise SpecError(
                f"{len(strangers)} of {len(rows)} detectors were not in training, among them "
                f"{strangers[:5]}, and the network has an encoder of its own for each detector. "
                "Train on them (init_from keeps the rest), or train a network with a shared "
                "encoder, which forecasts detectors never seen."
            )
        in_order = self.spec.vdids == given.vdids
        return None if in_order else torch.from_numpy(rows).to(self.device)

    def follow(self, given: DataSpec, history: Callable[[], DailyProfile] | None = None) -> None:
        """Take ``given`` as the data at hand; raises as :meth:`rows` does.

        Args:
            given: what the data are.
            history: gives their own profile, for detectors that were not in training; None gives
                these the mean profile.
        """
        self.node = self.rows(given)
        self.given = given
        self.attributes = self._scale_attributes(given)
        self.usual = self.profile
        if self.profile is not None and given.vdids != self.spec.vdids:
            rows = torch.from_numpy(self.spec.rows(given.vdids)).to(self.device)
            ask = history is not None and bool((rows < 0).any())
            self.usual = self.profile.take(rows, history() if ask else None)

    def check_batch(self, batch: dict, given: DataSpec | None = None) -> None:
        """Refuse a batch that the pooling of the network cannot work with (strict mode).

        Args:
            batch: what :class:`socialgraph.data.TrafficDataModule` gives, or its graph.
            given: what the batch is of; None for the data at hand.

        Raises:
            RuntimeError: with pooling, if positions are missing or invalid, or no edge joins two of
                several detectors.
        """
        given = self.given if given is None else given
        check = getattr(self.network, "check_batch", None)
        if check is not None:
            check(batch.get("positions_xy"), given.vdids)
        edge_index = batch.get("edge_index")
        if not _poolings(self.network) or edge_index is None or len(given.vdids) < 2:
            return
        if edge_index.size(1) == 0:
            raise RuntimeError(
                f"Social pooling is enabled but none of the {len(given.vdids)} detectors has a "
                f"neighbour within {given.max_radius:g} metres. Raise the radius of "
                "'data.graph', or train without pooling (in YAML 'pooling: null')."
            )

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Loss of a batch per window; :meth:`on_before_optimizer_step` brings it to the mean."""
        weight = self._target_weight()
        total, count = masked_loss(
            weight * self(self._silenced(batch)),
            weight * batch["targets"],
            batch["target_mask"],
            self.loss,
            self.huber_delta,
        )
        check_finite(total, f"loss of batch {batch_idx}", batch, self.scaler)
        self._step_mean.add(count)
        mean = total.detach() / count.clamp(min=1)
        self.log("train/loss", mean, prog_bar=True, batch_size=len(batch["features"]))
        return total / self._unit()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradient by the observed targets of all batches and processes of the step."""
        self._step_mean.divide(self.parameters(), self.trainer, self._unit())

    def _unit(self) -> int:
        """Targets of a window, by which losses are of the size of a mean."""
        return self.given.horizon * self.given.num_targets * len(self.given.vdids)

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Add a batch to the validation errors."""
        self.errors["val"].update(self(batch), batch["targets"], batch["target_mask"])

    def on_validation_epoch_end(self) -> None:
        """Log the errors over all validation windows, and keep them in :attr:`val_errors`."""
        self.val_errors = self._log_errors("val")

    def test_step(self, batch: dict, batch_idx: int) -> None:
        """Add a batch to the test errors."""
        result = self(batch), batch["targets"], batch["target_mask"]
        self.errors["test"].update(*result)
        if self.unseen is not None:
            self.errors["unseen"].update(*(part[:, :, self.unseen] for part in result))

    def on_test_epoch_end(self) -> None:
        """Log the errors over all test windows, and keep them in :attr:`test_errors`.

        Those of the detectors that were not in training, if there are others too, come apart in
        :attr:`unseen_errors`; else None.
        """
        self.test_errors = self._log_errors("test")
        self.unseen_errors = None if self.unseen is None else self._log_errors("unseen")

    def predict_step(self, batch: dict, batch_idx: int) -> dict[str, Tensor]:
        """Forecasts of a batch with the truth where it is known, in real units."""
        known = ("targets", "target_mask", "issued")
        return {"forecast": self(batch), **{name: batch[name] for name in known}}

    def configure_optimizers(self) -> dict:
        """AdamW with warm-up and cosine decay, stepped per batch.

        Raises:
            ValueError: without a network.
        """
        if self.network is None:
            raise ValueError(_NO_NETWORK)
        self._total_steps = total = float(self.trainer.estimated_stepping_batches)
        groups = parameter_groups(self.network, self.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        factor = partial(rate_factor, warmup=self.warmup_steps, total=total)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Tell if the checkpoints of this training will not hold the network."""
        if recipe_of(self.network) is None:
            warnings.warn(
                f"The arguments of {type(self.network).__name__} cannot be written into a "
                "checkpoint; to load one, the network will have to be given. See "
                "socialgraph.recipe.recorded.",
                stacklevel=2,
            )

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what the forecaster is for, how its parts were made, and the random numbers.

        Raises:
            socialgraph.finite.NotFiniteError: if a weight is NaN or infinite.
        """
        check_weights(self.named_parameters())
        if "callbacks" not in checkpoint:
            self._take_average(checkpoint)
        checkpoint["spec"] = self.spec.to_dict()
        checkpoint["network"] = recipe_of(self.network)
        if self.profile is not None:
            checkpoint["profile"] = {n: part.cpu() for n, part in self.profile.named_buffers()}
        if self._trainer is not None and self.trainer.datamodule is not None:
            checkpoint["data"] = self.trainer.datamodule.describe()
        checkpoint["total_steps"] = self._total_steps
        checkpoint["step_mean"] = self._step_mean.state(self.named_parameters())
        checkpoint["random_state"] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            checkpoint["random_state"]["cuda"] = torch.cuda.get_rng_state()

    def _take_average(self, checkpoint: dict) -> None:
        """Put averaged weights into a checkpoint of weights alone, which callbacks do not see."""
        for callback in self.trainer.callbacks if self._trainer is not None else ():
            if isinstance(callback, WeightAveraging):
                callback.on_save_checkpoint(self.trainer, self, checkpoint)
        for name in ("current_model_state", "averaging_state"):
            checkpoint.pop(name, None)

    def _tell_of_average(self, checkpoint: dict) -> None:
        callbacks = self.trainer.callbacks
        averaged = any(isinstance(callback, WeightAveraging) for callback in callbacks)
        if "averaging_state" in checkpoint and not averaged:
            warnings.warn(
                "The weights of this training were averaged, and now are not: it goes on from the "
                "average. Put its callback back into trainer.callbacks.",
                stacklevel=2,
            )

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take network and specification from a checkpoint, before its weights.

        Raises:
            ValueError: if the checkpoint lacks something, is of another network, or (as
                :class:`socialgraph.spec.SpecError`) of other data.
        """
        check_entries(checkpoint)
        spec = DataSpec.from_dict(checkpoint["spec"])
        if self._trainer is not None and self.trainer.training:
            check_resumable(checkpoint)
            check_unfinished(checkpoint, self.trainer.max_epochs, self.trainer.max_steps)
            self._tell_of_average(checkpoint)
            spec.check_same_data(self.given)
            spec = replace(spec, graph=self.given.graph, source=self.given.source)
            self._saved_mean = checkpoint.get("step_mean")
            if self._saved_mean is not None and self.trainer.world_size > 1:
                raise ValueError(
                    "The checkpoint was written inside a step of several batches, and several "
                    "processes cannot go on there. Take one between two steps, or one process."
                )
            self._random_state = checkpoint.get("random_state")
            self._planned_steps = checkpoint.get("total_steps")
        if self.network is None:
            self.network = network_of(checkpoint, self.trust)
        self._adopt(spec)
        if self._trainer is not None and self.trainer.training:
            self._freeze()
        self.profile = profile_of(checkpoint, spec)
        if self.wants_profile and self.profile is None:
            raise ValueError(
                "The checkpoint has no 'profile', which its network reads. It was changed, or "
                "written for another network: train again."
            )
        if self.profile is not None:
            self.profile.to(self.device)
        check_same_network(recipe_of(self.network), checkpoint["network"])
        if self._trainer is None or self.trainer.training:
            self.follow(self.given if self._trainer is not None else spec)

    def on_validation_start(self) -> None:
        """Compare the data with those of the training; without one, adopt them.

        Raises:
            ValueError: without a network, or (as :class:`socialgraph.spec.SpecError`) for data of
                another form, or a test on windows of the training.
        """
        if self.trainer.state.fn == "fit":
            return
        datamodule = self.trainer.datamodule
        if self.spec is None:
            self.adopt(datamodule)
            if any(weight.requires_grad for weight in self.network.parameters()):
                warnings.warn("The network is untrained: its weights are random.", stacklevel=2)
        self.spec.check_form(self.given)
        on_test = self.trainer.predicting and datamodule.windows.predict_on == "test"
        if self.trainer.testing or on_test:
            self.spec.check_unseen(self.given, datamodule.first_times("test"))
        self.follow(self.given, lambda: datamodule.usual.profile())
        strange = torch.from_numpy(self.spec.rows(self.given.vdids) < 0)
        self.unseen = strange.nonzero().flatten() if strange.any() and not strange.all() else None

    on_test_start = on_predict_start = on_validation_start

    def on_test_end(self) -> None:
        """Be again for the detectors of the training."""
        self.follow(self.spec)

    on_predict_end = on_test_end

    def on_train_start(self) -> None:
        """Begin to measure time, and tell if a prolonged training changes the learning rate."""
        self._epoch_start = time.perf_counter()  # a training that goes on may begin in mid-epoch
        self._step_mean.restore(self._saved_mean, self.named_parameters())
        self._saved_mean = None
        for logger in self.trainer.loggers:
            if isinstance(logger, MetricsLogger):
                logger.begin(self.trainer.global_step)
        planned, total = self._planned_steps, self._total_steps
        self._planned_steps = None
        if planned is None:
            return
        step = self.trainer.global_step
        before, now = (
            self.learning_rate * rate_factor(step, self.warmup_steps, steps)
            for steps in (planned, total)
        )
        if math.isclose(before, now, rel_tol=0.01):
            return
        warnings.warn(
            f"The schedule of the learning rate was laid over {planned:g} steps and now is over "
            f"{total:g}: at step {step} the rate goes on at {now:.2g} instead of {before:.2g}. "
            "For a new training with a warm-up, start from the weights with init_from.",
            stacklevel=2,
        )

    def on_train_epoch_start(self) -> None:
        """Begin to measure the time of the epoch."""
        self._epoch_start = time.perf_counter()

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """After loading, go on with the random numbers where the saved training stood."""
        if self._random_state is not None and self.trainer.world_size == 1:
            torch.set_rng_state(self._random_state["cpu"].cpu())
            if "cuda" in self._random_state and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._random_state["cuda"].cpu())
        self._random_state = None

    def on_train_epoch_end(self) -> None:
        """Log the wall time of the epoch, its validation included, and each learned radius."""
        self.log("epoch_seconds", time.perf_counter() - self._epoch_start)
        for layer, pooling in enumerate(_poolings(self.network), 1):
            if getattr(pooling, "learn_radius", False):
                for head, radius in enumerate(pooling.radius.detach(), 1):
                    self.log(f"radius/layer_{layer}_head_{head}", radius.float())

    def _begin(self, spec: DataSpec) -> None:
        """Adopt the data of a new training, from the weights at hand or those of a checkpoint."""
        if self.spec is not None:
            self._begin_again(spec)
        elif self.init_from is not None:
            self._begin_from(self.init_from, spec)
        elif self.network is not None:
            self._adopt(spec)
        else:  # the checkpoint of a training that goes on brings it
            return
        self.follow(self.given)

    def _begin_again(self, spec: DataSpec) -> None:
        if self.spec.vdids != spec.vdids and getattr(self.network, "knows_nodes", False):
            raise SpecError(
                f"The network knows {len(self.spec.vdids)} detectors by weights of its own, and "
                f"the data have others ({len(spec.vdids)}). Start a new forecaster with "
                "init_from=<checkpoint of this one>: what is known of a detector then goes by id."
            )
        tell_other_features(self.spec, spec)
        self._adopt(spec.after(self.spec))

    def _begin_from(self, path: str, spec: DataSpec) -> None:
        checkpoint = read_start(path)
        trained = check_start(checkpoint, path, spec)
        if self.network is None:
            self.network = network_of(checkpoint, self.trust, num_nodes=len(spec.vdids))
        self._adopt(spec.after(trained))
        load_start(self.network, checkpoint, path, trained, spec)

    def _freeze(self) -> None:
        if self.trainable == "head" and self.network is not None:
            freeze_body(self.network)

    def _tell_types_of_edges(self, graph: dict) -> None:
        deaf = [p for p in _poolings(self.network) if not getattr(p, "edge_dim", 0)]
        if "edge_attr" in graph and deaf:
            types = graph["edge_attr"].size(1)
            warnings.warn(
                f"The graph has {types} types of edges, which the pooling does not look at: a pair "
                f"with edges of several types counts as often. Give it edge_dim = {types}.",
                stacklevel=3,
            )

    def _adopt(self, spec: DataSpec) -> None:
        """Be a forecaster for these data from now on."""
        if self.network is None:
            raise ValueError(_NO_NETWORK)
        self._build_network(spec)
        self.spec = spec
        self.scaler = Scaler(spec.loc, spec.scale, spec.limit).to(self.device)

    def _build_network(self, spec: DataSpec) -> None:
        if hasattr(self.network, "build"):
            sizes = {
                "in_channels": len(spec.features),
                "out_channels": spec.num_targets,
                "window": spec.window,
                "horizon": spec.horizon,
                "vdids": spec.vdids,
                "max_radius": spec.max_radius,
            }
            named = inspect.signature(self.network.build).parameters
            self.network.build(**{name: size for name, size in sizes.items() if name in named})

    def _profile_entries(self, batch: dict) -> dict[str, Tensor]:
        """What is usual at the steps of window and targets, scaled."""
        if "profile" in batch:  # of a training window, without its own readings
            mean, deviation = batch["profile"], batch["profile_deviation"]
        else:
            clocks = (
                torch.cat([batch[name], batch[f"target_{name}"]], dim=1)
                for name in ("time_of_day", "day_of_week")
            )
            mean, deviation = self.usual(*clocks)
        mean = self.scaler.transform(mean, mean.new_ones((), dtype=torch.bool))
        return {"profile": mean, "profile_deviation": deviation / self.scaler.scale}

    def _scale_known(self, known: Tensor) -> Tensor:
        places = [self.spec.features.index(name) for name in self.spec.known]
        loc, scale = (part[places] for part in (self.scaler.loc, self.scaler.scale))
        return ((known - loc) / scale).nan_to_num()

    def _scale_attributes(self, given: DataSpec) -> Tensor | None:
        """Attributes ``[N, A]`` by their mean and deviation in training, 0 where unknown."""
        if not self.spec.attributes:
            return None
        own = self.spec.attribute_values
        deviation = np.nanstd(own, axis=0)
        scaled = (given.attribute_values - np.nanmean(own, axis=0)) / np.where(
            deviation > 0, deviation, 1.0
        )
        return torch.from_numpy(np.nan_to_num(scaled)).float().to(self.device)

    def _silenced(self, batch: dict) -> dict:
        """A batch without a random part of its input."""
        if self.silence == 0:
            return batch
        mask = batch["mask"]
        windows, steps, nodes, _ = mask.shape
        for shape in ((windows, 1, nodes, 1), (windows, steps, nodes, 1)):
            share = self.silence * torch.rand(windows, 1, 1, 1, device=mask.device)
            mask = mask & (torch.rand(shape, device=mask.device) >= share)
        return {**batch, "mask": mask, "features": torch.where(mask, batch["features"], 0.0)}

    def _target_weight(self) -> Tensor:
        scale = self.scaler.scale[: self.spec.num_targets]
        return scale.mean() / scale

    def _log_errors(self, part: str) -> dict[str, Tensor]:
        errors = errors_from_sums(self.errors[part].compute())
        self.errors[part].reset()
        weight = self._target_weight().double()
        self.log(f"{part}/mae", (weight * errors["mae_all"]).nanmean(), prog_bar=True)
        self.log(f"{part}/rmse", (weight * errors["rmse_all"]).nanmean())
        return errors


def _check_options(options: Forecaster) -> None:
    if not 0 <= options.silence <= 1:
        raise ValueError(f"Expected 'silence' as a share from 0 to 1 (got {options.silence}).")
    if not 0 < options.huber_delta < math.inf:
        raise ValueError(f"Expected 'huber_delta' above 0 (got {options.huber_delta}).")
    if options.trainable not in ("all", "head"):
        raise ValueError(f"Expected 'trainable' as 'all' or 'head' (got {options.trainable!r}).")
    for name in ("learning_rate", "weight_decay", "warmup_steps"):
        if not 0 <= getattr(options, name) < math.inf:
            raise ValueError(f"Expected '{name}' of 0 or more (got {getattr(options, name)}).")


def _poolings(network: nn.Module) -> list[nn.Module]:
    """The poolings of a network that names them."""
    return getattr(network, "poolings", [])


def _entries(network: nn.Module) -> set[str]:
    """Names of the entries of a batch that a network reads."""
    named = getattr(network, "entries", None)
    return set(inspect.signature(network.forward).parameters) if named is None else set(named)


def load(path: str | Path, device: str = "cpu", trust: Sequence[str] = ()) -> Forecaster:
    """A trained forecaster from a checkpoint, ready to forecast.

    Args:
        path: checkpoint of ``socialgraph fit`` or of a Trainer, also one with weights only.
        device: where it computes.
        trust: packages besides this one whose classes may be made from the checkpoint.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint of a forecaster, or lacks something.
    """
    checkpoint = read_checkpoint(path)
    kept = checkpoint.get("hyper_parameters", {})
    forecaster = Forecaster(**{n: kept[n] for n in _OPTIONS if n in kept}, trust=trust)
    forecaster.on_load_checkpoint(checkpoint)
    forecaster.load_state_dict(checkpoint["state_dict"])
    return forecaster.to(device).eval()
