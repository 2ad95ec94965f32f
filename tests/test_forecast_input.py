"""What ``socialgraph forecast`` reads, and refuses."""

import pytest

from socialgraph.forecast_cli import _parse
from socialgraph.forecast_input import read_series
from socialgraph.schema import write
from tests.conftest import make_series


def read(*words):
    return read_series(_parse([str(word) for word in words]))


@pytest.fixture
def file(tmp_path):
    write(tmp_path / "data.h5", make_series(steps=40))
    return tmp_path / "data.h5"


def test_features_of_a_file_are_chosen(file):
    assert read(file).feature_names == ["speed", "flow"]
    assert read(file, "--feature", "flow").feature_names == ["flow"]
    assert read(file, "--feature", "flow,speed").feature_names == ["flow", "speed"]
    with pytest.raises(KeyError, match=r"no feature 'speeed'; there are \['speed', 'flow'\]"):
        read(file, "--feature", "speeed")


@pytest.mark.parametrize(
    ("option", "value"),
    [("unit", "mph"), ("timezone", "UTC"), ("detectors", "d.csv"), ("null_value", "0")],
)
def test_what_a_file_tells_itself_is_not_asked_for(file, option, value):
    with pytest.raises(ValueError, match=f"--{option} would change nothing. Leave it out"):
        read(file, f"--{option}", value)
