import re

import numpy as np
import pandas as pd
import pytest

from data_prep.timestamps import count_from, parse_times, to_seconds


def parse(*texts, time_format=""):
    times, is_local = parse_times(pd.Series(texts), "column 't'", time_format)
    return to_seconds(times, "column 't'").astype(str).tolist(), is_local


def test_iso_8601_is_read():
    for text in ["2024-03-01 00:05:00", "2024-03-01T00:05", " 2024-03-01 00:05:00.000 "]:
        assert parse(text) == (["2024-03-01T00:05:00"], True)


def test_other_formats_are_read_by_strptime():
    expected = ["2024-03-01T14:05:00"], True
    assert parse("01/03/2024 14:05", time_format="%d/%m/%Y %H:%M") == expected
    expected = ["2024-03-01T12:05:00"], False
    assert parse("01/03/2024 14:05 +0200", time_format="%d/%m/%Y %H:%M %z") == expected


def test_an_offset_is_taken_off():
    texts = "2024-03-31T00:30:00Z", "2024-03-31T01:30:00+00:30", "2024-03-30 23:00-0800"
    expected = ["2024-03-31T00:30:00", "2024-03-31T01:00:00", "2024-03-31T07:00:00"]
    assert parse(*texts) == (expected, False)
    texts = "20240331T003000Z", "20240331T013000+0030", "20240330 230000-0800"
    assert parse(*texts) == (expected, False)
    assert parse("2024-01-01T08+08:00") == (["2024-01-01T00:00:00"], False)


def test_ten_digits_that_are_dates_to_the_minute_are_no_seconds_since_1970():
    stamps = [f"24010108{minute:02}" for minute in range(0, 60, 2)]
    with pytest.raises(ValueError, match=r"In column 't': .*--time-format"):
        parse(*stamps)
    assert parse(*stamps, time_format="%y%m%d%H%M")[0][1] == "2024-01-01T08:02:00"
    seconds = [str(1706011200 + 300 * step) for step in range(30)]  # some read as dates, not all
    assert parse(*seconds)[0][0] == "2024-01-23T12:00:00"


@pytest.mark.parametrize(
    "texts", [("2024-01-01 00:00Z", "2024-01-01 00:05"), ("2024-01-01 00:00", "2024-01-01 00:05Z")]
)
def test_times_of_which_only_some_have_an_offset_are_refused(texts):
    with pytest.raises(ValueError, match=r"column 't'.*Only some have an offset"):
        parse(*texts)


@pytest.mark.parametrize(
    "texts",
    [
        ("1330560000", "1330560300"),
        ("1330560000.0", "1330560300.0"),
        ("1330560000000", " 1330560300000"),
    ],
)
def test_seconds_and_milliseconds_since_1970_are_utc(texts):
    assert parse(*texts) == (["2012-03-01T00:00:00", "2012-03-01T00:05:00"], False)


def test_ten_digits_are_read_in_the_format_that_is_set():
    assert parse("2024030114", time_format="%Y%m%d%H") == (["2024-03-01T14:00:00"], True)


def test_seconds_mixed_with_other_times_name_the_column():
    with pytest.raises(ValueError, match=r"since 1970 in column 't'.*'noon'.*in the same way"):
        parse("1330560000", "noon")
    with pytest.raises(ValueError, match=r"In column 't': Expected times.*10 digits"):
        parse("1330560000", "13305603")


@pytest.mark.parametrize("text", ["1969-12-31 23:59", "2101-01-01T00:00Z"])
def test_a_year_that_cannot_be_right_is_refused(text):
    with pytest.raises(ValueError, match=r"In column 't': .*years 1970 to 2100"):
        parse(text)
    with pytest.raises(ValueError, match=r"'%d/%m/%Y' in column 't'.*'01/03/24'"):
        parse("01/03/24", time_format="%d/%m/%Y")
    with pytest.raises(ValueError, match=r"column 't'.*0024-03-01"):
        parse("0024-03-01")


def test_unreadable_time_names_the_column_the_value_and_the_option():
    for text in ["01/03/2024 14:05", "noon", "", "12"]:
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


def count(start, interval=5, steps=2, zone="America/Los_Angeles", repeated_hour="order"):
    return count_from(start, interval, steps, zone, repeated_hour).astype(str).tolist()


def test_times_are_counted_from_a_local_start_in_real_time():
    assert count("2012-03-01T00:00:00", 0.5, 3) == [
        "2012-03-01T08:00:00",
        "2012-03-01T08:00:30",
        "2012-03-01T08:01:00",
    ]
    before, after = count("2012-03-11T01:30:00", 60)  # 01:30 and 03:30 on the clock
    assert (before, after) == ("2012-03-11T09:30:00", "2012-03-11T10:30:00")
    assert count("2012-03-01T00:00-05:00")[0] == "2012-03-01T05:00:00"


def test_a_start_in_the_hour_that_comes_twice_needs_to_be_told():
    with pytest.raises(ValueError, match=r"--start.*--repeated-hour"):
        count("2012-11-04T01:30:00")
    assert count("2012-11-04T01:30:00", repeated_hour="first")[0] == "2012-11-04T08:30:00"
    assert count("2012-11-04T01:30:00", repeated_hour="second")[0] == "2012-11-04T09:30:00"


def test_a_start_that_is_no_time_is_refused():
    with pytest.raises(ValueError, match=r"--start as ISO 8601.*'yesterday'"):
        count("yesterday")


def test_the_interval_of_counted_times_must_be_whole_seconds():
    for interval in [0, 0.001, np.nan]:
        with pytest.raises(ValueError, match=r"whole number of seconds"):
            count("2012-03-01T00:00:00", interval)


def test_a_format_is_found_if_one_alone_fits():
    assert parse("13/02/2024 00:05", "01/03/2024 00:10")[0][1] == "2024-03-01T00:10:00"
    assert parse("02/13/2024 00:05", "03/01/2024 00:10")[0][1] == "2024-03-01T00:10:00"
    assert parse("2024/03/01 00:05")[0] == ["2024-03-01T00:05:00"]
    assert parse("01.03.2024 00:05:00")[0] == ["2024-03-01T00:05:00"]
    assert parse("13/01/2024 02:05 PM", "13/01/2024 12:05 AM")[0][0] == "2024-01-13T14:05:00"


def test_a_format_that_is_not_certain_is_asked_for():
    with pytest.raises(ValueError, match=r"'01/02/2024 00:05'.*--time-format.*%d/%m.* or .*%m/%d"):
        parse("01/02/2024 00:05", "03/04/2024 00:10")


def test_24_00_is_the_end_of_its_day():
    assert parse("2024-02-29 23:55", "2024-02-29 24:00")[0][1] == "2024-03-01T00:00:00"
    assert parse("2024-02-29T24:00:00+08:00")[0] == ["2024-02-29T16:00:00"]
    assert parse("13/02/2024 24:00", time_format="%d/%m/%Y %H:%M")[0] == ["2024-02-14T00:00:00"]


def test_fractions_that_are_none_are_read_in_a_format():
    assert parse("2024/01/02 00:05:00.000", time_format="%Y/%m/%d %H:%M:%S.%f")[0] == [
        "2024-01-02T00:05:00"
    ]


def spans(first, step, count, form="{} {}-{}"):
    """Texts from one time to the next one, minutes apart."""
    times = np.datetime64(first, "m") + np.arange(count + 1) * step
    days, clocks = [str(t)[:10] for t in times], [str(t)[11:] for t in times]
    return [form.format(*parts) for parts in zip(days[:-1], clocks[:-1], clocks[1:], strict=True)]


@pytest.mark.parametrize(
    "form", ["{} {}-{}", "{}T{}-{}", "{} {} - {}", "{} {}–{}", "{} {}:00-{}:00"]
)
@pytest.mark.parametrize(("step", "count"), [(15, 96), (60, 24), (60, 3), (30, 30)])
def test_of_times_from_one_to_another_the_start_is_taken(form, step, count):
    texts = spans("2024-01-01T06:00", step, count, form)
    starts = np.datetime64("2024-01-01T06:00:00") + np.arange(count) * np.timedelta64(step, "m")
    assert parse(*texts) == (starts.astype(str).tolist(), True)


def test_spans_of_other_formats_and_up_to_24_00_are_read():
    assert parse("13.01.2024 00:00-01:00") == (["2024-01-13T00:00:00"], True)
    expected = (["2024-01-01T23:00:00", "2024-01-01T22:00:00", "2024-01-01T21:00:00"], True)
    texts = ["2024-01-01 23:00-24:00", "2024-01-01 22:00-23:00", "2024-01-01 21:00-22:00"]
    assert parse(*texts) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01T00:00-08:00", "2024-01-01T00:05-08:00"],
        ["2024-03-10T01:00-08:00", "2024-03-10T03:00-07:00"],
        ["2024-01-01T00:00:00-08:00"],
        ["2024-01-01T00:00-03:30", "2024-01-01T00:05-03:30"],
    ],
)
def test_offsets_are_no_ends_of_spans(texts):
    assert not parse(*texts)[1]


@pytest.mark.parametrize("sep", ["T", " "])
@pytest.mark.parametrize("ends", [["07:00-08:00"], ["07:00-08:00", "08:00-09:00"]])
def test_what_may_be_an_offset_or_an_end_is_asked_for(sep, ends):
    texts = [f"2024-01-01{sep}{end}" for end in ends]
    with pytest.raises(ValueError, match="may be from one time to another, or have an") as refused:
        parse(*texts)
    span, offset = re.findall(r"'(%[^']*)'", str(refused.value))
    assert parse(*texts, time_format=span)[0][0] == "2024-01-01T07:00:00"
    assert parse(*texts, time_format=offset) == (
        ["2024-01-01T15:00:00", "2024-01-01T17:00:00"][: len(ends)],
        False,
    )


@pytest.mark.parametrize("time_format", ["ISO8601", "mixed", "%Q", "%Y-%m-%d %H:%M-%H:%M %H"])
def test_a_format_that_is_none_is_told_in_a_sentence(time_format):
    with pytest.raises(ValueError, match="--time-format"):
        parse("2024-01-01 00:00", time_format=time_format)
    assert parse("2024-01-01 00:00") == (["2024-01-01T00:00:00"], True)  # without it, as told


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("45292.0", "days since 1900, as Excel counts them: format the column there as a date"),
        ("45292.0104166667", "days since 1900"),
        ("45292", "days since 1900"),
        ("1330560000000000", "divide them to whole seconds"),
        ("1330560000.5", "divide them to whole seconds"),
    ],
)
def test_counts_of_another_kind_are_told_for_what_they_are(text, meaning):
    with pytest.raises(ValueError, match=meaning):
        parse(text)
