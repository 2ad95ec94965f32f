"""What is usual: against plain loops, without a window's own readings, for other detectors."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from socialgraph.calendar import clock
from socialgraph.profile import DailyProfile, ProfileSums, slots_of

DAY = np.timedelta64(1, "D")


def make_sums(
    days=9, minutes=60, nodes=3, missing=0.2, begin="2024-03-01", gap=(), zone="UTC", ahead=0
):
    """Hourly readings (smoothing: none) or finer ones, from a Friday on."""
    steps = days * 1440 // minutes + ahead
    times = np.datetime64(f"{begin}T00:00:00", "s") + np.arange(steps) * np.timedelta64(
        60 * minutes, "s"
    )
    times = np.delete(times, gap)
    values = 50 + 10 * torch.randn(len(times) - ahead, nodes, 1, dtype=torch.float64).float()
    mask = torch.rand(values.shape) >= missing
    values = values.where(mask, torch.zeros(()))
    time_of_day, day_of_week = map(torch.from_numpy, clock(times, zone))
    seconds = torch.from_numpy(times.astype(np.int64))
    return ProfileSums(values, mask, time_of_day, day_of_week, seconds, minutes)


def plain(sums, step, left_out=(), zone="UTC"):
    """Mean and deviation at a step by a loop over all readings, those of some steps left out."""
    day, half = 86400, sums.half * sums.step
    moments = [datetime.fromtimestamp(s, ZoneInfo(zone)) for s in sums.seconds.tolist()]
    clocks = [3600 * moment.hour + 60 * moment.minute for moment in moments]
    kind = [moment.weekday() >= 5 for moment in moments]
    near = []
    for row, second in enumerate(clocks[: len(sums.values)]):
        apart = abs(second - clocks[step]) % day
        if min(apart, day - apart) <= half and row not in left_out:
            near.append(row)
    same = [row for row in near if kind[row] == kind[step]]
    count, mean, deviation = average(sums, same)
    _, mean_of_all, deviation_of_all = average(sums, near)
    some = count > 0
    return mean.where(some, mean_of_all), deviation.where(some, deviation_of_all)


def average(sums, rows):
    values, mask = sums.values[rows].double(), sums.mask[rows].double()
    count = mask.sum(0)
    mean = (values * mask).sum(0) / count
    return count, mean, (((values - mean).square() * mask).sum(0) / count).sqrt()


def test_it_is_the_mean_at_this_time_of_the_same_kind_of_day():
    for minutes in [60, 30, 10]:
        sums = make_sums(minutes=minutes)
        profile = sums.profile()
        steps = torch.arange(0, len(sums.values), 5)
        time_of_day = (sums.seconds[steps] % 86400 / 86400)[None]
        day_of_week = torch.where(sums.kind[steps] == 1, 6, 2)[None]
        mean, deviation = profile(time_of_day, day_of_week)
        for i, step in enumerate(steps.tolist()):
            expected = plain(sums, step)
            torch.testing.assert_close(mean[0, i].double(), expected[0], rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(deviation[0, i].double(), expected[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("minutes", [60, 15, 5])  # means over 1, 5 and 13 readings
@pytest.mark.parametrize("gap", [(), (40, 41), (44,)])
def test_a_training_window_is_told_nothing_of_its_own_readings(minutes, gap):
    sums = make_sums(minutes=minutes, gap=gap)
    day = 1440 // minutes  # after one, a Friday ends; after three, a Sunday
    firsts = [0, 45, day - 4 - len(gap), 3 * day - 2]
    windows = torch.tensor(firsts)[:, None] + torch.arange(7)
    mean, deviation = sums.around(windows)
    seconds = sums.seconds.tolist()
    for place in np.ndindex(*windows.shape):
        step = int(windows[place])
        own = [
            row
            for row, second in enumerate(seconds)
            if abs(second - seconds[step]) <= sums.half * sums.step
        ]
        expected = plain(sums, step, left_out=own)
        torch.testing.assert_close(mean[place].double(), expected[0], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(deviation[place].double(), expected[1], rtol=1e-3, atol=5e-3)
    for row, steps in enumerate(windows):  # one window is told what it is told in a batch
        alone = sums.around(steps[None])
        torch.testing.assert_close(mean[row], alone[0][0], rtol=0, atol=1e-5)
        torch.testing.assert_close(deviation[row], alone[1][0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("minutes", [60, 15])
@pytest.mark.parametrize("begin", ["2024-03-28", "2024-10-24"])  # Thursdays
def test_nights_of_a_change_of_the_clock_leave_out_what_their_slots_hold(begin, minutes):
    zone, ahead = "Europe/Berlin", 8
    sums = make_sums(days=8, minutes=minutes, begin=begin, zone=zone, ahead=ahead)
    changed = 73 * 60 // minutes  # at 1:00 UTC on Sunday
    last = len(sums.values) - 1
    firsts = [changed - 6, changed - 2, changed, changed + 1, last - 3, last]
    windows = torch.tensor(firsts)[:, None] + torch.arange(8)
    mean, deviation = sums.around(windows)
    seconds = sums.seconds.tolist()
    for place in np.ndindex(*windows.shape):
        step = int(windows[place])
        own = [r for r, s in enumerate(seconds) if abs(s - seconds[step]) <= sums.half * sums.step]
        expected = plain(sums, step, own, zone)
        torch.testing.assert_close(mean[place].double(), expected[0], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(deviation[place].double(), expected[1], rtol=1e-3, atol=5e-3)


def test_changing_the_readings_of_a_window_changes_nothing_of_what_it_is_told():
    sums = make_sums(minutes=10, missing=0.0)
    before = sums.around(torch.arange(300, 312)[None])
    values = sums.values.clone()
    values[300:312] += 1000.0
    again = ProfileSums(
        values, sums.mask, sums.seconds % 86400 / 86400, sums.kind * 5, sums.seconds, 10
    )
    for own, other in zip(before, again.around(torch.arange(300, 312)[None]), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=0.05)


def test_without_such_days_any_day_serves_and_without_any_the_detectors_mean():
    sums = make_sums(days=3, begin="2024-03-04", missing=0.0)  # Monday to Wednesday
    profile = sums.profile()
    noon = torch.tensor([[0.5]])
    working, weekend = (profile(noon, torch.tensor([[day]]))[0] for day in (0, 6))
    assert torch.equal(working, weekend)
    one_day = make_sums(days=1, missing=0.0)
    mean, deviation = one_day.around(torch.arange(5, 9)[None])
    expected = one_day.values.mean(0)
    torch.testing.assert_close(mean[0], expected.expand(4, -1, -1))
    spread = one_day.values.std(0, correction=0)
    torch.testing.assert_close(deviation[0], spread.expand(4, -1, -1))


@pytest.mark.parametrize("own", [False, True])
def test_a_detector_without_a_reading_is_told_how_the_others_usually_differ_from_their_mean(own):
    sums = make_sums(missing=0.0)
    mask = sums.mask.clone()
    mask[:, 1] = False
    values = (sums.values + torch.tensor([0.0, 0.0, 100.0])[:, None]) * mask
    silent = ProfileSums(
        values, mask, sums.seconds % 86400 / 86400, sums.kind * 5, sums.seconds, 60
    )
    others = values[:, [0, 2]]
    centred = others - others.mean(0)
    steps = torch.arange(30, 40)
    if own:  # a window that is told nothing of its own readings
        mean, deviation = (part[0] for part in silent.around(steps[None]))
        left_out = steps.tolist()
    else:
        mean, deviation = silent.profile()(silent.slot[steps] / 24, 5 * silent.kind[steps])
        left_out = []
    for place, step in enumerate(steps.tolist()):
        same = (silent.slot == silent.slot[step]) & (silent.kind == silent.kind[step])
        same[left_out] = False
        expected = others.mean() + centred[same].mean()
        torch.testing.assert_close(mean[place, 1, 0], expected, rtol=1e-4, atol=1e-3)
        spread = centred[same].std(correction=0)
        torch.testing.assert_close(deviation[place, 1, 0], spread, rtol=1e-3, atol=1e-3)


def test_other_detectors_get_their_row_their_own_history_or_the_mean():
    profile, other = make_sums(nodes=3).profile(), make_sums(nodes=2).profile()
    rows = torch.tensor([2, -1])
    taken = profile.take(rows, other)
    assert torch.equal(taken.mean[:, :, 0], profile.mean[:, :, 2])
    assert torch.equal(taken.mean[:, :, 1], other.mean[:, :, 1])
    alone = profile.take(rows)
    torch.testing.assert_close(alone.deviation[:, :, 1], profile.deviation.mean(dim=2))


def test_slots_are_those_of_the_clock_whatever_its_rounding():
    minutes = np.arange(0, 1440, 5)
    times = np.datetime64("2024-01-01T00:00:00", "s") + minutes * np.timedelta64(60, "s")
    time_of_day, _ = clock(times, "UTC")
    assert slots_of(torch.from_numpy(time_of_day), 288).tolist() == list(range(288))


@pytest.mark.parametrize(
    ("minutes", "offset"), [(60, 30), (30, 15), (15, 7.5), (5, 2.5), (120, 60)]
)
def test_readings_between_two_slots_have_a_slot_for_each_time_of_the_day(minutes, offset):
    seconds = np.arange(0, 86400, 60 * minutes) + round(60 * offset)
    times = np.datetime64("2024-01-01T00:00:00", "s") + seconds * np.timedelta64(1, "s")
    time_of_day = torch.from_numpy(clock(times, "UTC")[0])
    slots = 1440 // minutes
    for clocks in (time_of_day, time_of_day.double()):
        assert slots_of(clocks, slots).tolist() == [*range(1, slots), 0]


def test_what_can_be_no_profile_is_refused():
    for mean, deviation in [
        (torch.zeros(2, 24, 3, 1), torch.zeros(2, 24, 2, 1)),
        (torch.zeros(24, 3, 1), torch.zeros(24, 3, 1)),
        (torch.full((2, 24, 3, 1), torch.nan), torch.zeros(2, 24, 3, 1)),
        (torch.zeros(2, 24, 3, 1), -torch.ones(2, 24, 3, 1)),
    ]:
        with pytest.raises(ValueError, match="finite means and deviations"):
            DailyProfile(mean, deviation)
