"""The command line as a user types it: every profile, every subcommand, and slips of the pen."""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
import yaml

import socialgraph
from socialgraph.cli import main
from socialgraph.data import Loading, TrafficDataModule, Windows
from socialgraph.schema import write
from socialgraph.training_help import HELP
from tests.conftest import ROOT, make_series

CONFIGS = ROOT / "configs"
ENCODER = "--model.network.init_args.encoder.init_args"
WIDTH = {
    "distributed": f"{ENCODER}.encoder.init_args.hidden_channels=8",
    "stacked": "",
    "stacked_identity": "",
}
LOGGER = '{"class_path":"socialgraph.logger.MetricsLogger","init_args":{"save_dir":"","name":"lightning_logs","version":"version_0"}}'  # noqa: E501
SMALL = [
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
        f"--data.series={traffic_file}",
        "--data.features=[speed,flow]",
        "--data.windows.window=6",
        "--data.windows.horizon=4",
        *filter(None, [WIDTH.get(model, f"{ENCODER}.hidden_channels=8")]),
        *SMALL,
        *words,
    ]


def fit(traffic_file, *words, **options) -> Path:
    main(["fit", *made(traffic_file, "--trainer.max_epochs=1", "--overwrite", *words, **options)])
    return Path("checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the made file, and what a training left beside it."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "traffic.h5", make_series())
    with contextlib.chdir(folder):
        fit("traffic.h5")
    return folder


@pytest.fixture
def checkpoint(traffic_file, trained):
    """That of the same training beside a file of one's own, whose name it holds."""
    shutil.copytree(trained / "checkpoints", "checkpoints")
    return Path("checkpoints/best.ckpt")


def refused(capsys, words) -> str:
    """What a command says that ends in an error of the user's."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def rename_features(path, profile):
    """Give a made file the features that a profile names."""
    with h5py.File(path, "r+") as file:
        names = yaml.safe_load((CONFIGS / "data" / profile).read_text())["features"]
        del file["metadata/feature_names"], file["data/features"], file.attrs["units"]
        file["data/features"] = make_series(nodes=6).values[..., [0] * len(names)]
        file["metadata/feature_names"] = names


# Several networks, the one that is trained on, and hours have tests of their own
# (test_networks_cli, test_auckland).
APART = {"networks.yaml", "auckland.yaml"}
PROFILES = sorted({path.name for path in (CONFIGS / "data").iterdir()} - APART)
MODELS = sorted({path.stem for path in (CONFIGS / "model").iterdir()} - {"pretrained"})


# Every profile once, and every model once: they know nothing of each other.
@pytest.mark.parametrize(("profile", "model"), zip(itertools.cycle(PROFILES), MODELS, strict=False))
@pytest.mark.slow
def test_every_profile_and_model_fits_and_tests(traffic_file, profile, model):
    rename_features(traffic_file, profile)
    words = [
        f"--config={CONFIGS / profile}",
        f"--model={CONFIGS / 'model' / f'{model}.yaml'}",
        f"--data.series={traffic_file}",
        *SMALL,
    ]
    main(["fit", *words, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"])
    main(["test", "--ckpt_path=checkpoints/best.ckpt", *SMALL])
    report = json.loads(Path("checkpoints/best.test.json").read_text())
    (target,) = report["targets"].values()
    assert target["mae_all"] > 0


def test_a_run_is_tested_and_applied_from_its_checkpoint_alone(checkpoint, capsys):
    held = torch.load(checkpoint, weights_only=True)
    assert held["data"]["windows"]["window"] == 6
    assert socialgraph.load(checkpoint).network.out_channels == 1
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


def test_a_test_of_some_batches_tells_their_errors_and_writes_nothing(checkpoint, capsys):
    words = ["--trainer.limit_test_batches=2", "--data.loading.batch_size=8"]
    main(["test", f"--ckpt_path={checkpoint}", *words])
    said = capsys.readouterr().out
    assert "speed [km/h]" in said
    assert "not written, as the test was limited to some batches" in said
    assert not checkpoint.with_suffix(".test.json").exists()


def test_predict_forecasts_the_steps_after_the_end_of_the_file(checkpoint):
    main(["predict", "--ckpt_path", str(checkpoint), "--trainer.enable_progress_bar=false"])
    csv = pyarrow.csv.read_csv(checkpoint.with_suffix(".forecast.csv"))
    parquet = pyarrow.parquet.read_table(checkpoint.with_suffix(".forecast.parquet"))
    assert csv.num_rows == parquet.num_rows == 6 * 4
    names = ["issued", "time", "step", "detector", "speed", "speed_p05", "speed_p95"]
    names += ["speed_observed", "alarm"]
    assert csv.column_names == parquet.column_names == names
    end = datetime.fromisoformat("2024-01-02T08:55:00+08:00")
    rows = parquet.to_pylist()
    assert {row["issued"] for row in rows} == {end}
    for row in rows:
        assert row["time"] - end == row["step"] * timedelta(minutes=5)
        assert row["speed_observed"] is None
    text = checkpoint.with_suffix(".forecast.csv").read_text().splitlines()[1]
    assert text.startswith('"2024-01-02T08:55:00+08:00","2024-01-02T09:00:00+08:00",1,"VD-0",')
    assert sorted({(r["detector"], r["step"]) for r in rows}) == sorted(
        (f"VD-{i}", s) for i in range(6) for s in range(1, 5)
    )
    np.testing.assert_allclose(csv["speed"].to_numpy(), parquet["speed"].to_numpy(), rtol=1e-6)
    table = socialgraph.load(checkpoint).forecast(make_series())
    np.testing.assert_array_equal(table["speed"], parquet["speed"].to_numpy())


def test_predict_on_test_carries_the_truth(checkpoint, tmp_path):
    words = [
        "--data.windows.predict_on=test",
        "--forecast.path=table",
        "--forecast.formats=[parquet]",
    ]
    main(["predict", "--ckpt_path", str(checkpoint), "--trainer.enable_progress_bar=false", *words])
    main(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    table = pyarrow.parquet.read_table("table.parquet")
    assert not Path("table.csv").exists()
    series = make_series()
    step_of = {stamp.item(): i for i, stamp in enumerate(series.timestamps)}
    error = {1: [], 4: []}
    for row in table.to_pylist():
        step = step_of[row["time"].astimezone(UTC).replace(tzinfo=None)]
        truth = series.values[step, int(row["detector"][3:]), 0]
        assert np.isnan(truth) if row["speed_observed"] is None else row["speed_observed"] == truth
        if row["step"] in error and not np.isnan(truth):
            error[row["step"]].append(abs(row["speed"] - truth))
    report = json.loads(checkpoint.with_suffix(".test.json").read_text())["targets"]["speed"]
    assert report["mae"][0] == pytest.approx(np.mean(error[1]), rel=1e-5)
    assert report["mae"][3] == pytest.approx(np.mean(error[4]), rel=1e-5)


def test_a_failed_prediction_leaves_the_old_table(traffic_file, checkpoint, capsys):
    words = ["predict", "--ckpt_path", str(checkpoint), "--trainer.enable_progress_bar=false"]
    main([*words, "--forecast.path=table"])
    before = Path("table.csv").read_bytes()
    with h5py.File(traffic_file, "r+") as file:
        file["metadata/vd_info/VD-2"].attrs["position_lat"] = np.nan
    assert "VD-2" in refused(capsys, [*words, "--forecast.path=table"])
    assert Path("table.csv").read_bytes() == before
    assert not list(Path().glob(".table*"))


@pytest.mark.slow
def test_mixed_precision_accumulation_and_checkpointing_work_from_yaml(traffic_file):
    Path("more.yaml").write_text(
        "trainer: {precision: bf16-mixed, accumulate_grad_batches: 2}\n"
        "model: {network: {init_args: {encoder: {init_args: {gradient_checkpointing: true}}}}}\n"
    )
    checkpoint = fit(traffic_file, "--config=more.yaml", model="attention")
    recipe = torch.load(checkpoint, weights_only=True)["network"]
    assert recipe["init_args"]["encoder"]["init_args"]["gradient_checkpointing"] is True


def forecasts(path) -> dict:
    rows = pyarrow.parquet.read_table(path).to_pylist()
    return {(row["detector"], row["step"]): row["speed"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["distributed", "stacked_identity"])
def test_weights_of_single_detectors_serve_a_file_with_fewer_of_them(traffic_file, model):
    alone = "--model.network.init_args.block=null"
    checkpoint = fit(traffic_file, alone, "--trainer.precision=bf16-mixed", model=model)
    vdids = ["VD-4", "VD-1"]
    write("fewer.h5", make_series().select(vdids=vdids))
    words = ["predict", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"]
    main([*words, "--forecast.path=all"])
    main([*words, "--data.series=fewer.h5", "--forecast.path=fewer"])
    every, some = forecasts("all.parquet"), forecasts("fewer.parquet")
    assert {vdid for vdid, _ in some} == set(vdids)
    assert some == pytest.approx({key: every[key] for key in some}, rel=1e-5)


def with_a_newcomer(series, first):
    """The series with one more detector, of 0.6 of another's readings, from step ``first`` on."""
    readings = 0.6 * series.values[:, [2]]
    readings[:first] = np.nan
    return dataclasses.replace(
        series,
        values=np.concatenate([series.values, readings], axis=1),
        vdids=[*series.vdids, "new"],
        lat=np.append(series.lat, series.lat[0] + 0.001),
        lon=np.append(series.lon, series.lon[0]),
    )


@pytest.mark.slow
def test_what_is_usual_for_a_newcomer_comes_from_all_of_the_file(traffic_file, capsys):
    series = make_series(steps=800)
    write("early.h5", series.first(500))
    dates = {"val": str(series.timestamps[400]), "test": str(series.timestamps[450])}
    split = {"class_path": "socialgraph.data.DateSplit", "init_args": dates}
    checkpoint = fit("early.h5", f"--data.split={json.dumps(split)}", model="stacked")
    after = {"values": series.values[500:], "timestamps": series.timestamps[500:]}
    later = dataclasses.replace(series, **after)
    for name, given in (
        ("late", with_a_newcomer(later, 0)),  # all after the training part of the split
        ("young", with_a_newcomer(series, 760)),  # silent in the training part
    ):
        write(f"{name}.h5", given)
        words = [f"--ckpt_path={checkpoint}", f"--data.series={name}.h5", f"--forecast.path={name}"]
        main(["predict", *words, "--trainer.enable_progress_bar=false"])
        table = socialgraph.load(checkpoint).forecast(given)
        expected = {(r.detector, r.step): r.speed for r in table.itertuples()}
        assert forecasts(f"{name}.parquet") == pytest.approx(expected, rel=1e-5)
        with pytest.warns(UserWarning, match="no reading before what is forecast"):
            main(["test", f"--ckpt_path={checkpoint}", f"--data.series={name}.h5"])
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(["report", f"--ckpt_path={checkpoint}", "--data.series=late.h5", "-o", "late.html"])
    assert "'late.h5' has no reading before its test part" in capsys.readouterr().err


def test_errors_do_not_take_the_place_of_what_is_read(checkpoint, traffic_file, capsys):
    for path in (checkpoint, traffic_file):
        before = Path(path).read_bytes()
        words = ["test", f"--ckpt_path={checkpoint}", f"--errors.path={path}"]
        assert "is read, and would be replaced" in refused(capsys, words)
        assert Path(path).read_bytes() == before


@pytest.mark.slow
def test_a_training_in_double_precision_forecasts(traffic_file):
    checkpoint = fit(traffic_file, "--trainer.precision=64-true", model="stacked")
    words = [f"--ckpt_path={checkpoint}", "--trainer.precision=64-true", "--forecast.path=double"]
    main(["predict", *words, "--trainer.enable_progress_bar=false"])
    forecaster = socialgraph.load(checkpoint)
    table = forecaster.forecast(make_series())
    expected = {(r.detector, r.step): r.speed for r in table.itertuples()}
    assert forecasts("double.parquet") == pytest.approx(expected, rel=1e-4)
    assert forecaster.double().forecast(make_series()).speed.tolist() == pytest.approx(
        table.speed.tolist(), rel=1e-4
    )


@pytest.mark.slow
def test_the_distributed_model_runs_detector_by_detector_from_yaml(traffic_file):
    loop = f"{ENCODER}.vectorised=false"
    checkpoint = fit(traffic_file, loop, model="distributed")
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert sum(name.endswith(".project.weight") and "encoders" in name for name in weights) == 6


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["--data.windows.windw=3"], "window"),
        (["--trainer.max_epoch=3"], "max_epochs"),
        (["--model.network.init_args.bloc=null"], "block"),
        (["--model.network.init_args.block.init_args.pooling.init_args.radus=3"], "radius"),
        (["--config=data_slip.yaml"], "horizon"),
        (["--config=model_slip.yaml"], "learning_rate"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(traffic_file, capsys, words, known):
    Path("data_slip.yaml").write_text("data: {windows: {horizn: 3}}\n")
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
        ("--data.loading.batch_size=many", "int"),
        ("--data.scaling=none", "robust"),
        ("--trainer.max_epochs=soon", "max_epochs"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(traffic_file, capsys, word, said):
    with pytest.raises(SystemExit):
        main(["fit", *made(traffic_file, word)])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        pytest.param(  # as the learning rate
            "--model.weight_decay=-1",
            "'weight_decay' of 0 or more (got -1.0)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "--model.warmup_steps=-1",
            "'warmup_steps' of 0 or more (got -1)",
            marks=pytest.mark.slow,
        ),
        ("--model.learning_rate=-1", "'learning_rate' of 0 or more (got -1.0)"),
        (
            "--model.objective={class_path: Point, init_args: {huber_delta: 0}}",
            "'huber_delta' above 0 (got 0.0)",
        ),
        (
            "--data.windows.stride=1000000",
            "below the number of training windows, 201",
        ),
        ("--data.features=[speed,speed]", "'features', each once"),
        ("--data.targets=[]", "one name or more as 'targets'"),
    ],
)
def test_a_value_out_of_its_range_is_refused(traffic_file, capsys, word, said):
    assert said in refused(capsys, ["fit", *made(traffic_file, word)])
    assert not Path("checkpoints").exists()


def test_a_checkpoint_that_is_not_there_is_named(capsys):
    assert "No checkpoint 'none.ckpt'" in refused(capsys, ["test", "--ckpt_path=none.ckpt"])
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        main(["test", "--ckpt_path=none.ckpt", "--traceback"])


@pytest.mark.slow
def test_both_spellings_of_the_command_work():
    for words in (["-m", "socialgraph"], ["-c", "from socialgraph.cli import main; main()"]):
        run = subprocess.run(
            [sys.executable, *words, "plot", "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "usage: socialgraph plot" in run.stdout


@pytest.mark.slow
def test_a_training_goes_on_and_keeps_its_metrics(traffic_file):
    # Cases from outside: metrics-kept.
    logged = [word for word in SMALL if "logger" not in word]
    words = [
        *(word for word in made(traffic_file) if word not in SMALL),
        *logged,
        "--trainer.logger.init_args.version=a",
    ]
    main(["fit", *words, "--trainer.max_epochs=2"])
    folder = Path("runs/default/a")
    before = (folder / "metrics.csv").read_text()
    resumed = f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}"
    main(["fit", *words, "--trainer.max_epochs=4", resumed])
    metrics = pyarrow.csv.read_csv(folder / "metrics.csv").to_pylist()
    assert [row["epoch"] for row in metrics if row["val/mae"] is not None] == [0, 1, 2, 3]
    assert (folder / "metrics.csv").read_text().startswith(before)
    before = (folder / "metrics.csv").read_bytes()
    best = f"--ckpt_path={folder / 'checkpoints' / 'best.ckpt'}"
    for command in ("test", "validate"):
        main([command, f"--config={folder / 'config.yaml'}", best])
    assert (folder / "metrics.csv").read_bytes() == before


def test_a_checkpoint_may_have_an_equals_sign_in_its_name(checkpoint):
    checkpoint = checkpoint.rename("epoch=0-step=13.ckpt")
    quiet = "--trainer.enable_progress_bar=false"
    for words in (["--ckpt_path", str(checkpoint)], [f"--ckpt_path={checkpoint}"]):
        main(["test", *words, quiet])
    assert Path("epoch=0-step=13.test.json").is_file()


@pytest.mark.slow
def test_weights_alone_serve_test_and_predict(traffic_file):
    # Cases from outside: weights-only-checkpoint.
    fit(
        traffic_file,
        "--trainer.callbacks+=ModelCheckpoint",
        "--trainer.callbacks.save_weights_only=true",
        "--trainer.callbacks.filename=w",
    )
    quiet = "--trainer.enable_progress_bar=false"
    for name in ("best", "w"):
        main(["test", f"--ckpt_path=checkpoints/{name}.ckpt", quiet])
        main(["predict", f"--ckpt_path=checkpoints/{name}.ckpt", quiet])
    reports = [json.loads(Path(f"checkpoints/{n}.test.json").read_text()) for n in ("best", "w")]
    assert reports[0]["targets"] == reports[1]["targets"]
    assert forecasts("checkpoints/best.forecast.parquet") == forecasts(
        "checkpoints/w.forecast.parquet"
    )


@pytest.mark.slow
@pytest.mark.parametrize("split", ["[0.8,0.2,0]", "[1,0,0]"])
def test_a_network_for_use_trains_without_test_or_validation(traffic_file, split, capsys):
    checkpoint = fit(traffic_file, f"--data.split={split}")
    assert checkpoint.is_file()
    assert ("No validation part" in capsys.readouterr().out) == (split == "[1,0,0]")
    main(["predict", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])


@pytest.mark.slow
def test_other_data_are_learnt_from_the_weights_of_a_checkpoint(traffic_file, checkpoint, capsys):
    # Cases from outside: fine-tune.
    write("other.h5", make_series(seed=3).select(vdids=["VD-1", "VD-4"]))
    words = made("other.h5", "--trainer.max_epochs=2")
    resumed = f"--ckpt_path={checkpoint}"
    assert "set --model.init_from" in refused(capsys, ["fit", *words, resumed])
    same = ["fit", *made(traffic_file, "--trainer.max_epochs=1"), resumed]
    assert "Nothing is to be trained" in refused(capsys, same)
    main(["fit", *words, f"--model.init_from={checkpoint}", "--overwrite"])
    assert socialgraph.load("checkpoints/best.ckpt").spec.vdids == ["VD-1", "VD-4"]


HOSTILE = {  # entry of the checkpoint: what stands there, and what is said
    "a class": (("data", "graph", "class_path"), "this.Zen", "names the class 'this.Zen'"),
    "a text for a class": (("data", "graph"), "this.Zen", "Expected 'graph'"),
    "YAML for a class": (("data", "graph"), "{class_path: this.Zen}", "Expected 'graph'"),
    "a class in a list": (
        ("data", "graph", "init_args"),
        {"graphs": ["this.Zen"]},
        "no list of texts in 'graph'",
    ),
    "a split": (("data", "split"), "this.Zen", "Expected 'split'"),
    "another option": (("data", "path"), "x", "to hold ['attributes', 'batches_per_epoch'"),
    "a text for a network": (("data", "networks"), ["this.Zen"], "each of 'networks'"),
    "a class in a network": (
        ("data", "networks"),
        [{"series": "x", "graph": {"class_path": "this.Zen", "init_args": {}}}],
        "names the class 'this.Zen'",
    ),
    "a text for the graph of a network": (
        ("data", "networks"),
        [{"series": "x", "graph": "this.Zen"}],
        "Expected plain values in 'networks'",
    ),
    "no options": (("data",), ["this.Zen"], "Expected 'data'"),
    "an option of windows": (("data", "windows", "window"), {"class_path": "this.Zen"}, "plain"),
    "a network": (("network", "class_path"), "this.Zen", "names the class 'this.Zen'"),
    "no network": (("network",), "this.Zen", "Expected a class and its arguments as 'network'"),
    "a specification": (("spec", "scale"), [0.0, 1.0], "cannot be right"),
}


def test_a_checkpoint_makes_no_class_of_others(checkpoint, capsys):
    for name, (entry, value, words) in HOSTILE.items():
        held = place = torch.load("checkpoints/last.ckpt", weights_only=True)
        for part in entry[:-1]:
            place = place[part]
        place[entry[-1]] = value
        torch.save(held, checkpoint)
        assert words in refused(capsys, ["predict", f"--ckpt_path={checkpoint}", *SMALL]), name
        assert "this" not in sys.modules


@pytest.mark.slow
def test_classes_of_other_packages_are_made_if_they_are_trusted(traffic_file, capsys, monkeypatch):
    Path("mine.py").write_text(
        "import torch\n"
        "class Last(torch.nn.Module):\n"
        "    def __init__(self, steps: int):\n"
        "        super().__init__()\n"
        "        self.steps, self.weight = steps, torch.nn.Parameter(torch.ones(()))\n"
        "    def forward(self, features):\n"
        "        return self.weight * features[:, -1:, :, :1].expand(-1, self.steps, -1, -1)\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    words = [w for w in made(traffic_file, "--trainer.max_epochs=1") if "--model" not in w]
    network = '{"class_path": "mine.Last", "init_args": {"steps": 4}}'
    main(["fit", *words, f"--model.network={network}"])
    test = ["test", "--ckpt_path=checkpoints/best.ckpt"]
    assert "names the class 'mine.Last'" in refused(capsys, test)
    assert "--trust mine" in refused(capsys, test)
    main([*test, "--trust", "other,mine"])
    assert Path("checkpoints/best.test.json").is_file()


@pytest.mark.slow
def test_hyper_parameters_of_a_checkpoint_rule_nothing(traffic_file, checkpoint):
    held = torch.load(checkpoint, weights_only=True)
    held["hyper_parameters"] |= {
        "network": {"class_path": "this.Zen", "init_args": {}},
        "trust": ["this"],
        "init_from": "victim.ckpt",
        "loss": "mae",
    }
    torch.save(held, checkpoint)
    main(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    assert "this" not in sys.modules
    words = [
        f"--ckpt_path={checkpoint}",
        "--model.objective=Point",
        "--model.objective.loss=mse",
        "--model.learning_rate=0.5",
    ]
    fit(traffic_file, *words, "--trainer.max_epochs=2")
    kept = torch.load("checkpoints/best.ckpt", weights_only=True)
    assert kept["hyper_parameters"]["learning_rate"] == 0.5
    assert kept["objective"]["init_args"]["loss"] == "mse"


def test_a_network_without_pooling_and_graph_is_tested_from_its_checkpoint(traffic_file):
    checkpoint = fit(traffic_file, "--data.graph=null", model="alone")
    main(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])


def test_without_a_checkpoint_nothing_is_tested(traffic_file, capsys):
    for command in ("test", "predict", "validate"):
        said = refused(capsys, [command, *made(traffic_file)])
        assert f"'socialgraph {command}' needs --ckpt_path" in said


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_without_words_it_says_what_to_type(words, capsys):
    main(words)
    said = capsys.readouterr().out
    for command in ("init", "forecast", "fit", "validate", "test", "predict", "stream", "plot"):
        assert f"\n  {command} " in said
    assert "socialgraph fit --config configs/simulated.yaml" in said


def test_the_version_is_told(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"socialgraph {socialgraph.__version__}\n"


@pytest.mark.slow
def test_a_training_that_goes_on_tells_the_best_epoch_of_all(traffic_file, capsys):
    fit(traffic_file, "--model.learning_rate=0.01", "--trainer.max_epochs=2")
    first = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("best epoch"))
    # The epochs that follow hardly train, so that none is better by much; the file tells which is.
    resumed = ["--ckpt_path=checkpoints/last.ckpt", "--trainer.max_epochs=3"]
    fit(traffic_file, "--model.learning_rate=0.5", *resumed)
    second = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("best epoch"))
    kept = torch.load("checkpoints/best.ckpt", weights_only=True)["epoch"]
    assert second.split()[2] == str(kept)
    assert first.split()[2] in ("0", "1")


def test_an_unknown_command_is_named(capsys):
    assert "'train', but init, forecast, fit" in refused(capsys, ["train"])


def test_a_training_without_data_says_what_to_type(capsys):
    said = refused(capsys, ["fit"])
    assert "--data.series FILE.h5" in said
    assert "socialgraph fit --config configs/simulated.yaml" in said
    assert "usage" not in said


def test_help_loads_nothing_heavy():
    code = (
        "import contextlib, sys; from socialgraph.cli import main; main(['--help'])\n"
        "main(['--version'])\n"
        "assert 'numpy' not in sys.modules\n"
        "for command in ('init', 'stream', 'forecast', 'plot', 'report'):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([command, '--help'])\n"
        "assert not {'torch', 'pytorch_lightning', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_an_earlier_run_is_not_overwritten_unasked(traffic_file, capsys):
    words = [*made(traffic_file, "--trainer.max_epochs=1"), "--trainer.logger=true"]
    folder = Path("lightning_logs/version_0")
    main(["fit", *words])
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"best.ckpt", "last.ckpt"} <= {path.name for path in kept}
    again = [*words, f"--trainer.logger={LOGGER}"]
    said = refused(capsys, ["fit", *again])
    assert f"'{folder}' holds an earlier run" in said
    assert {path: path.read_bytes() for path in kept} == kept
    # Each way that the error names:
    main(["fit", *again, "--trainer.logger.init_args.version=b"])
    main(["fit", *again, f"--ckpt_path={folder}/checkpoints/last.ckpt", "--trainer.max_epochs=2"])
    main(["fit", *again, "--overwrite"])
    # The file of a run that was asked to overwrite does not ask for it again.
    assert "overwrite: false" in (folder / "config.yaml").read_text()
    elsewhere = "--ckpt_path=lightning_logs/b/checkpoints/last.ckpt"
    refused(capsys, ["fit", *again, elsewhere, "--trainer.max_epochs=2"])


def test_checkpoints_without_logs_are_not_overwritten_unasked(traffic_file, checkpoint, capsys):
    before = checkpoint.read_bytes()
    said = refused(capsys, ["fit", *made(traffic_file, "--seed_everything=1")])
    assert "checkpoints/" in said
    assert checkpoint.read_bytes() == before


@pytest.mark.slow
def test_a_training_tells_how_it_ended(traffic_file, capsys):
    fit(traffic_file, "--trainer.max_epochs=2", "--model.learning_rate=0.01")
    said, warned = capsys.readouterr()
    lines = said.splitlines()
    assert lines[0].startswith("SocialGraphNet with ")
    assert [line.split(":")[0] for line in lines if line.startswith("epoch ")] == [
        "epoch 0",
        "epoch 1",
    ]
    assert "stopped        all 2 epochs are trained" in lines
    assert "next           socialgraph test --ckpt_path checkpoints/best.ckpt" in lines
    for noise in ("Tip", "FLOPs", "\r", "TPU", "v_num"):
        assert noise not in said + warned
    # The same validation windows, by the commands for themselves:
    main(["validate", "--ckpt_path=checkpoints/best.ckpt"])
    validated = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("  mae "))
    own = next(line for line in lines if line.startswith("  validation mae"))
    assert own.split()[2:] == validated.split()[1:]
    rival = next(line for line in lines if line.startswith("  of the last value"))
    data = TrafficDataModule(
        str(traffic_file), ["speed", "flow"], windows=Windows(6, 4), loading=Loading(16)
    )
    data.setup()
    error = count = 0
    for batch in data.val_dataloader():
        filled = batch["features"].where(batch["mask"], float("nan"))[..., 0].transpose(1, 2)
        frame = pd.DataFrame(filled.flatten(0, 1).numpy()).T.ffill().iloc[-1]
        last = torch.from_numpy(frame.to_numpy()).view(filled.shape[:2])
        assert not last.isnan().any()
        mask = batch["target_mask"][..., 0]
        error += (batch["targets"][..., 0] - last[:, None]).abs()[mask].sum()
        count += mask.sum()
    assert rival.split()[-1] == f"{error / count:.2f}"


def test_a_table_that_is_no_series_is_named(capsys):
    Path("speed.csv").write_text("time,101\n2024-01-01,5\n" * 500)
    said = refused(capsys, ["fit", *made("speed.csv")])
    assert "'speed.csv' is not an HDF5 file" in said
    assert len(said) < 400


def test_old_names_of_options_are_known(traffic_file, capsys):
    with pytest.raises(SystemExit):
        main(["fit", *made(traffic_file, "--data.path=x.h5")])
    assert "'data.path' is called 'data.series' now" in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_that_began_from_a_checkpoint_goes_on_without_it(traffic_file, checkpoint):
    first = checkpoint.rename("first.ckpt")
    start = f"--model.init_from={first}"
    fit(traffic_file, start)
    first.unlink()
    resumed = ["--ckpt_path=checkpoints/last.ckpt", "--trainer.max_epochs=2"]
    fit(traffic_file, start, *resumed)


def test_a_checkpoint_on_the_command_line_goes_before_that_of_a_configuration(checkpoint):
    checkpoint = checkpoint.rename("mine.ckpt")
    Path("more.yaml").write_text("ckpt_path: null\n")
    quiet = "--trainer.enable_progress_bar=false"
    main(["test", "--ckpt_path", str(checkpoint), "--config=more.yaml", quiet])
    assert json.loads(Path("mine.test.json").read_text())["checkpoint"] == "mine.ckpt"


@pytest.mark.slow
def test_a_training_that_began_from_a_checkpoint_alone_goes_on(traffic_file, checkpoint):
    first = checkpoint.rename("first.ckpt")
    Path("plain.yaml").write_text("network: null\n")
    words = made(traffic_file, f"--model.init_from={first}")
    words = [w for w in words if not w.startswith(("--model=", "--model.network"))]
    words.insert(1, "--model.network=null")
    main(["fit", *words, "--trainer.max_epochs=1", "--overwrite"])
    main(["fit", *words, "--trainer.max_epochs=2", "--ckpt_path=checkpoints/last.ckpt"])
    assert torch.load("checkpoints/last.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", HELP)
def test_the_help_of_a_training_names_options_that_there_are(command, capsys):
    main([command, "-h"])
    said = capsys.readouterr().out
    named = {word.rstrip(",") for word in said.split() if word.startswith("--")}
    with pytest.raises(SystemExit) as end:
        main([command, "--help_all"])
    assert end.value.code == 0
    every = capsys.readouterr().out
    # Options of classes are listed with their classes.
    shown = {name for name in named if ".init_args." not in name and name != "--help_all"}
    assert {name for name in shown if name not in every} == set()


def test_the_end_of_a_name_may_be_a_format(checkpoint):
    words = ["--forecast.path=table.csv", "--trainer.enable_progress_bar=false"]
    main(["predict", f"--ckpt_path={checkpoint}", *words])
    assert Path("table.csv").is_file()
    assert not Path("table.csv.csv").exists()


ROADS = """
data:
  graph:
    class_path: socialgraph.graph.CombinedGraph
    init_args:
      graphs:
        - class_path: socialgraph.graph.RoadGraph
          init_args: {path: roads.csv, max_distance: 900.0}
        - class_path: socialgraph.graph.RadiusGraph
          init_args: {max_radius: 700.0}
model:
  network:
    init_args:
      block:
        class_path: socialgraph.nn.ContextBlock
        init_args:
          pooling:
            class_path: socialgraph.nn.SocialPooling
            init_args: {aggr: attention, radius: 600.0, pos_dim: 2, edge_dim: 2}
"""


@pytest.mark.slow
def test_roads_directions_and_types_of_edges_work_from_yaml(traffic_file):
    roads = [f"VD-{i},VD-{i + 1},{400 + i}" for i in range(5)]
    Path("roads.csv").write_text("from,to,metres\n" + "\n".join(roads))
    Path("roads.yaml").write_text(ROADS)
    checkpoint = fit(traffic_file, "--config=roads.yaml")
    loaded = socialgraph.load(checkpoint)
    assert loaded.network.poolings[0].max_radius == 900
    assert loaded.network.poolings[0].lin_edge.weight.abs().sum() > 0
    main(["predict", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    table = loaded.forecast(make_series())
    predicted = pyarrow.parquet.read_table(checkpoint.with_suffix(".forecast.parquet"))
    np.testing.assert_array_equal(table["speed"], predicted["speed"].to_numpy())


def test_starter_configurations_are_written_once_and_used(traffic_file, capsys):
    main(["init", "mine"])
    assert sorted(path.name for path in Path("mine/configs").iterdir()) == sorted(
        path.name for path in CONFIGS.iterdir()
    )
    assert "'mine/configs' exists" in refused(capsys, ["init", "mine"])
    words = made(traffic_file, "--trainer.fast_dev_run=1")
    main(["fit", "--config=mine/configs/simulated.yaml", *words[1:]])


@pytest.mark.slow
def test_several_processes_write_one_table_and_one_report(checkpoint):
    # Cases from outside: predict-two-processes.

    one = f"--ckpt_path={checkpoint}"
    two = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
    test = "--data.windows.predict_on=test"

    def run_both(command, option, suffix="", *words):
        main([command, one, f"{option}=one{suffix}", *words])
        subprocess.run(
            [
                sys.executable,
                "-m",
                "socialgraph",
                command,
                one,
                f"{option}=two{suffix}",
                *words,
                *two,
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            timeout=300,
        )

    run_both("predict", "--forecast.path")  # fewer windows than processes
    assert Path("one.csv").read_text() == Path("two.csv").read_text()
    run_both("predict", "--forecast.path", "", test)
    tables = [pyarrow.parquet.read_table(f"{name}.parquet") for name in ("one", "two")]
    keys = ["issued", "time", "step", "detector"]
    assert tables[0].select(keys).equals(tables[1].select(keys))
    np.testing.assert_allclose(tables[0]["speed"], tables[1]["speed"], rtol=1e-5)
    assert not list(Path().glob(".*.parquet")), "parts are left"
    run_both("test", "--errors.path", ".json")
    reports = [json.loads(Path(f"{name}.json").read_text()) for name in ("one", "two")]
    assert reports[0]["windows"] == reports[1]["windows"]
    assert reports[0]["targets"]["speed"]["mae"] == pytest.approx(
        reports[1]["targets"]["speed"]["mae"], rel=1e-5
    )


@pytest.mark.slow
def test_several_processes_train_and_write_the_files_of_one_run(traffic_file):
    two = ("--trainer.accelerator=cpu", "--trainer.devices=2", f"--trainer.logger={LOGGER}")
    words = made(traffic_file, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", *two)
    run = subprocess.run(
        [sys.executable, "-m", "socialgraph", "fit", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    folder = Path("lightning_logs/version_0")
    for name in ("config.yaml", "run.json", "metrics.csv", "checkpoints/best.ckpt"):
        assert (folder / name).is_file()
    assert run.stdout.count("\nnext ") == 1
    assert "sync_dist" not in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", ["alone", "distributed", "stacked_identity"])
def test_a_model_that_is_swapped_leaves_nothing_behind(model, capsys):
    def parsed(*models):
        files = [f"--model={CONFIGS / 'model' / f'{name}.yaml'}" for name in models]
        config = f"--config={CONFIGS / 'metr_la_week.yaml'}"
        with pytest.raises(SystemExit):
            main(["fit", config, *files, "--print_config"])
        return yaml.safe_load(capsys.readouterr().out)["model"]

    assert parsed(*MODELS, model) == parsed(model)
