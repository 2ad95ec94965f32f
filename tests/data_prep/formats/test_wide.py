import numpy as np
import pytest

from data_prep.formats.wide import read_wide
from data_prep.tables import TableFormat

NAN = np.nan


@pytest.fixture
def convert(collect):
    def convert(path_of, *words, **options):
        files = {name: [path] for name, path in path_of.items()}
        return collect(read_wide(files, TableFormat(**options)), *words)

    return convert


def test_first_column_is_the_time_and_the_others_are_detectors(convert, write_file):
    path = write_file("s.csv", ",007,b\n2024-01-01 00:00,1,2\n2024-01-01 00:05,,4\n")
    readings, _ = convert({"speed": path})
    assert readings.vdids == ["007", "b"]
    assert readings.feature_names == ["speed"]
    assert readings.interval_minutes == 5
    assert readings.values.dtype == np.float32
    np.testing.assert_array_equal(readings.values[..., 0], [[1, 2], [NAN, 4]])


def test_time_column_may_stand_elsewhere(convert, write_file):
    path = write_file("s.csv", "a;t\n1;2024-01-01 00:00\n2;2024-01-01 00:05\n")
    readings, _ = convert({"speed": path}, delimiter=";", time_column=("t",))
    assert readings.vdids == ["a"]


def test_features_are_joined_by_id_and_time(convert, write_file):
    speed = write_file("s.csv", "t,a,b\n2024-01-01 00:00,1,2\n2024-01-01 00:05,3,4\n")
    flow = write_file("f.csv", "t,c,b\n2024-01-01 00:05,5,6\n2024-01-01 00:10,7,8\n")
    readings, report = convert({"speed": speed, "flow": flow})
    assert readings.vdids == ["a", "b", "c"]
    np.testing.assert_array_equal(
        readings.values[..., 0], [[1, 2, NAN], [3, 4, NAN], [NAN, NAN, NAN]]
    )
    np.testing.assert_array_equal(
        readings.values[..., 1], [[NAN, NAN, NAN], [NAN, 6, 5], [NAN, 8, 7]]
    )
    assert "has no column for 1 detectors: a" in report


def test_rows_are_sorted_and_gaps_filled(convert, write_file):
    path = write_file(
        "s.csv",
        "t,a\n2024-01-01 00:05,2\n2024-01-01 00:00,1\n2024-01-01 00:20,5\n2024-01-01 00:25,6\n",
    )
    readings, report = convert({"speed": path})
    np.testing.assert_array_equal(readings.values[:, 0, 0], [1, 2, NAN, NAN, 5, 6])
    assert "1 rows stood after a later time of their detector; sorted" in report
    assert "1, 2 steps filled with NaN" in report


def test_null_values_are_replaced_only_where_asked_for(convert, write_file):
    path = write_file("s.csv", "t,a\n2024-01-01 00:00,0\n2024-01-01 00:05,-99\n")
    readings, report = convert({"speed": path}, "--null-value", "-99")
    np.testing.assert_array_equal(readings.values[:, 0, 0], [0, NAN])
    assert "-99: 1 of speed readings set to NaN" in report


def test_rows_that_differ_name_feature_and_time(convert, write_file):
    path = write_file("s.csv", "t,a\n2024-01-01 00:00,0\n2024-01-01 00:00,1\n2024-01-01 00:05,1\n")
    with pytest.raises(ValueError, match=r"speed at 2024-01-01T00:00:00.00:00"):
        convert({"speed": path})
    readings, report = convert({"speed": path}, "--on-conflict", "last")
    assert readings.values[:, 0, 0].tolist() == [1, 1]
    assert "1 rows that differ: last kept" in report


def test_duplicate_detectors_are_refused(convert, write_file):
    path = write_file("s.csv", "t,a,b,a \n2024-01-01 00:00,0,1,2\n")
    with pytest.raises(ValueError, match=r"s\.csv'.*1 occur twice: a"):
        convert({"speed": path})


def test_a_column_without_name_is_refused(convert, write_file):
    path = write_file("s.csv", "t,a,\n2024-01-01 00:00,0,\n")
    with pytest.raises(ValueError, match=r"column 2 of 2 has no name"):
        convert({"speed": path})


@pytest.mark.parametrize(
    ("text", "words"), [("t,a\n", "no rows"), ("t\n2024-01-01 00:00\n", "there is none")]
)
def test_tables_without_readings_are_refused(convert, write_file, text, words):
    with pytest.raises(ValueError, match=words):
        convert({"speed": write_file("s.csv", text)})


def test_a_bad_cell_is_named_with_its_detector(convert, write_file):
    path = write_file("s.csv", "t, a , b\n2024-01-01 00:00,1,2\n2024-01-01 00:05,3,4x\n")
    with pytest.raises(ValueError, match=r"column 'b' of '.*s\.csv' \(got '4x'\)"):
        convert({"speed": path})
