"""What a forecast learns from the history at once."""

import numpy as np
import pytest
import torch

from socialgraph.data import Windows, window_starts
from socialgraph.pretrained import local
from socialgraph.pretrained.history import History
from socialgraph.pretrained.local import Compared, LocalRidge, Mixture, compare, intervals_of
from socialgraph.spread import spread_over
from tests.conftest import make_series

WINDOWS = Windows(6, 4)


def history_of(steps=1200, missing=0.1):
    series = make_series(steps=steps, missing=missing).select(["flow"])
    history = History(series, WINDOWS, None)
    return history, window_starts(series.timestamps, series.interval_minutes, WINDOWS.length)


def test_the_map_is_that_of_least_squares_with_a_penalty():
    history, starts = history_of()
    whole_of_it = LocalRidge(history, starts).weight
    starts = starts[spread_over(len(starts), 400)]  # at most so many are fitted to
    torch.testing.assert_close(LocalRidge(history, starts).weight, whole_of_it)
    weight = whole_of_it.numpy()
    rows, targets = [], []
    for start in starts:
        (batch,) = history.training_batches([start])
        profile = batch["profile"][0, ..., 0].numpy().astype(float)
        values = np.where(batch["mask"][0, ..., 0], batch["features"][0, ..., 0], np.nan)
        away = np.nan_to_num(values - profile[:6])
        ahead = profile[6:]
        whole = batch["target_mask"][0, ..., 0].all(dim=0).numpy()
        inputs = np.concatenate([away, ahead, np.ones((1, 6))]).T
        rows.append(inputs[whole])
        targets.append((batch["targets"][0, ..., 0].numpy() - ahead).T[whole])
    x, y = np.concatenate(rows), np.concatenate(targets)
    padded = np.concatenate([x, np.sqrt(10) * np.eye(11)])
    expected = np.linalg.lstsq(padded, np.concatenate([y, np.zeros((11, 4))]), rcond=None)[0]
    np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_a_training_window_is_told_what_is_usual_without_itself():
    history, _ = history_of()
    (told,) = history.training_batches([30])
    mean, _ = history.usual.around(30 + torch.arange(10)[None])
    torch.testing.assert_close(told["profile"], mean)
    (plain,) = history.batches([30])
    assert not torch.allclose(plain["profile"], mean)


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
    batch = next(history.training_batches(starts[:2]))
    bad = Mixture(history, starts, lambda found: ((b["targets"] + 100, b) for b in found), [])
    usual = bad(batch["targets"] + 100, batch)
    assert (bad.share == 0).all()
    assert (bad.share_of_both < 1).any()
    assert usual.shape == (2, 4, len(series.vdids), 1)
    ridge, profile = LocalRidge(history, starts)(batch), batch["profile"][:, 6:]
    expected = bad.share_of_both * ridge + (1 - bad.share_of_both) * profile
    torch.testing.assert_close(usual, expected)


def test_the_windows_that_are_compared_share_no_step_with_those_that_are_fitted(monkeypatch):
    history, starts = history_of()
    seen, fitted = [], []

    def apply(batches):
        for batch in batches:
            seen.append(batch["issued"])
            yield torch.zeros_like(batch["targets"]), batch

    def fit(history, starts):
        fitted.extend(starts)
        return LocalRidge(history, starts)

    monkeypatch.setattr(local, "LocalRidge", fit)
    compare(history, starts, apply)
    first = torch.searchsorted(history.collator.seconds, torch.cat(seen).min()).item() - 5
    assert first == 4 * len(starts) // 5
    assert max(fitted) + WINDOWS.length == first - 1


def test_without_enough_history_the_network_is_alone():
    history, starts = history_of(steps=72)
    assert len(starts) == 63
    alone = Mixture(history, starts, lambda batches: pytest.fail("nothing is compared"), [0.9])
    assert alone.share.flatten().tolist() == [1.0] * 4
    assert alone.quantiles(torch.zeros(1, 4, 6, 1)) is None
    assert LocalRidge(history, starts[:0]).weight.abs().max() == 0  # what is usual, then


def test_of_less_than_four_days_intervals_are_learnt_and_no_shares():
    def apply(batches):
        return ((batch["targets"] + 100.0, batch) for batch in batches)

    assert (Mixture(*history_of(steps=4 * 288, missing=0.0), apply, [0.9]).share < 1).all()
    alone = Mixture(*history_of(steps=4 * 288 - 1, missing=0.0), apply, [0.9])
    assert alone.share.flatten().tolist() == [1.0] * 4
    assert alone.share_of_both.flatten().tolist() == [1.0] * 4
    assert alone.quantiles(torch.zeros(1, 4, 6, 1)).shape == (1, 4, 6, 1, 1)


def test_intervals_are_quantiles_of_what_the_mixture_was_wrong_by():
    draw = torch.Generator().manual_seed(0)
    size = (999, 2, 3, 1)
    targets = torch.randn(size, generator=draw) * torch.tensor([1.0, 2.0, 5.0]).view(3, 1)
    network, ridge = torch.full(size, 4.0), torch.full(size, -2.0)
    found = Compared(network, ridge, ridge, targets, torch.ones(size, dtype=torch.bool))
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
