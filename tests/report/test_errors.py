"""Errors of scored forecasts against loops, and against ``socialgraph test``."""

import json
from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from socialgraph.cli import main
from socialgraph.report import errors
from socialgraph.report.scoring import NETWORK, Scores

W, P, N = 40, 3, 4
ZONE = "Europe/Berlin"


def made(interval=False) -> Scores:
    rng = np.random.default_rng(0)
    issued = np.datetime64("2024-03-30T20:10:00", "s") + 1800 * np.arange(W)  # over a clock change
    times = issued[:, None] + np.timedelta64(20, "m") * np.arange(1, P + 1)
    truth = rng.normal(50, 20, (W, P, N)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.2] = np.nan
    truth[:, :, 3] = np.nan  # a silent detector
    shape = truth.shape
    forecasts = {n: rng.normal(50, 20, shape).astype("f4") for n in (NETWORK, "usual day")}
    ends = (np.full(shape, 30.0), np.full(shape, 70.0)) if interval else (None, None)
    return Scores(issued, times, truth, forecasts, *ends, nominal=0.9)


def cells(scores):
    """Every observed target, one by one."""
    for place in zip(*np.nonzero(~np.isnan(scores.truth)), strict=True):
        yield place, float(scores.forecasts[NETWORK][place]) - float(scores.truth[place])


def test_the_numbers_are_those_of_the_command_test(run):
    found = errors.by_step(run.scores, run.forecaster.given, "speed")[NETWORK]
    main(["test", f"--ckpt_path={run.ckpt_path}", "--trainer.enable_progress_bar=false"])
    told = json.loads(run.ckpt_path.with_suffix(".test.json").read_text())
    assert told["windows"] == len(run.scores.issued)
    assert found["unit"] == told["targets"]["speed"]["unit"]
    for name in ("mae", "rmse", "mape"):
        for part in (name, f"{name}_all"):
            assert found[part] == pytest.approx(told["targets"]["speed"][part], rel=1e-9), part
    intervals = told["targets"]["speed"]["intervals"]
    covered = errors.coverage(run.scores)
    assert covered["all"] == pytest.approx(intervals["coverage_all"], rel=1e-9)
    assert covered["steps"] == pytest.approx(intervals["by_step"]["coverage"], rel=1e-9)
    assert covered["width"] == pytest.approx(intervals["by_step"]["width"], rel=1e-6)


def test_a_second_target_has_its_own_unit(run):
    spec = replace(run.forecaster.given, targets=["speed", "flow"])
    own, other = (errors.by_step(run.scores, spec, name)[NETWORK] for name in ("speed", "flow"))
    assert other == {**own, "unit": "veh/h"}


def test_errors_by_detector_are_the_means_over_its_targets():
    scores = made()
    found = errors.by_detector(scores)
    for node in range(3):
        own = [error for (_, _, n), error in cells(scores) if n == node]
        assert found["mae"][node] == pytest.approx(np.mean(np.abs(own)))
        assert found["bias"][node] == pytest.approx(np.mean(own))
        assert found["missing"][node] == pytest.approx(1 - len(own) / (W * P))
    usual = np.abs(scores.forecasts["usual day"] - scores.truth)[..., 1]
    assert found["rival"][1] == pytest.approx(np.nanmean(usual))
    assert np.isnan(found["mae"][3])
    assert found["missing"][3] == 1
    assert "coverage" not in found


def test_errors_by_hour_are_on_the_local_clock():
    scores = made()
    sums = {}
    for (w, p, _), error in cells(scores):
        utc = scores.times[w, p].astype(object).replace(tzinfo=UTC)
        local = utc.astimezone(ZoneInfo(ZONE))
        sums.setdefault((local.weekday(), local.hour), []).append(abs(error))
    found = errors.by_hour_of_week(scores, ZONE)
    assert np.isfinite(found).sum() == len(sums)
    for place, own in sums.items():
        assert found[place] == pytest.approx(np.mean(own))
    assert np.isnan(found[6, 2])  # the hour that spring leaves out


def test_coverage_is_the_share_of_the_truth_inside():
    scores = made(interval=True)
    inside = [(p, 30 <= scores.truth[w, p, n] <= 70) for (w, p, n), _ in cells(scores)]
    found = errors.coverage(scores)
    assert found["all"] == pytest.approx(np.mean([share for _, share in inside]))
    for step in range(P):
        assert found["steps"][step] == pytest.approx(np.mean([s for p, s in inside if p == step]))
    by_detector = errors.by_detector(scores)["coverage"]
    assert by_detector[0] == pytest.approx(
        np.mean([30 <= scores.truth[w, p, n] <= 70 for (w, p, n), _ in cells(scores) if n == 0])
    )
    assert errors.coverage(made()) is None


def test_dense_traffic_is_slow_or_more_than_usual():
    for target, unit, names in [
        ("speed", "", ("congested", "free flow")),
        ("v", "km/h", ("congested", "free flow")),
        ("flow", "veh/h", ("busy", "calm")),
    ]:
        scores = made()
        train = np.tile(np.arange(1.0, 101.0)[:, None], (1, N))  # whose 85th percentile is 85
        train[:, 1] = np.nan
        state = errors.traffic_state(scores, train, target, unit)
        assert state.names == names
        expected = scores.truth < 63.75 if names[0] == "congested" else scores.truth > 85
        np.testing.assert_array_equal(state.dense[..., [0, 2]], expected[..., [0, 2]])
        assert not state.dense[..., 1].any()  # nothing is known of its free flow
        kept = state.dense & ~np.isnan(scores.truth)
        own = [abs(error) for place, error in cells(scores) if kept[place]]
        assert errors.mae(scores, NETWORK, kept) == pytest.approx(np.mean(own))


def test_a_gain_is_the_share_of_the_rival_that_is_saved():
    assert errors.gain(3.0, 4.0) == pytest.approx(0.25)
    assert errors.gain(4.0, 3.0) == pytest.approx(-1 / 3)
    assert errors.gain(None, 3.0) is None
    assert errors.gain(3.0, 0.0) is None
