import h5py
import numpy as np
import pytest

from data_prep.hdf_store import read_frames

TIMES = 1330560000 + 300 * np.arange(3)
VALUES = np.arange(6.0).reshape(3, 2)


def read_frame(path, key=None):
    (frame,) = read_frames(path, key)
    return frame


@pytest.mark.parametrize(
    ("kind", "factor"),
    [("datetime64[ns]", 10**9), ("datetime64", 10**9), ("datetime64[us]", 10**6)],
)
def test_times_honour_their_unit(tmp_path, write_frame, kind, factor):
    path = write_frame(tmp_path / "a.h5", "df", TIMES * factor, ["7", "8"], VALUES, kind)
    frame = read_frame(path)
    assert frame.times.astype(str).tolist()[1] == "2012-03-01T00:05:00"
    assert frame.is_local
    assert frame.columns == ["7", "8"]
    np.testing.assert_array_equal(frame.values, VALUES)


@pytest.mark.parametrize("zone", [b"Europe/Copenhagen", b"cdatetime\ntimezone\np0\n.", b"\x80"])
def test_an_index_with_a_zone_is_in_utc_however_the_zone_is_written(tmp_path, write_frame, zone):
    path = tmp_path / "a.h5"
    write_frame(path, "df", TIMES * 10**9, ["7", "8"], VALUES, tz=np.bytes_(zone))
    frame = read_frame(path)
    assert not frame.is_local
    assert str(frame.times[0]) == "2012-03-01T00:00:00"


def test_integer_ids_become_text(tmp_path, write_frame):
    path = write_frame(tmp_path / "a.h5", "speed", TIMES * 10**9, [400001, 400017], VALUES)
    assert read_frame(path).columns == ["400001", "400017"]


def test_values_follow_the_columns_and_not_the_block(tmp_path, write_frame):
    path = tmp_path / "a.h5"
    write_frame(path, "df", TIMES * 10**9, ["7", "8"], VALUES, items=["8", "7"])
    np.testing.assert_array_equal(read_frame(path).values, VALUES[:, ::-1])


def test_several_blocks_are_put_together(tmp_path, write_frame):
    path = write_frame(
        tmp_path / "a.h5", "df", TIMES * 10**9, ["7", "8", "9"], VALUES, items=["9", "7"]
    )
    with h5py.File(path, "r+") as file:
        file["df"].attrs["nblocks"] = 2
        file["df/block1_items"] = np.array([b"8"])
        file["df/block1_items"].attrs["kind"] = np.bytes_("string")
        file["df/block1_values"] = np.array([[10, 11, 12]])
    np.testing.assert_array_equal(read_frame(path).values, [[1, 10, 0], [3, 11, 2], [5, 12, 4]])


def test_an_index_without_times_is_none(tmp_path, write_frame):
    path = write_frame(tmp_path / "a.h5", "df", np.arange(3), ["7", "8"], VALUES, "integer")
    assert read_frame(path).times is None


def test_the_key_chooses_between_frames(tmp_path, write_frame):
    path = write_frame(tmp_path / "a.h5", "df", TIMES * 10**9, ["7", "8"], VALUES)
    with h5py.File(path, "r+") as file:
        file.copy("df", "other")
    with pytest.raises(KeyError, match=r"one pandas frame .*\['df', 'other'\].*--key"):
        read_frame(path)
    assert read_frame(path, "/other").columns == ["7", "8"]


def test_a_file_without_frame_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("df").attrs["pandas_type"] = np.bytes_("frame_table")
    with pytest.raises(KeyError, match=r"'df': 'frame_table'.*format='fixed'"):
        read_frame(tmp_path / "a.h5")


def test_what_cannot_be_read_is_named(tmp_path, write_frame):
    path = write_frame(tmp_path / "b.h5", "df", TIMES * 10**9, ["7", "8"], VALUES[:2])
    with pytest.raises(ValueError, match=r"block of shape \(2, 2\), expected \(3, 2\).*to_csv"):
        read_frame(path)
    path = write_frame(tmp_path / "c.h5", "df", TIMES.astype(float), ["7", "8"], VALUES)
    with pytest.raises(ValueError, match=r"index of kind"):
        read_frame(path)


def test_labels_of_other_kinds_are_refused(tmp_path, write_frame):
    path = write_frame(tmp_path / "a.h5", "df", TIMES * 10**9, ["7", "8"], VALUES)
    with h5py.File(path, "r+") as file:
        file["df/axis0"].attrs["kind"] = np.bytes_("float")
    with pytest.raises(ValueError, match=r"labels 'axis0' of kind 'float'"):
        read_frame(path)
