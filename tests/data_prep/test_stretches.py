"""Sources whose readings are not all the same time apart: told, never mostly NaN in silence."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import steps
from data_prep.spacing import find_stretches

PLACES = "id,lat,lon\na,25.0,121.5\nb,25.01,121.5\n"
FORMS = ("wide", "long", "newest first")


@pytest.fixture
def convert(run, write_file):
    """Convert flows of detectors, of which each has its own times."""

    def convert(readings, *words, form="wide", unit="vehicles"):
        rows = sorted((t, v, x) for v, of in readings.items() for t, x in of.items())
        if form == "newest first":
            rows.reverse()
        if form == "wide":
            times = dict.fromkeys(time for time, *_ in rows)
            cells = {(time, vdid): x for time, vdid, x in rows}
            lines = [
                f"{t}," + ",".join(str(cells.get((t, v), "")) for v in readings) for t in times
            ]
            text = "\n".join([",".join(["time", *readings]), *lines]) + "\n"
            source = ["--wide", f"flow={write_file('w.csv', text)}"]
        else:
            text = "\n".join(["t,id,x", *(f"{t},{v},{x}" for t, v, x in rows)]) + "\n"
            source = ["--long", str(write_file("l.csv", text)), "--id-column", "id"]
            source += ["--time-column", "t", "--features", "x=flow"]
        places = ["--detectors", str(write_file("d.csv", PLACES)), "--unit", f"flow={unit}"]
        return run("csv", *source, *places, *words)

    return convert


def counts(first, last, minutes):
    """A vehicle a minute, counted over ``minutes``."""
    times = np.arange(np.datetime64(first, "m"), np.datetime64(last, "m"), minutes)
    return dict.fromkeys(np.datetime_as_string(times).tolist(), minutes)


def quarter_then_five(days=2, of=2):
    """15 minutes in January, 5 in February; as many days of each, or more of one of them."""
    january = counts(np.datetime64("2024-02-01") - days, "2024-02-01", 15)
    return january | counts("2024-02-01", np.datetime64("2024-02-01") + of, 5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("days", [(2, 2), (9, 1)])
def test_an_interval_that_changes_is_told_with_its_times(convert, form, days):
    readings = {vdid: quarter_then_five(*days) for vdid in "ab"}
    series, said = convert(readings, form=form)
    assert series is None
    first = np.datetime64("2024-02-01") - days[0]
    assert f"15 min from {first}T00:00:00+00:00 to 2024-01-31T23:45:00+00:00 at 2 of 2" in said
    assert "5 min otherwise. Set --interval 15min to bring all" in said
    assert "or --interval 5min" in said


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("held", [2**26, 2000])
def test_the_longer_interval_takes_the_readings_of_both(convert, form, held, monkeypatch):
    """Also if the finer part comes long after the first readings, or before."""
    monkeypatch.setattr(steps, "_HELD_BYTES", held)
    monkeypatch.setattr("data_prep.tables._PIECE_CELLS", 300)
    readings = {vdid: quarter_then_five() for vdid in "ab"}
    series, said = convert(readings, "--interval", "15min", form=form)
    assert series is not None, said
    assert series.interval_minutes == 15
    assert series.values.shape == (4 * 96, 2, 1)
    assert (series.values == 15).all()
    assert "768 readings of all 3 of a step, 0 of some" in said


def test_the_shorter_interval_leaves_holes_and_tells_them(convert):
    series, said = convert({vdid: quarter_then_five() for vdid in "ab"}, "--interval", "5min")
    known = ~np.isnan(series.values[..., 0])
    assert known[576:].all()
    assert (np.flatnonzero(known[:576, 0]) % 3 == 0).all()
    assert "apart" in said


@pytest.mark.parametrize("form", FORMS)
def test_one_detector_that_is_finer_than_others(convert, form):
    readings = {
        "a": counts("2024-01-01", "2024-01-02", 1),
        "b": counts("2024-01-01", "2024-01-02", 5),
    }
    series, said = convert(readings, form=form)
    assert series is None
    assert "5 min from 2024-01-01T00:00:00+00:00 to 2024-01-01T23:55:00+00:00 at 1 of 2" in said
    assert "(b); 1 min otherwise. Set --interval 5min" in said
    series, _ = convert(readings, "--interval", "5min", form=form)
    assert series.values.shape == (288, 2, 1)
    assert (series.values == 5).all()


def test_speeds_are_averaged_and_gaps_of_the_coarse_part_stay(convert):
    readings = {"a": quarter_then_five(), "b": quarter_then_five()}
    for place in (9, 4, 3):
        readings["a"].pop(list(readings["a"])[place])
    series, _ = convert(readings, "--interval", "15min", "--rule", "flow=mean", unit="veh/h")
    missing = np.argwhere(np.isnan(series.values[..., 0])).tolist()
    assert missing == [[3, 0], [4, 0], [9, 0]]
    assert (series.values[:192][~np.isnan(series.values[:192])] == 15).all()
    assert (series.values[192:] == 5).all()


def test_an_interval_that_is_no_multiple_of_all_distances_is_refused(convert):
    ten = counts("2024-01-01", "2024-01-03", 10) | counts("2024-01-03", "2024-01-06", 5)
    series, said = convert({"a": ten, "b": ten}, "--interval", "15min")
    assert series is None
    assert "is no multiple of all distances" in said
    assert "Set --interval 30min" in said
    series, _ = convert({"a": ten, "b": ten}, "--interval", "30min")
    assert (series.values == 30).all()


def test_a_few_readings_that_are_further_apart_are_told_and_taken(convert):
    readings = {vdid: counts("2024-01-01", "2024-01-03", 5) for vdid in "ab"}
    for time in list(readings["b"])[100:180:2]:
        readings["b"].pop(time)
    series, said = convert(readings)
    assert np.isnan(series.values).sum() == 40
    assert "10 min from " in said
    series, _ = convert(readings, "--interval", "10min")
    assert (series.values == 10).all()  # in proportion, as of any readings that are missing


def test_readings_that_are_missing_by_chance_are_no_longer_interval():
    rng = np.random.default_rng(0)
    there = rng.random((20000, 20, 1)) > 0.4
    assert find_stretches([(5, there)], 288) == []


def few_by_few(there):
    """The stretches of one series, as steps of its readings: distance, first, last."""
    steps = np.flatnonzero(there).tolist()
    distances = np.diff(steps).tolist()
    found, begin, i = [], 0, 0

    def is_many(i, divisor=1):
        distance = distances[i]
        ratio = distance // divisor
        if ratio == 1:
            return False
        count = next(
            n for n in range(3, 13) if (1 / ratio * (1 - 1 / ratio) ** (ratio - 1)) ** n <= 2**-24
        )
        return distances[i : i + count] == [distance] * count

    while i < len(distances):
        if math.gcd(*distances[begin : i + 1]) == 1:
            begin = i
        if not is_many(i):
            i += 1
            continue
        of = distances[i]
        first = i if any(distance % of for distance in distances[begin:i]) else begin
        end = i
        while end < len(distances) and distances[end] % of == 0:
            if is_many(end, of):
                break
            end += 1
        last = end if end == len(distances) or distances[end] > of else end - 1
        found.append((of, steps[first], steps[last]))
        begin = i = end
    return found


_RUNS = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 10, 12, 15, 30]), st.integers(1, 30)), max_size=12
)


@pytest.mark.slow
@settings(deadline=None)
@given(_RUNS, _RUNS, st.lists(st.integers(0, 600), max_size=20), st.integers(1, 130))
def test_stretches_are_the_same_in_parts_of_any_size(one, other, gone, size):
    there = np.zeros((900, 2), dtype=bool)
    for column, runs in enumerate((one, other)):
        steps = np.cumsum([3, *(distance for distance, count in runs for _ in range(count))])
        there[steps[steps < len(there)], column] = True
    there[gone] = False
    parts = ((s, there[s : s + size, :, None]) for s in range(0, len(there), size))
    found = {(s.column, s.distance, s.first, s.last) for s in find_stretches(parts, 1)}
    assert found == {(c, *of) for c in range(2) for of in few_by_few(there[:, c])}


@pytest.mark.parametrize("size", [7, 100, 5000])
def test_stretches_are_found_across_the_parts_of_a_grid(size):
    there = np.ones((5000, 3, 2), dtype=bool)
    there[1000:4000, 1, 1] = False
    there[1000:4000:6, 1, 1] = True
    parts = ((start + 60, there[start : start + size]) for start in range(0, 5000, size))
    (found,) = find_stretches(parts, 288)
    assert (found.column, found.feature, found.distance) == (1, 1, 6)
    assert (found.first, found.last) == (1060, 4054)


@pytest.mark.parametrize("form", FORMS)
def test_a_finer_detector_of_a_short_source_is_told_too(convert, form):
    readings = {
        "a": counts("2024-01-01", "2024-01-01T00:40", 1),
        "b": counts("2024-01-01", "2024-01-01T00:40", 5),
    }
    series, said = convert(readings, form=form)
    assert series is None
    assert "Set --interval 5min to bring all to one distance" in said
    series, _ = convert(readings, "--interval", "5min", "--min-share", "0.2", form=form)
    assert (series.values == 5).all()  # not 25: a reading is all of its step


def in_turn(*minutes, days=3):
    """So many days of each distance of readings."""
    times = np.datetime64("2024-01-01") + np.arange(len(minutes) + 1) * days
    parts = zip(times[:-1], times[1:], minutes, strict=True)
    return {time: x for part in parts for time, x in counts(*part).items()}


@pytest.mark.parametrize("minutes", [(10, 15), (15, 10), (10, 15, 10), (15, 5, 1), (1, 5, 15)])
def test_any_intervals_in_turn_come_to_a_multiple_of_all(convert, minutes):
    series, said = convert({vdid: in_turn(*minutes) for vdid in "ab"}, "--interval", "30min")
    assert series is not None, said
    assert series.values.shape == (len(minutes) * 144, 2, 1)
    assert (series.values == 30).all()


@pytest.mark.parametrize("minutes", [(15, 5, 1), (5, 2), (5, 2, 10)])
def test_parts_that_are_finer_come_long_after_others(convert, minutes, monkeypatch):
    """Each of them when the ones before are no longer held, and on a grid of its own."""
    monkeypatch.setattr(steps, "_HELD_BYTES", 2000)
    monkeypatch.setattr("data_prep.tables._PIECE_CELLS", 300)
    readings = {vdid: in_turn(*minutes) for vdid in "ab"}
    series, said = convert(readings, "--interval", "30min")
    assert series is not None, said
    assert (series.values == 30).all()


def test_intervals_in_turn_are_told_with_the_times_of_each(convert):
    _, said = convert({vdid: in_turn(10, 15) for vdid in "ab"})
    assert "15 min from 2024-01-04T00:00:00+00:00 to 2024-01-06T23:45:00+00:00 at 2 of 2" in said
    assert "10 min from 2024-01-01T00:00:00+00:00 to 2024-01-04T00:00:00+00:00 at 2 of 2" in said


def test_a_clock_that_is_shifted_keeps_its_interval(convert):
    shifted = counts("2024-01-01", "2024-01-05", 15) | counts("2024-01-05T00:01", "2024-01-09", 15)
    readings = {"a": counts("2024-01-01", "2024-01-09", 1), "b": shifted}
    series, _ = convert(readings, "--interval", "15min")
    assert (series.values == 15).all()


@pytest.mark.parametrize("minutes", [(15, 5), (5, 15)])
def test_an_interval_that_changes_inside_of_a_step(convert, minutes):
    at = "2024-01-03T12:15"
    first, second = minutes
    readings = counts("2024-01-01", at, first) | counts(at, "2024-01-05", second)
    series, _ = convert({"a": readings, "b": readings}, "--interval", "30min")
    assert (series.values == 30).all()
    words = ("--interval", "30min", "--rule", "flow=mean")
    series, _ = convert({"a": readings, "b": readings}, *words, unit="veh/h")
    assert series.values[120, 0, 0] == 10  # half of it 15, half of it 5


def test_a_day_of_every_second_reading_in_two_months_is_told_alone(convert):
    readings = {vdid: counts("2024-01-01", "2024-03-01", 5) for vdid in "ab"}
    for time in list(counts("2024-02-01", "2024-02-02T01:00", 10)):
        readings["b"].pop(time)
    series, said = convert(readings)
    assert series is not None, said
    assert "10 min from 2024-01-31T23:55:00+00:00 to 2024-02-02T00:45:00+00:00 at 1 of 2" in said
    series, _ = convert(readings, "--interval", "10min")
    assert (series.values[:4400] == 10).all()


def test_a_detector_of_another_interval_is_refused_in_a_file_that_is_longer(convert):
    readings = {
        "a": counts("2024-01-01", "2024-03-01", 5),
        "b": counts("2024-02-01", "2024-02-03", 15),
    }
    series, said = convert(readings)
    assert series is None
    assert "15 min from 2024-02-01T00:00:00+00:00" in said


@pytest.mark.parametrize(("unit", "expected"), [("veh/5min", 30), ("veh/h", 60)])
def test_lanes_of_one_detector_that_have_different_intervals(run, write_file, unit, expected):
    """Vehicles of 15 minutes, or an hour, of two lanes: each comes to the interval by itself."""
    lanes = {
        "1": counts("2024-01-01", "2024-01-03", 5),
        "2": counts("2024-01-01", "2024-01-03", 15),
    }
    rows = [
        f"a,{lane},{time},{30 if unit == 'veh/h' else x}"
        for lane, of in lanes.items()
        for time, x in of.items()
    ]
    table = write_file("l.csv", "\n".join(["id,lane,t,x", *rows]))
    words = ["--long", table, "--id-column", "id", "--lane-column", "lane", "--time-column", "t"]
    words += ["--features", "x=flow", "--detectors", write_file("d.csv", PLACES)]
    series, said = run("csv", *words, "--unit", f"flow={unit}", "--interval", "15min")
    assert (series.values[:, series.vdids.index("a")] == expected).all()
    assert "384 readings of lanes or detectors of all 3 of a step" in said
    series, said = run("csv", *words, "--unit", f"flow={unit}", "--interval", "5min")
    assert series is None
    assert "The lanes of a have readings 5 min and 15 min apart" in said
    assert "Set --interval 15min, to which each lane comes first." in said


def test_a_count_of_more_than_a_step_gives_this_its_share(convert):
    readings = {v: counts("2024-01-01", "2024-01-03", m) for v, m in {"a": 5, "b": 60}.items()}
    series, _ = convert(readings, "--interval", "10min", unit="veh/5min")
    a, b = (series.values[:, series.vdids.index(name), 0] for name in "ab")
    assert (a == 10).all()
    assert (b[::6] == 10).all()
    assert np.isnan(b.reshape(-1, 6)[:, 1:]).all()


def test_a_day_on_which_a_lane_fails_by_turns_is_told_and_no_reason_to_refuse(run, write_file):
    whole = counts("2024-01-01", "2024-01-15", 5)
    gone = set(list(counts("2024-01-05", "2024-01-06", 5))[1::2])
    rows = [f"a,1,{t},{x}" for t, x in whole.items()]
    rows += [f"a,2,{t},{x}" for t, x in whole.items() if t not in gone]
    table = write_file("l.csv", "\n".join(["id,lane,t,x", *rows]))
    words = ["--long", table, "--id-column", "id", "--lane-column", "lane", "--time-column", "t"]
    words += ["--features", "x=flow", "--detectors", write_file("d.csv", PLACES)]
    series, said = run("csv", *words, "--unit", "flow=veh/5min", "--interval", "5min")
    assert "10 min from 2024-01-0" in said
    values = series.values[:, series.vdids.index("a"), 0]
    assert np.isnan(values).sum() == len(gone)
    assert (values[~np.isnan(values)] == 10).all()


def test_lanes_that_miss_other_readings_are_brought_to_the_interval_first(run, write_file):
    times = list(counts("2024-01-01", "2024-01-02", 5))
    rows = [f"a,{n % 2},{times[n // 2]},10" for n in range(2 * len(times)) if n % 12 not in (0, 3)]
    table = write_file("l.csv", "\n".join(["id,lane,t,x", *rows]))
    words = ["--long", table, "--id-column", "id", "--lane-column", "lane", "--time-column", "t"]
    words += ["--features", "x=flow", "--detectors", write_file("d.csv", PLACES)]
    series, _ = run("csv", *words, "--unit", "flow=veh/5min", "--interval", "15min")
    assert (series.values[:, series.vdids.index("a")] == 60).all()


def without(readings, gone):
    """Readings, of whose places those are left out for which ``gone`` is true."""
    return {time: x for place, (time, x) in enumerate(readings.items()) if not gone(place)}


def test_a_reading_that_is_missing_again_and_again_hides_no_distance(convert):
    """10 minutes, without that of :20 in every second hour: never twelve in a row."""
    five, ten = (counts("2024-01-01", "2024-01-05", minutes) for minutes in (5, 10))
    readings = {"a": five, "b": without(ten, lambda place: place % 12 == 2)}
    _, said = convert(readings)
    assert "10 min from 2024-01-01T00:00:00+00:00 to 2024-01-04T23:50:00+00:00 at 1 of 2" in said
    _, said = convert(readings, "--interval", "15min")
    assert "is no multiple of all distances" in said
    series, _ = convert(readings, "--interval", "1h")
    assert (series.values == 60).all()


@pytest.mark.parametrize("form", FORMS)
def test_readings_that_are_missing_at_random_hide_no_distance(convert, form):
    rng = np.random.default_rng(0)
    gone = rng.random(4 * 96) < 0.4
    gone[0] = False
    five, quarter = (counts("2024-01-01", "2024-01-05", minutes) for minutes in (5, 15))
    readings = {"a": five, "b": without(quarter, lambda place: gone[place])}
    _, said = convert(readings, form=form)
    assert "15 min from 2024-01-01T00:00:00+00:00" in said
    assert "(b); 5 min otherwise. Set --interval 15min" in said
    series, _ = convert(readings, "--interval", "30min", form=form)
    known = ~np.isnan(series.values[:, 1, 0])
    assert (known == ~gone.reshape(-1, 2).all(axis=1)).all()
    assert (series.values[known] == 30).all()


def test_nights_of_hourly_readings_are_told_and_taken(convert):
    nights: dict[str, int] = {}
    for day in range(1, 6):
        nights |= counts(f"2024-01-0{day}", f"2024-01-0{day}T06:00", 60)
        nights |= counts(f"2024-01-0{day}T06:00", f"2024-01-0{day + 1}", 5)
    readings = {"a": counts("2024-01-01", "2024-01-06", 5), "b": nights}
    _, said = convert(readings)
    assert "1 h from 2024-01-01T00:00:00+00:00 to 2024-01-05T05:00:00+00:00 at 1 of 2" in said
    series, _ = convert(readings, "--interval", "1h")
    assert (series.values == 60).all()


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_stray_time_hides_no_grid(size):
    rng = np.random.default_rng(0)
    there = np.zeros((10 * 288, 3, 1), dtype=bool)
    there[1::3, 1] = rng.random((960, 1)) > 0.5
    there[[300, 1001, 1003], 1] = True
    there[:, 2] = rng.random((2880, 1)) > 0.97  # sparse, and on no grid
    parts = [(start, there[start : start + size]) for start in range(0, 2880, size)]
    found = find_stretches(parts, 288)
    assert {(s.column, s.distance) for s in found} == {(1, 3)}
    steps = np.flatnonzero(there[:, 1])
    assert min(s.first for s in found) == steps[0]
    assert max(s.last for s in found) == steps[-1]
    assert sum(s.last - s.first + 3 for s in found) > 2800


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9])
def test_ordinary_detectors_with_gaps_at_random_have_no_grid(share):
    there = np.random.default_rng(1).random((30 * 288, 60, 1)) < share
    assert find_stretches([(0, there)], 288) == []


def test_a_grid_that_becomes_coarser_is_told_from_gaps():
    """Half of the readings of 10 minutes, then half of those of 30 minutes."""
    rng = np.random.default_rng(2)
    there = np.zeros((20 * 288, 1, 1), dtype=bool)
    there[: 10 * 288 : 2, 0] = rng.random((1440, 1)) > 0.5
    there[10 * 288 :: 6, 0] = rng.random((480, 1)) > 0.5
    found = find_stretches([(0, there)], 288)
    assert {s.distance for s in found} == {2, 6}
    assert all((s.distance == 2) == (s.last < 10 * 288) for s in found)
    assert sum(s.last - s.first + s.distance for s in found) > 19 * 288
