import numpy as np
import pytest

from data_prep import hdf_store

META = "ID,Lat,Lng,Lanes,Direction\n317802,38.389811,-121.479587,2,N\n312134,38.41,-121.48,2,N\n"


@pytest.mark.parametrize("cells", [2**22, 4])
def test_years_follow_each_other_also_in_pieces(
    tmp_path, write_frame, write_file, run, monkeypatch, cells
):
    monkeypatch.setattr(hdf_store, "_PIECE_CELLS", cells)
    times = np.datetime64("2018-12-31T23:40", "ns") + np.arange(6) * np.timedelta64(300, "s")
    values = np.arange(12.0).reshape(6, 2)
    columns = ["317802", "312134"]
    for name, rows in (("2018", slice(0, 4)), ("2019", slice(4, 6))):
        stamps = times[rows].astype(np.int64)
        write_frame(tmp_path / f"ca_{name}.h5", "t", stamps, columns, values[rows])
    meta = write_file("meta.csv", META)
    series, report = run("largest", tmp_path / "ca_*.h5", "--detectors", meta)
    np.testing.assert_array_equal(series.values[..., 0], values)
    assert "gaps in time  none" in report
    assert (series.feature_names, series.units) == (["flow"], ["veh/5min"])
    assert series.dataset_name == "largest"
    assert series.lon.tolist() == [-121.479587, -121.48]
    assert str(series.timestamps[0]) == "2019-01-01T07:40:00"


def test_a_file_of_another_kind_is_named(write_file, run):
    path, meta = write_file("a.h5", "text"), write_file("meta.csv", META)
    assert "a.h5' as an HDF5 file" in run("largest", path, "--detectors", meta)[1]


def test_the_metadata_of_all_8600_detectors_are_read(shared):
    from data_prep.detectors import read_detectors

    table = read_detectors(shared("detectors/largest_ca_8600.csv"))
    assert len(table.vdids) == 8600
    assert np.isfinite(table.lat).all()
