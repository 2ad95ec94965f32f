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
