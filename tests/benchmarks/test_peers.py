"""The comparison with released models: the protocol of a runner, and the script as it is typed."""

import json
import sys

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from benchmarks.accuracy import run_naive
from benchmarks.peers import PEERS, TrainingBudget, export, main, run_peer
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.nn import SocialGraphNet
from socialgraph.schema import write
from tests.conftest import ROOT, make_series

LAST_VALUE = """
import json, sys
import numpy as np

data, output = np.load(sys.argv[1]), sys.argv[2]
assert sys.argv[3:] == ["--budget", "1", "--seed", "7"], sys.argv
known = data["values"][: int(data["statistics_steps"])].astype(float)
last = np.nanmean(known, (0, 1))
for step in range(int(data["window"])):
    reading = data["values"][data["test"] + step]
    last = np.where(np.isnan(reading), last, reading)
forecasts = np.repeat(last[:, None], int(data["horizon"]), axis=1).astype(np.float32)
np.savez(output, forecasts=forecasts)
json.dump({"parameters": 0}, open(output.replace(".npz", ".json"), "w"))
"""


@pytest.fixture
def exported(tmp_path):
    data = TrafficDataModule(make_series(steps=400, missing=0.2), windows=Windows(6, 4))
    data.setup()
    export(data, tmp_path / "data.npz")
    return data, tmp_path


def run(exported, source: str) -> dict:
    data, folder = exported
    (folder / "runner.py").write_text(source)
    return run_peer([sys.executable, folder / "runner.py"], data, folder, budget=1, seed=7)


def test_a_runner_that_repeats_the_last_value_gets_the_errors_of_that_rival(exported):
    result, expected = run(exported, LAST_VALUE), run_naive(*exported)[0]
    assert expected["model"] == "last value"
    assert result["parameters"] == 0
    for name, errors in expected["test"]["targets"].items():
        assert result["test"]["targets"][name].pop("unit") == errors.pop("unit")
        for error, value in errors.items():
            assert result["test"]["targets"][name].pop(error) == pytest.approx(value, rel=1e-5)
    assert result["test"] == expected["test"] | {"targets": {"speed": {}, "flow": {}}}


def test_a_runner_that_fails_or_answers_wrongly_is_an_error(exported):
    with pytest.raises(RuntimeError, match=r"ended with 1:\n(.*\n)*ValueError: no such layer"):
        run(exported, "raise ValueError('no such layer')")
    with pytest.raises(RuntimeError, match=r"finite forecasts \(71, 4, 6, 2\) \(got \(70, 4, 6, 2"):
        run(exported, LAST_VALUE.replace("=forecasts)", "=forecasts[1:])"))
    with pytest.raises(RuntimeError, match="1704 not finite"):
        run(exported, LAST_VALUE.replace("=forecasts)", "=forecasts / [1, 0])"))


def test_a_training_that_ends_before_its_budget_is_validated_after_its_last_step(tmp_path):
    data = TrafficDataModule(make_series(steps=120), windows=Windows(6, 4))
    budget = TrainingBudget(600.0)
    keep = ModelCheckpoint(tmp_path, monitor="val/mae")
    trainer = pl.Trainer(
        max_epochs=2,
        val_check_interval="00:01:00:00",  # no other validation than that at the end
        callbacks=[budget, keep],
        logger=False,
        enable_progress_bar=False,
    )
    trainer.fit(Forecaster(SocialGraphNet(num_blocks=1)), data)
    assert budget.windows == 2 * len(data.starts["train"])
    kept = torch.load(keep.best_model_path, weights_only=True)
    assert kept["global_step"] == trainer.global_step == trainer.estimated_stepping_batches
    assert kept["callbacks"]["TrainingBudget"]["windows"] == budget.windows


@pytest.mark.slow
def test_without_any_environment_the_result_names_the_errors_and_holds_our_model(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=8, days=2, num_freeways=1))
    words = [
        *("--quick", "--seeds", "3"),
        *("--config", ROOT / "configs" / "simulated.yaml", "--data", tmp_path / "data.h5"),
        *("--environments", tmp_path / "none", "--output", tmp_path / "result.json"),
    ]
    main([str(word) for word in words])
    report = json.loads((tmp_path / "result.json").read_text())
    results = report["results"]
    *naive, stid, lstm, tsl, ours = results
    assert [entry["model"] for entry in naive] == ["last value", "time-of-day mean", "ridge"]
    for package, entry in zip(PEERS, (stid, lstm, tsl), strict=True):
        assert entry["package"] == package
        assert f"run bash benchmarks/peers_environment.sh {package}" in entry["error"]
    assert (ours["package"], ours["model"], ours["seed"]) == ("socialgraph", "alone", 3)
    assert ours["training_seconds"] > 0
    assert ours["windows_per_second"] > 0
    counts = {tuple(r["test"]["targets"]["speed"]["count"]) for r in [*naive, ours]}
    assert len(counts) == 1  # the same windows and masks for all
    table = TABLES["peers"](report)
    assert "| STID | basicts | did not run: no environment" in table
    assert f"| alone | socialgraph | {ours['test']['targets']['speed']['mae'][2]:.2f} / " in table
