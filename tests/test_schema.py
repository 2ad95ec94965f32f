"""The HDF5 file: what is written is read, what is broken is refused by name."""

import json
import os

import h5py
import numpy as np
import pytest

from socialgraph import schema
from tests.conftest import make_series


def rewrite(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replace(name, data, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, data=data, **options)

    return change


def test_what_is_written_is_read(tmp_path):
    series = make_series()
    series.vd_info = {"VD-1": {"road_name": "國道一號", "lane_num": 3}}
    schema.write(tmp_path / "a.h5", series)
    back = schema.read(tmp_path / "a.h5")
    np.testing.assert_array_equal(back.values, series.values)
    np.testing.assert_array_equal(back.timestamps, series.timestamps)
    np.testing.assert_array_equal(back.lat, series.lat)
    np.testing.assert_array_equal(back.lon, series.lon)
    for name in ("vdids", "feature_names", "units", "interval_minutes", "timezone", "dataset_name"):
        assert getattr(back, name) == getattr(series, name)
    assert back.vd_info["VD-1"]["road_name"] == "國道一號"
    assert back.vd_info["VD-1"]["lane_num"] == 3
    assert back.values.dtype == np.float32


def test_the_layout_is_the_documented_one(traffic_file):
    with h5py.File(traffic_file) as file:
        assert file["data/features"].shape == (300, 6, 2)
        assert file["data/features"].dtype == np.float32
        assert file["data/features"].chunks[1:] == (6, 2)
        assert file["metadata/vdids"].asstr()[0] == "VD-0"
        assert file["metadata/feature_names"].asstr()[:].tolist() == ["speed", "flow"]
        assert file["metadata/timestamps"].asstr()[1] == "2024-01-01T00:05:00"
        assert file["metadata/vd_info/VD-2"].attrs["position_lat"] == 25.0 + 0.003 * 2
        assert list(file.attrs["units"]) == ["km/h", "veh/h"]
        assert file.attrs["schema_version"] == schema.SCHEMA_VERSION
        assert file.attrs["interval_minutes"] == 5


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
    assert series.timestamps[1] == np.datetime64("2024-01-01T00:10:00")


@pytest.mark.parametrize(
    ("stored", "units"),
    [
        (json.dumps({"flow": "veh/h", "speed": "mph"}), ["mph", "veh/h"]),
        (json.dumps(["mph", "veh/h"]), ["mph", "veh/h"]),
    ],
)
def test_units_are_read_from_json_too(traffic_file, stored, units):
    rewrite(traffic_file, lambda file: file.attrs.__setitem__("units", stored))
    assert schema.read(traffic_file).units == units


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
        (replace("metadata/vdids", [b"a"] * 6), "vdids must be unique"),
        (replace("metadata/timestamps", [b"yesterday"] * 300), "must be ISO 8601"),
        (replace("metadata/timestamps", [b"2024-01-01"] * 300), "timestamps must ascend"),
        (replace("metadata/vdids", [[b"a"]]), "expected 'metadata/vdids' with one axis"),
        (lambda f: f["data/features"].__setitem__((0, 0, 0), np.inf), "1 infinite readings"),
        (lambda f: f.attrs.__setitem__("schema_version", 9), "schema_version 9"),
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
    with pytest.raises(schema.SchemaError, match="must not be empty or contain '/'"):
        schema.write(tmp_path / "a.h5", series)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_other(traffic_file):
    before = traffic_file.read_bytes()
    broken = make_series()
    broken.vd_info = {"VD-5": {"odd": object()}}
    with pytest.raises(TypeError):
        schema.write(traffic_file, broken)
    assert traffic_file.read_bytes() == before
    assert os.listdir(traffic_file.parent) == [traffic_file.name]
