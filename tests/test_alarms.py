"""Alarms: as often on quiet readings as is set, and soon on faults, of the kind that they are."""

import copy
import dataclasses
import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch

from socialgraph.alarms import AlarmWatch
from socialgraph.alarms_cli import list_alarms
from socialgraph.cli import main
from socialgraph.conformal import Conformal
from socialgraph.cusum import Charts, fit_charts
from socialgraph.forecaster import Forecaster
from socialgraph.quiet import QuietReadings
from socialgraph.schema import write
from socialgraph.writers import ForecastWriter
from tests.conftest import make_series
from tests.test_forecaster import Persistence, make_data, make_trainer

STEP = np.timedelta64(300, "s")
START = np.datetime64("2024-01-01T00:00:00", "s")
DAY = 288
ENDS = np.array([-1.645, 1.645])  # of the 5 % and the 95 % of readings


def quiet_readings(steps, nodes, seed, memory=0.6):
    """Normal readings ``[T, N]`` that remember the one before."""
    noise = np.random.default_rng(seed).normal(size=(steps, nodes))
    for step in range(1, steps):
        noise[step] = memory * noise[step - 1] + np.sqrt(1 - memory**2) * noise[step]
    return noise.astype(np.float32)


def calibrate(readings, horizon=3):
    """The charts of quiet readings whose intervals are right on the whole."""
    quiet = QuietReadings(STEP)
    nodes = readings.shape[1]
    quantiles = torch.from_numpy(np.tile(ENDS, (50, horizon, nodes, 1, 1))).float()
    for first in range(0, len(readings), 50):
        part = torch.from_numpy(readings[first : first + 50])
        times = START + STEP * np.arange(first, first + len(part))
        batch = {
            "features": part.nan_to_num()[:, None, :, None],
            "mask": ~part.isnan()[:, None, :, None],
            "issued": torch.from_numpy(times.astype(np.int64)),
        }
        quiet.add(batch, quantiles[: len(part)])
    zero = torch.zeros(horizon, nodes, 1, 2)
    return quiet.calibrate(Conformal([0.05, 0.95], zero, zero[:, 0]))


def watch(charts, readings, rate=0.1, edges=((), ()), horizon=3, own=None, first=0):
    """The kinds that are told ``[T, N]``."""
    edge_index = np.array(edges, dtype=np.int64)
    own = own or AlarmWatch(charts, edge_index, STEP, horizon, rate)
    quantiles = np.tile(ENDS, (horizon, readings.shape[1], 1, 1))
    told = [
        own.update(START + STEP * step, quantiles, reading[:, None])
        for step, reading in enumerate(readings, start=first)
    ]
    return np.array(told, dtype=object)


def count_begins(told):
    on = told != None  # noqa: E711, by element
    return int((on[1:] & ~on[:-1]).sum() + on[0].sum())


@pytest.fixture(scope="module")
def charts():
    """Calibrated by 500 detector days."""
    return calibrate(quiet_readings(10 * DAY, 50, seed=0))


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_quiet_readings_give_as_many_alarms_as_are_set(charts, rate):
    each_twice = charts.take(np.arange(100) % 50)
    told = watch(each_twice, quiet_readings(20 * DAY, 100, seed=1), rate)
    expected = 0.8 * rate * 2000  # the share of readings that leave their intervals
    # Its own sampling error, and that of a tail that some hundred excursions told.
    assert count_begins(told) == pytest.approx(expected, rel=0.2 + 2 / np.sqrt(expected))


def test_a_threshold_of_a_table_would_give_too_many(charts):
    """Runs of readings outside are the reason: independent ones need less height."""
    independent = calibrate(quiet_readings(10 * DAY, 50, seed=0, memory=0.0))
    rates = np.full(3, 0.01 / DAY)
    assert charts.thresholds(rates)[0] > 1.3 * independent.thresholds(rates)[0]


def test_without_a_calibration_of_the_tail_alarms_are_no_more_than_set():
    rng = np.random.default_rng(0)
    few = fit_charts((rng.random((200, 1, 2)) < 0.1).astype(float), np.array([0.6]))
    assert few.thresholds(np.array([1e-3])) == pytest.approx(np.log(1000), rel=0.02)
    indicators = (rng.random((20_000, 1, 100)) < few.normal.mean()).astype(float)
    height = few.thresholds(np.array([1e-3]))[0]
    wide = few.take(np.full(100, -1))
    statistic, alarms = np.zeros((1, 100)), 0
    for step in indicators:
        statistic = wide.advance(statistic, step)
        alarms += int((statistic >= height).sum())
        statistic[statistic >= height] = 0
    assert 0 < alarms <= 1e-3 * indicators.size


def test_a_statistic_is_that_of_the_formula():
    share = np.array([[0.1]])
    charts = Charts(share, share[:, 0], np.array([0.6]), -np.geomspace(1, 400, 32)[None])
    statistic = np.zeros((1, 1))
    up, down = np.log(0.6 / 0.1), np.log(0.4 / 0.9)
    for indicator, expected in (
        (0.0, 0.0),
        (1.0, up),
        (1.0, 2 * up),
        (np.nan, 2 * up),
        (0.0, 2 * up + down),
    ):
        statistic = charts.advance(statistic, np.array([[indicator]]))
        assert float(statistic[0, 0]) == pytest.approx(expected)
    assert charts.thresholds(np.array([0.01])) == pytest.approx(np.log(100), rel=0.02)


def fault(readings, kind):
    """Readings whose detector 2 has a fault in their second half."""
    readings, half = readings.copy(), len(readings) // 2
    rng = np.random.default_rng(5)
    readings[half:, 2] = {
        "stuck": lambda own: own[0],
        "offset": lambda own: own + 3,
        "noise": lambda own: own + rng.normal(0, 5, len(own)),
        "dead": lambda own: np.nan,
    }[kind](readings[half:, 2])
    return readings


RING = (np.arange(6), (np.arange(6) + 1) % 6)
BOTH_WAYS = np.hstack([RING, RING[::-1]])
ALL_PAIRS = np.array(np.nonzero(~np.eye(6, dtype=bool)))


@pytest.mark.parametrize(
    ("kind", "told", "steps"),
    [
        ("stuck", "stuck", 8),
        ("offset", "sensor", 25),
        ("noise", "sensor", 40),
        ("dead", "silent", 8),
    ],
)
def test_a_fault_is_told_soon_and_of_its_kind(charts, kind, told, steps):
    six = charts.take(np.arange(6))
    found = watch(six, fault(quiet_readings(DAY, 6, seed=3), kind), 0.02, ALL_PAIRS)
    begin = np.flatnonzero(found[:, 2] != None)[0]  # noqa: E711
    assert DAY // 2 <= begin <= DAY // 2 + steps
    assert set(found[begin:, 2]) == {told}
    others = np.delete(found, 2, axis=1)
    assert (others == None).all()  # noqa: E711


def test_an_alarm_ends_when_readings_are_well_again(charts):
    readings = fault(quiet_readings(DAY, 6, seed=3), "offset")
    readings[3 * DAY // 4 :, 2] -= 3
    found = watch(charts.take(np.arange(6)), readings, 0.02, BOTH_WAYS)[:, 2]
    last = np.flatnonzero(found != None)[-1]  # noqa: E711
    assert 3 * DAY // 4 < last < 3 * DAY // 4 + 60


def test_neighbours_that_are_off_too_make_an_incident_and_in_time_a_drift(charts):
    readings = quiet_readings(3 * DAY, 6, seed=3)
    readings[DAY:, 1:4] += 4
    six = charts.take(np.arange(6))
    found = watch(six, readings, 0.02, BOTH_WAYS)
    assert found[DAY + 40, 2] == "incident"
    assert found[2 * DAY - 1, 2] == "incident"
    assert found[-1, 2] == "drift"
    alone = watch(six, readings, 0.02)
    assert alone[-1, 2] == "unexplained"


def test_a_watch_goes_on_from_its_state_and_by_place(charts):
    readings = fault(quiet_readings(DAY, 6, seed=3), "offset")
    six = charts.take(np.arange(6))
    whole = watch(six, readings, 0.02, BOTH_WAYS)
    first, second = (AlarmWatch(six, BOTH_WAYS, STEP, 3, 0.02) for _ in range(2))
    watch(six, readings[:180], own=first)
    second.restore(copy.deepcopy(first.state()))
    assert (watch(six, readings[180:], own=second, first=180) == whole[180:]).all()
    rows = np.array([2, -1])
    first.take(rows, charts.take(rows), np.zeros((2, 0), np.int64))
    told = watch(None, readings[180:181, [2, 0]], own=first, first=180)
    assert told.tolist() == [["unexplained", None]]


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_none_is_refused(charts, rate):
    with pytest.raises(ValueError, match="rate of false alarms by detector and day above 0"):
        AlarmWatch(charts, np.zeros((2, 0), np.int64), STEP, 3, rate)


def test_a_table_of_alarms_has_a_row_for_each():
    times = [
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC) + k * datetime.timedelta(hours=1)
        for k in range(5)
    ]
    told = {
        "A": [None, "sensor", "incident", "incident", None],
        "B": ["stuck", None, None, "stuck", "stuck"],
    }
    rows = [
        {"issued": time, "step": 1, "detector": vdid, "alarm": told[vdid][k]}
        for k, time in enumerate(times)
        for vdid in told
    ]
    found = list_alarms(pa.Table.from_pylist(rows)).to_pylist()
    assert [(r["detector"], r["kind"], r["steps"]) for r in found] == [
        ("B", "stuck", 1),
        ("A", "incident", 3),
        ("B", "stuck", 2),
    ]
    assert (found[1]["begin"], found[1]["end"]) == (times[1], times[3])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint, and a file in whose test part a detector falls silent."""
    folder = tmp_path_factory.mktemp("alarms")
    series = make_series(steps=4 * DAY, missing=0.01)
    series.values[-DAY // 2 :, 3] = np.nan
    write(folder / "series.h5", series)
    pl.seed_everything(0)
    forecaster = Forecaster(Persistence(3, 1))
    trainer = make_trainer(folder, limit_train_batches=2, enable_checkpointing=False)
    trainer.fit(forecaster, make_data(folder / "series.h5", split=(0.4, 0.3, 0.3)))
    trainer.save_checkpoint(folder / "a.ckpt")
    return forecaster, folder


def test_a_checkpoint_keeps_its_charts(trained):
    forecaster, folder = trained
    held = torch.load(folder / "a.ckpt", weights_only=True)
    held["network"] = None
    torch.save(held, folder / "b.ckpt")
    again = Forecaster(Persistence(3, 1))
    again.on_load_checkpoint(held)
    for name, part in vars(forecaster.charts).items():
        np.testing.assert_array_equal(getattr(again.charts, name), part)
    held["alarms"]["normal"] = held["alarms"]["normal"][:, :2]
    with pytest.raises(ValueError, match="not of 6 detectors"):
        again.on_load_checkpoint(held)
    held["alarms"] |= {"normal": torch.full((3, 6), 0.1), "log_rates": torch.arange(96).view(3, 32)}
    with pytest.raises(ValueError, match="rates that fall"):
        again.on_load_checkpoint(held)


@pytest.mark.slow
def test_predict_tells_alarms_and_the_command_lists_them(trained, tmp_path, monkeypatch, capsys):
    from tests.test_objective import make_quantile_network

    monkeypatch.chdir(tmp_path)
    _, folder = trained
    forecaster = Forecaster(make_quantile_network())
    data = make_data(folder / "series.h5", split=(0.4, 0.3, 0.3))
    trainer = make_trainer(tmp_path, enable_checkpointing=False)
    trainer.fit(forecaster, data)
    trainer.save_checkpoint("a.ckpt")
    words = ["predict", "--ckpt_path=a.ckpt", "--data.windows.predict_on=test"]
    main([*words, "--forecast.path=f", "--forecast.alarm_rate=0.05"])
    table = pq.read_table("f.parquet")
    assert table.column_names[-1] == "alarm"
    frame = table.to_pandas()
    silent = frame[frame["alarm"] == "silent"]
    assert set(silent["detector"]) == {"VD-3"}
    assert silent.groupby("issued").size().eq(3).all()  # at every step
    capsys.readouterr()
    for name in ("f.parquet", "f.csv"):
        main(["alarms", name, "--output=alarms.csv"])
        assert "1 silent" in capsys.readouterr().out
        assert "VD-3,silent" in (tmp_path / "alarms.csv").read_text().replace('"', "")
    main(["alarms", "f.parquet"])
    assert "silent       VD-3" in capsys.readouterr().out
    whole, kept = data.whole, slice(-data.windows.window, None)  # none before it to be watched
    window = {"values": whole.values[kept], "timestamps": whole.timestamps[kept]}
    write("window.h5", dataclasses.replace(whole, **window))
    main([words[0], words[1], "--data.series=window.h5", "--forecast.path=latest"])
    assert pq.read_table("latest.parquet")["alarm"].null_count == 6 * 3
    main([*words, "--forecast.path=g.csv", "--forecast.alarm_rate=null"])
    with pytest.raises(SystemExit) as error:
        main(["alarms", "g.csv"])
    assert error.value.code == 2
    assert "has no column ['alarm']" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["alarms", "none.csv"])


def test_a_forecaster_without_a_calibration_tells_no_alarms(traffic_file, tmp_path):
    forecaster = Forecaster(Persistence(3, 1), coverage=None)
    make_trainer(tmp_path, limit_train_batches=1).fit(forecaster, make_data(traffic_file))
    assert forecaster.charts is None
    writer = ForecastWriter(str(tmp_path / "f.parquet"))
    trainer = make_trainer(tmp_path, callbacks=[writer])
    trainer.predict(forecaster, make_data(traffic_file), return_predictions=False)
    assert pq.read_table(tmp_path / "f.parquet").column_names[4:] == ["speed", "speed_observed"]
