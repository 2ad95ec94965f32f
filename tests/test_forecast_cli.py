"""``socialgraph forecast`` as the user types it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from socialgraph.cli import main
from socialgraph.schema import write
from tests.conftest import ROOT, make_series


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "speed.csv"
    frame = make_series(steps=400).to_frame()["speed"]
    frame.index = frame.index.tz_localize(None)
    frame.to_csv(path)
    return path


def forecast(*words):
    main(["forecast", *map(str, words)])


@pytest.mark.parametrize(
    ("name", "stem"),
    [("v1.2", "v1.2"), ("fc.2024-06-01", "fc.2024-06-01"), ("x.csv", "x"), ("x.png", "x")],
)
def test_an_output_keeps_its_name(table, tmp_path, name, stem):
    forecast(table, "--output", tmp_path / name)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {f"{stem}{ending}" for ending in (".csv", ".parquet", ".png")}


def test_a_silent_feature_is_left_out_and_told_in_one_line(tmp_path, capsys):
    series = make_series(steps=600)
    series.values[-12:, :, 0] = np.nan
    write(tmp_path / "data.h5", series)
    forecast(tmp_path / "data.h5", "--output", tmp_path / "out", "--score")
    told = capsys.readouterr()
    note = "note        not forecast, without a reading in the last 12 steps: speed."
    assert told.out.splitlines().count(note) == 1
    assert told.err == ""
    assert list(pd.read_csv(tmp_path / "out.csv").columns[4:]) == ["flow", "flow_p05", "flow_p95"]


def test_warnings_are_lines_that_name_no_option_of_another_command(tmp_path, capsys):
    series = make_series(steps=600).select(["speed"])
    series.lat[:3] += 10.0 + np.arange(3)
    series.values[-12:, 1] = np.nan
    write(tmp_path / "data.h5", series)
    forecast(tmp_path / "data.h5", "--output", tmp_path / "out")
    told = capsys.readouterr()
    assert told.err == ""
    notes = [line for line in told.out.splitlines() if line.startswith("note")]
    assert "note        3 of 6 detectors have no neighbour within 5000 metres" in notes[0]
    assert notes[0].endswith("Look at their positions if they should.")
    assert "1 of 6 detectors have no reading in the last 12 steps, among them ['VD-1']" in notes[1]


@pytest.mark.slow
def test_a_tuning_tells_nothing_of_lightning(table, tmp_path):
    words = [table, "--tune", 1, "--save", tmp_path / "tuned.ckpt", "--output", tmp_path / "out"]
    code = f"from socialgraph.cli import main; main({['forecast', *map(str, words)]})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    starts = {line.split()[0] for line in run.stdout.splitlines()}
    assert starts == {"history", "ahead", "note", "network", "forecast", "picture"}


def test_a_network_that_was_not_tuned_is_not_saved(table, tmp_path, capsys):
    with pytest.raises(SystemExit):
        forecast(table, "--save", tmp_path / "same.ckpt")
    assert "expected --tune beside --save" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--tune", "1"]])
def test_too_little_history_for_a_score_is_told_with_and_without_tuning(tmp_path, capsys, options):
    write(tmp_path / "data.h5", make_series(steps=100).select(["speed"]))
    with pytest.raises(SystemExit):
        forecast(tmp_path / "data.h5", "--score", *options, "--output", tmp_path / "out")
    assert (
        "Expected a longer series: 24 steps or more before the last day" in capsys.readouterr().err
    )
