"""What a forecast learns from the history at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from socialgraph.data import Windows, window_starts
from socialgraph.pretrained.history import History
from socialgraph.pretrained.local import (
    Compared,
    Mixture,
    Moments,
    best_share,
    compare,
    intervals_of,
)
from socialgraph.spread import spread_over
from tests.conftest import make_series

WINDOWS = Windows(6, 4)


def history_of(steps=1200, missing=0.1):
    series = make_series(steps=steps, missing=missing).select(["flow"])
    history = History(series, WINDOWS, None)
    return history, window_starts(series.timestamps, series.interval_minutes, WINDOWS.length)


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.8])
def test_the_map_is_that_of_least_squares_with_a_penalty(missing):
    history, starts = history_of(missing=missing)
    whole_of_it = Moments(history, starts).fit().weight
    starts = starts[spread_over(len(starts), 400)]  # at most so many are fitted to
    torch.testing.assert_close(Moments(history, starts).fit().weight, whole_of_it)
    weight = whole_of_it.numpy()
    rows, targets = [], []
    for start in starts:
        (batch,) = history.batches([start])
        profile = batch["profile"][0, ..., 0].numpy().astype(float)
        values = np.where(batch["mask"][0, ..., 0], batch["features"][0, ..., 0], np.nan)
        away = np.nan_to_num(values - profile[:6])
        ahead = profile[6:]
        truth = np.where(batch["target_mask"][0, ..., 0], batch["targets"][0, ..., 0], np.nan)
        rows.append(np.concatenate([away, ahead, np.ones((1, 6))]).T)
        targets.append((truth - ahead).T)
    x, y = np.concatenate(rows), np.concatenate(targets)
    expected = []
    for step in y.T:  # each with all targets that are known at it
        padded = np.concatenate([x[~np.isnan(step)], np.sqrt(10) * np.eye(11)])
        known = np.concatenate([step[~np.isnan(step)], np.zeros(11)])
        expected.append(np.linalg.lstsq(padded, known, rcond=None)[0])
    expected = np.stack(expected, axis=1)
    np.testing.assert_allclose(weight, expected, atol=1e-5)


@pytest.mark.parametrize("start", [30, 1194])
def test_a_window_is_told_what_is_usual_without_itself(start):
    series = make_series(steps=1200).select(["flow"])
    again = replace(series, values=series.values.copy())
    again.values[start : start + WINDOWS.window] += 100.0
    told = []
    for readings in (series, again):
        history = History(readings, WINDOWS, None)
        batch = history.latest() if start == 1194 else next(history.batches([start]))
        told.append(history.standard.inverse(batch["profile"][..., 0].numpy(), np.arange(6)))
    np.testing.assert_allclose(*told, rtol=1e-4)


@pytest.mark.parametrize("good", [True, False])
def test_the_better_of_both_gets_the_share(good):
    history, starts = history_of(missing=0.0)
    steps = torch.arange(4) % 2  # each step for itself

    def apply(batches):
        for batch in batches:
            wrong = 100.0 * (steps if good else 1 - steps).view(1, 4, 1, 1)
            yield batch["targets"] + wrong, batch

    share = Mixture(history, starts, apply, []).share
    assert share.flatten().tolist() == [float(s) for s in (1 - steps if good else steps)]
    assert (Mixture(history, starts, apply, [], adapt=False).share == 1).all()


def test_what_is_usual_takes_the_place_of_both_if_it_is_better():
    history, starts = history_of(missing=0.0)
    series = history.series
    batch = next(history.batches(starts[:2]))
    bad = Mixture(history, starts, lambda found: ((b["targets"] + 100, b) for b in found), [])
    usual = bad(batch["targets"] + 100, batch)
    assert (bad.share == 0).all()
    assert (bad.share_of_both < 1).any()
    assert usual.shape == (2, 4, len(series.vdids), 1)
    ridge, profile = Moments(history, starts).fit()(batch), batch["profile"][:, 6:]
    expected = bad.share_of_both * ridge + (1 - bad.share_of_both) * profile
    torch.testing.assert_close(usual, expected)


def test_each_fifth_is_forecast_by_a_map_of_windows_that_share_no_step_with_it():
    history, starts = history_of(steps=400)
    assert len(starts) == 391  # all are fitted to

    def apply(batches):
        return ((torch.zeros_like(batch["targets"]), batch) for batch in batches)

    found = compare(history, starts, Moments(history, starts), apply)
    assert found.fold.bincount().min() > 15  # of 128 windows
    some = starts[spread_over(len(starts), 128)]
    for place in range(0, 128, 13):
        fold, window, forecast = found.fold[place], some[place], found.ridge[place]
        held_back = np.array_split(np.arange(391), 5)[fold]
        assert window in held_back
        steps = set(range(held_back[0], held_back[-1] + WINDOWS.length))
        others = [s for s in range(391) if not steps & set(range(s, s + WINDOWS.length))]
        ridge = Moments(history, np.array(others)).fit()
        (batch,) = history.batches([window])
        torch.testing.assert_close(forecast, ridge(batch)[0], atol=1e-4, rtol=0)


def test_the_first_forecast_is_left_only_for_what_the_fifths_agree_on():
    fold = torch.arange(5).repeat_interleave(4)
    targets = torch.zeros(20, 2, 3, 1)
    # The second is right everywhere at the first step, and in one fifth at the second step,
    # where it is as wrong as the first in all others.
    second = torch.zeros(20, 2, 3, 1)
    second[fold > 0, 1] = 1.01
    first = torch.ones(20, 2, 3, 1)
    mask = torch.ones(20, 2, 3, 1, dtype=torch.bool)
    found = Compared(first, second, second, targets, mask, fold)
    share = best_share(first, second, found, torch.ones(3))
    assert share.flatten().tolist() == [0.0, 1.0]
    assert second[:, 1].mean() < first[:, 1].mean()  # though it is better on the whole


def test_errors_count_where_the_truth_is_known_and_by_the_scale_of_the_detector():
    fold, targets = torch.arange(5), torch.zeros(5, 1, 3, 1)
    first = torch.tensor([0.0, 1.0, 0.0]).view(1, 1, 3, 1).expand(5, 1, 3, 1)
    second = torch.tensor([1.0, 0.0, 9.0]).view(1, 1, 3, 1).expand(5, 1, 3, 1)
    mask = torch.tensor([True, True, False]).view(1, 1, 3, 1).expand(5, 1, 3, 1)
    found = Compared(first, second, second, targets, mask, fold)
    assert best_share(first, second, found, torch.tensor([2.0, 1.0, 1.0])).item() == 1
    assert best_share(first, second, found, torch.tensor([1.0, 2.0, 1.0])).item() == 0


def test_without_enough_history_the_network_is_alone():
    history, starts = history_of(steps=72)
    assert len(starts) == 63
    alone = Mixture(history, starts, lambda batches: pytest.fail("nothing is compared"), [0.9])
    assert alone.share.flatten().tolist() == [1.0] * 4
    assert alone.quantiles(torch.zeros(1, 4, 6, 1)) is None
    assert Moments(history, starts[:0]).fit().weight.abs().max() == 0  # what is usual, then


@pytest.mark.parametrize(("readings", "alone"), [(64, True), (65, False)])
def test_windows_without_readings_are_no_history(readings, alone):
    series = make_series(steps=1200, missing=0.0).select(["flow"])
    series.values[:300] = series.values[300 + readings :] = np.nan
    history = History(series, WINDOWS, None)
    starts = window_starts(series.timestamps, series.interval_minutes, WINDOWS.length)
    # The last reading of the first of them is the first one there is.
    expected = 295 + np.arange(readings - 1)
    np.testing.assert_array_equal(history.observed(starts), expected)

    def apply(batches):
        for batch in batches:
            yield batch["targets"], batch

    mixture = Mixture(history, starts, apply, [0.9])
    assert (mixture.quantiles(torch.zeros(1, 4, 6, 1)) is None) == alone


def test_intervals_are_quantiles_of_what_the_mixture_was_wrong_by():
    draw = torch.Generator().manual_seed(0)
    size = (999, 2, 3, 1)
    targets = torch.randn(size, generator=draw) * torch.tensor([1.0, 2.0, 5.0]).view(3, 1)
    network, ridge = torch.full(size, 4.0), torch.full(size, -2.0)
    mask = torch.ones(size, dtype=torch.bool)
    found = Compared(network, ridge, ridge, targets, mask, torch.arange(999) // 200)
    share = torch.tensor([1.0, 0.5]).view(2, 1, 1)
    made = intervals_of(found, torch.lerp(ridge, network, share), [0.05, 0.95])
    point = torch.tensor([4.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 1)
    lower, upper = made.correct(point[..., None].expand(1, 2, 3, 1, 2), point).unbind(-1)
    # The truth does not know what was forecast, but an interval holds its forecast.
    shared = 0.05 * 3 * 999
    expected = torch.sort(targets.transpose(1, 2).flatten(0, 1)[:, 0, 0]).values[int(shared)]
    own = torch.sort(targets[:, 0, 0, 0]).values[49]
    weight = 999 / 1199
    expected = weight * own + (1 - weight) * expected
    assert lower[0, 0, 0, 0].item() == pytest.approx(expected.item(), abs=0.02)
    assert (upper >= point).all()
