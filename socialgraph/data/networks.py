"""Several networks in one training: a batch is of one of them."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from socialgraph.data.datamodule import TrafficDataModule
from socialgraph.data.loading import ResumableLoader, ordered_loader, training_loader
from socialgraph.data.windows import WindowCollator
from socialgraph.graph import GraphBuilder
from socialgraph.profile import DailyProfile, ProfileSums
from socialgraph.spec import DataSpec

__all__ = ["NetworksDataModule"]


class NetworksDataModule(pl.LightningDataModule):
    """Windows of several networks, each with its detectors, profile and graph.

    The readings must be in one unit, such as that of :func:`socialgraph.standard.standardise`, as
    one scaler serves all, and the windows of one length in steps. The network must know no detector
    by itself. An epoch takes as many batches of each network as its weight says, in an order that
    depends on the seed and the epoch alone; all networks are validated on.

    Args:
        networks: the data module of each; the first one's record stands for all.
        weights: batches of each network in an epoch, as a share of those of all; None for as many
            of each.
        batches_per_epoch: batches of all networks together in an epoch; None for as many as the
            smallest network has, times their number.
        seed: of the order of the networks.

    Raises:
        ValueError: without networks, for weights that are none, or windows that differ.
    """

    def __init__(
        self,
        networks: list[TrafficDataModule],
        weights: list[float] | None = None,
        batches_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {(n.windows.window, n.windows.horizon) for n in networks}
        if len(sizes) != 1:
            raise ValueError(
                f"Expected networks with one window and one horizon (got {sorted(sizes)})."
            )
        shares = np.array([1.0] * len(networks) if weights is None else weights, dtype=np.float64)
        if len(shares) != len(networks) or not (shares > 0).all():
            raise ValueError(f"Expected a weight above 0 for each network (got {weights}).")
        self.networks = networks
        self.shares = shares / shares.sum()
        self.batches_per_epoch = batches_per_epoch
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        """Read all series and build their graphs.

        Raises:
            ValueError: in a training by several processes, which would see the same windows.
        """
        if self.trainer is not None and self.trainer.world_size > 1:
            raise ValueError("Expected one process for a training on several networks.")
        for network in self.networks:
            network.setup(stage)

    @property
    def windows(self):
        """What a window is."""
        return self.networks[0].windows

    @property
    def spec(self) -> DataSpec:
        """The record of the first network."""
        return self.networks[0].spec

    @property
    def graph(self) -> GraphBuilder | None:
        """The builder of its graph."""
        return self.networks[0].graph

    @property
    def graph_tensors(self) -> dict[str, Tensor]:
        """Its graph."""
        return self.networks[0].graph_tensors

    @property
    def usual(self) -> ProfileSums:
        """Its readings by time of the day."""
        return self.networks[0].usual

    def fitted_spec(self) -> DataSpec:
        """The record of the first network, with the unit that all have."""
        channels = len(self.spec.features)
        return replace(self.spec, loc=[0.0] * channels, scale=[1.0] * channels)

    def describe(self) -> dict:
        """Nothing: the networks of a training are not what its checkpoint is applied to."""
        return {}

    def train_dataloader(self) -> "MixedLoader":
        """Batches of all networks, mixed."""
        loaders = []
        for network in self.networks:
            starts = network.starts["train"][:: network.windows.stride].tolist()
            collator = _with_usual(network.collator, network.usual)
            loaders.append(training_loader(starts, collator, network.loading, (1, 0)))
        total = self.batches_per_epoch or len(loaders) * min(map(len, loaders))
        counts = np.maximum(1, np.round(self.shares * total)).astype(int).tolist()
        return MixedLoader(loaders, counts, self.seed)

    def val_dataloader(self) -> "ChainedLoader":
        """All validation windows, one network after the other."""
        return ChainedLoader(
            [
                ordered_loader(
                    network.starts["val"].tolist(),
                    _with_usual(
                        network.collator, _Whole(network.collator, network.usual.profile())
                    ),
                    network.loading,
                    (1, 0),
                )
                for network in self.networks
                if len(network.starts["val"])
            ]
        )


class MixedLoader:
    """Batches of several loaders in random order, a stated number of each in every epoch.

    A loader that is through begins anew. Each epoch goes on where the last stopped.
    """

    def __init__(self, loaders: list[ResumableLoader], counts: list[int], seed: int) -> None:
        self.loaders, self.counts, self.seed = loaders, counts, seed
        self.epoch = 0
        self._streams = [_forever(loader) for loader in loaders]

    def __len__(self) -> int:
        return sum(self.counts)

    def __iter__(self) -> Iterator[dict]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        order = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))
        for place in order[torch.randperm(len(order), generator=generator)].tolist():
            yield next(self._streams[place])


class ChainedLoader:
    """Batches of several loaders, one after the other."""

    def __init__(self, loaders: list) -> None:
        self.loaders = loaders

    def __len__(self) -> int:
        return sum(map(len, self.loaders))

    def __iter__(self) -> Iterator[dict]:
        for loader in self.loaders:
            yield from loader


class _Whole:
    """A profile of all days, where :class:`ProfileSums` would leave out a window's own."""

    def __init__(self, collator: WindowCollator, profile: DailyProfile) -> None:
        self.clocks = collator.time_of_day, collator.day_of_week
        self.profile = profile

    def around(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``[B, L, N, F]`` at steps ``[B, L]``."""
        return self.profile(*(clock[steps] for clock in self.clocks))


def _with_usual(collator: WindowCollator, usual: ProfileSums | _Whole) -> WindowCollator:
    told = copy.copy(collator)
    told.usual = usual
    return told


def _forever(loader: ResumableLoader) -> Iterator[dict]:
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1
