"""Forecasts of any network by one that was trained on others."""

import copy
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from socialgraph.atomic import replacing
from socialgraph.checkpoint import check_entries, network_of, read_archive, recipe_of, save_archive
from socialgraph.data import (
    DateSplit,
    Loading,
    NetworksDataModule,
    Split,
    TrafficDataModule,
    Windows,
    graph_tensors,
)
from socialgraph.finite import check_finite
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph, project
from socialgraph.nn.inputs import last_observed
from socialgraph.recipe import describe
from socialgraph.series import TrafficSeries
from socialgraph.standard import Standard, standardise
from socialgraph.table import forecast_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PretrainedForecaster", "load_pretrained"]


class PretrainedForecaster:
    """A network that forecasts detectors, quantities and cities that it was not trained on.

    Each feature is forecast alone, in deviations of each detector from its own mean
    (:func:`socialgraph.standard.standardise`). What a detector usually reads is taken from the
    history that is given: some days of it are needed. Detectors without a position are forecast
    without neighbours.

    Args:
        network: a :class:`socialgraph.nn.SocialGraphNet` of one feature that knows no detector by
            itself, with its weights.
        window: steps that it reads.
        horizon: steps that it forecasts.
        graph: joins the detectors.
        card: what it was trained on, and how well it does.
    """

    def __init__(
        self,
        network: nn.Module,
        window: int,
        horizon: int,
        graph: RadiusGraph,
        card: dict | None = None,
    ) -> None:
        self.network = network.eval()
        self.window, self.horizon = window, horizon
        self.graph = graph
        self.card = card or {}

    def forecast(self, series: TrafficSeries) -> "pd.DataFrame":
        """Forecasts of the steps after the end of a series.

        Args:
            series: the history, ending in a window of readings without a gap in time.

        Returns:
            A row per detector and step: ``issued`` and ``time`` (local clock), ``step``,
            ``detector``, and a column per feature in its unit.

        Raises:
            ValueError: if the series is shorter than a window, ends in a gap, or holds no reading.
        """
        parts = []
        for feature in series.feature_names:
            own, standard = standardise(series.select([feature]))
            data = TrafficDataModule(
                own, windows=Windows(self.window, self.horizon), split=(1.0, 0.0, 0.0), graph=None
            )
            data.setup()
            ((forecast, batch),) = self._apply(data, data.predict_dataloader(), own)
            parts.append(_real(forecast, standard, series.select([feature])))
        prediction = {"forecast": torch.cat(parts, dim=-1), "issued": batch["issued"]}
        spec = replace(data.spec, targets=series.feature_names, features=series.feature_names)
        return forecast_table(prediction, spec, observed=False).to_pandas()

    def tune(
        self, series: TrafficSeries, epochs: int = 4, learning_rate: float = 5e-4, seed: int = 0
    ) -> "PretrainedForecaster":
        """A forecaster whose weights were trained on from these on a series.

        Args:
            series: the history; each feature is a network of its own.
            epochs: how often all windows are trained on.
            learning_rate: peak of its schedule.
            seed: of the order of the windows.

        Raises:
            ValueError: if the series has no windows for training.
        """
        graph = _graph_of(self.graph, series)
        networks = []
        for name in series.feature_names:
            network = TrafficDataModule(
                standardise(series.select([name]))[0],
                windows=Windows(self.window, self.horizon),
                split=(1.0, 0.0, 0.0),
                graph=None,
                loading=Loading(seed=seed),
            )
            network.setup()
            network.collator.graph = graph  # also of detectors without a position
            networks.append(network)
        network = copy.deepcopy(self.network)
        forecaster = Forecaster(network, learning_rate=learning_rate)
        trainer = pl.Trainer(
            max_epochs=epochs,
            gradient_clip_val=1.0,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            trainer.fit(forecaster.train(), NetworksDataModule(networks, seed=seed))
        card = {**self.card, "tuned_on": series.dataset_name, "tuned_epochs": epochs}
        return PretrainedForecaster(network.cpu(), self.window, self.horizon, self.graph, card)

    def save(self, path: str | Path) -> None:
        """Write what :func:`load_pretrained` reads.

        Raises:
            OSError: if it cannot be written.
        """
        held = {"network": recipe_of(self.network), "weights": self.network.state_dict()}
        held |= {"window": self.window, "horizon": self.horizon, "card": self.card}
        with replacing(path) as temporary:
            save_archive({**held, "graph": describe(self.graph)["init_args"]}, temporary)

    def score(
        self, series: TrafficSeries, days: int = 1, split: Split | None = None
    ) -> dict[str, dict[str, float]]:
        """Errors on the last days of a series, which are not looked at before.

        Args:
            series: more days than are held back.
            days: how many at the end are forecast.
            split: another way to hold back: its test part is forecast, from its training part.

        Returns:
            For each feature the mean absolute error, in its unit, of ``forecast``, of
            ``last_value`` (the reading that was seen last, repeated) and of ``usual`` (the
            detector's mean at this time of day), over all detectors, steps and windows where all
            three exist; NaN if they exist nowhere.

        Raises:
            ValueError: if too little is left.
        """
        if split is None:
            last = (series.timestamps[-1] - np.timedelta64(days, "D")).astype("datetime64[s]")
            steps = int(np.searchsorted(series.timestamps, last, side="right"))
            if steps < self.window + self.horizon:
                raise ValueError(
                    f"Expected a series longer than the {days} days that are held back (got "
                    f"{steps} steps before them)."
                )
            split = DateSplit(val=f"{last}+00:00", test=f"{last}+00:00")
        return {name: self._score(series.select([name]), split) for name in series.feature_names}

    def _score(self, series: TrafficSeries, split: Split) -> dict[str, float]:
        windows = Windows(self.window, self.horizon)
        data = TrafficDataModule(series, windows=windows, split=split, graph=None)
        data.setup()
        own, standard = standardise(series, data.train_steps)
        data = TrafficDataModule(own, windows=windows, split=split, graph=None)
        data.setup()
        profile = data.usual.profile()
        sums, horizon = np.zeros(4), self.horizon
        for forecast, batch in self._apply(data, data.test_dataloader(), own):
            usual, _ = profile(batch["target_time_of_day"], batch["target_day_of_week"])
            repeated = last_observed(batch["features"], batch["mask"])[..., 0].double().numpy()
            # The readings as they are: standardised ones are bounded.
            issued = batch["issued"].numpy().astype("datetime64[s]")
            rows = np.searchsorted(series.timestamps, issued)[:, None] + np.arange(1, 1 + horizon)
            truth = series.values[rows, :, 0]
            mask = np.isfinite(truth) & np.isfinite(repeated)[:, None]
            nodes = np.arange(truth.shape[-1])
            rivals = (part[..., 0].double().numpy() for part in (forecast, usual))
            ours, daily = (standard.inverse(part, nodes) for part in rivals)
            rest = standard.inverse(repeated, nodes)[:, None]
            for place, rival in enumerate((ours, rest, daily)):
                sums[place] += np.abs(rival - truth, where=mask, out=np.zeros(truth.shape)).sum()
            sums[3] += mask.sum()
        mean = sums[:3] / sums[3] if sums[3] else np.full(3, np.nan)
        return dict(zip(("forecast", "last_value", "usual"), mean.tolist(), strict=True))

    @torch.inference_mode()
    def _apply(self, data: TrafficDataModule, loader, series: TrafficSeries):
        """Standardised forecasts ``[B, P, N, 1]`` of each batch, and the batch."""
        forecaster = Forecaster(self.network)
        forecaster.adopt(NetworksDataModule([data]))  # in deviations, as in training
        forecaster.eval()
        graph = _graph_of(self.graph, series)
        for batch in loader:
            forecast = forecaster({**batch, **graph})
            check_finite(forecast, "forecast", batch, forecaster.scaler)
            yield forecast, batch


def load_pretrained(path: str | Path | None = None) -> PretrainedForecaster:
    """The network that comes with the package, or one of ``benchmarks.pretrain``.

    Args:
        path: its file; None for that of the package.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file holds none, or is damaged.
    """
    if path is None:
        path = str(resources.files("socialgraph") / "pretrained" / "weights.ckpt")
    held = read_archive(path, "cpu")
    lacking = {"network", "weights", "window", "horizon", "graph", "card"} - set(held)
    if lacking:
        raise ValueError(f"'{path}' is no pre-trained network: it lacks {sorted(lacking)}.")
    parts = {"spec": {}, "network": held["network"], "state_dict": held["weights"]}
    check_entries(parts, f"'{path}'")
    network = network_of(held)
    network.load_state_dict(held["weights"])
    graph = RadiusGraph(**held["graph"])
    return PretrainedForecaster(network, held["window"], held["horizon"], graph, held["card"])


def _real(forecast: Tensor, standard: Standard, series: TrafficSeries) -> Tensor:
    """Forecasts in their unit; below 0 only where readings have been."""
    nodes = np.arange(len(standard.loc))
    real = standard.inverse(forecast[..., 0].double().numpy(), nodes)
    if np.nanmin(series.values) >= 0:
        real = np.maximum(real, 0.0)
    return torch.from_numpy(real)[..., None]


def _graph_of(builder: RadiusGraph, series: TrafficSeries) -> dict[str, Tensor]:
    """Edges between the detectors that have a position."""
    pos = project(series.lat, series.lon)
    placed = np.flatnonzero(np.isfinite(pos).all(axis=1))
    graph = {
        # Edges alone are looked at; strict mode asks for a position of every detector.
        "positions_xy": torch.from_numpy(np.nan_to_num(pos)).float(),
        "edge_index": torch.empty(2, 0, dtype=torch.int64),
        "distance": torch.empty(0),
        "offset": torch.empty(0, 2),
    }
    if not len(placed):
        return graph
    known = series.select(vdids=[series.vdids[row] for row in placed])
    found = graph_tensors(builder, known)
    edge_index = torch.from_numpy(placed)[found["edge_index"]]
    return {
        **graph,
        "edge_index": edge_index,
        "distance": found["distance"],
        "offset": found["offset"],
    }
