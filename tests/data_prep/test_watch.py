"""Documents that arrive in a folder: what the file holds then, and after an end at any point."""

import io
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.arrivals import Arrivals
from socialgraph import schema
from socialgraph.stream.lines import ReadingTable
from tests.conftest import ROOT
from tests.data_prep.formats.test_tdx import lane, listed, live, vd

NAN = np.nan
PLACES = {"a": (25.0, 121.5), "b": (25.01, 121.5)}


@pytest.fixture
def room(tmp_path, write_file):
    """A folder into which a document a minute is put, and the file."""
    table = write_file("list.json", listed(**PLACES))
    (tmp_path / "in").mkdir()

    def arrive(minute, speed=None, vdids=("a", "b")):
        moment = f"2024-01-01T08:{minute:02}:00+08:00"
        speeds = minute if speed is None else speed
        entries = [vd(v, lane(speeds, 2, 1), time=moment) for v in vdids]
        (tmp_path / "in" / f"{minute:02}.json").write_text(live(*entries))

    def watch(*words):
        command = ["watch", str(tmp_path / "in"), str(tmp_path / "f.h5"), "--format", "tdx"]
        return main([*command, "--detectors", str(table), "--once", *words])

    arrive.watch, arrive.file, arrive.folder = watch, tmp_path / "f.h5", tmp_path / "in"
    return arrive


def speeds(path):
    series = schema.read(path)
    return series.timestamps, series.values[:, 0, 0].tolist()


def test_documents_are_taken_as_they_arrive_and_once(room, capsys):
    for minute in (1, 2):
        room(minute)
    assert room.watch() == 0
    assert speeds(room.file)[1] == [1, 2]
    before = room.file.stat().st_mtime_ns
    assert room.watch() == 0
    assert room.file.stat().st_mtime_ns == before
    room(3)
    room(5)
    assert room.watch() == 0
    np.testing.assert_array_equal(speeds(room.file)[1], [1, 2, 3, np.nan, 5])
    assert schema.read(room.file).lat.tolist() == [25.0, 25.01]
    assert capsys.readouterr().out == ""  # the output is for lines alone


def test_a_step_is_written_when_a_later_one_has_begun(room):
    for minute in range(0, 7):
        room(minute, speed=60 + minute)
    assert room.watch("--interval", "5min") == 0
    times, found = speeds(room.file)
    assert found == [62]
    for minute in range(7, 11):
        room(minute, speed=60 + minute)
        room.watch("--interval", "5min")
    times, found = speeds(room.file)
    assert found == [62, 67]
    assert str(times[1]) == "2024-01-01T00:05:00"


def test_a_watch_that_forgot_takes_everything_again_and_changes_nothing(room):
    for minute in range(12):
        room(minute)
    room.watch("--interval", "5min")
    held = speeds(room.file)[1]
    (room.file.parent / ".f.h5.watch.json").unlink()
    assert room.watch("--interval", "5min") == 0
    assert speeds(room.file)[1] == held
    (room.file.parent / ".f.h5.watch.json").write_text("{")
    assert room.watch() == 2


def put(room, name, **times):
    """A document of detectors with a speed of 60 at minutes past eight, or at whole times."""
    moments = {v: t if isinstance(t, str) else f"2024-01-01T08:{t:02}" for v, t in times.items()}
    entries = [vd(v, lane(60, 2, 1), time=f"{t}:00+08:00") for v, t in moments.items()]
    (room.folder / f"{name}.json").write_text(live(*entries))


def readings_of(path):
    series = schema.read(path)
    return dict(zip(series.vdids, series.values[..., 1].T.tolist(), strict=True))


@pytest.mark.parametrize("ahead", ["2099-01-01T08:00", 45])
def test_a_clock_that_is_ahead_makes_no_step_complete(room, capsys, ahead):
    """Also one that is ahead of the others, but not of the arrival of its document."""
    for minute in range(16):
        put(room, f"{minute:02}", a=minute, b=ahead if minute == 3 else minute)
        room.watch("--interval", "5min")
    assert readings_of(room.file)["a"][:3] == [5, 5, 5]
    said = capsys.readouterr().err
    assert ("left out: b at 2099-01-01T00:00:00Z of " in said) == (ahead != 45)


def test_a_clock_that_is_far_ahead_does_not_keep_documents_waiting(room, monkeypatch, capsys):
    monkeypatch.setattr("data_prep.watch._MOST_AT_ONCE", 4)
    for minute in range(12):
        put(room, f"{minute:02}", a=minute, b="2099-01-01T08:00" if minute < 2 else minute)
    assert room.watch("--interval", "5min") == 0
    assert capsys.readouterr().err.count("left out: b at ") == 1
    assert readings_of(room.file)["a"] == [5, 5]
    taken = json.loads((room.file.parent / ".f.h5.watch.json").read_text())["taken"][1]
    assert taken.endswith("09.json")


def test_more_documents_than_are_read_at_once_may_belong_to_one_step(room, monkeypatch):
    monkeypatch.setattr("data_prep.watch._MOST_AT_ONCE", 2)
    for minute in range(12):
        put(room, f"{minute:02}", a=minute)
    assert room.watch("--interval", "5min") == 0
    assert readings_of(room.file)["a"] == [5, 5]


def test_a_document_after_its_step_was_written_is_told(room, capsys):
    for minute in range(7):
        put(room, f"{minute:02}", a=minute)
    room.watch("--interval", "5min")
    assert "left out" not in capsys.readouterr().err
    put(room, "late", b=1)
    put(room, "07", a=7, b=1)
    assert room.watch("--interval", "5min") == 0
    said = capsys.readouterr().err
    assert said.count("left out: b at 2024-01-01T00:01:00Z of ") == 1  # a stuck one is told once
    assert "late.json', a step that was written before it came." in said
    assert room.watch("--interval", "5min") == 0
    assert "left out" not in capsys.readouterr().err


def test_times_are_rounded_before_their_step_is_chosen(room):
    for minute in range(4, 11):
        early = f"2024-01-01T08:{minute - 1:02}:58+08:00"
        text = live(vd("a", lane(60, 2, 1), time=early))
        (room.folder / f"{minute:02}.json").write_text(text)
        room.watch("--interval", "5min", "--round", "1min")
    np.testing.assert_array_equal(readings_of(room.file)["a"], [np.nan, 5])


def test_a_document_from_before_the_file_is_told_and_the_rest_taken(room, capsys):
    put(room, "1", a=5)
    room.watch()
    put(room, "2", a=4)
    put(room, "3", a=6)
    assert room.watch() == 0
    assert readings_of(room.file)["a"] == [1, 1]
    assert "2.json', before the file begins." in capsys.readouterr().err
    put(room, "4", a=7)
    assert room.watch() == 0
    assert readings_of(room.file)["a"] == [1, 1, 1]


def test_what_is_gone_when_it_is_looked_at_is_passed_over(room):
    (room.folder / "00.json.part").symlink_to(room.folder / "nowhere")
    put(room, "01", a=1)
    assert room.watch() == 0
    assert readings_of(room.file)["a"] == [1]


def test_what_is_gone_when_it_is_read_is_passed_over(room, monkeypatch, capsys):
    put(room, "00", a=1)
    put(room, "01", a=2)
    listed = Arrivals.waiting

    def waiting(self):
        found = listed(self)
        (room.folder / "00.json").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Arrivals, "waiting", waiting)
    assert room.watch() == 0
    assert readings_of(room.file)["a"] == [1]
    assert "passed over: No file for" in capsys.readouterr().err


def test_a_document_that_cannot_be_read_is_passed_over_and_told(room, capsys):
    room(1)
    (room.folder / "02.json").write_text('{"VDLives": [')
    room(3)
    assert room.watch() == 0
    np.testing.assert_array_equal(speeds(room.file)[1], [1, np.nan, 3])
    assert "passed over: " in capsys.readouterr().err


def test_a_half_written_document_is_waited_for(room, monkeypatch):
    path = room.folder / "02.json"
    whole = live(vd("a", lane(2, 2, 1), time="2024-01-01T08:02:00+08:00"))
    room(1)
    path.write_text(whole[:40])

    def finish():
        time.sleep(0.5)
        path.write_text(whole)

    threading.Thread(target=finish).start()
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) > 30 or (room.file.exists() and len(speeds(room.file)[1]) == 2):
            raise KeyboardInterrupt
        threading.Event().wait(0.1)

    monkeypatch.setattr("data_prep.watch.time.sleep", sleep)
    words = ["watch", str(room.folder), str(room.file), "--format", "tdx", "--every", "1s"]
    table = room.file.parent / "list.json"
    assert main([*words, "--detectors", str(table)]) == 130
    assert speeds(room.file)[1] == [1, 2]


def test_lists_may_arrive_as_well(room, capsys):
    (room.folder / "00_list.json").write_text(listed(**PLACES))
    room(1)
    words = ["watch", str(room.folder), str(room.file), "--format", "tdx", "--once"]
    assert main(words) == 0
    assert schema.read(room.file).lat.tolist() == [25.0, 25.01]


def test_lines_are_those_that_a_stream_reads(room, tmp_path):
    room(1)
    room.watch()
    room(2, vdids=("a",))
    room(3)
    lines = tmp_path / "lines.csv"
    assert room.watch("--lines", str(lines)) == 0
    table = ReadingTable(
        io.StringIO(lines.read_text()), ["a", "b"], ["speed", "flow", "occupancy"], "Asia/Taipei"
    )
    rows = list(table)
    assert [str(time) for time, *_ in rows] == ["2024-01-01T00:02:00", "2024-01-01T00:03:00"]
    found = np.array([np.asarray(values) for _, values, *_ in rows])
    np.testing.assert_array_equal(found[:, 0, 0], [2, 3])
    assert np.isnan(found[0, 1]).all()


def test_a_folder_that_is_not_there_is_named(room, capsys):
    room.folder.rmdir()
    assert room.watch() == 2
    assert "No folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_output_is_lines_and_a_kill_loses_nothing(room, tmp_path):
    table = str(tmp_path / "list.json")
    words = ["watch", str(room.folder), str(room.file), "--format", "tdx", "--detectors", table]
    command = [sys.executable, "-m", "data_prep", *words, "--lines", "-", "--every", "1s"]
    room(1)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("timestamp,a:speed,a:flow,a:occupancy,b:speed")
        assert process.stdout.readline().startswith("2024-01-01T00:01:00Z,1,1,2,")
        process.kill()
    room(2)
    assert room.watch() == 0
    assert speeds(room.file)[1] == [1, 2]
    assert json.loads((tmp_path / ".f.h5.watch.json").read_text())["taken"][1].endswith("02.json")


def test_a_document_that_contradicts_the_file_is_set_aside(room, capsys):
    for minute in (1, 2, 3):
        room(minute)
    room.watch()
    late = live(vd("a", lane(99, 2, 1), time="2024-01-01T08:02:00+08:00"))
    (room.folder / "04.json").write_text(late)
    (room.folder / "05.json").write_text(late.replace("99", "2"))
    room(6)
    assert room.watch() == 0
    np.testing.assert_array_equal(speeds(room.file)[1], [1, 2, 3, np.nan, np.nan, 6])
    said = capsys.readouterr().err
    assert said.count("set aside: ") == 1
    assert "04.json'. 1 readings differ from those of" in said
    room(7)
    assert room.watch() == 0
    assert speeds(room.file)[1][-2:] == [6, 7]
    assert "set aside" not in capsys.readouterr().err


def test_a_document_that_contradicts_another_is_set_aside_and_its_step_written(room, capsys):
    twice = live(vd("a", lane(99, 2, 1), time="2024-01-01T08:02:00+08:00"))
    for minute in range(12):
        room(minute, speed=60 + minute)
        if minute == 2:
            (room.folder / "02b.json").write_text(twice)
    assert room.watch("--interval", "5min") == 0
    assert speeds(room.file)[1] == [62, 67]
    said = capsys.readouterr().err
    assert said.count("set aside: ") == 1
    assert "02b.json'. 1 times or (id, time) pairs have rows that differ" in said


@pytest.mark.parametrize("words", [(), ("--interval", "5min")])
def test_a_document_off_the_grid_is_set_aside(room, capsys, words):
    """Also if it is the first one: most of those that came together tell the grid."""
    text = live(vd("a", lane(99, 2, 1), time="2024-01-01T08:00:30+08:00"))
    (room.folder / "0.json").write_text(text)
    for minute in range(12):
        put(room, f"{minute:02}", a=minute)
    assert room.watch(*words) == 0
    expected = [5, 5] if words else [1] * 12
    assert readings_of(room.file)["a"] == expected
    assert "0.json'. 1 of 1 distinct times are off the grid" in capsys.readouterr().err
    (room.folder / "13.json").write_text(text.replace("08:00:30", "08:13:30"))
    for minute in (14, 15, 16):
        put(room, f"{minute:02}", a=minute)
    assert room.watch(*words) == 0
    assert capsys.readouterr().err.count("set aside: ") == 1
    assert readings_of(room.file)["a"][-1] == (5 if words else 1)


@pytest.mark.parametrize("words", [(), ("--interval", "5min")])
def test_a_document_with_an_infinite_reading_is_set_aside_alone(room, capsys, words):
    for minute in range(12):
        room(minute, speed=60)
        if minute == 2:
            path = room.folder / "02.json"
            path.write_text(path.read_text().replace('60, "Occ', '1e39, "Occ'))
    assert room.watch(*words) == 0
    said = capsys.readouterr().err
    assert said.count("set aside: ") == 1
    assert "02.json' holds 2 infinite readings" in said
    np.testing.assert_array_equal(
        speeds(room.file)[1], [60, 60] if words else [60, 60, np.nan, *[60] * 9]
    )


def test_documents_further_apart_than_the_interval_end_a_watch(room, capsys):
    for minute in range(0, 60, 5):
        room(minute)
    assert room.watch("--interval", "30s") == 2
    assert not room.file.exists()
    assert "set aside" not in capsys.readouterr().err


def test_local_times_are_brought_to_the_interval(room, capsys):
    for minute in range(11):
        text = live(vd("a", lane(60, 2, 1), time=f"2024-01-01T08:{minute:02}:00"))
        (room.folder / f"{minute:02}.json").write_text(text)
        room.watch("--interval", "5min")
    times, _ = speeds(room.file)
    assert readings_of(room.file)["a"] == [5, 5]
    assert str(times[0]) == "2024-01-01T00:00:00"


def test_documents_in_the_hour_that_comes_twice_are_told_and_the_rest_taken(room, capsys):
    zone = ("--interval", "5min", "--timezone", "Europe/Copenhagen")
    moments = [f"2024-10-27T{hour:02}:{m:02}" for hour in (1, 2, 3) for m in range(50, 60)]
    for moment in [*moments, "2024-10-27T04:00"]:
        text = live(vd("a", lane(60, 2, 1), time=f"{moment}:00"))
        (room.folder / f"{moment.replace(':', '')}.json").write_text(text)
    assert room.watch(*zone) == 0
    said = capsys.readouterr().err
    assert said.count("does not tell which of the two") == 10
    times, _ = speeds(room.file)
    taken = dict(zip(times.astype(str).tolist(), readings_of(room.file)["a"], strict=True))
    kept = {time[11:16]: value for time, value in taken.items() if value == value}
    assert kept == {"23:50": 5, "23:55": 5, "02:50": 5, "02:55": 5}


@pytest.mark.parametrize(
    "words",
    [
        ("--unit", "sped=km/h"),
        ("--null-value", "x"),
        ("--rule", "speed=median"),
        ("--min-share", "2"),
        ("--timezone", "Mars"),
        ("--round", "0.001s"),
        ("--interval", "0.001s"),
        ("--lane-rule", "speed=median"),
        ("--interval", "30s"),
        ("--interval", "90s"),
    ],
)
def test_a_mistake_in_options_ends_the_watch(room, capsys, words):
    for minute in range(7):
        room(minute)
    assert room.watch(*words) == 2
    said = capsys.readouterr().err
    assert "set aside" not in said
    assert "passed over" not in said
    assert not room.file.exists()


def test_a_step_is_whole_on_a_clock_beside_the_hour(room):
    for minute in range(10, 58):
        room(minute)
        if minute % 4 == 0:
            words = ("--timezone", "Asia/Kathmandu", "--min-share", "0")
            assert room.watch("--interval", "30min", *words) == 0
    times, found = speeds(room.file)
    assert [str(time) for time in times] == ["2023-12-31T23:45:00", "2024-01-01T00:15:00"]
    assert found == [12, 29.5]


@pytest.mark.parametrize("words", [(), ("--min-share", "0.2"), ("--apart", "b=5min")])
def test_a_detector_that_repeats_its_reading_for_five_minutes(room, capsys, words):
    """Too few to tell it, of which b is named; with --apart it is known, now and later."""
    for minute in range(18):
        entries = [("a", minute), ("b", minute - minute % 5)]
        texts = [
            vd(v, lane(50, 2, 1 + of), time=f"2024-01-01T08:{of:02}:00+08:00") for v, of in entries
        ]
        (room.folder / f"{minute:02}.json").write_text(live(*texts))
        if minute in (5, 11):
            assert room.watch("--interval", "5min", *words) == 0
    words_of_second = () if "--apart" in words else words
    assert room.watch("--interval", "5min", *words_of_second) == 0
    said = capsys.readouterr().err
    series = schema.read(room.file)
    flow = series.values[:, series.vdids.index("b"), series.feature_names.index("flow")]
    times = {(): NAN, ("--min-share", "0.2"): 5}.get(words, 1)
    np.testing.assert_array_equal(flow, np.array([1, 6, 11]) * times)
    assert ("set --apart b=LENGTH" in said) == ("--apart" not in words)
