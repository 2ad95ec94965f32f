"""Clocks of single detectors that are shifted: planted ones are found, and none where none is."""

import json

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.shifts import ClockShift, ShiftFinder
from socialgraph import schema
from socialgraph.series import TrafficSeries

FIRST = np.datetime64("2024-01-01")  # a Monday
QUARTER = 900


def flows(days=26, nodes=12, seed=0, step=QUARTER):
    """Flows ``[days, steps, nodes]`` with two peaks, of which the detectors have more or less."""
    rng = np.random.default_rng(seed)
    hours = np.arange(86400 // step) * step / 3600
    morning, evening = (np.exp(-(((hours - peak) / 1.5) ** 2)) for peak in (8, 17))
    day = 50 + 40 * np.clip(np.sin((hours - 6) / 24 * 2 * np.pi), -1, 1)
    weights = rng.choice([80, 200], (2, nodes)) * rng.normal(1, 0.1, (2, nodes))
    usual = day[:, None] + morning[:, None] * weights[0] + evening[:, None] * weights[1]
    return usual * rng.normal(1, 0.05, (days, len(hours), nodes))


def moved(values, node, hours, begin=0, end=None):
    """The same with the readings of a detector some hours later on some days."""
    values = values.copy()
    part = values[begin:end, :, node]
    steps = round(hours * values.shape[1] / 24)
    values[begin:end, :, node] = np.roll(part.reshape(-1), steps).reshape(part.shape)
    return values


def find(values, step=QUARTER, first=FIRST):
    finder = ShiftFinder(step)
    seconds = np.arange(values.shape[1]) * step
    for number, day in enumerate(values):
        finder.add(first + number, seconds, day)
    return finder.result()


def test_clocks_that_are_right_are_not_told():
    assert find(flows()) == []
    with_gaps = flows()
    with_gaps[np.random.default_rng(1).random(with_gaps.shape) < 0.3] = np.nan
    with_gaps[:, :, 3] = np.nan
    with_gaps[:, :, 4] = 7
    assert find(with_gaps) == []
    assert find(flows(days=3)) == []
    assert find(flows(nodes=1)) == []


def test_nights_without_a_vehicle_do_no_harm():
    values = flows()
    values[:, :16] = 0
    with np.errstate(invalid="raise", divide="raise"):
        assert find(values) == []
        assert find(moved(values, 5, 1, begin=14)) == [ClockShift(5, 60, FIRST + 14)]


@pytest.mark.parametrize("hours", [1, -1, 2.5])
def test_a_clock_that_is_changed_is_told_with_its_day(hours):
    found = find(moved(flows(), 5, hours, begin=14))
    assert found == [ClockShift(5, round(60 * hours), FIRST + 14, None)]


def test_the_others_tell_which_part_is_wrong():
    assert find(moved(flows(), 5, 1, end=14)) == [ClockShift(5, 60, None, FIRST + 14)]


def test_a_clock_that_is_set_right_again_is_wrong_between():
    found = find(moved(flows(days=61), 5, -1, begin=21, end=42))
    assert found == [ClockShift(5, -60, FIRST + 21, FIRST + 42)]


def test_a_clock_that_is_wrong_throughout_is_told_by_the_others():
    assert find(moved(flows(), 2, 1)) == [ClockShift(2, 60)]


def test_of_two_detectors_nobody_can_say_which_is_wrong():
    assert find(moved(flows(nodes=2, seed=1), 0, 1)) == []
    assert find(moved(flows(nodes=3), 0, 1)) == [ClockShift(0, 60)]


@pytest.mark.parametrize("end", [28, 35])
def test_a_shift_of_weeks_is_told_with_its_days_or_not_at_all(end):
    found = find(moved(flows(days=61), 5, 1, begin=21, end=end))
    # Of a week too few days tell the same.
    assert found == ([ClockShift(5, 60, FIRST + 21, FIRST + 35)] if end == 35 else [])


def test_a_jam_on_two_days_is_no_change_of_the_clock():
    values, hours = flows(days=5, seed=1), np.arange(96) / 4
    values[:, :, 4] = 5 * np.abs(np.random.default_rng(1).normal(size=values.shape[:2]))
    for day, begin in ((1, 8), (3, 9.75)):
        values[day, :, 4] += 300 * ((hours >= begin) & (hours < begin + 2))
    assert find(values) == []


def test_several_detectors_are_told_each_by_itself():
    found = find(moved(moved(flows(), 5, 1, begin=14), 1, -2))
    assert found == [ClockShift(5, 60, FIRST + 14), ClockShift(1, -120)]


def test_what_the_whole_network_does_is_no_fault_of_a_detector():
    later = flows()
    for node in range(later.shape[2]):
        later = moved(later, node, 1, begin=14)
    assert find(later) == []
    holidays = flows()
    holidays[14:, 24:40] *= 0.3  # nobody goes to work
    assert find(holidays) == []


def test_an_hour_cannot_be_told_from_hourly_readings_and_two_can():
    hourly = flows(step=3600)
    assert find(moved(hourly, 5, 1, begin=14), 3600) == []
    assert find(moved(hourly, 5, 2, begin=14), 3600) == [ClockShift(5, 120, FIRST + 14)]


def test_days_before_and_after_are_those_of_the_shift():
    shift = ClockShift(0, 60, FIRST, FIRST + 2)
    assert [shift.holds(FIRST + day) for day in (-1, 0, 1, 2)] == [False, True, True, False]
    assert ClockShift(0, 60).holds(FIRST)


def days_of(path, feature):
    """First day and readings ``[days, 288, N]`` of a file of the outside data."""
    with h5py.File(path) as file:
        values = file["values"][..., feature]
        first = np.datetime64(file["timestamps"][0].decode()[:10])
    return first, values.reshape(-1, 288, values.shape[1])


@pytest.mark.parametrize("feature", [0, 1])
def test_two_months_of_aarhus_are_right(shared, feature):
    first, values = days_of(shared("series/aarhus_traffic_2014.h5"), feature)
    assert find(values, 300, first) == []


def test_a_week_of_metr_la_is_right_and_a_planted_hour_is_found(shared):
    first, values = days_of(shared("series/metr_la_week1.h5"), 0)
    assert find(values, 300, first) == []
    assert find(moved(values, 2, 1), 300, first) == [ClockShift(2, 60)]
    (found,) = find(moved(values, 2, 1, begin=4), 300, first)
    assert (found.node, found.minutes, found.until) == (2, 60, None)
    assert abs((found.since - (first + 4)).astype(int)) <= 1


@pytest.fixture
def shifted_file(tmp_path):
    values = moved(flows(), 5, 1, begin=14)
    steps = values.shape[0] * values.shape[1]
    series = TrafficSeries(
        values.reshape(steps, -1, 1).astype(np.float32),
        FIRST.astype("datetime64[s]") + np.arange(steps) * np.timedelta64(QUARTER, "s"),
        [f"VD-{i}" for i in range(12)],
        ["flow"],
        25.0 + 0.003 * np.arange(12),
        np.full(12, 121.5),
        interval_minutes=15.0,
    )
    schema.write(tmp_path / "a.h5", series)
    return tmp_path / "a.h5"


def test_inspect_tells_which_detector_from_when_and_how_much(shifted_file, tmp_path, capsys):
    assert main(["inspect", str(shifted_file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    day = str(FIRST + 14)
    assert found["clock_shifts"] == [{"vdid": "VD-5", "minutes": 60, "since": day, "until": None}]
    page = tmp_path / "a.html"
    assert main(["inspect", str(shifted_file), "--html", str(page)]) == 0
    told = f"The usual day of VD-5 is 60 minutes later than it should be, from {day} on, "
    for text in (capsys.readouterr().out, page.read_text()):
        assert text.count("VD-5 is 60") == 1
        assert told in text


def test_clean_masks_these_days_if_it_is_asked_to(shifted_file, tmp_path):
    whole = schema.read(shifted_file)
    out = tmp_path / "b.h5"
    assert main(["clean", str(shifted_file), str(out)]) == 0
    assert not np.isnan(schema.read(out).values[:, 5]).all(axis=0)
    words = ["clean", str(shifted_file), str(out), "--overwrite", "--reasons", "shifted clock"]
    assert main(words) == 0
    cleaned = schema.read(out)
    masked = np.isnan(cleaned.values) & ~np.isnan(whole.values)
    assert masked[14 * 96 :, 5].all()
    assert masked.sum() == 12 * 96
