import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from data_prep.findings import format_findings
from data_prep.inspect_file import inspect_file
from socialgraph import schema
from socialgraph.schema import write
from socialgraph.series import RoadDistances
from tests.conftest import make_series


def set_position(path, vdid, lat, lon):
    with h5py.File(path, "r+") as file:
        attributes = file[f"metadata/vd_info/{vdid}"].attrs
        attributes["position_lat"], attributes["position_lon"] = lat, lon


def test_a_good_file_is_described(series_file):
    found = inspect_file(series_file, radius=150)
    assert (found["num_steps"], found["num_detectors"]) == (48, 4)
    assert found["features"] == {"speed": "km/h", "flow": "veh/h"}
    assert (found["start"], found["end"]) == (
        "2024-01-01T08:00:00+08:00",
        "2024-01-01T11:55:00+08:00",
    )
    assert found["gaps"]["count"] == 0
    assert found["missing"] == {"speed": 0.0, "flow": 0.0}
    assert found["positions"]["status"] == {"ok": 4}
    assert found["positions"]["sharing"] == 0
    assert found["neighbours"] == {
        "radius": 150.0,
        "minimum": 0,
        "median": 1.0,
        "maximum": 2,
        "alone": 1,
    }
    assert found["problems"] == []
    assert "fine" in format_findings(found)
    json.dumps(found, allow_nan=False)


def test_ranges_are_told_on_a_table_and_in_json(tmp_path, series):
    series.values[..., 0] = np.linspace(10, 90, 48 * 4).reshape(48, 4)
    series.values[..., 1] = np.nan
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    span = found["ranges"]["speed"]
    assert (span["minimum"], span["low"], span["high"], span["maximum"]) == (10, 10, 90, 90)
    assert span["median"] == pytest.approx(50, abs=0.3)
    assert found["ranges"]["flow"] is None
    text = format_findings(found)
    assert "speed: minimum 10, 0.1 % 10, median 50" in text
    assert "flow: no reading" in text
    json.dumps(found, allow_nan=False)


def test_road_distances_are_told(tmp_path, series):
    schema.write(tmp_path / "a.h5", series)
    assert inspect_file(tmp_path / "a.h5")["edges"] is None
    series.edges = RoadDistances(np.array([[0, 1, 2], [1, 2, 0]]), np.array([0.0, 110, 250]))
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    assert found["edges"] == {"count": 3, "shortest": 0, "median": 110, "longest": 250}
    assert "3 ways: shortest 0 m, median 110 m, longest 250 m" in format_findings(found)


def test_neighbours_are_counted_on_the_ellipsoid(tmp_path, series):
    """At 60 degrees north a degree of longitude has 55.8 km, at 0 degrees 111.3 km."""
    series.lat[:], series.lon[:] = [60, 60, 0.5, 0.5], [10, 11, 10, 11]
    schema.write(tmp_path / "a.h5", series)
    assert inspect_file(tmp_path / "a.h5", radius=60_000)["neighbours"]["alone"] == 2


def test_missing_readings_are_counted_by_feature_and_detector(tmp_path, series):
    series.values[:12, 1, 0] = np.nan
    series.values[:, 3] = np.nan
    series.values[5:8] = np.nan
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    assert found["missing"]["speed"] == pytest.approx((48 + 12 + 2 * 3) / (4 * 48))
    assert [entry["vdid"] for entry in found["worst_detectors"]] == ["d", "b", "a", "c"]
    assert found["silent_steps"] == {"count": 3, "longest_run": 3}
    assert any("1 detectors have no reading at all: d" in text for text in found["warnings"])
    assert found["problems"] == []


def test_constant_detectors_are_named(tmp_path, series):
    series.values[:, 2, 1] = 7
    series.values[4, 2, 1] = np.nan
    schema.write(tmp_path / "a.h5", series)
    assert inspect_file(tmp_path / "a.h5")["constant_detectors"] == {"speed": [], "flow": ["c"]}


def test_gaps_of_the_time_axis_are_counted(tmp_path, series):
    series.timestamps[40:] += np.timedelta64(3600, "s")
    series.timestamps[47] += np.timedelta64(60, "s")
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    assert (found["gaps"]["longest_steps"], found["gaps"]["off_grid"]) == (12, 1)
    assert len(found["warnings"]) >= 2


def test_a_wrong_interval_is_a_problem(tmp_path, series):
    series.interval_minutes = 15.0
    schema.write(tmp_path / "a.h5", series)
    assert "'interval_minutes'" in inspect_file(tmp_path / "a.h5")["problems"][0]


@pytest.mark.parametrize(
    ("lat", "lon", "status"),
    [
        ("north", 121.0, "malformed"),
        (np.nan, 121.0, "nan"),
        (95.0, 121.0, "out of range"),
        (24.0, 200.0, "out of range"),
        (90.0, 121.0, "out of range"),
    ],
)
def test_bad_positions_are_problems_that_say_what_to_do(series_file, lat, lon, status):
    set_position(series_file, "b", lat, lon)
    (problem,) = inspect_file(series_file)["problems"]
    assert f"1 detectors have positions of status '{status}': b" in problem
    assert "data_prep backfill" in problem
    assert "disable social pooling" in problem


def test_a_file_without_positions_is_described_all_the_same(tmp_path, series):
    series.lat[:] = np.nan
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    assert found["positions"]["status"] == {"none": 4}
    assert found["neighbours"]["maximum"] == 0
    assert len(found["problems"]) == 1
    assert "not fit for training" in format_findings(found)


def test_shared_and_doubtful_positions_are_warned_of(series_file):
    set_position(series_file, "b", 24.0, 121.0)
    set_position(series_file, "d", 0.0, 0.0)
    found = inspect_file(series_file)
    assert found["positions"]["sharing"] == 2
    assert found["positions"]["far"][0].startswith("d (")
    assert any("0, 0" in text for text in found["warnings"])
    assert found["problems"] == []


def test_all_readings_missing_is_a_problem(tmp_path, series):
    series.values[:] = np.nan
    schema.write(tmp_path / "a.h5", series)
    assert "All readings are missing" in inspect_file(tmp_path / "a.h5")["problems"][0]


def test_infinite_readings_are_a_problem(series_file):
    with h5py.File(series_file, "r+") as file:
        file["data/features"][0, 0, 0] = np.inf
    assert "1 are infinite" in inspect_file(series_file)["problems"][0]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path, series_file):
    (tmp_path / "a.h5").write_text("no HDF5")
    assert "not an HDF5 file" in inspect_file(tmp_path / "a.h5")["problems"][0]
    with h5py.File(series_file, "r+") as file:
        del file["metadata/vdids"]
    found = inspect_file(series_file)
    assert "lacks ['metadata/vdids']" in found["problems"][0]
    assert "lacks" in format_findings(found)


def test_a_damaged_block_of_readings_is_a_problem(tmp_path, series_file):
    with h5py.File(series_file) as file:
        offset = file["data/features"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(series_file.read_bytes())
    damaged[offset : offset + 64] = bytes(64)
    (tmp_path / "a.h5").write_bytes(damaged)
    assert len(inspect_file(tmp_path / "a.h5")["problems"]) == 1


def test_radius_must_be_positive(series_file):
    with pytest.raises(ValueError, match=r"--radius above 0 metres \(got 0"):
        inspect_file(series_file, 0)


def test_a_feature_without_any_reading_is_a_problem(tmp_path):
    series = make_series()
    series.values[..., 1] = np.nan
    write(tmp_path / "a.h5", series)
    (problem,) = inspect_file(tmp_path / "a.h5")["problems"]
    assert problem == "Feature 'flow' has no reading at all. Leave it out of 'data.features'."


def test_negative_readings_of_what_is_never_negative_are_told(tmp_path):
    series = make_series(missing=0.0)
    series.values[7, 3, 0] = -1.0
    schema.write(tmp_path / "a.h5", series)
    (text,) = [t for t in inspect_file(tmp_path / "a.h5")["warnings"] if "negative" in t]
    assert "speed has negative readings, down to -1" in text
    assert "--null-value" in text


@pytest.mark.parametrize("steps", [1, 2, 5, 6])
def test_a_file_of_too_few_steps_is_not_fit_for_training(tmp_path, series, steps):
    few = replace(series, values=series.values[:steps], timestamps=series.timestamps[:steps])
    schema.write(tmp_path / "a.h5", few)
    found = inspect_file(tmp_path / "a.h5")
    assert [p for p in found["problems"] if "too few for training" in p] == (
        [] if steps == 6 else found["problems"][:1]
    )


@pytest.mark.parametrize(
    ("unit", "top", "told"),
    [("1", 90, True), ("1", 0.9, False), ("%", 90, False), ("%", 300, True)],
)
def test_an_occupancy_above_its_unit_is_told(tmp_path, series, unit, top, told):
    values = np.linspace(0, top, series.values.size, dtype=np.float32).reshape(series.values.shape)
    names = ["occupancy", "flow"]
    series = replace(series, values=values, feature_names=names, units=[unit, "veh/h"])
    schema.write(tmp_path / "a.h5", series)
    warnings = [w for w in inspect_file(tmp_path / "a.h5")["warnings"] if "its unit" in w]
    assert len(warnings) == told
    if told:
        assert f"--unit occupancy={'%' if unit == '1' else '1'} or" in warnings[0]


def test_a_feature_that_is_negative_throughout_is_a_problem(tmp_path, series):
    series.values[..., 0] = -np.abs(series.values[..., 0])
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    assert "All readings of 'speed' are negative" in found["problems"][0]
    series.values[0, 0, 0] = 50
    schema.write(tmp_path / "a.h5", series)
    assert inspect_file(tmp_path / "a.h5")["problems"] == []
