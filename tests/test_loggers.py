"""Other loggers from YAML, and what a run keeps to be made again."""

import importlib.util
import json
import sys
from importlib.metadata import version

import pytest
import torch
import yaml

from socialgraph import __version__
from socialgraph.cli import main
from socialgraph.protocol import hash_readings
from tests.conftest import ROOT, make_series

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fit(traffic_file, *words, logger=None):
    encoder = "--model.network.init_args.encoder.init_args.hidden_channels=8"
    more = []
    if logger is not None:
        with open("logger.yaml", "w") as file:
            yaml.safe_dump(logger, file)
        more = ["--trainer.logger=logger.yaml"]
    main(
        [
            *("fit", f"--config={ROOT / 'configs' / 'simulated.yaml'}"),
            *(f"--model={ROOT / 'configs' / 'model' / 'mean.yaml'}", encoder),
            *(f"--data.series={traffic_file}", "--data.features=[speed,flow]"),
            *("--data.windows={window: 6, horizon: 4}", "--trainer.max_epochs=2"),
            *("--trainer.limit_train_batches=3", "--trainer.log_every_n_steps=1", *more, *words),
        ]
    )


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard (extra loggers)"
)
def test_tensorboard_shows_a_training(traffic_file, tmp_path):
    place = {"save_dir": "runs", "name": "board"}
    fit(
        traffic_file,
        logger={"class_path": "pytorch_lightning.loggers.TensorBoardLogger", "init_args": place},
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "runs" / "board" / "version_0"
    events = EventAccumulator(str(run)).Reload()
    assert {"train/loss", "val/mae", "epoch_seconds"} <= set(events.Tags()["scalars"])
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    shown = [event.value for event in events.Scalars("val/mae")]
    assert len(shown) == 2
    callbacks = [v for k, v in best["callbacks"].items() if k.startswith("ModelCheckpoint")]
    assert min(shown) == pytest.approx(float(callbacks[0]["best_model_score"]))
    assert (run / "config.yaml").is_file()


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason="needs mlflow-skinny, sqlalchemy and alembic (extra loggers)",
)
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_two_trainings(traffic_file, tmp_path):
    options = {"experiment_name": "roads", "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    logger = {"class_path": "pytorch_lightning.loggers.MLFlowLogger", "init_args": options}
    for rate in ("0.001", "0.002"):  # the second does not run into the files of the first
        fit(traffic_file, f"--model.learning_rate={rate}", logger=logger)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(options["tracking_uri"])
    experiment = client.get_experiment_by_name("roads")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    assert {run.data.params["learning_rate"] for run in runs} == {"0.001", "0.002"}
    for run in runs:
        folder = tmp_path / experiment.experiment_id / run.info.run_id
        assert (folder / "checkpoints" / "best.ckpt").is_file()
        kept = yaml.safe_load((folder / "config.yaml").read_text())
        assert str(kept["model"]["learning_rate"]) == run.data.params["learning_rate"]
        history = client.get_metric_history(run.info.run_id, "val/mae")
        assert len(history) == 2


def test_a_run_keeps_what_is_needed_to_make_it_again(traffic_file, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/socialgraph", "fit", "--some", "two words"])
    fit(traffic_file, "--trainer.logger.init_args.version=first", "--model.warmup_steps=7")
    folder = tmp_path / "runs" / "default" / "first"
    record = json.loads((folder / "run.json").read_text())
    assert record["command"] == "socialgraph fit --some 'two words'"
    assert record["socialgraph"] == __version__
    assert record["versions"]["torch"] == version("torch")
    assert record["python"].split(".")[0] == "3"
    (data,) = record["data"]
    assert data["source"] == str(traffic_file)
    assert data["sha256"] == hash_readings(make_series())
    # The configuration makes the same weights, with nothing else said.
    again = ["--trainer.logger.init_args.version=again"]
    main(["fit", f"--config={folder / 'config.yaml'}", *again])
    weights = [
        torch.load(f.parent / name / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for f, name in ((folder, "first"), (folder, "again"))
    ]
    for name, value in weights[0].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, weights[1][name]), name
