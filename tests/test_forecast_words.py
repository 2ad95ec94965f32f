"""What ``socialgraph forecast`` tells."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from socialgraph.forecast_words import plain_warnings, print_scores, tell, tell_intervals
from socialgraph.pretrained import load_pretrained
from tests.conftest import make_series


def told(capsys, forecast, last_value, usual, ridge):
    errors = {"forecast": forecast, "last_value": last_value, "usual": usual, "ridge": ridge}
    scores = {"speed": {**errors, "coverage": float("nan")}}
    print_scores(scores, make_series(steps=2).select(["speed"]))
    return capsys.readouterr().out.strip().splitlines()[-1].strip()


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ((0.0, 0.0, 0.0, 0.0), "as good as the last value, the best of the others"),
        ((1e-7, 0.0, 0.0, 0.0), "as good as the last value, the best of the others"),
        ((1.0, 2.0, 3.0, 1.0), "as good as ridge, the best of the others"),
        ((0.996, 2.0, 3.0, 1.0), "as good as ridge, the best of the others"),
        ((0.9, 2.0, 1.0, 3.0), "10% better than the usual day, the best of the others"),
        ((1.5, 2.0, 3.0, 1.0), "ridge is better: train on these readings"),
        ((0.5, 0.0, 1.0, 1.0), "the last value is better: train on these readings"),
        (
            (float("nan"), 2.0, 3.0, 1.0),
            "no readings on the last day, or before it, to compare with",
        ),
    ],
)
def test_the_verdict_is_right_also_where_nothing_is_wrong(capsys, errors, said):
    assert told(capsys, *errors).startswith(said)


def test_errors_of_small_numbers_are_told_apart(capsys):
    rivals = dict(zip(("last_value", "usual", "ridge"), (0.0, 1234.5, 2.5e32), strict=True))
    scores = {"speed": {"forecast": 0.00214, **rivals, "coverage": 0.9}}
    print_scores(scores, make_series(steps=2).select(["speed"]))
    row = capsys.readouterr().out.splitlines()[3]
    assert row.split()[-4:] == ["0.00214", "0.00", "1234.50", "2.5e+32"]


def test_features_without_intervals_are_named(capsys):
    table = pd.DataFrame({"speed": [1.0], "speed_p05": [0.5], "flow": [2.0], "flow_p05": [np.nan]})
    tell_intervals(table, ["speed"])
    assert capsys.readouterr().out == ""
    tell_intervals(table, ["speed", "flow", "occupancy"])
    assert "no intervals of flow, occupancy: fewer than 64" in capsys.readouterr().out


def test_one_detector_is_told_in_the_singular(capsys):
    series = make_series(steps=600).select(["speed"])
    tell(series, load_pretrained())
    assert "6 detectors, 6 with a position\nahead" in capsys.readouterr().out
    tell(replace(series.select(vdids=series.vdids[:1]), lat=None), load_pretrained())
    assert "1 detector, 0 with a position\nahead" in capsys.readouterr().out


def test_detectors_without_a_place_on_earth_are_counted_and_named(capsys):
    series = make_series(steps=600).select(["speed"])
    lat = np.where(np.arange(6) == 1, 121.5, np.where(np.arange(6) == 4, np.nan, series.lat))
    tell(replace(series, lat=lat), load_pretrained())
    told = capsys.readouterr().out
    assert "6 detectors, 4 with a position" in told
    assert "no place on earth: the position of VD-1 (lat 121.5, lon 121.5 of the first)" in told
    assert "for want of a position: VD-1, VD-4." in told


def test_a_note_is_printed_once_even_if_filters_change_in_between(capsys):
    with plain_warnings():
        for text in ("silent", "far", "silent"):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="something else")
                warnings.warn(text, stacklevel=1)
    assert capsys.readouterr().out.split() == ["note", "silent", "note", "far"]
