"""Several networks in one training: a batch is of one of them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from socialgraph import schema
from socialgraph.data.datamodule import Source, TrafficDataModule
from socialgraph.data.graph import placed_graph
from socialgraph.data.loading import Loading, ordered_loader, training_loader
from socialgraph.data.mixing import ChainedLoader, MixedLoader
from socialgraph.data.split import Split, as_split
from socialgraph.data.windows import WindowCollator, Windows
from socialgraph.graph import GraphBuilder, RadiusGraph
from socialgraph.profile import DailyProfile, ProfileSums
from socialgraph.recipe import describe
from socialgraph.series import TrafficSeries
from socialgraph.spec import DataSpec
from socialgraph.standard import ScaleBy, standardise

__all__ = ["Network", "NetworksDataModule"]

_UNIT = "deviations"


@dataclass(frozen=True)
class Network:
    """One of several networks in a training, and what it does not share with the others.

    Args:
        series: a series, or its HDF5 file.
        features: features that are trained on, each alone, as of a network of its own; None for
            all.
        weight: share of the batches, beside the weights of the others; its features share it.
        split: how it is divided by time; None for as the others.
        graph: builder of its graph; None for that of the others.
        holidays: region whose public holidays count as Sundays.

    Raises:
        ValueError: if the weight is not above 0.
    """

    series: Source
    features: list[str] | None = None
    weight: float = 1.0
    split: tuple[float, float, float] | Split | None = None
    graph: GraphBuilder | None = None
    holidays: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < np.inf:
            raise ValueError(f"Expected 'weight' above 0 and finite (got {self.weight}).")


class NetworksDataModule(pl.LightningDataModule):
    """Windows of several networks, each with its detectors, scales, profile, graph, interval, zone.

    A batch is of one network and one feature, in deviations
    (:func:`socialgraph.standard.standardise`, from the training part), so that miles per hour and
    vehicles per hour add up. A window is as many steps in each network, whatever its interval. An
    epoch takes as many batches of each as its weight says, in an order that depends on the seed and
    the epoch alone; validation and test take all windows of all. Detectors without a position have
    no neighbours. The network must know no detector by itself.

    What was trained serves any network: :func:`socialgraph.load_pretrained` reads its checkpoint.

    Args:
        networks: series, files, or :class:`Network` with what is its own.
        windows: what a window is.
        split: as of :class:`TrafficDataModule`.
        graph: builder of the graph; None for no neighbours.
        loading: how batches are gathered; its seed rules the order.
        scale_by: ``"detector"`` for each detector's own mean and deviation, ``"network"`` for those
            of all detectors of a network.
        batches_per_epoch: batches of all networks together in an epoch; None for as many as the
            smallest has, times their number.
        passing: gives further networks for an epoch, from its number; they are read when it begins
            and forgotten after it. Use it with ``Trainer(reload_dataloaders_every_n_epochs=1)``.

    Raises:
        ValueError: without networks, or for options out of range.
    """

    def __init__(
        self,
        networks: Sequence[Network | Source],
        windows: Windows = Windows(),  # noqa: B008, frozen
        split: tuple[float, float, float] | Split = (0.7, 0.1, 0.2),
        graph: GraphBuilder | None = RadiusGraph(),  # noqa: B008, plain values
        loading: Loading = Loading(),  # noqa: B008, frozen
        scale_by: ScaleBy = "detector",
        batches_per_epoch: int | None = None,
        passing: Callable[[int], Sequence[Network]] | None = None,
    ) -> None:
        super().__init__()
        self.networks = [n if isinstance(n, Network) else Network(n) for n in networks]
        if not self.networks:
            raise ValueError("Expected one network or more (got none).")
        if batches_per_epoch is not None and batches_per_epoch < 1:
            raise ValueError(f"Expected 'batches_per_epoch' above 0 (got {batches_per_epoch}).")
        if windows.carry_state:
            raise ValueError(
                "Expected one series with 'carry_state', as its batches follow one another (got "
                f"{len(self.networks)} networks). Leave it out of 'data.windows'."
            )
        self.windows, self.split, self.graph = windows, as_split(split), graph
        self.loading, self.scale_by = loading, scale_by
        self.batches_per_epoch = batches_per_epoch
        self.passing = passing
        self.members: list[TrafficDataModule] = []
        self.shares: list[float] = []
        self._training: MixedLoader | None = None
        self._resume: dict = {}

    def setup(self, stage: str | None = None) -> None:
        """Read all series and build their graphs, once.

        Raises:
            ValueError, KeyError, FileNotFoundError: as :class:`TrafficDataModule` does.
        """
        if not self.members:
            self.members, self.shares = self._open(self.networks)

    @property
    def paths(self) -> list[str]:
        """Files that are read."""
        return [str(n.series) for n in self.networks if not isinstance(n.series, TrafficSeries)]

    @property
    def spec(self) -> DataSpec:
        """The record of the first network, with the unit that all have."""
        first = self.members[0].spec
        parts = {"features": ["reading"], "targets": ["reading"], "units": [_UNIT], "edges": None}
        parts["graph"] = None if self.graph is None else describe(self.graph)
        parts["max_radius"] = None if self.graph is None else self.graph.max_radius
        return replace(first, **parts, scaling=self.scale_by)

    def fitted_spec(self) -> DataSpec:
        """The record, with the times at which each of the others was trained as earlier ones."""
        record = self.members[-1].spec
        for member in reversed(self.members[:-1]):
            record = member.spec.after(record)
        return replace(self.spec, loc=[0.0], scale=[1.0], earlier=record.earlier)

    @property
    def graph_tensors(self) -> dict[str, Tensor]:
        """The graph of the first network."""
        return self.members[0].collator.graph

    @property
    def usual(self) -> ProfileSums:
        """What is usual in the first network; batches carry that of their own."""
        return self.members[0].usual

    def history(self, of_all: bool = False) -> tuple[DailyProfile, Tensor]:
        """What is usual in the first network, as :meth:`TrafficDataModule.history` tells it."""
        return self.members[0].history(of_all)

    def summary(self) -> str:
        """A line for each network: what it is, and its share of the batches."""
        lines = []
        for member, share in zip(self.members, self.shares, strict=True):
            series, part = member.series, share / sum(self.shares)
            name = f"{series.dataset_name} {series.feature_names[0]}".strip()
            lines.append(
                f"network        {name}: {len(series.vdids):,} detectors every "
                f"{series.interval_minutes:g} minutes, {part:.0%} of the batches"
            )
        if len({member.spec.interval_minutes for member in self.members}) > 1:
            lines.append("               minutes ahead are told as of the first; steps are shared")
        return "\n".join(lines)

    def describe(self) -> dict:
        """The arguments of this data module as plain values, for a checkpoint.

        Without files there is nothing to say: the networks cannot be read again.
        """
        if any(isinstance(network.series, TrafficSeries) for network in self.networks):
            return {}
        shared = {
            "windows": describe(self.windows)["init_args"],
            "loading": describe(self.loading)["init_args"],
            "split": describe(self.split),
            "graph": None if self.graph is None else describe(self.graph),
            "scale_by": self.scale_by,
            "batches_per_epoch": self.batches_per_epoch,
        }
        return {"networks": [_plain(network) for network in self.networks], **shared}

    def state_dict(self) -> dict:
        """How many batches of the epoch were given, and of which networks; for a checkpoint."""
        if self._training is None:
            return {}
        state = self._training.state_dict()
        whole = state["given"] >= self.trainer.num_training_batches
        return {**state, "given": 0} if whole else state

    def load_state_dict(self, state: dict) -> None:
        """Skip these batches in the epoch with which a training goes on."""
        self._resume = state

    def train_dataloader(self) -> MixedLoader:
        """Batches of all networks, mixed."""
        members, shares, lasting = self.members, self.shares, len(self.members)
        if self.passing is not None:
            epoch = self.trainer.current_epoch if self.trainer else 0
            more, more_shares = self._open(self.passing(epoch))
            members, shares = [*members, *more], [*shares, *more_shares]
        world = self._world()
        loaders = []
        for place, member in enumerate(members):
            starts = member.starts["train"][:: self.windows.stride].tolist()
            if not starts:
                raise ValueError(f"The training part of network {place + 1} has no window.")
            collator = _with_usual(member.collator, member.usual)
            loading = replace(self.loading, seed=self.loading.seed + place)
            loaders.append(training_loader(starts, collator, loading, world))
        total = self.batches_per_epoch or len(loaders) * min(map(len, loaders))
        counts = np.maximum(1, np.round(np.array(shares) / sum(shares) * total)).astype(int)
        self._training = MixedLoader(loaders, counts.tolist(), self.loading.seed, lasting)
        if self._resume:
            self._training.load_state_dict(self._resume)
            self._resume = {}
        return self._training

    def val_dataloader(self) -> ChainedLoader | list:
        """All validation windows, one network after the other; none if there are none."""
        loader = self._chained("val")
        return loader if len(loader.loaders) else []

    def test_dataloader(self) -> ChainedLoader:
        """All test windows, one network after the other.

        Raises:
            ValueError: if there are none.
        """
        loader = self._chained("test")
        if not loader.loaders:
            raise ValueError("The test parts of the networks have no window. Use another split.")
        return loader

    def predict_dataloader(self) -> None:
        """Refuse: forecasts are of one network, in its units.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "Expected one network to forecast (got several). 'socialgraph forecast READINGS "
            "--checkpoint FILE' applies what was trained on several to any."
        )

    def _open(self, networks: Sequence[Network]) -> tuple[list[TrafficDataModule], list[float]]:
        """The data module of each feature of each network, and its share of the batches."""
        members, shares = [], []
        for network in networks:
            own = list(self._features(network))
            members += own
            shares += [network.weight / len(own)] * len(own)
        return members, shares

    def _features(self, network: Network) -> Iterator[TrafficDataModule]:
        given = network.series
        series = given if isinstance(given, TrafficSeries) else schema.read(given, network.features)
        options = {"windows": self.windows, "graph": None, "holidays": network.holidays}
        options |= {"split": network.split or self.split, "loading": self.loading}
        builder = self.graph if network.graph is None else network.graph
        for name in network.features or series.feature_names:
            own = series.select([name])
            read = TrafficDataModule(own, **options)
            read.setup()
            scaled, _ = standardise(own, read.train_steps, self.scale_by)
            member = TrafficDataModule(scaled, **options)
            member.setup()
            member.collator.graph |= placed_graph(builder, scaled)
            yield member

    def _chained(self, part: str) -> ChainedLoader:
        loaders = []
        for member in self.members:
            starts = member.starts[part].tolist()
            if starts:
                told = _Whole(member.collator, member.usual.profile())
                collator = _with_usual(member.collator, told)
                loaders.append(ordered_loader(starts, collator, self.loading, self._world()))
        return ChainedLoader(loaders)

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)


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


def _plain(network: Network) -> dict:
    """A network of a file as plain values, without what it shares."""
    plain = {"series": str(network.series), "weight": network.weight}
    if network.split is not None:
        plain["split"] = describe(as_split(network.split))
    if network.graph is not None:
        plain["graph"] = describe(network.graph)
    own = {"features": network.features, "holidays": network.holidays}
    return plain | {name: value for name, value in own.items() if value is not None}
