"""UTC and the local clock, against datetime and dates that are known."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socialgraph.calendar import (
    ClockError,
    absent_hour,
    check_years,
    check_zone,
    clock,
    format_local,
    from_epoch,
    parse_stamps,
    read_stamps,
    to_local,
    to_utc,
)

COPENHAGEN = "Europe/Copenhagen"
ZONES = (COPENHAGEN, "America/Los_Angeles", "Australia/Adelaide", "Asia/Taipei")
AUTUMN = {  # zone: the last step before clocks go back, on both clocks, and the first one after
    COPENHAGEN: ("2024-10-27T02:55", "2024-10-27T00:55", "2024-10-27T02:00", "2024-10-27T01:00"),
    "America/Los_Angeles": (
        "2024-11-03T01:55",
        "2024-11-03T08:55",
        "2024-11-03T01:00",
        "2024-11-03T09:00",
    ),
    "Australia/Adelaide": (
        "2024-04-07T02:55",
        "2024-04-06T16:25",
        "2024-04-07T02:00",
        "2024-04-06T16:30",
    ),
}
END_OF_2100 = 4133980799


def seconds(*texts):
    return np.array(texts, dtype="datetime64[s]")


def hour(day="2024-10-27", step=5, start=2):
    """Times of one hour on the clock, ``step`` minutes apart."""
    return seconds(*(f"{day}T{start:02}:{minute:02}" for minute in range(0, 60, step)))


def by_datetime(times, zone):
    """Local times with an offset, one by one from the standard library."""
    return [datetime.fromtimestamp(int(t), UTC).astimezone(ZoneInfo(zone)) for t in times]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(0, END_OF_2100), min_size=1, max_size=20),
    st.sampled_from([*ZONES, "Africa/Casablanca", "Africa/Monrovia", "Pacific/Apia"]),
)
def test_the_local_clock_and_its_text_are_those_of_datetime(stamps, zone):
    expected = by_datetime(stamps, zone)
    times = np.array(stamps, dtype="datetime64[s]")
    assert to_local(times, zone).tolist() == [local.replace(tzinfo=None) for local in expected]
    assert format_local(times, zone) == [local.isoformat() for local in expected]


def test_the_clock_changes_at_the_second_and_long_after_2037():
    assert format_local(
        seconds("2024-10-27T00:59:59", "2024-10-27T01:00", "2090-07-01T00:00"), COPENHAGEN
    ) == ["2024-10-27T02:59:59+02:00", "2024-10-27T02:00:00+01:00", "2090-07-01T02:00:00+02:00"]
    assert format_local(seconds("2024-01-01", "2024-07-01"), "Australia/Adelaide") == [
        "2024-01-01T10:30:00+10:30",
        "2024-07-01T09:30:00+09:30",
    ]


def test_the_local_clock_keeps_the_shape():
    table = seconds("2024-01-01T00:00", "2024-01-01T16:00").reshape(2, 1)
    local = to_local(table, "Asia/Taipei")
    assert local.tolist() == [[datetime(2024, 1, 1, 8)], [datetime(2024, 1, 2)]]
    assert to_local(table[:0], "Asia/Taipei").shape == (0, 1)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 730), st.integers(1, 5), st.sampled_from([5, 15, 30, 60]), st.sampled_from(ZONES)
)
def test_whole_days_go_to_the_local_clock_and_back(day, num_days, step, zone):
    start = np.datetime64("2023-01-01T12:00", "s") + np.timedelta64(day, "D")
    axis = start + np.arange(num_days * 1440 // step) * np.timedelta64(60 * step, "s")
    local = np.array([t.replace(tzinfo=None) for t in by_datetime(axis.astype(int), zone)])
    np.testing.assert_array_equal(to_utc(local, zone), axis)


@pytest.mark.parametrize("zone", AUTUMN)
@pytest.mark.parametrize("step", [5, 60])
def test_both_passes_of_the_repeated_hour_are_told_by_their_order(zone, step):
    last, last_utc, again, again_utc = AUTUMN[zone]
    if step == 60:
        last, last_utc = again, str(np.datetime64(again_utc) - np.timedelta64(1, "h"))
    utc = to_utc(seconds(last, again), zone)
    assert utc.tolist() == seconds(last_utc, again_utc).tolist()


def test_both_passes_are_told_in_every_year_of_a_source_whatever_year_is_first():
    years = [np.tile(hour(day), 2) for day in ("2024-10-27", "2023-10-29", "2025-10-26")]
    steps = np.diff(to_utc(np.concatenate(years), COPENHAGEN).reshape(3, 24))
    assert (steps == np.timedelta64(300, "s")).all()


@pytest.mark.parametrize("by_time", [False, True])
def test_each_detector_has_its_own_order(by_time):
    local = np.stack([np.tile(hour(step=20), 2), np.tile(hour(step=20), 2)])  # [2, 6]
    groups = np.broadcast_to([[7], [3]], local.shape)
    if by_time:
        local, groups = local.T, groups.T
    utc = to_utc(local.ravel(), COPENHAGEN, groups=groups.ravel()).reshape(local.shape)
    utc = utc.T if by_time else utc
    axis = np.datetime64("2024-10-27T00:00") + np.arange(6) * np.timedelta64(20, "m")
    np.testing.assert_array_equal(utc, np.stack([axis, axis]))


def test_equal_rows_beside_each_other_do_not_hide_the_order():
    utc = to_utc(np.repeat(np.tile(hour(), 2), 2), COPENHAGEN)
    assert utc[::2].tolist() == utc[1::2].tolist()
    assert (np.diff(utc[::2]) == np.timedelta64(300, "s")).all()


@pytest.mark.parametrize("step", [10, 30, 60])
@pytest.mark.parametrize("kept", ["both sides", "later", "earlier"])
def test_a_source_that_is_newest_first_is_read_from_its_end(step, kept):
    axis = np.arange("2024-10-26T22:00", "2024-10-27T04:00", step, dtype="datetime64[m]")
    axis = axis.astype("datetime64[s]")
    if kept == "later":  # nothing before the hour
        axis = axis[axis >= np.datetime64("2024-10-27T00:00")]
    if kept == "earlier":
        axis = axis[axis < np.datetime64("2024-10-27T02:00")]
    local = to_local(axis, COPENHAGEN)
    np.testing.assert_array_equal(to_utc(local[::-1], COPENHAGEN)[::-1], axis)
    np.testing.assert_array_equal(to_utc(local, COPENHAGEN), axis)


def test_files_that_follow_each_other_in_any_order_do_not_turn_the_hour_round():
    """The nearest time tells whether a source is newest first."""
    autumn = seconds("2024-10-27T01:00", "2024-10-27T02:00", "2024-10-27T02:00")
    for other in ("2024-01-01T00:00", "2024-12-01T00:00"):
        utc = to_utc(np.append(autumn, seconds(other)), COPENHAGEN)
        assert utc[1:3].tolist() == seconds("2024-10-27T00:00", "2024-10-27T01:00").tolist()


UNTOLD = {
    "the hour once, newest first": seconds(
        "2024-10-27T03:00", "2024-10-27T02:30", "2024-10-27T02:00", "2024-10-27T01:30"
    ),
    "hourly, between later times": seconds(
        "2024-10-27T03:00", "2024-10-27T02:00", "2024-10-27T02:00", "2024-10-27T03:00"
    ),
    "the hour once": hour(),
    "one row late": hour()[[0, 2, 1, *range(3, len(hour()))]],
    "one time": seconds("2024-10-27T02:30"),
    "backwards": np.tile(hour(), 2)[::-1],
    "three passes": np.tile(hour(), 3),
    "other times between the passes": seconds(
        "2024-10-27T02:30", "2024-10-27T03:00", "2024-10-27T01:30", "2024-10-27T02:00"
    ),
    "a time twice in a source that is not hourly": seconds(
        "2024-10-27T01:55", "2024-10-27T02:00", "2024-10-27T02:00"
    ),
}


def test_an_order_that_does_not_tell_is_refused_with_what_loses_nothing():
    for local in UNTOLD.values():
        with pytest.raises(
            ClockError, match=r"comes twice in Europe/Copenhagen.*UTC or with their of"
        ):
            to_utc(local, COPENHAGEN)


def test_one_detector_whose_order_does_not_tell_is_enough_to_refuse():
    local = np.concatenate([np.tile(hour(), 2), hour()])
    with pytest.raises(ClockError, match="12 times from 2024-10-27T02:00:00 on"):
        to_utc(local, COPENHAGEN, groups=np.repeat([0, 1], [24, 12]))


def test_a_source_with_one_pass_says_which():
    local = seconds("2024-10-27T01:55", "2024-10-27T02:00", "2024-10-27T03:00")
    first, second = (to_utc(local, COPENHAGEN, which) for which in ("first", "second"))
    assert first.tolist() == seconds("2024-10-26T23:55", "2024-10-27T00", "2024-10-27T02").tolist()
    assert second.tolist() == seconds("2024-10-26T23:55", "2024-10-27T01", "2024-10-27T02").tolist()


def test_a_repeated_hour_that_is_neither_is_refused():
    with pytest.raises(ValueError, match=r"'repeated_hour' as one of .*'second'.*got 'third'"):
        to_utc(seconds("2024-01-01"), COPENHAGEN, "third")


def test_the_absent_hour_is_known_to_the_second_and_refused():
    for zone, day, start in [
        (COPENHAGEN, "2024-03-31", 2),
        ("America/Los_Angeles", "2024-03-10", 2),
        ("Australia/Adelaide", "2024-10-06", 2),
        ("Pacific/Apia", "2011-12-30", 12),
    ]:
        ends = seconds(f"{day}T{start:02}:00:00", f"{day}T{start:02}:59:59")
        assert absent_hour(ends, zone).all()
        for time in ends:
            with pytest.raises(ClockError, match=f"1 times with readings, from {time} on"):
                to_utc(np.array([time]), zone)


def test_the_times_around_the_absent_hour_are_there():
    around = seconds("2024-03-31T01:59:59", "2024-03-31T03:00:00", "2024-10-27T02:30:00")
    assert not absent_hour(around, COPENHAGEN).any()
    assert (
        to_utc(around[:2], COPENHAGEN).tolist()
        == seconds("2024-03-31T00:59:59", "2024-03-31T01:00:00").tolist()
    )


def test_a_clock_that_is_never_changed_is_advised_and_can_be_used():
    for zone, day, fixed, utc in [
        (COPENHAGEN, "2024-03-31", "Etc/GMT-1", "2024-03-31T01:30"),
        ("America/Los_Angeles", "2024-03-10", "Etc/GMT+8", "2024-03-10T10:30"),
        ("Europe/London", "2024-03-31", "UTC", "2024-03-31T01:30"),
    ]:
        local = seconds(f"{day}T{'01' if fixed == 'UTC' else '02'}:30")
        with pytest.raises(ClockError) as error:
            to_utc(local, zone)
        assert f"'{fixed}'" in str(error.value)
        assert to_utc(local, fixed).tolist() == seconds(utc).tolist()


def test_no_clock_of_half_hours_is_advised():
    with pytest.raises(ClockError, match="Nothing is lost with times in UTC") as error:
        to_utc(seconds("2024-10-06T02:30"), "Australia/Adelaide")
    assert "Etc" not in str(error.value)


def test_names_of_zones_are_checked():
    for zone in (*ZONES, "UTC", "Etc/GMT-1"):
        assert check_zone(zone) == zone
    for zone in ("", "Asia", "Asia/Tapei", "asia/taipei", "/etc/passwd", "+08:00", None, 8):
        with pytest.raises(ValueError, match="IANA name such as Asia/Taipei or UTC") as error:
            check_zone(zone)
        assert repr(zone) in str(error.value)


def test_stamps_are_read_with_their_offsets():
    clocks, offsets = read_stamps([" 2024-01-01T08:00:00+08:00 ", "2024-01-01T00:00Z"])
    assert clocks.tolist() == seconds("2024-01-01T08:00", "2024-01-01T00:00").tolist()
    assert (offsets / np.timedelta64(1, "h")).tolist() == [8, 0]
    clocks, offsets = read_stamps(["2024-01-01 08:00:00.000"])
    assert clocks.tolist() == seconds("2024-01-01T08:00").tolist()
    assert offsets is None


def test_texts_that_are_no_time_in_whole_seconds_are_refused():
    for texts, words in [
        (["2024-01-01T00:00Z", "2024-01-01T00:05"], r"1 of 2 .* no UTC offset.*'2024-01-01T00:05'"),
        (["2024-01-01", "01/02/2024"], r"ISO 8601, such as .*\(got '01/02/2024'\)"),
        (["2024-02-30T00:00"], "ISO 8601"),
        ([""], "ISO 8601"),
        (["2024-01-01T00:00:00.5"], "whole seconds"),
        (["2024-01-01T00:00:00.000000001"], "whole seconds"),
        (["1969-12-31T23:00"], "years 1970 to 2100"),
        (["2101-01-01T00:00Z"], "years 1970 to 2100"),
    ]:
        with pytest.raises(ValueError, match=words):
            parse_stamps(texts, "UTC")


def test_stamps_are_taken_by_their_offset_else_by_the_local_clock():
    autumn = ["2024-10-27T02:55:00+02:00", "2024-10-27T02:00:00+01:00"]
    utc = seconds("2024-10-27T00:55", "2024-10-27T01:00").tolist()
    assert parse_stamps(autumn, "Asia/Taipei").tolist() == utc
    assert parse_stamps([text[:19] for text in autumn], COPENHAGEN).tolist() == utc
    once = parse_stamps(["2024-10-27T02:30"] * 2, COPENHAGEN, "second", np.array([0, 1]))
    assert once.tolist() == seconds("2024-10-27T01:30", "2024-10-27T01:30").tolist()
    both = parse_stamps(["2024-10-27T02:30"] * 4, COPENHAGEN, groups=np.array([0, 1, 0, 1]))
    assert [str(time)[11:16] for time in both] == ["00:30", "00:30", "01:30", "01:30"]


def test_epoch_seconds_and_milliseconds_are_utc():
    expected = seconds("2023-11-14T22:13:20", "2023-11-14T22:18:20").tolist()
    assert from_epoch(np.array([1700000000, 1700000300])).tolist() == expected
    assert from_epoch(np.array([1700000000.0, 1700000300.0])).tolist() == expected
    assert from_epoch(np.array([1700000000000, 1700000300000])).tolist() == expected
    assert from_epoch(np.array([])).dtype == np.dtype("datetime64[s]")


def test_numbers_that_are_no_epoch_are_refused():
    for numbers in [
        [0],
        [999999999],
        [10000000000],
        [20240102],
        [202401020005],
        [2024010200, 2024123123],
        [1700000000.5],
        [1700000000500],
        [1700000000, 1700000000000],
        [1700000000000000000],
        [1700000000, np.nan],
        [np.inf],
        [-1700000000],
    ]:
        with pytest.raises(ValueError, match=r"10 digits\) or milliseconds"):
            from_epoch(np.array(numbers))


def test_years_from_1970_to_2100_are_taken_and_no_others():
    ends = seconds("1970-01-01T00:00:00", "2100-12-31T23:59:59")
    assert check_years(ends) is ends
    for odd in seconds("1969-12-31T23:59:59", "2101-01-01T00:00:00"):
        with pytest.raises(ValueError, match=f"got {odd}; 1 of 3 are outside"):
            check_years(np.append(ends, odd))
    with pytest.raises(ValueError, match=r"time in every row \(1 have none\)"):
        check_years(seconds("2024-01-01", "NaT"))
    with pytest.raises(ValueError, match="years 1970 to 2100"):
        from_epoch(np.array([END_OF_2100 + 1]))


def test_the_share_of_the_day_and_the_weekday_are_local():
    for zone in ZONES:
        times = np.arange(
            seconds("2024-03-01")[0], seconds("2024-11-30")[0], np.timedelta64(7000, "s")
        )
        share, weekday = clock(times, zone)
        local = by_datetime(times.astype(int), zone)
        passed = [(t.hour * 60 + t.minute) * 60 + t.second for t in local]
        np.testing.assert_allclose(share, np.array(passed) / 86400, atol=1e-7)
        assert weekday.tolist() == [t.weekday() for t in local]
        assert share.dtype == np.float32
        last = clock(seconds("2024-01-01T23:59:59"), "UTC")[0]
        assert last[0] < 1
