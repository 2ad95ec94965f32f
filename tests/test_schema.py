"""The HDF5 file: what is written is read, what is broken is refused by name."""

import dataclasses
import json
import os
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import h5py
import numpy as np
import pytest

from socialgraph import schema
from socialgraph.series import RoadDistances, SeriesError, TrafficSeries
from tests.conftest import make_series

COPENHAGEN = "Europe/Copenhagen"


def rewrite(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def set_attribute(name, value, file):
    file.attrs[name] = value


def replace(name, data, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, data=data, **options)

    return change


def axis(start, steps, minutes=5):
    """Times ``[steps]``, ``minutes`` apart."""
    return np.datetime64(start, "s") + np.arange(steps) * np.timedelta64(60 * minutes, "s")


def on_the_clock(times, zone, form="%Y-%m-%dT%H:%M:%S"):
    """Texts of UTC times on the clock of ``zone``, from the standard library."""
    local = (datetime.fromtimestamp(int(t), UTC).astimezone(ZoneInfo(zone)) for t in times)
    return [time.strftime(form) if form else time.isoformat() for time in local]


def write_by_hand(path, stamps, values=None, **attributes):
    """A file as others make it: readings 0, 1, 2, … of one detector, with few attributes."""
    with h5py.File(path, "w") as file:
        values = (
            np.arange(len(stamps), dtype=np.float64)[:, None, None] if values is None else values
        )
        file["data/features"] = values
        file["metadata/vdids"] = [b"1"]
        file["metadata/feature_names"] = [b"speed", b"flow"][: values.shape[-1]]
        file["metadata/timestamps"] = [stamp.encode() for stamp in stamps]
        file.attrs.update(attributes)
    return path


def test_what_is_written_is_read(tmp_path):
    series = make_series()
    series.vd_info = {"VD-1": {"road_name": "國道一號", "lane_num": 3}}
    series.source, series.missing = "by hand", "-1"
    series.lat[3] = series.lon[3] = np.nan
    series.edges = RoadDistances(np.array([[0, 5], [5, 0]]), np.array([1500.5, 0.0]))
    schema.write(tmp_path / "a.h5", series)
    back = schema.read(tmp_path / "a.h5")
    for name in ("values", "timestamps", "lat", "lon"):
        np.testing.assert_array_equal(getattr(back, name), getattr(series, name))
        assert getattr(back, name).dtype == getattr(series, name).dtype
    for name in ("vdids", "feature_names", "units", "interval_minutes", "timezone", "vd_info"):
        assert getattr(back, name) == getattr(series, name)
    assert (back.dataset_name, back.source, back.missing) == ("made", "by hand", "-1")
    assert back.edges.edge_index.tolist() == [[0, 5], [5, 0]]
    assert back.edges.distance.tolist() == [1500.5, 0.0]


@pytest.mark.parametrize("zone", [COPENHAGEN, "America/Los_Angeles", "Australia/Adelaide"])
def test_a_file_holds_utc_through_both_changes_of_the_clock(tmp_path, zone):
    times = axis("2023-12-31T23:00", 8800, 60)
    written = TrafficSeries(np.ones((8800, 1, 1)), times, ["a"], ["speed"], timezone=zone)
    schema.write(tmp_path / "a.h5", written)
    with h5py.File(tmp_path / "a.h5") as file:
        stamps = file["metadata/timestamps"].asstr()[:].tolist()
        assert file.attrs["timezone"].decode() == zone
    assert stamps == on_the_clock(times.astype(int), "UTC", "%Y-%m-%dT%H:%M:%SZ")
    np.testing.assert_array_equal(schema.read(tmp_path / "a.h5").timestamps, times)


def test_a_position_that_was_taken_away_stays_away(traffic_file):
    series = schema.read(traffic_file)
    series.lat[2] = series.lon[2] = np.nan
    series.vd_info["VD-2"] = {"position_lat": 1.0, "position_lon": 2.0}
    schema.write(traffic_file, series)
    back = schema.read(traffic_file)
    assert np.isnan(back.lat).tolist() == [False, False, True, False, False, False]
    assert back.vd_info == {}


def test_the_layout_is_the_documented_one(traffic_file):
    with h5py.File(traffic_file) as file:
        assert file["data/features"].shape == (300, 6, 2)
        assert file["data/features"].dtype == np.float32
        assert file["data/features"].chunks[1:] == (6, 2)
        assert file["metadata/vdids"].asstr()[0] == "VD-0"
        assert file["metadata/feature_names"].asstr()[:].tolist() == ["speed", "flow"]
        assert file["metadata/timestamps"].asstr()[1] == "2024-01-01T00:05:00Z"
        assert file["metadata/vd_info/VD-2"].attrs["position_lat"] == 25.0 + 0.003 * 2
        assert file.attrs["units"].astype("U").tolist() == ["km/h", "veh/h"]
        assert file.attrs["schema_version"] == 2
        assert file.attrs["timezone"].decode() == "Asia/Taipei"
        assert file.attrs["created_by"].decode().startswith("socialgraph ")
        assert file.attrs["interval_minutes"] == 5


def test_every_part_has_a_checksum_and_no_text_lies_outside_of_it(traffic_file):
    def check(name, thing):
        texts = [value.dtype for value in thing.attrs.values() if hasattr(value, "dtype")]
        if isinstance(thing, h5py.Dataset):
            assert thing.fletcher32, name
            texts.append(thing.dtype)
        for kind in filter(None, map(h5py.check_string_dtype, texts)):
            assert kind.length is not None, name

    with h5py.File(traffic_file) as file:
        file.visititems(check)
        assert {type(value) for value in file.attrs.values()}.isdisjoint({str})
    # A superblock of version 2 or 3: all parts that are no arrays have checksums.
    assert traffic_file.read_bytes()[8] >= 2


def test_features_are_chosen_by_name_and_in_order(traffic_file):
    series = schema.read(traffic_file, ["flow"])
    assert series.feature_names == ["flow"]
    assert series.units == ["veh/h"]
    np.testing.assert_array_equal(series.values[..., 0], make_series().values[..., 1])
    swapped = schema.read(traffic_file, ["flow", "speed"])
    np.testing.assert_array_equal(swapped.values, make_series().values[..., ::-1])


def test_an_unknown_feature_is_named_with_those_there_are(traffic_file):
    with pytest.raises(KeyError, match=r"no feature 'sped'; it holds \['speed', 'flow'\]"):
        schema.read(traffic_file, ["sped"])


def test_a_file_made_by_others_without_attributes_is_read(tmp_path):
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        file["data/features"] = np.ones((4, 2, 1))
        file["metadata/vdids"] = np.array([b"1", b"2"])
        file["metadata/feature_names"] = np.array([b"speed"])
        file["metadata/timestamps"] = np.array(
            [f"2024-01-01 00:{m:02}:00+08:00".encode() for m in (0, 10, 20, 30)]
        )
        file.create_group("metadata/vd_info/2").attrs["position_lat"] = "25.0"
    series = schema.read(path)
    assert series.interval_minutes == 10
    assert series.units == [""]
    assert series.vdids == ["1", "2"]
    assert np.isnan(series.lat).all()
    assert series.timestamps[1] == np.datetime64("2023-12-31T16:10:00")
    assert series.timezone == "UTC"


TWO_CHANGES = {
    "Europe/Copenhagen": ("2024-03-30", "2024-10-26"),
    "America/Los_Angeles": ("2024-03-09", "2024-11-02"),
    "Australia/Adelaide": ("2024-04-06", "2024-10-05"),
    "Asia/Taipei": ("2024-03-30", "2024-10-26"),
}


@pytest.mark.parametrize(
    ("zone", "form"),
    [
        *((zone, "%Y-%m-%dT%H:%M:%S") for zone in TWO_CHANGES),
        ("Europe/Copenhagen", "%Y-%m-%d %H:%M"),
        ("Australia/Adelaide", None),
    ],
)
def test_stamps_are_on_the_local_clock_or_have_their_offset(tmp_path, zone, form):
    times = np.concatenate([axis(f"{day}T06:00", 2 * 288) for day in TWO_CHANGES[zone]])
    stamps = on_the_clock(times.astype(int), zone, form)
    taken_for = "Asia/Tokyo" if form is None else zone
    path = write_by_hand(tmp_path / "a.h5", stamps, schema_version=1, timezone=taken_for)
    series = schema.read(path)
    np.testing.assert_array_equal(series.timestamps, times)
    assert series.values[:, 0, 0].tolist() == list(range(len(times)))
    assert series.timezone == taken_for


def test_stamps_without_offset_or_zone_are_utc(tmp_path):
    path = write_by_hand(tmp_path / "a.h5", ["2024-01-01T00:00", "2024-01-01T00:05"])
    assert schema.read(path).timestamps.tolist() == axis("2024-01-01T00:00", 2).tolist()


SPRING = [str(t) for t in axis("2024-03-31T01:30", 6, 30)]  # a clock that does not change
AUTUMN = [str(t) for t in axis("2024-10-27T01:30", 4, 30)]


def test_steps_of_the_absent_hour_without_a_reading_are_dropped(tmp_path):
    values = np.arange(12.0).reshape(6, 1, 2)
    values[1:3] = np.nan
    path = write_by_hand(tmp_path / "a.h5", SPRING, values, timezone=COPENHAGEN)
    series = schema.read(path)
    assert series.timestamps.tolist() == axis("2024-03-31T00:30", 4, 30).tolist()
    np.testing.assert_array_equal(series.values, values[[0, 3, 4, 5]])


def test_a_reading_in_the_absent_hour_is_refused_and_a_fixed_clock_keeps_it(tmp_path):
    values = np.arange(12.0).reshape(6, 1, 2)
    values[1] = values[2, 0, 0] = np.nan
    path = write_by_hand(tmp_path / "a.h5", SPRING, values, timezone=COPENHAGEN)
    with pytest.raises(schema.SchemaError, match=r"1 times .* 2024-03-31T02:30:00.*'Etc/GMT-1'"):
        schema.read(path)
    rewrite(path, lambda file: file.attrs.__setitem__("timezone", "Etc/GMT-1"))
    series = schema.read(path)
    assert series.timestamps.tolist() == axis("2024-03-31T00:30", 6, 30).tolist()
    np.testing.assert_array_equal(series.values, values)


@pytest.mark.parametrize(("which", "hour"), [("first", 0), ("second", 1)])
def test_a_repeated_hour_that_is_there_once_is_refused_and_the_advice_works(tmp_path, which, hour):
    path = write_by_hand(tmp_path / "a.h5", AUTUMN, timezone=COPENHAGEN)
    with pytest.raises(schema.SchemaError, match=r"2 times from 2024-10-27T02:00.*repeated_hour="):
        schema.read(path)
    times = schema.read(path, repeated_hour=which).timestamps
    assert [str(time) for time in times] == [
        "2024-10-26T23:30:00",
        f"2024-10-27T0{hour}:00:00",
        f"2024-10-27T0{hour}:30:00",
        "2024-10-27T02:00:00",
    ]


def test_two_passes_are_not_taken_for_one(tmp_path):
    stamps = [AUTUMN[0], *AUTUMN[1:3], *AUTUMN[1:3], AUTUMN[3]]
    path = write_by_hand(tmp_path / "a.h5", stamps, timezone=COPENHAGEN)
    assert schema.read(path).timestamps.tolist() == axis("2024-10-26T23:30", 6, 30).tolist()
    with pytest.raises(schema.SchemaError, match="times that ascend"):
        schema.read(path, repeated_hour="first")


def test_versions_1_and_2_are_read_however_they_are_written(traffic_file):
    for version in (1, 2, "1", "2.0", b"1", 1.0):
        rewrite(traffic_file, partial(set_attribute, "schema_version", version))
        assert len(schema.read(traffic_file).timestamps) == 300


def test_attributes_may_be_bytes_or_empty(traffic_file):
    def change(file):
        file.attrs["timezone"] = np.bytes_("Europe/Copenhagen")
        file.attrs["dataset_name"] = np.bytes_("bytes")
        file.attrs["units"] = np.array([b"mph", b"veh/h"])
        file.attrs["source"] = h5py.Empty("S1")
        file.attrs["interval_minutes"] = b"5"

    rewrite(traffic_file, change)
    series = schema.read(traffic_file)
    assert (series.timezone, series.dataset_name, series.source) == (COPENHAGEN, "bytes", "")
    assert (series.units, series.interval_minutes) == (["mph", "veh/h"], 5.0)
    rewrite(traffic_file, lambda file: file.attrs.__setitem__("timezone", h5py.Empty("S1")))
    assert schema.read(traffic_file).timezone == "UTC"


def test_ways_between_detectors_need_both_parts(traffic_file):
    rewrite(traffic_file, lambda file: file.create_dataset("metadata/edges/distance", data=[1.0]))
    with pytest.raises(schema.SchemaError, match=r"'metadata/edges' lacks \['edge_index'\]"):
        schema.read(traffic_file)
    ends = np.array([[0], [6]])
    rewrite(traffic_file, lambda f: f.create_dataset("metadata/edges/edge_index", data=ends))
    with pytest.raises(schema.SchemaError, match="edges between the 6 detectors"):
        schema.read(traffic_file)


@pytest.mark.parametrize(
    ("stored", "units"),
    [
        (json.dumps({"flow": "veh/h", "speed": "mph"}), ["mph", "veh/h"]),
        (json.dumps(["mph", "veh/h"]), ["mph", "veh/h"]),
        (json.dumps({"speed": "mph", "flow": None}), ["mph", ""]),
        (json.dumps(["mph"]), ["", ""]),
        ("[mph]", ["", ""]),
        ("5", ["", ""]),
        (h5py.Empty("S1"), ["", ""]),
    ],
)
def test_units_are_read_from_json_too_if_there_is_one_for_each_feature(traffic_file, stored, units):
    rewrite(traffic_file, partial(set_attribute, "units", stored))
    assert schema.read(traffic_file).units == units


@pytest.mark.parametrize("unit", ["mph", "[mph]", "100"])
def test_the_unit_of_one_feature_may_be_a_text(tmp_path, unit):
    path = write_by_hand(tmp_path / "a.h5", ["2024-01-01", "2024-01-02"], units=unit)
    assert schema.read(path).units == [unit]


def test_positions_are_read_with_how_they_were_found(traffic_file):
    def change(file):
        info = file["metadata/vd_info"]
        del info["VD-0"]
        info["VD-1"].attrs["position_lat"] = "north"
        info["VD-2"].attrs["position_lon"] = np.nan
        info["VD-3"].attrs["position_lat"] = 121.5
        info["VD-4"].attrs["position_lat"] = "25.5"

    rewrite(traffic_file, change)
    with h5py.File(traffic_file) as file:
        lat, _, status = schema.read_positions(file, [f"VD-{i}" for i in range(6)])
    assert status == ["none", "malformed", "nan", "out of range", "ok", "ok"]
    assert np.isnan(lat[:3]).all()
    assert lat[4] == 25.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.__delitem__("metadata/vdids"), r"lacks \['metadata/vdids'\]"),
        (
            replace("data/features", np.ones((3, 2, 1))),
            r"expected 'data/features' of shape \(300, 6, 2\)",
        ),
        (replace("metadata/vdids", [b"a"] * 6), r"unique vdids; \['a'\] occur"),
        (
            replace("metadata/timestamps", [b"yesterday"] * 300),
            r"ISO 8601, such as .*got 'yesterday'",
        ),
        (replace("metadata/timestamps", [b"2024-01-01"] * 300), "times that ascend"),
        (
            replace("metadata/timestamps", [b"2024-01-01T00:00Z", *[b"2024-01-02"] * 299]),
            "299 of 300 times have no UTC offset",
        ),
        (lambda f: f.attrs.__setitem__("timezone", "Taipei"), "IANA name .*got 'Taipei'"),
        (replace("metadata/vdids", [[b"a"]]), "expected 'metadata/vdids' with one axis"),
        (
            lambda f: f["data/features"].__setitem__((0, 0, 0), np.inf),
            "finite readings; 1 are infinite",
        ),
        (lambda f: f.attrs.__setitem__("schema_version", 9), "schema_version 9"),
        (lambda f: f.attrs.__setitem__("schema_version", "21"), "schema_version 21"),
        (lambda f: f.attrs.__setitem__("interval_minutes", -5.0), "'interval_minutes' above 0"),
    ],
)
def test_a_broken_file_is_refused_by_name(traffic_file, change, words):
    rewrite(traffic_file, change)
    with pytest.raises(schema.SchemaError, match=words) as error:
        schema.read(traffic_file)
    assert str(traffic_file) in str(error.value)


def test_a_file_that_is_not_hdf5_or_not_there_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("speed,flow\n")
    with pytest.raises(schema.SchemaError, match="not an HDF5 file"):
        schema.read(tmp_path / "text.h5")
    with pytest.raises(FileNotFoundError, match="data_prep convert"):
        schema.read(tmp_path / "none.h5")


def test_an_id_that_cannot_be_a_group_is_refused(tmp_path):
    series = make_series()
    series.vdids[0] = "road/1"
    with pytest.raises(SeriesError, match=r"ids without '/' \(got \['road/1'\]\)"):
        schema.write(tmp_path / "a.h5", series)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_other(traffic_file):
    before = traffic_file.read_bytes()
    broken = make_series()
    broken.vd_info = {"VD-5": {"odd": object()}}
    with pytest.raises(SeriesError):
        schema.write(traffic_file, broken)
    assert traffic_file.read_bytes() == before
    assert os.listdir(traffic_file.parent) == [traffic_file.name]


def test_what_is_known_of_a_detector_is_text_or_numbers(tmp_path):
    series = make_series()
    known = {"road": "國道", "lanes": 3, "unknown": None, "names": ["a", "bcd"], "at": [1.5, 2.5]}
    series.vd_info = {"VD-1": known}
    schema.write(tmp_path / "a.h5", series)
    back = schema.read(tmp_path / "a.h5").vd_info["VD-1"]
    assert set(back) == {"road", "lanes", "names", "at"}
    assert back["road"] == "國道"
    assert [text.decode() for text in back["names"]] == ["a", "bcd"]
    assert back["at"].tolist() == [1.5, 2.5]
    for odd in ({"k": 1}, object()):
        series.vd_info = {"VD-1": {"odd": odd}}
        with pytest.raises(SeriesError, match="known of 'VD-1'"):
            schema.write(tmp_path / "b.h5", series)
    series.vd_info, series.source = {}, "a\0b"
    with pytest.raises(SeriesError, match="without a NUL"):
        schema.write(tmp_path / "b.h5", series)
    assert not (tmp_path / "b.h5").exists()


def test_parts_make_the_file_that_a_whole_makes(tmp_path):
    series = make_series(steps=700)
    schema.write(tmp_path / "whole.h5", series)
    for size in (1, 100, 699):
        parts = (series.values[i : i + size] for i in range(0, 700, size))
        schema.write_parts(tmp_path / "parts.h5", series, parts)
        np.testing.assert_array_equal(schema.read(tmp_path / "parts.h5").values, series.values)
    with pytest.raises(SeriesError, match=r"700 steps \(got 300\)"):
        schema.write_parts(tmp_path / "few.h5", series, [series.values[:300]])
    assert not (tmp_path / "few.h5").exists()


def test_an_outline_is_everything_but_the_readings(tmp_path):
    series = make_series()
    schema.write(tmp_path / "a.h5", series)
    outline = schema.read_outline(tmp_path / "a.h5")
    whole = schema.read(tmp_path / "a.h5")
    assert outline.values.shape == whole.values.shape
    assert outline.values.strides == (0, 0, 0)
    for name in ("vdids", "units", "timezone", "vd_info", "interval_minutes", "dataset_name"):
        assert getattr(outline, name) == getattr(whole, name)
    np.testing.assert_array_equal(outline.timestamps, whole.timestamps)
    np.testing.assert_array_equal(outline.lat, whole.lat)


def test_blocks_and_steps_are_parts_of_the_readings(tmp_path):
    series = make_series(steps=500)
    schema.write(tmp_path / "a.h5", series)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["data/features"]
        file.create_dataset("data/features", data=series.values, chunks=(7, 6, 2))
    for cells in (1, 1000, 10**9):
        blocks = list(schema.read_blocks(tmp_path / "a.h5", cells))
        starts = np.cumsum([0, *(len(values) for _, values in blocks)])[:-1]
        assert [start for start, _ in blocks] == starts.tolist()
        whole = np.concatenate([values for _, values in blocks])
        np.testing.assert_array_equal(whole, series.values)
    steps = schema.read_steps(tmp_path / "a.h5", 13, 40)
    np.testing.assert_array_equal(steps, series.values[13:40])


def test_null_values_and_ranges_are_kept_and_a_file_may_not_tell_them(traffic_file, tmp_path):
    rules = {"null_values": {"speed": [0.0, -99.0]}, "ranges": {"flow": [0.0, 5000.0]}}
    schema.write(tmp_path / "ruled.h5", dataclasses.replace(make_series(), **rules))
    found = schema.read(tmp_path / "ruled.h5")
    assert {name: getattr(found, name) for name in rules} == rules
    with h5py.File(traffic_file, "r+") as file:
        del file.attrs["null_values"], file.attrs["ranges"]
    assert schema.read(traffic_file).null_values == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("ranges", text) for text in ("[]", "{", '{"speed": 3}', '{"speed": ["a"]}')),
        *(("ranges", text) for text in ('{"speed": [1]}', '{"speed": [0, NaN]}')),
        *(("source_rules", text) for text in ("[]", "{", '{"rules": 1}', '{"rules": {"q": 1}}')),
        *(("source_rules", text) for text in ('{"round": "x"}', '{"odd": 1}')),
    ],
)
def test_an_attribute_that_holds_something_else_is_refused(traffic_file, name, text):
    with h5py.File(traffic_file, "r+") as file:
        file.attrs[name] = text
    with pytest.raises(schema.SchemaError, match=f"the attribute '{name}'"):
        schema.read(traffic_file)


def test_a_file_that_was_added_to_meanwhile_is_not_cut(tmp_path):
    path, series = tmp_path / "a.h5", make_series()
    schema.write(path, series)
    fewer = dataclasses.replace(
        series, values=series.values[:-1], timestamps=series.timestamps[:-1]
    )
    with pytest.raises(SeriesError, match="was added to meanwhile: read it again"):
        schema.append(path, fewer, 0, [fewer.values])
    assert len(schema.read(path).timestamps) == len(series.timestamps)
