"""The commands of the page on feeds, as they stand, and what it says of the formats."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.formats import FORMATS
from socialgraph import schema
from tests.conftest import NEEDS_SHARED, ROOT, SHARED

PAGE = (ROOT / "docs" / "feeds.md").read_text()


def test_every_format_is_on_the_page_and_has_a_file():
    named = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.M)
    assert sorted(named) == sorted(FORMATS)
    for known in FORMATS.values():
        assert (ROOT / "data_prep" / "formats" / f"{known.module}.py").is_file()


def test_the_examples_of_the_formats_are_commands_that_there_are(capsys, tmp_path, monkeypatch):
    """They end at the first file that is not there."""
    from data_prep.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert main(["formats"]) == 0
    listed = capsys.readouterr().out
    for name, known in FORMATS.items():
        assert known.example in listed
        words = known.example.replace("'", "").split()
        assert words[:2] == ["convert", name]
        assert main(words) == 2
        assert "No file" in capsys.readouterr().err


@NEEDS_SHARED
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_constance_becomes_a_trained_model_in_three_commands(tmp_path):
    block = re.search(r"<!-- tested: constance -->\n```bash\n(.*?)```", PAGE, re.S)[1]
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    short = {"fit": " --trainer.max_epochs 1 --trainer.limit_train_batches 3"}
    lines = block.replace("../shared/data", str(SHARED)).splitlines()
    place, commands = lines[0], lines[1:]
    assert len(commands) == 3
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in commands:
        more = "".join(text for word, text in short.items() if f" {word} " in line)
        run = subprocess.run(
            ["bash", "-c", f"{place}; {line}{more}"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{line}\n{run.stdout[-1000:]}\n{run.stderr[-3000:]}"
    series = schema.read(tmp_path / "data" / "constance.h5")
    assert series.values.shape == (1440, 122, 3)
    assert len(series.edges.distance) > 10_000
    assert (tmp_path / "runs" / "default" / "roads" / "checkpoints" / "best.test.json").is_file()
