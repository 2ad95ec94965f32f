"""The command line as a user types it: every profile, every subcommand, and slips of the pen."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
import yaml

from socialgraph.cli import main
from socialgraph.forecaster import Forecaster
from socialgraph.schema import write
from tests.conftest import ROOT, make_series

CONFIGS = ROOT / "configs"
SMALL = [
    "--model.network.init_args.encoder.init_args.hidden_channels=8",
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.num_sanity_val_steps=0",
]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(traffic_file, *words, model="mean"):
    return [
        f"--config={CONFIGS / 'simulated.yaml'}",
        f"--model={CONFIGS / 'model' / f'{model}.yaml'}",
        f"--data.path={traffic_file}",
        "--data.features=[speed,flow]",
        "--data.window=6",
        "--data.horizon=4",
        *SMALL,
        *words,
    ]


def fit(traffic_file, *words, **options) -> Path:
    main(["fit", *made(traffic_file, "--trainer.max_epochs=1", *words, **options)])
    return Path("checkpoints/best.ckpt")


@pytest.mark.parametrize("model", sorted(path.stem for path in (CONFIGS / "model").iterdir()))
@pytest.mark.parametrize("profile", sorted(path.name for path in (CONFIGS / "data").iterdir()))
def test_every_profile_and_model_fits_and_tests(traffic_file, profile, model):
    with h5py.File(traffic_file, "r+") as file:
        names = yaml.safe_load((CONFIGS / "data" / profile).read_text())["features"]
        del file["metadata/feature_names"], file["data/features"], file.attrs["units"]
        values = make_series(nodes=6).values[..., [0] * len(names)]
        file["data/features"] = values
        file["metadata/feature_names"] = names
    words = [
        f"--config={CONFIGS / profile}",
        f"--model={CONFIGS / 'model' / f'{model}.yaml'}",
        f"--data.path={traffic_file}",
        "--trainer.fast_dev_run=1",
        *SMALL,
    ]
    main(["fit", *words])
    main(["test", *words])
    main(["validate", *words])


def test_a_run_is_tested_and_applied_from_its_checkpoint_alone(traffic_file, capsys):
    checkpoint = fit(traffic_file)
    held = torch.load(checkpoint, weights_only=True)
    assert yaml.safe_load(held["config"])["data"]["window"] == 6
    assert Forecaster.load_from_checkpoint(checkpoint, weights_only=True).network.out_channels == 1
    main(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    report = json.loads(checkpoint.with_suffix(".test.json").read_text())
    assert report["horizon_minutes"] == [5, 10, 15, 20]
    speed = report["targets"]["speed"]
    assert speed["unit"] == "km/h"
    assert len(speed["mae"]) == 4
    joint = math.sqrt(
        sum(c * r**2 for c, r in zip(speed["count"], speed["rmse"], strict=True))
        / sum(speed["count"])
    )
    assert speed["rmse_all"] == pytest.approx(joint)
    assert speed["rmse_mean_of_steps"] == pytest.approx(sum(speed["rmse"]) / 4)
    main(["validate", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    assert sorted(os.listdir()) == ["checkpoints", "traffic.h5"]  # no logs of test and validate


def test_predict_forecasts_the_steps_after_the_end_of_the_file(traffic_file):
    checkpoint = fit(traffic_file)
    main(["predict", "--ckpt_path", str(checkpoint), "--trainer.enable_progress_bar=false"])
    csv = pyarrow.csv.read_csv(checkpoint.with_suffix(".forecast.csv"))
    parquet = pyarrow.parquet.read_table(checkpoint.with_suffix(".forecast.parquet"))
    assert csv.num_rows == parquet.num_rows == 6 * 4
    names = ["issued", "timestamp", "step", "vdid", "speed", "speed_observed"]
    assert csv.column_names == parquet.column_names == names
    end = make_series().timestamps[-1]
    rows = parquet.to_pylist()
    assert {np.datetime64(row["issued"], "s") for row in rows} == {end}
    for row in rows:
        ahead = np.datetime64(row["timestamp"]) - end
        assert ahead == row["step"] * np.timedelta64(5, "m")
        assert row["speed_observed"] is None
    assert sorted({(r["vdid"], r["step"]) for r in rows}) == sorted(
        (f"VD-{i}", s) for i in range(6) for s in range(1, 5)
    )
    np.testing.assert_allclose(csv["speed"].to_numpy(), parquet["speed"].to_numpy(), rtol=1e-6)


def test_predict_on_test_carries_the_truth(traffic_file, tmp_path):
    checkpoint = fit(traffic_file)
    words = ["--data.predict_on=test", "--forecast.path=table", "--forecast.formats=[parquet]"]
    main(["predict", "--ckpt_path", str(checkpoint), "--trainer.enable_progress_bar=false", *words])
    main(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    table = pyarrow.parquet.read_table("table.parquet")
    assert not Path("table.csv").exists()
    series = make_series()
    step_of = {stamp: i for i, stamp in enumerate(series.timestamps)}
    error = {1: [], 4: []}
    for row in table.to_pylist():
        truth = series.values[
            step_of[np.datetime64(row["timestamp"], "s")], int(row["vdid"][3:]), 0
        ]
        assert np.isnan(truth) if row["speed_observed"] is None else row["speed_observed"] == truth
        if row["step"] in error and not np.isnan(truth):
            error[row["step"]].append(abs(row["speed"] - truth))
    report = json.loads(checkpoint.with_suffix(".test.json").read_text())["targets"]["speed"]
    assert report["mae"][0] == pytest.approx(np.mean(error[1]), rel=1e-5)
    assert report["mae"][3] == pytest.approx(np.mean(error[4]), rel=1e-5)


def test_a_failed_prediction_leaves_the_old_table(traffic_file, monkeypatch):
    checkpoint = fit(traffic_file)
    words = ["predict", "--ckpt_path", str(checkpoint), "--trainer.enable_progress_bar=false"]
    main([*words, "--forecast.path=table"])
    before = Path("table.csv").read_bytes()
    with h5py.File(traffic_file, "r+") as file:
        file["metadata/vd_info/VD-2"].attrs["position_lat"] = np.nan
    with pytest.raises(RuntimeError, match="VD-2"):
        main([*words, "--forecast.path=table"])
    assert Path("table.csv").read_bytes() == before
    assert not list(Path().glob(".table*"))


def test_mixed_precision_accumulation_and_checkpointing_work_from_yaml(traffic_file):
    Path("more.yaml").write_text(
        "trainer: {precision: bf16-mixed, accumulate_grad_batches: 2}\n"
        "model: {network: {init_args: {encoder: {init_args: {gradient_checkpointing: true}}}}}\n"
    )
    checkpoint = fit(traffic_file, "--config=more.yaml", model="attention")
    config = yaml.safe_load(torch.load(checkpoint, weights_only=True)["config"])
    encoder = config["model"]["network"]["init_args"]["encoder"]["init_args"]
    assert encoder["gradient_checkpointing"] is True


def forecasts(path) -> dict:
    rows = pyarrow.parquet.read_table(path).to_pylist()
    return {(row["vdid"], row["step"]): row["speed"] for row in rows}


@pytest.mark.parametrize("model", ["distributed", "node_embedding"])
def test_weights_of_single_detectors_serve_a_file_with_fewer_of_them(traffic_file, model):
    alone = "--model.network.init_args.pooling=null"
    checkpoint = fit(traffic_file, alone, "--trainer.precision=bf16-mixed", model=model)
    series, order = make_series(), [4, 1]
    vdids = [series.vdids[i] for i in order]
    places = {"lat": series.lat[order], "lon": series.lon[order]}
    fewer = dataclasses.replace(series, values=series.values[:, order], vdids=vdids, **places)
    write("fewer.h5", fewer)
    words = ["predict", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"]
    main([*words, "--forecast.path=all"])
    main([*words, "--data.path=fewer.h5", "--forecast.path=fewer"])
    every, some = forecasts("all.parquet"), forecasts("fewer.parquet")
    assert {vdid for vdid, _ in some} == set(vdids)
    assert some == pytest.approx({key: every[key] for key in some}, rel=1e-5)


def test_the_distributed_model_runs_detector_by_detector_from_yaml(traffic_file):
    loop = "--model.network.init_args.vectorised=false"
    checkpoint = fit(traffic_file, loop, model="distributed")
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert sum(name.endswith(".project.weight") and "encoders" in name for name in weights) == 6


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["--data.windw=3"], "window"),
        (["--trainer.max_epoch=3"], "max_epochs"),
        (["--model.network.init_args.poolin=null"], "pooling"),
        (["--model.network.init_args.pooling.init_args.radus=3"], "radius"),
        (["--config=data_slip.yaml"], "horizon"),
        (["--config=model_slip.yaml"], "learning_rate"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(traffic_file, capsys, words, known):
    Path("data_slip.yaml").write_text("data: {horizn: 3}\n")
    Path("model_slip.yaml").write_text("model: {learningrate: 0.1}\n")
    with pytest.raises(SystemExit) as error:
        main(["fit", *made(traffic_file, *words, model="attention")])
    assert error.value.code == 2
    said = capsys.readouterr().err
    assert "Did you mean" in said
    assert known in said.split("Did you mean")[1]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--data.batch_size=many", "int"),
        ("--data.border=none", "split_first"),
        ("--trainer.max_epochs=soon", "max_epochs"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(traffic_file, capsys, word, said):
    with pytest.raises(SystemExit):
        main(["fit", *made(traffic_file, word)])
    assert said in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit, match=r"no file 'none.ckpt'"):
        main(["test", "--ckpt_path=none.ckpt"])


def test_both_spellings_of_the_command_work():
    for words in (["-m", "socialgraph"], ["-c", "from socialgraph.cli import main; main()"]):
        run = subprocess.run(
            [sys.executable, *words, "fit", "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "--data.max_radius" in run.stdout
