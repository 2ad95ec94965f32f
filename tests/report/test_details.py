"""The day that is shown of each detector."""

import numpy as np

from socialgraph.data import TrafficDataModule, Windows
from socialgraph.report.details import day_lines
from socialgraph.report.scoring import NETWORK, Scores
from tests.conftest import make_series

STEPS = 4 * 288 + 192  # from 8:00 in Taipei


def lines_of(series):
    """Of forecasts that tell, as their number, when and how long before they were made."""
    data = TrafficDataModule(series, targets=["speed"], windows=Windows(6, 4), split=(0.1, 0, 0.9))
    data.setup("test")
    starts = data.starts["test"]
    issued = series.timestamps[starts + 5]
    times = data.spec.times(issued)
    forecast = (1000.0 * starts[:, None] + np.arange(4))[..., None] + np.zeros(6)
    values = series.values[..., 0]
    scores = Scores(issued, times, values[np.searchsorted(series.timestamps, times)], {})
    scores.forecasts[NETWORK] = forecast
    return day_lines(scores, values, values + 1, data, [0, 3]), starts


def test_the_liveliest_whole_day_is_shown():
    series = make_series(steps=STEPS, missing=0.0)
    series.values[..., 0] = 60.0
    series.values[192 + 288 : 192 + 2 * 288, :, 0] += 9 * np.sin(np.arange(288))[:, None]
    series.values[140:190, :, 0] += 30 * np.sin(np.arange(50))[:, None]  # of the first day, a part
    lines, starts = lines_of(series)
    days = np.unique(lines["time"].astype("datetime64[D]")).astype(str)
    assert days.tolist() == ["2024-01-03"]
    assert len(lines["time"]) == 288
    first = 192 + 288  # midnight in Taipei
    np.testing.assert_array_equal(lines["truth"], series.values[first : first + 288, :, 0])
    np.testing.assert_array_equal(lines["usual"], lines["truth"] + 1)
    for step in (0, 3):
        made = first + np.arange(288) - 6 - step  # start of the window whose step it is
        assert made[0] >= starts[0]
        np.testing.assert_array_equal(lines[f"forecast_{step}"][:, 2], 1000.0 * made + step)


def test_without_a_window_there_is_no_forecast():
    series = make_series(steps=STEPS, missing=0.0)
    series.values[192 + 3 * 288 :, :, 0] += 30 * np.sin(np.arange(288))[:, None]  # the last day
    lines, starts = lines_of(series)
    assert np.isfinite(lines["forecast_0"][:285]).all()
    assert np.isnan(lines["forecast_0"][285:]).all()  # its windows would end after the series
    assert np.isfinite(lines["forecast_3"]).all()
    assert starts[-1] == STEPS - 10
