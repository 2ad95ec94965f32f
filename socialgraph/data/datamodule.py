"""The data module: one HDF5 file to loaders, the radius graph and the scaler."""

import warnings
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from socialgraph import schema
from socialgraph.data.windows import Border, WindowCollator, split_windows, window_starts
from socialgraph.graph import build_radius_graph, project
from socialgraph.scaler import Scaler

__all__ = ["TrafficDataModule"]


class TrafficDataModule(pl.LightningDataModule):
    """Windows of one traffic file, split by time, with the radius graph of its detectors.

    The series is held twice, as read and filled; a batch is gathered by index. Batches are in the
    units of the file; :class:`socialgraph.forecaster.Forecaster` scales them with the scaler of
    :meth:`fit_scaler`. A window never spans a gap in the time axis. Where positions are missing or
    invalid, batches carry them as they are and no edges, so that a network with pooling can refuse
    them.

    Args:
        path: HDF5 file in the layout of :mod:`socialgraph.schema`.
        features: features of the readings, the targets first.
        num_targets: how many of them, from the first, are predicted; None for all.
        window: input steps.
        horizon: predicted steps.
        stride: steps between two training windows; validation and test use all.
        split: shares of training, validation and test, by time.
        border: whether steps are split and then cut into windows (``"split_first"``: no step in two
            parts) or windows are cut and then split (``"window_first"``).
        max_radius: longest edge of the graph, in metres.
        max_num_neighbors: senders that a receiver keeps, the nearest first; None for all.
        predict_on: what ``predict`` forecasts: ``"latest"`` for the steps after the end of the
            file,
            ``"test"`` for every window of the test part.
        batch_size: windows per batch.
        num_workers: processes that gather batches; 0 for none.
        prefetch_factor: batches that a worker prepares ahead; None for PyTorch's default.
        pin_memory: copy batches to page-locked memory, for GPUs.
        seed: seed of the order of the training windows.

    Raises:
        ValueError: where an option is out of range, or a part has no windows.
        FileNotFoundError, KeyError, socialgraph.schema.SchemaError: from reading the file.
    """

    def __init__(
        self,
        path: str,
        features: list[str],
        num_targets: int | None = None,
        window: int = 12,
        horizon: int = 12,
        stride: int = 1,
        split: tuple[float, float, float] = (0.7, 0.1, 0.2),
        border: Border = "split_first",
        max_radius: float = 2000.0,
        max_num_neighbors: int | None = None,
        predict_on: Literal["latest", "test"] = "latest",
        batch_size: int = 16,
        num_workers: int = 0,
        prefetch_factor: int | None = None,
        pin_memory: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        num_targets = len(features) if num_targets is None else num_targets
        for name, value in {
            "window": window,
            "horizon": horizon,
            "stride": stride,
            "batch_size": batch_size,
        }.items():
            if value < 1:
                raise ValueError(f"Expected '{name}' of 1 or more (got {value}).")
        if not 1 <= num_targets <= len(features):
            raise ValueError(
                f"Expected 'num_targets' from 1 to {len(features)}, the number of 'features' "
                f"{features} (got {num_targets})."
            )
        self.path = path
        self.features = list(features)
        self.num_targets = num_targets
        self.window = window
        self.horizon = horizon
        self.stride = stride
        self.split = split
        self.border = border
        self.max_radius = max_radius
        self.max_num_neighbors = max_num_neighbors
        self.predict_on = predict_on
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.seed = seed
        self.series: schema.TrafficSeries | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the file, split it, fit the scaler and build the graph; once."""
        if self.series is not None:
            return
        series = schema.read(self.path, self.features)
        starts = window_starts(
            series.timestamps, series.interval_minutes, self.window + self.horizon
        )
        self.starts, train_steps = split_windows(
            starts, len(series.timestamps), self.window, self.horizon, self.split, self.border
        )
        self.train_values = series.values[:train_steps]
        self.graph = self._build_graph(series)
        self.collator = WindowCollator(
            torch.from_numpy(series.values),
            series.timestamps,
            self.window,
            self.horizon,
            self.num_targets,
            self.graph,
        )
        self.series = series

    def fit_scaler(self) -> Scaler:
        """Scaler with the statistics of the observed readings of the training part."""
        return Scaler.fit(self.train_values, self.features)

    def describe(self) -> dict:
        """What a forecast needs to know of the data, as plain values for a checkpoint."""
        lat, lon = (torch.from_numpy(getattr(self.series, name)) for name in ("lat", "lon"))
        return {
            "path": str(self.path),
            "dataset_name": self.series.dataset_name,
            "features": self.features,
            "num_targets": self.num_targets,
            "units": self.series.units,
            "interval_minutes": self.series.interval_minutes,
            "timezone": self.series.timezone,
            "vdids": self.series.vdids,
            "position_lat": lat,
            "position_lon": lon,
            "window": self.window,
            "horizon": self.horizon,
            "split": list(self.split),
            "border": self.border,
            "max_radius": self.max_radius,
            "max_num_neighbors": self.max_num_neighbors,
        }

    def train_dataloader(self) -> DataLoader:
        """Loader of training windows, in an order that depends on ``seed`` and epoch alone."""
        starts = self._part("train")[:: self.stride].tolist()
        sampler = DistributedSampler(starts, *self._world(), shuffle=True, seed=self.seed)
        return self._loader(starts, self.collator, sampler)

    def val_dataloader(self) -> DataLoader:
        """Loader of all validation windows, in order."""
        return self._loader_in_order(self._part("val").tolist(), self.collator)

    def test_dataloader(self) -> DataLoader:
        """Loader of all test windows, in order."""
        return self._loader_in_order(self._part("test").tolist(), self.collator)

    def predict_dataloader(self) -> DataLoader:
        """Loader of what ``predict_on`` names."""
        if self.predict_on == "test":
            return self.test_dataloader()
        return self._loader_in_order([0], self._latest_collator())

    def target_times(self, first_step: int) -> np.ndarray:
        """Times ``[P]`` of the predicted steps of a window, from the step that a batch carries.

        A step after the end of the file, as ``predict_on="latest"`` has it, counts on from there.
        """
        step = np.timedelta64(round(self.series.interval_minutes * 60), "s")
        known = min(first_step, len(self.series.timestamps) - 1)
        return self.series.timestamps[known] + step * (first_step - known + np.arange(self.horizon))

    def _latest_collator(self) -> WindowCollator:
        series = self.series
        if not len(
            window_starts(series.timestamps[-self.window :], series.interval_minutes, self.window)
        ):
            raise ValueError(
                f"'{self.path}' has a gap in its last {self.window} steps, or fewer steps: nothing "
                "to forecast from. Use 'predict_on: test', or a file whose end is whole."
            )
        last = torch.from_numpy(series.values[-self.window :])
        self._report_silent(last.isnan().all(dim=2).all(dim=0))
        future = last.new_full((self.horizon, *last.shape[1:]), torch.nan)
        return WindowCollator(
            torch.cat([last, future]),
            np.concatenate(
                [series.timestamps[-self.window :], self.target_times(len(series.values))]
            ),
            self.window,
            self.horizon,
            self.num_targets,
            self.graph,
            first_step=len(series.values) - self.window,
        )

    def _report_silent(self, silent: torch.Tensor) -> None:
        names = [vdid for vdid, s in zip(self.series.vdids, silent.tolist(), strict=True) if s]
        if len(names) == len(silent):
            raise ValueError(
                f"'{self.path}' ends in {self.window} steps without any reading: nothing to "
                "forecast from. Cut them off, or use 'predict_on: test'."
            )
        if names:
            warnings.warn(
                f"{len(names)} of {len(silent)} detectors have no reading in the last "
                f"{self.window} steps, among them {names[:5]}; their forecasts know of neighbours "
                "and the clock alone.",
                stacklevel=2,
            )

    def _build_graph(self, series: schema.TrafficSeries) -> dict:
        pos = project(series.lat, series.lon)
        if np.isnan(pos).all():
            return {"vd_ids": series.vdids}
        graph = {"vd_ids": series.vdids, "positions_xy": torch.from_numpy(pos).float()}
        if not np.isfinite(pos).all():
            return graph
        edge_index, distance = build_radius_graph(pos, self.max_radius, self.max_num_neighbors)
        graph["edge_index"] = torch.from_numpy(edge_index)
        graph["distance"] = torch.from_numpy(distance).float()
        return graph

    def _part(self, name: str) -> np.ndarray:
        starts = self.starts[name]
        if not len(starts):
            raise ValueError(
                f"The {name} part of '{self.path}' has no window of {self.window} + {self.horizon} "
                f"steps without a gap ({len(self.series.timestamps)} steps of "
                f"{self.series.interval_minutes:g} minutes in the file, split {list(self.split)}). "
                "Use a longer file, shorter windows or another split."
            )
        return starts

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _loader_in_order(self, starts: list[int], collator: WindowCollator) -> DataLoader:
        # Lightning's own sampler repeats windows to fill the last process, which counts them twice.
        sampler = UnrepeatedDistributedSampler(starts, *self._world(), shuffle=False)
        return self._loader(starts, collator, sampler)

    def _loader(self, starts: list[int], collator: WindowCollator, sampler: Sampler) -> DataLoader:
        return DataLoader(
            starts,
            batch_size=self.batch_size,
            collate_fn=collator,
            num_workers=self.num_workers,
            prefetch_factor=self.prefetch_factor if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.pin_memory,
            generator=torch.Generator().manual_seed(self.seed),
            sampler=sampler,
        )
