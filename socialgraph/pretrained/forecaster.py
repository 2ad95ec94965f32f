"""Forecasts and scores of any series by a network that was trained on others."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from socialgraph.conformal import calibrated_levels
from socialgraph.data.split import Split
from socialgraph.data.windows import Windows, window_starts
from socialgraph.finite import check_finite
from socialgraph.graph import GraphBuilder
from socialgraph.nn.inputs import last_observed
from socialgraph.pretrained.archive import SHIPPED, Parts, read_parts, write_parts
from socialgraph.pretrained.history import History
from socialgraph.pretrained.last_days import LastDays
from socialgraph.pretrained.local import Mixture, Moments
from socialgraph.scaler import Scaler
from socialgraph.series import TrafficSeries
from socialgraph.spec import DataSpec
from socialgraph.standard import ScaleBy, Standard
from socialgraph.table import forecast_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PretrainedForecaster", "load_pretrained"]

_FEW_DAYS = 4.0  # of which not all that a training changes is kept
_MEASURED = ("forecast", "network", "last_value", "usual", "ridge")


class PretrainedForecaster:
    """A network that forecasts detectors, quantities and cities that it was not trained on.

    Each feature is forecast alone, in deviations of each detector from its own mean
    (:func:`socialgraph.standard.standardise`). What a detector usually reads is taken from the
    history that is given: some days of it are needed. Detectors without a position are forecast
    without neighbours.

    If the history tells it, the network's forecasts are mixed with those of a linear map that is
    fitted to the history, and with what is usual (:class:`socialgraph.pretrained.local.Mixture`),
    in a fraction of a second. How wrong the mixture was for windows of the history that it was not
    fitted to gives intervals, by conformal prediction (:class:`socialgraph.conformal.Conformal`).

    Args:
        network: a :class:`socialgraph.nn.SocialGraphNet` of one feature that knows no detector by
            itself, with its weights.
        window: steps that it reads.
        horizon: steps that it forecasts.
        graph: joins the detectors; None for no neighbours.
        card: what it was trained on, and how well it does.
        scale_by: whose mean and deviation the network reads, as in its training.
    """

    def __init__(
        self,
        network: nn.Module,
        window: int,
        horizon: int,
        graph: GraphBuilder | None,
        card: dict | None = None,
        scale_by: ScaleBy = "detector",
    ) -> None:
        self.network = network.eval()
        self.windows = Windows(window, horizon)
        self.graph = graph
        self.card = card or {}
        self.scale_by = scale_by

    @property
    def horizon(self) -> int:
        """Steps that are forecast."""
        return self.windows.horizon

    def forecast(
        self, series: TrafficSeries, adapt: bool = True, coverage: float | None = 0.9
    ) -> "pd.DataFrame":
        """Forecasts of the steps after the end of a series.

        Args:
            series: the history, ending in a window of readings without a gap in time.
            adapt: mix in what a linear map learns from the history; False for the network alone.
            coverage: share of the readings that should be between ``<feature>_p05`` and
                ``<feature>_p95`` (the names tell the quantiles); None for no intervals. There are
                none either of a feature of which fewer than 64 windows of the history have
                readings: NaN, or no such columns if no feature has one.

        Returns:
            A row per detector and step: ``issued`` and ``time`` (local clock), ``step``,
            ``detector``, and for each feature its forecast and its interval, in its unit. A
            feature that :meth:`heard` leaves out has none.

        Raises:
            ValueError: if the series is shorter than a window, ends in a gap, or in a window
                without a reading.
        """
        series = self.heard(series)
        levels = [] if coverage is None else calibrated_levels([], coverage)
        points, quantiles = [], []
        for feature in series.feature_names:
            own = series.select([feature])
            history = self._history(own)
            ((network, batch),) = self._apply([history.latest()])
            mixture = Mixture(history, self._starts(own), self._apply, levels, adapt)
            forecast = mixture(network, batch)
            points.append(_real(forecast, history.standard, own))
            around = mixture.quantiles(forecast)
            if around is None:
                around = torch.full((*forecast.shape, len(levels)), torch.nan)
            ends = [_real(end, history.standard, own) for end in around.unbind(-1)]
            quantiles.append(torch.stack(ends, dim=-1) if ends else around)
        prediction = {"forecast": torch.cat(points, dim=-1), "issued": batch["issued"]}
        prediction["quantiles"] = torch.cat(quantiles, dim=-2)
        if prediction["quantiles"].isnan().all():
            levels = []
        spec = DataSpec.of(series, self.windows.window, self.horizon)
        return forecast_table(prediction, spec, observed=False, levels=levels).to_pandas()

    def heard(self, series: TrafficSeries) -> TrafficSeries:
        """The series of the features that have a reading in the last window; warns of others.

        Raises:
            ValueError: if none has.
        """
        recent = np.isfinite(series.values[-self.windows.window :]).any(axis=(0, 1))
        names = np.array(series.feature_names)
        silent = ", ".join(names[~recent])
        if not recent.any():
            raise ValueError(
                f"Expected a reading in the last {self.windows.window} steps to forecast from (got "
                f"none of {silent}). Cut off the steps at the end that hold none."
            )
        if silent:
            warnings.warn(
                f"not forecast, without a reading in the last {self.windows.window} steps: "
                f"{silent}.",
                stacklevel=2,
            )
        return series.select(names[recent].tolist())

    def tune(
        self,
        series: TrafficSeries,
        epochs: int = 4,
        learning_rate: float = 5e-4,
        seed: int = 0,
        trainable: Literal["all", "head"] = "all",
    ) -> "PretrainedForecaster":
        """A forecaster whose weights were trained on from these on a series.

        A history of less than four days is unlike those to come, so that less of what it changes is
        kept: the square of its share of four days (a warning tells).

        Args:
            series: the history; each feature is a network of its own.
            epochs: how often all windows are trained on.
            learning_rate: peak of its schedule.
            seed: of the order of the windows.
            trainable: what changes, as of :class:`socialgraph.forecaster.Forecaster`.

        Raises:
            ValueError: if the series has no windows for training.
        """
        from socialgraph.pretrained.tuning import tune  # Lightning takes seconds to import

        days = series.num_days()
        share = min(1.0, days / _FEW_DAYS) ** 2
        if share < 1:
            text = (
                f"The history is of {days:.1f} days: {share:.0%} of what its training changes is "
                "kept, as so few days may be unlike those to come. Tune again when there are four."
            )
            warnings.warn(text, stacklevel=2)
        network = tune(self.parts, series, epochs, learning_rate, seed, trainable, share)
        card = {**self.card, "tuned_on": series.dataset_name, "tuned_epochs": epochs}
        return PretrainedForecaster(**self.parts._replace(network=network, card=card)._asdict())

    @property
    def parts(self) -> Parts:
        """Its arguments."""
        window, horizon = self.windows.window, self.windows.horizon
        return Parts(self.network, window, horizon, self.graph, self.card, self.scale_by)

    def save(self, path: str | Path) -> None:
        """Write what :func:`load_pretrained` reads.

        Raises:
            OSError: if it cannot be written.
        """
        write_parts(self.parts, path)

    def score(
        self,
        series: TrafficSeries,
        days: int = 1,
        split: Split | None = None,
        vdids: Sequence[str] | None = None,
    ) -> dict[str, dict[str, float]]:
        """Errors on the last days of a series, which are not looked at before.

        Args:
            series: more days than are held back.
            days: how many at the end are forecast, by all windows whose targets lie in them; the
                readings of a window may be of before.
            split: another way to hold back: its test part is forecast, from its training part.
            vdids: detectors whose errors count; None for all.

        Returns:
            For each feature the mean absolute error, in its unit, of ``forecast``, of ``network``
            (without what was learnt from the history), of ``last_value`` (the reading that was seen
            last, repeated), of ``usual`` (the detector's mean at this time of day) and of ``ridge``
            (a linear map of the window and the usual day, fitted to the history), over all
            detectors, steps and windows where all exist; NaN if they exist nowhere, or no reading
            does before. ``coverage`` is the share of these readings that are in the interval of
            90 %, NaN without one.

        Raises:
            ValueError: if too little is left.
            KeyError: if there is no such detector.
        """
        split = LastDays(days) if split is None else split
        counted = np.isin(series.vdids, series.select(vdids=vdids).vdids)
        return {
            name: self._score(series.select([name]), split, counted)
            for name in series.feature_names
        }

    def _score(self, series: TrafficSeries, split: Split, counted: np.ndarray) -> dict[str, float]:
        windows = self.windows
        parts, steps = split.divide(
            self._starts(series),
            series.timestamps,
            series.timezone,
            windows.window,
            windows.horizon,
        )
        if not len(parts["test"]):
            raise ValueError(f"The test part ({split}) has no window without a gap.")
        if not np.isfinite(series.values[:steps]).any():
            return dict.fromkeys((*_MEASURED, "coverage"), np.nan)
        history, lowest = self._history(series, steps), _lowest(series.first(steps))
        ridge = Moments(history, parts["train"]).fit()
        mixture = Mixture(history, parts["train"], self._apply, calibrated_levels([], 0.9))
        sums, inside, count = np.zeros(len(_MEASURED)), 0.0, 0
        for network, batch in self._apply(history.batches(parts["test"])):
            truth = _targets(series, batch)
            repeated = last_observed(batch["features"], batch["mask"])[:, None]
            usual = batch["profile"][:, windows.window :]
            known = np.isfinite(truth) & np.isfinite(repeated[..., 0].numpy()) & counted
            mixed = mixture(network, batch)
            rivals = (mixed, network, repeated, usual, ridge(batch))
            for place, rival in enumerate(rivals):
                real = np.maximum(_restored(rival, history.standard), lowest)
                wrong = np.abs(real - truth)
                sums[place] += np.where(known, wrong, 0.0).sum()
            inside += _inside(mixture.quantiles(mixed), history.standard, truth)[known].sum()
            count += known.sum()
        mean = sums / count if count else np.full(len(sums), np.nan)
        errors = dict(zip(_MEASURED, mean.tolist(), strict=True))
        return {**errors, "coverage": float(inside / count) if count else np.nan}

    def _starts(self, series: TrafficSeries) -> np.ndarray:
        return window_starts(series.timestamps, series.interval_minutes, self.windows.length)

    def _history(self, series: TrafficSeries, steps: int | None = None) -> History:
        return History(series, self.windows, self.graph, self.scale_by, steps)

    @torch.inference_mode()
    def _apply(self, batches: Iterable[dict]) -> Iterator[tuple[Tensor, dict]]:
        """Standardised forecasts ``[B, P, N, 1]`` of each batch, and the batch."""
        plain = Scaler([0.0], [1.0])
        for batch in batches:
            told = {name: batch[name] for name in self.network.entries if name in batch}
            forecast = self.network(**told)
            check_finite(forecast, "forecast", batch, plain)
            yield forecast, batch


def load_pretrained(path: str | Path | None = None) -> PretrainedForecaster:
    """The network that comes with the package, one that was saved, or one of ``socialgraph fit``.

    Args:
        path: a file of :meth:`PretrainedForecaster.save` or ``benchmarks.pretrain``, or the
            checkpoint of a training on ``data.networks``; None for the file of the package.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file holds none, or is damaged.
    """
    return PretrainedForecaster(**read_parts(SHIPPED if path is None else path)._asdict())


def _targets(series: TrafficSeries, batch: dict) -> np.ndarray:
    """The readings at the targets ``[B, P, N]`` as they are: standardised ones are bounded."""
    issued = batch["issued"].numpy().astype("datetime64[s]")
    horizon = batch["targets"].size(1)
    rows = np.searchsorted(series.timestamps, issued)[:, None] + np.arange(1, 1 + horizon)
    return series.values[rows, :, 0]


def _restored(forecast: Tensor, standard: Standard) -> np.ndarray:
    """Forecasts ``[..., N]`` in the unit of the readings."""
    return standard.inverse(forecast[..., 0].double().numpy(), np.arange(len(standard.loc)))


def _real(forecast: Tensor, standard: Standard, series: TrafficSeries) -> Tensor:
    """Forecasts in their unit; below 0 only where readings have been."""
    real = np.maximum(_restored(forecast, standard), _lowest(series))
    return torch.from_numpy(real)[..., None]


def _lowest(series: TrafficSeries) -> float:
    """What no forecast is below: 0 if no reading was."""
    return 0.0 if np.nanmin(series.values) >= 0 else -np.inf


def _inside(quantiles: Tensor | None, standard: Standard, truth: np.ndarray) -> np.ndarray:
    """1 where the truth ``[B, P, N]`` is between the outer quantiles, else 0; NaN without these."""
    if quantiles is None:
        return np.full(truth.shape, np.nan)
    lower, upper = (_restored(quantiles[..., end], standard) for end in (0, -1))
    return ((truth >= lower) & (truth <= upper)).astype(float)
