import numpy as np
import pytest

from data_prep.feed import Feed
from data_prep.formats.metr_la import speed_blocks
from data_prep.tables import TableFormat

ZONE = ["--timezone", "America/Los_Angeles", "--null-value", "0"]
TIMES = (1330560000 + 300 * np.arange(3)) * 10**9


@pytest.fixture
def read(collect):
    def read(path, located, start=None, interval=None, words=()):
        zone = "America/Los_Angeles"
        blocks = speed_blocks(path, located, TableFormat(), start, interval, zone=zone)
        return collect(Feed(blocks, ["speed"]), *ZONE, *words)

    return read


def test_dcrnn_hdf5_is_read(read, tmp_path, write_frame):
    values = [[64.0, 0.0], [63.0, 50.0], [np.nan, 51.0]]
    path = write_frame(tmp_path / "metr-la.h5", "df", TIMES, ["773869", "767541"], values)
    table, report = read(path, ["773869"])
    assert table.vdids == ["773869", "767541"]
    assert "0: 1 of speed readings" in report
    np.testing.assert_array_equal(table.values[..., 0], [[64, np.nan], [63, 50], [np.nan, 51]])
    assert str(table.timestamps[2]) == "2012-03-01T08:10:00"


@pytest.mark.parametrize("corner", ["", "timestamp", "Unnamed: 0"])
def test_csv_with_times_is_read(read, write_file, corner):
    path = write_file("a.csv", f"{corner},7,8\n2012-03-01 00:00:00,1,2\n2012-03-01 00:05:00,3,0\n")
    table, _ = read(path, ["7", "8"])
    assert table.vdids == ["7", "8"]
    assert str(table.timestamps[1]) == "2012-03-01T08:05:00"


def test_a_frame_with_a_zone_is_in_utc(read, tmp_path, write_frame):
    path = write_frame(tmp_path / "a.h5", "df", TIMES, ["7"], np.ones((3, 1)), tz=b"Asia/Taipei")
    table, report = read(path, ["7"])
    assert str(table.timestamps[0]) == "2012-03-01T00:00:00"
    assert "3 rows by their offset" in report


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_first_column_of_seconds_since_1970_holds_times(read, write_file, unit):
    first = 1330560000 * unit
    path = write_file("a.csv", f",7\n{first},1\n{first + 300 * unit},2\n")
    table, _ = read(path, ["7"])
    assert table.timestamps.astype(str).tolist() == ["2012-03-01T00:00:00", "2012-03-01T00:05:00"]


def test_csv_without_times_takes_them_from_start(read, write_file):
    path = write_file("a.csv", "7,8\n1,2\n3,0\n")
    table, _ = read(path, ["7", "8"], start="2012-03-01T00:00:00")
    assert table.timestamps.astype(str).tolist() == ["2012-03-01T08:00:00", "2012-03-01T08:05:00"]
    table, _ = read(path, ["7", "8"], "2012-03-01T00:00:00", 15)
    assert str(table.timestamps[1]) == "2012-03-01T08:15:00"


def test_times_come_from_the_file_or_from_start_but_not_from_both(read, write_file):
    with pytest.raises(ValueError, match=r"no times.*--start"):
        read(write_file("a.csv", "7,8\n1,2\n"), ["7", "8"])
    path = write_file("b.csv", "t,7\n2012-03-01,1\n")
    with pytest.raises(ValueError, match=r"times of its own .*Leave out --start"):
        read(path, ["7"], "2012-03-01T00:00:00")


def test_a_row_number_is_not_taken_for_a_detector(read, write_file):
    path = write_file("a.csv", ",7,8\n0,1,2\n1,3,4\n")
    with pytest.raises(ValueError, match=r"first column .*'0', no time.*--time-column"):
        read(path, ["7", "8"], "2012-03-01T00:00:00")


def test_a_file_that_does_not_exist_is_named(read):
    with pytest.raises(FileNotFoundError, match=r"No file 'nowhere\.h5'"):
        read("nowhere.h5", ["7"])


def test_infinite_readings_are_refused(read, tmp_path, write_frame):
    path = write_frame(tmp_path / "a.h5", "df", TIMES[:1], ["7"], [[np.inf]])
    with pytest.raises(ValueError, match=r"1 infinite readings"):
        read(path, ["7"])


def test_a_header_without_rows_is_refused(read, write_file):
    with pytest.raises(ValueError, match=r"no rows"):
        read(write_file("a.csv", "7,8\n"), ["7"], "2012-03-01")
