"""The file of a stream: whole at any moment, one writer, bounded, and exported."""

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

from socialgraph.cli import main
from socialgraph.serve.views import forecast_json
from socialgraph.spec import DataSpec
from socialgraph.stream import StoredStream, StoreReader, StreamingForecaster, StreamStore
from socialgraph.stream.durations import parse_keep
from socialgraph.stream.screen import Screen
from socialgraph.stream.tables import export
from socialgraph.table import ALARMS
from tests.conftest import ROOT, make_series
from tests.last_value import LastValue, last_value

SERIES = make_series(steps=60)


@pytest.fixture
def forecaster():
    return last_value(SERIES)


@contextlib.contextmanager
def opened(forecaster, path, keep=None, **options):
    with StreamStore(path, keep) as store:
        yield StoredStream(StreamingForecaster(forecaster), store, **options)


def follow(stored, steps):
    for step in steps:
        stored.read(SERIES.timestamps[step], SERIES.values[step])


def test_what_was_forecast_is_read_while_it_is_written(forecaster, tmp_path):
    path = tmp_path / "s.db"
    with opened(forecaster, path) as stored, contextlib.closing(StoreReader(path)) as reader:
        assert reader.last() is None
        for step in range(6):
            follow(stored, [step])
            assert reader.last() == SERIES.timestamps[step]
        found = reader.forecast(SERIES.timestamps[5])
        now = np.nan_to_num(SERIES.values[5, :, :1])  # as the scaler gives it, where it is missing
        np.testing.assert_allclose(found.values["speed"], now + np.arange(1, 4), rtol=1e-6)
        assert found.detectors.vdids == SERIES.vdids
        alone = reader.forecast_of("VD-4", SERIES.timestamps[5])
        np.testing.assert_array_equal(alone.values["speed"], found.values["speed"][4:5])
        assert alone.detectors.lat == [SERIES.lat[4]]
        assert reader.forecast_of("nobody", SERIES.timestamps[5]) is None
        assert reader.forecast(SERIES.timestamps[9]) is None
        history = list(reader.readings_of("VD-4", SERIES.timestamps[2]))
        assert [t for t, _ in history] == list(SERIES.timestamps[2:6])
        np.testing.assert_array_equal([v for _, v in history], SERIES.values[2:6, 4])


def test_old_repeated_and_refused_times_are_counted_and_change_nothing(forecaster, tmp_path):
    with opened(forecaster, tmp_path / "s.db") as stored:
        follow(stored, range(5))
        before = stored.store.state()
        changed = SERIES.values[3] + 1
        assert stored.read(SERIES.timestamps[4], SERIES.values[4]) == "repeated"
        assert stored.read(SERIES.timestamps[3], SERIES.values[3]) == "repeated"
        assert stored.read(SERIES.timestamps[3], changed) == "old"
        with pytest.raises(ValueError, match=r"repeats 2024-01-01T08:20:00\+08:00 with other read"):
            stored.read(SERIES.timestamps[4], changed)
        with pytest.raises(ValueError, match="jumps from"):
            stored.read(SERIES.timestamps[4] + 10**9, changed)
        assert dict(stored.counts) == {"read": 5, "repeated": 2, "old": 1}
        stored.counts["refused"] += 2
        np.testing.assert_equal(stored.store.state(), before)
        stored.save()
    with opened(forecaster, tmp_path / "s.db") as stored:
        follow(stored, [5, 5])
        assert dict(stored.total) == {"read": 6, "repeated": 3, "old": 1, "refused": 2}


def test_readings_of_more_digits_than_the_file_holds_are_repeated_too(forecaster, tmp_path):
    readings = SERIES.values[0].astype(np.float64) + 1e-9
    with opened(forecaster, tmp_path / "s.db") as stored:
        given = (readings, readings, readings.tolist())
        found = [stored.read(SERIES.timestamps[0], each) for each in given]
    assert found == ["read", "repeated", "repeated"]


def test_rows_and_state_are_there_together_or_not_at_all(forecaster, tmp_path):
    path = tmp_path / "s.db"
    with opened(forecaster, path, save_every=4) as stored:
        follow(stored, range(6))  # four are whole, two are not, and the file is left like that
        with contextlib.closing(StoreReader(path)) as reader:
            assert reader.last() == SERIES.timestamps[3]
    with opened(forecaster, path) as stored:
        assert stored.stream.time == SERIES.timestamps[3]
        assert stored.store.reading(SERIES.timestamps[4]) is None
        follow(stored, range(4, 6))
        assert stored.total["read"] == 6


def test_a_disk_that_fills_up_leaves_stream_and_file_where_they_were(forecaster, tmp_path):
    path = tmp_path / "s.db"
    with opened(forecaster, path) as stored:
        follow(stored, range(3))
        pages = stored.store._db.execute("PRAGMA page_count").fetchone()[0]
        stored.store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match=r"s\.db'.*is the disk full\?"):
            follow(stored, range(3, 60))
        last = stored.stream.time
        assert SERIES.timestamps[2] <= last < SERIES.timestamps[59]
        stored.store._db.execute("PRAGMA max_page_count = 100000")
        after = int(np.flatnonzero(SERIES.timestamps == last)[0]) + 1
        follow(stored, range(after, 60))
        kept = stored.stream.memory.readings
        np.testing.assert_array_equal(kept, SERIES.values[56:60])
        assert stored.counts["read"] == 60


def test_a_second_writer_is_told_which_process_writes(forecaster, tmp_path):
    path = tmp_path / "s.db"
    code = (
        "import sys; from socialgraph.stream import StreamStore; "
        "s = StreamStore(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(path)]
    other = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(OSError, match=f"in use by process {other.pid}"):
        StreamStore(path)
    os.kill(other.pid, signal.SIGKILL)  # which holds no lock any more
    other.wait()
    StreamStore(path).close()


def test_a_second_store_in_the_process_leaves_what_the_first_has_acknowledged(tmp_path):
    path = tmp_path / "s.db"
    code = (
        "import sys; from socialgraph.stream import StreamStore\n"
        "store = StreamStore(sys.argv[1])\n"
        "for number in range(20): store.set('number', number); store.commit()\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(StreamStore(name), flush=True)\n"
        "    except OSError as error: print(error, flush=True)\n"
        "sys.stdin.read()"
    )
    (tmp_path / "link.db").symlink_to(path)
    words = [sys.executable, "-c", code, str(path), str(tmp_path / "link.db")]
    other = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(2):
        assert f"in use by process {other.pid}".encode() in other.stdout.readline()
    with StoreReader(path) as reader:  # is not the last connection
        assert reader.get("number") == 19
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with StoreReader(path) as reader:
        assert reader.get("number") == 19


class Failing(LastValue):
    """Fails as a device does that is short of memory."""

    fails = False

    def forward(self, features):
        if self.fails:
            raise RuntimeError("out of memory")
        return super().forward(features)


@pytest.mark.parametrize("save_every", [1, 4])
@pytest.mark.parametrize("step", [6, 9])  # the next, and one after missed steps
def test_a_forecast_that_fails_takes_nothing_in(tmp_path, save_every, step):
    forecaster = last_value(SERIES, Failing())
    with opened(forecaster, tmp_path / "s.db", save_every=save_every) as stored:
        follow(stored, range(6))
        before = stored.stream.state()
        forecaster.network.fails = True
        with pytest.raises(RuntimeError, match="out of memory"):
            follow(stored, [step])
        np.testing.assert_equal(stored.stream.state(), before)
        forecaster.network.fails = False
        assert stored.read(SERIES.timestamps[step], SERIES.values[step]) == "read"
        stored.save()
        with contextlib.closing(StoreReader(tmp_path / "s.db")) as reader:
            assert len(reader.issued()) == stored.total["read"] == 7


def test_a_write_that_fails_leaves_the_new_detectors(forecaster, tmp_path):
    with opened(forecaster, tmp_path / "s.db") as stored:
        follow(stored, range(3))
        place = SERIES.lat[:2] + 0.01, SERIES.lon[:2]
        stored.stream.set_detectors(SERIES.vdids[:2], *place)
        stored.store._db.execute("PRAGMA query_only = ON")
        with pytest.raises(OSError, match="readonly"):
            stored.read(SERIES.timestamps[3], SERIES.values[3, :2])
        assert stored.stream.time == SERIES.timestamps[2]
        stored.store._db.execute("PRAGMA query_only = OFF")
        stored.read(SERIES.timestamps[3], SERIES.values[3, :2])
        np.testing.assert_array_equal(stored.stream.spec.lat, place[0])
        np.testing.assert_array_equal(stored.stream.memory.readings, SERIES.values[:4, :2])


def test_the_file_stays_as_large_as_what_is_kept(forecaster, tmp_path):
    path = tmp_path / "s.db"
    values = np.zeros((6, 2), dtype=np.float32)
    sizes = []
    with opened(forecaster, path, keep=parse_keep("1h")) as stored:
        for step in range(200):
            stored.read(SERIES.timestamps[0] + step * np.timedelta64(300, "s"), values)
            sizes.append(stored.store._db.execute("PRAGMA page_count").fetchone()[0])
        with contextlib.closing(StoreReader(path)) as reader:
            assert len(reader.issued()) == 13  # both ends of an hour
    assert max(sizes[100:]) <= max(sizes[:60])
    with opened(forecaster, path, save_every=100) as stored:
        for step in range(200, 1500):
            stored.read(SERIES.timestamps[0] + step * np.timedelta64(300, "s"), values)
    large = path.stat().st_size
    with opened(forecaster, path, keep=parse_keep("1h")) as stored:
        stored.read(SERIES.timestamps[0] + 1500 * np.timedelta64(300, "s"), values)
    assert path.stat().st_size < large / 3  # pages go back to the disk


def test_forgotten_lists_of_detectors_go_too(forecaster, tmp_path):
    with opened(forecaster, tmp_path / "s.db", keep=parse_keep("10min")) as stored:
        follow(stored, range(3))
        stored.stream.set_detectors(SERIES.vdids[:2], SERIES.lat[:2], SERIES.lon[:2])
        for step in range(3, 9):
            stored.read(SERIES.timestamps[step], SERIES.values[step, :2])
        lists = stored.store._db.execute("SELECT vdids FROM detectors").fetchall()
        assert lists == [('["VD-0", "VD-1"]',)]


def test_a_part_that_a_state_no_longer_has_goes_from_the_file(tmp_path):
    with StreamStore(tmp_path / "s.db") as store:
        for state in ({"a": 1, "b": np.arange(3.0)}, {"a": 2}):
            store.set_state(state)
            store.commit()
        assert store.state() == {"a": 2}


def test_other_files_are_refused_in_one_sentence(forecaster, tmp_path):
    torch.save({"time": None}, tmp_path / "old.pt")
    with pytest.raises(ValueError, match=r"cannot be read\). Give another --state"):
        StreamStore(tmp_path / "old.pt")
    (tmp_path / "text").write_text("nothing, but longer than the header is")
    with pytest.raises(ValueError, match="no state of a stream"):
        StreamStore(tmp_path / "text")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t(x)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(ValueError, match="no state of a stream of this version"):
        StreamStore(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before
    with opened(forecaster, tmp_path / "s.db") as stored:
        follow(stored, range(2))
        stored.store._db.execute("DELETE FROM state WHERE name = 'detectors'")
        stored.store.commit()
    with (
        pytest.raises(ValueError, match="damaged: its state lacks 'detectors'"),
        opened(forecaster, tmp_path / "s.db"),
    ):
        pass
    with pytest.raises(OSError, match="/proc/none"):
        StreamStore("/proc/none/s.db")


def test_exports_are_what_was_forecast_in_a_period(forecaster, tmp_path, capsys):
    path = tmp_path / "s.db"
    with opened(forecaster, path) as stored:
        follow(stored, range(6))
    words = ["stream", "--state", str(path), "--since", "2024-01-01T08:10", "--until"]
    for ending in ("csv", "parquet"):
        main([*words, "2024-01-01T00:20:00Z", "--export", str(tmp_path / f"t.{ending}")])
    assert "Forecasts of 3 times" in capsys.readouterr().err
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pandas()
    assert len(table) == 3 * 6 * 3
    row = table[(table.detector == "VD-2") & (table.step == 3)].iloc[0]
    assert str(row.issued) == "2024-01-01 08:10:00+08:00"
    assert str(row.time) == "2024-01-01 08:25:00+08:00"
    assert row.speed == pytest.approx(SERIES.values[2, 2, 0] + 3)
    text = pyarrow.csv.read_csv(tmp_path / "t.csv").to_pandas()
    assert list(text.columns) == ["issued", "time", "step", "detector", "speed"]
    np.testing.assert_allclose(text.speed, table.speed, rtol=1e-6)
    first = (tmp_path / "t.csv").read_text().splitlines()[1]
    assert first.startswith("2024-01-01T08:10:00+08:00,2024-01-01T08:15:00+08:00,1,VD-0,")
    for wrong, said in (
        ([*words[:4], "2030-01-01", "--export", str(tmp_path / "t.csv")], "no forecasts of that"),
        ([*words[:3], "--export", str(tmp_path / "t.txt")], ".csv or .parquet"),
        (["stream", "--export", str(tmp_path / "t.csv")], "name it with --state"),
    ):
        with pytest.raises(SystemExit):
            main(wrong)
        assert said in capsys.readouterr().err


def test_forecasts_of_an_earlier_network_are_read_with_their_own_horizon(forecaster, tmp_path):
    path = tmp_path / "s.db"
    with opened(forecaster, path) as stored:
        follow(stored, range(2))
        times, spec = SERIES.timestamps, stored.stream.spec
        # As of a network with intervals and alarms, which this one has not.
        values = {name: np.ones((2, 6), np.float32) for name in ("speed", "speed_p05", "alarm")}
        stored.store.add(times[9], spec, SERIES.values[9], values)
        stored.store.commit()
    with StreamStore(path) as store, StoreReader(path) as reader:
        store.describe(dataclasses.replace(spec, horizon=5), ["speed", "speed_p95", "alarm"])
        store.commit()
        for ending in ("csv", "parquet"):
            assert export(reader, tmp_path / f"t.{ending}") == 3
        found = forecast_json(reader.forecast_of("VD-4", times[0]), reader.get("form"))
        assert len(found["times"]) == len(found["forecasts"]["VD-4"]["speed"]) == 3
        assert found["forecasts"]["VD-4"]["speed_p95"] == [None] * 3
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert len(table) == len(pyarrow.csv.read_csv(tmp_path / "t.csv")) == 6 * (3 + 3 + 2)
    assert np.isnan(table["speed_p95"]).all()
    assert table["alarm"].to_pylist() == [None] * 36 + [ALARMS[0]] * 12


def test_null_values_and_ranges_of_the_training_are_missing_here(forecaster):
    rules = {"null_values": {"speed": [0.0, -99.0]}, "ranges": {"flow": [0.0, 5000.0]}}
    spec = dataclasses.replace(forecaster.spec, **rules)
    screen = Screen(DataSpec.from_dict(spec.to_dict()), [255.0])
    readings = np.array([[0, 0], [-99, -1], [255, 255], [50, 5001]], dtype=np.float32)
    nan = np.nan
    np.testing.assert_array_equal(
        screen.apply(readings), [[nan, 0], [nan, nan], [nan, nan], [50, nan]]
    )
    assert (screen.num_null, screen.num_outside) == (4, 2)
    assert readings[0, 0] == 0  # of the caller
    kept = spec.to_dict()
    del kept["null_values"], kept["ranges"]  # of a checkpoint before there were any
    assert DataSpec.from_dict(kept).null_values == {}
    with pytest.raises(ValueError, match="for features as 'null_values'"):
        DataSpec.from_dict({**spec.to_dict(), "null_values": {"weight": [1.0]}})


def test_lengths_of_time_are_words():
    for text in ["30", "0d", "-1d", "d", "1y", "1.5d"]:
        assert parse_keep("90min") == np.timedelta64(5400, "s")
        assert parse_keep("all") is None
        with pytest.raises(ValueError, match="such as 30min, 12h or 14d"):
            parse_keep(text)
