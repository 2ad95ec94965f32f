"""Several networks in one training, and the network of the package as its start, as typed."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import socialgraph
from data_prep.__main__ import main as prepare
from socialgraph.cli import main
from socialgraph.schema import read, write
from tests.conftest import ROOT, make_series, told_by_one_and_two

CONFIG = ROOT / "configs" / "networks.yaml"
QUICK = ["--trainer.logger=false", "--trainer.max_epochs=1", "--data.batches_per_epoch=6"]
BEST = Path("checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def roads(tmp_path_factory):
    """The two files that the configuration names."""
    folder = tmp_path_factory.mktemp("roads")
    (folder / "data").mkdir()
    freeways, town = (str(folder / "data" / f"{name}.h5") for name in ("freeways", "town"))
    prepare(["simulate", freeways, "--detectors=8", "--days=3", "--interval=10", "--seed=1"])
    one = ["--freeways=1", "--interval=30", "--seed=2"]
    prepare(["simulate", town, "--detectors=5", "--days=5", *one])
    return folder


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch, roads):
    (tmp_path / "data").symlink_to(roads / "data")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(roads):
    """The folder of a training on both."""
    with contextlib.chdir(roads):
        fit()
    return roads / "checkpoints"


def fit(*words):
    main(["fit", f"--config={CONFIG}", *QUICK, "--overwrite", *words])
    return torch.load(BEST, weights_only=True)


@pytest.mark.slow
def test_two_networks_are_trained_on_tested_and_another_is_forecast(capsys):
    checkpoint = fit()
    said = capsys.readouterr().out
    assert "simulated speed: 8 detectors every 10 minutes, 33% of the batches" in said
    assert "simulated flow: 5 detectors every 30 minutes" in said
    assert f"socialgraph forecast READINGS --checkpoint {BEST}" in said
    assert checkpoint["spec"]["units"] == ["deviations"]
    main(["test", f"--ckpt_path={BEST}"])
    report = json.loads(BEST.with_suffix(".test.json").read_text())
    freeways, town = (432 - round(0.8 * 432) - 23, 240 - round(0.8 * 240) - 23)
    assert report["windows"] == 2 * freeways + town
    assert 0 < report["targets"]["reading"]["mae_all"] < 5
    series = make_series(steps=700)
    write("other.h5", series)
    main(["forecast", "other.h5", f"--checkpoint={BEST}"])
    found = pd.read_parquet("forecast.parquet")
    expected = socialgraph.load_pretrained(BEST).forecast(series)
    np.testing.assert_allclose(found["flow"], expected["flow"], rtol=1e-5)
    assert found["flow"].mean() > 5 * found["speed"].mean()  # in the units of the series


# The slow ones are those of the data module, which tests/data/test_networks.py asks for itself.
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.series=data/town.h5"], "'data.series' or 'data.networks'"),
        (["--data.features=[speed]"], "no ['features'] beside 'data.networks'"),
        (["--data.networks=[data/absent.h5]"], "data/absent.h5"),
        pytest.param(["--data.networks=[]"], "one network or more", marks=pytest.mark.slow),
        pytest.param(
            ["--data.networks=[{series: data/town.h5, weight: -1}]"],
            "'weight' above 0",
            marks=pytest.mark.slow,
        ),
        (["--data.networks=[{series: data/town.h5, wait: 1}]"], "wait"),
        pytest.param(["--data.scale_by=row"], "scale_by", marks=pytest.mark.slow),
        (["--data.windows.window=400"], "has no window"),
    ],
)
def test_a_slip_is_told(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", f"--config={CONFIG}", *QUICK, *words])
    assert end.value.code == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_several_networks_are_not_forecast_at_once_and_one_series_serves_no_other(trained, capsys):
    shutil.copytree(trained, "checkpoints")
    with pytest.raises(SystemExit):
        main(["predict", f"--ckpt_path={BEST}"])
    assert "socialgraph forecast READINGS" in capsys.readouterr().err
    one = ["--data.networks=null", "--data.series=data/town.h5", "--data.features=[flow]"]
    main(["fit", f"--config={CONFIG}", *QUICK[:2], *one, "--overwrite"])
    with pytest.raises(SystemExit):
        main(["forecast", "data/town.h5", f"--checkpoint={BEST}"])
    assert "was trained on one series, in its units (flow)" in capsys.readouterr().err


@pytest.mark.slow
def test_windows_of_any_of_the_networks_are_not_tested_as_if_they_were_new(trained, capsys):
    record = socialgraph.load(trained / BEST.name).spec
    town = read("data/town.h5")
    seen = [p for p in record.earlier if p["vdids"] == town.vdids]
    (period,) = seen
    assert period["train_end"] < town.timestamps[-1]
    assert period["train_start"] == town.timestamps[12]
    other = read("data/freeways.h5").select(["speed"])
    write("other.h5", replace(other, vdids=[f"other {v}" for v in other.vdids], vd_info={}))
    networks = "[{series: other.h5, features: [speed]}, {series: data/town.h5, features: [flow]}]"
    words = [f"--ckpt_path={trained / BEST.name}", "--data.split=[0.3, 0.1, 0.6]"]
    with pytest.raises(SystemExit) as end:
        main(["test", *words, f"--data.networks={networks}"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "lie in the time of training and validation" in said


TWO_PROCESSES = """
import sys
import pytorch_lightning as pl
from socialgraph.data import Loading, Network, NetworksDataModule, Windows
from tests.conftest import make_series
from tests.test_forecaster import make_forecaster, make_trainer

devices = int(sys.argv[1])
networks = [make_series(300, 6, 0.3), make_series(260, 4, 0.1, seed=1)]
networks = [Network(n, ["speed"], weight=w) for n, w in zip(networks, (1.0, 2.0))]
data = NetworksDataModule(networks, windows=Windows(6, 4), loading=Loading(8 // devices),
                          batches_per_epoch=30)
data.setup()
assert any(len(m.starts["val"]) % 2 for m in data.members)
class Tell(pl.Callback):
    def on_fit_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            weights = [p.detach().abs().sum().item() for p in pl_module.parameters()]
            print("FOUND", float(trainer.callback_metrics["val/mae"]), *weights, flush=True)

pl.seed_everything(1)
trainer = make_trainer(".", 2, enable_checkpointing=False, devices=devices, callbacks=[Tell()],
    strategy="ddp_fork" if devices > 1 else "auto")
trainer.fit(make_forecaster("attention", node_channels=0), data)
"""


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one(capsys, monkeypatch):
    alone, both = told_by_one_and_two(TWO_PROCESSES, capsys, monkeypatch)
    np.testing.assert_allclose(alone, both, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["--trainer.max_epochs=1", "--trainer.max_steps=9"])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(stop):
    """At the end of an epoch of six batches, and in the middle of the second."""
    rising = ["--model.warmup_steps=1000"]  # a rate that does not depend on the end
    rising += ["--trainer.val_check_interval=3"]  # checkpoints in the middle too
    fit("--trainer.max_epochs=2", *rising)
    last = Path("checkpoints/last.ckpt")
    whole = torch.load(last, weights_only=True)
    fit("--trainer.max_epochs=2", *rising, stop)
    assert torch.load(last, weights_only=True)["global_step"] == (6 if "epochs" in stop else 9)
    words = [*QUICK, "--trainer.max_epochs=2", *rising, f"--ckpt_path={last}", "--overwrite"]
    main(["fit", f"--config={CONFIG}", *words])
    again = torch.load(last, weights_only=True)
    assert again["global_step"] == whole["global_step"] == 12
    for name, weight in whole["state_dict"].items():
        torch.testing.assert_close(again["state_dict"][name], weight, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_training_on_a_part_of_its_batches_goes_on_to_the_same_weights():
    """After an epoch of four batches of six, the next one begins with its first batch."""
    words = ["--trainer.limit_train_batches=4", "--model.warmup_steps=1000"]
    words += ["--trainer.limit_val_batches=1"]
    fit("--trainer.max_epochs=2", *words)
    last = Path("checkpoints/last.ckpt")
    whole = torch.load(last, weights_only=True)
    fit(*words)
    fit("--trainer.max_epochs=2", *words, f"--ckpt_path={last}")
    again = torch.load(last, weights_only=True)
    assert again["global_step"] == whole["global_step"] == 8
    for name, weight in whole["state_dict"].items():
        torch.testing.assert_close(again["state_dict"][name], weight, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "head"])
@pytest.mark.parametrize("several", [True, False])
def test_the_network_of_the_package_is_trained_on(trainable, several):
    model = f"--model={ROOT / 'configs' / 'model' / 'pretrained.yaml'}"
    one = ["--data.networks=null", "--data.series=data/town.h5", "--data.features=[flow]"]
    words = QUICK if several else [*QUICK[:2], *one]
    words = [*words, model, f"--model.trainable={trainable}", "--overwrite"]
    main(["fit", f"--config={CONFIG}", *words])
    tuned = torch.load(BEST, weights_only=True)["state_dict"]
    shipped = dict(socialgraph.load_pretrained().network.named_parameters())
    changed = {n for n, w in shipped.items() if not torch.equal(tuned[f"network.{n}"], w)}
    assert {"head.lin.weight", "last_weight", "profile_weight"} & changed
    body = {n for n in changed if n.startswith(("encoder.", "from_", "blocks."))}
    matrices = {n for n in body if shipped[n].ndim > 1}
    assert bool(matrices) == (trainable == "all")
