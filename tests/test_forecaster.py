"""Training, checkpoints and resuming with a real Trainer."""

import os
import subprocess
import sys
from functools import partial

import h5py
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import Forecaster
from socialgraph.nn import (
    DistributedSocialGraphNet,
    SocialGraphNet,
    SocialPooling,
    XLSTMEncoder,
)
from socialgraph.schema import write
from tests.conftest import ROOT, make_series


class Persistence(nn.Module):
    """Repeats the last scaled reading; names only what it needs of the batch."""

    def __init__(self, horizon=3, num_targets=2):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(horizon, 1, num_targets))

    def forward(self, features):
        return features[:, -1:, :, : self.bias.size(-1)] + self.bias


def make_data(path, **options):
    options = {"features": ["speed", "flow"], "window": 6, "horizon": 3, "batch_size": 8, **options}
    return TrafficDataModule(str(path), **options)


def make_forecaster(pooling="mean", dropout=0.0, **options):
    encoder = partial(
        XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2, dropout=dropout
    )
    factory = partial(SocialPooling, aggr=pooling, radius=1000.0) if pooling else None
    network = SocialGraphNet(2, 3, encoder, factory, out_channels=1, node_channels=2, num_nodes=6)
    return Forecaster(network, warmup_steps=5, **options)


def make_trainer(folder, epochs=1, **options):
    options = {"logger": False, "enable_progress_bar": False, "callbacks": [], **options}
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


class Losses(pl.Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


def test_training_lowers_the_loss(traffic_file, tmp_path):
    losses = Losses()
    pl.seed_everything(0)
    make_trainer(tmp_path, 4, callbacks=[losses], enable_checkpointing=False).fit(
        make_forecaster(learning_rate=0.01), make_data(traffic_file, num_targets=1)
    )
    assert np.mean(losses.values[-10:]) < 0.8 * np.mean(losses.values[:5])


def test_errors_are_those_of_all_windows_in_real_units(traffic_file, tmp_path):
    data = make_data(traffic_file, batch_size=7)
    forecaster = Forecaster(Persistence())
    make_trainer(tmp_path).test(forecaster, data, verbose=False)
    values = make_series().values.astype(np.float64)
    mean = np.nanmean(values[:210], (0, 1))
    errors = [
        np.abs(np.where(np.isnan(values[s + 5]), mean, values[s + 5]) - values[s + 6 + step])
        for s in data.starts["test"]
        for step in [0]
    ]
    expected = np.nanmean(np.stack(errors), axis=(0, 1))
    np.testing.assert_allclose(forecaster.test_errors["mae"][0], expected, rtol=1e-4)


def test_several_targets_weigh_alike_whatever_their_units(traffic_file, tmp_path):
    forecaster = Forecaster(Persistence())
    data = make_data(traffic_file)
    trainer = make_trainer(tmp_path, limit_train_batches=1, enable_checkpointing=False)
    trainer.fit(forecaster, data)
    weight = forecaster._target_weight()
    scale = data.fit_scaler().scale
    torch.testing.assert_close(weight * scale, scale.mean().expand(2))


def test_a_batch_without_targets_trains_nothing(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][100:200] = np.nan
    data = make_data(traffic_file, num_targets=1)
    data.setup()
    forecaster = make_forecaster()
    forecaster.scaler, forecaster.data = data.fit_scaler(), data.describe()
    forecaster.log = lambda *args, **kwargs: None
    loss = forecaster.training_step(data.collator([120, 130]), 0)
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in forecaster.parameters())


def test_a_checkpoint_holds_all_that_a_forecast_needs(traffic_file, tmp_path):
    data = make_data(traffic_file, num_targets=1)
    forecaster = make_forecaster()
    trainer = make_trainer(tmp_path)
    trainer.fit(forecaster, data)
    path = tmp_path / "a.ckpt"
    trainer.save_checkpoint(path)
    checkpoint = torch.load(path, weights_only=True)
    held = checkpoint["data"]
    assert held["features"] == ["speed", "flow"]
    assert held["units"] == ["km/h", "veh/h"]
    assert held["interval_minutes"] == 5
    assert held["vdids"] == [f"VD-{i}" for i in range(6)]
    assert held["max_radius"] == 2000
    np.testing.assert_allclose(held["position_lat"], make_series().lat)
    again = Forecaster.load_from_checkpoint(
        path, network=make_forecaster().network, weights_only=True
    )
    torch.testing.assert_close(again.scaler.loc, data.fit_scaler().loc)
    batch = data.collator([3, 4])
    torch.testing.assert_close(again.eval()(batch), forecaster.eval()(batch))


def test_the_scaler_of_the_checkpoint_rules_on_another_file(traffic_file, tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.fit(make_forecaster(), make_data(traffic_file, num_targets=1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][:150] += 40
    forecaster = make_forecaster()
    moved = make_data(traffic_file, num_targets=1)
    make_trainer(tmp_path).test(
        forecaster, moved, ckpt_path=str(tmp_path / "a.ckpt"), verbose=False
    )
    expected = np.nanmean(make_series().values[:210, :, 0])
    assert forecaster.scaler.loc[0].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": ["flow", "speed"]}, "trained with features"),
        ({"horizon": 2}, "trained with horizon = 3"),
        ({"max_radius": 900.0}, r"max_radius = 2000.0 \(got 900.0\)"),
        ({"split": (0.1, 0.1, 0.8)}, "training windows would be tested"),
    ],
)
def test_a_checkpoint_refuses_data_that_differ(traffic_file, tmp_path, options, words):
    trainer = make_trainer(tmp_path)
    trainer.fit(make_forecaster(), make_data(traffic_file, num_targets=1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = make_data(traffic_file, num_targets=1, **options)
    with pytest.raises(ValueError, match=words):
        make_trainer(tmp_path).test(make_forecaster(), other, str(tmp_path / "a.ckpt"))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_stopped_training_goes_on_to_the_same_losses(traffic_file, tmp_path, dropout):
    def train(name, epochs, checkpoint=None, stop=None):
        losses = Losses()
        keep = ModelCheckpoint(tmp_path / name, filename="at", save_last=True)
        trainer = make_trainer(tmp_path, epochs, callbacks=[losses, keep], limit_train_batches=6)
        if stop:
            trainer.callbacks.append(StopAfter(stop))
        pl.seed_everything(1)
        data = make_data(traffic_file, num_targets=1)
        trainer.fit(make_forecaster(dropout=dropout), data, ckpt_path=checkpoint)
        return losses.values

    whole = train("whole", 4)
    first = train("part", 4, stop=2)
    rest = train("rest", 4, str(tmp_path / "part" / "last.ckpt"))
    assert first == whole[:12]
    np.testing.assert_allclose(rest, whole[12:], rtol=1e-6)


class StopAfter(pl.Callback):
    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def test_the_radius_and_the_biases_do_not_decay(traffic_file, tmp_path):
    forecaster = make_forecaster("attention")
    trainer = make_trainer(tmp_path, limit_train_batches=1, enable_checkpointing=False)
    trainer.fit(forecaster, make_data(traffic_file, num_targets=1))
    decayed, rest = trainer.optimizers[0].param_groups
    assert decayed["weight_decay"] > 0
    assert rest["weight_decay"] == 0
    assert any(p is forecaster.network.pooling.radius_logit for p in rest["params"])
    assert all(p.ndim > 1 for p in decayed["params"])


def make_distributed(vectorised):
    encoder = partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2)
    pooling = partial(SocialPooling, aggr="mean", radius=1000.0)
    vd_ids, options = make_series().vdids, {"out_channels": 1, "vectorised": vectorised}
    return Forecaster(DistributedSocialGraphNet(2, 3, vd_ids, encoder, pooling, **options))


@pytest.mark.parametrize("vectorised", [False, True])
def test_the_baseline_trains_on_the_same_batches_with_the_same_decay(
    traffic_file, tmp_path, vectorised
):
    forecaster = make_distributed(vectorised)
    trainer = make_trainer(tmp_path, limit_train_batches=2, enable_checkpointing=False)
    trainer.fit(forecaster, make_data(traffic_file, num_targets=1))
    decayed, _ = trainer.optimizers[0].param_groups
    network = make_distributed(False).network
    assert sum(p.numel() for p in decayed["params"]) == sum(
        p.numel() for p in network.parameters() if p.ndim > 1
    )


@pytest.mark.parametrize("change", ["none", "nan"])
def test_the_baseline_refuses_a_file_without_positions(traffic_file, tmp_path, change):
    with h5py.File(traffic_file, "r+") as file:
        if change == "none":
            del file["metadata/vd_info"]
        else:
            file["metadata/vd_info/VD-4"].attrs["position_lat"] = np.nan
    words = {"none": "'positions' is missing", "nan": "Missing positions for VD 'VD-4'"}[change]
    with pytest.raises(RuntimeError, match=words):
        make_trainer(tmp_path).fit(make_distributed(True), make_data(traffic_file, num_targets=1))


@pytest.mark.parametrize("change", ["none", "nan", "malformed"])
def test_the_first_batch_with_bad_positions_ends_the_training(traffic_file, tmp_path, change):
    with h5py.File(traffic_file, "r+") as file:
        if change == "none":
            del file["metadata/vd_info"]
        else:
            bad = {"nan": np.nan, "malformed": "north"}[change]
            file["metadata/vd_info/VD-4"].attrs["position_lat"] = bad
    words = "is missing" if change == "none" else "for 1 of 6 VDs: VD-4"
    trainer = make_trainer(tmp_path)
    with pytest.raises(RuntimeError, match=words) as error:
        trainer.fit(make_forecaster(), make_data(traffic_file, num_targets=1))
    assert trainer.global_step == 0
    assert "data_prep inspect" in str(error.value)
    assert "data_prep backfill" in str(error.value)
    make_trainer(tmp_path, limit_train_batches=1, enable_checkpointing=False).fit(
        make_forecaster(pooling=None), make_data(traffic_file, num_targets=1)
    )


def test_without_a_data_module_the_error_says_so(traffic_file, tmp_path):
    data = make_data(traffic_file, num_targets=1)
    data.setup()
    with pytest.raises(ValueError, match="Expected a data module"):
        make_trainer(tmp_path).fit(make_forecaster(), data.train_dataloader())


TWO_PROCESSES = """
import sys
import pytorch_lightning as pl
from tests.test_forecaster import Forecaster, Persistence, make_data, make_trainer

path, devices = sys.argv[1], int(sys.argv[2])
trainer = make_trainer(".", limit_train_batches=3, enable_checkpointing=False, devices=devices,
    strategy="ddp_fork" if devices > 1 else "auto")
data = make_data(path, split=(0.68, 0.117, 0.203), batch_size=7)
data.setup()
assert len(data.starts["val"]) % 2 == 1  # no window may be repeated to fill a process
trainer.fit(Forecaster(Persistence(), learning_rate=0.0), data)
print("MAE", float(trainer.callback_metrics["val/mae"]))
"""


def test_two_processes_share_the_windows_and_sum_their_errors(traffic_file):
    found = []
    for devices in ("1", "2"):  # in a fresh interpreter: a fork after OpenMP has run may hang
        run = subprocess.run(
            [sys.executable, "-c", TWO_PROCESSES, str(traffic_file), devices],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        lines = [line for line in run.stdout.splitlines() if line.startswith("MAE")]
        assert lines, run.stderr[-2000:]
        found.append(float(lines[0].split()[1]))
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_forecast_needs_no_training_part_in_the_new_file(traffic_file, tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.fit(make_forecaster(), make_data(traffic_file, num_targets=1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    series = make_series(steps=6, missing=0.0)
    series.values[:5] = np.nan
    write(tmp_path / "new.h5", series)
    data = make_data(tmp_path / "new.h5", num_targets=1)
    (out,) = make_trainer(tmp_path).predict(
        make_forecaster(), data, ckpt_path=str(tmp_path / "a.ckpt")
    )
    assert out["forecast"].isfinite().all()
    assert data.target_times(int(out["first_step"][0]))[0] == np.datetime64("2024-01-01T00:30")


def test_a_precision_that_rounds_readings_is_refused(traffic_file, tmp_path):
    with pytest.raises(ValueError, match="Use 'bf16-mixed'"):
        make_trainer(tmp_path, precision="bf16-true").fit(
            make_forecaster(), make_data(traffic_file, num_targets=1)
        )
