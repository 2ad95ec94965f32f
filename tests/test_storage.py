"""Files that lead elsewhere, that lost parts, or were damaged: refused by name."""

import io
import itertools
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from socialgraph import schema, storage
from socialgraph.interrupts import noted_interrupts
from tests.conftest import ROOT, make_series


def replace_features(file, **options):
    del file["data/features"]
    return file.create_dataset("data/features", (300, 6, 2), "f4", **options)


def external_link(file, folder):
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["values"] = np.ones((300, 6, 2), "f4")
    del file["data/features"]
    file["data/features"] = h5py.ExternalLink("secret.h5", "values")


def soft_link(file, folder):
    del file["metadata/vdids"]
    file["metadata/vdids"] = h5py.SoftLink("/metadata/timestamps")


def link_of_a_group(file, folder):
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["features"] = np.ones((300, 6, 2), "f4")
    del file["data"]
    file["data"] = h5py.ExternalLink("secret.h5", "/")


def link_of_a_detector(file, folder):
    del file["metadata/vd_info/VD-2"]
    file["metadata/vd_info/VD-2"] = h5py.SoftLink("/metadata/vd_info/VD-1")


def external_storage(file, folder):
    (folder / "passwords").write_bytes(bytes(300 * 6 * 2 * 4))
    replace_features(file, external=[(str(folder / "passwords"), 0, 300 * 6 * 2 * 4)])


def virtual(file, folder):
    layout = h5py.VirtualLayout((300, 6, 2), "f4")
    layout[:] = h5py.VirtualSource(file.filename, "data/features", (300, 6, 2))
    del file["data/features"]
    file.create_virtual_dataset("data/features", layout)  # of itself


def information_of_another_kind(file, folder):
    del file["metadata/vd_info"]
    file["metadata/vd_info"] = np.ones(3)


def edges_of_another_kind(file, folder):
    file.create_group("metadata/edges/edge_index")


def lost_chunks(file, folder):
    replace_features(file, chunks=(50, 6, 2))[:200] = 1.0


def never_written(file, folder):
    replace_features(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_link, r"'data/features' is a link \(ExternalLink\)"),
        (soft_link, r"'metadata/vdids' is a link \(SoftLink\)"),
        (link_of_a_group, r"'data/features' is a link \(ExternalLink\)"),
        (link_of_a_detector, r"'metadata/vd_info/VD-2' is a link"),
        (external_storage, "'/data/features' lies in other files"),
        (virtual, "'/data/features' lies in other files"),
        (information_of_another_kind, "expected 'metadata/vd_info' as a group"),
        (edges_of_another_kind, "expected 'metadata/edges/edge_index' as a dataset"),
        (lost_chunks, r"2 of 6 parts of '/data/features' are lost.*read as 0\.0"),
        (never_written, r"1 of 1 parts of '/data/features' are lost"),
    ],
)
def test_what_lies_elsewhere_or_is_lost_is_refused(traffic_file, tmp_path, change, words):
    with h5py.File(traffic_file, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(schema.SchemaError, match=words) as error:
        schema.read(traffic_file)
    assert str(traffic_file) in str(error.value)


def test_a_part_that_was_never_written_is_missing_if_the_fill_value_says_so(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        replace_features(file, chunks=(50, 6, 2), fillvalue=np.nan)[:200] = 1.0
    values = schema.read(traffic_file).values
    assert (values[:200] == 1).all()
    assert np.isnan(values[200:]).all()


def test_strings_of_a_fixed_length_are_read(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        for name in ("vdids", "feature_names", "timestamps"):
            texts = file[f"metadata/{name}"].asstr()[:]
            del file[f"metadata/{name}"]
            file[f"metadata/{name}"] = np.array(texts, dtype="S")
    series = schema.read(traffic_file)
    assert series.vdids == make_series().vdids
    np.testing.assert_array_equal(series.timestamps, make_series().timestamps)


def test_a_huge_size_is_refused_before_anything_is_read(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        replace_huge = file.create_dataset("huge", (10**9, 10**4, 10), "f4", chunks=(1, 100, 10))
        del file["data/features"]
        file["data/features"] = replace_huge
    with pytest.raises(
        schema.SchemaError, match=r"parts of '/.*' are lost|expected 'data/features'"
    ):
        schema.read(traffic_file)


def test_a_changed_reading_is_noticed(traffic_file):
    with h5py.File(traffic_file) as file:
        chunk = file["data/features"].id.get_chunk_info(0)
    data = bytearray(traffic_file.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0x10
    traffic_file.write_bytes(data)
    with pytest.raises(schema.SchemaError, match="traffic"):
        schema.read(traffic_file)


def test_a_file_that_was_cut_off_is_refused(traffic_file):
    whole = traffic_file.read_bytes()
    for size in np.linspace(0, len(whole) - 1, 30, dtype=int).tolist():
        traffic_file.write_bytes(whole[:size])
        with pytest.raises(schema.SchemaError, match=r"traffic\.h5"):
            schema.read(traffic_file)


@pytest.mark.parametrize("limit", [1000, pytest.param(10_000, marks=pytest.mark.slow), 30_000])
def test_a_full_disk_is_an_error_and_no_crash(tmp_path, limit):
    script = (
        "import resource, signal, sys; from data_prep.__main__ import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "sys.exit(main(['simulate', sys.argv[1], '--detectors=12', '--days=1', '--overwrite']))"
    )
    path = tmp_path / "a.h5"
    path.write_bytes(b"an earlier file")
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert f"error: File too large: '{path}'." in ran.stderr
    assert "Traceback" not in ran.stderr
    assert path.read_bytes() == b"an earlier file"
    assert os.listdir(tmp_path) == ["a.h5"]


def with_texts_of_variable_length(path):
    """A file as earlier versions wrote it."""
    schema.write(path, make_series())
    with h5py.File(path, "r+") as file:
        for name in ("vdids", "timestamps", "feature_names"):
            texts = file[f"metadata/{name}"].asstr()[:].tolist()
            del file[f"metadata/{name}"]
            file[f"metadata/{name}"] = texts
        for name in ("timezone", "dataset_name"):
            file.attrs[name] = file.attrs[name].decode()


def test_texts_of_variable_length_are_read(tmp_path):
    with_texts_of_variable_length(tmp_path / "a.h5")
    assert schema.read(tmp_path / "a.h5").vdids == make_series().vdids


@pytest.mark.slow
def test_damage_of_such_texts_ends_in_an_error_and_never_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("socialgraph.storage._SECONDS_FOR_TEXTS", 3.0)
    with_texts_of_variable_length(tmp_path / "a.h5")
    whole = (tmp_path / "a.h5").read_bytes()
    heap = whole.find(b"GCOL")
    said = []
    for sector in range(heap, heap + 2048, 512):
        damaged = bytearray(whole)
        damaged[sector : sector + 512] = bytes(512)
        path = tmp_path / f"{sector}.h5"
        path.write_bytes(damaged)
        try:
            series = schema.read(path)
        except schema.SchemaError as error:
            said.append(str(error))
        else:
            assert series.vdids == make_series().vdids
    assert any("cannot be read to their end" in text for text in said)
    assert all(".h5'" in text for text in said)


class _Interrupted(io.FileIO):
    """A file at which Ctrl-C is pressed when HDF5 writes, after ``wait`` writes."""

    wait = 0

    def write(self, data):
        type(self).wait -= 1
        if self.wait == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().write(data)


def test_ctrl_c_while_hdf5_writes_ends_the_writing(tmp_path, monkeypatch, default_sigint, capfd):
    monkeypatch.setattr(storage.io, "FileIO", _Interrupted)
    monkeypatch.setattr(_Interrupted, "wait", 20)

    def write():
        with storage.open_for_writing(tmp_path / "a.h5") as file:
            for number in itertools.count():
                file[str(number)] = np.arange(1000.0)

    with pytest.raises(KeyboardInterrupt), noted_interrupts():
        write()
    assert _Interrupted.wait <= 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kept", [False, True])
def test_ctrl_c_while_hdf5_closes_is_told_in_no_traceback(
    kept, tmp_path, monkeypatch, default_sigint, capfd
):
    monkeypatch.setattr(storage.io, "FileIO", _Interrupted)

    def write():
        with storage.open_for_writing(tmp_path / "a.h5") as file:
            part = file.create_dataset("x", 1000, "f4", chunks=(100,))
            part[:10] = 1.0
            monkeypatch.setattr(_Interrupted, "wait", 1)
            if not kept:
                del part  # HDF5 writes what it still holds
                time.sleep(60)

    with pytest.raises(KeyboardInterrupt), noted_interrupts():
        write()
    assert _Interrupted.wait <= 0
    time.sleep(0.1)  # no other comes when it is over
    assert capfd.readouterr().err == ""
