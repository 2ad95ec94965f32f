"""What is known besides readings: holidays, attributes of detectors, features known ahead."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

import socialgraph
from socialgraph.calendar import clock
from socialgraph.data import Loading, TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.nn import (
    Attributes,
    Clock,
    KnownAhead,
    LinearEncoder,
    Mask,
    Profile,
    Readings,
    SocialGraphNet,
)
from socialgraph.stream import StreamingForecaster
from tests.conftest import make_series
from tests.test_forecaster import make_trainer

LANES = [1, 2, 3, 4, 5, 6]


def make_known(steps=288, **options):
    """Speeds that follow a rain of the same step, with lanes and a text of each detector."""
    series = make_series(steps=steps)
    rain = np.random.default_rng(3).choice([0.0, 10.0], (steps, 1)).repeat(6, axis=1)
    values = np.stack([60 - 4 * rain, rain], axis=-1).astype(np.float32)
    info = {v: {"lanes": n, "road": "A1"} for v, n in zip(series.vdids, LANES, strict=True)}
    return dataclasses.replace(
        series, values=values, feature_names=["speed", "rain"], vd_info=info, **options
    )


def make_data(series, **options):
    return TrafficDataModule(
        series,
        targets=["speed"],
        windows=Windows(4, 2),
        loading=Loading(16),
        **{"known": ["rain"], "attributes": ["lanes"], **options},
    )


def make_forecaster(*parts):
    return Forecaster(
        SocialGraphNet(
            inputs=[Readings(), Mask(), *parts],
            encoder=partial(LinearEncoder, out_channels=8),
            block=None,
        ),
        learning_rate=0.05,
        warmup_steps=5,
    )


def test_a_public_holiday_counts_as_a_sunday_on_the_local_clock():
    times = np.array(["2024-12-24T22:59", "2024-12-24T23:00", "2024-12-25T23:00"], "datetime64[s]")
    times = np.append(times, np.datetime64("2024-12-26T23:00", "s"))
    assert clock(times, "Europe/Copenhagen")[1].tolist() == [1, 2, 3, 4]
    assert clock(times, "Europe/Copenhagen", "DK")[1].tolist() == [1, 6, 6, 4]
    pioneer_day = np.array(["2024-07-24T20:00"], "datetime64[s]")
    assert clock(pioneer_day, "America/Denver", "US-UT")[1].tolist() == [6]
    assert clock(pioneer_day, "America/Denver", "US")[1].tolist() == [2]
    for region in ("XX", "US-ZZ", ""):
        with pytest.raises(ValueError, match="'holidays' as a country or a part of one"):
            make_data(make_known(), holidays=region)


def test_batches_profiles_and_checkpoints_obey_the_holidays(tmp_path):
    series = make_known(steps=288 * 3)  # from eight on New Year, a Monday, in Taipei
    data = make_data(series, holidays="TW", known=None)
    data.setup("fit")
    assert data.collator.day_of_week[[0, 191, 192]].tolist() == [6, 6, 1]
    assert data.usual.kind[[0, 192]].tolist() == [1, 0]
    forecaster = make_forecaster(Profile(), Clock(2, day_of_week=True))
    trainer = make_trainer(tmp_path)
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = socialgraph.load(tmp_path / "a.ckpt")
    assert loaded.spec.holidays == "TW"
    stream = StreamingForecaster(loaded)
    batch = stream.backend.make_batch(series.timestamps[189:193], np.zeros((4, 6, 2), np.float32))
    assert batch["day_of_week"].tolist() == [[6, 6, 6, 1]]
    with pytest.raises(ValueError, match=r"holidays = TW.*holidays = None.*data.holidays"):
        trainer.test(loaded, make_data(series, known=None))


def test_what_is_known_ahead_is_heard_at_the_forecast_steps(tmp_path):
    series, data = make_known(), make_data(make_known())
    forecaster = make_forecaster(KnownAhead(1))
    trainer = make_trainer(tmp_path, epochs=15)
    trainer.fit(forecaster, data)
    trainer.test(forecaster, data, verbose=False)
    assert forecaster.test_errors["mae"].max() < 4  # of speeds of 20 and 60; unforeseen 20
    rain = series.values[:, :, 1:]
    batch = data.collator([7])
    assert torch.equal(batch["known"][0], torch.from_numpy(rain[7:13]))
    ahead = dataclasses.replace(series, values=series.values.copy())
    ahead.values[-2:, :, 0] = np.nan
    for last in ([0.0, 10.0], [10.0, 0.0]):
        ahead.values[-2:, :, 1] = np.array(last)[:, None]
        table = forecaster.forecast(ahead)
        assert table["issued"].nunique() == 1
        assert (table["time"].max() - table["issued"].max()).total_seconds() == 600
        speeds = table.groupby("step")["speed"].mean()
        assert speeds.to_numpy() == pytest.approx(60 - 4 * np.array(last), abs=8)
    with pytest.raises(ValueError, match="to go on for 2 steps with \\['rain'\\]"):
        forecaster.forecast(series)
    with pytest.raises(ValueError, match="a stream does not bring them"):
        StreamingForecaster(forecaster)


def test_attributes_are_scaled_by_the_training_and_go_with_the_id(tmp_path):
    data = make_data(make_known(), known=None)
    forecaster = make_forecaster(Attributes(1))
    trainer = make_trainer(tmp_path)
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = socialgraph.load(tmp_path / "a.ckpt")
    expected = (torch.tensor(LANES) - 3.5) / np.std(LANES)
    for one in (forecaster, loaded):
        torch.testing.assert_close(one.attributes[:, 0], expected.float())
    series = make_known()
    table = loaded.forecast(series)
    some = loaded.forecast(series.select(vdids=["VD-4", "VD-1"]))
    own = table.set_index(["detector", "step"])["speed"]
    again = some.set_index(["detector", "step"])["speed"]
    np.testing.assert_allclose(again, own[again.index], rtol=1e-5)
    stream = StreamingForecaster(loaded)
    stream.set_detectors(["VD-4", "new"], series.lat[:2], series.lon[:2])
    torch.testing.assert_close(loaded.attributes[:, 0], torch.stack([expected[4], expected[0] * 0]))
    with torch.no_grad():
        loaded.network.from_node.weight.mul_(5)
    moved = loaded.forecast(series).set_index(["detector", "step"])["speed"]
    assert not np.allclose(moved, own)


def test_what_is_not_there_is_refused_by_name():
    for options, words in [
        ({"known": ["speed"]}, r"'known' among the features that are no targets, \['rain'\]"),
        ({"known": ["snow"]}, r"\(got \['snow'\]\)"),
        ({"attributes": ["width"]}, r"No detector .* has \['width'\]; there are \['lanes', 'road'"),
        ({"attributes": ["road"]}, r"Expected numbers as 'attributes' .*'road' of 'VD-0' is 'A1'"),
    ]:
        with pytest.raises(ValueError, match=words):
            make_data(make_known(), **options).setup()


@pytest.mark.parametrize(
    ("part", "words"), [(Attributes(2), "'num_attributes' = 1"), (KnownAhead(3), "'num_known' = 1")]
)
def test_parts_of_another_width_are_refused(tmp_path, part, words):
    with pytest.raises(ValueError, match=words):
        make_trainer(tmp_path).fit(make_forecaster(part), make_data(make_known()))
