import numpy as np
import pytest

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")


def test_arrays_over_time_and_detector_are_read(tmp_path, run):
    times = np.datetime64("2024-01-01", "ns") + np.arange(3) * np.timedelta64(5, "m")
    speed = np.array([[1.0, 2], [3, np.nan], [5, 6]])
    data = xarray.Dataset(
        {
            "speed": (("time", "sensor"), speed, {"units": "km/h"}),
            "flow": (("sensor", "time"), speed.T),
        },
        {
            "time": times,
            "sensor": [7, 8],
            "lat": ("sensor", [25.0, 25.1]),
            "lon": ("sensor", [121.5, 121.6]),
        },
    )
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    series, _ = run("netcdf", tmp_path / "a.nc", "--timezone", "Asia/Taipei")
    assert series.vdids == ["7", "8"]
    assert series.units == ["km/h", ""]
    np.testing.assert_array_equal(series.values[..., 0], speed)
    np.testing.assert_array_equal(series.values[..., 1], speed)
    assert series.lat.tolist() == [25.0, 25.1]
    assert str(series.timestamps[0]) == "2023-12-31T16:00:00"
    _, said = run("netcdf", tmp_path / "a.nc", "--features", "occ")
    assert "['speed', 'flow']. Set --features" in said


def test_what_is_no_netcdf_is_named(write_file, run):
    assert "a.nc' is no NetCDF 4 file" in run("netcdf", write_file("a.nc", "text"))[1]
