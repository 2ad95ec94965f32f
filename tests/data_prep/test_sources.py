"""Documents from archives: in little memory, with a bar that knows where it ends."""

import fcntl
import gc
import gzip
import io
import json
import os
import pty
import struct
import subprocess
import sys
import tarfile
import termios
import tracemalloc
import zipfile

import pandas as pd
import pytest

from data_prep.documents import parse_document
from data_prep.sources import read_documents
from tests.conftest import ROOT


def write_tar(path, documents):
    with tarfile.open(path, "w") as archive:
        for name, data in documents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_what_was_read_of_an_archive_is_forgotten(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{n}.json": b"{}" for n in range(3000)})
    tracemalloc.start()
    count = sum(1 for _ in read_documents([path], (".json",)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3000
    assert peak < 1.6e6  # half a kilobyte for each member would be more


def test_the_bar_counts_bytes_up_to_all_of_them(tmp_path):
    documents = {f"{n}.json": json.dumps({"VDLives": []}).encode() for n in range(3)}
    paths = [write_tar(tmp_path / "a.tar", documents), tmp_path / "b.zip", tmp_path / "c.json"]
    with zipfile.ZipFile(paths[1], "w") as archive:
        for name, data in documents.items():
            archive.writestr(name, data)
    paths[2].write_bytes(documents["0.json"])
    code = (
        "import sys, time; from pathlib import Path; from data_prep.sources import read_documents\n"
        "for _ in read_documents(list(map(Path, sys.argv[1:])), ('.json',)): time.sleep(0.2)"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", code, *paths], cwd=ROOT, stderr=theirs, check=True)
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    total = sum(path.stat().st_size for path in paths)
    assert f"{total / 1000:.1f}k/{total / 1000:.1f}k" in said
    assert "reading: 100%" in said


ROWS = "t,a\n2024-01-01 00:00,1\n2024-01-01 00:05,2\n"


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def bytes_of_zip(tmp_path):
    return write_zip(tmp_path / "in.zip", {"a.csv": ROWS}).read_bytes()


@pytest.mark.parametrize(
    "members",
    [
        {"a.csv.gz": gzip.compress(ROWS.encode())},
        {"a.csv": ROWS, "README.txt": "hi"},
        {"d/": "", "d/a.txt": ROWS, "d/readme": "hi", "d/LICENSE.txt": "hi", "d/about.pdf": "%"},
    ],
)
def test_the_only_table_of_a_zip_archive_is_read(run, tmp_path, write_file, members):
    path = write_zip(tmp_path / "a.zip", members)
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
    series, said = run("csv", "--wide", f"speed={path}", "--detectors", table)
    assert series is not None, said
    assert series.values[:, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (lambda tmp_path: {"in.zip": bytes_of_zip(tmp_path)}, "a zip archive in a zip archive"),
        (lambda tmp_path: {}, "a zip archive without a file"),
        (lambda tmp_path: {"d/": ""}, "a zip archive without a file"),
        (lambda tmp_path: {"a.csv": ROWS, "b.csv": ROWS}, "a zip archive of several files"),
        (lambda tmp_path: {"a.csv": ROWS, "notes.txt": ROWS}, "a zip archive of several files"),
    ],
)
def test_other_zip_archives_are_told_for_what_they_are(run, tmp_path, write_file, members, told):
    path = write_zip(tmp_path / "a.zip", members(tmp_path))
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
    series, said = run("csv", "--wide", f"speed={path}", "--detectors", table)
    assert series is None
    assert f"a.zip' is {told}" in said


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_workbook_or_parquet_file_in_a_zip_archive(run, tmp_path, write_file, kind):
    frame = pd.DataFrame({"t": pd.to_datetime(["2024-01-01", "2024-01-02"]), "a": [1.0, 2.0]})
    inner = tmp_path / f"a.{kind}"
    getattr(frame, {"xlsx": "to_excel", "parquet": "to_parquet"}[kind])(inner, index=False)
    path = write_zip(tmp_path / "a.zip", {inner.name: inner.read_bytes()})
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
    series, said = run("csv", "--wide", f"speed={path}", "--detectors", table)
    if kind == "xlsx":
        assert "a zip archive in a zip archive" in said
    else:
        assert series.values[:, 0, 0].tolist() == [1, 2]


def test_the_collector_works_again_after_a_document():
    assert parse_document("a.json", b'{"VDs": []}') == {"VDs": []}
    assert gc.isenabled()
    with pytest.raises(ValueError, match=r"a\.json' is no JSON"):
        parse_document("a.json", b'{"VDs": [')
    assert gc.isenabled()


@pytest.mark.parametrize("harm", ["cut", "header"])
def test_an_archive_whose_members_end_too_early_is_refused(tmp_path, harm):
    path = write_tar(tmp_path / "a.tar", {f"{n}.json": b"{}" for n in range(4)})
    data = bytearray(path.read_bytes())
    place = 2 * 1024  # of the third member: a header and its document
    if harm == "cut":
        del data[place + 100 :]
    else:
        data[place : place + 100] = b"x" * 100  # does not fit its checksum
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"'.*a\.tar' is damaged: cut off, or a member"):
        list(read_documents([path], (".json",)))


def test_all_parts_of_an_archive_in_several_gzip_parts_are_read(tmp_path):
    data = write_tar(tmp_path / "a.tar", {f"{n}.json": b"{}" for n in range(4)}).read_bytes()
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(data[:1500]) + gzip.compress(data[1500:]))
    assert len(list(read_documents([path], (".json",)))) == 4
