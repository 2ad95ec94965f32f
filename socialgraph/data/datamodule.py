"""The data module: one series to loaders, the graph, and the record of what it is."""

import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from socialgraph import schema
from socialgraph.calendar import check_holidays
from socialgraph.data.choices import attribute_values, check_types, held_out_vdids
from socialgraph.data.graph import graph_tensors
from socialgraph.data.latest import latest_window, with_future
from socialgraph.data.loading import Loading, ResumableLoader, ordered_loader, training_loader
from socialgraph.data.setting import setting_of
from socialgraph.data.split import Split, as_split
from socialgraph.data.tracks import ordered_tracks, training_tracks
from socialgraph.data.windows import WindowCollator, Windows, window_starts
from socialgraph.graph import GraphBuilder, RadiusGraph
from socialgraph.profile import DailyProfile, ProfileSums
from socialgraph.recipe import describe
from socialgraph.scaler import Scaling, scale_of
from socialgraph.series import TrafficSeries
from socialgraph.silence import report_silent
from socialgraph.spec import DataSpec

__all__ = ["TrafficDataModule"]


if TYPE_CHECKING:
    Source = str | Path | TrafficSeries
else:
    Source = str  # what YAML can say


class TrafficDataModule(pl.LightningDataModule):
    """Windows of one traffic series, split by time, with the graph of its detectors.

    The series is held twice, as read and filled; a batch is gathered by index and is in the units
    of the series. A window never spans a gap in the time axis. If positions are missing or invalid,
    batches carry them as they are and no edges, so that a network with pooling can refuse them.

    Args:
        series: a series, or the HDF5 file of one (:mod:`socialgraph.schema`).
        features: features that are read; None for all.
        targets: those that are forecast; None for all. They become the first features.
        scaling: how readings are scaled, see :func:`socialgraph.scaler.scale_of`.
        windows: what a window is.
        split: shares of training, validation and test by time, or another way to divide
            (:mod:`socialgraph.data.split`). A part may be empty, for instance ``[1, 0, 0]``.
        graph: builder of the graph (:mod:`socialgraph.graph`); None for no graph.
        loading: how batches are gathered.
        held_out_detectors: detectors that take no part in training and validation, not even as
            neighbours: their ids, or their share, drawn once and for all; None for none. ``test``
            and ``predict`` see all detectors, and ``test`` gives the errors of these apart.
        known: features that are known ahead, such as a forecast of the weather: no targets, and
            read at the forecast steps too. ``predict`` then needs a series that goes on with them
            for ``horizon`` steps after its last targets.
        attributes: numbers that the series knows of each detector, such as lanes or a limit of
            speed, by name.
        holidays: region whose public holidays count as Sundays (``"DK"``, ``"US-CA"``); None for
            none.
        limit: only the first ``limit`` steps of the series are used, to try a profile; None for
            all. A checkpoint does not keep it, so that it cuts no other series.

    Raises:
        ValueError: if an option is out of range, or a part has no windows.
        FileNotFoundError, KeyError, socialgraph.schema.SchemaError: from reading the file.
    """

    def __init__(
        self,
        series: Source,
        features: list[str] | None = None,
        targets: list[str] | None = None,
        scaling: Scaling = "standard",
        windows: Windows = Windows(),  # noqa: B008, frozen
        split: tuple[float, float, float] | Split = (0.7, 0.1, 0.2),
        graph: GraphBuilder | None = RadiusGraph(),  # noqa: B008, plain values
        loading: Loading = Loading(),  # noqa: B008, frozen
        held_out_detectors: float | list[str] | None = None,
        known: list[str] | None = None,
        attributes: list[str] | None = None,
        holidays: str | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        check_types(series, features, targets, windows, graph, loading)
        for name, names in (("features", features), ("targets", targets)):
            if names is not None and not 0 < len(set(names)) == len(names):
                raise ValueError(
                    f"Expected one name or more as '{name}', each once (got {names}). Leave it out "
                    "to take all."
                )
        if scaling not in get_args(Scaling):
            raise ValueError(f"Expected 'scaling' as one of {get_args(Scaling)} (got {scaling!r}).")
        if limit is not None and limit < 1:
            raise ValueError(f"Expected 'limit' of 1 step or more (got {limit}).")
        self.given = series
        self.features = features
        self.targets = targets
        self.scaling = scaling
        self.windows = windows
        self.split = as_split(split)
        self.graph = graph
        self.loading = loading
        self.held_out_detectors = held_out_detectors
        self.known = list(known or [])
        self.attributes = list(attributes or [])
        check_holidays(holidays)
        self.holidays = holidays
        self.limit = limit
        self.whole: TrafficSeries | None = None  # with those that are held out
        self.series: TrafficSeries | None = None
        self._training: ResumableLoader | None = None
        self._resume_at = 0

    @property
    def path(self) -> str:
        """File of the series, empty if it was given as a series."""
        return str(self.given) if isinstance(self.given, str | Path) else ""

    @property
    def paths(self) -> list[str]:
        """Files that are read."""
        return [self.path] if self.path else []

    def setup(self, stage: str | None = None) -> None:
        """Read the series, divide it and build the graph; once for the same detectors.

        Args:
            stage: ``"fit"`` and ``"validate"`` leave out the held-out detectors.
        """
        self._resume_at = 0
        if self.whole is None:
            self.whole, self.num_targets = self._read()
        series = self.whole
        if self.held_out_detectors is not None and stage in ("fit", "validate"):
            held_out = set(held_out_vdids(self.held_out_detectors, series.vdids))
            series = series.select(vdids=[v for v in series.vdids if v not in held_out])
        if self.series is not None and self.series.vdids == series.vdids:
            return
        self.__dict__.pop("usual", None)  # of other detectors
        starts = window_starts(series.timestamps, series.interval_minutes, self.windows.length)
        self.starts, self.train_steps = self.split.divide(
            starts, series.timestamps, series.timezone, self.windows.window, self.windows.horizon
        )
        self.graph_tensors = graph_tensors(self.graph, series)
        self.series = series
        self.spec = self._specify(series)
        self.collator = self._collate(torch.from_numpy(series.values), series.timestamps)

    def fitted_spec(self) -> DataSpec:
        """The record of the series, with the statistics and times of its training part.

        Raises:
            ValueError: if a feature has no reading in the training part.
        """
        train = self.series.values[: self.train_steps]
        loc, scale, limit = scale_of(train, self.spec.features, self.scaling)
        return replace(self.spec, loc=loc.tolist(), scale=scale.tolist(), limit=limit)

    @cached_property
    def usual(self) -> ProfileSums:
        """The readings of the training part by time of the day, for profiles."""
        return self._summed(self.train_steps)

    def history(self, of_all: bool = False) -> tuple[DailyProfile, Tensor]:
        """What the detectors usually read, as far as it is known before what is forecast.

        Args:
            of_all: take all readings, as before the steps after the end of the series; else those
                of the training part.

        Returns:
            Their profile, and whether there is a reading of each detector ``[N]``.
        """
        steps = len(self.series.values) if of_all else self.train_steps
        sums = self._summed(steps) if of_all else self.usual
        return sums.profile(), self.collator.mask[:steps].any(dim=2).any(dim=0)

    def _summed(self, steps: int) -> ProfileSums:
        whole = self.collator
        return ProfileSums(
            whole.values[:steps],
            whole.mask[:steps],
            whole.time_of_day,
            whole.day_of_week,
            whole.seconds,
            self.spec.interval_minutes,
        )

    def describe(self) -> dict:
        """The arguments of this data module as plain values, for a checkpoint."""
        return {
            "series": self.path or None,
            "features": self.spec.features,
            "targets": self.spec.targets,
            "scaling": self.scaling,
            "windows": describe(self.windows)["init_args"],
            "split": self.spec.split,
            "graph": self.spec.graph,
            "loading": describe(self.loading)["init_args"],
            "held_out_detectors": self.held_out_detectors,
            "known": self.known,
            "attributes": self.attributes,
            "holidays": self.holidays,
        }

    def first_times(self, part: str) -> np.ndarray:
        """Times ``[W]`` (UTC) of the first forecast step of the windows of a part."""
        return self.series.timestamps[self.starts[part] + self.windows.window]

    def state_dict(self) -> dict[str, int]:
        """How many batches of the epoch were given, and of what size; kept in a checkpoint."""
        if self._training is None:
            return {}
        whole = self._training.given >= self.trainer.num_training_batches
        return {"given": 0 if whole else self._training.given, **self._batches()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip these batches in the epoch with which a training goes on.

        Raises:
            ValueError: if they were of another size, so that the rest of the epoch is not told.
        """
        if not self.trainer.training or not state["given"]:
            return
        now, state = self._batches(), {"carry_state": False} | state  # of an earlier version
        before = {name: state[name] for name in now}
        if before != now:
            raise ValueError(
                f"The training was stopped in the middle of an epoch with {before} (got {now}). Go "
                "on with the same, or from a checkpoint at the end of an epoch."
            )
        self._resume_at = state["given"]

    def _batches(self) -> dict[str, int]:
        return {
            "batch_size": self.loading.batch_size,
            "stride": self.windows.stride,
            "carry_state": self.windows.carry_state,
            "seed": self.loading.seed,
            "processes": self._world()[0],
            "accumulate_grad_batches": self.trainer.accumulate_grad_batches,
        }

    def on_before_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict:
        """Let the forecaster look at a batch before it goes to the device."""
        self.trainer.lightning_module.check_batch(batch)
        return batch

    def train_dataloader(self) -> DataLoader:
        """Loader of training windows, in an order that depends on seed and epoch alone."""
        starts = self._part("train")
        if 1 < len(starts) <= self.windows.stride:
            raise ValueError(
                f"Expected 'stride' below the number of training windows, {len(starts)} (got "
                f"{self.windows.stride}): one of them alone would be trained on."
            )
        starts = starts[:: self.windows.stride].tolist()
        collator = copy.copy(self.collator)
        if self.trainer is not None and self.trainer.lightning_module.wants_profile:
            collator.usual = self.usual
        loader = training_loader
        if self.windows.carry_state:
            self._check_tracks()
            loader = partial(training_tracks, window=self.windows.window)
        self._training = loader(starts, collator, self.loading, self._world())
        self._training.resume_at, self._resume_at = self._resume_at, 0
        return self._training

    def _check_tracks(self) -> None:
        if self.trainer is not None and self.trainer.overfit_batches:
            raise ValueError(
                "Expected no 'overfit_batches' with 'carry_state': Lightning would take windows "
                "that do not follow one another. Use trainer.limit_train_batches."
            )

    def val_dataloader(self) -> DataLoader | list:
        """Loader of all validation windows, in order; none if no part is left for them."""
        validating = self.trainer is not None and self.trainer.state.fn == "validate"
        if not len(self.starts["val"]) and self._left_out("val") and not validating:
            return []
        return self._ordered("val")

    def test_dataloader(self) -> DataLoader:
        """Loader of all test windows, in order."""
        return self._ordered("test")

    def predict_dataloader(self) -> DataLoader:
        """Loader of what ``windows.predict_on`` names.

        Raises:
            ValueError: if the latest window is to go on from a state, of which it alone has none.
        """
        if self.windows.predict_on == "test":
            return self.test_dataloader()
        if self.windows.carry_state:
            raise ValueError(
                "The latest window alone has no state before it to go on from ('carry_state'). "
                "Follow the readings with 'socialgraph stream --memory state', or set "
                "data.windows.carry_state to false to forecast from the window alone."
            )
        return ordered_loader([0], self._latest(), self.loading, self._world())

    def before_latest(self, count: int) -> DataLoader | list:
        """Loader of the windows before the one that ``predict`` forecasts, in order, if any.

        Every process gets all of them.

        Args:
            count: how many, if the series has so many and no gap among them.
        """
        windows, series = self.windows, self.series
        if self.known:
            steps = windows.length + count
            values, times = torch.from_numpy(series.values[-steps:]), series.timestamps[-steps:]
        else:
            values, times = with_future(series, windows.window + count, windows.horizon)
        starts = window_starts(times, series.interval_minutes, windows.length)[:-1]
        if not len(starts):
            return []
        collator = self._collate(values, times)
        return ordered_loader(starts.tolist(), collator, self.loading, (1, 0))

    def _read(self) -> tuple[TrafficSeries, int]:
        """The series of the features, the targets first, and how many targets there are."""
        series = schema.read(self.path, self.features) if self.path else self.given
        features = series.feature_names if self.features is None else self.features
        targets = features if self.targets is None else self.targets
        others = [name for name in features if name not in targets]
        series.first(1).select(features)  # an unknown name is told before the targets among them
        if absent := [name for name in targets if self.features and name not in features]:
            raise ValueError(
                f"Expected 'targets' among the 'features' {features} (got {absent}). Add them to "
                "the features, whose past is read."
            )
        if odd := sorted(set(self.known) - set(others)):
            raise ValueError(
                f"Expected 'known' among the features that are no targets, {others} (got {odd})."
            )
        return series.select([*targets, *others]).first(self.limit), len(targets)

    def _specify(self, series: TrafficSeries) -> DataSpec:
        start, end = self._known(series)
        return replace(
            DataSpec.of(series, self.windows.window, self.windows.horizon),
            targets=series.feature_names[: self.num_targets],
            graph=None if self.graph is None else describe(self.graph),
            max_radius=None if self.graph is None else self.graph.max_radius,
            split=describe(self.split),
            scaling=self.scaling,
            source=self.path,
            known=self.known,
            attributes=self.attributes,
            attribute_values=attribute_values(series, self.attributes),
            holidays=self.holidays,
            train_start=start,
            train_end=end,
        )

    def _known(self, series: TrafficSeries) -> tuple[np.datetime64 | None, np.datetime64 | None]:
        """First and last target time of the windows of training and validation."""
        known = np.concatenate([self.starts["train"], self.starts["val"]])
        if not len(self.starts["train"]):
            return None, None
        first, last = known.min() + self.windows.window, known.max() + self.windows.length - 1
        return series.timestamps[first], series.timestamps[last]

    def _collate(self, values: torch.Tensor, timestamps: np.ndarray) -> WindowCollator:
        return WindowCollator(
            values,
            timestamps,
            self.series.timezone,
            self.windows,
            self.num_targets,
            {**self.graph_tensors, "setting": setting_of(self.series)},
            [self.series.feature_names.index(name) for name in self.known],
            self.holidays,
        )

    def _latest(self) -> WindowCollator:
        """Gathers the one window at the end of the series, whose targets are not known."""
        if self.known:
            return self._known_ahead()
        return self._collate(*latest_window(self.series, self.windows, self._name()))

    def _known_ahead(self) -> WindowCollator:
        """Gathers the window before the last steps, at which features are known ahead alone."""
        series, windows = self.series, self.windows
        values, times = (part[-windows.length :] for part in (series.values, series.timestamps))
        whole = len(window_starts(times, series.interval_minutes, windows.length))
        if not whole or not np.isnan(values[windows.window :, :, : self.num_targets]).all():
            raise ValueError(
                f"Expected {self._name()} to go on for {windows.horizon} steps with {self.known}, "
                "which are known ahead, and without targets, and no gap in its last "
                f"{windows.length} steps."
            )
        report_silent(values[: windows.window], series.vdids, self._name())
        return self._collate(torch.from_numpy(values), times)

    def _ordered(self, part: str) -> DataLoader:
        loader = ordered_loader
        if self.windows.carry_state:
            loader = partial(ordered_tracks, window=self.windows.window)
        return loader(self._part(part).tolist(), self.collator, self.loading, self._world())

    def _part(self, name: str) -> np.ndarray:
        starts = self.starts[name]
        if not len(starts):
            windows, series = self.windows, self.series
            raise ValueError(
                f"The {name} part of {self._name()} has no window of {windows.window} + "
                f"{windows.horizon} steps without a gap ({len(series.timestamps)} steps of "
                f"{series.interval_minutes:g} minutes, {self.split}). Use a longer series, shorter "
                "windows or another split."
            )
        return starts

    def _left_out(self, part: str) -> bool:
        """Whether the split leaves nothing for a part, by what it says."""
        return getattr(self.split, part, None) in (0, None)

    def _name(self) -> str:
        return f"'{self.path}'" if self.path else "the series"

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
