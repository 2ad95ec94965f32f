import gzip

import numpy as np
import pytest

from tests.data_prep.conftest import case

NAN = np.nan
META = (
    "ID\tFwy\tDir\tDistrict\tAbs_PM\tLatitude\tLongitude\tLength\tType\tLanes\tName\n"
    "400001\t101\tN\t4\t10.1\t37.36\t-121.90\t.35\tML\t2\tA ST\n"
    "400002\t101\tS\t4\t10.2\t\t\t.35\tML\t3\tB ST\n"
)


def row(time, station, observed, flow, occupancy, speed, lanes=8):
    head = f"01/02/2024 {time},{station},4,101,N,ML,.35,20,{observed},{flow},{occupancy},{speed}"
    return head + "," * 5 * lanes


@pytest.fixture
def files(write_file):
    rows = [row("00:00:00", 400001, 100, 30, ".012", "66.1")]
    rows += [row("00:00:00", 400002, 100, 28, ".011", "65.1")]
    rows += [row("00:05:00", 400001, 40, 31, ".012", "66.3")]
    rows += [row("00:05:00", 400002, 0, 0, "", "")]
    path = write_file("d04.txt.gz", gzip.compress(("\n".join(rows) + "\n").encode()))
    return path, write_file("meta.txt", META)


def test_the_case_is_read_as_downloaded(run):
    """../shared/cases/pems-raw"""
    folder = case("pems-raw")
    series, _ = run(
        "pems",
        folder / "d04_text_station_5min_2024_01_02.txt.gz",
        "--detectors",
        folder / "d04_text_meta.txt",
    )
    assert series.vdids == ["400001", "400002"]
    assert series.feature_names == ["flow", "occupancy", "speed"]
    assert series.values[:, 0, 0].tolist() == [30, 31]
    np.testing.assert_allclose(series.values[:, 0, 2], [66.1, 66.3], rtol=1e-6)
    assert series.values[:, 1, 0].tolist() == [28, 0]
    np.testing.assert_allclose(series.values[:, 1, 2], [65.1, NAN], rtol=1e-6)
    assert series.units == ["veh/5min", "1", "mph"]
    assert str(series.timestamps[0]) == "2024-01-02T08:00:00"
    assert series.vd_info["400001"]["Abs_PM"] == 10.1
    assert (series.vd_info["400001"]["Dir"], series.vd_info["400001"]["Lanes"]) == ("N", 2)


def test_the_first_line_is_a_reading_and_a_station_may_lack_a_place(files, run):
    path, meta = files
    series, _ = run("pems", path, "--detectors", meta)
    assert series.values.shape == (2, 2, 3)
    assert np.isnan(series.lat).tolist() == [False, True]
    assert series.vd_info["400002"]["Dir"] == "S"


def test_what_was_not_observed_may_be_left_out(files, run):
    path, meta = files
    series, _ = run("pems", path, "--detectors", meta, "--min-observed", "50")
    np.testing.assert_array_equal(series.values[..., 0], [[30, 28], [NAN, NAN]])


def test_flow_is_summed_and_speed_weighted_over_a_quarter_of_an_hour(write_file, files, run):
    rows = [row(f"00:{m:02}:00", 400001, 100, m + 10, ".01", 60 + m) for m in (0, 5, 10)]
    path = write_file("q.txt", "\n".join(rows) + "\n")
    series, _ = run("pems", path, "--detectors", files[1], "--interval", "15min")
    assert series.values[0, 0, 0] == 45
    assert series.values[0, 0, 2] == pytest.approx((60 * 10 + 65 * 15 + 70 * 20) / 45)
    assert series.units[0] == "veh/15min"


def test_another_table_is_refused(write_file, files, run):
    path = write_file("a.csv", "time,a\n2024-01-01,1\n")
    assert "as PeMS 'Station 5-Minute'" in run("pems", path, "--detectors", files[1])[1]


def rows_every(step, count=5):
    times = np.datetime64("2024-01-02T00:00:00") + np.arange(count) * np.timedelta64(step, "s")
    clocks = [f"{t.astype('datetime64[D]')} {str(t)[11:]}" for t in times]
    dates = [f"{c[5:7]}/{c[8:10]}/{c[:4]}{c[10:]}" for c in clocks]
    return "".join(
        f"{d},400001,4,101,N,ML,.5,240,100,3000,.05,65,.1,.1,.1,.1,.1,.1,1000,.05,65\n"
        for d in dates
    )


@pytest.mark.parametrize("name", ["d04_text_station_hour_2024_01.txt", "a.txt"])
def test_station_hour_has_vehicles_per_hour(write_file, files, run, name):
    path = write_file(name, rows_every(3600))
    for words in ([], ["--interval", "1h"]):
        series, _ = run("pems", path, "--detectors", files[1], *words)
        assert series.interval_minutes == 60
        assert series.units[0] == "veh/h"
        assert series.values[:, 0, 0].tolist() == [3000] * 5
        assert "Station Hour of 1 files" in series.source
    series, _ = run("pems", path, "--detectors", files[1], "--interval", "2h")
    assert (series.units[0], series.values[0, 0, 0]) == ("veh/2h", 6000)


def test_one_hour_is_told_by_the_name_of_the_file(write_file, files, run):
    path = write_file("d04_text_station_hour_2024_01.txt", rows_every(3600, 1))
    series, _ = run("pems", path, "--detectors", files[1])
    assert (series.units[0], series.interval_minutes) == ("veh/h", 60)


@pytest.mark.parametrize("name", ["d04_text_station_day_2024_01.txt", "a.txt"])
def test_station_day_is_refused(write_file, files, run, name):
    path = write_file(name, rows_every(86400))
    assert "is Station Day, a reading per day" in run("pems", path, "--detectors", files[1])[1]


@pytest.mark.parametrize(("name", "step"), [("station_5min", 3600), ("station_hour", 300)])
def test_a_name_that_contradicts_the_times_is_refused(write_file, files, run, name, step):
    path = write_file(f"d04_{name}.txt", rows_every(step))
    said = run("pems", path, "--detectors", files[1])[1]
    assert "Rename it to station_5min or station_hour, whichever it is" in said
    right = path.rename(path.with_name(f"{'station_hour' if step == 3600 else 'station_5min'}.txt"))
    series, _ = run("pems", right, "--detectors", files[1])
    assert series.interval_minutes * 60 == step


def test_kinds_are_not_mixed(write_file, files, run):
    five = write_file("station_5min.txt", rows_every(300))
    hour = write_file("station_hour.txt", rows_every(3600))
    said = run("pems", five, hour, "--detectors", files[1])[1]
    assert f"'{hour}' is Station Hour, and '{five}' is Station 5-Minute. Convert each kind" in said
