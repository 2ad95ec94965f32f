"""A traffic series in memory: what it is made of, and what cannot be one."""

from dataclasses import replace

import numpy as np
import pytest

from socialgraph import schema
from socialgraph.axis import infer_interval, regular_axis
from socialgraph.series import (
    RoadDistances,
    SeriesError,
    TrafficSeries,
    as_id,
)

TIMES = np.datetime64("2024-01-01T00:00", "s") + np.arange(4) * np.timedelta64(300, "s")
WAYS = RoadDistances(np.array([[0, 1, 2, 0], [1, 2, 0, 2]]), np.array([10.0, 20.0, 30.0, 40.0]))


def make(**parts):
    """Three detectors with two features at four times; ``parts`` are put in their places."""
    values = np.arange(24, dtype=np.float64).reshape(4, 3, 2)
    names = {"vdids": ["a", "b", "c"], "feature_names": ["speed", "flow"]}
    return TrafficSeries(**{"values": values, "timestamps": TIMES, **names, **parts})


def times(*texts):
    return np.array(texts, dtype="datetime64[ns]")


def test_what_is_not_known_is_filled():
    series = make()
    assert series.values.dtype == np.float32
    assert series.timestamps.dtype == np.dtype("datetime64[s]")
    assert series.units == ["", ""]
    assert np.isnan(series.lat).all()
    assert np.isnan(series.lon).all()
    assert series.lat is not series.lon
    assert series.interval_minutes == 5.0
    assert (series.timezone, series.vd_info, series.edges) == ("UTC", {}, None)


def test_what_is_given_is_kept():
    series = make(
        lat=[1, 2, 3],
        lon=(4, 5, 6),
        units=["mph", None],
        interval_minutes=10,
        vd_info={"a": {"lanes": 3}},
        edges=([[0], [2]], [7]),
    )
    assert series.lat.tolist() == [1.0, 2.0, 3.0]
    assert series.lon.tolist() == [4.0, 5.0, 6.0]
    assert series.units == ["mph", ""]
    assert series.interval_minutes == 10
    assert series.vd_info == {"a": {"lanes": 3}}
    assert series.edges.edge_index.tolist() == [[0], [2]]
    assert series.edges.distance.dtype == np.float64


def test_ids_become_text_in_the_series_and_its_attributes():
    series = make(vdids=np.array([1, 2, 3]), vd_info={2: {"lanes": 3}})
    assert series.vdids == ["1", "2", "3"]
    assert series.vd_info == {"2": {"lanes": 3}}
    labels = [7, np.int64(7), 7.0, np.float32(7), "7", b"7"]
    assert [as_id(label) for label in labels] == ["7"] * 6
    assert [as_id(label) for label in (7.5, "7.0", "007", " 7", "nan")] == [
        "7.5",
        "7.0",
        "007",
        " 7",
        "nan",
    ]


def test_an_empty_cell_is_no_id():
    for label in [None, float("nan"), np.float32("nan"), np.datetime64("NaT")]:
        with pytest.raises(SeriesError, match="id in every place"):
            as_id(label)


NO_SERIES = {
    "two axes": ({"values": np.ones((4, 3))}, r"\[time, detector, feature\] \(got shape \(4, 3\)"),
    "no time": (
        {"values": np.ones((0, 3, 2)), "timestamps": times(), "interval_minutes": 5},
        "a reading or more",
    ),
    "no detector": ({"values": np.ones((4, 0, 2)), "vdids": []}, "a reading or more"),
    "no feature": ({"values": np.ones((4, 3, 0)), "feature_names": []}, "a reading or more"),
    "texts": ({"values": np.full((4, 3, 2), "1")}, "real numbers"),
    "complex": ({"values": np.ones((4, 3, 2), complex)}, "real numbers"),
    "objects": ({"values": np.full((4, 3, 2), None)}, "real numbers"),
    "infinity": ({"values": np.full((4, 3, 2), -np.inf)}, "finite readings; 24 are infinite"),
    "too large": ({"values": np.full((4, 3, 2), 1e300)}, "too large for float32"),
    "few times": ({"timestamps": TIMES[:3]}, r"4 timestamps for readings.*\(got 3\)"),
    "few ids": ({"vdids": ["a", "b"]}, r"3 vdids for .*\(got 2\)"),
    "many names": ({"feature_names": ["a", "b", "c"]}, r"2 feature_names .*\(got 3\)"),
    "few units": ({"units": ["mph"]}, r"2 units .*\(got 1\)"),
    "few latitudes": ({"lat": [1.0, 2.0]}, r"3 lat .*\(got 2\)"),
    "many longitudes": ({"lon": np.ones((3, 1))}, r"3 lon .*\(got shape \(3, 1\)\)"),
    "ids that repeat": ({"vdids": ["a", 1, "1"]}, r"unique vdids; \['1'\]"),
    "features that repeat": ({"feature_names": ["a", "a"]}, r"unique feature_names; \['a'\]"),
    "an empty id": ({"vdids": ["a", "b", " "]}, r"not empty.*\(got \[' '\]\)"),
    "a path as id": ({"vdids": ["a", "b", "c/d"]}, r"without '/' .*\(got \['c/d'\]\)"),
    "a dot as id": ({"vdids": ["a", "b", "."]}, r"\(got \['.'\]\)"),
    "two dots as id": ({"vdids": ["a", "b", ".."]}, r"\(got \['..'\]\)"),
    "a control character": ({"vdids": ["a", "b", "c\0"]}, "hold no control character"),
    "a formula": ({"vdids": ["a", "b", "=HYPERLINK(1)"]}, "no formula of"),
    "a formula with a sign": ({"vdids": ["a", "b", "+1+cmd|calc!A0"]}, "no formula of"),
    "an empty feature": ({"feature_names": ["a", ""]}, "feature_names that are not empty"),
    "times as texts": ({"timestamps": ["2024-01-01"] * 4}, "datetime64 in UTC .*from_frame"),
    "NaT": (
        {"timestamps": times("2024-01-01", "NaT", "2024-01-03", "2024-01-04")},
        r"time in every row \(1 have none\)",
    ),
    "NaT at the end": (
        {"timestamps": times("2024-01-01", "2024-01-02", "2024-01-03", "NaT")},
        "time in every row",
    ),
    "a time twice": (
        {"timestamps": times("2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03")},
        "ascend; 2024-01-02T00:00:00 follows 2024-01-02T00:00:00 .1 such",
    ),
    "a time before another": (
        {"timestamps": times("2024-01-01", "2024-01-03", "2024-01-02", "2024-01-04")},
        "ascend; 2024-01-02T00:00:00 follows 2024-01-03T00:00:00",
    ),
    "between two seconds": (
        {"timestamps": times("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04T00:00:00.5")},
        r"whole seconds \(got 2024-01-04T00:00:00.5",
    ),
    "the year 1969": (
        {"timestamps": times("1969-12-31", "2024-01-02", "2024-01-03", "2024-01-04")},
        "years 1970 to 2100",
    ),
    "interval 0": ({"interval_minutes": 0}, "'interval_minutes' above 0 .got 0"),
    "interval NaN": ({"interval_minutes": np.nan}, "'interval_minutes' above 0"),
    "interval infinite": ({"interval_minutes": np.inf}, "whole number of seconds"),
    "half a second": ({"interval_minutes": 1 / 120}, "whole number of seconds"),
    "zone": ({"timezone": "Taipei"}, "IANA name .*got 'Taipei'"),
    "an end too many": ({"edges": ([[0], [3]], [1.0])}, r"3 detectors.*\(got 0 to 3\)"),
    "an end below 0": ({"edges": ([[0], [-1]], [1.0])}, r"\(got -1 to 0\)"),
    "half an end": ({"edges": ([[0], [0.5]], [1.0])}, "'edge_index' as whole numbers"),
    "lengths as texts": ({"edges": ([[0], [1]], ["1"])}, "'distance' as metres"),
    "three rows": ({"edges": ([[0], [1], [2]], [1.0])}, r"edge_index' \[2, E\].*shapes \(3, 1\)"),
    "few lengths": ({"edges": ([[0, 1], [1, 0]], [1.0])}, r"\(2, 2\) and \(1,\)"),
    "one axis": ({"edges": ([0, 1], [1.0, 1.0])}, r"shapes \(2,\) and \(2,\)"),
    "NaN metres": ({"edges": ([[0], [1]], [np.nan])}, "finite metres"),
    "infinite metres": ({"edges": ([[0], [1]], [np.inf])}, "finite metres"),
    "metres below 0": ({"edges": ([[0], [1]], [-1.0])}, "finite metres of 0 or more"),
}


def test_what_cannot_be_right_is_refused_when_the_series_is_made():
    for parts, words in NO_SERIES.values():
        with pytest.raises(SeriesError, match=words):
            make(**parts)


def test_a_series_changed_into_what_cannot_be_right_is_not_written(tmp_path):
    for parts, words in NO_SERIES.values():
        series = make()
        for name, part in parts.items():
            setattr(series, name, part)
        with pytest.raises(SeriesError, match=words):
            schema.write(tmp_path / "a.h5", series)
    assert not list(tmp_path.iterdir())


def test_readings_changed_in_place_are_checked_again():
    series = make()
    series.check()
    series.values[1, 1, 1] = np.inf
    with pytest.raises(SeriesError, match="finite readings; 1 are"):
        series.check()


def test_the_largest_reading_and_edges_without_length_are_right():
    large = np.full((4, 3, 2), np.finfo(np.float32).max)
    assert np.isfinite(make(values=large).values).all()
    assert make(edges=([[0], [0]], [0])).edges.distance.tolist() == [0.0]
    nothing = make(edges=(np.zeros((2, 0)), np.zeros(0)))
    assert nothing.select(vdids=["a"]).edges.edge_index.shape == (2, 0)


def test_missing_readings_stay_missing():
    assert np.isnan(make(values=np.full((4, 3, 2), np.nan)).values).all()


def test_a_choice_has_everything_of_its_detectors_and_features_in_its_order():
    series = make(
        lat=[1, 2, 3],
        lon=[4, 5, 6],
        units=["mph", "veh/h"],
        interval_minutes=15,
        timezone="Asia/Taipei",
        vd_info={"a": {"lanes": 3}, "b": {"lanes": 2}},
        edges=WAYS,
    )
    chosen = series.select(["flow"], ["c", "a"])
    assert chosen.values[0, :, 0].tolist() == [5.0, 1.0]
    assert chosen.values.shape == (4, 2, 1)
    assert (chosen.vdids, chosen.feature_names, chosen.units) == (["c", "a"], ["flow"], ["veh/h"])
    assert (chosen.lat.tolist(), chosen.lon.tolist()) == ([3.0, 1.0], [6.0, 4.0])
    assert chosen.vd_info == {"a": {"lanes": 3}}
    assert (chosen.interval_minutes, chosen.timezone) == (15, "Asia/Taipei")
    assert chosen.edges.edge_index.tolist() == [[0, 1], [1, 0]]
    assert chosen.edges.distance.tolist() == [30.0, 40.0]


def test_a_choice_of_everything_is_the_same_series():
    series = make(edges=WAYS)
    same = series.select()
    np.testing.assert_array_equal(same.values, series.values)
    assert same.edges.edge_index.tolist() == WAYS.edge_index.tolist()
    assert make().select(vdids=["b"]).edges is None


def test_a_choice_that_cannot_be_made_is_refused():
    for choice, error, words in [
        ({"vdids": ["a", "d"]}, KeyError, r"no detector 'd'; there are \['a', 'b', 'c'\]"),
        ({"features": ["sped"]}, KeyError, r"no feature 'sped'; there are \['speed', 'flow'\]"),
        ({"vdids": ["a", "a"]}, SeriesError, r"unique vdids; \['a'\]"),
        ({"features": ["flow", "flow"]}, SeriesError, r"unique feature_names; \['flow'\]"),
        ({"vdids": []}, SeriesError, "a reading or more"),
    ]:
        with pytest.raises(error, match=words):
            make(edges=WAYS).select(**choice)


def test_of_many_ids_ten_are_named():
    many = make(values=np.ones((4, 12, 2)), vdids=range(12))
    with pytest.raises(KeyError, match=r"'9'\] and 2 more"):
        many.select(vdids=["x"])
    with pytest.raises(KeyError, match=r"'9'\]\."):
        many.select(vdids=many.vdids[:10]).select(vdids=["x"])


def test_a_series_with_other_parts_is_checked():
    with pytest.raises(SeriesError, match="3 vdids"):
        replace(make(), vdids=["a"])


def test_the_interval_is_the_most_frequent_one():
    gaps = np.datetime64("2024-01-01", "s") + np.cumsum([0, 60, 90, 90, 300]).astype("m8[s]")
    assert infer_interval(gaps) == 1.5
    for few in (gaps[:1], gaps[:0]):
        with pytest.raises(SeriesError, match=f"{len(few)} times give no interval.*--interval"):
            infer_interval(few)


def test_the_axis_is_filled_up_and_starts_at_the_first_time():
    some = TIMES[[0, 1, 3]] + np.timedelta64(120, "s")
    axis, interval = regular_axis(some)
    assert interval == 5.0
    assert axis.tolist() == (TIMES + np.timedelta64(120, "s")).tolist()
    axis, interval = regular_axis(TIMES[[0, 2]], 2.5)
    assert (len(axis), axis[0], axis[-1], interval) == (5, TIMES[0], TIMES[2], 2.5)
    assert regular_axis(TIMES[:1], 5)[0].tolist() == TIMES[:1].tolist()


def test_a_time_off_the_grid_is_named():
    late = TIMES.copy()
    late[0] -= np.timedelta64(60, "s")
    with pytest.raises(SeriesError, match=r"1 of 4 .* 5 minutes \(inferred\), first 2023-12-31T23"):
        regular_axis(late)
    with pytest.raises(
        SeriesError, match=r"2 of 4 .* 10 minutes \(as set\), first 2024-01-01T00:0"
    ):
        regular_axis(TIMES, 10)


def test_an_axis_that_would_be_almost_empty_is_refused():
    def with_gap(steps):
        return np.append(TIMES, TIMES[-1] + steps * np.timedelta64(300, "s"))

    assert len(regular_axis(with_gap(96))[0]) == 100
    with pytest.raises(
        SeriesError, match=r"5 distinct times .* 101 steps of 5 .* from 2024-01-01T00:15:00 to"
    ):
        regular_axis(with_gap(97))


def test_an_axis_has_steps_of_whole_seconds():
    for interval in [0.0, -5.0, 0.001, np.nan, np.inf, 1 / 7]:
        with pytest.raises(SeriesError, match=f"at least one .got {interval} minutes"):
            regular_axis(TIMES, interval)


def test_days_are_counted_from_the_first_reading_to_the_last():
    assert make().num_days() == 4 * 5 / 1440
    values = np.full((4, 3, 2), np.nan)
    assert make(values=values).num_days() == 0.0
    values[1, 0, 1] = values[2, 2, 0] = 7.0
    assert make(values=values).num_days() == 2 * 5 / 1440
