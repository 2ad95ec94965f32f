"""Exponential smoothing around the usual day, against the package that fits it."""

import numpy as np
import pytest
import torch

from socialgraph.backtest import ets
from socialgraph.backtest.rivals import TimeOfDayMean, fitted_scaler
from socialgraph.data import TrafficDataModule, Windows
from tests.conftest import make_series

models = pytest.importorskip("statsforecast.models", reason="needs statsforecast (extra backtest)")


def made(seed, steps=300, trend=0.1):
    rng = np.random.default_rng(seed)
    return np.cumsum(np.cumsum(rng.normal(0, trend, steps))) + rng.normal(0, 1, steps)


@pytest.mark.parametrize(
    ("values", "kind"),
    [(made(0), "ETS(A,A,N)"), (made(2, trend=0.0), "ETS(A,N,N)"), (made(3, 60), None)],
)
def test_level_and_trend_are_those_of_the_package(values, kind):
    model = models.AutoETS(season_length=1, model="AZN").fit(values)
    assert kind in (None, model.model_["method"])
    weights = np.array([ets._fit(values)])
    level, trend = ets.smooth(values[:, None], weights)
    phi = weights[0, 2]
    before = [weights[0, 3] + phi * weights[0, 4], *(level + phi * trend)[:-1, 0]]
    np.testing.assert_allclose(before, model.model_["fitted"], atol=1e-8)
    ahead = level[-1] + np.cumsum(phi ** np.arange(1, 6)) * trend[-1]
    # A forecast is what the level comes to if nothing is read any more.
    silent = np.append(values, np.full(6, np.nan))[:, None]
    levels, _ = ets.smooth(silent, weights)
    np.testing.assert_allclose(ahead, levels[len(values) : -1, 0], atol=1e-8)
    if phi == 1:  # the package counts the first power of a damped trend twice
        np.testing.assert_allclose(ahead, model.predict(5)["mean"], atol=1e-8)


def test_a_missing_reading_changes_nothing():
    values = made(1)[:, None]
    weights = np.array([[0.5, 0.1, 0.9, 0.0, 0.2]])
    values[100] = np.nan
    level, trend = ets.smooth(values, weights)
    assert level[100] == pytest.approx(level[99] + 0.9 * trend[99])
    assert trend[100] == pytest.approx(0.9 * trend[99])


def test_it_follows_what_is_unlike_the_usual_day_until_the_forecast(monkeypatch):
    monkeypatch.setattr(ets, "_MOST_DETECTORS", 3)
    series = make_series(steps=288 * 6, missing=0.02)
    rng = np.random.default_rng(0)
    series.values[..., 0] += np.cumsum(rng.normal(0, 1, (288 * 6, 1)), axis=0)
    data = TrafficDataModule(series, ["speed"], windows=Windows(3, 2))
    data.setup()
    rival, scaler = ets.ProfileETS(data), fitted_scaler(data)
    assert rival.nodes.tolist() == [0, 2, 5]
    batch = data.collator(data.starts["test"][:100].tolist())
    clocks = batch["target_time_of_day"], batch["target_day_of_week"]
    forecast = scaler.inverse(rival(batch["issued"], *clocks))
    usual = scaler.inverse(TimeOfDayMean(data)(*clocks))
    mask = batch["target_mask"]
    errors = [torch.where(mask, f - batch["targets"], 0).abs().mean((0, 1, 3))
              for f in (forecast, usual)]  # fmt: skip
    assert (errors[0][rival.nodes] < 0.6 * errors[1][rival.nodes]).all()
    others = [1, 3, 4]
    torch.testing.assert_close(forecast[:, :, others], usual[:, :, others])
    first = int(data.starts["test"][0]) + 3
    series.values[first:] += 500  # what the forecast does not know
    again = TrafficDataModule(series, ["speed"], windows=Windows(3, 2))
    again.setup()
    batch = again.collator(again.starts["test"][:1].tolist())
    clocks = batch["target_time_of_day"], batch["target_day_of_week"]
    torch.testing.assert_close(
        scaler.inverse(ets.ProfileETS(again)(batch["issued"], *clocks)), forecast[:1]
    )


def test_a_detector_that_never_deviates_keeps_its_profile():
    assert ets._fit(np.zeros(100)) == (0.0, 0.0, 1.0, 0.0, 0.0)
