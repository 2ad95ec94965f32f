"""What a network is told of usual days: in training, in tests, from a checkpoint, for strangers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import socialgraph
from socialgraph.calendar import to_local
from socialgraph.data import ShareSplit
from socialgraph.forecaster import Forecaster
from socialgraph.nn import SocialGraphNet
from tests.conftest import make_series
from tests.test_forecaster import make_data, make_trainer

WINDOW, HORIZON = 6, 3


class Usual(nn.Module):
    """Forecasts what is usual at the target steps; keeps what it was told."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.told = []

    def forward(self, profile, profile_deviation, issued):
        self.told.append((issued, profile, profile_deviation))
        return profile[:, WINDOW:, :, :1] + 0 * self.bias


def usual_speed(series, steps, time, node, leave=None):
    """Mean speed of the first ``steps`` at a time of day, on its kind of day."""
    local = to_local(series.timestamps[:steps], series.timezone)
    target = to_local(np.array([time]), series.timezone)[0]

    def seconds(times):
        return (times - times.astype("datetime64[D]")).astype(np.int64)

    def weekend(times):
        return (times.astype("datetime64[D]").astype(np.int64) + 3) % 7 >= 5

    apart = np.abs(seconds(local) - seconds(target))
    near = np.minimum(apart, 86400 - apart) <= 1800
    if leave is not None:
        near &= np.abs((series.timestamps[:steps] - leave).astype(np.int64)) > 1800
    same = near & (weekend(local) == weekend(target))
    values = series.values[:steps, node, 0]
    values = values[same] if np.isfinite(values[same]).any() else values[near]
    return np.nanmean(values)


def train(folder):
    series = make_series(steps=288 * 4, seed=3)
    data = make_data(series, features=["speed"])
    forecaster = Forecaster(Usual(), learning_rate=0.0)
    trainer = make_trainer(folder)
    trainer.fit(forecaster, data)
    return series, data, forecaster, trainer


@pytest.fixture
def trained(tmp_path):
    return train(tmp_path)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Of the checkpoint of such a training."""
    folder = tmp_path_factory.mktemp("trained")
    *_, trainer = train(folder)
    trainer.save_checkpoint(folder / "a.ckpt")
    return folder / "a.ckpt"


def test_a_training_window_is_told_the_other_days_and_a_test_window_all_of_the_training(trained):
    series, data, forecaster, trainer = trained
    told, step = forecaster.network.told, np.timedelta64(300, "s")
    issued, profile, _ = told[0]  # of a training batch
    assert len(told) > len(data.starts["train"]) // 8
    forecaster.network.told = []
    trainer.test(forecaster, data, verbose=False)
    for leave, (issued, profile, deviation) in {1: told[0], 0: forecaster.network.told[0]}.items():
        mean = forecaster.scaler.inverse(profile)
        for row, ahead in ((0, 0), (1, 4), (2, WINDOW + HORIZON - 1)):
            time = np.datetime64(int(issued[row]), "s") + (ahead - WINDOW + 1) * step
            for node in (0, 5):
                left_out = time if leave else None
                expected = usual_speed(series, data.train_steps, time, node, left_out)
                assert mean[row, ahead, node, 0].item() == pytest.approx(expected, rel=1e-4)
        # The waves have a noise of 3 km/h, and change within half an hour.
        spread = deviation * forecaster.scaler.scale
        assert spread.min() > 1
        assert spread.max() < 12


def test_a_checkpoint_knows_usual_days_of_detectors_of_which_it_sees_one_window(tmp_path):
    series = make_series(steps=288 * 3)
    data = make_data(series, features=["speed"], graph=None)
    forecaster = Forecaster(SocialGraphNet(), warmup_steps=5)
    trainer = make_trainer(tmp_path)
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = socialgraph.load(tmp_path / "a.ckpt")
    last = replace(series, values=series.values[-WINDOW:], timestamps=series.timestamps[-WINDOW:])
    whole, short = loaded.forecast(series), loaded.forecast(last)
    assert whole.equals(short)
    assert whole.equals(forecaster.eval().forecast(series))


def test_a_stranger_is_told_its_own_history_and_the_others_that_of_their_training(trained):
    series, _, forecaster, _ = trained
    other = replace(series, values=series.values + np.float32(20.0))
    other.vdids[1] = "stranger"
    forecaster.network.told = []
    table = forecaster.forecast(other)
    first = table[table.step == 1].set_index("detector")["speed"]
    time = other.timestamps[-1] + np.timedelta64(300, "s")
    own = usual_speed(other, len(other.timestamps), time, 1)
    assert first["stranger"] == pytest.approx(own, rel=1e-4)
    trained_part = round(0.7 * len(series.timestamps))
    assert first["VD-0"] == pytest.approx(usual_speed(series, trained_part, time, 0), rel=1e-4)


@pytest.mark.parametrize(
    "profile",
    [
        "text",
        {"mean": torch.zeros(2, 288, 6, 1)},
        {"mean": torch.zeros(2, 288, 5, 1), "deviation": torch.zeros(2, 288, 5, 1)},
        {"mean": torch.full((2, 288, 6, 1), torch.inf), "deviation": torch.ones(2, 288, 6, 1)},
        {"mean": torch.zeros(6, 1), "deviation": torch.zeros(6, 1)},
    ],
)
def test_a_checkpoint_with_another_profile_is_refused(tmp_path, path, profile):
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["profile"]["mean"].shape == (2, 288, 6, 1)
    torch.save({**checkpoint, "profile": profile}, tmp_path / "b.ckpt")
    with pytest.raises(ValueError, match=r"profile|means and deviations"):
        Forecaster(Usual()).on_load_checkpoint(torch.load(tmp_path / "b.ckpt", weights_only=True))


def test_the_profile_may_not_be_absent_from_the_checkpoint_of_a_network_that_reads_it(path):
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["profile"]
    with pytest.raises(ValueError, match="no 'profile'"):
        Forecaster(Usual()).on_load_checkpoint(checkpoint)


@pytest.mark.parametrize("border", ["split_first", "window_first"])
def test_no_training_window_is_told_what_comes_after_the_training_part(tmp_path, border):
    series = make_series(steps=288 * 3)
    split = ShareSplit(0.7, 0.1, 0.2, border)
    later = replace(series, values=series.values.copy())
    told = []
    for given in (series, later):
        data = make_data(given, features=["speed"], split=split)
        data.setup()
        later.values[data.train_steps :] += 100.0
        steps = torch.from_numpy(data.starts["train"][-3:])[:, None]
        told.append(data.usual.around(steps + torch.arange(WINDOW + HORIZON)))
    for first, second in zip(*told, strict=True):
        torch.testing.assert_close(first, second)
        assert first.isfinite().all()


def test_a_training_starts_from_the_weights_on_other_detectors_and_their_own_usual_days(tmp_path):
    series = make_series(steps=288 * 2)
    forecaster = Forecaster(SocialGraphNet(), warmup_steps=5)
    trainer = make_trainer(tmp_path)
    trainer.fit(forecaster, make_data(series, features=["speed"], graph=None))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = make_series(steps=288 * 2, nodes=3, seed=5)
    again = Forecaster(init_from=str(tmp_path / "a.ckpt"), learning_rate=0.0)
    data = make_data(other, features=["speed"], graph=None)
    make_trainer(tmp_path).fit(again, data)
    assert again.profile.mean.shape[2] == 3
    weights = again.network.state_dict()
    for name, weight in forecaster.network.state_dict().items():
        assert torch.equal(weights[name], weight), name
