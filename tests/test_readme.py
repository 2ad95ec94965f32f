"""The README's commands and code run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT, make_series

README = (ROOT / "README.md").read_text()


def block(name, language):
    return re.search(rf"<!-- tested: {name} -->\n```{language}\n(.*?)```", README, re.S)[1]


def test_the_layer_example_runs(capsys):
    exec(block("layer", "python"), {})
    assert "torch.Size([8, 100, 32])" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    series = make_series(missing=0.0)
    readings = series.to_frame().stack("detector", future_stack=True).reset_index()
    detectors = pd.DataFrame({"lat": series.lat, "lon": series.lon}, index=series.vdids)
    names = {"readings": readings, "detectors": detectors}
    exec(block("notebook", "python").replace("max_epochs=5", "max_steps=2"), names)
    # Two steps end before a validation, which would calibrate an interval.
    assert list(names["table"]) == ["issued", "time", "step", "detector", "speed"]
    assert len(names["table"]) == 6 * 12


@pytest.mark.slow
def test_the_three_commands_run_one_after_the_other(tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    short = {"fit": " --trainer.max_epochs 1 --trainer.limit_train_batches 3"}
    for line in block("commands", "bash").splitlines():
        command = line + "".join(more for word, more in short.items() if f" {word} " in line)
        run = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout[-1000:]}\n{run.stderr[-3000:]}"
    rows = (tmp_path / "runs" / "forecast.csv").read_text().splitlines()
    assert len(rows) == 1 + 40 * 12


def test_make_knows_the_targets_that_are_named():
    for target in ["demo", "demo-auckland", "test", "test-fast", "test-scatter", "lint"]:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
