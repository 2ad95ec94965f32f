import re

import numpy as np
import openpyxl
import pandas as pd
import pytest

from data_prep.formats.long import read_long
from data_prep.sources import expand_paths
from data_prep.tables import TableFormat

NAN = np.nan
HEAD = "id,t,v,q\n"


@pytest.fixture
def convert(collect):
    def convert(*paths, words=()):
        features = {"v": "speed", "q": "flow"}
        return collect(read_long(paths, "id", features, TableFormat(time_column=("t",))), *words)

    return convert


def test_rows_of_many_files_become_one_array(convert, write_file):
    first = write_file("1.csv", HEAD + "a,2024-01-01 00:00,1,10\nb,2024-01-01 00:00,2,20\n")
    second = write_file("2.csv", HEAD + "b,2024-01-01 00:05,4,\na,2024-01-01 00:05,3,30\n")
    readings, _ = convert(first, second)
    assert readings.vdids == ["a", "b"]
    assert readings.feature_names == ["speed", "flow"]
    np.testing.assert_array_equal(readings.values[..., 0], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(readings.values[..., 1], [[10, 20], [30, NAN]])


def test_columns_may_differ_in_order_between_files(convert, write_file):
    first = write_file("1.csv", HEAD + "a,2024-01-01 00:00,1,10\n")
    second = write_file("2.csv", "q,v,x,t,id\n30,3,z,2024-01-01 00:05,a\n")
    readings, _ = convert(first, second)
    assert readings.values[:, 0].tolist() == [[1, 10], [3, 30]]


def test_disorder_duplicates_and_missing_rows_are_mended_and_counted(convert, write_file):
    rows = ["a,2024-01-01 00:10,3,1", "a,2024-01-01 00:00,1,1", "a,2024-01-01 00:00,1,1"]
    rows += ["b,2024-01-01 00:05,7,1", "b,2024-01-01 00:25,0,1"]
    readings, report = convert(write_file("1.csv", HEAD + "\n".join(rows) + "\n"))
    np.testing.assert_array_equal(readings.values[:, 0, 0], [1, NAN, 3, NAN, NAN, NAN])
    np.testing.assert_array_equal(readings.values[:, 1, 0], [NAN, 7, NAN, NAN, NAN, 0])
    assert "1 rows stood after a later time of their detector; sorted" in report
    assert "1 identical rows dropped" in report
    assert "1, 2 steps filled with NaN" in report
    assert "8 of 12 (id, time) pairs have no row" in report


def test_pairs_that_differ_are_an_error_naming_them(convert, write_file):
    path = write_file("1.csv", HEAD + "a,2024-01-01 00:05,1,1\na,2024-01-01 00:05,2,1\n")
    with pytest.raises(ValueError, match=r"a at 2024-01-01T00:05:00.00:00.*--on-conflict"):
        convert(path)


def test_null_values_are_counted_by_feature(convert, write_file):
    path = write_file("1.csv", HEAD + "a,2024-01-01 00:00,-99,1\na,2024-01-01 00:05,0,255\n")
    readings, report = convert(path, words=["--null-value", "-99", "255"])
    np.testing.assert_array_equal(readings.values[:, 0], [[NAN, 1], [0, NAN]])
    assert "-99, 255: 1 of speed readings" in report
    assert "-99, 255: 1 of flow readings" in report


def test_missing_column_names_the_file(convert, write_file):
    first = write_file("1.csv", HEAD + "a,2024-01-01 00:00,1,10\n")
    with pytest.raises(KeyError, match=r"2\.csv' has no column 'q'.*--features"):
        convert(first, write_file("2.csv", "id,t,v\na,2024-01-01 00:00,1\n"))


def test_two_columns_of_one_feature_are_refused(run, write_file):
    path = write_file("a.csv", "t,id,a,b\n2024-01-01T00:00,x,1,2\n2024-01-01T00:05,x,3,4\n")
    table = write_file("d.csv", "id,lat,lon\nx,25.0,121.5\n")
    words = ["--id-column", "id", "--time-column", "t", "--detectors", table]
    _, said = run("csv", "--long", path, *words, "--features", "a=flow", "b=flow")
    assert "--features with one column for flow (got ['a', 'b'])" in said


def test_hours_and_minutes_without_a_colon_are_asked_for(run, write_file):
    hours = "".join(f"2024-01-0{day},{hour}00,x,{hour}\n" for day in (1, 2) for hour in range(24))
    path = write_file("a.csv", "day,clock,id,flow\n" + hours)
    table = write_file("d.csv", "id,lat,lon\nx,25.0,121.5\n")
    words = ["--long", path, "--id-column", "id", "--time-column", "day", "clock"]
    words += ["--features", "flow=flow", "--detectors", table]
    _, said = run("csv", *words)
    assert "may be hours and minutes" in said
    series, said = run("csv", *words, "--time-format", "%Y-%m-%d %H%M")
    assert series is not None, said
    assert series.interval_minutes == 60
    assert series.values[:, 0, 0].tolist() == [*range(24), *range(24)]


def test_files_without_rows_are_refused(convert, write_file):
    with pytest.raises(ValueError, match=r"no rows"):
        convert(write_file("1.csv", HEAD))


def test_files_globs_and_folders_are_expanded_in_order(write_file, tmp_path):
    names = [write_file(f"in/{name}", "x") for name in ("b.csv", "a.csv", "c.txt", ".hidden")]
    folder = str(tmp_path / "in")
    assert [path.name for path in expand_paths([folder])] == ["a.csv", "b.csv", "c.txt"]
    assert [path.name for path in expand_paths([f"{folder}/*.csv"])] == ["a.csv", "b.csv"]
    assert expand_paths([str(names[0]), f"{folder}/*.csv"])[0] == names[0]
    with pytest.raises(FileNotFoundError, match=r"\*\.stream"):
        expand_paths([f"{folder}/*.stream"])


@pytest.mark.parametrize("column", ["id", "t", "lane"])
def test_a_column_of_ids_times_or_lanes_holds_no_readings(write_file, run, column):
    path = write_file("1.csv", "id,t,lane,v\na,2024-01-01 00:00,1,1\n")
    words = ["--long", path, "--id-column", "id", "--time-column", "t", "--lane-column", "lane"]
    _, said = run("csv", *words, "--features", f"{column}=flow")
    assert f"Expected --features as columns of readings (got '{column}'" in said


@pytest.fixture
def in_two(write_file, run):
    """Convert rows of a date and a time of day, with readings that count up."""

    def in_two(rows, *words):
        cells = [f"a;{day};{clock};{n}" for n, (day, clock) in enumerate(rows)]
        path = write_file("r.csv", "\n".join(["id;day;clock;flow", *cells]) + "\n")
        table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
        long = ["--long", path, "--id-column", "id", "--time-column", "day", "clock"]
        return run("csv", *long, "--features", "flow=flow", "--detectors", table, *words)

    return in_two


@pytest.mark.parametrize("day", ["01.01.2024", "2024-01-01"])
def test_a_date_and_an_hour_are_read_as_the_error_says(in_two, day):
    rows = [(day, hour) for hour in range(24)]
    series, said = in_two(rows)
    assert series is None
    assert "up to 23 in column 'clock'" in said
    assert "may be hours. If" in said
    wanted = re.search(r"'(%d\.%m\.%Y %H)'" if "." in day else r"'(%Y-%m-%d %H)'", said)[1]
    series, _ = in_two(rows, "--time-format", wanted)
    assert str(series.timestamps[0]) == "2024-01-01T00:00:00"
    assert series.values[:, 0, 0].tolist() == [*range(24)]


def test_hours_from_1_to_24_are_the_ends_of_theirs(in_two):
    rows = [(day, f"{hour:02}") for day in ("240101", "240102") for hour in range(1, 25)]
    words = ["--time-format", "%y%m%d %H"]
    series, said = in_two(rows, *words)
    assert series is not None, said
    assert str(series.timestamps[[0, -1]]) == "['2024-01-01T01:00:00' '2024-01-03T00:00:00']"
    series, said = in_two(rows, *words, "--label-end", "1h")
    assert str(series.timestamps[[0, -1]]) == "['2024-01-01T00:00:00' '2024-01-02T23:00:00']"
    assert series.values[:, 0, 0].tolist() == [*range(48)]
    assert "labels        times are the ends of 1 h, and were brought to the starts" in said


def test_a_label_end_that_is_no_distance_of_readings_is_refused(in_two):
    rows = [("2024-01-01", f"{hour}:00") for hour in range(9)]
    series, said = in_two(rows, "--label-end", "15min")
    assert series is None
    assert "are 1 h apart, and --label-end says 15 min. Set --label-end 1h" in said
    assert str(in_two(rows, "--label-end", "1h")[0].timestamps[0]) == "2023-12-31T23:00:00"


def test_labels_a_minute_before_the_end_are_rounded_first(in_two):
    rows = [("2024-01-01T00:00:00", f"{h:02}:{m}:00") for h in (0, 1) for m in (14, 29, 44, 59)]
    series, _ = in_two(rows)
    assert str(series.timestamps[0]) == "2024-01-01T00:14:00"
    series, _ = in_two(rows, "--label-end", "15min", "--round", "15min")
    assert str(series.timestamps[0]) == "2024-01-01T00:00:00"
    assert series.values[:, 0, 0].tolist() == [*range(8)]


def test_labels_at_the_end_pass_the_hour_that_is_left_out_in_spring(in_two):
    """The hour from 2 to 3 does not exist, that from 1 to 2 does, and ends at 2."""
    rows = [("2024-03-31", f"{hour}:00") for hour in (1, 2, 4, 5)]
    series, _ = in_two(rows, "--label-end", "1h", "--timezone", "Europe/Berlin")
    assert series.values[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert str(series.timestamps[0]) == "2024-03-30T23:00:00"


@pytest.mark.parametrize("clock", ["time", "duration"])
@pytest.mark.parametrize("form", ["long", "wide"])
def test_a_workbook_with_a_date_and_a_time_of_day(run, write_file, tmp_path, clock, form):
    starts = pd.date_range("2024-01-01", periods=192, freq="15min")
    clocks = starts.time if clock == "time" else starts - starts.normalize()
    book = openpyxl.Workbook()
    book.active.append(["day", "clock", "a", *(["id"] if form == "long" else [])])
    for row in zip(starts.normalize().to_pydatetime(), clocks, range(192), strict=True):
        book.active.append([*row, *(["a"] if form == "long" else [])])
    book.save(tmp_path / "r.xlsx")
    words = ["--wide", f"flow={tmp_path / 'r.xlsx'}"]
    if form == "long":
        words = ["--long", tmp_path / "r.xlsx", "--id-column", "id", "--features", "a=flow"]
        words += ["--time-column", "day", "clock"]
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
    series, said = run("csv", *words, "--detectors", table)
    assert series is not None, said
    assert (series.timestamps == starts.to_numpy()).all()
    assert series.values[:, 0, 0].tolist() == [*range(192)]


def test_fractions_of_a_day_are_told_for_what_they_are(in_two):
    series, said = in_two([("2024-01-01", n / 96) for n in range(96)])
    assert series is None
    assert "fractions of a day, as Excel counts them: format the column there as a time" in said


@pytest.fixture
def flagged(write_file, run):
    """Convert rows with a column that says how good they are."""

    def flagged(*words):
        rows = [f"a;2024-01-01T00:0{n};{n};{'NNSN'[n]};1.0" for n in range(4)]
        path = write_file("r.csv", "\n".join(["id;t;v;error;q", *rows]) + "\n")
        table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
        words = ["--id-column", "id", "--time-column", "t", "--features", "v=speed", *words]
        return run("csv", "--long", path, "--detectors", table, *words)

    return flagged


def test_rows_are_kept_by_the_texts_of_columns(flagged):
    series, said = flagged("--keep-rows", "error=N", "q=1.0")
    np.testing.assert_array_equal(series.values[:, 0, 0], [0, 1, NAN, 3])
    assert re.search(r"kept rows +3 of 4 \(--keep-rows\)", said)
    assert (flagged("--keep-rows", "error=N", "error=S")[0].values[:, 0, 0] == range(4)).all()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("error=n", "asks for 'n' in column 'error', which holds 'N', 'S'"),
        ("flag=N", "has no column 'flag'"),
        ("error", "COLUMN=TEXT (got 'error')"),
        ("v=1", "without columns of readings (got 'v')"),
    ],
)
def test_rows_to_keep_that_are_not_there_are_told(flagged, word, told):
    series, said = flagged("--keep-rows", word)
    assert series is None
    assert told in said
