import numpy as np
import pytest

from data_prep.report import Report
from data_prep.timeline import (
    count_unsorted,
    merge_duplicates,
    name_time,
    report_gaps,
    settle_axis,
    steps_of,
)

NAN = np.nan


def at(*minutes):
    seconds = np.array([round(minute * 60) for minute in minutes])
    return np.datetime64("2024-01-01T00:00:00") + seconds.astype("timedelta64[s]")


def merge(keys, rows, on_conflict="error"):
    rows = np.array(rows, dtype=np.float32)
    return merge_duplicates(np.array(keys, dtype=np.int64), rows, on_conflict, str)


def test_rows_are_sorted_by_key():
    keys, rows, identical, conflicts = merge([3, 1, 2], [[30], [10], [20]])
    assert keys.tolist() == [1, 2, 3]
    assert rows.tolist() == [[10], [20], [30]]
    assert (identical, conflicts) == (0, 0)


def test_identical_rows_are_dropped_and_counted_also_with_nan():
    keys, rows, identical, conflicts = merge([1, 0, 1, 1], [[5, NAN], [1, 2], [5, NAN], [5, NAN]])
    assert keys.tolist() == [0, 1]
    np.testing.assert_array_equal(rows, [[1, 2], [5, NAN]])
    assert (identical, conflicts) == (2, 0)


def test_rows_that_differ_are_an_error_naming_them():
    with pytest.raises(ValueError, match=r"2 times .* rows that differ: 1, 7.*--on-conflict"):
        merge([7, 1, 7, 1, 2], [[5], [6], [8], [NAN], [1]])


def test_a_time_is_named_on_the_local_clock():
    assert name_time(at(0)[0], "Europe/Copenhagen") == "2024-01-01T01:00:00+01:00"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("first", [[1, NAN], [4, 4]]), ("last", [[3, 8], [4, 4]]), ("mean", [[2, 7], [4, 4]])],
)
def test_rows_that_differ_are_settled_by_rule(rule, expected):
    rows = [[4, 4], [1, NAN], [2, 6], [3, 8], [4, 4]]
    keys, rows, identical, conflicts = merge([9, 5, 5, 5, 9], rows, rule)
    assert keys.tolist() == [5, 9]
    np.testing.assert_array_equal(rows, expected)
    assert (identical, conflicts) == (1, 1)


def test_merging_random_rows_equals_a_loop():
    rng = np.random.default_rng(0)
    keys, rows = rng.integers(0, 40, 200), rng.integers(0, 2, (200, 2)).astype(np.float32)
    kept, first, *_ = merge(keys, rows, "first")
    _, last, *_ = merge(keys, rows, "last")
    _, mean, *_ = merge(keys, rows, "mean")
    for index, key in enumerate(kept):
        members = rows[keys == key]
        assert (first[index] == members[0]).all()
        assert (last[index] == members[-1]).all()
        np.testing.assert_allclose(mean[index], members.mean(axis=0), rtol=1e-6)


def test_unsorted_rows_are_counted_by_detector():
    assert count_unsorted(at(0, 10, 5, 15)) == 1
    assert count_unsorted(at(0, 5, 0, 5), np.array([0, 0, 1, 1])) == 0
    assert count_unsorted(at(0, 0, 5, 5), np.array([0, 1, 0, 1])) == 0
    assert count_unsorted(at(5, 0, 0, 5), np.array([0, 1, 0, 1])) == 1


@pytest.mark.parametrize("interval", [5, 0.5, 7, 60])
def test_interval_is_inferred_and_gaps_are_filled(interval):
    times = at(*(interval * np.array([0, 1, 2, 5, 6])))
    axis, found = settle_axis(times, None, "UTC", Report())
    assert found == interval
    assert len(axis) == 7
    assert steps_of(times, axis).tolist() == [0, 1, 2, 5, 6]


def test_gaps_are_counted_and_the_longest_is_named():
    report = Report()
    present = np.array([True, False, True, False, False, True])
    report_gaps(at(*range(0, 30, 5)), present, "Asia/Taipei", report)
    assert "2, 3 steps filled with NaN; the longest has 2 steps" in str(report)
    assert "2024-01-01T08:15:00+08:00 to 2024-01-01T08:20:00+08:00" in str(report)


def test_times_off_the_grid_are_an_error_naming_the_first():
    with pytest.raises(
        ValueError, match=r"1 of 5 .* off the grid of 5 minutes .inferred.*T00:11:00"
    ):
        settle_axis(at(0, 5, 10, 11, 15), None, "UTC", Report())


def test_a_first_time_off_the_grid_does_not_shift_it():
    with pytest.raises(ValueError, match=r"1 of 4 .*T00:01:00"):
        settle_axis(at(1, 5, 10, 15), None, "UTC", Report())


def test_a_set_interval_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"off the grid of 15 minutes .as set"):
        settle_axis(at(0, 5, 10, 15, 20), 15, "UTC", Report())


def test_a_stray_date_is_refused_instead_of_filled():
    times = np.append(np.datetime64("1970-01-01T00:00:00"), at(0, 5, 10))
    with pytest.raises(ValueError, match=r"from 1970-01-01T00:00:00 to 2024-01-01T00:00:00"):
        settle_axis(times, None, "UTC", Report())


def test_one_time_needs_an_interval():
    with pytest.raises(ValueError, match=r"--interval"):
        settle_axis(at(0), None, "UTC", Report())
    axis, interval = settle_axis(at(0), 5, "UTC", Report())
    assert (len(axis), interval, steps_of(at(0), axis).tolist()) == (1, 5.0, [0])


def test_interval_that_does_not_divide_a_day_is_mentioned():
    report = Report()
    settle_axis(at(0, 7, 14), None, "UTC", report)
    assert "7 minutes (inferred), which does not divide a day" in str(report)
