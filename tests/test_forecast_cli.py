"""``socialgraph forecast`` as the user types it."""

import pytest

from socialgraph.cli import main
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
