"""Series from pandas frames and back, whatever form the frames have."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socialgraph.calendar import ClockError
from socialgraph.series import SeriesError, TrafficSeries
from tests.conftest import make_series

COPENHAGEN = "Europe/Copenhagen"
TIMES = pd.date_range("2024-01-01", periods=4, freq="5min")
SPEED = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, np.nan, 8.0]}, index=TIMES)
FLOW = SPEED * 10
BOTH = np.stack([SPEED.to_numpy(), FLOW.to_numpy()], axis=-1)  # [4, 2, 2]
PLACES = pd.DataFrame({"detector": ["b", "a"], "lat": [26.0, 25.0], "lon": [122.0, 121.0]})


def long_frame():
    """A row per detector and time, detector by detector."""
    rows = [
        {"detector": vdid, "time": time, "speed": SPEED.at[time, vdid], "flow": FLOW.at[time, vdid]}
        for vdid in SPEED
        for time in TIMES
    ]
    return pd.DataFrame(rows)


def utc(*texts):
    return np.array(texts, dtype="datetime64[s]").tolist()


def speeds(frame=SPEED, **options):
    return TrafficSeries.from_frame(frame, feature="speed", **options)


def at(labels, **options):
    """Times in UTC of four rows with these labels."""
    return speeds(SPEED.set_axis(labels, axis="index"), **options).timestamps.tolist()


def assert_both(series):
    assert (series.vdids, series.feature_names) == (["a", "b"], ["speed", "flow"])
    np.testing.assert_array_equal(series.values, BOTH)
    assert series.timestamps.tolist() == TIMES.to_pydatetime().tolist()
    assert series.interval_minutes == 5.0


def two_levels(names=(None, None)):
    return pd.concat({"speed": SPEED, "flow": FLOW}, axis=1, names=list(names))


FORMS = {
    "long": long_frame,
    "long, times as index": lambda: long_frame().set_index("time"),
    "long, times as index of another name": lambda: long_frame().set_index("time").rename_axis("t"),
    "long, times and ids as index": lambda: long_frame().set_index(["time", "detector"]),
    "long, ids and times as index": lambda: long_frame().set_index(["detector", "time"]),
    "long, ids as categories": lambda: long_frame().astype({"detector": "category"}),
    "long, ids as objects": lambda: long_frame().astype({"detector": object}),
    "long, ids as strings": lambda: long_frame().astype({"detector": "string"}),
    "long, all of arrow": lambda: long_frame().convert_dtypes(dtype_backend="pyarrow"),
    "long, numbers with NA": lambda: long_frame().convert_dtypes(dtype_backend="numpy_nullable"),
    "long, times as categories": lambda: long_frame().astype({"time": "category"}),
    "long, every row twice": lambda: pd.concat([long_frame()] * 2),
    "mapping": lambda: {"speed": SPEED, "flow": FLOW},
    "mapping, rows in other orders": lambda: {"speed": SPEED[::-1], "flow": FLOW},
    "mapping, columns in other orders": lambda: {"speed": SPEED, "flow": FLOW[["b", "a"]]},
    "two levels": two_levels,
    "two levels with names": lambda: two_levels(("feature", "detector")),
    "two levels, ids first": lambda: two_levels(("feature", "detector")).swaplevel(axis=1),
    "two levels, the first named": lambda: two_levels((None, "detector")).swaplevel(axis=1),
    "two levels, the second named": lambda: two_levels(("feature", None)).swaplevel(axis=1),
    "two levels, times as column": lambda: two_levels().rename_axis("time").reset_index(),
    "two levels, every row twice": lambda: pd.concat([two_levels()] * 2),
}


def test_every_form_of_a_frame_gives_the_same_series():
    for form in FORMS.values():
        assert_both(TrafficSeries.from_frame(form()))


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(8)))
def test_the_order_of_the_rows_of_a_long_frame_does_not_matter(order):
    series = TrafficSeries.from_frame(long_frame().iloc[order]).select(vdids=["a", "b"])
    assert_both(series)


def test_detectors_stand_in_the_order_of_the_frame():
    assert TrafficSeries.from_frame(long_frame()[::-1]).vdids == ["b", "a"]
    assert speeds(SPEED[["b", "a"]]).vdids == ["b", "a"]


def test_columns_may_have_other_names():
    frame = long_frame().rename(columns={"detector": "vd", "time": "start"})
    assert_both(TrafficSeries.from_frame(frame, id_column="vd", time_column="start"))
    wide = SPEED.rename_axis("start").reset_index()
    assert at_column(wide) == TIMES.to_pydatetime().tolist()


def at_column(frame):
    return speeds(frame, time_column="start").timestamps.tolist()


def test_what_a_frame_does_not_hold_is_missing():
    flow = FLOW.loc[TIMES[1:], ["b"]].rename(columns={"b": "c"})
    series = TrafficSeries.from_frame({"speed": SPEED[["a"]].iloc[[0, 3]], "flow": flow})
    assert series.vdids == ["a", "c"]
    missing = np.nan
    np.testing.assert_array_equal(series.values[:, 0, 0], [1, missing, missing, 4])
    np.testing.assert_array_equal(series.values[:, 1, 1], [missing, 60, missing, 80])
    assert np.isnan(series.values[:, [0, 1], [1, 0]]).all()


def test_times_without_a_row_are_filled_with_missing_readings():
    series = speeds(SPEED.iloc[[3, 0, 1]])
    assert series.timestamps.tolist() == TIMES.to_pydatetime().tolist()
    np.testing.assert_array_equal(series.values[:, 0, 0], [1, 2, np.nan, 4])


def test_one_row_needs_an_interval():
    with pytest.raises(SeriesError, match="1 times give no interval"):
        speeds(SPEED[:1])
    assert speeds(SPEED[:1], interval_minutes=5).values.tolist() == [[[1.0], [5.0]]]


def test_a_detector_may_be_called_as_the_column_of_ids():
    frame = SPEED.set_axis(["a", "detector"], axis="columns")
    series = speeds(frame, id_column="id")
    assert series.vdids == ["a", "detector"]
    np.testing.assert_array_equal(series.values[..., 0], SPEED)


def test_names_units_and_zone_are_kept():
    series = TrafficSeries.from_frame(
        long_frame(), units={"flow": "veh/h"}, timezone="Asia/Taipei", dataset_name="made"
    )
    assert series.units == ["", "veh/h"]
    assert (series.timezone, series.dataset_name) == ("Asia/Taipei", "made")
    with pytest.raises(KeyError, match="no feature 'sped'"):
        TrafficSeries.from_frame(long_frame(), units={"sped": "mph"})
    assert TrafficSeries.from_frame(long_frame().rename(columns={"flow": 5})).feature_names == [
        "speed",
        "5",
    ]


def test_ids_become_text():
    for labels in [[1, 2], [1.0, 2.0], ["1", "2"], [1, "2"], pd.array([1, 2], dtype="Int64")]:
        assert TrafficSeries.from_frame(
            long_frame().assign(detector=np.repeat(labels, 4))
        ).vdids == [
            "1",
            "2",
        ]
        assert speeds(SPEED.set_axis(list(labels), axis="columns")).vdids == ["1", "2"]


def test_an_empty_id_is_refused():
    for label in [None, np.nan, pd.NA, pd.NaT]:
        frame = long_frame().astype({"detector": object})
        frame.at[2, "detector"] = label
        with pytest.raises(SeriesError, match=r"id in every place \(1 are empty\)"):
            TrafficSeries.from_frame(frame)
        with pytest.raises(SeriesError, match="id in every place"):
            speeds(SPEED.set_axis(["a", label], axis="columns"))


NAIVE = {
    "datetime64[ns]": lambda t: t.astype("datetime64[ns]"),
    "datetime64[s]": lambda t: t.astype("datetime64[s]"),
    "texts": lambda t: [f"{time:%Y-%m-%dT%H:%M}" for time in t],
    "texts with a blank": lambda t: t.astype(str),
    "datetimes": lambda t: pd.Index(t.to_pydatetime(), dtype=object),
    "periods": lambda t: t.to_period("5min"),
    "categories": pd.CategoricalIndex,
}


def test_times_without_an_offset_are_on_the_clock_of_the_zone():
    for write in NAIVE.values():
        start = datetime(2023, 12, 31, 16)
        expected = [start.replace(minute=5 * step) for step in range(4)]
        assert at(write(TIMES), timezone="Asia/Taipei") == expected


KNOWN = {
    "another zone": lambda t: t.tz_localize("UTC").tz_convert("America/Los_Angeles"),
    "texts with Z": lambda t: [f"{time:%Y-%m-%dT%H:%M}Z" for time in t],
    "seconds": lambda t: t.astype("datetime64[s]").astype("int64"),
    "milliseconds": lambda t: t.astype("datetime64[ms]").astype("int64"),
    "seconds as floats": lambda t: t.astype("datetime64[s]").astype("int64").astype(float),
    "datetimes": lambda t: pd.Index(list(t.tz_localize("UTC").to_pydatetime()), dtype=object),
    "arrow": lambda t: pd.Index(t.tz_localize("UTC")).astype("timestamp[ns, UTC][pyarrow]"),
}


def test_times_that_are_known_in_utc_do_not_depend_on_the_zone():
    for write in KNOWN.values():
        assert at(write(TIMES), timezone="Asia/Taipei") == TIMES.to_pydatetime().tolist()


def test_days_are_times():
    days = [date(2024, 1, day) for day in (1, 2, 3, 4)]
    assert at(days) == utc("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
    assert at(pd.period_range("2024-01-01", periods=4, freq="D")) == at(days)


AUTUMN = ["2024-10-27T02:50", "2024-10-27T02:55", "2024-10-27T02:00", "2024-10-27T02:05"]
AUTUMN_UTC = utc("2024-10-27T00:50", "2024-10-27T00:55", "2024-10-27T01:00", "2024-10-27T01:05")


def test_the_hour_that_comes_twice_is_told_by_offsets_or_by_the_order():
    offsets = ["+02:00", "+02:00", "+01:00", "+01:00"]
    assert at([f"{t}{o}" for t, o in zip(AUTUMN, offsets, strict=True)]) == AUTUMN_UTC
    zone = ZoneInfo(COPENHAGEN)
    folds = [
        datetime.fromisoformat(t).replace(tzinfo=zone, fold=i > 1) for i, t in enumerate(AUTUMN)
    ]
    assert at(pd.Index(folds, dtype=object)) == AUTUMN_UTC
    assert at(pd.DatetimeIndex(AUTUMN), timezone=COPENHAGEN) == AUTUMN_UTC
    assert at(AUTUMN, timezone=COPENHAGEN) == AUTUMN_UTC


@pytest.mark.parametrize("kind", ["datetime64[s]", object])
@pytest.mark.parametrize("sort", ["detector", "step"])
def test_the_hour_that_comes_twice_is_told_for_each_detector_of_a_long_frame(kind, sort):
    frame = pd.DataFrame(
        {
            "detector": [1] * 4 + [2] * 4,
            "time": np.array(AUTUMN * 2, dtype="datetime64[s]"),
            "step": [0, 1, 2, 3] * 2,
            "speed": range(8),
        }
    ).sort_values(sort, kind="stable")
    frame = frame.drop(columns="step").astype({"time": kind})
    series = TrafficSeries.from_frame(frame, timezone=COPENHAGEN)
    assert series.timestamps.tolist() == AUTUMN_UTC
    assert series.values[..., 0].T.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_rows_of_the_repeated_hour_that_are_in_no_order_are_refused():
    local = ["2024-10-27T02:30", "2024-10-27T03:00", "2024-10-27T01:30", "2024-10-27T02:00"]
    with pytest.raises(ClockError, match="their order does not tell"):
        at(local, timezone=COPENHAGEN)
    shuffled = SPEED.set_axis(pd.DatetimeIndex(AUTUMN)).iloc[[1, 0, 3, 2]]
    with pytest.raises(ClockError, match="their order does not tell"):
        speeds(shuffled, timezone=COPENHAGEN)


def test_a_frame_with_the_repeated_hour_once_follows_the_advice():
    hours = pd.date_range("2024-10-27T01:30", periods=4, freq="30min")
    with pytest.raises(ClockError, match=r"repeated_hour=.* to first or second"):
        at(hours, timezone=COPENHAGEN)
    first = at(hours, timezone=COPENHAGEN, repeated_hour="first")
    assert [time.hour for time in first] == [23, 0, 0, 1, 1, 2]
    second = at(hours, timezone=COPENHAGEN, repeated_hour="second")
    assert [time.hour for time in second] == [23, 0, 0, 1, 1, 2]
    values = [
        speeds(SPEED.set_axis(hours), timezone=COPENHAGEN, repeated_hour=which).values[:, 0, 0]
        for which in ("first", "second")
    ]
    missing = np.nan
    np.testing.assert_array_equal(values[0], [1, 2, 3, missing, missing, 4])
    np.testing.assert_array_equal(values[1], [1, missing, missing, 2, 3, 4])


def test_the_hour_that_is_left_out_is_refused():
    with pytest.raises(ClockError, match="leaves out in spring"):
        at(pd.date_range("2024-03-31T01:50", periods=4, freq="5min"), timezone=COPENHAGEN)


NO_TIMES = {
    "none": ([*TIMES[:3], pd.NaT], r"time in every row \(1 have none\)"),
    "no date": (["2024-01-01T00:00", "2024-01-01T00:05", "2024-01-01T00:10", "x"], "ISO 8601"),
    "numbers of rows": (range(4), "Set 'time_column'"),
    "nanoseconds since 1970": (TIMES.astype("datetime64[ns]").astype("int64"), "10 digits"),
    "truth": ([True, False, True, False], "10 digits"),
    "durations": (TIMES - TIMES[0], "ISO 8601"),
    "months": (pd.period_range("2024-01", periods=4, freq="M"), "ISO 8601"),
    "some offsets": ([*TIMES[:3].astype(str), "2024-01-01T00:15Z"], "3 of 4 .* no UTC offset"),
    "nanoseconds": (TIMES + pd.Timedelta(1, "ns"), "whole seconds .*000000001"),
    "nanoseconds in objects": (pd.Index([*(TIMES + pd.Timedelta(1, "ns"))], dtype=object), "whole"),
    "zoned nanoseconds": ((TIMES + pd.Timedelta(1, "ns")).tz_localize("UTC"), "whole seconds"),
    "the year 2124": (TIMES + pd.DateOffset(years=100), "years 1970 to 2100"),
    "one in the year 2124": ([*TIMES[:3], pd.Timestamp("2124-01-01")], "1 of 4 are outside"),
    "off the grid": ([*TIMES[:3], TIMES[3] + pd.Timedelta("1min")], "1 of 4 .* off the grid"),
}


def test_labels_that_are_no_times_are_refused():
    for labels, words in NO_TIMES.values():
        with pytest.raises(ValueError, match=words):
            at(labels)


READINGS = {
    "Int64 with NA": lambda f: f.astype("Int64"),
    "Float64 with NA": lambda f: f.astype("Float64"),
    "arrow": lambda f: f.astype("double[pyarrow]"),
    "objects with None": lambda f: f.astype(object).mask(f.isna(), None),
    "texts": lambda f: f.astype(object).map(str),
    "decimals": lambda f: f.map(lambda x: Decimal(str(x))),
    "categories": lambda f: f.astype("category"),
    "float32": lambda f: f.astype("float32"),
}


def test_readings_are_numbers_however_they_are_held():
    for write in READINGS.values():
        np.testing.assert_array_equal(speeds(write(SPEED)).values[..., 0], SPEED.to_numpy())


def test_truth_is_read_as_0_and_1():
    frame = (SPEED > 2).astype("boolean").mask(SPEED == 2)
    expected = [[0, 1], [np.nan, 1], [1, 0], [1, 1]]
    np.testing.assert_array_equal(speeds(frame).values[..., 0], expected)


NO_READINGS = {
    "infinity": (SPEED.replace(2.0, np.inf), "finite readings; 1 are"),
    "too large": (SPEED.replace(2.0, 1e300), "too large for float32"),
    "a word": (SPEED.astype(object).replace(2.0, "x"), "numbers as 'speed'.*'x'"),
    "a date": (SPEED.assign(a=TIMES), "numbers as 'speed' .they hold times"),
    "a zoned date": (SPEED.assign(a=TIMES.tz_localize("UTC")), "numbers as 'speed'"),
    "dates in objects": (SPEED.assign(a=pd.Series(TIMES, TIMES, dtype=object)), "numbers as"),
    "a duration": (SPEED.assign(a=TIMES - TIMES[0]), "numbers as 'speed' .they hold times"),
    "complex": (SPEED.astype(complex), "numbers as 'speed'.*complex"),
}


def test_what_is_no_reading_is_refused():
    for frame, words in NO_READINGS.values():
        with pytest.raises(SeriesError, match=words):
            speeds(frame)


def test_a_feature_of_texts_is_named():
    with pytest.raises(SeriesError, match=r"numbers as 'road' .*'A1'.*Drop the columns"):
        TrafficSeries.from_frame(long_frame().assign(road="A1"))


def test_rows_that_repeat_a_time_with_other_readings_are_refused():
    for other in (SPEED + 1, SPEED * np.nan, SPEED.assign(b=9.0)):
        with pytest.raises(
            SeriesError, match=r"rows repeat a time with other readings, first 2024"
        ):
            speeds(pd.concat([SPEED, SPEED, other]))
    other = long_frame()
    other.loc[5, "flow"] += 1
    with pytest.raises(SeriesError, match=r"1 rows repeat .* first .*00:05:00'\), 'b'\) \(UTC\)"):
        TrafficSeries.from_frame(pd.concat([long_frame(), other]))


NO_FRAMES = {
    "long or wide": (
        lambda: SPEED.set_axis(["a", "detector"], axis="columns"),
        {"feature": "speed"},
        SeriesError,
        "Leave 'feature' out, or set 'id_column'",
    ),
    "no form": (lambda: SPEED, {}, KeyError, r"column 'detector' .* the columns are \['a', 'b'\]"),
    "a column": (lambda: SPEED["a"], {}, SeriesError, r"Expected a frame, .*\(got Series\)"),
    "an array": (lambda: SPEED.to_numpy(), {}, SeriesError, r"\(got ndarray\)"),
    "three levels": (lambda: pd.concat({"x": two_levels()}, axis=1), {}, KeyError, "'detector'"),
    "no rows": (lambda: SPEED[:0], {"feature": "x"}, SeriesError, "a row of readings or more"),
    "no long rows": (lambda: long_frame()[:0], {}, SeriesError, "a row of readings or more"),
    "nothing": (pd.DataFrame, {"feature": "x"}, SeriesError, "a row of readings or more"),
    "no frames": (dict, {}, SeriesError, "a row of readings or more"),
    "one without rows": (
        lambda: {"speed": SPEED, "flow": FLOW[:0]},
        {},
        SeriesError,
        "a row of readings or more",
    ),
    "no columns": (lambda: SPEED[[]], {"feature": "x"}, SeriesError, "a reading or more"),
    "no features": (lambda: long_frame()[["detector", "time"]], {}, KeyError, "column of readings"),
    "a zone": (lambda: SPEED, {"timezone": "Taipei"}, ValueError, "IANA name"),
    "a detector twice": (
        lambda: SPEED.set_axis([1, "1"], axis="columns"),
        {"feature": "x"},
        SeriesError,
        r"one column for each detector; \['1'\]",
    ),
    "a feature twice": (
        lambda: long_frame().set_axis(["detector", "time", 5, "5"], axis="columns"),
        {},
        SeriesError,
        r"one column for each feature; \['5'\]",
    ),
    "a feature twice, wide": (
        lambda: pd.concat({5: SPEED, "5": FLOW}, axis=1),
        {},
        SeriesError,
        r"one column for each feature; \['5'\]",
    ),
    "a feature twice, mapped": (
        lambda: {5: SPEED, "5": FLOW},
        {},
        SeriesError,
        r"unique feature_names; \['5'\]",
    ),
}


def test_what_is_no_frame_of_readings_is_refused():
    for frame, options, error, words in NO_FRAMES.values():
        with pytest.raises(error, match=words):
            TrafficSeries.from_frame(frame(), **options)


@pytest.mark.parametrize("places", [PLACES, PLACES.set_index("detector")])
def test_detectors_are_found_by_id_in_a_column_or_the_index(places):
    series = speeds(detectors=places)
    assert (series.lat.tolist(), series.lon.tolist()) == ([25.0, 26.0], [121.0, 122.0])
    assert series.vd_info == {}
    assert (series.units, series.timezone) == ([""], "UTC")


def test_attributes_of_detectors_keep_their_kind_and_empty_cells_are_left_out():
    known = PLACES.assign(
        lanes=[3, 4],
        road=["A1", None],
        key=[1, 2**60 + 1],
        opened=pd.to_datetime([None, "2020-01-02"]),
        lines=[[1, 2], [3]],
    )
    first = speeds(SPEED[["a"]], detectors=known).vd_info["a"]
    assert first == {
        "lanes": 4,
        "key": 2**60 + 1,
        "opened": "2020-01-02 00:00:00",
        "lines": "[3]",
    }
    some = speeds(detectors=known[known.detector == "b"])
    assert some.vd_info == {"b": {"lanes": 3, "road": "A1", "key": 1, "lines": "[1, 2]"}}
    assert isinstance(some.vd_info["b"]["lanes"], int)
    np.testing.assert_array_equal(some.lat, [np.nan, 26.0])


def test_detectors_without_readings_are_left_out_and_numbers_find_texts():
    more = pd.concat([PLACES, PLACES.assign(detector=["c", "d"])])
    assert speeds(detectors=more).lat.tolist() == [25.0, 26.0]
    numbered = speeds(
        SPEED.set_axis([1, 2], axis="columns"), detectors=PLACES.assign(detector=["2", "1"])
    )
    assert numbered.lat.tolist() == [25.0, 26.0]


def test_a_frame_of_detectors_that_does_not_fit_is_refused():
    for places, error, words in [
        (PLACES.drop(columns="lon"), KeyError, "'lat' and 'lon'"),
        (PLACES.assign(detector=["a", "a"]), SeriesError, r"one row for each detector; \['a'\]"),
        (PLACES.assign(detector=["a", None]), SeriesError, "id in every place"),
        (PLACES.assign(detector=["c", "d"]), SeriesError, r"None of the 2 ids .*\['a', 'b'\]"),
        (PLACES.assign(lat=["25", "north"]), SeriesError, "numbers as 'lat' .*'north'"),
        (PLACES.assign(lat=[999.0, 25.0]), SeriesError, r"1 of 2 .* b \(lat 999, lon 122\)"),
        (PLACES.assign(lon=[181.0, 25.0]), SeriesError, r"1 of 2 .* b \(lat 26, lon 181\)"),
        (PLACES.assign(lat=0.0, lon=0.0), SeriesError, r"2 of 2 .* a \(lat 0, lon 0\), b"),
    ]:
        with pytest.raises(error, match=words):
            speeds(detectors=places)


def test_positions_may_be_texts_or_not_there():
    some = PLACES.assign(lat=["26.0", None], lon=pd.array([122, None], dtype="Int64"))
    series = speeds(detectors=some)
    np.testing.assert_array_equal(series.lat, [np.nan, 26.0])
    np.testing.assert_array_equal(series.lon, [np.nan, 122.0])


@pytest.mark.parametrize(
    ("zone", "back"),
    [
        ("Asia/Taipei", lambda f: f),
        ("Australia/Adelaide", lambda f: f.reset_index()),
        (COPENHAGEN, lambda f: f.reset_index()),
        (COPENHAGEN, lambda f: f.stack("detector")),
    ],
    ids=["as it is", "times as column", "in autumn", "long"],
)
def test_a_frame_of_a_series_gives_the_series_back(zone, back):
    series = TrafficSeries(
        values=np.random.default_rng(0).random((60, 2, 2)),
        timestamps=np.datetime64("2024-10-26T23:00", "s")
        + np.arange(60) * np.timedelta64(300, "s"),
        vdids=["x", "y"],
        feature_names=["speed", "flow"],
        timezone=zone,
    )
    again = TrafficSeries.from_frame(back(series.to_frame()), timezone=zone)
    np.testing.assert_array_equal(again.values, series.values)
    assert again.timestamps.tolist() == series.timestamps.tolist()
    assert (again.vdids, again.feature_names) == (series.vdids, series.feature_names)


def test_a_frame_of_a_series_has_local_times_and_columns_of_feature_and_id():
    series = TrafficSeries.from_frame(long_frame(), timezone="Asia/Taipei")
    frame = series.to_frame()
    assert frame.index[1].isoformat() == "2024-01-01T00:05:00+08:00"
    assert (frame.index.name, list(frame.columns.names)) == ("time", ["feature", "detector"])
    assert frame["flow", "b"].tolist()[:2] == [50.0, 60.0]
    assert frame["speed", "a"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_the_zone_of_zone_aware_times_is_taken_if_none_is_given():
    frame = make_series().to_frame()
    assert TrafficSeries.from_frame(frame).timezone == "Asia/Taipei"
    long = frame.stack("detector", future_stack=True)
    assert TrafficSeries.from_frame(long).timezone == "Asia/Taipei"
    assert TrafficSeries.from_frame(long.reset_index()).timezone == "Asia/Taipei"
    fixed = frame.set_axis(frame.index.tz_convert("+08:00"), axis="index")
    assert TrafficSeries.from_frame(fixed).timezone == "UTC"
    naive = frame.set_axis(frame.index.tz_localize(None), axis="index")
    assert TrafficSeries.from_frame(naive).timezone == "UTC"
    assert TrafficSeries.from_frame(frame, timezone="Europe/Paris").timezone == "Europe/Paris"
