"""The training of any forecasting network: loss, errors, optimiser, and what a checkpoint holds."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from socialgraph.calibration import Calibration, begin_calibration
from socialgraph.carried import CarriedState
from socialgraph.checkpoint import (
    check_entries,
    check_resumable,
    check_same_network,
    check_unfinished,
    leave_cut_epoch_open,
    network_of,
    objective_of,
    read_checkpoint,
    recipe_of,
)
from socialgraph.checkpoint_io import WholeCheckpoints
from socialgraph.checks import (
    check_graph,
    check_objective,
    check_options,
    check_trainer,
    tell_types_of_edges,
    tell_unwritable,
)
from socialgraph.conformal import Conformal
from socialgraph.cusum import Charts
from socialgraph.finite import check_finite, check_weights
from socialgraph.forecasting import forecast_series
from socialgraph.graph import GraphBuilder
from socialgraph.kept import keep_parts, take_parts
from socialgraph.layers import named_poolings, radius_name
from socialgraph.logger import MetricsLogger
from socialgraph.metrics import ForecastErrors, IntervalErrors, errors_from_sums
from socialgraph.objective import Objective, Point
from socialgraph.optimizer import freeze_body, make_optimizer
from socialgraph.profile import DailyProfile
from socialgraph.reading import (
    read_batch,
    reads_profile,
    rows_of,
    scale_attributes,
    silence_part,
    warn_of_no_history,
)
from socialgraph.recipe import make
from socialgraph.resuming import (
    StoppedTraining,
    random_state,
    take_average,
    tell_of_average,
    tell_of_silence,
)
from socialgraph.scaler import Scaler
from socialgraph.series import TrafficSeries
from socialgraph.spec import DataSpec
from socialgraph.step_mean import StepMean
from socialgraph.warm_start import build_network, check_again, start_network

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Forecaster", "load"]

_NO_NETWORK = "Expected a network: Forecaster(network=...), or a checkpoint of one."
_OPTIONS = ("learning_rate", "weight_decay", "warmup_steps", "silence", "trainable", "coverage")


class Forecaster(pl.LightningModule):
    """Trains, tests and applies a network on batches of
    :class:`socialgraph.data.TrafficDataModule`.

    The network is called with the entries of the batch that its ``forward`` (or its ``entries``)
    names, with ``features`` scaled, and returns what the objective wants, for a point scaled
    forecasts ``[B, P, N, F]``. A network with a method ``build`` is told the sizes that this names.
    One that reads ``profile`` and ``profile_deviation`` is told what each detector usually reads at
    each step of the window and of the targets, scaled ``[B, T + P, N, F]``; a detector that was not
    in training needs some days of readings in its series for that.

    Loss and errors are in the units of the series; of several targets, each error is weighted by
    (mean scale / own scale) so that none rules the loss by its unit. The loss of a step is the mean
    over all its observed targets, however many batches and processes it is made of.

    :attr:`spec` says what data the forecaster is for; a checkpoint keeps it, and data of another
    form are refused.

    Args:
        network: the network, or what makes one; None to take it from a checkpoint.
        objective: what is trained, and what a forecast says; None for that of the checkpoint, and
            for a :class:`socialgraph.objective.Point` without one.
        learning_rate: peak of the schedule of AdamW.
        weight_decay: decay of matrices; vectors (biases, norms, radii) have none, nor what the
            network names in ``no_weight_decay()``, if it has that method.
        warmup_steps: steps of linear rise to the peak; after them a cosine falls to 1 % at the last
            step (constant, if training has no last step).
        silence: largest share of the input that is taken away in training, so that a network learns
            to forecast without it: of each window a random share up to this of its detectors, and
            another of the readings of the rest; 0 for none.
        init_from: checkpoint whose weights a training starts from. Scales and detectors are those
            of the new data; what the network knows of a detector goes by its id, and a stranger
            gets the mean. Without ``network`` its network is taken too. ``"pretrained"`` is the
            network that comes with the package (:mod:`socialgraph.pretrained`).
        trust: packages besides this one whose classes may be made from a checkpoint.
        trainable: ``"all"`` weights, or ``"head"`` for those of the head, its anchors and the norms
            alone, as is enough where little is known.
        coverage: of the intervals that the validation windows calibrate
            (:class:`socialgraph.conformal.Conformal`), which forecasts then tell besides the point;
            None for no calibration.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[], nn.Module] | None = None,
        objective: Objective | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup_steps: int = 50,
        silence: float = 0.1,
        init_from: str | None = None,
        trust: Sequence[str] = (),
        trainable: Literal["all", "head"] = "all",
        coverage: float | None = 0.9,
    ) -> None:
        super().__init__()
        made = network is None or isinstance(network, nn.Module)
        self.network = network if made else network()
        self.objective = objective
        # Numbers and texts of NumPy would make a checkpoint that cannot be read.
        self.learning_rate = float(learning_rate)
        self.weight_decay = float(weight_decay)
        self.warmup_steps = int(warmup_steps)
        self.silence = float(silence)
        self.trainable = str(trainable)
        self.coverage = None if coverage is None else float(coverage)
        check_options(self)
        self.init_from = init_from
        self.trust = [trust] if isinstance(trust, str) else list(trust)
        self.save_hyperparameters({name: getattr(self, name) for name in _OPTIONS})
        self.spec: DataSpec | None = None
        self.given: DataSpec | None = None
        self.scaler: Scaler | None = None
        self.profile: DailyProfile | None = None  # of the trained detectors
        self.usual: DailyProfile | None = None  # of the given ones
        self.conformal: Conformal | None = None  # of the trained detectors
        self.bounds: Conformal | None = None  # of the given ones
        self.charts: Charts | None = None  # of alarms, of the trained detectors
        self._calibration: Calibration | None = None  # of the validation that runs
        self.unseen: Tensor | None = None  # places of given detectors that were not in training
        self.graph: GraphBuilder | None = None
        self.attributes: Tensor | None = None  # of the given detectors, scaled
        self.node: Tensor | None = None  # places of the given detectors among the trained ones
        # Of training, and of validation and test, by whether it trains.
        self._carried = {True: CarriedState(), False: CarriedState()}
        self._step_mean = StepMean()
        self._stopped = StoppedTraining()  # what is left to take up of the one that goes on
        self._total_steps: float | None = None

    def configure_callbacks(self) -> list:
        """Build the network before callbacks are set up, as some copy it (averaging of weights)."""
        datamodule = self.trainer.datamodule
        if self.trainer.training and datamodule is not None and self.network is not None:
            datamodule.setup("fit")
            self.objective = self.objective or Point()
            build_network(self.network, datamodule.spec, self.objective.width)
        return []

    def setup(self, stage: str) -> None:
        """Meet the data, and adopt them for a training.

        Raises:
            ValueError: without a data module or a network, or for a precision that loses readings.
        """
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = WholeCheckpoints()
        check_trainer(self.trainer)
        datamodule = self.trainer.datamodule
        self.given = datamodule.spec
        if stage == "fit":
            if not self.training:  # as one that was loaded
                self.train()
            self.graph = datamodule.graph
            check_objective(self.objective, self.given)
            self._begin(datamodule.fitted_spec())
            self._freeze()
            if self.wants_profile:
                self.profile = datamodule.usual.profile()
                self.follow(self.given)
            tell_types_of_edges(self.network, datamodule.graph_tensors)
        size = (self.given.horizon, self.given.num_targets)
        parts = ("val", "test", "unseen")
        self.errors = nn.ModuleDict({part: ForecastErrors(*size) for part in parts})

    def forward(self, batch: dict) -> Tensor:
        """Point forecasts ``[B, P, N, F]`` in real units for a batch in real units.

        Raises:
            socialgraph.finite.NotFiniteError: if one is NaN or infinite.
        """
        return self.outputs(self.predict(batch))["forecast"]

    def predict(self, batch: dict, weight: Tensor | float = 1.0) -> Tensor:
        """Predictions of the objective ``[B, P, N, F, W]`` for a batch in real units.

        Args:
            batch: what :class:`socialgraph.data.TrafficDataModule` gives.
            weight: of each target ``[F]``, for predictions in units that are so many times smaller.

        Raises:
            ValueError: if the network gives another number of values than the objective wants.
            socialgraph.finite.NotFiniteError: if one is NaN or infinite.
        """
        prediction = self.decode(self._run(batch), weight)
        check_finite(prediction, "forecast", batch, self.scaler)
        return prediction

    def _run(self, batch: dict) -> Tensor:
        """What the network gives for a batch in real units."""
        inputs = self.inputs(batch)
        # In a test, networks that carry no state (rivals, say) read each window alone.
        carries = self.training or getattr(self.network, "steps", False)
        if "goes_on" not in batch or not carries:
            return self.network(**inputs)
        return self._carried[self.training].forecast(self.network, inputs, batch["goes_on"])

    def outputs(self, prediction: Tensor) -> dict[str, Tensor]:
        """What is told of predictions ``[..., F, W]`` in real units.

        Returns:
            ``forecast`` ``[..., F]``, and ``quantiles`` ``[..., F, L]`` of :attr:`levels`.
        """
        forecast = self.objective.point(prediction)
        quantiles = self.objective.quantiles(prediction, self.levels)
        if self.bounds is not None:
            quantiles = self.bounds.correct(quantiles, forecast)
        return {"forecast": forecast, "quantiles": quantiles}

    @property
    def levels(self) -> list[float]:
        """Levels of the quantiles that are told besides the point forecast, ascending."""
        if self.conformal is not None:
            return self.conformal.levels
        return [level for level in self.objective.levels if level != 0.5]

    def decode(self, raw: Tensor, weight: Tensor | float = 1.0) -> Tensor:
        """Predictions ``[..., F, W]`` in real units from what the network gives; as ``predict``."""
        targets = raw.size(-1) // self.objective.width
        if targets * self.objective.width != raw.size(-1):
            raise ValueError(
                f"Expected {self.objective.width} numbers from the network for each target, as "
                f"{type(self.objective).__name__} wants (got {raw.size(-1)} for all). Give 'build' "
                "of the network a 'width', or train a Point."
            )
        loc, scale = (weight * part[:targets] for part in (self.scaler.loc, self.scaler.scale))
        return self.objective.decode(raw.float(), loc, scale)

    def inputs(self, batch: dict) -> dict:
        """What the network reads of a batch in real units: scaled, with what is usual."""
        return read_batch(self, batch)

    @property
    def wants_profile(self) -> bool:
        """Whether the network reads what is usual."""
        return reads_profile(self.network)

    def forecast(self, series: TrafficSeries) -> "pd.DataFrame":
        """Forecasts of the steps after the end of a series, as ``socialgraph predict`` gives them.

        Args:
            series: the last readings, at least a window of them.

        Returns:
            A row per detector and step: ``issued`` and ``time`` (local clock), ``step``,
            ``detector``, and for each target a column in its unit, and one for each quantile.

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

    def follow(
        self, given: DataSpec, history: Callable[[], tuple[DailyProfile, Tensor]] | None = None
    ) -> None:
        """Take ``given`` as the data at hand.

        Args:
            given: what the data are.
            history: gives their own profile, for detectors that were not in training, and which of
                them it knows; without it, or if it knows them not (which is told), these get the
                mean profile.

        Raises:
            ValueError: for detectors that were not in training, if the network has an encoder for
                each detector.
        """
        self.node = rows_of(self.network, self.spec, given, self.device)
        self.given = given
        self.attributes = scale_attributes(self.spec, given, self.device)
        self.usual, self.bounds = self.profile, self.conformal
        if self.conformal is not None and given.vdids != self.spec.vdids:
            self.bounds = self.conformal.take(torch.from_numpy(self.spec.rows(given.vdids)))
        if self.profile is not None and given.vdids != self.spec.vdids:
            rows = torch.from_numpy(self.spec.rows(given.vdids)).to(self.device)
            own, heard = None, None
            if history is not None and (rows < 0).any():
                own, heard = history()
                warn_of_no_history(int(((rows < 0).cpu() & ~heard).sum()))
            self.usual = self.profile.take(rows, own, heard)

    def check_batch(self, batch: dict, given: DataSpec | None = None) -> None:
        """Refuse a batch that the pooling of the network cannot work with (strict mode).

        Args:
            batch: what :class:`socialgraph.data.TrafficDataModule` gives, or its graph.
            given: what the batch is of; None for the data at hand.

        Raises:
            RuntimeError: with pooling, if positions are missing or invalid, or no edge joins two of
                several detectors.
        """
        check_graph(self.network, batch, self.given if given is None else given)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Loss of a batch per window; :meth:`on_before_optimizer_step` brings it to the mean."""
        weight = self._target_weight()
        prediction = self.predict(silence_part(batch, self.silence), weight)
        total, count = self.objective.loss(
            prediction, weight * batch["targets"], batch["target_mask"]
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

    def on_validation_epoch_start(self) -> None:
        """Begin to calibrate intervals and alarms, in a training."""
        self._calibration = begin_calibration(self)

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Add a batch to the validation errors, and to what is calibrated."""
        prediction = self.predict(batch)
        point = self.objective.point(prediction)
        self.errors["val"].update(point, batch["targets"], batch["target_mask"])
        if self._calibration is not None:
            self._calibration.add(batch, prediction)

    def on_validation_epoch_end(self) -> None:
        """Log the errors over all validation windows, and keep them in :attr:`val_errors`.

        Intervals and alarms are calibrated for the weights that were validated, so that each
        checkpoint holds its own.
        """
        self.val_errors = self._log_errors("val")
        if self._calibration is not None:
            self.conformal, self.charts = self._calibration.result()
            self.bounds, self._calibration = self.conformal, None

    def test_step(self, batch: dict, batch_idx: int) -> None:
        """Add a batch to the test errors."""
        told = self.outputs(self.predict(batch))
        known = batch["targets"], batch["target_mask"]
        result = told["forecast"], *known
        self.errors["test"].update(*result)
        if self.intervals is not None:
            self.intervals.update(*told.values(), *known, batch["target_time_of_day"])
        if self.unseen is not None:
            self.errors["unseen"].update(*(part[:, :, self.unseen] for part in result))

    def on_test_epoch_end(self) -> None:
        """Log the errors over all test windows, and keep them in :attr:`test_errors`.

        Those of intervals come as :attr:`test_intervals`
        (:class:`socialgraph.metrics.IntervalErrors`), None without.
        Those of the detectors that were not in training, if there are others too, come apart in
        :attr:`unseen_errors`; else None.
        """
        self.test_errors = self._log_errors("test")
        self.test_intervals = None if self.intervals is None else self.intervals.compute()
        self.unseen_errors = None if self.unseen is None else self._log_errors("unseen")

    def predict_step(self, batch: dict, batch_idx: int) -> dict[str, Tensor]:
        """:meth:`outputs` of a batch with the truth where it is known, in real units."""
        known = ("targets", "target_mask", "issued")
        return self.outputs(self.predict(batch)) | {name: batch[name] for name in known}

    def configure_optimizers(self) -> dict:
        """AdamW with warm-up and cosine decay, stepped per batch.

        Raises:
            ValueError: without a network.
        """
        if self.network is None:
            raise ValueError(_NO_NETWORK)
        self._total_steps = total = float(self.trainer.estimated_stepping_batches)
        rates = self.learning_rate, self.weight_decay, self.warmup_steps
        return make_optimizer(self.network, *rates, total)

    def on_fit_start(self) -> None:
        """Tell if the checkpoints of this training will not hold the network."""
        tell_unwritable(self.network)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what the forecaster is for, how its parts were made, and the random numbers.

        Raises:
            socialgraph.finite.NotFiniteError: if a weight is NaN or infinite.
        """
        check_weights(self.named_parameters())
        if "callbacks" not in checkpoint and self._trainer is not None:
            take_average(self, checkpoint)
        keep_parts(self, checkpoint)
        if self._trainer is not None:
            leave_cut_epoch_open(checkpoint, self.trainer.num_training_batches)
            if self.trainer.datamodule is not None:
                checkpoint["data"] = self.trainer.datamodule.describe()
        checkpoint["total_steps"] = self._total_steps
        checkpoint["step_mean"] = self._step_mean.state(self.named_parameters())
        checkpoint["random_state"] = random_state()
        checkpoint["carried"] = self._carried[True].entries()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take network, objective and specification from a checkpoint, before its weights.

        Raises:
            ValueError: if the checkpoint lacks something, is of another network, or (as
                :class:`socialgraph.spec.SpecError`) of other data.
        """
        check_entries(checkpoint)
        spec = DataSpec.from_dict(checkpoint["spec"])
        if self._trainer is not None and self.trainer.training:
            check_resumable(checkpoint)
            check_unfinished(checkpoint, self.trainer.max_epochs, self.trainer.max_steps)
            tell_of_average(self.trainer, checkpoint)
            tell_of_silence(self.silence, checkpoint)
            spec.check_same_data(self.given)
            spec = replace(spec, graph=self.given.graph, source=self.given.source)
            self._stopped = StoppedTraining.of(checkpoint, self.trainer.world_size)
        if self.network is None:
            self.network = network_of(checkpoint, self.trust)
        self.objective = objective_of(checkpoint, self.objective, self.trust)
        self._adopt(spec)
        if self._trainer is not None and self.trainer.training:
            self._freeze()
        take_parts(self, checkpoint, spec)
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
            for member in getattr(datamodule, "members", [datamodule]):
                self.spec.check_unseen(member.spec, member.first_times("test"))
        latest = self.trainer.predicting and not on_test
        self.follow(self.given, lambda: datamodule.history(of_all=latest))
        self.intervals = None
        if len(self.levels) > 1:
            shape = self.given.horizon, len(self.given.vdids), self.given.num_targets
            self.intervals = IntervalErrors(shape, self.levels).to(self.device)
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
        self._step_mean.restore(self._stopped.step_mean, self.named_parameters())
        self._carried[True].restore(self.network, self._stopped.carried)
        for logger in self.trainer.loggers:
            if isinstance(logger, MetricsLogger):
                logger.begin(self.trainer.global_step)
        self._stopped.tell_of_rate(self, self._total_steps)
        self._stopped = StoppedTraining(random_state=self._stopped.random_state)

    def on_train_epoch_start(self) -> None:
        """Begin to measure the time of the epoch."""
        self._epoch_start = time.perf_counter()

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """After loading, go on with the random numbers where the saved training stood."""
        self._stopped.restore_random(self.trainer.world_size)
        self._stopped = StoppedTraining()

    def on_train_batch_end(self, outputs: object, batch: dict, batch_idx: int) -> None:
        """Forget the state that is carried, at the end of an epoch."""
        if self.trainer.is_last_batch:
            self._carried[True] = CarriedState()

    def on_train_epoch_end(self) -> None:
        """Log the wall time of the epoch, its validation included, and each learned radius."""
        self.log("epoch_seconds", time.perf_counter() - self._epoch_start)
        for layer, pooling in named_poolings(self.network):
            if getattr(pooling, "learn_radius", False):
                for head, radius in enumerate(pooling.radius.detach(), 1):
                    self.log(radius_name(layer, head), radius.float())

    def _begin(self, spec: DataSpec) -> None:
        """Adopt the data of a new training, from the weights at hand or those of a checkpoint."""
        if self.spec is not None:
            check_again(self.network, self.spec, spec)
            self._adopt(spec.after(self.spec))
        elif self.init_from is not None:
            self.objective = self.objective or Point()
            start = start_network(
                self.init_from, spec, self.network, self.trust, self.objective.width
            )
            self.network, trained = start
            self._adopt(spec.after(trained))
        elif self.network is not None:
            self._adopt(spec)
        else:  # the checkpoint of a training that goes on brings it
            return
        self.follow(self.given)

    def _freeze(self) -> None:
        if self.trainable == "head" and self.network is not None:
            freeze_body(self.network)

    def _adopt(self, spec: DataSpec) -> None:
        """Be a forecaster for these data from now on."""
        if self.network is None:
            raise ValueError(_NO_NETWORK)
        self.objective = self.objective or Point()
        build_network(self.network, spec, self.objective.width)
        self.spec = spec
        self.scaler = Scaler(spec.loc, spec.scale, spec.limit).to(self.device)
        self.conformal = self.bounds = self.charts = None  # of other weights or data

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
