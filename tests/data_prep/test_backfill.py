import h5py
import numpy as np
import pytest

from data_prep.backfill import backfill
from data_prep.detectors import read_detectors
from socialgraph import schema


@pytest.fixture
def make_table(write_file):
    def make(*rows):
        return read_detectors(write_file("d.csv", "\n".join(["id,lat,lon", *rows]) + "\n"))

    return make


@pytest.fixture
def lacking_file(tmp_path, series):
    """a has no attributes, b a text, c NaN, d a good position."""
    series.lat[0] = np.nan
    schema.write(tmp_path / "lacking.h5", series)
    with h5py.File(tmp_path / "lacking.h5", "r+") as file:
        file["metadata/vd_info/b"].attrs["position_lat"] = "north"
        file["metadata/vd_info/c"].attrs["position_lon"] = np.nan
        file["metadata/vd_info/a"].attrs["road_name"] = "R1"
    return tmp_path / "lacking.h5"


def contents(path):
    """All data sets and attributes but the positions."""
    found = {}

    def visit(name, item):
        found[name] = item[()].tolist() if isinstance(item, h5py.Dataset) else None
        for key, value in item.attrs.items():
            if not key.startswith("position_"):
                found[name, key] = value

    with h5py.File(path) as file:
        file.visititems(visit)
        found.update({key: str(value) for key, value in file.attrs.items()})
    return found


def once_then_fail(write_position):
    written = []

    def write(group, lat, lon):
        if written:
            raise OSError("disk full")
        written.append(group)
        write_position(group, lat, lon)

    return write


TABLE = "a,24.1,121.1", "b,24.2,121.2", "c,24.3,121.3", "d,24.4,121.4"


def test_lacking_positions_are_filled_and_good_ones_kept(lacking_file, make_table):
    before = contents(lacking_file)
    lacking, report = backfill(lacking_file, make_table(*TABLE))
    series = schema.read(lacking_file)
    assert series.lat.tolist() == [24.1, 24.2, 24.3, 24.5]
    assert series.lon.tolist() == [121.1, 121.2, 121.3, 121.0]
    assert lacking == []
    assert "3 of 4 detectors" in str(report)
    assert "1 good positions" in str(report)
    assert contents(lacking_file) == before


def test_good_positions_are_replaced_on_demand(lacking_file, make_table):
    backfill(lacking_file, make_table(*TABLE), overwrite=True)
    assert schema.read(lacking_file).lat.tolist() == [24.1, 24.2, 24.3, 24.4]


def test_detectors_that_stay_without_are_returned(lacking_file, make_table):
    lacking, report = backfill(lacking_file, make_table("b,24.2,121.2", "c,,", "x,1,1"))
    assert lacking == ["a", "c"]
    assert "2 detectors: a, d" in str(report)


def test_a_missing_group_is_made(tmp_path, series, make_table):
    schema.write(tmp_path / "a.h5", series)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["metadata/vd_info"]
    assert backfill(tmp_path / "a.h5", make_table(*TABLE))[0] == []
    assert schema.read(tmp_path / "a.h5").lat.tolist() == [24.1, 24.2, 24.3, 24.4]


def test_positions_out_of_range_are_replaced(series_file, make_table):
    with h5py.File(series_file, "r+") as file:
        file["metadata/vd_info/a"].attrs["position_lat"] = 95.0
    assert backfill(series_file, make_table(*TABLE))[0] == []
    assert schema.read(series_file).lat[0] == 24.1


def test_a_file_that_lacks_nothing_is_not_touched(series_file, make_table):
    before = series_file.stat()
    backfill(series_file, make_table(*TABLE))
    after = series_file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_failure_half_way_leaves_every_byte(lacking_file, make_table, monkeypatch):
    before = lacking_file.read_bytes()
    monkeypatch.setattr(schema, "write_position", once_then_fail(schema.write_position))
    with pytest.raises(OSError, match=r"disk full"):
        backfill(lacking_file, make_table(*TABLE))
    assert lacking_file.read_bytes() == before
    assert sorted(path.name for path in lacking_file.parent.iterdir()) == ["d.csv", "lacking.h5"]


def test_impossible_positions_leave_every_byte(lacking_file, make_table):
    before = lacking_file.read_bytes()
    with pytest.raises(ValueError, match=r"break this: a"):
        backfill(lacking_file, make_table("a,0,0"))
    assert lacking_file.read_bytes() == before


def test_a_position_exchanged_against_those_of_the_file_is_refused(tmp_path, series, make_table):
    series.lon[:] = 30.0
    series.lat[0] = np.nan
    schema.write(tmp_path / "a.h5", series)
    with pytest.raises(ValueError, match=r"1 of 4 detectors far .* exchanged: a "):
        backfill(tmp_path / "a.h5", make_table("a,30,24"))


def test_a_link_stays_a_link(tmp_path, lacking_file, make_table):
    link = tmp_path / "link.h5"
    link.symlink_to(lacking_file)
    backfill(link, make_table(*TABLE))
    assert link.is_symlink()
    assert schema.read(lacking_file).lat[0] == 24.1


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_another_version_keeps_version_and_times(lacking_file, make_table, version):
    with h5py.File(lacking_file, "r+") as file:
        file.attrs["schema_version"] = version
        if version == 1:  # on the local clock
            stamps = file["metadata/timestamps"]
            stamps[:] = [stamp.decode().removesuffix("Z") for stamp in stamps[()]]
    before, times = contents(lacking_file), schema.read(lacking_file).timestamps
    backfill(lacking_file, make_table(*TABLE))
    assert contents(lacking_file) == before
    np.testing.assert_array_equal(schema.read(lacking_file).timestamps, times)
    assert schema.read(lacking_file).lat[0] == 24.1
