"""Intervals hold what they promise: by formula, by simulation, and on a trained network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import socialgraph
from socialgraph import conformal as module
from socialgraph.cli import main
from socialgraph.conformal import Conformal, Residuals, calibrated_levels, ordered
from socialgraph.export import export_forecaster
from socialgraph.forecaster import Forecaster
from socialgraph.objective import Point, Quantile
from socialgraph.runtime import RuntimeForecaster
from socialgraph.schema import write
from tests.conftest import make_series
from tests.test_forecaster import Persistence, make_data, make_trainer
from tests.test_objective import make_quantile_network

LEVELS = [0.05, 0.95]


def calibrate(residuals, levels=LEVELS):
    """Corrections from residuals ``[W, P, N, F]`` of forecasts of 0, NaN where missing."""
    collected = Residuals(levels)
    for own in residuals.split(7):  # batches
        forecast = torch.zeros(*own.shape, len(levels))
        collected.add(forecast, own.nan_to_num(), ~own.isnan())
    return collected.calibrate()


def test_corrections_are_the_ranks_of_split_conformal_prediction():
    residuals = torch.arange(1.0, 31)[torch.randperm(30)].view(30, 1, 1, 1)
    made = calibrate(residuals, [0.05, 0.25, 0.75, 0.95])
    # of 31 ranks: floor(1.55), floor(7.75), ceil(23.25), ceil(29.45)
    assert made.shared[0, 0].tolist() == [1, 7, 24, 30]
    assert torch.equal(made.own[0, 0], made.shared[0])  # one detector is the network


def test_too_few_residuals_are_bounded_by_the_largest():
    made = calibrate(torch.arange(1.0, 6).view(5, 1, 1, 1))
    assert made.shared[0, 0].tolist() == [1, 5]


def test_coverage_is_exact_for_exchangeable_readings():
    """Calibrations by 39 residuals leave out 2 of 40 ranks on each side, in the mean."""
    residuals = torch.distributions.Exponential(1.0).sample((39, 5000, 1, 1))  # steps as repeats
    made = calibrate(residuals)
    lower, upper = made.shared.unbind(-1)
    inside = torch.exp(-lower) - torch.exp(-upper)
    assert float(inside.mean()) == pytest.approx(36 / 40, abs=0.003)
    assert float((1 - torch.exp(-lower)).mean()) == pytest.approx(2 / 40, abs=0.002)


def test_a_detector_has_its_own_correction_shrunk_by_its_number_of_windows():
    quiet, wild = torch.randn(400), 10 * torch.randn(400)
    residuals = torch.stack([quiet, wild], dim=-1).view(400, 1, 2, 1)
    residuals[100:, 0, 1] = torch.nan
    made = calibrate(residuals)
    alone = calibrate(residuals[:, :, 1:])
    weight = 100 / 300
    expected = weight * alone.shared[0, 0] + (1 - weight) * made.shared[0, 0]
    torch.testing.assert_close(made.own[0, 1, 0], expected)
    assert made.own[0, 0, 0, 1] < made.shared[0, 0, 1] < made.own[0, 1, 0, 1]


def test_a_detector_with_too_few_windows_has_that_of_the_network():
    residuals = torch.randn(60, 2, 3, 1)
    residuals[18:, :, 1] = torch.nan  # 19 would tell the quantile of 5 %
    residuals[:, :, 2] = torch.nan
    made = calibrate(residuals)
    assert torch.equal(made.own[:, 1], made.shared)
    assert torch.equal(made.own[:, 2], made.shared)
    assert not torch.equal(made.own[:, 0], made.shared)
    residuals[18, :, 1] = 0.0
    made = calibrate(residuals)
    assert not torch.equal(made.own[:, 1], made.shared)


def test_what_was_never_observed_is_not_calibrated():
    residuals = torch.randn(60, 2, 3, 1)
    residuals[:, 1] = torch.nan  # the second step of all detectors
    assert calibrate(residuals) is None
    assert Residuals(LEVELS).calibrate() is None


@pytest.mark.parametrize("batch", [9, 64])
def test_of_many_windows_some_are_kept_of_each_hour(monkeypatch, batch):
    monkeypatch.setattr(module, "_MOST", 2 * 200)
    collected = Residuals(LEVELS)
    windows = 24 * 100  # of hourly readings
    for start in range(0, windows, batch):
        own = torch.arange(float(start), min(start + batch, windows)).view(-1, 1, 1, 1)
        collected.add(torch.zeros(*own.shape, 2), own, torch.ones_like(own, dtype=bool))
    kept = torch.stack([own for _, own in collected._kept])[:, 0, 0, 0, 0].long()
    assert 80 < len(kept) <= 200
    assert kept.tolist() == sorted(set(kept.tolist()))
    by_hour = torch.bincount(kept % 24, minlength=24)
    assert by_hour.min() >= 1
    by_tenth = torch.bincount(kept * 10 // windows, minlength=10)
    assert by_tenth.min() >= len(kept) / 20


def test_other_detectors_take_theirs_and_strangers_that_of_the_network():
    own, shared = torch.randn(2, 3, 1, 2), torch.randn(2, 1, 2)
    taken = Conformal(LEVELS, own, shared).take(torch.tensor([2, -1, 0]))
    assert torch.equal(taken.own, torch.stack([own[:, 2], shared, own[:, 0]], dim=1))


def test_corrected_quantiles_cross_neither_each_other_nor_the_point():
    levels = [0.05, 0.25, 0.75, 0.95]
    quantiles = torch.tensor([4.0, 2.0, 1.0, 0.5])
    told = ordered(quantiles, torch.tensor(3.0), levels)
    assert told.tolist() == [2.0, 2.0, 3.0, 3.0]
    told = ordered(torch.tensor([0.0, 1.0, 4.0, 5.0]), torch.tensor(3.0), levels)
    assert told.tolist() == [0.0, 1.0, 4.0, 5.0]


def test_levels_are_the_ends_of_the_interval_and_those_of_the_objective():
    assert calibrated_levels((), 0.9) == [0.05, 0.95]
    assert calibrated_levels((0.05, 0.5, 0.95), 0.9) == [0.05, 0.95]
    assert calibrated_levels((0.25, 0.5), 0.8) == [0.1, 0.25, 0.9]
    for coverage in (90, 1.0, 0.0, -0.2):
        with pytest.raises(ValueError, match="between 0 and 1"):
            calibrated_levels((), coverage)


def test_a_coverage_out_of_its_range_is_refused():
    for coverage in [0.0, 1.0, -0.1, 90]:
        with pytest.raises(ValueError, match="'coverage' of intervals between 0 and 1"):
            Forecaster(coverage=coverage)


def make_noisy(steps=6 * 288):
    """A series whose detectors differ in their noise."""
    series = make_series(steps=steps, missing=0.02)
    noise = np.random.default_rng(1).normal(0, 1, (steps, 6)) * 3 * np.arange(6)
    series.values[..., 0] += noise.astype(np.float32)
    return series


@pytest.fixture(scope="module", params=["point", "quantile"])
def trained(request, tmp_path_factory):
    """A forecaster of either kind with its checkpoint and file."""
    folder = tmp_path_factory.mktemp(request.param)
    write(folder / "series.h5", make_noisy())
    pl.seed_everything(0)
    objective = Point() if request.param == "point" else Quantile()
    data = make_data(folder / "series.h5", batch_size=32, split=(0.4, 0.3, 0.3))
    options = {"learning_rate": 0.01, "warmup_steps": 5, "objective": objective}
    forecaster = Forecaster(make_quantile_network(), **options)
    trainer = make_trainer(folder, 3, enable_checkpointing=False)
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(folder / "a.ckpt")
    return forecaster, folder / "a.ckpt", folder / "series.h5"


def test_intervals_of_a_trained_network_hold_what_they_promise(trained, tmp_path, capsys):
    _, path, _ = trained
    main(["test", f"--ckpt_path={path}", f"--errors.path={tmp_path / 'e.json'}"])
    said = capsys.readouterr().out
    told = json.loads((tmp_path / "e.json").read_text())["targets"]["speed"]["intervals"]
    assert told["nominal"] == 0.9
    assert told["coverage_all"] == pytest.approx(0.9, abs=0.03)
    assert f"{100 * told['coverage_all']:.1f} % of the readings are between" in said
    widths = [told["by_detector"][f"VD-{i}"]["width"] for i in range(6)]
    assert widths[5] > 1.4 * widths[0]
    assert len(told["by_step"]["coverage"]) == 3
    assert len(told["by_hour"]["crps"]) == 24


@pytest.mark.slow
def test_tables_runtime_and_command_tell_the_same_interval(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forecaster, path, file = trained
    series = socialgraph.schema.read(file)
    series = series.select(vdids=[f"VD-{i}" for i in (4, 1, 0, 2, 3, 5)])
    table = socialgraph.load(path).forecast(series)
    assert list(table.columns[4:]) == ["speed", "speed_p05", "speed_p95"]
    assert table.equals(forecaster.forecast(series))
    width = (table["speed_p95"] - table["speed_p05"]).groupby(table["detector"]).mean()
    assert width["VD-4"] > width["VD-0"]
    export_forecaster(socialgraph.load(path), "a.onnx")
    told = RuntimeForecaster("a.onnx").forecast(socialgraph.schema.read(file))
    both = told.merge(table, on=["time", "detector"])
    for name in ("speed", "speed_p05", "speed_p95"):
        np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=1e-4)


def test_a_stranger_gets_the_interval_of_the_network(trained):
    _, path, _ = trained
    forecaster = socialgraph.load(path)
    spec = forecaster.spec
    forecaster.follow(replace(spec, vdids=[*spec.vdids[:-1], "new"]))
    assert torch.equal(forecaster.bounds.own[:, -1], forecaster.conformal.shared)
    assert torch.equal(forecaster.bounds.own[:, 0], forecaster.conformal.own[:, 0])


def test_each_checkpoint_has_the_calibration_of_its_weights(traffic_file, tmp_path):
    class Keep(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            kept.append(pl_module.conformal)
            trainer.save_checkpoint(tmp_path / f"{len(kept)}.ckpt")

    kept = []
    data = make_data(traffic_file)
    options = {"callbacks": [Keep()], "enable_checkpointing": False, "limit_train_batches": 3}
    make_trainer(tmp_path, 2, **options).fit(Forecaster(Persistence(3, 1)), data)
    for place in (1, 2):
        held = torch.load(tmp_path / f"{place}.ckpt", weights_only=True)["conformal"]
        assert torch.equal(held["own"], kept[place - 1].own)
    assert not torch.equal(kept[0].own, kept[1].own)
    # As if calibrated by hand: a forecast of the last reading, and its residuals in validation.
    network = Persistence(3, 1)
    network.bias.data.copy_(
        torch.load(tmp_path / "2.ckpt", weights_only=True)["state_dict"]["network.bias"]
    )
    forecaster = Forecaster(network)
    forecaster.adopt(data)
    collected = Residuals(LEVELS)
    for batch in data.val_dataloader():
        with torch.no_grad():
            forecast = forecaster(batch).unsqueeze(-1).expand(-1, -1, -1, -1, 2)
        collected.add(forecast, batch["targets"], batch["target_mask"])
    torch.testing.assert_close(collected.calibrate().own, kept[1].own)


def test_without_a_coverage_a_point_tells_no_interval(traffic_file, tmp_path):
    forecaster = Forecaster(Persistence(3, 1), coverage=None)
    make_trainer(tmp_path, limit_train_batches=1).fit(forecaster, make_data(traffic_file))
    assert forecaster.levels == []
    assert list(forecaster.forecast(make_series()).columns[4:]) == ["speed"]


@pytest.mark.parametrize(
    "change",
    [
        {"own": torch.zeros(3, 5, 1, 2), "shared": torch.zeros(3, 1, 2)},
        {"levels": [0.95, 0.05]},
        {"own": None},
        {"own": torch.full((3, 6, 1, 2), torch.nan)},
    ],
)
def test_corrections_that_cannot_be_are_refused(trained, tmp_path, change):
    held = torch.load(trained[1], weights_only=True)
    held["conformal"] |= change
    torch.save(held, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"corrections|conformal"):
        socialgraph.load(tmp_path / "a.ckpt")
