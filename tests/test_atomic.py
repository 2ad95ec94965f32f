"""Files that appear whole or not at all."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from socialgraph.atomic import beside, clone, one_writer, replacing
from tests.conftest import ROOT


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", [".", "..", "folder"])
def test_a_folder_is_not_replaced_and_named(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError, match="Expected a file, got a folder"), replacing(name):
        pass
    assert os.listdir(tmp_path) == ["folder"]


def test_the_litter_of_killed_writers_goes_and_that_of_living_ones_stays(tmp_path):
    path = tmp_path / "a.txt"
    script = (
        "import os, sys, signal; from socialgraph.atomic import clone, replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT)
    (litter,) = tmp_path.iterdir()
    other = tmp_path / litter.name.replace("a.txt", "b.txt")
    theirs = tmp_path / re.sub(r"a\.txt\.(.*)-(\d+)", r"a.txt.other-host-\2", litter.name)
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    alive = tmp_path / re.sub(r"\d+\.tmp", f"{living.pid}.tmp", litter.name)
    for file in (other, theirs, alive):
        file.write_text("half")
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert {file.name for file in tmp_path.iterdir()} == {
        "a.txt",
        other.name,
        theirs.name,
        alive.name,
    }
    assert living.poll() is None  # asked for, and not harmed
    living.kill()
    living.wait()


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "folder").write_text("no folder")
    with pytest.raises(OSError, match="folder"), replacing(tmp_path / "folder" / "a.txt"):
        pass
    with pytest.raises(OSError) as end, replacing(tmp_path / "a.txt") as temporary:  # noqa: PT011
        raise OSError(28, "No space left on device", str(temporary))
    assert end.value.filename == str(tmp_path / "a.txt")


def test_a_clone_is_a_copy_of_its_own(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1000)
    clone(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(b"new")
    assert len((tmp_path / "a").read_bytes()) == 256_000


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ("runs/best.ckpt", "runs/best.test.json"),
        ("runs/epoch=3-mae=3.21.ckpt", "runs/epoch=3-mae=3.21.test.json"),
        ("runs/network.v1", "runs/network.v1.test.json"),  # not the name of network.v2's
    ],
)
def test_a_file_beside_a_checkpoint_keeps_the_dots_of_its_name(checkpoint, expected) -> None:
    assert beside(checkpoint, "test.json") == Path(expected)


HOLD = """
import sys, time
from socialgraph.atomic import one_writer
with one_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the file for a minute, or until it is killed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a.txt")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_waits_and_is_told_in_the_end(tmp_path, holder, monkeypatch):
    monkeypatch.setattr("socialgraph.atomic._PATIENCE", 0.2)
    with (
        pytest.raises(OSError, match=r"a\.txt' is being written by another process\. Wait for it"),
        one_writer(tmp_path / "a.txt"),
    ):
        pass
    with one_writer(tmp_path / "b.txt"):
        pass


def test_a_writer_that_is_killed_keeps_nobody_off(tmp_path, holder):
    holder.kill()
    holder.wait()
    with one_writer(tmp_path / "a.txt"), one_writer(tmp_path / "a.txt"):
        pass
    assert os.listdir(tmp_path) == []
