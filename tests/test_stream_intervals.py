"""Intervals that follow drift, and alarms, in a stream and its command."""

import dataclasses

import numpy as np
import onnxruntime  # noqa: F401, the runtime imports it when it is made
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl

import socialgraph
from socialgraph.adaptive import AdaptiveIntervals
from socialgraph.alarms import make_watch
from socialgraph.cli import main
from socialgraph.forecaster import Forecaster
from socialgraph.runtime import RuntimeForecaster
from socialgraph.schema import write
from socialgraph.stream import StreamingForecaster
from socialgraph.table import ALARMS
from tests.conftest import make_series
from tests.test_forecaster import make_data, make_trainer
from tests.test_objective import make_quantile_network

DAY = 288
STEP = np.timedelta64(300, "s")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint, and the series of its training, in which a detector falls silent."""
    folder = tmp_path_factory.mktemp("stream_intervals")
    series = make_series(steps=4 * DAY, missing=0.01).select(["speed"])
    series.values[-DAY // 2 :, 3] = np.nan
    write(folder / "series.h5", series)
    pl.seed_everything(0)
    forecaster = Forecaster(make_quantile_network(), learning_rate=0.01, warmup_steps=5)
    trainer = make_trainer(folder, 2, enable_checkpointing=False)
    data = make_data(folder / "series.h5", batch_size=32, split=(0.4, 0.3, 0.3))
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(folder / "a.ckpt")
    return folder / "a.ckpt", series


def follow(stream, series, since, until=None):
    steps = range(len(series.values))[since:until]
    return np.stack([stream.update(series.timestamps[k], series.values[k]).numpy() for k in steps])


def test_a_stream_tells_the_alarms_of_a_watch_on_its_intervals(trained):
    path, series = trained
    stream = StreamingForecaster(socialgraph.load(path), alarm_rate=0.05)
    assert stream.columns == ["speed", "speed_p05", "speed_p95", "alarm"]
    told = follow(stream, series, -DAY)
    assert (told[..., -1] == told[:, :1, :, -1]).all()  # at each step
    forecaster = socialgraph.load(path)
    spec, edges = forecaster.spec, stream.telling.watch.edge_index
    watch = make_watch(forecaster.charts, spec, spec, edges, 0.05)
    plain = StreamingForecaster(forecaster)
    for k, own in zip(range(len(series.values) - DAY, len(series.values)), told, strict=True):
        forecast = plain.update(series.timestamps[k], series.values[k]).numpy()
        np.testing.assert_allclose(own[..., :3], forecast, rtol=1e-5)
        kinds = watch.update(series.timestamps[k], forecast[:, :, None, 1:], series.values[k])
        assert [None, *ALARMS][int(own[0, 3, -1])] == kinds[3]
    assert ALARMS[int(told[-1, 0, 3, -1]) - 1] == "silent"


def spoil(series):
    """The series with noise in detector 5, and then in three at once; detector 3 is silent."""
    values, rng = series.values.copy(), np.random.default_rng(1)
    values[-300:-220, 5] += rng.normal(0, 25, (80, 1)).astype(np.float32)
    values[-100:, :3] += rng.normal(0, 25, (100, 3, 1)).astype(np.float32)
    return dataclasses.replace(series, values=values)


@pytest.mark.slow
def test_stream_tables_and_exported_file_tell_the_same_alarms(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, series = trained[0], spoil(trained[1])
    write("spoilt.h5", series)
    words = ["predict", f"--ckpt_path={path}", "--data.series=spoilt.h5"]
    words += ["--forecast.alarm_rate=0.05"]
    main([*words, "--data.windows.predict_on=test", "--forecast.path=test.parquet"])
    main([*words, "--forecast.path=latest.parquet"])
    main(["export", f"--ckpt_path={path}", "--to=a.onnx"])

    table, latest = pq.read_table("test.parquet"), pq.read_table("latest.parquet")
    told, now = (
        np.array(part.filter(pc.field("step") == 1)["alarm"].to_pylist()).reshape(-1, 6)
        for part in (table, latest)
    )
    assert set(told.flat) == {None, "sensor", "incident", "silent"}
    assert set(now.flat) == {None, "incident", "silent"}
    assert latest["alarm"].to_pylist() == np.repeat(now, 3).tolist()  # at each step
    window, horizon = 6, 3
    begin = len(series.values) - horizon - len(told) - window + 1
    for forecaster in (socialgraph.load(path), RuntimeForecaster("a.onnx")):
        stream = StreamingForecaster(forecaster, alarm_rate=0.05)
        steps = range(begin, len(series.values))
        found = [stream.update(series.timestamps[k], series.values[k])[0, :, -1] for k in steps]
        kinds = np.array([None, *ALARMS])[np.stack(found).astype(int)]
        np.testing.assert_array_equal(kinds[window - 1 :][: len(told)], told)
        np.testing.assert_array_equal(kinds[-1:], now)
        again = StreamingForecaster(forecaster, alarm_rate=0.05)
        again.restore(stream.state())
        later = series.timestamps[-1] + stream.spec.step, series.values[0]
        np.testing.assert_array_equal(again.update(*later), stream.update(*later))
    forecaster.charts = None  # as of a file of before
    with pytest.raises(ValueError, match="exported file with alarms"):
        StreamingForecaster(forecaster, alarm_rate=0.05)


@pytest.mark.slow
def test_adapted_intervals_hold_after_readings_have_changed(trained):
    path, series = trained
    values = series.values.copy()
    rng = np.random.default_rng(0)
    values[2 * DAY :] += rng.normal(0, 6, values[2 * DAY :].shape).astype(np.float32)
    changed = type(series)(**{**vars(series), "values": values})
    shares = {}
    for adapt in (False, True):
        stream = StreamingForecaster(socialgraph.load(path), adapt=adapt)
        told = follow(stream, changed, DAY)
        truth = values[DAY + 1 :, :3, 0]
        lower, upper = told[:-1, 0, :3, 1], told[:-1, 0, :3, 2]
        inside = ((lower <= truth) & (truth <= upper))[-DAY:]
        shares[adapt] = inside[~np.isnan(truth[-DAY:])].mean()
    assert shares[False] < 0.75
    assert shares[True] == pytest.approx(0.9, abs=0.04)


def test_a_stream_with_both_goes_on_from_its_state_with_other_detectors(trained):
    path, series = trained
    options = {"adapt": True, "alarm_rate": 0.05}
    whole, first, second = (
        StreamingForecaster(socialgraph.load(path), **options) for _ in range(3)
    )
    expected = follow(whole, series, -100)
    follow(first, series, -100, -40)
    second.restore(first.state())
    np.testing.assert_array_equal(follow(second, series, -40), expected[60:])
    spec, told = second.spec, len(second.telling.watch.indicators.told)
    second.set_detectors(spec.vdids, spec.lat + 0.01, spec.lon)  # moved, and still the same
    assert len(second.telling.watch.indicators.told) == told > 1
    second.set_detectors([*spec.vdids[3:], "new"], [*spec.lat[3:], 25.01], [*spec.lon[3:], 121.5])
    time = series.timestamps[-1] + spec.step
    told = second.update(time, np.full((4, 1), np.nan, np.float32)).numpy()
    codes = told[0, :, -1]
    assert ALARMS[int(codes[0]) - 1] == "silent"  # as before
    assert codes[3] == 0


def test_both_can_be_turned_on_for_a_stream_that_runs(trained):
    path, series = trained
    plain = StreamingForecaster(socialgraph.load(path))
    follow(plain, series, -100, -40)
    both, fresh = (
        StreamingForecaster(socialgraph.load(path), adapt=True, alarm_rate=0.05) for _ in range(2)
    )
    both.restore(plain.state())
    told = follow(both, series, -40)
    np.testing.assert_array_equal(told[..., 0], follow(plain, series, -40)[..., 0])
    both.restore(plain.state())  # back to where there are none
    np.testing.assert_equal(both.telling.intervals.state(), fresh.telling.intervals.state())
    np.testing.assert_equal(both.telling.watch.state(), fresh.telling.watch.state())


def test_what_follows_drift_starts_anew_with_another_horizon():
    intervals, others = AdaptiveIntervals([0.05, 0.95], STEP), AdaptiveIntervals([0.05, 0.95], STEP)
    rng, start = np.random.default_rng(0), np.datetime64("2024-01-01T00:00:00")

    def told(by, step, horizon):
        point = rng.normal(50, 5, (horizon, 6, 1))
        quantiles = np.stack([point - 3, point + 3], axis=-1)
        own = {"forecast": point, "quantiles": quantiles}
        return by.update(start + step * STEP, own, rng.normal(50, 5, (6, 1))), quantiles

    for step in range(10):
        told(intervals, step, 3)
    others.restore(intervals.state())
    given, plain = told(others, 10, 2)
    np.testing.assert_array_equal(given, plain)


def test_the_command_writes_alarms_that_the_other_lists(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path, series = trained
    lines = [",".join(["timestamp", *series.vdids])]
    for k in range(len(series.values) - 100, len(series.values)):
        cells = ["" if np.isnan(v) else f"{v:.4g}" for v in series.values[k, :, 0]]
        lines.append(",".join([f"{series.timestamps[k]}+00:00", *cells]))
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    words = ["stream", f"--ckpt_path={path}", "--input=in.csv", "--adapt", "--alarm_rate=0.005"]
    main([*words, "--output=out.csv"])
    main([*words, "--output=out.parquet", "--state=other.db"])
    table = pq.read_table("out.parquet")
    assert table.column_names[4:] == ["speed", "speed_p05", "speed_p95", "alarm"]
    assert set(table["alarm"].to_pylist()) == {None, "silent"}
    capsys.readouterr()
    for name in ("out.csv", "out.parquet"):
        main(["alarms", name])
        said = capsys.readouterr().out
        assert "silent       VD-3" in said
        assert "1 alarms (1 silent)" in said


def test_what_was_not_calibrated_is_refused(trained, tmp_path):
    forecaster = socialgraph.load(trained[0])
    forecaster.conformal = forecaster.bounds = forecaster.charts = None
    with pytest.raises(ValueError, match="that tells intervals"):
        StreamingForecaster(forecaster, adapt=True)
    with pytest.raises(ValueError, match="that calibrates alarms"):
        StreamingForecaster(forecaster, alarm_rate=0.1)
