"""The picture of a forecast table."""

from dataclasses import replace
from datetime import UTC

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from socialgraph.cli import main
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.plot import draw_forecast
from socialgraph.table import forecast_table
from tests.conftest import make_series

pytest.importorskip("matplotlib", reason="pictures need the extra 'plot'")


def make_table(series, starts, horizon=4, observed=True):
    """Forecasts of 60 + step for every detector, as ``socialgraph predict`` writes them."""
    data = TrafficDataModule(series, targets=["speed"], windows=Windows(4, horizon))
    data.setup()
    batch = data.collator(list(starts))
    steps = 60.0 + torch.arange(1, horizon + 1)
    forecast = steps[:, None, None].expand(batch["targets"].shape)
    known = {name: batch[name] for name in ("issued", "targets", "target_mask")}
    return forecast_table({"forecast": forecast, **known}, data.spec, observed)


def panels_of(figure):
    return figure.subfigs[1].axes


def labels_of(figure):
    return [line.get_label() for line in panels_of(figure)[0].lines]


@pytest.mark.parametrize(("starts", "observed"), [(range(200, 260), True), ([290], False)])
def test_the_command_draws_tables_with_and_without_truth(
    traffic_file, tmp_path, starts, observed, capsys
):
    table = make_table(make_series(), starts, observed=observed)
    pq.write_table(table, tmp_path / "table.parquet")
    picture = tmp_path / "picture.png"
    main(["plot", *[str(tmp_path / "table.parquet"), str(traffic_file), str(picture)]])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    assert str(picture) in capsys.readouterr().out


def test_a_table_of_a_forecaster_in_python_is_drawn(traffic_file, tmp_path):
    frame = make_table(make_series(), [200], observed=False).to_pandas()
    frame.to_parquet(tmp_path / "table.parquet")
    main(["plot", *[str(tmp_path / "table.parquet"), str(traffic_file), str(tmp_path / "p.svg")]])


def test_times_are_those_of_the_local_clock():
    figure = draw_forecast(make_table(make_series(), [200]), make_series())
    figure.canvas.draw()
    panel = panels_of(figure)[-1]
    assert panel.get_xlabel() == "local time, Asia/Taipei"
    shown = {label.get_text() for label in panel.get_xticklabels()}
    # The forecasts begin at 17:00 on the first of January (UTC).
    assert {"01:00", "01:15"} <= shown <= {f"01:{minute:02d}" for minute in range(60)}
    assert panel.xaxis.get_major_formatter().get_offset() == "2024-Jan-02"


def test_the_day_is_the_local_one_on_which_readings_vary_most():
    series = make_series(steps=288 * 4, missing=0.0)
    series.values[:, :, 0] = 50.0
    lively = slice(288 + 16 * 12, 288 + 18 * 12)  # 16:00 to 18:00 UTC, 00:00 to 02:00 in Taipei
    series.values[lively, 1, 0] += np.arange(24)
    figure = draw_forecast(make_table(series, range(288 * 4 - 8)), series, num_detectors=1)
    (panel,) = panels_of(figure)
    assert panel.get_title(loc="left") == "VD-1"
    times = panel.lines[0].get_xdata()
    begin = series.timestamps[288 + 16 * 12]
    assert times.min() == begin
    assert times.max() == begin + np.timedelta64(24 * 60 - 5, "m")


def test_lines_say_how_long_before_they_were_forecast():
    assert labels_of(draw_forecast(make_table(make_series(), range(50)), make_series())) == [
        "observed",
        "5 min before",
        "20 min before",
    ]
    series = replace(make_series(), timestamps=make_series().timestamps[0] + 25 * hours(300))
    series.interval_minutes = 1500.0
    figure = draw_forecast(make_table(series, range(50)), series)
    assert labels_of(figure)[1:] == ["25 h before", "100 h before"]
    one = draw_forecast(make_table(make_series(), [200]), make_series())
    assert labels_of(one) == ["observed", "forecast"]


def hours(count):
    return np.arange(count) * np.timedelta64(1, "h")


def test_the_map_has_the_edges_of_the_radius_graph_and_the_errors():
    series = make_series(missing=0.0)
    series.lat[5] = np.nan  # is left out of the map
    table = make_table(series, range(50))
    chart, hours, colorbar = draw_forecast(table, series, radius=700.0).subfigs[0].axes
    assert hours.get_title(loc="left") == "mean absolute error of speed [km/h] by hour"
    lines = chart.collections[0]
    # Detectors are 332 m apart in a row: each of the 5 sees the next and the one after.
    lengths = [1000 * np.linalg.norm(a - b) for a, b in lines.get_segments()]
    assert len(lengths) == 7
    assert sorted(round(length / 332) for length in lengths) == [1] * 4 + [2] * 3
    error = table.append_column("error", pc.abs(pc.subtract(table["speed"], table[5])))
    error = error.group_by("detector").aggregate([("error", "mean")]).sort_by("detector")
    np.testing.assert_allclose(chart.collections[-1].get_array(), error["error_mean"][:5])
    assert colorbar.get_xlabel() == "mean absolute error of speed [km/h]"


def test_without_positions_or_truth_the_panels_are_drawn_alone():
    series = replace(make_series(), lat=None, lon=None)
    figure = draw_forecast(make_table(series, range(50), observed=False), series)
    assert not figure.subfigs
    assert len(figure.axes) == 3
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["5 min before", "20 min before"]


def test_a_forecast_of_now_stands_behind_the_readings_of_the_hours_before():
    series = make_series()
    table = make_table(series, [200], observed=False)
    figure = draw_forecast(table, series)
    history, forecast = panels_of(figure)[0].lines
    assert (history.get_label(), forecast.get_label()) == ("observed", "forecast")
    at, readings = history.get_data()
    issued = np.datetime64(table["issued"][0].as_py().astimezone(UTC).replace(tzinfo=None))
    row = series.vdids.index(panels_of(figure)[0].get_title(loc="left"))
    places = np.searchsorted(series.timestamps, issued) + np.arange(-35, 1)  # three hours
    np.testing.assert_array_equal(at, series.timestamps[places])
    np.testing.assert_array_equal(readings, series.values[places, row, 0])
    assert forecast.get_xdata()[0] == issued + np.timedelta64(5, "m")
    chart, fourth, colorbar = figure.subfigs[0].axes
    shown = {panel.get_title(loc="left") for panel in [fourth, *panels_of(figure)]}
    assert len(shown) == 4  # one more detector where errors would be
    assert colorbar.get_xlabel() == "forecast of speed [km/h], 20 min ahead"
    np.testing.assert_allclose(chart.collections[-1].get_array(), 64.0)


def test_errors_by_hour_are_those_of_the_local_hour():
    series = make_series()
    table = make_table(series, range(150, 250))
    (axes,) = draw_forecast(table, series, show="hours").axes
    sums = {}
    for row in table.to_pylist():
        if row["speed_observed"] is not None:
            error = abs(row["speed"] - row["speed_observed"])
            sums.setdefault(row["time"].hour, []).append(error)
    assert len(sums) > 5
    heights = [bar.get_height() for bar in axes.patches]
    expected = [np.mean(sums.get(hour, [0.0])) for hour in range(24)]
    np.testing.assert_allclose(heights, expected, rtol=1e-5)
    assert axes.get_xlabel() == "local hour, Asia/Taipei"


def test_a_fan_is_one_whole_forecast_after_the_other():
    series = make_series(missing=0.0)
    table = make_table(series, range(200, 212))
    axes = draw_forecast(table, series, num_detectors=1, show="fan").axes[0]
    truth, *forecasts = axes.lines
    assert len(forecasts) == 3  # 12 windows, of which each fourth is drawn
    for k, line in enumerate(forecasts):
        first = series.timestamps[200 + 4 * k + 4]
        np.testing.assert_array_equal(line.get_xdata(), first + 300 * np.arange(4))
        np.testing.assert_allclose(line.get_ydata(), [61, 62, 63, 64])
    assert not axes.collections
    row = series.vdids.index(axes.get_title(loc="left"))
    places = np.searchsorted(series.timestamps, truth.get_xdata())
    assert len(places) == 15  # each time once
    np.testing.assert_allclose(truth.get_ydata(), series.values[places, row, 0])


def test_an_interval_is_drawn_if_the_table_has_quantiles():
    series = make_series()
    table = make_table(series, [200])
    for name, shift in (("p05", -5.0), ("p50", 0.0), ("p95", 7.0)):
        table = table.append_column(f"speed_{name}", pc.add(table["speed"], shift))
    axes = draw_forecast(table, series, num_detectors=1, show="fan").axes[0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (56.0, 71.0)


def test_what_cannot_be_shown_is_told(traffic_file, tmp_path, capsys):
    series = make_series()
    table = make_table(series, [200], observed=False)
    with pytest.raises(ValueError, match="no truth"):
        draw_forecast(table, series, show="hours")
    with pytest.raises(ValueError, match="no map"):
        draw_forecast(table, replace(series, lat=None, lon=None), show="map")
    pq.write_table(table, tmp_path / "table.parquet")
    words = [str(tmp_path / "table.parquet"), str(traffic_file), str(tmp_path / "p.png")]
    main(["plot", *words, "--show", "map"])
    assert (tmp_path / "p.png").stat().st_size > 10_000
    with pytest.raises(SystemExit):
        main(["plot", *words, "--show", "all"])
    assert "'fan'" in capsys.readouterr().err


def test_names_are_no_formulas():
    series = make_series()
    series.vdids[0] = r"$\no$"
    figure = draw_forecast(make_table(series, [200]), series, num_detectors=6)
    figure.canvas.draw()
    assert r"$\no$" in {panel.get_title(loc="left") for panel in panels_of(figure)}


def refusal(table, data, folder, capsys):
    """What the command says of a table that it does not draw."""
    pq.write_table(table, folder / "table.parquet")
    words = [folder / "table.parquet", data, folder / "p.png"]
    with pytest.raises(SystemExit) as end:
        main(["plot", *map(str, words)])
    assert end.value.code == 2
    assert not (folder / "p.png").exists()
    return capsys.readouterr().err


def test_a_table_that_is_none_is_refused(traffic_file, tmp_path, capsys):
    table = make_table(make_series(), [200])
    ask = (traffic_file, tmp_path, capsys)
    assert "it lacks ['issued', 'time', 'step', 'det" in refusal(pa.table({"a": [1]}), *ask)
    assert "it lacks a target" in refusal(table.select([0, 1, 2, 3]), *ask)
    naive = table.set_column(1, "time", table["time"].cast(pa.timestamp("s")))
    assert "a zone" in refusal(naive, *ask)
    assert "holds no forecast" in refusal(table[:0], *ask)
    strange = table.set_column(3, "detector", pa.array(["new"] * table.num_rows))
    assert "1 detectors of the forecast are not in the data" in refusal(strange, *ask)
    (tmp_path / "table.csv").write_text("issued,time,step,detector,speed\n")
    for name in ("none.parquet", "table.csv"):
        with pytest.raises(SystemExit) as end:
            main(["plot", str(tmp_path / name), str(traffic_file), str(tmp_path / "p.png")])
        assert end.value.code == 2
    assert "is no Parquet table" in capsys.readouterr().err
