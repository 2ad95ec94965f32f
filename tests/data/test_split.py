"""Windows divided by time: shares, dates and whole days."""

import numpy as np
import pytest

from socialgraph.calendar import to_local
from socialgraph.data import DateSplit, DaySplit, ShareSplit, window_starts

FIVE = np.timedelta64(300, "s")
BEGIN = np.datetime64("2024-03-09T22:00:00", "s")
WINDOW, HORIZON = 6, 3


def divide(split, steps, zone="UTC", window=WINDOW, horizon=HORIZON):
    times = BEGIN + np.arange(steps) * FIVE
    starts = window_starts(times, 5, window + horizon)
    parts, train_steps = split.divide(starts, times, zone, window, horizon)
    return parts, train_steps, times, starts


def steps_of(parts, length=WINDOW + HORIZON):
    return {name: {s + i for s in starts for i in range(length)} for name, starts in parts.items()}


@pytest.mark.parametrize(("border", "windows"), [("split_first", 6831), ("window_first", 6850)])
def test_the_test_part_of_metr_la_has_the_windows_of_the_field(border, windows):
    parts, *_ = divide(ShareSplit(border=border), 34272, window=12, horizon=12)
    assert len(parts["test"]) == windows


def test_no_step_is_in_two_parts():
    for split in [ShareSplit(), DateSplit("2024-03-10T06:00", "2024-03-11"), DaySplit(1, 2)]:
        parts, train_steps, *_ = divide(split, 1000)
        used = steps_of(parts)
        assert all(used.values())
        assert not used["train"] & used["val"]
        assert not used["val"] & used["test"]
        assert not used["train"] & used["test"]
        assert max(used["train"]) < train_steps <= min(used["val"])


def test_window_first_keeps_every_window_and_statistics_end_before_later_targets():
    parts, train_steps, _, starts = divide(ShareSplit(border="window_first"), 200)
    np.testing.assert_array_equal(np.concatenate(list(parts.values())), starts)
    assert train_steps <= parts["val"][0] + WINDOW


def test_shares_that_are_none_are_refused():
    for shares in [(0.7, 0.1, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)]:
        with pytest.raises(ValueError, match="three shares"):
            ShareSplit(*shares)


@pytest.mark.parametrize(
    ("shares", "empty"), [((0.8, 0.2, 0), ["test"]), ((1, 0, 0), ["val", "test"])]
)
def test_a_part_may_be_left_out(shares, empty):
    parts, train_steps, _, starts = divide(ShareSplit(*shares), 300)
    assert [name for name in parts if not len(parts[name])] == empty
    if shares[0] == 1:
        np.testing.assert_array_equal(parts["train"], starts)
        assert train_steps == 300


def test_dates_are_on_the_local_clock_or_have_an_offset():
    local, *_ = divide(DateSplit("2024-03-10T08:00", "2024-03-11"), 1000, "Asia/Taipei")
    offset, *_ = divide(DateSplit("2024-03-10T00:00Z", "2024-03-10T16:00Z"), 1000, "Asia/Taipei")
    for part, starts in local.items():
        np.testing.assert_array_equal(starts, offset[part])
    times = BEGIN + np.arange(1000) * FIVE
    assert times[local["val"][0]] == np.datetime64("2024-03-10T00:00:00")
    assert times[local["test"][0]] == np.datetime64("2024-03-10T16:00:00")
    assert divide(DateSplit("2024-03-10T08:00"), 1000)[0]["test"].size == 0


def test_dates_out_of_order_are_refused():
    for dates in (("2024-03-11", "2024-03-10"), ("2024-03-10", "2024-03-11", "2024-03-10T12:00")):
        with pytest.raises(ValueError, match="in order"):
            divide(DateSplit(*dates), 1000)


def test_a_test_part_may_end_before_the_series():
    parts, *_ = divide(DateSplit("2024-03-10T08:00", "2024-03-11", "2024-03-11T06:00"), 1000)
    whole, *_ = divide(DateSplit("2024-03-10T08:00", "2024-03-11"), 1000)
    times = BEGIN + np.arange(1000) * FIVE
    last = times[max(steps_of(parts)["test"])]
    assert last == np.datetime64("2024-03-11T05:55:00")
    assert min(steps_of(parts)["test"]) == min(steps_of(whole)["test"])
    np.testing.assert_array_equal(parts["val"], whole["val"])


@pytest.mark.parametrize("zone", ["Asia/Taipei", "America/Los_Angeles"])
def test_days_are_whole_local_days_also_when_clocks_change(zone):
    parts, _, times, _ = divide(DaySplit(val=1, test=2), 1500, zone)
    local = to_local(times, zone)
    for part, days in {"val": 1, "test": 2}.items():
        steps = sorted(steps_of(parts)[part])
        assert str(local[steps[0]]).endswith("T00:00:00")
        assert len(np.unique(local[steps].astype("datetime64[D]"))) == days
    assert len(times) - 1 in steps_of(parts)["test"]


def test_more_days_than_there_are_are_refused():
    for days in ((3, 2), (-1, 1), (1, -1)):
        with pytest.raises(ValueError, match=r"fewer than the 5 days"):
            divide(DaySplit(*days), 1000)


def test_no_day_for_the_test_leaves_the_last_ones_for_validation():
    parts, border, times, _ = divide(DaySplit(val=1, test=0), 1500, "UTC")
    steps = steps_of(parts)
    assert not len(parts["test"])
    assert max(steps["val"]) == len(times) - 1
    assert min(steps["val"]) == border
    assert len(np.unique(times[sorted(steps["val"])].astype("datetime64[D]"))) == 1
