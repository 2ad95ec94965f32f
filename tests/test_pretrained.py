"""Forecasts of networks that a network was not trained on."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import socialgraph
from benchmarks.pretrain import GRAPH, make_network
from data_prep.simulate import simulate
from socialgraph.archive import save_archive
from socialgraph.cli import main
from socialgraph.graph import RadiusGraph
from socialgraph.pretrained import PretrainedForecaster, load_pretrained
from socialgraph.pretrained.last_days import LastDays
from socialgraph.pretrained.tuning import tune
from socialgraph.schema import write
from tests.conftest import make_series


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network without training, in the form of the one that is shipped."""
    torch.manual_seed(0)
    network = make_network()
    network.build(1, 1, window=12, horizon=12, vdids=[], max_radius=5000.0)
    path = tmp_path_factory.mktemp("weights") / "weights.ckpt"
    PretrainedForecaster(network, 12, 12, RadiusGraph(**GRAPH), {"a": 1}).save(path)
    return path


@pytest.fixture(scope="module")
def forecaster(weights):
    return load_pretrained(weights)


@pytest.fixture(scope="module")
def series():
    return make_series(steps=900)


def values_of(table, feature, vdids):
    return table.pivot(index="step", columns="detector", values=feature)[vdids].to_numpy()


def test_every_feature_is_forecast_in_its_unit(forecaster, series):
    table = forecaster.forecast(series)
    names = [f"{name}{end}" for name in ("speed", "flow") for end in ("", "_p05", "_p95")]
    assert list(table.columns) == ["issued", "time", "step", "detector", *names]
    for name in ("speed", "flow"):
        assert (table[f"{name}_p05"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_p95"]).all()
    plain = forecaster.forecast(series, coverage=None)
    assert list(plain.columns[4:]) == ["speed", "flow"]
    np.testing.assert_array_equal(plain["flow"], table["flow"])
    assert len(table) == 12 * 6
    np.testing.assert_allclose(table["flow"].mean() / table["speed"].mean(), 10, rtol=0.3)
    alone = forecaster.forecast(series.select(["flow"]))
    np.testing.assert_array_equal(alone["flow"], table["flow"])


@pytest.mark.slow
def test_units_and_zeros_of_each_detector_do_not_matter(forecaster, series):
    """Another unit and another zero give the same forecasts in that unit."""
    speed = series.select(["speed"])
    factor, shift = np.array([1, 2, 0.1, 5, 1, 9.0]), np.array([0, 100, 3, 0, -500, 7.0])
    other = replace(
        speed, values=(speed.values * factor[:, None] + shift[:, None]).astype(np.float32)
    )
    # Each detector alone, as few readings of one are drawn to the mean of all.
    for row, vdid in enumerate(speed.vdids):
        own, changed = (
            values_of(forecaster.forecast(s.select(vdids=[vdid])), "speed", [vdid])
            for s in (speed, other)
        )
        np.testing.assert_allclose(changed, own * factor[row] + shift[row], rtol=2e-3, atol=1e-2)


def test_the_order_of_detectors_does_not_matter(forecaster, series):
    order = [series.vdids[i] for i in (3, 0, 5, 1, 4, 2)]
    for adapt in (True, False):
        own = values_of(forecaster.forecast(series, adapt), "speed", order)
        other = values_of(forecaster.forecast(series.select(vdids=order), adapt), "speed", order)
        np.testing.assert_allclose(other, own, rtol=1e-4)


def test_neighbours_matter_and_detectors_without_a_position_have_none(forecaster, series):
    far = replace(series, lat=series.lat + np.arange(6))  # 100 km apart
    none = replace(series, lat=None, lon=None)
    some = replace(series, lat=np.where(np.arange(6) < 3, series.lat, np.nan))
    near, apart, alone, mixed = (
        values_of(forecaster.forecast(s, adapt=False), "speed", series.vdids)
        for s in (series, far, none, some)
    )
    assert np.abs(near - apart).max() > 1e-3
    np.testing.assert_allclose(apart, alone, rtol=1e-5)
    np.testing.assert_allclose(mixed[:, 3:], alone[:, 3:], rtol=1e-5)
    assert np.abs(mixed[:, :3] - alone[:, :3]).max() > 1e-3


def test_what_is_never_below_0_is_not_forecast_below_it(forecaster):
    low = make_series(steps=900).select(["speed"])
    low.values[:] = np.abs(low.values - 60) * 0.01
    assert forecaster.forecast(low)["speed"].min() >= 0
    low.values[0, 0] = -1
    low.values[:] = low.values - 0.5
    assert forecaster.forecast(low)["speed"].min() < 0


def test_the_score_is_of_the_last_day_and_knows_nothing_of_it(forecaster, series):
    speed = series.select(["speed"])
    first = forecaster.score(speed)["speed"]
    last = series.timestamps[-1] - np.timedelta64(1, "D")
    held = series.timestamps > last
    changed = replace(speed, values=speed.values.copy())
    changed.values[held] += 1000.0
    second = forecaster.score(changed)["speed"]
    # What is usual comes from the days before, so its error grows by just this much.
    assert second["usual"] == pytest.approx(first["usual"] + 1000, abs=2 * first["usual"] + 50)
    assert first["usual"] < 5
    assert first["last_value"] == pytest.approx(last_value(speed), rel=1e-4)


def last_value(speed):
    """By hand: the reading that was seen last against the targets of the last day."""
    held = speed.timestamps > speed.timestamps[-1] - np.timedelta64(1, "D")
    filled = pd.DataFrame(speed.values[..., 0])
    starts = [s for s in range(len(held) - 23) if held[s + 12 : s + 24].all()]
    error, count = 0.0, 0
    for start in starts:
        window = filled.iloc[start : start + 12].ffill().iloc[-1].to_numpy()
        ahead = speed.values[start + 12 : start + 24, :, 0]
        wrong = np.abs(ahead - window)
        error, count = error + np.nansum(wrong), count + np.isfinite(wrong).sum()
    return error / count


def every(series, minutes):
    """Every so many minutes of a series."""
    kept = slice(None, None, minutes // 5)
    times = series.timestamps[kept]
    return replace(
        series, values=series.values[kept], timestamps=times, interval_minutes=float(minutes)
    )


@pytest.mark.parametrize(("minutes", "windows"), [(5, 277), (60, 13), (120, 1)])
def test_all_windows_that_end_in_the_last_day_are_scored(forecaster, minutes, windows):
    speed = every(make_series(steps=288 * 12), minutes).select(["speed"])
    times, starts = speed.timestamps, np.arange(len(speed.timestamps) - 23)
    parts, steps = LastDays(1).divide(starts, times, "UTC", 12, 12)
    assert times[steps - 1] == times[-1] - np.timedelta64(1, "D")
    assert parts["test"][0] + 12 == steps  # issued when the last of the known steps was read
    assert parts["train"][-1] + 24 == steps
    assert len(parts["test"]) == windows
    found = forecaster.score(speed)["speed"]
    assert found["last_value"] == pytest.approx(last_value(speed), rel=1e-4)


@pytest.mark.parametrize("less", [0, 45])
def test_a_score_is_the_error_of_what_would_have_been_forecast(forecaster, less):
    """One window of two hours a step is all that the last day holds."""
    speed = every(make_series(steps=288 * 12), 120).select(["speed"])
    speed.values[:] = np.maximum(speed.values - less, 0)  # often 0, as a road at night
    table = forecaster.forecast(speed.first(len(speed.timestamps) - 12))
    wrong = np.abs(values_of(table, "speed", speed.vdids) - speed.values[-12:, :, 0])
    assert forecaster.score(speed)["speed"]["forecast"] == pytest.approx(np.nanmean(wrong), 1e-5)
    with pytest.raises(ValueError, match=r"Expected 12 steps or more.* \(got 8\)"):
        forecaster.score(every(make_series(steps=288 * 12), 180))


def test_errors_are_counted_of_the_detectors_that_are_asked_for(forecaster, series):
    speed = series.select(["speed"])
    silent = replace(speed, values=speed.values.copy())
    silent.values[-288:, 2:] += 500.0  # only their own errors grow so much
    few = forecaster.score(silent, vdids=speed.vdids[:2])["speed"]
    assert few["usual"] < 10
    assert forecaster.score(silent)["speed"]["usual"] > 100
    with pytest.raises(KeyError, match="nobody"):
        forecaster.score(speed, vdids=["nobody"])


def test_too_short_a_series_is_refused(forecaster, series):
    short = replace(series, values=series.values[:8], timestamps=series.timestamps[:8])
    with pytest.raises(ValueError, match="fewer steps"):
        forecaster.forecast(short)
    day = replace(series, values=series.values[:300], timestamps=series.timestamps[:300])
    with pytest.raises(ValueError, match="steps or more before the last day"):
        forecaster.score(day)
    times = series.timestamps[0] + np.arange(len(series.values)) * np.timedelta64(1, "D")
    daily = replace(series, timestamps=times, interval_minutes=1440.0)
    with pytest.raises(ValueError, match=r"in the last day \(got 1\).*score\(series, days="):
        forecaster.score(daily)


def test_a_file_that_holds_none_or_asks_for_more_than_it_holds_is_refused(tmp_path, weights):
    save_archive({"a": 1}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"lacks \['card', 'graph'"):
        load_pretrained(tmp_path / "a.ckpt")
    held = torch.load(weights, weights_only=True)
    for key, value, said in (
        ("num_blocks", 10**8, "asks for a network of size 100,000,000"),
        ("encoder", {"class_path": "os.system", "init_args": {}}, "names the class 'os.system'"),
    ):
        recipe = {**held["network"], "init_args": {**held["network"]["init_args"], key: value}}
        save_archive({**held, "network": recipe}, tmp_path / "a.ckpt")
        with pytest.raises(ValueError, match=said):
            load_pretrained(tmp_path / "a.ckpt")


@pytest.mark.slow
def test_it_is_tuned_on_a_series_and_the_one_at_hand_stays_as_it_was(forecaster, series, tmp_path):
    series = make_series(steps=1500)
    history = replace(series, values=series.values[:-288], timestamps=series.timestamps[:-288])
    before = [weight.clone() for weight in forecaster.network.parameters()]
    tuned = forecaster.tune(history, epochs=2, learning_rate=2e-3)
    torch.testing.assert_close(list(forecaster.network.parameters()), before, rtol=0, atol=0)
    own, better = forecaster.score(series), tuned.score(series)
    for name in series.feature_names:
        assert better[name]["network"] < 0.8 * own[name]["network"]
    again = forecaster.tune(history, epochs=2, learning_rate=2e-3)
    pd.testing.assert_frame_equal(again.forecast(series), tuned.forecast(series))
    tuned.save(tmp_path / "tuned.ckpt")
    loaded = load_pretrained(tmp_path / "tuned.ckpt")
    pd.testing.assert_frame_equal(loaded.forecast(series), tuned.forecast(series))
    assert loaded.card == {"a": 1, "tuned_on": "made", "tuned_epochs": 2}


def test_of_less_than_four_days_less_is_kept_of_what_tuning_changes(forecaster, series):
    days = replace(series, values=series.values[:576], timestamps=series.timestamps[:576])
    days = days.select(["flow"])
    with pytest.warns(UserWarning, match=r"is of 2.0 days: 25% of what its training changes"):
        tuned = forecaster.tune(days, epochs=1, learning_rate=2e-3, seed=3)
    whole = tune(forecaster.parts, days, 1, 2e-3, seed=3)
    changed = 0
    for kept, all_of_it, before in zip(
        *(net.parameters() for net in (tuned.network, whole, forecaster.network)), strict=True
    ):
        torch.testing.assert_close(kept, before + (all_of_it - before) / 4)
        changed += not torch.equal(kept, before)
    assert changed > 10
    four = every(make_series(steps=288 * 4).select(["flow"]), 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        forecaster.tune(four, epochs=1)


@pytest.fixture
def table(tmp_path, series):
    frame = series.to_frame()["speed"]
    frame.index = frame.index.tz_convert("Asia/Taipei").tz_localize(None)
    frame.to_csv(tmp_path / "speed.csv")
    places = pd.DataFrame({"id": series.vdids, "lat": series.lat, "lon": series.lon})
    places.to_csv(tmp_path / "detectors.csv", index=False)
    return tmp_path


def test_a_table_is_forecast_as_the_user_types_it(table, weights, forecaster, series, capsys):
    words = ["--feature=speed", "--unit=km/h", "--timezone=Asia/Taipei", "--score"]
    words += [f"--detectors={table / 'detectors.csv'}", f"--checkpoint={weights}"]
    main(["forecast", str(table / "speed.csv"), *words, f"--output={table / 'out'}"])
    said = capsys.readouterr().out
    assert "3.1 days of speed every 5 minutes, 6 detectors, 6 with a position" in said
    assert "speed [km/h]" in said
    found = pd.read_csv(table / "out.csv")
    expected = forecaster.forecast(series.select(["speed"]))
    np.testing.assert_allclose(found["speed"], expected["speed"], rtol=1e-4)
    assert found["time"].tolist() == [t.isoformat() for t in expected["time"]]
    assert (table / "out.png").read_bytes().startswith(b"\x89PNG")


def test_without_positions_and_from_a_file_of_data_prep(table, weights, series, capsys):
    write(table / "data.h5", series)
    for path in ("speed.csv", "data.h5"):
        output = f"--output={table / 'of_'}{path.split('.')[0]}"
        main(["forecast", str(table / path), f"--checkpoint={weights}", output])
    said = capsys.readouterr().out
    assert "no positions: forecast without neighbours" in said
    assert "no intervals" not in said
    columns = list(pd.read_parquet(table / "of_data.parquet").columns)
    assert [name for name in columns[4:] if "_p" not in name] == ["speed", "flow"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no CSV table"),
        (
            "time,a\n2024-01-01T00:00:00,x\n2024-01-01T00:05:00,1\n",
            "could not convert string to float: 'x'",
        ),
        ("time,a\nyesterday,1\n", "yesterday"),
        ("time,a\n2024-01-01T00:00:00,1\n", "interval|fewer steps|two"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, weights, capsys, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SystemExit) as end:
        main(["forecast", str(tmp_path / "a.csv"), f"--checkpoint={weights}"])
    assert end.value.code == 2
    shown = capsys.readouterr().err
    assert any(part in shown for part in said.split("|")), shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_the_network_of_the_package_beats_its_rivals_on_roads_that_it_never_saw():
    """A simulated network of another seed, size and interval than those of its training."""
    series = simulate(36, 9, 5, seed=4321, num_freeways=2).select(["speed", "flow"])
    shipped = socialgraph.load_pretrained()
    assert json.dumps(shipped.card)
    for errors in shipped.score(series).values():
        assert errors["forecast"] < 0.95 * min(errors["last_value"], errors["usual"])
        assert errors["forecast"] < errors["ridge"]


def test_the_network_of_the_package_has_a_name():
    series = make_series(steps=600)
    expected = load_pretrained().forecast(series)
    pd.testing.assert_frame_equal(socialgraph.load("pretrained").forecast(series), expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,00101,00101\n2024-01-01T00:00:00,1,2\n", "once in its first line (got ['00101'])"),
        ("time,a,\n2024-01-01T00:00:00,1,\n", "a column without a name"),
        ("time,detector,reading\n2024-01-01T00:00:00,00101,1\n", "time by detector"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, weights, capsys, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SystemExit):
        main(["forecast", str(tmp_path / "a.csv"), f"--checkpoint={weights}"])
    assert said in capsys.readouterr().err


def test_ids_stay_as_they_are_written(table, weights):
    text = (table / "speed.csv").read_text().replace("VD-0", "00101").replace("VD-1", "7.0")
    (table / "speed.csv").write_text(text)
    main(
        ["forecast", str(table / "speed.csv"), f"--checkpoint={weights}", f"--output={table / 'o'}"]
    )
    found = pd.read_csv(table / "o.csv", dtype={"detector": str})["detector"]
    assert {"00101", "7.0"} < set(found)


def test_nothing_to_compare_is_no_error_of_0(forecaster, series, weights, tmp_path, capsys):
    silent = replace(series, values=series.values.copy())
    silent.values[-300:, :, 1] = np.nan
    scores = forecaster.score(silent)
    assert np.isfinite(list(scores["speed"].values())).all()
    assert np.isnan(list(scores["flow"].values())).all()


@pytest.mark.parametrize("steps", [12, 900])
def test_a_silent_feature_does_not_keep_the_others_from_a_forecast(forecaster, series, steps):
    silent = replace(series, values=series.values.copy())
    silent.values[-steps:, :, 0] = np.nan
    with pytest.warns(UserWarning, match="not forecast, .* last 12 steps: speed"):
        table = forecaster.forecast(silent)
    expected = forecaster.forecast(series.select(["flow"]))
    pd.testing.assert_frame_equal(table, expected)
    with pytest.raises(ValueError, match="got none of speed"):
        forecaster.forecast(silent.select(["speed"]))


def test_a_feature_that_begins_on_the_last_day_has_no_score(forecaster, series):
    late = replace(series, values=series.values.copy())
    late.values[:-250, :, 0] = np.nan
    scores = forecaster.score(late)
    assert np.isnan(list(scores["speed"].values())).all()
    assert scores["flow"] == forecaster.score(series)["flow"]


def test_a_feature_that_began_lately_takes_no_interval_from_the_others(forecaster, series):
    late = replace(series, values=series.values.copy())
    late.values[:-30, :, 0] = np.nan
    table = forecaster.forecast(late)
    assert list(table.columns[4:7]) == ["speed", "speed_p05", "speed_p95"]
    assert table["speed"].notna().all()
    assert table[["speed_p05", "speed_p95"]].isna().all(axis=None)
    expected = forecaster.forecast(series)
    for name in ("flow", "flow_p05", "flow_p95"):
        pd.testing.assert_series_equal(table[name], expected[name])


def test_what_the_network_reads_is_in_deviations_as_in_training(forecaster):
    """Also if a detector never changes, which makes the deviation of all smaller."""
    series = make_series(steps=900, missing=0.0).select(["speed"])
    series.values[:, 2:] = 33.0
    seen = []
    hook = forecaster.network.register_forward_pre_hook(
        lambda network, args, batch: seen.append(batch["features"].clone()), with_kwargs=True
    )
    forecaster.forecast(series)
    hook.remove()
    own = series.values[..., 0]
    expected = (own[-12:, 0] - own[:, 0].mean()) / own[:, 0].std()
    np.testing.assert_allclose(seen[0][0, :, 0, 0], expected, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("placed", [0, 3])
def test_it_is_tuned_without_positions_too(forecaster, series, placed):
    some = replace(series, lat=np.where(np.arange(6) < placed, series.lat, np.nan))
    tuned = forecaster.tune(some.select(["speed"]), epochs=1)
    assert np.isfinite(tuned.forecast(some)["speed"]).all()
