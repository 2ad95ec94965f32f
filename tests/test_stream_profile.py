"""What is usual goes on in a stream: by its formula, by its half-life, and through a restart."""

from functools import partial

import numpy as np
import pytest
import torch

import socialgraph
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.nn import Profile, Readings, SocialGraphNet, XLSTMEncoder
from socialgraph.profile import DailyProfile
from socialgraph.stream import StoredStream, StreamingForecaster, StreamStore
from tests.conftest import make_series
from tests.test_stream import train

SERIES = make_series(steps=288 * 3)
DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return train(tmp_path_factory.mktemp("profile"), SERIES, "stacked")


def make(checkpoint, half_life=2.0, **options):
    return StreamingForecaster(socialgraph.load(checkpoint), profile_half_life=half_life, **options)


def usual(stream):
    return stream.backend.usual


def test_a_reading_moves_the_slots_around_it_by_the_formula(checkpoint):
    stream = make(checkpoint)
    before = [part.clone() for part in (usual(stream).mean, usual(stream).deviation)]
    time = np.datetime64("2024-01-05T04:00:00")  # Friday noon in Taipei: slot 144
    readings = np.full((6, 2), 100.0, dtype=np.float32)
    readings[4, 1] = np.nan
    stream.update(time, readings)
    gain = 1 - 2 ** (-7 / (5 * 13 * 2.0))  # 13 slots within 30 minutes, 5 working days a week
    apart = 100.0 - before[0][0, 138:151]
    mean = before[0][0, 138:151] + gain * apart
    variance = (1 - gain) * (before[1][0, 138:151] ** 2 + gain * apart**2)
    mean[:, 4, 1] = before[0][0, 138:151, 4, 1]  # a missing reading moves nothing
    variance[:, 4, 1] = before[1][0, 138:151, 4, 1] ** 2
    torch.testing.assert_close(usual(stream).mean[0, 138:151], mean)
    torch.testing.assert_close(usual(stream).deviation[0, 138:151], variance.sqrt())
    for part, own in zip(before, (usual(stream).mean, usual(stream).deviation), strict=True):
        rest = [k for k in range(288) if not 138 <= k < 151]
        assert torch.equal(part[0, rest], own[0, rest])
        assert torch.equal(part[1], own[1])  # weekends


@pytest.mark.parametrize(("days", "kind", "a_week"), [(range(0, 70), 0, 5), (range(0, 70), 1, 2)])
def test_after_a_half_life_the_old_counts_half(checkpoint, days, kind, a_week):
    stream = make(checkpoint, half_life=28.0)
    profile = stream.profile
    usual(stream).mean.zero_()
    readings = np.ones((6, 2), dtype=np.float32)
    start = np.datetime64("2024-01-01T04:00:00")  # a Monday
    seen = []
    for day in range(28):
        for step in range(-6, 7):  # all readings within 30 minutes of noon
            profile.learn(start + day * DAY + step * np.timedelta64(300, "s"), readings)
        seen.append(float(usual(stream).mean[kind, 144, 0, 0]))
    assert seen[-1] == pytest.approx(0.5, abs=1e-4)  # ones count half, zeros half
    assert len(set(np.round(seen, 9))) == 4 * a_week + (1 if kind else 0)


def test_a_profile_that_is_left_alone_stays_as_trained(checkpoint):
    stream = StreamingForecaster(socialgraph.load(checkpoint))
    before = usual(stream).mean.clone()
    for step in range(20):
        stream.update(SERIES.timestamps[step], SERIES.values[step])
    assert torch.equal(usual(stream).mean, before)


def test_it_is_kept_with_the_state_and_two_streams_do_not_mix(checkpoint, tmp_path):
    forecaster = socialgraph.load(checkpoint)
    whole, other = (StreamingForecaster(forecaster, profile_half_life=days) for days in (0.5, None))
    with StreamStore(tmp_path / "s.db") as store:
        stored = StoredStream(make(checkpoint, 0.5), store)
        for step in range(30):
            stored.read(SERIES.timestamps[step], SERIES.values[step])
            whole.update(SERIES.timestamps[step], SERIES.values[step])
            other.update(SERIES.timestamps[step], SERIES.values[step])
    with StreamStore(tmp_path / "s.db") as store:
        again = StoredStream(make(checkpoint, 0.5), store).stream
        assert torch.equal(usual(again).mean, usual(whole).mean)
        spec = again.spec
        again.set_detectors(spec.vdids, spec.lat.tolist(), spec.lon.tolist())  # as at each start
        assert torch.equal(usual(again).mean, usual(whole).mean)
        next_ = SERIES.timestamps[30], SERIES.values[30]
        forecast = whole.update(*next_)
        torch.testing.assert_close(again.update(*next_), forecast)
    apart = (forecast - other.update(*next_)).abs().max()
    assert apart > 1e-3  # what is usual is told to the network


def test_a_carried_state_is_restored_as_it_was_while_the_usual_day_goes_on():
    data = TrafficDataModule(SERIES, targets=["speed"], windows=Windows(6, 3))
    data.setup("test")
    encoder = partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=())
    network = SocialGraphNet(inputs=[Readings(), Profile()], encoder=encoder, block=None)
    forecaster = Forecaster(network).eval()
    forecaster.adopt(data)
    forecaster.graph = data.graph
    options = {"memory": "state", "profile_half_life": 0.5}
    whole, again = (StreamingForecaster(forecaster, **options) for _ in range(2))
    for step in range(400, 430):
        reading = SERIES.timestamps[step], SERIES.values[step] + 30
        torch.testing.assert_close(again.update(*reading), whole.update(*reading))
        if step % 8 == 5:
            state, again = again.state(), StreamingForecaster(forecaster, **options)
            again.restore(state)


def test_a_fill_value_spoils_nothing_for_good(checkpoint):
    stream = make(checkpoint)
    readings = np.full((6, 2), 50.0, dtype=np.float32)
    readings[0, 0], readings[1, 0] = 9.96921e36, -3e38
    stream.update(np.datetime64("2024-01-05T04:00:00"), readings)
    readings[:2, 0] = 50.0
    for day in range(1, 60):
        stream.profile.learn(np.datetime64("2024-01-05T04:00:00") + day * DAY, readings)
    mean, deviation = usual(stream).mean[0, 144, :, 0], usual(stream).deviation[0, 144, :, 0]
    assert deviation.isfinite().all()
    assert (mean[:2] - mean[2:].mean()).abs().max() < 20  # km/h


def test_what_cannot_learn_is_refused(checkpoint, tmp_path_factory):
    with pytest.raises(ValueError, match="above 0 days"):
        make(checkpoint, half_life=0.0)
    small = "--model.network.init_args.encoder.init_args.hidden_channels=8"
    plain = train(tmp_path_factory.mktemp("plain"), make_series(), "attention", small)
    with pytest.raises(ValueError, match=r"Expected a network that reads what is usual.*stacked"):
        make(plain)


def test_the_update_is_the_weighted_mean_of_readings(checkpoint):
    # Finch (2009), section 9: after a long time only readings count, each half as much as the one
    # a half-life later; compared with numpy's weighted average.
    stream = make(checkpoint, half_life=1.0)
    stream.backend.usual = DailyProfile(torch.zeros(2, 1, 6, 2), torch.zeros(2, 1, 6, 2))
    rng = np.random.default_rng(0)
    values = rng.normal(50, 5, (400, 6, 2)).astype(np.float32)
    monday = np.datetime64("2024-01-01T04:00:00")
    for reading in values:  # one slot a day: k = 1, always the same kind of day
        stream.profile.learn(monday, reading)
    weights = 2.0 ** (-7 / 5 * np.arange(len(values))[::-1])
    mean = np.average(values, axis=0, weights=weights)
    variance = np.average((values - mean) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(usual(stream).mean[0, 0], mean, rtol=1e-4)
    np.testing.assert_allclose(usual(stream).deviation[0, 0], np.sqrt(variance), rtol=1e-3)
