"""Forecasts that follow a stream: equal to the whole history, through gaps, changes and kills."""

import dataclasses
import io
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from time import sleep
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch

import socialgraph
from socialgraph.calendar import clock
from socialgraph.cli import main
from socialgraph.data import TrafficDataModule, Windows, graph_tensors
from socialgraph.forecaster import Forecaster
from socialgraph.nn import XLSTMEncoder, map_state
from socialgraph.schema import write
from socialgraph.stream import StoredStream, StoreReader, StreamingForecaster, StreamStore
from socialgraph.stream.lines import ReadingTable
from socialgraph.stream.memory import KINDS
from tests.conftest import ROOT, make_series
from tests.networks import plain_network

STEPS = 30


@pytest.fixture(scope="module")
def series():
    return make_series()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, series):
    """Of a network whose encoder carries a state."""
    small = "--model.network.init_args.encoder.init_args.hidden_channels=8"
    series = dataclasses.replace(series, null_values={"flow": [-77.0]})
    return train(tmp_path_factory.mktemp("stream"), series, "attention", small)


@pytest.fixture(scope="module")
def stacked(tmp_path_factory):
    """Of the default network, which reads a window, and a series with gaps."""
    series = make_series(steps=288 * 3)
    series = dataclasses.replace(
        series,
        values=np.delete(series.values, slice(750, 760), axis=0),
        timestamps=np.delete(series.timestamps, slice(750, 760)),
    )
    return train(tmp_path_factory.mktemp("stacked"), series, "stacked_identity"), series


def refused(words, capsys):
    """What the command says of an error."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    return capsys.readouterr().err


def train(folder, series, model, *more):
    write(folder / "data.h5", series)
    words = [
        *("fit", f"--config={ROOT / 'configs' / 'simulated.yaml'}"),
        f"--model={ROOT / 'configs' / 'model' / f'{model}.yaml'}",
        *(f"--data.series={folder / 'data.h5'}", "--data.features=[speed,flow]"),
        *("--data.windows.window=6", "--data.windows.horizon=4", "--data.targets=[speed]"),
        *more,
        *("--trainer.max_epochs=1", "--trainer.limit_train_batches=5", "--trainer.logger=false"),
        *("--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={folder}"),
    ]
    main(words)
    return folder / "checkpoints" / "best.ckpt"


@pytest.fixture
def stream(checkpoint):
    return make_stream(checkpoint)


def make_stream(checkpoint, **options):
    return StreamingForecaster(socialgraph.load(checkpoint), **{"memory": "state", **options})


def follow(stream, series, steps, rows=slice(None)):
    for step in steps:
        forecast = stream.update(series.timestamps[step], series.values[step, rows])
    return forecast


def whole(stream, values, timestamps):
    """Forecasts of the network that reads all of the history at once."""
    values = torch.from_numpy(values)
    now = clock(timestamps, stream.spec.timezone)
    time_of_day, day_of_week = map(torch.from_numpy, now)
    batch = {
        "features": values.nan_to_num()[None],
        "mask": ~values.isnan()[None],
        "time_of_day": time_of_day[None],
        "day_of_week": day_of_week[None],
        **stream.backend.graph,
    }
    with torch.no_grad():
        forecaster = stream.forecaster
        return columns(forecaster.outputs(forecaster.predict(batch)[0]))


def columns(told):
    """Of the one target: its forecast, then its quantiles, at the end."""
    return torch.cat([told["forecast"], told["quantiles"].squeeze(-2)], dim=-1)


def test_every_reading_gives_the_forecast_of_the_whole_history(stream, series):
    for step in range(STEPS):
        forecast = follow(stream, series, [step])
        past = slice(0, step + 1)
        expected = whole(stream, series.values[past], series.timestamps[past])
        assert forecast.shape == (4, 6, 3)
        torch.testing.assert_close(forecast, expected, rtol=1e-5, atol=1e-4)


def windows_of(checkpoint, series, starts):
    """Forecasts as ``test`` scores them, of windows by their first step."""
    data = TrafficDataModule(series, ["speed", "flow"], ["speed"], windows=Windows(6, 4))
    data.setup("test")
    forecaster = socialgraph.load(checkpoint)
    forecaster.follow(data.spec)
    with torch.no_grad():
        batch = data.collator(list(starts))
        graph = graph_tensors(forecaster.build_graph(), data.spec)
        return columns(forecaster.outputs(forecaster.predict({**batch, **graph})))


@pytest.mark.parametrize("broken", [False, True])
def test_a_window_gives_the_forecasts_that_the_test_scores(stacked, broken):
    # Cases from outside: stream-as-tested.
    checkpoint, series = stacked
    stream = make_stream(checkpoint, memory="window")
    truth = windows_of(checkpoint, series, range(730, 735))
    found = []
    for step in range(700, 740):
        if broken and step == 737:  # in the middle of the windows
            state = stream.state()
            stream = make_stream(checkpoint, memory="window")
            stream.restore(state)
        found.append(follow(stream, series, [step]))
    torch.testing.assert_close(torch.stack(found[-5:]), truth, rtol=1e-5, atol=1e-4)


def test_a_window_with_a_gap_is_one_with_missing_readings(stacked):
    checkpoint, series = stacked
    stream = make_stream(checkpoint, memory="window")
    forecast = follow(stream, series, [*range(700, 735), 737, 739])
    holes = dataclasses.replace(series, values=series.values.copy())
    holes.values[[735, 736, 738]] = np.nan
    (truth,) = windows_of(checkpoint, holes, [734])
    torch.testing.assert_close(forecast, truth, rtol=1e-5, atol=1e-4)
    forecast = follow(stream, series, range(740, 756))  # over the gap of the series
    later = follow(make_stream(checkpoint, memory="window"), series, range(750, 756))
    torch.testing.assert_close(forecast, later, rtol=1e-5, atol=1e-4)


def test_a_window_goes_with_its_detector_and_a_stranger_has_none(stacked):
    checkpoint, series = stacked
    stream, other = (make_stream(checkpoint, memory="window") for _ in range(2))
    follow(stream, series, range(700, 720))
    follow(other, series, range(700, 720))
    order = [4, 1, 0]
    places = (np.append(series.lat[order], 25.001), np.append(series.lon[order], 121.5))
    stream.set_detectors([*(series.vdids[i] for i in order), "VD-new"], *places)
    remembered = stream.memory.readings
    np.testing.assert_array_equal(remembered[:, :3], other.memory.readings[:, order])
    assert np.isnan(remembered[:, 3]).all()
    values = np.concatenate([series.values[720][order], series.values[720][:1]])
    assert stream.update(series.timestamps[720], values).isfinite().all()
    stream.set_detectors(series.vdids[:2], series.lat[:2], series.lon[:2])
    assert stream.memory.readings.shape == (6, 2, 2)


def test_two_streams_of_one_forecaster_with_profiles_do_not_mix(stacked):
    checkpoint, series = stacked
    forecaster = socialgraph.load(checkpoint)
    first, second = (StreamingForecaster(forecaster) for _ in range(2))
    second.set_detectors(series.vdids[3:5], series.lat[3:5], series.lon[3:5])
    alone = make_stream(checkpoint, memory="window")
    for step in range(700, 710):
        forecast = follow(first, series, [step])
        follow(second, series, [step], rows=slice(3, 5))
    torch.testing.assert_close(forecast, follow(alone, series, range(700, 710)))
    weight = next(forecaster.parameters())
    (weight.sum() * forecaster.usual.mean.sum()).backward()  # no tensors of inference


@pytest.mark.parametrize("memory", ["window", "state", "both"])
def test_the_memory_is_one_that_the_network_can_have(stacked, checkpoint, memory):
    if memory == "both":
        with pytest.raises(ValueError, match=r"'memory' as one of \['window', 'state'\]"):
            make_stream(checkpoint, memory=memory)
        return
    state = make_stream(checkpoint, memory=memory).state()
    other = "window" if memory == "state" else "state"
    with pytest.raises(ValueError, match="another kind of memory"):
        make_stream(checkpoint, memory=other).restore(state)
    if memory == "state":
        with pytest.raises(ValueError, match=r"memory='state'.*memory='window'"):
            make_stream(stacked[0], memory=memory)


def test_updates_inside_and_outside_of_inference_mode_are_the_same(stream, checkpoint, series):
    truth = follow(make_stream(checkpoint), series, range(5))
    for step in range(5):
        with torch.inference_mode(step % 2 == 1):
            forecast = follow(stream, series, [step])
    torch.testing.assert_close(forecast, truth, rtol=0, atol=0)


def test_a_step_that_was_left_out_is_a_step_without_readings(stream, series):
    steps = [0, 1, 2, 6, 7, 12]
    forecast = follow(stream, series, steps)
    values = np.full_like(series.values[:13], np.nan)
    values[steps] = series.values[steps]
    expected = whole(stream, values, series.timestamps[:13])
    torch.testing.assert_close(forecast, expected, rtol=1e-5, atol=1e-4)


def test_a_gap_of_max_gap_steps_is_missing_and_after_one_more_it_starts_anew(checkpoint, series):
    near = follow(make_stream(checkpoint, max_gap=3), series, [0, 1, 5])
    patient = follow(make_stream(checkpoint), series, [0, 1, 5])
    torch.testing.assert_close(near, patient, rtol=0, atol=0)
    far = follow(make_stream(checkpoint, max_gap=3), series, [0, 1, 6])
    fresh = follow(make_stream(checkpoint), series, [6])
    torch.testing.assert_close(far, fresh, rtol=1e-6, atol=1e-5)
    assert not torch.allclose(near, follow(make_stream(checkpoint), series, [5]), rtol=1e-3)


def test_a_time_that_is_no_later_or_off_the_grid_is_refused(stream, series):
    follow(stream, series, range(3))
    for time in (series.timestamps[2], series.timestamps[0], series.timestamps[3] + 60):
        with pytest.raises(ValueError, match="some whole intervals of 300 seconds after"):
            stream.update(time, series.values[3])
    with pytest.raises(ValueError, match=r"6 detectors and the features.*\(6, 1\)"):
        stream.update(series.timestamps[3], series.values[3, :, :1])
    follow(stream, series, [3])


def test_detectors_leave_join_and_keep_their_memory_by_id(checkpoint, series):
    stream, other = make_stream(checkpoint), make_stream(checkpoint)
    follow(stream, series, range(10))
    follow(other, series, range(10))
    order = [4, 1, 0]
    places = (np.append(series.lat[order], 25.001), np.append(series.lon[order], 121.5))
    stream.set_detectors([*(series.vdids[i] for i in order), "VD-new"], *places)
    own, before = (s.memory.network_state.encoder for s in (stream, other))
    known = map_state(lambda part: part[order], before)
    torch.testing.assert_close(map_state(lambda part: part[:3], own), known)
    fresh = stream.forecaster.network.encoder.start(1)
    torch.testing.assert_close(map_state(lambda part: part[3:], own), fresh)
    values = np.concatenate([series.values[10][order], np.full((1, 2), np.nan)])
    assert stream.update(series.timestamps[10], values.astype(np.float32)).isfinite().all()
    with pytest.raises(ValueError, match="every id once"):
        stream.set_detectors(["A", "A"], [25.0, 25.0], [121.0, 121.0])


def test_relabelling_of_detectors_changes_no_forecast(checkpoint, series):
    stream, other = make_stream(checkpoint), make_stream(checkpoint)
    follow(stream, series, range(10))
    follow(other, series, range(10))
    order = [5, 3, 1, 0, 2, 4]
    other.set_detectors([series.vdids[i] for i in order], series.lat[order], series.lon[order])
    forecast = follow(other, series, [10], rows=order)
    torch.testing.assert_close(forecast, follow(stream, series, [10])[:, order])


# A state is written at the start and after 13 readings, those since are read again.
@pytest.mark.parametrize(
    ("memory", "steps"), [("window", 10), ("state", 10), ("state", 13), ("state", 15)]
)
def test_a_saved_state_goes_on_with_the_same_numbers(checkpoint, series, tmp_path, memory, steps):
    stream = make_stream(checkpoint, memory=memory)
    with StreamStore(tmp_path / "state.db") as store:
        stored = StoredStream(stream, store)
        for step in range(steps):
            stored.read(series.timestamps[step], series.values[step])
    restored = make_stream(checkpoint, memory=memory)
    with StreamStore(tmp_path / "state.db") as store:
        StoredStream(restored, store)
    assert restored.time == series.timestamps[steps - 1]
    rows = [5, 0, 2]
    for each in (stream, restored):
        each.set_detectors([series.vdids[row] for row in rows], series.lat[rows], series.lon[rows])
    expected = follow(stream, series, range(steps, steps + 4), rows)
    assert torch.equal(follow(restored, series, range(steps, steps + 4), rows), expected)


@pytest.mark.parametrize("part", ["network.step", "outputs"])
def test_a_state_outlasts_forecasts_that_fail_again_and_again(checkpoint, series, tmp_path, part):
    expected = follow(make_stream(checkpoint), series, range(16))
    stream = make_stream(checkpoint)
    owner = stream.forecaster.network if "." in part else stream.forecaster
    name = part.rpartition(".")[2]
    right = getattr(owner, name)

    def wrong(*_, **__):
        raise RuntimeError("out of memory")

    with StreamStore(tmp_path / "state.db") as store:
        stored = StoredStream(stream, store)
        for step in range(16):
            setattr(owner, name, wrong)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="out of memory"):
                    stored.read(series.timestamps[step], series.values[step])
            setattr(owner, name, right)
            assert stored.read(series.timestamps[step], series.values[step]) == "read"
        with StoreReader(tmp_path / "state.db") as reader:
            told = reader.forecast(series.timestamps[15]).values["speed"]
    np.testing.assert_array_equal(told, expected[..., 0].T)


def test_a_state_of_other_weights_is_refused_and_a_window_is_not(checkpoint, series):
    for memory in KINDS:
        stream = make_stream(checkpoint, memory=memory)
        state = stream.state()
        with torch.no_grad():
            stream.forecaster.network.head.layers[0].bias.add_(1)
        if memory == "window":
            stream.restore(state)
            continue
        with pytest.raises(ValueError, match="other weights"):
            stream.restore(state)


def lines_of(series, steps):
    names = [f"{v}:{f}" for v in series.vdids for f in series.feature_names]
    yield ",".join(["timestamp", *names])
    for step in steps:
        cells = ("" if np.isnan(v) else repr(float(v)) for v in series.values[step].ravel())
        yield ",".join([f"{series.timestamps[step]}Z", *cells])


def command(checkpoint, folder, *words):
    return [
        *(sys.executable, "-m", "socialgraph", "stream", "--ckpt_path", str(checkpoint)),
        *("--memory", "state"),
        *("--state", str(folder / "state.db"), *map(str, words)),
    ]


@pytest.mark.slow
def test_the_command_reads_lines_and_writes_forecasts(
    checkpoint, series, tmp_path, capsys, monkeypatch
):
    text = "\n".join(lines_of(series, range(8))) + "\n"
    (tmp_path / "in.csv").write_text(text)
    done = subprocess.run(
        command(checkpoint, tmp_path, "--input", tmp_path / "in.csv"),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert rows[0] == ["issued", "time", "step", "detector", "speed", "speed_p05", "speed_p95"]
    assert rows[1][:2] == ["2024-01-01T08:00:00+08:00", "2024-01-01T08:05:00+08:00"]
    assert len(rows) == 1 + 8 * 6 * 4
    expected = follow(make_stream(checkpoint), series, range(8))
    last = torch.tensor([[float(cell) for cell in row[4:]] for row in rows[-24:]])
    last = last.view(6, 4, 3).transpose(0, 1)
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-3)
    main(command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:])
    assert "Lines read: 0." in capsys.readouterr().err
    more = "\n".join(lines_of(series, range(8, 10))) + "\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(more))
    main(command(checkpoint, tmp_path, "--input", "-")[3:])
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 24


@pytest.mark.slow
@pytest.mark.parametrize("save_every", [1, 5])
def test_a_killed_command_goes_on_as_if_nothing_had_happened(
    checkpoint, series, tmp_path, save_every
):
    lines = [line + "\n" for line in lines_of(series, range(12))]
    (tmp_path / "all.csv").write_text("".join(lines))
    unbroken = tmp_path / "unbroken"
    words = ("--input", tmp_path / "all.csv", "--output", unbroken / "out.csv")
    main(command(checkpoint, unbroken, *words)[3:])

    output = tmp_path / "out.csv"
    options = ("--output", output, "--save_every", save_every)
    words = command(checkpoint, tmp_path, "--input", "-", *options)
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, text=True)
    process.stdin.writelines(lines[:7])
    process.stdin.flush()
    while not output.is_file() or len(output.read_text().splitlines()) < 1 + 5 * 24:
        assert process.poll() is None
    process.kill()
    process.wait()
    held = output.read_bytes()
    output.write_bytes(held[: len(held) - 20])  # what a kill in the middle of its lines leaves
    main(command(checkpoint, tmp_path, "--input", tmp_path / "all.csv", "--output", output)[3:])
    assert output.read_text() == (unbroken / "out.csv").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,VD-0:speed\n", "starts with 'timestamp' and names detectors (got ['time'"),
        ("timestamp,VD-7:speed\n", "no detectors that are followed, among them ['VD-7:speed']"),
        ("timestamp,VD-0:speed\n2024-01-01T00:00:00,fast\n", "Line 2: could not convert"),
        ("timestamp,VD-0:speed\n2024-01-01T00:00:00\n", "Line 2: expected 2 cells (got 1)"),
        ("timestamp,VD-0:speed\nnow,1\n", "Line 2: Expected times in ISO 8601"),
        ('timestamp,VD-0:speed\n2024-01-01T00:00:00,"5\n', "Line 2: unexpected end of data"),
        ("timestamp,VD-0:speed", "a header (got no whole line)"),
        ("timestamp,VD-0:speed\n2224-01-01T00:00:00Z,1\n", "Line 2: Expected times in the years"),
        ("timestamp,VD-0:speed\n2024-01-01T00:00:00,inf\n", "finite numbers"),
        (
            "timestamp,VD-0:speed\n2024-01-01T00:05:00,1\n2024-01-01T00:06:00,1\n",
            "Line 3: Expected a time some whole intervals",
        ),
    ],
)
def test_lines_that_cannot_be_read_end_in_an_error_that_names_them(
    checkpoint, tmp_path, text, words, capsys
):
    (tmp_path / "in.csv").write_text(text)
    said = refused(command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:], capsys)
    assert words in said


ZONES = {  # where clocks go back and forth, in UTC
    "Europe/Copenhagen": ("2024-10-27T01:00", "2024-03-31T01:00"),
    "America/Los_Angeles": ("2024-11-03T09:00", "2024-03-10T10:00"),
    "Australia/Adelaide": ("2024-04-06T16:30", "2024-10-05T16:30"),
    "Asia/Taipei": ("2024-10-27T01:00", "2024-03-31T01:00"),
}


def local_lines(zone, change, offset, steps=36):
    """Lines of the hours around a change of the clock, and their times in UTC."""
    begin = datetime.fromisoformat(change).replace(tzinfo=UTC) - timedelta(minutes=5 * steps / 2)
    times = [begin + timedelta(minutes=5 * step) for step in range(steps)]
    local = [time.astimezone(ZoneInfo(zone)) for time in times]
    stamps = [(t if offset else t.replace(tzinfo=None)).isoformat() for t in local]
    utc = [np.datetime64(time.replace(tzinfo=None), "s") for time in times]
    return [f"{stamp},{50 + i}\n" for i, stamp in enumerate(stamps)], utc


@pytest.mark.parametrize(
    ("zone", "change", "offset"),
    [
        *((zone, "autumn", False) for zone in ZONES),
        ("Europe/Copenhagen", "spring", False),
        ("Australia/Adelaide", "autumn", True),
    ],
)
def test_lines_run_through_both_changes_of_the_clock(zone, change, offset):
    lines, utc = local_lines(zone, ZONES[zone][change == "spring"], offset)
    table = ReadingTable(["timestamp,A\n", *lines], ["A"], ["speed"], zone)
    found = list(table)
    assert [time for time, _ in found] == utc
    assert [float(readings[0, 0]) for _, readings in found] == list(range(50, 86))


def test_a_stream_runs_through_the_repeated_hour_and_goes_on_in_it(checkpoint, series, tmp_path):
    stream = make_stream(checkpoint)
    stream.trained_on = dataclasses.replace(stream.trained_on, timezone="Europe/Copenhagen")
    stream.set_detectors(series.vdids, series.lat, series.lon)
    lines, utc = local_lines("Europe/Copenhagen", "2024-10-27T01:00", offset=False)
    head = "timestamp,VD-0:speed\n"
    zone = ("Europe/Copenhagen",)
    for time, readings in ReadingTable(
        [head, *lines[:22]], series.vdids, stream.spec.features, *zone
    ):
        stream.update(time, readings)
    assert stream.time == utc[21]  # in the second pass of the hour
    rest = ReadingTable([head, *lines[22:]], series.vdids, stream.spec.features, *zone, stream.time)
    for time, readings in rest:
        stream.update(time, readings)
    assert stream.time == utc[-1]


def test_a_restart_anywhere_around_the_repeated_hour_loses_no_line():
    for overlap in [0, 1, 2]:
        zone = "Europe/Copenhagen"
        lines, utc = local_lines(zone, "2024-10-27T01:00", offset=False)
        for stop in range(1 + overlap, len(lines)):
            sent = [["timestamp,A\n", *lines[:stop]], ["timestamp,A\n", *lines[stop - overlap :]]]
            last, found = None, []
            for part in sent:
                found += [time for time, _ in ReadingTable(part, ["A"], ["speed"], zone, last)]
                last = found[-1]
            assert found == [*utc[:stop], *utc[stop - overlap :]], stop


def test_a_time_that_can_follow_in_either_pass_is_refused():
    known = np.datetime64("2024-10-27T00:30:00")  # 02:30 in the first pass
    lines = ["timestamp,A\n", "2024-10-27T02:00:00,1\n"]  # half an hour before, or after it
    with pytest.raises(ValueError, match="Line 2: expected a time with its offset from UTC"):
        list(ReadingTable(lines, ["A"], ["speed"], "Europe/Copenhagen", known))


def test_two_streams_of_one_forecaster_know_their_own_detectors(tmp_path, series):
    network = plain_network(partial(XLSTMEncoder, hidden_channels=8), node_channels=4)
    forecaster = Forecaster(network)
    data = TrafficDataModule(series, windows=Windows(6, 3))
    pl.Trainer(
        max_steps=2, accelerator="cpu", logger=False, default_root_dir=tmp_path,
        enable_checkpointing=False, enable_progress_bar=False,
    ).fit(forecaster, data)  # fmt: skip

    def follow_part(rows, others=()):
        stream = StreamingForecaster(forecaster)
        ids = [series.vdids[row] for row in rows]
        stream.set_detectors(ids, series.lat[rows], series.lon[rows])
        if others:
            follow_part(list(others))
        return stream.update(series.timestamps[0], series.values[0, rows])

    assert torch.equal(follow_part([0, 1]), follow_part([0, 1], others=(3, 5)))


def test_readings_that_the_caller_changes_stay_as_they_were_read(checkpoint, series):
    stream = make_stream(checkpoint, memory="window")
    readings = series.values[0].copy()
    stream.update(series.timestamps[0], readings)
    readings[:] = 7
    np.testing.assert_array_equal(stream.memory.readings[-1], series.values[0])


def test_lines_that_are_known_are_counted(checkpoint, series, tmp_path, capsys):
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:]
    (tmp_path / "in.csv").write_text("\n".join(lines_of(series, range(3))) + "\n")
    main(words)
    capsys.readouterr()
    main(words)
    said = capsys.readouterr().err
    assert "Left out: 3 repeated. The state knows all until 2024-01-01T08:10:00+08:00." in said


def test_a_line_that_is_sent_twice_is_ignored_and_with_other_readings_refused(
    checkpoint, series, tmp_path, capsys
):
    header, first, second = lines_of(series, range(2))
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:]
    (tmp_path / "in.csv").write_text("\n".join([header, first, first, second, second]) + "\n")
    main(words)
    assert "Lines read: 2." in capsys.readouterr().err
    time, *cells = second.split(",")
    changed = ",".join([time, *cells[:2], "1.5", *cells[3:]])
    (tmp_path / "in.csv").write_text("\n".join([header, first, second, changed]) + "\n")
    said = refused(words, capsys)
    assert re.search(r"Line 4: repeats 2024-01-01T08:05:00\+08:00.*'VD-1'", said)


def test_columns_without_their_feature_are_named():
    with pytest.raises(ValueError, match=r"'VD-1:speed' \(got 'VD-1'\)"):
        ReadingTable(["timestamp,VD-0:speed,VD-1\n"], ["VD-0", "VD-1"], ["speed", "count"])


def test_a_line_that_is_still_being_written_is_left_for_the_next_time(
    checkpoint, series, tmp_path, capsys
):
    header, *lines = lines_of(series, range(3))
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:]
    (tmp_path / "in.csv").write_text("\n".join([header, *lines])[:-2])  # a digit is cut off
    main(words)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 + 2 * 24
    assert "left unread" in err
    assert "Lines read: 2." in err
    (tmp_path / "in.csv").write_text("\n".join([header, *lines]) + "\n")
    main(words)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 + 24
    assert "Lines read: 1." in err


def test_new_detectors_are_told_by_a_table(checkpoint, tmp_path, capsys):
    (tmp_path / "table.csv").write_text("vdid,lat,lon\nVD-0,25.0,121.5\nVD-new,25.001,121.5\n")
    text = "timestamp,VD-0:speed,VD-new:speed\n2024-01-01T00:00:00,50,60\n"
    (tmp_path / "in.csv").write_text(text)
    words = ("--input", tmp_path / "in.csv", "--detectors", tmp_path / "table.csv")
    main(command(checkpoint, tmp_path, *words)[3:])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert {line.split(",")[3] for line in rows} == {"VD-0", "VD-new"}
    said = refused(command(checkpoint, tmp_path, *words[:3], tmp_path / "in.csv")[3:], capsys)
    assert "has no column" in said


def test_an_output_that_others_have_written_to_is_left_alone(checkpoint, series, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("\n".join(lines_of(series, range(3))) + "\n")
    output = tmp_path / "out.csv"
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv", "--output", output)[3:]
    main(words)
    for text in ("a,b\n1,2\n", output.read_text() + "a note\n", output.read_text()[:-9]):
        output.write_text(text)
        assert "--output" in refused(words, capsys)
        assert output.read_text() == text
        output.unlink()
        main(words)  # a file that is gone is begun anew
        output.unlink()
        (tmp_path / "state.db").unlink()
        main(words)


def test_an_error_keeps_the_lines_before_it(checkpoint, series, tmp_path, capsys):
    lines = list(lines_of(series, range(6)))
    output = tmp_path / "out.csv"
    (tmp_path / "in.csv").write_text("\n".join([*lines[:4], "broken"]) + "\n")
    words = ("--input", tmp_path / "in.csv", "--output", output, "--save_every", 10)
    assert "Line 5" in refused(command(checkpoint, tmp_path, *words)[3:], capsys)
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    main(command(checkpoint, tmp_path, *words)[3:])
    rows = output.read_text().splitlines()
    assert len(rows) == len(set(rows)) == 1 + 6 * 24


def test_infinite_readings_and_broken_times_are_refused(stream, series):
    readings = series.values[0].copy()
    readings[2, 0] = np.inf
    with pytest.raises(ValueError, match=r"got inf of \['VD-2'\]"):
        stream.update(series.timestamps[0], readings)
    for time in (np.datetime64("NaT"), np.datetime64("2024-01-01T00:00:00.7")):
        with pytest.raises(ValueError, match="whole seconds"):
            stream.update(time, series.values[0])
    with pytest.raises(ValueError, match="one detector or more"):
        stream.set_detectors([], [], [])
    assert follow(stream, series, range(2)).isfinite().all()


def test_the_command_knows_every_kind_of_memory(capsys):
    with pytest.raises(SystemExit):
        main(["stream", "--help"])
    assert f"--memory {{{','.join(KINDS)}}}" in capsys.readouterr().out


def test_a_time_far_ahead_is_refused_and_asked_for(checkpoint, series, tmp_path, capsys):
    header, *lines = lines_of(series, range(3))
    wrong = "2034" + lines[2][4:]
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:]
    (tmp_path / "in.csv").write_text("\n".join([header, *lines[:2], wrong]) + "\n")
    said = refused(words, capsys)
    assert "Line 4: jumps from 2024-01-01T08:05:00+08:00 to 2034-01-01T" in said
    (tmp_path / "in.csv").write_text("\n".join([header, *lines]) + "\n")
    main(words)  # the line is mended, and nothing was lost
    assert "Lines read: 1." in capsys.readouterr().err
    (tmp_path / "in.csv").write_text("\n".join([header, "2025" + lines[2][4:]]) + "\n")
    refused(words, capsys)
    main([*words, "--restart_after_gap"])
    assert "Lines read: 1." in capsys.readouterr().err
    (tmp_path / "in.csv").write_text("\n".join([header, "2094" + lines[2][4:]]) + "\n")
    said = refused([*words, "--restart_after_gap"], capsys)
    assert "is more than a day ahead of the clock" in said
    with StoreReader(tmp_path / "state.db") as reader:
        assert str(reader.last()).startswith("2025-01-01")  # and it is still kept


def test_a_start_off_the_grid_is_refused_and_a_gap_may_start_another(checkpoint, series):
    stream = make_stream(checkpoint, max_gap=3)
    later = np.timedelta64(37, "s")
    with pytest.raises(ValueError, match="on the grid of the training"):
        stream.update(series.timestamps[0] + later, series.values[0])
    assert stream.time is None
    stream.set_detectors(["x"], [25.0], [121.5])  # of elsewhere
    stream.update(series.timestamps[0] + later, series.values[0, :1])
    with pytest.raises(ValueError, match="some whole intervals of"):
        stream.update(series.timestamps[1], series.values[1, :1])
    stream.update(series.timestamps[20], series.values[20, :1])
    assert stream.time == series.timestamps[20]


def test_a_gap_of_max_gap_steps_is_read_as_missing_and_one_more_refused(
    checkpoint, series, tmp_path, capsys
):
    header, *lines = lines_of(series, (0, 4))
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:]
    (tmp_path / "in.csv").write_text("\n".join([header, *lines]) + "\n")
    assert "3 steps ahead" in refused([*words, "--max_gap", "2"], capsys)
    main([*words, "--max_gap", "3"])


def test_an_absurd_reading_spoils_nothing_for_good(checkpoint, series):
    stream = StreamingForecaster(socialgraph.load(checkpoint))
    for step in range(8):
        readings = series.values[step].copy()
        if step == 3:
            readings[2, 0] = 1e25
        forecast = stream.update(series.timestamps[step], readings)
        assert torch.isfinite(forecast).all()
        assert forecast.abs().max() < 1e5


def test_a_code_for_missing_gives_the_forecasts_of_empty_cells(
    checkpoint, series, tmp_path, capsys
):
    # Cases from outside: stream-missing-code, where the code is given.
    header, *lines = lines_of(series, range(4))
    coded = [",".join([t, "-99", *rest]) for t, _, *rest in (line.split(",") for line in lines)]
    empty = [",".join([t, "", *rest]) for t, _, *rest in (line.split(",") for line in lines)]
    said = {}
    for name, rows, more in (
        ("empty", empty, []),
        ("coded", coded, ["--null_value", "-99", "255"]),
        ("untold", coded, []),
    ):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
        words = command(checkpoint, tmp_path, "--input", tmp_path / f"{name}.csv")[3:]
        main([*words, "--state", str(tmp_path / f"{name}.db"), *more])
        said[name] = capsys.readouterr()
    assert said["coded"].out == said["empty"].out
    assert said["untold"].out != said["empty"].out
    assert "Null values read as missing: 4." in said["coded"].err


def test_a_code_that_the_file_of_the_training_tells_is_known(checkpoint, series, tmp_path, capsys):
    # Cases from outside: stream-missing-code.
    header, *lines = lines_of(series, range(4))
    said = {}
    for name, cell in (("coded", "-77"), ("empty", "")):
        rows = [",".join([t, a, cell, *rest]) for t, a, _, *rest in (x.split(",") for x in lines)]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
        words = command(checkpoint, tmp_path, "--input", tmp_path / f"{name}.csv")[3:]
        main([*words, "--state", str(tmp_path / f"{name}.db")])
        said[name] = capsys.readouterr()
    assert said["coded"].out == said["empty"].out
    assert "Null values read as missing: 4." in said["coded"].err


@pytest.mark.parametrize("output", ["none", "-", "one.csv"])
def test_every_output_and_input_has_a_state_of_its_own(
    checkpoint, series, tmp_path, output, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "best.ckpt"
    own.write_bytes(checkpoint.read_bytes())
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines_of(series, range(3))) + "\n")
        words = ["stream", "--ckpt_path", str(own), "--input", f"{name}.csv", "--output", output]
        main(words)
        said = capsys.readouterr()
        again = output == "one.csv" and name == "b"  # the same output goes on with its state
        assert f"Lines read: {0 if again else 3}." in said.err
        assert len(said.out.splitlines()) == (1 + 3 * 24 if output == "-" else 0)
    assert len(list(tmp_path.glob("*.stream.db"))) == (1 if output == "one.csv" else 2)


def test_a_line_that_is_refused_may_be_skipped_and_is_counted(checkpoint, series, tmp_path, capsys):
    header, *lines = lines_of(series, range(4))
    rows = [header, lines[0], "broken", lines[1], '"2034', lines[2] + ",7", "2034" + lines[3][4:]]
    (tmp_path / "in.csv").write_text("\n".join([*rows, lines[3]]) + "\n")
    words = command(checkpoint, tmp_path, "--input", tmp_path / "in.csv")[3:]
    main([*words, "--skip_refused"])
    said = capsys.readouterr().err
    for text in (
        "Line 3: expected 13 cells (got 1).",
        "Line 5: unexpected end of data",  # an open quote takes no other lines along
        "Line 6: expected 13 cells (got 14).",
        "Line 7: jumps from 2024-01-01T08:05:00+08:00 to 2034",
        "Lines read: 3. Left out: 4 refused.",
    ):
        assert text in said
    with StoreReader(tmp_path / "state.db") as reader:
        assert reader.get("counts") == {"read": 3, "refused": 4}
        assert reader.issued() == [series.timestamps[step] for step in (0, 1, 3)]


def test_a_byte_that_is_no_text_refuses_its_line_alone(
    checkpoint, series, tmp_path, capsys, monkeypatch
):
    rows = [line.encode() for line in lines_of(series, range(5))]
    rows[2] = rows[2][:30] + b"\xff" + rows[2][30:]
    rows[4] = b"\xff" + rows[4]
    text = b"\n".join(rows) + b"\n"
    (tmp_path / "in.csv").write_bytes(text)
    for source in (tmp_path / "in.csv", "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
        words = command(checkpoint, tmp_path, "--input", source, "--skip_refused")[3:]
        main([*words, "--state", str(tmp_path / f"{str(source)[-1]}.db")])
        said = capsys.readouterr().err
        assert "Line 3: " in said
        assert "Line 5: " in said
        assert "Lines read: 3. Left out: 2 refused." in said


def test_a_table_as_parquet_is_written_in_the_end_of_all_that_was_read(
    checkpoint, series, tmp_path, capsys
):
    header, *lines = lines_of(series, range(3))
    later = ["2024-03" + line[7:] for line in lines]  # longer than what is kept by itself
    (tmp_path / "in.csv").write_text("\n".join([header, *lines, *later]) + "\n")
    words = ("--input", tmp_path / "in.csv", "--restart_after_gap", "--output")
    for keep, times, said in (([], 6, ""), (["--keep", "30d"], 3, "in the last 30d (--keep).")):
        table = tmp_path / f"{times}.parquet"
        state = ["--state", str(tmp_path / f"{times}.db")]
        main([*command(checkpoint, tmp_path, *words, table)[3:], *keep, *state])
        assert pq.read_table(table).num_rows == times * 24
        assert said in capsys.readouterr().err
    for used in (tmp_path / "in.csv", checkpoint):
        state = ["--state", str(used)]
        said = refused([*command(checkpoint, tmp_path, *words, "-")[3:], *state], capsys)
        assert "--state is a file that is read or written" in said


def test_what_is_kept_for_less_than_it_takes_to_save_is_written_first(checkpoint, series, tmp_path):
    (tmp_path / "in.csv").write_text("\n".join(lines_of(series, range(10))) + "\n")
    for every in ("1", "4"):
        for ending in ("csv", "parquet"):
            words = ("--input", tmp_path / "in.csv", "--output", tmp_path / f"{every}.{ending}")
            words += ("--state", tmp_path / f"{every}.{ending}.db", "--save_every", every)
            main(command(checkpoint, tmp_path, *words, "--keep", "5min")[3:])
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 1 + 10 * 24
    assert (tmp_path / "4.csv").read_text() == (tmp_path / "1.csv").read_text()
    tables = [pq.read_table(tmp_path / f"{every}.parquet") for every in ("1", "4")]
    assert tables[0].num_rows == 2 * 24
    assert tables[1].equals(tables[0])


def test_a_table_of_no_forecasts_is_not_said_to_be_written(checkpoint, series, tmp_path, capsys):
    header, *_ = lines_of(series, [])
    (tmp_path / "in.csv").write_text(header + "\n")
    words = ("--input", tmp_path / "in.csv", "--keep", "30d", "--output", tmp_path / "t.parquet")
    main(command(checkpoint, tmp_path, *words)[3:])
    said = capsys.readouterr().err
    assert "t.parquet' is not written, as nothing was forecast" in said
    assert "holds what was forecast" not in said
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.slow
def test_a_day_of_2000_detectors_is_followed_in_flat_memory_until_ctrl_c(checkpoint, tmp_path):
    ids = [f"N{k}" for k in range(2000)]
    places = [f"{v},{25 + 0.003 * (k // 45)},{121 + 0.003 * (k % 45)}" for k, v in enumerate(ids)]
    (tmp_path / "d.csv").write_text("\n".join(["vdid,lat,lon", *places]) + "\n")
    rng = np.random.default_rng(0)
    words = command(
        checkpoint, tmp_path, "--input", "-", "--output", "none",
        "--detectors", tmp_path / "d.csv", "--keep", "1h",
    )  # fmt: skip
    words[words.index("state")] = "window"
    process = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # In the background of a script it is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    process.stdin.write(",".join(["timestamp", *(f"{vdid}:speed" for vdid in ids)]) + "\n")
    memory, size = [], []
    for step in range(288):
        cells = ",".join(f"{v:.1f}" for v in rng.normal(60, 9, len(ids)))
        process.stdin.write(f"{np.datetime64('2024-01-01T00:00:00') + step * 300}Z,{cells}\n")
        process.stdin.flush()
        with open(f"/proc/{process.pid}/statm") as found:
            memory.append(int(found.read().split()[1]) * 4096 / 2**20)
        path = tmp_path / "state.db"
        size.append(path.stat().st_size / 2**20 if path.exists() else 0)
    with StoreReader(tmp_path / "state.db") as reader:
        while reader.get("counts") != {"read": 288}:
            assert process.poll() is None
            sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert memory[-1] < memory[100] + 10  # MiB; lines wait in a pipe of a few
    assert size[-1] < 1.2 * size[100]
    with StoreReader(tmp_path / "state.db") as reader:
        assert len(reader.issued()) == 13
        assert len(reader.forecast(reader.last()).detectors.vdids) == 2000
