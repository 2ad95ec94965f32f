"""What is trained: losses, quantiles that never cross, and where they come out."""

import json
from functools import partial

import numpy as np
import onnxruntime  # noqa: F401, the runtime imports it when it is made
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import socialgraph
from socialgraph.cli import main
from socialgraph.data import NetworksDataModule, Windows
from socialgraph.export import export_forecaster
from socialgraph.forecaster import Forecaster
from socialgraph.nn import LinearEncoder, SocialGraphNet
from socialgraph.objective import Point, Quantile
from socialgraph.runtime import RuntimeForecaster
from socialgraph.schema import write
from socialgraph.stream import StreamingForecaster
from socialgraph.table import column_names
from tests.conftest import ROOT, make_series
from tests.test_forecaster import Persistence, make_data, make_trainer

LEVELS = (0.05, 0.25, 0.5, 0.95)


def random_prediction(objective, targets=2):
    raw = 5 * torch.randn(3, 4, 6, targets * objective.width)
    return objective.decode(raw, torch.arange(1.0, 1 + targets), torch.full((targets,), 10.0))


def test_quantiles_never_cross_and_the_median_is_the_first_number():
    objective = Quantile(LEVELS)
    raw = 50 * torch.randn(100, 2 * 4)
    prediction = objective.decode(raw, torch.tensor([1.0, 2.0]), torch.tensor([10.0, 100.0]))
    assert prediction.shape == (100, 2, 4)
    assert (prediction.diff(dim=-1) >= 0).all()
    expected = raw[:, :2] * torch.tensor([10.0, 100.0]) + torch.tensor([1.0, 2.0])
    torch.testing.assert_close(objective.point(prediction), expected)
    up = nn.functional.softplus(raw[:, 6:]) * torch.tensor([10.0, 100.0])  # the only level above
    torch.testing.assert_close(prediction[..., 3], expected + up)
    down = nn.functional.softplus(raw[:, 2:4]) * torch.tensor([10.0, 100.0])
    torch.testing.assert_close(prediction[..., 1], expected - down)


def test_pinball_loss_is_that_of_the_definition_and_leaves_missing_targets_out():
    objective = Quantile((0.1, 0.5, 0.9))
    prediction = torch.tensor([[[1.0, 2.0, 4.0]], [[0.0, 0.0, 0.0]]], requires_grad=True)
    target = torch.tensor([[5.0], [torch.nan]])
    total, count = objective.loss(prediction, target, ~target.isnan())
    # 0.1 * 4, 0.5 * 3 and 0.9 * 1, whose mean comes twice
    assert float(total.detach()) == pytest.approx(2 * (0.4 + 1.5 + 0.9) / 3)
    assert count == 1
    total.backward()
    assert (prediction.grad[1] == 0).all()
    below, _ = objective.loss(prediction, torch.zeros(2, 1), torch.tensor([[True], [False]]))
    assert float(below.detach()) == pytest.approx(2 * (0.9 * 1 + 0.5 * 2 + 0.1 * 4) / 3)


def test_the_loss_is_least_at_the_quantiles_of_what_is_observed():
    pl.seed_everything(0)
    observed = torch.distributions.Exponential(1.0).sample((4000, 1))
    raw = torch.zeros(3, requires_grad=True)
    objective = Quantile((0.1, 0.5, 0.8))
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        prediction = objective.decode(raw.expand(4000, 3), torch.zeros(1), torch.ones(1))
        objective.loss(prediction, observed, observed > 0)[0].backward()
        optimizer.step()
    found = objective.decode(raw, torch.zeros(1), torch.ones(1))[0].detach()
    np.testing.assert_allclose(found, np.quantile(observed, objective.levels), atol=0.05)


def test_levels_that_are_not_forecast_come_from_their_neighbours():
    prediction = random_prediction(Quantile(LEVELS))
    found = Quantile(LEVELS).quantiles(prediction, (0.01, 0.15, 0.25, 0.725, 0.99))
    parts = [prediction[..., place] for place in range(4)]
    expected = [parts[0], (parts[0] + parts[1]) / 2, parts[1], (parts[2] + parts[3]) / 2, parts[3]]
    torch.testing.assert_close(found, torch.stack(expected, dim=-1))
    point = random_prediction(Point())
    assert torch.equal(Point().quantiles(point, (0.1, 0.9)), point.expand(-1, -1, -1, -1, 2))
    assert Point().quantiles(point, ()).shape == (3, 4, 6, 2, 0)


def test_levels_without_the_median_or_an_order_are_refused():
    for levels in [(), (0.1, 0.9), (0.5, 0.5), (0.9, 0.5), (0.0, 0.5), (0.5, 1.0)]:
        with pytest.raises(ValueError, match=r"0\.5 for the median"):
            Quantile(levels)


def test_columns_are_named_by_percent():
    names = column_names("speed", (0.025, 0.05, 0.5, 0.95, 0.975))
    assert names == ["speed", "speed_p02.5", "speed_p05", "speed_p95", "speed_p97.5"]


def make_quantile_network():
    return SocialGraphNet(encoder=partial(LinearEncoder, out_channels=8), block=None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A forecaster of quantiles of two targets, its checkpoint and its file."""
    folder = tmp_path_factory.mktemp("quantiles")
    write(folder / "series.h5", make_series(steps=4 * 288))
    pl.seed_everything(0)
    data = make_data(folder / "series.h5", targets=None)
    options = {"learning_rate": 0.01, "warmup_steps": 5, "objective": Quantile(LEVELS)}
    forecaster = Forecaster(make_quantile_network(), **options)
    trainer = make_trainer(folder, 4, enable_checkpointing=False)
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(folder / "a.ckpt")
    return forecaster, folder / "a.ckpt", folder / "series.h5"


@pytest.mark.slow
def test_a_trained_network_covers_what_its_levels_say(trained):
    _, path, file = trained
    forecaster = socialgraph.load(path)
    data = make_data(file, targets=None)
    data.setup()
    parts = [[], []]
    with torch.no_grad():
        for batch in data.test_dataloader():
            quantiles = forecaster.objective.quantiles(forecaster.predict(batch), LEVELS)
            below = (batch["targets"].unsqueeze(-1) <= quantiles)[batch["target_mask"]]
            parts[0].append(below.float())
            parts[1].append((quantiles.diff(dim=-1) >= 0).all())
    assert all(parts[1])
    np.testing.assert_allclose(torch.cat(parts[0]).mean(dim=0), LEVELS, atol=0.06)


@pytest.mark.slow
def test_tables_runtime_and_command_tell_the_same_quantiles(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, path, file = trained
    assert isinstance(socialgraph.load(path).objective, Quantile)
    series = socialgraph.schema.read(file)
    table = socialgraph.load(path).forecast(series)
    assert list(table.columns[4:8]) == ["speed", "speed_p05", "speed_p25", "speed_p95"]
    ordered = table[["flow_p05", "flow_p25", "flow", "flow_p95"]].to_numpy()
    assert (np.diff(ordered) > 0).all()
    main(["predict", f"--ckpt_path={path}", "--forecast.path=out.parquet"])
    written = pq.read_table("out.parquet").to_pandas()
    np.testing.assert_allclose(written["flow_p05"], table["flow_p05"], rtol=1e-5)
    assert list(written.columns[4:9]) == [*table.columns[4:8], "speed_observed"]
    export_forecaster(socialgraph.load(path), "a.onnx")
    told = RuntimeForecaster("a.onnx").forecast(series)
    assert list(told.columns) == list(table.columns)
    np.testing.assert_allclose(told.iloc[:, 4:], table.iloc[:, 4:], rtol=1e-4)


@pytest.mark.slow
def test_an_objective_of_somebody_else_is_trained_and_told_everywhere(tmp_path, monkeypatch):
    """One class outside of the package, named in YAML: nothing else knows it."""
    monkeypatch.chdir(tmp_path)
    series = make_series(steps=4 * 288)
    write("series.h5", series)
    config = ROOT / "configs" / "simulated.yaml"
    fit = ["fit", f"--config={config}", "--data.series=series.h5"]
    fit += ["--data.features=[speed,flow]", "--data.targets=[speed,flow]"]
    fit += ["--data.split=[0.4,0.3,0.3]"]  # more than a day to calibrate on
    fit += ["--data.windows.window=6", "--data.windows.horizon=3", "--trainer.max_epochs=1"]
    fit += ["--trainer.logger=false", "--model.objective=tests.gaussian.Gaussian"]
    main([*fit, "--model.objective.levels=[0.2, 0.5, 0.9]", "--trainer.limit_train_batches=8"])
    words = ["--ckpt_path=checkpoints/best.ckpt", "--trust=tests"]
    with pytest.raises(SystemExit):
        main(["test", words[0]])
    main(["test", *words])
    tested = json.loads((tmp_path / "checkpoints" / "best.test.json").read_text())["targets"]
    assert all(own["intervals"]["nominal"] == pytest.approx(0.9) for own in tested.values())
    assert all(abs(own["intervals"]["coverage_all"] - 0.9) < 0.03 for own in tested.values())

    main(["predict", *words, "--forecast.path=out.parquet"])
    written = pq.read_table("out.parquet").to_pandas()
    columns = ["flow", "flow_p05", "flow_p20", "flow_p90", "flow_p95"]
    assert list(written.columns[10:15]) == columns
    ordered = written[["flow_p05", "flow_p20", "flow", "flow_p90", "flow_p95"]].to_numpy()
    assert (np.diff(ordered) > 0).all()
    forecaster = socialgraph.load("checkpoints/best.ckpt", trust=["tests"])
    stream = StreamingForecaster(forecaster)
    for k in range(-6, 0):
        told = stream.update(series.timestamps[k], series.values[k])
    np.testing.assert_allclose(
        told[..., 5:].swapaxes(0, 1).reshape(-1, 5), written[columns], rtol=1e-4
    )
    main(["export", *words, "--to=a.onnx"])
    exported = RuntimeForecaster("a.onnx").forecast(series)
    np.testing.assert_allclose(exported[columns], written[columns], rtol=1e-3)
    main(["report", *words, "-o=report.html"])
    assert "of the truth inside the 90" in (tmp_path / "report.html").read_text()

    forecaster.conformal = forecaster.bounds = None
    alone = forecaster.forecast(series)
    below, above = (alone["speed"] - alone["speed_p20"]), (alone["speed_p90"] - alone["speed"])
    np.testing.assert_allclose(above / below, 1.28155 / 0.84162, rtol=1e-3)


def test_a_network_of_another_width_is_refused(trained, traffic_file, tmp_path):
    forecaster = Forecaster(Persistence(3, 1), objective=Quantile())
    with pytest.raises(ValueError, match="Expected 3 numbers from the network"):
        make_trainer(tmp_path).fit(forecaster, make_data(traffic_file))
    _, path, file = trained
    wrong = Forecaster(objective=Quantile())
    with pytest.raises(ValueError, match="of another objective: Quantile"):
        make_trainer(tmp_path).test(wrong, make_data(file, targets=None), str(path))


def test_a_training_on_several_networks_is_for_points(tmp_path):
    series = make_series()
    data = NetworksDataModule([series, series], windows=Windows(6, 3))
    forecaster = Forecaster(make_quantile_network(), objective=Quantile())
    with pytest.raises(ValueError, match="is for points"):
        make_trainer(tmp_path).fit(forecaster, data)


def test_a_checkpoint_of_before_objectives_is_a_point_with_its_loss(traffic_file, tmp_path):
    forecaster = Forecaster(Persistence(3, 1), objective=Point("huber", 2.5))
    trainer = make_trainer(tmp_path, limit_train_batches=1)
    trainer.fit(forecaster, make_data(traffic_file))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    held = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert held.pop("objective")["init_args"] == {"loss": "huber", "huber_delta": 2.5}
    held["hyper_parameters"] |= {"loss": "mse", "huber_delta": 3.0}
    held["network"] = None  # of a module of the tests
    torch.save(held, tmp_path / "old.ckpt")
    old = Forecaster(Persistence(3, 1))
    make_trainer(tmp_path).test(old, make_data(traffic_file), str(tmp_path / "old.ckpt"))
    assert (old.objective.kind, old.objective.huber_delta) == ("mse", 3.0)


def test_a_forecaster_without_an_objective_is_trained_as_a_point(traffic_file, tmp_path):
    forecaster = Forecaster(Persistence(3, 1))
    make_trainer(tmp_path, limit_train_batches=1).fit(forecaster, make_data(traffic_file))
    assert isinstance(forecaster.objective, Point)
    assert forecaster.objective.kind == "mae"
