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


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2024-01-13T08:00:00Z", "2024-01-13T08:00:00"),
        ("2024-01-13 08:00:00 UTC", "2024-01-13T08:00:00"),
        ("2024-01-13 08:00:00 +08:00", "2024-01-13T00:00:00"),
        ("2024-01-13 8:0:0 -6", "2024-01-13T14:00:00"),
        ("2024-01-13 08:00:00", "2024-01-13T07:00:00"),
        ("2024-01-13", "2024-01-12T23:00:00"),
    ],
)
def test_times_that_count_from_a_moment_with_an_offset_are_in_utc(tmp_path, run, moment, expected):
    data = xarray.Dataset(
        {"speed": (("time", "sensor"), np.ones((3, 2)))},
        {
            "time": ("time", [0, 5, 10], {"units": f"minutes since {moment}"}),
            "sensor": [7, 8],
            "lat": ("sensor", [48.0, 48.1]),
            "lon": ("sensor", [9.1, 9.2]),
        },
    )
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    series, _ = run("netcdf", tmp_path / "a.nc", "--timezone", "Europe/Berlin")
    assert str(series.timestamps[0]) == expected


def test_what_is_no_netcdf_is_named(write_file, run):
    assert "a.nc' is no NetCDF 4 file" in run("netcdf", write_file("a.nc", "text"))[1]
