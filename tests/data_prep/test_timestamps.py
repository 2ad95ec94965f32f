import numpy as np
import pyarrow as pa
import pytest

from data_prep.tables import TableFormat
from data_prep.timestamps import count_from, parse_times, whole_seconds


def parse(*texts, time_format="", timezone=""):
    table_format = TableFormat(time_format=time_format, timezone=timezone)
    return parse_times(pa.array(texts), "column 't'", table_format).astype(str).tolist()


@pytest.mark.parametrize(
    "text", ["2024-03-01 00:05:00", "2024-03-01T00:05", " 2024-03-01 00:05:00.000 "]
)
def test_iso_8601_is_read(text):
    assert parse(text) == ["2024-03-01T00:05:00"]


def test_other_formats_are_read_by_strptime():
    assert parse("01/03/2024 14:05", time_format="%d/%m/%Y %H:%M") == ["2024-03-01T14:05:00"]


def test_offsets_are_converted_to_the_clock_of_the_timezone():
    texts = "2024-03-31T00:30:00Z", "2024-03-31T01:30:00+00:00"
    assert parse(*texts, timezone="Europe/Berlin") == ["2024-03-31T01:30:00", "2024-03-31T03:30:00"]


def test_offset_without_timezone_is_refused():
    with pytest.raises(ValueError, match=r"'2024-03-31T00:30:00Z'.*--timezone"):
        parse("2024-03-31T00:30:00Z")


@pytest.mark.parametrize("text", ["01/03/2024 14:05", "noon", "", "12"])
def test_unreadable_time_names_the_column_the_value_and_the_option(text):
    with pytest.raises(ValueError, match=rf"column 't'.*'{text}'.*--time-format"):
        parse("2024-03-01 00:05:00", text)


def test_time_of_another_format_is_counted_and_named():
    with pytest.raises(
        ValueError, match=r"'%Y/%m/%d' in column 't'; 2 are not .first '01.03.2024'"
    ):
        parse("2024/03/01", "01.03.2024", "x", time_format="%Y/%m/%d")


def test_fractions_of_a_second_are_refused():
    with pytest.raises(ValueError, match=r"whole seconds; 1 are not .first 2024-03-01T00:05:00.5"):
        parse("2024-03-01 00:00:00", "2024-03-01 00:05:00.5")


def test_times_are_counted_from_a_start():
    times = count_from("2012-03-01T00:00:00", 0.5, 3)
    assert times.astype(str).tolist() == [
        "2012-03-01T00:00:00",
        "2012-03-01T00:00:30",
        "2012-03-01T00:01:00",
    ]


@pytest.mark.parametrize("start", ["yesterday", "2012-03-01T00:00:00+08:00"])
def test_start_must_be_a_local_iso_time(start):
    with pytest.raises(ValueError, match=r"--start"):
        count_from(start, 5, 2)


@pytest.mark.parametrize("interval", [0, -5, 0.001, 1.01, np.inf, np.nan])
def test_interval_must_be_whole_seconds(interval):
    with pytest.raises(ValueError, match=r"whole number of seconds"):
        whole_seconds(interval)
