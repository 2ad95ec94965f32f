"""``socialgraph forecast`` as the user types it."""

import numpy as np
import pandas as pd
import pytest

from socialgraph.cli import main
from socialgraph.schema import write
from tests.conftest import make_series


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
