"""Where the folds lie in time."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from socialgraph.backtest.folds import Step, parse_step, rolling_folds
from socialgraph.calendar import to_local
from socialgraph.data import TrafficDataModule, Windows
from tests.conftest import make_series

HOUR = np.timedelta64(3600, "s")


def hourly(begin, hours, zone):
    series = make_series(steps=hours, nodes=2)
    times = np.datetime64(begin, "s") + HOUR * np.arange(hours)
    return replace(series, timestamps=times, interval_minutes=60.0, timezone=zone)


def test_steps_are_hours_days_or_months():
    told = {"6h": (6, "h"), "1d": (1, "D"), "2w": (14, "D"), "1mo": (1, "M"), "1Q": (3, "M")}
    for text, step in told.items():
        assert parse_step(text) == Step(*step)
    assert parse_step("2y") == Step(24, "M")
    for text in ("", "1", "0d", "-1w", "1.5d", "1 fortnight"):
        with pytest.raises(ValueError, match="such as 6h"):
            parse_step(text)


def test_folds_begin_at_local_midnight_also_when_clocks_change():
    # Clocks go forward on 10 March 2024; the series ends in the middle of a day.
    series = hourly("2024-02-20T00:00:00", 24 * 25 + 5, "America/New_York")
    folds = rolling_folds(series, 8, parse_step("1d"), parse_step("2d"), 6, 3)
    origins = to_local(np.array([fold.origin for fold in folds]), series.timezone)
    assert [str(t) for t in origins] == [f"2024-03-{day:02d}T00:00:00" for day in range(8, 16)]
    lengths = [int((fold.end - fold.origin) / HOUR) for fold in folds]
    assert lengths == [24, 24, 23, 24, 24, 24, 24, 24]
    assert all(fold.end == after.origin for fold, after in pairwise(folds))
    assert to_local(folds[-1].end, series.timezone) == np.datetime64("2024-03-16T00:00:00")
    assert [int((fold.cut - fold.val) / HOUR) for fold in folds][:5] == [48, 48, 48, 47, 47]


def test_quarters_are_those_of_the_calendar():
    series = hourly("2019-12-31T11:00:00", 24 * 731, "Pacific/Auckland")  # 2020 and 2021
    folds = rolling_folds(series, 4, parse_step("1q"), parse_step("1mo"), 48, 24)
    found = [fold.describe(series.timezone) for fold in folds]
    assert [d["tested_from"][:10] for d in found] == [
        "2021-01-01",
        "2021-04-01",
        "2021-07-01",
        "2021-10-01",
    ]
    assert found[-1]["tested_to"] == "2022-01-01T00:00:00+13:00"
    assert found[0]["known_to"] == "2020-12-30T00:00:00+13:00"  # a window of 48 hours before
    assert found[0]["validated_from"] == "2020-11-29T00:00:00+13:00"  # December is 31 days long


@pytest.mark.parametrize("gap", [False, True])
def test_every_step_of_a_fold_is_scored_and_nothing_of_it_is_known(gap):
    series = hourly("2024-01-01T00:00:00", 24 * 20, "UTC")
    if gap:
        kept = np.r_[: 24 * 17 - 3, 24 * 17 : 24 * 20]
        series = replace(series, values=series.values[kept], timestamps=series.timestamps[kept])
    (fold,) = rolling_folds(series, 1, parse_step("3d"), parse_step("2d"), 6, 3)
    data = TrafficDataModule(series, windows=Windows(6, 3), split=fold.split)
    data.setup()
    steps = {p: np.unique(s[:, None] + np.arange(9)) for p, s in data.starts.items()}
    known = set(steps["train"]) | set(steps["val"])
    assert not known & set(steps["test"])
    assert not set(steps["train"]) & set(steps["val"])
    scored = np.unique(data.starts["test"][:, None] + 6 + np.arange(3))
    times = series.timestamps[scored]
    if not gap:
        assert (times.min(), times.max()) == (fold.origin, fold.end - HOUR)
        assert len(times) == 72
    assert (times >= fold.origin).all()
    assert series.timestamps[max(known)] < fold.origin - 6 * HOUR
    assert data.train_steps == np.searchsorted(series.timestamps, fold.val)


def test_too_many_folds_are_refused():
    series = hourly("2024-01-01T00:00:00", 24 * 10, "UTC")
    assert len(rolling_folds(series, 4, parse_step("2d"), parse_step("1d"), 6, 3)) == 4
    for count, step in ((5, "2d"), (4, "1w"), (100, "1y")):
        with pytest.raises(ValueError, match="to train on before"):
            rolling_folds(series, count, parse_step(step), parse_step("1d"), 6, 3)
    with pytest.raises(ValueError, match="1 fold or more"):
        rolling_folds(series, 0, parse_step("1d"), parse_step("1d"), 6, 3)
