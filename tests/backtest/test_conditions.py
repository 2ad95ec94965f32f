"""What a reading was taken in."""

from dataclasses import replace

import numpy as np

from socialgraph.backtest.conditions import OUTAGES, conditions_of, near_outages
from socialgraph.data import TrafficDataModule, Windows
from tests.conftest import make_series


def told(text, least=3, reach=2):
    """Conditions of readings ``x`` and missing ones ``.``: letters n, b(efore), a(fter)."""
    known = np.array([c == "x" for c in text])[:, None]
    found = near_outages(known, least, reach)[:, 0]
    letters = [OUTAGES[place][0] if k else "." for place, k in zip(found, known[:, 0], strict=True)]
    return "".join(letters)


def test_readings_near_an_outage_are_told():
    assert told("xxxxx...xxxxx") == "nnnbb...aannn"
    assert told("xxxxx..xxxxxx") == "nnnnn..nnnnnn"  # too short
    assert told("xxx...x...xxx") == "nbb...a...aan"  # after one counts before another
    assert told("...xxxx") == "...aann"
    assert told("xxxx...") == "nnbb..."
    assert told("xxxx") == "nnnn"
    assert told("....") == "...."
    assert told("xx.x.x.xx", least=1, reach=1) == "nb.a.a.an"


def test_congested_is_slow_for_a_detector_and_busy_is_much():
    series = make_series(steps=200, nodes=2, missing=0.0)
    series.values[:] = 100.0
    series.values[::10, 0, 0] = (74.0, 76.0) * 10  # below and above 75 % of 100
    series.values[:, 1, 0] = 20.0  # always slow: as free as it gets
    series.values[:, 0, 1] = np.arange(200) % 100
    series.values[5, 1, 0] = np.nan
    data = TrafficDataModule(series, windows=Windows(4, 4), split=(0.5, 0.25, 0.25))
    data.setup()
    found = conditions_of(data)
    assert found.states == [("free", "congested"), ("quiet", "busy")]
    assert np.flatnonzero(found.state[:, 0, 0]).tolist() == list(range(0, 200, 20))
    assert not found.state[:, 1, 0].any()
    # In training the 85th percentile of 0 to 99 is 84, and 15 of 100 are above it.
    assert (found.state[:, 0, 1] == (np.arange(200) % 100 > 84)).all()
    renamed = replace(series, feature_names=["average_speed", "count"])
    again = TrafficDataModule(renamed, windows=Windows(4, 4), split=(0.5, 0.25, 0.25))
    again.setup()
    assert conditions_of(again).states == found.states


def test_a_detector_without_training_is_never_busy_nor_congested():
    series = make_series(steps=200, nodes=2, missing=0.0)
    series.values[:100, 1] = np.nan
    data = TrafficDataModule(series, windows=Windows(4, 4), split=(0.5, 0.25, 0.25))
    data.setup()
    assert not conditions_of(data).state[:, 1].any()
