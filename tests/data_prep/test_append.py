"""Newer readings added to a file: what it holds then, and that it is whole at any moment."""

import os
import re
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from socialgraph import schema
from socialgraph.atomic import one_writer
from socialgraph.series import RoadDistances
from tests.conftest import ROOT

NAN = np.nan
TABLE = "id,lat,lon\na,25.0,121.5\nb,25.01,121.5\nc,25.02,121.5\n"


def table_of(first, steps, **columns):
    times = np.datetime64(first, "s") + np.arange(steps) * np.timedelta64(300, "s")
    rows = [",".join(map(str, row)) for row in zip(times, *columns.values(), strict=True)]
    return "\n".join([",".join(["time", *columns]), *rows]) + "\n"


@pytest.fixture
def yesterday(write_file, tmp_path):
    """A file of a and b, 00:00 to 00:15."""
    path = write_file("1.csv", table_of("2024-01-01T00:00", 4, a=range(4), b=[10, 11, "", 13]))
    table = write_file("d.csv", TABLE)
    words = ["--wide", f"speed={path}", "--detectors", str(table), "--unit", "speed=km/h"]
    assert main(["convert", "csv", str(tmp_path / "f.h5"), *words]) == 0
    return tmp_path / "f.h5"


@pytest.fixture
def append(yesterday, write_file, capsys):
    def append(text, *words, feature="speed"):
        path = write_file("new.csv", text)
        wide = ["--format", "csv", "--wide", f"{feature}={path}"]
        before = yesterday.read_bytes()
        capsys.readouterr()
        status = main(["append", str(yesterday), *wide, *words])
        captured = capsys.readouterr()
        if status:
            assert yesterday.read_bytes() == before
        return status, captured.out + captured.err

    append.file = yesterday
    return append


def values_of(path):
    return schema.read(path).values[..., 0]


def test_what_follows_is_added(append):
    status, report = append(table_of("2024-01-01T00:20", 2, b=[20, 21], a=[5, 6]))
    assert status == 0
    np.testing.assert_array_equal(values_of(append.file)[3:], [[3, 13], [5, 20], [6, 21]])
    series = schema.read(append.file)
    assert (np.diff(series.timestamps) == np.timedelta64(300, "s")).all()
    assert series.units == ["km/h"]
    assert series.lat.tolist() == [25.0, 25.01]
    assert "(6, 2, 1)" in report


def test_readings_within_the_file_fill_its_holes_and_leave_what_follows(append):
    status, report = append(table_of("2024-01-01T00:05", 2, a=[1, 2], b=[11, 12]))
    assert status == 0
    np.testing.assert_array_equal(values_of(append.file), [[0, 10], [1, 11], [2, 12], [3, 13]])
    assert "3 readings as in the file, 1 that it lacked, 0 that differ" in report


def test_a_gap_is_missing_and_told(append):
    _, report = append(table_of("2024-01-01T00:30", 1, a=[9], b=[9]))
    np.testing.assert_array_equal(
        values_of(append.file)[3:], [[3, 13], [NAN] * 2, [NAN] * 2, [9, 9]]
    )
    assert "2 steps between the file and the new readings" in report
    assert "2024-01-01T00:20:00+00:00 to 2024-01-01T00:25:00+00:00" in report


def test_an_overlap_is_compared_and_holes_are_filled(append):
    status, report = append(table_of("2024-01-01T00:10", 3, a=[2, 3, 4], b=[12, 13, 14]))
    assert status == 0
    expected = [[0, 10], [1, 11], [2, 12], [3, 13], [4, 14]]
    np.testing.assert_array_equal(values_of(append.file), expected)
    assert "3 readings as in the file, 1 that it lacked, 0 that differ" in report


@pytest.mark.parametrize(("rule", "expected"), [("first", 3), ("last", 99), ("mean", 51)])
def test_readings_that_differ_are_an_error_unless_a_rule_is_set(append, rule, expected):
    text = table_of("2024-01-01T00:15", 2, a=[99, 4], b=[13, 14])
    status, said = append(text)
    assert status == 2
    assert "speed of a at 2024-01-01T00:15:00+00:00, 3 in the file and 99 now" in said
    (option,) = re.findall(r"(--on-conflict) first", said)
    assert append(text, option, rule)[0] == 0
    assert values_of(append.file)[3:, 0].tolist() == [expected, 4]


def test_what_means_missing_in_the_file_means_it_in_what_is_added(write_file, tmp_path, capsys):
    path, table = tmp_path / "n.h5", write_file("d.csv", TABLE)
    first = write_file("1.csv", table_of("2024-01-01T00:00", 2, a=[-99, 50], b=[60, 999]))
    words = ["--detectors", str(table), "--null-value", "-99", "--range", "speed=0:200"]
    assert main(["convert", "csv", str(path), "--wide", f"speed={first}", *words]) == 0
    new = write_file("2.csv", table_of("2024-01-01T00:10", 2, a=[-99, 51], b=[0, 999]))
    assert main(["append", str(path), "--format", "csv", "--wide", f"speed={new}"]) == 0
    np.testing.assert_array_equal(values_of(path), [[NAN, 60], [50, NAN], [NAN, 0], [51, NAN]])
    last = write_file("3.csv", table_of("2024-01-01T00:20", 1, a=[52], b=[0]))
    words = ["append", str(path), "--format", "csv", "--wide", f"speed={last}"]
    assert main([*words, "--null-value", "0", "--range", "speed=0:51"]) == 0
    np.testing.assert_array_equal(values_of(path)[4:], [[NAN, NAN]])


def test_codes_of_finer_readings_mean_missing_in_what_is_added(write_file, tmp_path, capsys):
    path, table = tmp_path / "n.h5", write_file("d.csv", TABLE)
    first = write_file("1.csv", table_of("2024-01-01T00:00", 6, a=[5] * 5 + [-1], b=[1] * 6))
    words = ["--detectors", str(table), "--null-value", "-1", "--range", "flow=0:10"]
    words += ["--interval", "15min", "--unit", "flow=veh/5min"]
    assert main(["convert", "csv", str(path), "--wide", f"flow={first}", *words]) == 0
    new = write_file("2.csv", table_of("2024-01-01T00:30", 3, a=[-1, 5, 5], b=[1, 999, 1]))
    words = ["append", str(path), "--format", "csv", "--unit", "flow=veh/5min", "--wide"]
    assert main([*words, f"flow={new}"]) == 0
    np.testing.assert_array_equal(values_of(path), [[15, 3], [15, 3], [15, 3]])
    coarse = write_file("3.csv", "time,a,b\n2024-01-01T00:45,15,3\n2024-01-01T01:00,-1,3\n")
    words = ["append", str(path), "--format", "csv", "--wide", f"flow={coarse}"]
    assert main(words) == 2
    assert "Set --range flow=LOWEST:HIGHEST" in capsys.readouterr().err
    assert main([*words, "--range", "flow=0:30"]) == 0
    np.testing.assert_array_equal(values_of(path)[3:], [[15, 3], [NAN, 3]])


def test_a_stray_date_is_refused_instead_of_filled(append):
    status, said = append(table_of("2034-01-01T00:00", 1, a=[20], b=[21]))
    assert status == 2
    assert "2034-01-01T00:00:00+00:00, 1052060 steps after the end of" in said
    assert "Correct the times" in said


def test_missing_readings_take_nothing_away(append):
    append(table_of("2024-01-01T00:10", 2, a=["", ""], b=["", ""]))
    np.testing.assert_array_equal(values_of(append.file)[2:], [[2, NAN], [3, 13]])


def test_new_detectors_are_missing_before(append, write_file):
    table = str(write_file("d.csv", TABLE))
    text = table_of("2024-01-01T00:20", 2, c=[30, 31], a=[4, 5])
    status, report = append(text, "--detectors", table)
    assert status == 0
    series = schema.read(append.file)
    assert series.vdids == ["a", "b", "c"]
    np.testing.assert_array_equal(
        series.values[3:, :, 0], [[3, 13, NAN], [4, NAN, 30], [5, NAN, 31]]
    )
    assert np.isnan(series.values[:4, 2]).all()
    assert series.lat[2] == 25.02
    assert "1, missing before: c" in report
    assert "1 detectors have none: b" in report


def test_detectors_that_moved_are_told_and_stay(append, write_file):
    table = str(write_file("d.csv", TABLE.replace("a,25.0,", "a,25.001,")))
    _, report = append(table_of("2024-01-01T00:20", 1, a=[4], b=[5]), "--detectors", table)
    assert re.search(r"moved +1 detectors.*: a \(11\d m\)", report)
    assert schema.read(append.file).lat[0] == 25.0


def test_finer_readings_come_to_the_interval_of_the_file(append):
    lines = ["time,a,b"] + [f"2024-01-01T00:{20 + m},{m},{m}" for m in range(5)]
    assert append("\n".join(lines) + "\n")[0] == 0
    np.testing.assert_array_equal(values_of(append.file)[4:], [[2, 2]])


@pytest.mark.parametrize(
    ("text", "words", "feature"),
    [
        (table_of("2023-12-31T23:55", 2, a=[4, 5]), "begin at 2023-12-31T23:55", "speed"),
        (table_of("2024-01-01T00:21", 2, a=[4, 5]), "off the times of", "speed"),
        (table_of("2024-01-01T00:20", 2, a=[4, 5]), "['flow'] besides", "flow"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_file_stays(append, text, words, feature):
    status, said = append(text, feature=feature)
    assert status == 2
    assert words in said


def test_another_unit_is_refused(append):
    status, said = append(table_of("2024-01-01T00:20", 1, a=[4]), "--unit", "speed=mph")
    assert status == 2
    assert "has speed in km/h, the new readings in mph" in said


def test_days_one_by_one_equal_all_at_once(write_file, tmp_path, capsys):
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 90, (288 * 3, 2)).round(2)
    table = str(write_file("d.csv", TABLE))
    for day in range(3):
        rows = values[288 * day : 288 * (day + 1)]
        text = table_of(f"2024-01-0{day + 1}T00:00", 288, a=rows[:, 0], b=rows[:, 1])
        words = ["--wide", f"speed={write_file('x.csv', text)}", "--detectors", table]
        out = str(tmp_path / "f.h5")
        command = ["append", out, "--format", "csv"] if day else ["convert", "csv", out]
        assert main([*command, *words]) == 0
    np.testing.assert_array_equal(values_of(tmp_path / "f.h5"), values.astype(np.float32))
    assert main(["inspect", str(tmp_path / "f.h5")]) == 0
    capsys.readouterr()


def test_ways_and_what_is_known_stay(append, tmp_path):
    series = schema.read(append.file)
    series.edges = RoadDistances(np.array([[0], [1]]), np.array([700.0]))
    series.vd_info = {"a": {"road": "R1"}}
    series.source = "by hand"
    schema.write(append.file, series)
    append(table_of("2024-01-01T00:20", 1, a=[4], b=[5]))
    found = schema.read(append.file)
    assert found.edges.distance.tolist() == [700]
    assert found.vd_info["a"]["road"] == "R1"
    assert found.source == "by hand"


def test_a_file_whose_readings_cannot_grow_is_made_anew(append):
    """As all files that were written before there was 'append'."""
    with h5py.File(append.file, "r+") as file:
        values = file["data/features"][()]
        del file["data/features"]
        file["data/features"] = values
    assert append(table_of("2024-01-01T00:20", 1, a=[4], b=[5]))[0] == 0
    np.testing.assert_array_equal(values_of(append.file)[2:], [[2, NAN], [3, 13], [4, 5]])


@pytest.mark.slow
def test_many_small_appends_do_not_bloat_the_file(append):
    for step in range(40):
        time = np.datetime64("2024-01-01T00:20") + step * np.timedelta64(5, "m")
        assert append(table_of(str(time), 1, a=[step], b=[step]))[0] == 0
    size = append.file.stat().st_size
    series = schema.read(append.file)
    schema.write(append.file, series)
    assert size < 2 * append.file.stat().st_size
    assert values_of(append.file)[4:, 0].tolist() == list(range(40))


def test_a_damaged_file_is_named_and_stays(append):
    append.file.write_bytes(append.file.read_bytes()[:3000])
    status, said = append(table_of("2024-01-01T00:20", 1, a=[4]))
    assert status == 2
    assert "f.h5'" in said


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_file(append, write_file):
    path = write_file("new.csv", table_of("2024-01-01T00:20", 3000, a=range(3000)))
    words = ["append", str(append.file), "--format", "csv", "--wide", f"speed={path}"]
    whole = append.file.read_bytes()
    kinds = set()
    for moment in np.linspace(0, 0.25, 25):
        append.file.write_bytes(whole)
        process = os.fork()
        if process == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os._exit(main(words))
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        kinds.add(len(schema.read(append.file).timestamps))
    assert kinds <= {4, 3004}
    assert main(words) in (0, 2)


def start_append(file, readings):
    command = [sys.executable, "-m", "data_prep", "append", str(file), "--format", "csv"]
    return subprocess.Popen([*command, "--wide", f"speed={readings}"], cwd=ROOT)


@pytest.mark.slow
def test_two_that_append_at_once_lose_nothing(yesterday, write_file):
    texts = [table_of(f"2024-01-01T00:{20 + 5 * n}", 1, a=[n], b=[n]) for n in range(3)]
    paths = [write_file(f"{n}.csv", text) for n, text in enumerate(texts)]
    with one_writer(yesterday):  # so that all of them wait
        others = [start_append(yesterday, path) for path in paths[1:]]
        time.sleep(2)
        words = ["append", str(yesterday), "--format", "csv", "--wide", f"speed={paths[0]}"]
        assert main(words) == 0
        assert [other.poll() for other in others] == [None, None]
    assert [other.wait(60) for other in others] == [0, 0]
    assert values_of(yesterday)[4:, 0].tolist() == [0, 1, 2]
    assert not list(yesterday.parent.glob(".*"))


def test_another_interval_than_that_of_the_file_is_refused(append):
    text = table_of("2024-01-01T00:20", 6, a=range(6), b=range(6))
    status, said = append(text, "--interval", "15min")
    assert status == 2
    assert "has a step every 5 minutes, and --interval says 15. Leave it out" in said
    assert append(text)[0] == 0
    assert append(table_of("2024-01-01T00:50", 1, a=[1], b=[1]), "--interval", "5min")[0] == 0


def test_readings_further_apart_than_the_file_are_sent_to_a_file_of_their_own(append, tmp_path):
    hourly = [f"2024-01-01T{hour:02}:00,1,2" for hour in range(1, 6)]
    text = "time,a,b\n" + "\n".join(hourly) + "\n"
    status, said = append(text)
    assert status == 2
    assert "Convert them at their own distance to a file of their own: set --interval" in said
    words = ["--wide", f"speed={tmp_path / 'new.csv'}", "--detectors", str(tmp_path / "d.csv")]
    assert main(["convert", "csv", str(tmp_path / "o.h5"), *words, "--interval", "1h"]) == 0
    assert schema.read(tmp_path / "o.h5").interval_minutes == 60


LAYOUT = ["--id-column", "id", "--time-column", "time", "--features", "q=volume", "v=speed"]


def days_of(write_file, tmp_path, days, words, later=()):
    """Status of a file that is made of the first of ``days`` and to which the others are added;
    its readings, and those of a file that is made of all at once."""
    detectors = str(write_file("d.csv", TABLE))
    parts, whole = tmp_path / "parts.h5", tmp_path / "whole.h5"
    rows = [text.splitlines(keepends=True) for text in days]
    texts = [*days, "".join([rows[0][0], *(line for day in rows for line in day[1:])])]
    paths = [write_file(f"{number}.csv", text) for number, text in enumerate(texts)]
    made = ["--detectors", detectors, "--overwrite", *LAYOUT, *words]
    assert main(["convert", "csv", str(whole), "--long", str(paths[-1]), *made]) == 0
    assert main(["convert", "csv", str(parts), "--long", str(paths[0]), *made]) == 0
    for path in paths[1:-1]:
        command = ["append", str(parts), "--format", "csv", "--long", str(path), *LAYOUT, *later]
        if status := main(command):
            return status, None, None
    return 0, schema.read(parts).values, schema.read(whole).values


def quarters(first, hours=6, ends=0):
    """Rows of a and b every 15 minutes, with a volume and a speed."""
    rng = np.random.default_rng(hours + int(first[8:10]))
    times = np.datetime64(first, "s") + np.arange(4 * hours) * np.timedelta64(900, "s")
    times = times + np.timedelta64(ends, "s")
    rows = [f"{v},{t},{rng.integers(100, 900)},{rng.integers(30, 90)}" for v in "ab" for t in times]
    return "\n".join(["id,time,q,v", *rows]) + "\n"


@pytest.mark.parametrize(
    "words",
    [
        "--unit volume=veh/h",
        "--unit volume=veh/15min --rule speed=weighted",
        "--rule volume=mean --min-share 1",
        "--rule volume=last speed=last",
    ],
)
def test_what_was_said_of_finer_readings_holds_for_those_that_are_added(
    write_file, tmp_path, capsys, words
):
    """A volume that was a rate was summed in what was added, and a weighted speed averaged."""
    second = quarters("2024-01-01T06:00").splitlines(keepends=True)
    days = [quarters("2024-01-01T00:00"), "".join(second[:-1])]  # its last step has three of four
    said = [*words.split(), "--interval", "1h"]
    status, parts, whole = days_of(write_file, tmp_path, days, said)
    assert status == 0
    np.testing.assert_array_equal(parts, whole)
    assert np.isnan(parts[-1, 1, 0]) == ("--min-share" in words)
    rules = schema.read(tmp_path / "parts.h5").source_rules
    assert rules == schema.read(tmp_path / "whole.h5").source_rules
    capsys.readouterr()


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ("--rule speed=mean", "--rule speed=weighted, and --rule speed=mean is set"),
        ("--min-share 0.25", "--min-share 0.5, and --min-share 0.25 is set"),
        ("--unit volume=veh/15min", "has volume in veh/h, the new readings in veh/15min"),
    ],
)
def test_what_contradicts_how_a_file_was_made_is_refused(write_file, tmp_path, capsys, later, said):
    days = [quarters("2024-01-01T00:00"), quarters("2024-01-01T06:00")]
    words = ["--interval", "1h", "--unit", "volume=veh/h", "--rule", "speed=weighted"]
    assert days_of(write_file, tmp_path, days, words, later.split())[0] == 2
    assert said in capsys.readouterr().err
    same = ["--rule", "speed=weighted", "--min-share", "0.5"]
    assert days_of(write_file, tmp_path, days, words, same)[0] == 0
    capsys.readouterr()


@pytest.mark.parametrize("interval", ["15min", "1h"])
def test_times_that_are_ends_are_so_in_what_is_added(write_file, tmp_path, capsys, interval):
    days = [quarters("2024-01-01T00:00", ends=870), quarters("2024-01-01T06:00", ends=870)]
    words = ["--interval", interval, "--unit", "volume=veh/h"]
    words += ["--label-end", "15min", "--round", "15min"]
    status, parts, whole = days_of(write_file, tmp_path, days, words)
    assert status == 0
    np.testing.assert_array_equal(parts, whole)
    assert len(parts) == (48 if interval == "15min" else 12)
    assert days_of(write_file, tmp_path, days[:1], words)[0] == 0
    starts = str(write_file("starts.csv", quarters("2024-01-01T06:00")))
    command = ["append", str(tmp_path / "parts.h5"), "--format", "csv", "--long", starts, *LAYOUT]
    assert main([*command, "--label-end", "0"]) == 0
    np.testing.assert_array_equal(schema.read(tmp_path / "parts.h5").values, whole)
    capsys.readouterr()


def test_a_unit_that_may_be_a_rate_or_a_count_is_asked_for(write_file, tmp_path, capsys):
    """An hourly file of veh/h may hold either, and keeps no rule, as nothing was finer."""
    hourly = [f"{v},2024-01-01T0{h}:00,{400 + h},50\n" for v in "ab" for h in range(6)]
    days = ["id,time,q,v\n" + "".join(hourly), quarters("2024-01-01T06:00")]
    words = ["--unit", "volume=veh/h", "--interval", "1h"]
    detectors = str(write_file("d.csv", TABLE))
    paths = [write_file(f"{number}.csv", text) for number, text in enumerate(days)]
    out = tmp_path / "f.h5"
    made = ["--long", str(paths[0]), "--detectors", detectors, *LAYOUT, *words]
    assert main(["convert", "csv", str(out), *made]) == 0
    command = ["append", str(out), "--format", "csv", "--long", str(paths[1]), *LAYOUT]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "may be a rate or a count" in said
    (advice,) = re.findall(r"Set (--unit volume=veh/h) if they are rates", said)
    assert main([*command, *advice.split()]) == 0
    first = [int(row.split(",")[2]) for row in days[1].splitlines()[1:5]]
    assert schema.read(out).values[6, 0, 0] == np.float32(np.mean(first))
    capsys.readouterr()


def test_a_file_that_keeps_nothing_is_added_to_as_before(write_file, tmp_path, capsys):
    days = [quarters("2024-01-01T00:00"), quarters("2024-01-01T06:00")]
    words = ["--interval", "1h", "--unit", "volume=veh/15min"]
    assert days_of(write_file, tmp_path, days[:1], words)[0] == 0
    with h5py.File(tmp_path / "parts.h5", "r+") as file:
        del file.attrs["source_rules"]
    new = str(write_file("new.csv", days[1]))
    command = ["append", str(tmp_path / "parts.h5"), "--format", "csv", "--long", new, *LAYOUT]
    assert main(command) == 0
    assert "coarser        volume sum, speed mean" in capsys.readouterr().out


@pytest.mark.parametrize("interval", ["3h", "24h"])
def test_steps_go_on_as_the_file_has_them_after_the_clock_was_changed(
    write_file, tmp_path, capsys, interval
):
    """The 31st of March 2024 has 23 hours in Berlin: steps begin an hour later on the clock."""
    local = np.arange("2024-03-30T00", "2024-04-02T00", dtype="datetime64[h]")
    local = local[local != np.datetime64("2024-03-31T02")]  # an hour that is left out
    rows = [f"{time}:00,{n % 24},{n}\n" for n, time in enumerate(local)]
    days = [rows[:24], rows[24:48], rows[48:]]  # the second ends where a step of 24 h does
    words = ["--detectors", str(write_file("d.csv", TABLE)), "--interval", interval]
    words += ["--timezone", "Europe/Berlin", "--rule", "count=sum"]
    parts, whole = tmp_path / "parts.h5", tmp_path / "whole.h5"
    for number, day in enumerate([rows, *days]):
        path = write_file(f"{number}.csv", "time,a,b\n" + "".join(day))
        out = parts if number else whole
        if number > 1:
            command = ["append", str(parts), "--format", "csv", "--wide", f"count={path}"]
            assert main(command) == 0
        else:
            assert main(["convert", "csv", str(out), "--wide", f"count={path}", *words]) == 0
    first = "2024-03-31T04:00:00" if interval == "3h" else "2024-04-01T01:00:00"
    told = f"steps begin at other times of the day from {first}+02:00 on"
    assert capsys.readouterr().out.count(told) == 2  # of the whole and of what is added
    found, expected = schema.read(parts), schema.read(whole)
    np.testing.assert_array_equal(found.timestamps, expected.timestamps)
    np.testing.assert_array_equal(found.values, expected.values)


def test_another_clock_moves_no_step_of_the_file(write_file, tmp_path, capsys):
    words = ["--detectors", str(write_file("d.csv", TABLE)), "--interval", "1h"]
    words += ["--timezone", "Asia/Kolkata", "--rule", "speed=mean"]
    out = tmp_path / "f.h5"
    first = write_file("1.csv", table_of("2024-01-01T00:00", 24, a=range(24), b=range(24)))
    assert main(["convert", "csv", str(out), "--wide", f"speed={first}", *words]) == 0
    utc = write_file("2.csv", table_of("2023-12-31T20:30", 12, a=[7] * 12, b=[8] * 12))
    command = ["append", str(out), "--format", "csv", "--wide", f"speed={utc}"]
    assert main([*command, "--timezone", "UTC"]) == 0
    assert values_of(out)[2:].tolist() == [[7, 8]]
    capsys.readouterr()


def test_readings_beside_the_steps_of_the_file_are_named_with_them(append):
    status, said = append(table_of("2024-01-01T00:21", 2, a=[4, 5], b=[4, 5]))
    assert status == 2
    assert "begin at 2024-01-01T00:21:00+00:00, off the times of" in said
    assert "every 5 minutes from 2024-01-01T00:00:00+00:00 on, by 60 seconds" in said


def test_a_detector_that_tells_less_often_does_so_in_pieces_too_short_to_show_it(
    write_file, tmp_path, capsys
):
    """Of b there is a reading every 15 minutes, in a source of five."""
    rows = table_of(
        "2024-01-01T00:00", 60, a=range(60), b=[n if n % 3 == 0 else "" for n in range(60)]
    )
    head, *rows = rows.splitlines(keepends=True)
    words = ["--interval", "15min", "--rule", "count=sum"]
    words += ["--detectors", str(write_file("d.csv", TABLE))]
    parts, whole = tmp_path / "parts.h5", tmp_path / "whole.h5"
    path = write_file("all.csv", head + "".join(rows))
    assert main(["convert", "csv", str(whole), "--wide", f"count={path}", *words]) == 0
    path = write_file("0.csv", head + "".join(rows[:48]))
    assert main(["convert", "csv", str(parts), "--wide", f"count={path}", *words]) == 0
    for first, last in ((48, 51), (51, 57), (57, 60)):
        path = write_file("new.csv", head + "".join(rows[first:last]))
        capsys.readouterr()
        assert main(["append", str(parts), "--format", "csv", "--wide", f"count={path}"]) == 0
        assert "15 min as is known, at 1 detectors (b)" in capsys.readouterr().out
    np.testing.assert_array_equal(values_of(parts), values_of(whole))
    assert values_of(parts)[-4:, 1].tolist() == [48, 51, 54, 57]


def test_a_detector_that_tells_as_often_as_others_again_is_taken_as_it_is(
    write_file, tmp_path, capsys
):
    text = table_of(
        "2024-01-01T00:00", 48, a=range(48), b=[1 if n % 3 == 0 else "" for n in range(48)]
    )
    words = ["--interval", "15min", "--rule", "count=sum"]
    words += ["--detectors", str(write_file("d.csv", TABLE))]
    out, path = tmp_path / "f.h5", write_file("0.csv", text)
    assert main(["convert", "csv", str(out), "--wide", f"count={path}", *words]) == 0
    path = write_file("1.csv", table_of("2024-01-01T04:00", 3, a=[1, 1, 1], b=[1, 2, 3]))
    assert main(["append", str(out), "--format", "csv", "--wide", f"count={path}"]) == 0
    assert (
        "less than is known, and taken as they are, at 1 detectors (b)" in capsys.readouterr().out
    )
    assert values_of(out)[-2:].tolist() == [[45 + 46 + 47, 1], [3, 6]]


@pytest.mark.parametrize(
    ("share", "name", "value"), [("0.5", "too few", NAN), ("0.3", "raised", 21)]
)
def test_detectors_of_too_few_readings_are_named_with_what_mends_it(
    write_file, tmp_path, capsys, share, name, value
):
    path = write_file("0.csv", table_of("2024-01-01T00:00", 3, a=[1, 2, 3], b=[7, "", ""]))
    words = ["--interval", "15min", "--rule", "count=sum", "--detectors"]
    words += [str(write_file("d.csv", TABLE)), "--wide", f"count={path}"]
    out = tmp_path / "f.h5"
    assert main(["convert", "csv", str(out), *words, "--min-share", share]) == 0
    (told,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith(name)]
    np.testing.assert_array_equal(values_of(out), [[6, value]])
    (advice,) = re.findall(r"set (--apart b=)LENGTH", told)
    mended = [*words, "--overwrite", *f"{advice}15min x=1h".split()]
    assert main(["convert", "csv", str(out), *mended]) == 0
    said = capsys.readouterr().out
    assert "of too few" in said
    assert f"\n{name}" not in said
    assert "no readings of x, which --apart names" in said
    assert values_of(out).tolist() == [[6, 7]]
    assert schema.read(out).vd_info["b"]["seconds_apart"] == 900


@pytest.mark.parametrize("kept", ["often", -900, 0.5])
def test_a_distance_that_is_none_is_refused(append, kept):
    with h5py.File(append.file, "r+") as file:
        file["metadata/vd_info/b"].attrs["seconds_apart"] = kept
    status, said = append(table_of("2024-01-01T00:20", 1, a=[4], b=[5]))
    assert status == 2
    assert "Expected whole seconds as 'seconds_apart' of b" in said
