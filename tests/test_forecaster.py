"""Training, checkpoints and resuming with a real Trainer."""

import dataclasses
import itertools
import math
import re
import shutil
import zipfile
from functools import partial

import h5py
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from torch import nn

import socialgraph
from socialgraph.checkpoint_io import WholeCheckpoints
from socialgraph.data import Loading, TrafficDataModule, Windows
from socialgraph.finite import NotFiniteError
from socialgraph.forecaster import Forecaster
from socialgraph.graph import CombinedGraph, RadiusGraph, RoadGraph
from socialgraph.logger import MetricsLogger
from socialgraph.nn import DistributedEncoder, Ensemble, SocialPooling, XLSTMEncoder
from socialgraph.objective import Point
from socialgraph.reading import silence_part
from socialgraph.schema import write
from socialgraph.spec import SpecError
from tests.conftest import make_series, told_by_one_and_two
from tests.networks import plain_network


class Persistence(nn.Module):
    """Repeats the last scaled reading; names only what it needs of the batch."""

    def __init__(self, horizon=3, num_targets=2):
        super().__init__()
        self.horizon = horizon
        self.num_targets = num_targets
        self.bias = nn.Parameter(torch.zeros(horizon, 1, num_targets))

    def forward(self, features):
        return features[:, -1:, :, : self.bias.size(-1)] + self.bias


def make_data(series, batch_size=8, window=6, horizon=3, **options):
    given = series if hasattr(series, "values") else str(series)
    options = {"targets": ["speed"], **options}
    return TrafficDataModule(
        given, windows=Windows(window, horizon), loading=Loading(batch_size), **options
    )


def make_network(pooling="mean", dropout=0.0, node_channels=2, **sizes):
    encoder = partial(
        XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2, dropout=dropout
    )
    factory = partial(SocialPooling, aggr=pooling, radius=1000.0) if pooling else None
    return plain_network(encoder, factory, node_channels=node_channels, **sizes)


def make_forecaster(pooling="mean", dropout=0.0, node_channels=2, **options):
    network = make_network(pooling, dropout, node_channels)
    return Forecaster(network, **{"warmup_steps": 5, "silence": 0.0, **options})


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


def train(folder, data, forecaster=None, **options):
    """A forecaster after a short training, its Trainer, and its checkpoint."""
    forecaster = forecaster or make_forecaster()
    trainer = make_trainer(folder, **{"limit_train_batches": 3, **options})
    trainer.fit(forecaster, data)
    trainer.save_checkpoint(folder / "a.ckpt")
    return forecaster, trainer, folder / "a.ckpt"


class Losses(pl.Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


class StopBefore(pl.Callback):
    """Ends a training as a kill does: before a step, without any end of it."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise KilledError


class KilledError(Exception):
    pass


def test_training_lowers_the_loss(traffic_file, tmp_path):
    losses = Losses()
    pl.seed_everything(0)
    make_trainer(tmp_path, 4, callbacks=[losses], enable_checkpointing=False).fit(
        make_forecaster(learning_rate=0.01), make_data(traffic_file)
    )
    assert np.mean(losses.values[-10:]) < 0.8 * np.mean(losses.values[:5])


def test_errors_are_those_of_all_windows_in_real_units(traffic_file, tmp_path):
    data = make_data(traffic_file, batch_size=7, targets=None)
    forecaster = Forecaster(Persistence())
    make_trainer(tmp_path).test(forecaster, data, verbose=False)
    values = make_series().values.astype(np.float64)
    mean = np.nanmean(values[:210], (0, 1))
    errors = [
        np.abs(np.where(np.isnan(values[s + 5]), mean, values[s + 5]) - values[s + 6])
        for s in data.starts["test"]
    ]
    expected = np.nanmean(np.stack(errors), axis=(0, 1))
    np.testing.assert_allclose(forecaster.test_errors["mae"][0], expected, rtol=1e-4)


def test_several_targets_weigh_alike_whatever_their_units(traffic_file, tmp_path):
    data = make_data(traffic_file, targets=None)
    forecaster, *_ = train(tmp_path, data, Forecaster(Persistence()))
    scale = torch.tensor(data.fitted_spec().scale)
    torch.testing.assert_close(forecaster._target_weight() * scale, scale.mean().expand(2))


def test_a_batch_without_targets_trains_nothing(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][100:200, :, 0] = np.nan
    forecaster, data = make_forecaster(), make_data(traffic_file)
    data.setup()
    forecaster._adopt(data.fitted_spec())
    forecaster.follow(data.spec)
    forecaster.log = lambda *args, **kwargs: None
    loss = forecaster.training_step(data.collator([120, 130]), 0)
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in forecaster.parameters())


def test_the_sizes_of_a_network_come_from_the_data(traffic_file, tmp_path):
    graph = RadiusGraph(1500.0)
    lazy, *_ = train(tmp_path, make_data(traffic_file, graph=graph))
    assert (lazy.network.in_channels, lazy.network.out_channels, lazy.network.horizon) == (2, 1, 3)
    assert lazy.network.poolings[0].max_radius == 1500
    factory = Forecaster(partial(make_network, "mean"))
    train(tmp_path, make_data(traffic_file, graph=graph), factory)
    sized = make_forecaster().network
    sized.build(2, 1, 6, 3, make_series().vdids, 1500.0)
    shapes = [p.shape for p in sized.parameters()]
    for forecaster in (lazy, factory):
        assert [p.shape for p in forecaster.network.parameters()] == shapes


@pytest.mark.parametrize("sizes", [(2, 1, 1), (2, 2, 3), (1, 1, 3)])
def test_a_network_of_other_sizes_is_refused(traffic_file, tmp_path, sizes):
    names = ("in_channels", "out_channels", "horizon")
    network = make_network(node_channels=0, **dict(zip(names, sizes, strict=True)))
    with pytest.raises(ValueError, match=r"made for .*'horizon': \d"):
        train(tmp_path, make_data(traffic_file), Forecaster(network))


def test_a_foreign_network_of_another_horizon_is_refused(traffic_file, tmp_path):
    with pytest.raises(ValueError, match="Give the network the horizon"):
        train(tmp_path, make_data(traffic_file), Forecaster(Persistence(1, 1)))


def step_gradient(series, batch_size, **options):
    """Gradient of the first step of a training, in the order of the parameters."""
    kept = []

    class Keep(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            kept.append(None)  # the module's own hook comes after the callbacks'

        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            if len(kept) == 1 and kept[0] is None:
                kept[0] = [p.grad.clone() for p in pl_module.parameters()]

    pl.seed_everything(3)
    trainer = make_trainer(
        ".", max_steps=2, callbacks=[Keep()], enable_checkpointing=False, **options
    )
    forecaster = make_forecaster(node_channels=0)
    trainer.fit(forecaster, make_data(series, batch_size, split=(1.0, 0.0, 0.0)))
    return kept[0]


def test_the_loss_of_a_step_is_the_mean_however_many_batches_it_has():
    series = make_series(missing=0.0)
    series.values[::2, :, 0] = np.where(
        np.random.default_rng(0).random((150, 6)) < 0.8, np.nan, series.values[::2, :, 0]
    )
    whole = step_gradient(series, 8)
    parts = step_gradient(series, 2, accumulate_grad_batches=4)
    for ours, theirs in zip(whole, parts, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert any(grad.abs().max() > 0.01 for grad in whole)


def test_the_gradient_is_that_of_the_mean_loss(traffic_file, tmp_path):
    data = make_data(traffic_file, batch_size=8, split=(1.0, 0.0, 0.0))
    found = step_gradient(traffic_file, 8)
    pl.seed_everything(3)
    forecaster = make_forecaster(node_channels=0)
    data.setup()
    forecaster._adopt(data.fitted_spec())
    forecaster.follow(data.spec)
    batch = next(iter(data.train_dataloader()))
    error = (forecaster(batch) - batch["targets"]).abs()[batch["target_mask"]].mean()
    expected = torch.autograd.grad(error, list(forecaster.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_rate_rises_to_its_peak_and_falls_as_a_cosine(traffic_file, tmp_path):
    rates = []

    class Rates(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    forecaster = Forecaster(Persistence(3, 1), learning_rate=0.5, warmup_steps=4)
    trainer = make_trainer(tmp_path, 2, callbacks=[Rates()], limit_train_batches=10)
    trainer.fit(forecaster, make_data(traffic_file))
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert rates[12] == pytest.approx(0.5 * (0.01 + 0.99 / 2))  # half of the way down
    assert rates[19] == pytest.approx(0.5 * (0.01 + 0.495 * (1 + math.cos(math.pi * 15 / 16))))
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))


def test_the_loss_is_the_one_that_is_named(traffic_file, tmp_path):
    def first_loss(**options):
        losses = Losses()
        forecaster = Forecaster(Persistence(3, 1), objective=Point(**options), silence=0.0)
        trainer = make_trainer(tmp_path, callbacks=[losses], limit_train_batches=1)
        trainer.fit(forecaster, make_data(traffic_file))
        return losses.values[0]

    huge = {name: first_loss(loss=name, huber_delta=1e6) for name in ("mae", "mse", "huber")}
    assert huge["huber"] == pytest.approx(huge["mse"] / 2, rel=1e-5)
    assert huge["mae"] < huge["mse"]
    assert first_loss(loss="huber", huber_delta=0.01) == pytest.approx(0.01 * huge["mae"], rel=0.01)


def test_a_checkpoint_holds_all_that_a_forecast_needs(traffic_file, tmp_path):
    data = make_data(traffic_file)
    forecaster, _, path = train(tmp_path, data)
    checkpoint = torch.load(path, weights_only=True)
    held = checkpoint["spec"]
    assert held["features"] == ["speed", "flow"]
    assert held["targets"] == ["speed"]
    assert held["units"] == ["km/h", "veh/h"]
    assert held["interval_minutes"] == 5
    assert held["timezone"] == "Asia/Taipei"
    assert held["vdids"] == [f"VD-{i}" for i in range(6)]
    assert held["graph"]["init_args"]["max_radius"] == 2000
    np.testing.assert_allclose(held["lat"], make_series().lat)
    again = socialgraph.load(path)
    torch.testing.assert_close(again.scaler.loc, torch.tensor(data.fitted_spec().loc))
    batch = data.collator([3, 4])
    torch.testing.assert_close(again(batch), forecaster.eval()(batch))
    lightning = Forecaster.load_from_checkpoint(path, weights_only=True).eval()
    torch.testing.assert_close(lightning(batch), again(batch))


def test_a_forecaster_that_is_fitted_again_is_for_the_new_data(tmp_path):
    first = make_series()
    second = dataclasses.replace(
        make_series(seed=1),
        vdids=[f"N-{i}" for i in range(6)],
        units=["mph", "veh/h"],
        lat=first.lat + 1,
    )
    second.values[..., 0] += 100
    forecaster = make_forecaster(node_channels=0)
    train(tmp_path, make_data(first), forecaster)
    _, _, path = train(tmp_path, make_data(second), forecaster)
    loaded = socialgraph.load(path)
    assert loaded.spec.vdids == second.vdids
    assert loaded.spec.units == ["mph", "veh/h"]
    np.testing.assert_array_equal(loaded.spec.lat, second.lat)
    mean = np.nanmean(second.values[:210, :, 0])
    assert loaded.scaler.loc[0].item() == pytest.approx(mean, rel=1e-4)
    known = make_forecaster()
    train(tmp_path, make_data(first), known)
    with pytest.raises(SpecError, match="knows 6 detectors by weights of its own"):
        train(tmp_path, make_data(second), known)


def test_the_scaler_of_the_checkpoint_rules_on_another_file(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file))
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][:150] += 40
    forecaster = make_forecaster()
    make_trainer(tmp_path).test(
        forecaster, make_data(traffic_file), ckpt_path=str(path), verbose=False
    )
    expected = np.nanmean(make_series().values[:210, :, 0])
    assert forecaster.scaler.loc[0].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": ["speed"]}, r"features = \['speed', 'flow'\].*features = \['speed'\]"),
        ({"targets": ["flow"]}, r"targets = \['speed'\].*Give data\.targets"),
        ({"horizon": 2}, r"trained with horizon = 3.*Give data\.windows\.horizon"),
        ({"graph": RadiusGraph(900.0)}, r"max_radius': 2000.0.*max_radius': 900.0"),
        ({"split": (0.1, 0.1, 0.8)}, "training windows would be tested"),
    ],
)
def test_data_that_differ_are_refused_with_and_without_a_checkpoint(
    traffic_file, tmp_path, options, words
):
    forecaster, _, path = train(tmp_path, make_data(traffic_file))
    for tested, checkpoint in ((Forecaster(), str(path)), (forecaster, None)):
        with pytest.raises(SpecError, match=words):
            make_trainer(tmp_path).test(tested, make_data(traffic_file, **options), checkpoint)


def test_units_and_interval_of_the_file_must_match(tmp_path):
    forecaster, *_ = train(tmp_path, make_data(make_series()))
    mph = dataclasses.replace(make_series(), units=["mph", "veh/h"])
    with pytest.raises(SpecError, match="units"):
        make_trainer(tmp_path).test(forecaster, make_data(mph))
    slow = make_series()
    slow = dataclasses.replace(
        slow,
        timestamps=slow.timestamps[0] + 2 * (slow.timestamps - slow.timestamps[0]),
        interval_minutes=10,
    )
    with pytest.raises(SpecError, match=r"interval_minutes = 5\.0"):
        make_trainer(tmp_path).test(forecaster, make_data(slow))


@pytest.mark.parametrize("way", ["copy", "link", "subset", "series"])
def test_training_windows_are_known_by_time_and_detector_whatever_the_path(
    traffic_file, tmp_path, way
):
    _, _, path = train(tmp_path, make_data(traffic_file), make_forecaster(node_channels=0))
    other = tmp_path / "other.h5"
    if way == "copy":
        shutil.copy(traffic_file, other)
    elif way == "link":
        other.symlink_to(traffic_file)
    elif way == "subset":
        write(other, make_series().select(vdids=["VD-3", "VD-2"]))
    data = make_data(make_series() if way == "series" else other, split=(0.2, 0.1, 0.7))
    with pytest.raises(SpecError, match="training windows would be tested"):
        make_trainer(tmp_path).test(Forecaster(), data, str(path))


@pytest.mark.parametrize("change", ["later", "elsewhere", "others"])
def test_windows_that_were_not_trained_on_may_be_tested(tmp_path, change):
    _, _, path = train(tmp_path, make_data(make_series()), make_forecaster(node_channels=0))
    series = make_series()
    new = {
        "later": {"timestamps": series.timestamps + np.timedelta64(30, "D")},
        "elsewhere": {"lat": series.lat + 3},
        "others": {"vdids": [f"N-{i}" for i in range(6)]},
    }[change]
    data = make_data(dataclasses.replace(series, **new), split=(0.2, 0.1, 0.7))
    trainer = make_trainer(tmp_path)
    trainer.test(Forecaster(), data, str(path), verbose=False)
    assert math.isfinite(trainer.callback_metrics["test/mae"])


@pytest.mark.parametrize(
    ("stop", "interval", "dropout"),
    [pytest.param(26, 1.0, 0.0, marks=pytest.mark.slow), (26, 1.0, 0.3), (20, 0.3, 0.3)],
)
def test_a_stopped_training_goes_on_to_the_same_losses(
    traffic_file, tmp_path, stop, interval, dropout
):
    # Cases from outside: resume-mid-epoch.
    def run(name, checkpoint=None, *callbacks):
        losses = Losses()
        keep = ModelCheckpoint(tmp_path / name, filename="at", save_last=True)
        trainer = make_trainer(
            tmp_path, 3, callbacks=[losses, keep, *callbacks], val_check_interval=interval
        )
        pl.seed_everything(1)
        forecaster = make_forecaster(dropout=dropout)
        try:
            trainer.fit(forecaster, make_data(traffic_file, batch_size=16), ckpt_path=checkpoint)
        except KilledError:
            return losses.values, trainer
        return losses.values, forecaster.state_dict()

    whole, weights = run("whole")
    first, _ = run("part", None, StopBefore(stop))
    rest, resumed = run("rest", str(tmp_path / "part" / "last.ckpt"))
    assert first == whole[:stop]
    assert 0 < len(rest) < len(whole)
    assert rest == whole[-len(rest) :]
    for name, weight in weights.items():
        if isinstance(weight, torch.Tensor):
            assert torch.equal(weight, resumed[name])


class StopAfter(pl.Callback):
    """Ends a training after a batch of an epoch, as Lightning's Timer does for ``max_time``."""

    def __init__(self, epoch, batch):
        self.place = epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = (trainer.current_epoch, batch_idx) == self.place


@pytest.mark.slow
@pytest.mark.parametrize(("epoch", "interval"), [(0, 1.0), (1, 0.3)])
def test_a_training_that_is_stopped_in_an_epoch_goes_on_within_it(
    traffic_file, tmp_path, epoch, interval
):
    def run(name, checkpoint=None, *callbacks):
        losses = Losses()
        keep = ModelCheckpoint(tmp_path / name, monitor="val/mae", filename="at", save_last=True)
        logger = MetricsLogger(tmp_path / "logs", name)
        trainer = make_trainer(
            tmp_path,
            2,
            callbacks=[losses, keep, *callbacks],
            logger=logger,
            val_check_interval=interval,
            log_every_n_steps=1,
        )
        pl.seed_everything(1)
        forecaster = make_forecaster()
        trainer.fit(forecaster, make_data(traffic_file), ckpt_path=checkpoint)
        return losses.values, [w.detach().clone() for w in forecaster.parameters()], trainer

    whole, weights, _ = run("whole")
    first, _, stopped = run("part", None, StopAfter(epoch, 4))
    rest, resumed, trainer = run("rest", str(tmp_path / "part" / "last.ckpt"))
    assert stopped.global_step == len(first) < trainer.global_step == len(whole)
    assert [*first, *rest] == whole
    assert trainer.current_epoch == 2
    for ours, theirs in zip(weights, resumed, strict=True):
        assert torch.equal(ours, theirs)


def test_a_prolonged_training_says_what_becomes_of_the_rate(traffic_file, tmp_path):
    # Cases from outside: fine-tune.
    _, _, path = train(tmp_path, make_data(traffic_file), limit_train_batches=None)
    with pytest.warns(UserWarning, match=r"rate goes on at 0.001\d* instead of 2e-05"):
        make_trainer(tmp_path, 2).fit(make_forecaster(), make_data(traffic_file), ckpt_path=path)


def test_a_finished_training_says_that_nothing_is_to_be_trained(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file))
    with pytest.raises(ValueError, match=r"Nothing is to be trained.*max_epochs = 1.*init_from"):
        make_trainer(tmp_path).fit(make_forecaster(), make_data(traffic_file), ckpt_path=path)


def test_going_on_with_other_data_or_another_network_names_the_way(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file), make_forecaster(node_channels=0))
    fewer = make_data(make_series().select(vdids=["VD-1", "VD-2"]))
    with pytest.raises(SpecError, match=r"goes on with the same training.*init_from"):
        make_trainer(tmp_path, 2).fit(make_forecaster(node_channels=0), fewer, ckpt_path=path)
    with pytest.raises(ValueError, match=r"another network: network.init_args.block"):
        make_trainer(tmp_path, 2).fit(
            make_forecaster("max", node_channels=0), make_data(traffic_file), ckpt_path=path
        )


@pytest.mark.parametrize("given", [True, False])
def test_a_warm_start_keeps_weights_and_takes_the_new_data(tmp_path, given):
    old, _, path = train(tmp_path, make_data(make_series()))
    series = make_series(seed=2)
    series = dataclasses.replace(series, vdids=["VD-4", "new", "VD-0", "VD-1", "VD-2", "VD-3"])
    series.values[:] += 50
    start = Forecaster(make_network() if given else None, init_from=str(path), learning_rate=0.0)
    forecaster, _, again = train(tmp_path, make_data(series), start)
    vectors, before = (f.network.embedding.weight for f in (forecaster, old))
    torch.testing.assert_close(vectors[[0, 2, 3, 4, 5]], before[[4, 0, 1, 2, 3]])
    torch.testing.assert_close(vectors[1], before.mean(dim=0))
    torch.testing.assert_close(forecaster.network.head.state_dict(), old.network.head.state_dict())
    assert forecaster.spec.vdids == series.vdids
    assert forecaster.spec.loc[0] > old.spec.loc[0] + 40
    assert socialgraph.load(again).spec.vdids == series.vdids


@pytest.mark.parametrize("given", [True, False])
def test_members_of_an_ensemble_are_warmed_up_by_detector(tmp_path, given):
    def make_ensemble():
        return Ensemble(make_network, 2)

    old, _, path = train(tmp_path, make_data(make_series()), Forecaster(make_ensemble()))
    fewer = make_series(seed=2).select(vdids=["VD-4", "VD-1"])
    start = Forecaster(make_ensemble() if given else None, init_from=str(path), learning_rate=0.0)
    forecaster, _, again = train(tmp_path, make_data(fewer), start)
    for member, before in zip(forecaster.network.members, old.network.members, strict=True):
        torch.testing.assert_close(member.embedding.weight, before.embedding.weight[[4, 1]])
        torch.testing.assert_close(member.head.state_dict(), before.head.state_dict())
    pd.testing.assert_frame_equal(
        socialgraph.load(again).forecast(fewer), forecaster.eval().forecast(fewer)
    )


def test_a_state_is_not_carried_by_an_ensemble(tmp_path):
    data = make_data(make_series())
    data.windows = dataclasses.replace(data.windows, carry_state=True)
    with pytest.raises(ValueError, match=r"carries a state.*Ensemble.*carry_state' out"):
        train(tmp_path, data, Forecaster(Ensemble(make_network, 2)))


def test_a_warm_start_of_another_shape_names_the_file(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file))
    start = Forecaster(make_network(), init_from=str(path))
    with pytest.raises(SpecError, match=r"a.ckpt' was trained with .*'horizon': 3.*'horizon': 2"):
        train(tmp_path, make_data(traffic_file, horizon=2), start)
    wider = partial(XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=(), heads=2)
    other = Forecaster(plain_network(wider), init_from=str(path))
    with pytest.raises(ValueError, match=r"a.ckpt' do not fit the network"):
        train(tmp_path, make_data(traffic_file), other)


def test_a_warm_start_from_other_features_is_told(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file))
    start = Forecaster(make_network(), init_from=str(path))
    with pytest.warns(
        UserWarning, match=r"trained with .*\['speed', 'flow'\].*\['flow', 'speed'\]"
    ):
        train(tmp_path, make_data(traffic_file, targets=["flow"]), start)


def test_what_was_trained_on_before_a_warm_start_is_not_tested_on(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file, split=(0.9, 0.1, 0.0)))
    later = make_data(traffic_file, split=(0.1, 0.1, 0.8))
    forecaster, *_ = train(tmp_path, later, Forecaster(init_from=str(path)))
    with pytest.raises(SpecError, match="training windows would be tested"):
        make_trainer(tmp_path).test(forecaster, later)


def test_validation_windows_are_no_test_windows(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file, split=(0.8, 0.2, 0.0)))
    data = make_data(traffic_file, split=(0.7, 0.1, 0.2))
    with pytest.raises(SpecError, match="time of training and validation"):
        make_trainer(tmp_path).test(Forecaster(), data, str(path))


def test_a_training_does_not_go_on_from_weights_alone(traffic_file, tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="w", save_weights_only=True)
    train(tmp_path, make_data(traffic_file), callbacks=[keep])
    with pytest.raises(ValueError, match=r"holds weights alone.*--model.init_from"):
        make_trainer(tmp_path, 2).fit(
            make_forecaster(), make_data(traffic_file), ckpt_path=str(tmp_path / "w.ckpt")
        )


def test_a_loaded_forecaster_trains_with_dropout_again(traffic_file, tmp_path):
    modes = []

    class Modes(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            modes.append(all(module.training for module in pl_module.network.modules()))

    _, _, path = train(tmp_path, make_data(traffic_file), make_forecaster(dropout=0.5))
    train(tmp_path, make_data(traffic_file), socialgraph.load(path), callbacks=[Modes()])
    assert modes == [True] * 3


def test_numbers_of_numpy_make_a_checkpoint_that_can_be_read(traffic_file, tmp_path):
    options = {
        "learning_rate": np.float64(0.01),
        "weight_decay": np.float32(0.1),
        "warmup_steps": np.int64(3),
        "objective": Point(np.str_("mse"), np.float32(2)),
    }
    _, _, path = train(tmp_path, make_data(traffic_file), make_forecaster(**options))
    objective = socialgraph.load(path).objective
    assert (objective.kind, objective.huber_delta) == ("mse", 2.0)


def test_a_test_of_a_checkpoint_in_mid_epoch_leaves_the_next_training_whole(traffic_file, tmp_path):
    keep = ModelCheckpoint(tmp_path / "mid", filename="at", save_last=True)
    data = make_data(traffic_file)
    trainer = make_trainer(tmp_path, callbacks=[keep, StopBefore(12)], val_check_interval=0.3)
    with pytest.raises(KilledError):
        trainer.fit(make_forecaster(), data)
    losses = Losses()
    make_trainer(tmp_path).test(
        Forecaster(), data, ckpt_path=str(tmp_path / "mid" / "last.ckpt"), verbose=False
    )
    make_trainer(tmp_path, callbacks=[losses]).fit(make_forecaster(), data)
    assert len(losses.values) == len(data.train_dataloader())


@pytest.mark.parametrize(
    "options",
    [
        {"limit_train_batches": 4},
        {"accumulate_grad_batches": 2, "val_check_interval": 3},
    ],
)
def test_a_training_resumes_exactly_where_epochs_are_cut_or_steps_have_several_batches(
    traffic_file, tmp_path, options
):
    def run(name, checkpoint=None, *callbacks):
        losses = Losses()
        keep = ModelCheckpoint(tmp_path / name, filename="{step}", save_top_k=-1)
        trainer = make_trainer(tmp_path, 2, callbacks=[losses, keep, *callbacks], **options)
        pl.seed_everything(1)
        forecaster = make_forecaster()
        trainer.fit(forecaster, make_data(traffic_file, batch_size=16), ckpt_path=checkpoint)
        return losses.values, [w.detach().clone() for w in forecaster.parameters()]

    whole, weights = run("whole")
    first = sorted((tmp_path / "whole").iterdir(), key=lambda path: path.stat().st_mtime)[0]
    rest, resumed = run("rest", str(first))
    assert 0 < len(rest) < len(whole)
    assert rest == whole[-len(rest) :]
    for ours, theirs in zip(weights, resumed, strict=True):
        assert torch.equal(ours, theirs)


def test_going_on_in_mid_epoch_with_other_batches_is_refused(traffic_file, tmp_path):
    keep = ModelCheckpoint(tmp_path / "mid", filename="at", save_last=True)
    trainer = make_trainer(tmp_path, callbacks=[keep, StopBefore(12)], val_check_interval=0.3)
    with pytest.raises(KilledError):
        trainer.fit(make_forecaster(), make_data(traffic_file))
    with pytest.raises(ValueError, match=r"middle of an epoch with {'batch_size': 8"):
        make_trainer(tmp_path, val_check_interval=0.3).fit(
            make_forecaster(),
            make_data(traffic_file, batch_size=4),
            ckpt_path=str(tmp_path / "mid" / "last.ckpt"),
        )
    other_order = make_data(traffic_file)
    other_order.loading = Loading(8, seed=5)
    with pytest.raises(ValueError, match=r"'seed': 0.*'seed': 5"):
        make_trainer(tmp_path, val_check_interval=0.3).fit(
            make_forecaster(), other_order, ckpt_path=str(tmp_path / "mid" / "last.ckpt")
        )


def test_a_graph_of_ones_own_is_used_and_found_again_if_trusted(tmp_path):
    forecaster, _, path = train(tmp_path, make_data(make_series(), graph=ChainGraph(1900.0)))
    table = forecaster.forecast(make_series())
    with pytest.raises(ValueError, match=r"tests\.test_forecaster\.ChainGraph"):
        socialgraph.load(path).forecast(make_series())
    assert socialgraph.load(path, trust="tests").forecast(make_series()).equals(table)


class ChainGraph(RadiusGraph):
    """A builder that is not of this package."""


def road_table(path, names):
    lines = [f"{a},{b},{400 + i}" for i, (a, b) in enumerate(itertools.pairwise(names))]
    path.write_text("from,to,metres\n" + "\n".join(lines))
    return RoadGraph(str(path))


def test_a_test_on_other_roads_leaves_the_roads_of_the_training(tmp_path):
    series = make_series()
    other = dataclasses.replace(series, vdids=[f"N-{i}" for i in range(6)])
    ours, theirs = (road_table(tmp_path / f"{s.vdids[0]}.csv", s.vdids) for s in (series, other))
    network = make_forecaster(node_channels=0)
    forecaster, *_ = train(tmp_path, make_data(series, graph=ours), network)
    before = forecaster.forecast(series)
    make_trainer(tmp_path).test(forecaster, make_data(other, graph=theirs), verbose=False)
    assert forecaster.forecast(series).equals(before)
    with pytest.raises(SpecError, match="trained with graph"):
        make_trainer(tmp_path).test(forecaster, make_data(series, graph=RadiusGraph(500.0)))
    assert forecaster.forecast(series).equals(before)


def test_a_training_goes_on_with_its_roads_in_another_place(tmp_path):
    series = make_series()
    _, _, path = train(
        tmp_path, make_data(series, graph=road_table(tmp_path / "a.csv", series.vdids))
    )
    moved = road_table(tmp_path / "b.csv", series.vdids)
    (tmp_path / "a.csv").unlink()
    trainer = make_trainer(tmp_path, 2, limit_train_batches=3)
    trainer.fit(Forecaster(), make_data(series, graph=moved), ckpt_path=str(path))
    trainer.save_checkpoint(tmp_path / "c.ckpt")
    assert len(socialgraph.load(tmp_path / "c.ckpt").forecast(series)) == 6 * 3


def test_a_network_that_was_tested_untrained_can_be_trained(traffic_file, tmp_path):
    forecaster = make_forecaster()
    with pytest.warns(UserWarning, match="untrained"):
        make_trainer(tmp_path).test(forecaster, make_data(traffic_file), verbose=False)
    train(tmp_path, make_data(traffic_file), forecaster)
    assert forecaster.spec.train_end is not None


def test_a_half_written_row_of_metrics_stops_no_training(traffic_file, tmp_path):
    logger = partial(MetricsLogger, tmp_path, "a", 0)
    keep = ModelCheckpoint(tmp_path, filename="k", save_last=True)
    make_trainer(tmp_path, logger=logger(), callbacks=[keep]).fit(
        make_forecaster(), make_data(traffic_file)
    )
    path = tmp_path / "a" / "version_0" / "metrics.csv"
    path.write_text(path.read_text()[:-8])
    make_trainer(tmp_path, 2, logger=logger()).fit(
        make_forecaster(), make_data(traffic_file), ckpt_path=str(tmp_path / "last.ckpt")
    )
    assert len(path.read_text().splitlines()) > 3


def test_an_untrained_network_is_told(traffic_file, tmp_path):
    with pytest.warns(UserWarning, match="untrained: its weights are random"):
        make_trainer(tmp_path).test(make_forecaster(), make_data(traffic_file), verbose=False)


def test_types_of_edges_that_nobody_looks_at_are_told(tmp_path):
    graph = CombinedGraph([RadiusGraph(400.0), RadiusGraph(1500.0)])
    with pytest.warns(UserWarning, match=r"2 types of edges.*edge_dim = 2"):
        train(tmp_path, make_data(make_series(), graph=graph), make_forecaster())


def test_metrics_of_a_training_stay_whoever_logs_beside_it(traffic_file, tmp_path):
    def logged(**options):
        return make_trainer(tmp_path, logger=MetricsLogger(tmp_path, "a", 0), **options)

    def rows():
        return (tmp_path / "a" / "version_0" / "metrics.csv").read_text().splitlines()

    forecaster = make_forecaster()
    logged(log_every_n_steps=2).fit(forecaster, make_data(traffic_file))
    before = rows()
    logged().test(forecaster, make_data(traffic_file), verbose=False)
    assert len(rows()) == len(before) + 1
    logged(log_every_n_steps=10).fit(make_forecaster(), make_data(traffic_file))
    steps = [int(line.split(",")[rows()[0].split(",").index("step")]) for line in rows()[1:]]
    assert steps == [9, 19, 25, 25]  # nothing of the run before


def test_a_checkpoint_of_weights_alone_is_enough(traffic_file, tmp_path):
    # Cases from outside: weights-only-checkpoint.
    keep = ModelCheckpoint(tmp_path, filename="w", save_weights_only=True)
    forecaster, *_ = train(tmp_path, make_data(traffic_file), callbacks=[keep])
    batch = next(iter(make_ready(traffic_file).val_dataloader()))
    loaded = socialgraph.load(tmp_path / "w.ckpt")
    assert torch.equal(loaded(batch), forecaster.eval()(batch))
    make_trainer(tmp_path).test(
        Forecaster(), make_data(traffic_file), str(tmp_path / "w.ckpt"), verbose=False
    )


def make_ready(series):
    data = make_data(series)
    data.trainer = None
    data.setup()
    return data


def test_averaged_weights_are_what_a_checkpoint_of_them_forecasts_with(traffic_file, tmp_path):
    averaging = WeightAveraging(avg_fn=lambda averaged, current, count: 0.9 * averaged)
    _, _, path = train(tmp_path, make_data(traffic_file), callbacks=[averaging])
    saved = torch.load(path, weights_only=True)["state_dict"]
    loaded = socialgraph.load(path)
    for name, weight in loaded.network.named_parameters():
        assert torch.equal(weight, saved[f"network.{name}"])
    table = loaded.forecast(make_series())
    assert np.isfinite(table["speed"]).all()


def test_a_checkpoint_that_is_none_of_ours_says_what_it_lacks(traffic_file, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "b.ckpt")
    with pytest.raises(ValueError, match=r"b.ckpt' has no \['spec', 'network'\]"):
        socialgraph.load(tmp_path / "b.ckpt")
    (tmp_path / "c.ckpt").write_text("none")
    with pytest.raises(ValueError, match="is no checkpoint"):
        socialgraph.load(tmp_path / "c.ckpt")
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        socialgraph.load(tmp_path / "none.ckpt")


class Opaque(Persistence):
    """A network whose arguments are not kept."""

    def __init__(self, secret):
        super().__init__(3, 1)


def test_a_network_that_cannot_be_written_down_is_told_and_can_be_given(traffic_file, tmp_path):
    with pytest.warns(UserWarning, match="arguments of Opaque cannot be written"):
        _, _, path = train(tmp_path, make_data(traffic_file), Forecaster(Opaque(object())))
    with pytest.raises(ValueError, match="Give the network"):
        socialgraph.load(path)
    again = Forecaster.load_from_checkpoint(path, network=Opaque(None), weights_only=True)
    assert again.spec.targets == ["speed"]


def test_a_network_of_another_package_is_made_if_that_is_trusted(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file), Forecaster(Persistence(3, 1)))
    with pytest.raises(ValueError, match=r"class 'tests.test_forecaster.Persistence'.*trust"):
        socialgraph.load(path)
    loaded = socialgraph.load(path, trust=["tests"])
    assert isinstance(loaded.network, Persistence)


def test_a_forecast_is_that_of_the_last_window(tmp_path):
    forecaster, *_ = train(tmp_path, make_data(make_series()))
    series = make_series(seed=5)
    table = forecaster.forecast(series)
    keys = ["issued", "time", "step", "detector"]
    assert list(table) == [*keys, "speed", "speed_p05", "speed_p95"]
    assert len(table) == 6 * 3
    assert table["issued"].unique().tolist() == [series.to_frame().index[-1]]
    data = make_data(series, targets=["speed"])
    data.setup()
    (batch,) = data.predict_dataloader()
    with torch.no_grad():
        expected = forecaster.eval()(batch)[0, :, :, 0]  # [P, N]
    np.testing.assert_array_equal(table["speed"], expected.T.flatten())
    assert table["detector"].tolist() == np.repeat(series.vdids, 3).tolist()
    ahead = (table["time"] - table["issued"]).dt.total_seconds() / 300
    assert ahead.tolist() == table["step"].tolist()
    assert forecaster.forecast(series).equals(table)


def test_a_forecast_goes_by_ids_whatever_their_order(tmp_path):
    forecaster, *_ = train(tmp_path, make_data(make_series()), make_forecaster(None))
    series = make_series(seed=5)
    whole = forecaster.forecast(series).set_index(["detector", "step"])["speed"]
    some = forecaster.forecast(series.select(vdids=["VD-4", "VD-1"]))
    some = some.set_index(["detector", "step"])["speed"]
    assert set(some.index.get_level_values(0)) == {"VD-4", "VD-1"}
    np.testing.assert_allclose(some, whole[some.index], rtol=1e-5)
    strange = dataclasses.replace(series, vdids=[*series.vdids[:5], "new"])
    known = forecaster.forecast(strange).set_index(["detector", "step"])["speed"]
    for vdid in series.vdids[:5]:
        np.testing.assert_allclose(known[vdid], whole[vdid], rtol=1e-5)
    with torch.no_grad():
        forecaster.network.embedding.stranger += 1
    moved = forecaster.forecast(strange).set_index(["detector", "step"])["speed"]
    assert (moved["new"] != known["new"]).all()
    np.testing.assert_allclose(moved["VD-0"], known["VD-0"], rtol=1e-5)
    baseline, *_ = train(tmp_path, make_data(make_series()), make_distributed(True))
    with pytest.raises(SpecError, match=r"1 of 6 detectors were not in training.*'new'"):
        baseline.forecast(strange)


def test_a_forecast_in_the_middle_of_a_training_changes_nothing(tmp_path):
    class Forecast(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            assert len(pl_module.forecast(make_series().select(vdids=["VD-3", "VD-1"]))) == 2 * 3

    def weights(*callbacks):
        pl.seed_everything(0)
        forecaster, *_ = train(
            tmp_path, make_data(make_series()), make_forecaster(None), callbacks=list(callbacks)
        )
        return [weight.clone() for weight in forecaster.parameters()]

    for ours, theirs in zip(weights(), weights(Forecast()), strict=True):
        assert torch.equal(ours, theirs)


def test_a_forecaster_without_training_does_not_forecast():
    with pytest.raises(ValueError, match="Expected a trained forecaster"):
        make_forecaster().forecast(make_series())


def test_the_radius_and_the_biases_do_not_decay(traffic_file, tmp_path):
    forecaster, trainer, _ = train(tmp_path, make_data(traffic_file), make_forecaster("attention"))
    decayed, rest = trainer.optimizers[0].param_groups
    assert decayed["weight_decay"] > 0
    assert rest["weight_decay"] == 0
    assert any(p is forecaster.network.poolings[0].radius_logit for p in rest["params"])
    assert all(p.ndim > 1 for p in decayed["params"])


def make_distributed(vectorised):
    encoder = partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2)
    pooling = partial(SocialPooling, aggr="mean", radius=1000.0)
    encoders = partial(DistributedEncoder, encoder=encoder, vectorised=vectorised)
    return Forecaster(plain_network(encoders, pooling))


@pytest.mark.parametrize("vectorised", [False, True])
def test_the_baseline_trains_on_the_same_batches_with_the_same_decay(
    traffic_file, tmp_path, vectorised
):
    forecaster, trainer, path = train(
        tmp_path, make_data(traffic_file), make_distributed(vectorised)
    )
    decayed, _ = trainer.optimizers[0].param_groups
    network = make_distributed(False).network
    network.build(2, 1, 6, 3, make_series().vdids, 2000.0)
    assert sum(p.numel() for p in decayed["params"]) == sum(
        p.numel()
        for name, p in network.named_parameters()
        if p.ndim > 1 and name != "last_weight"  # an anchor
    )
    table = socialgraph.load(path).forecast(make_series())
    assert table.equals(forecaster.forecast(make_series()))


@pytest.mark.parametrize("change", ["none", "nan"])
def test_the_baseline_refuses_a_file_without_positions(traffic_file, tmp_path, change):
    with h5py.File(traffic_file, "r+") as file:
        if change == "none":
            del file["metadata/vd_info"]
        else:
            file["metadata/vd_info/VD-4"].attrs["position_lat"] = np.nan
    words = {"none": "'positions' is missing", "nan": "Missing positions for VD 'VD-4'"}[change]
    with pytest.raises(RuntimeError, match=words):
        make_trainer(tmp_path).fit(make_distributed(True), make_data(traffic_file))


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
        trainer.fit(make_forecaster(), make_data(traffic_file))
    assert trainer.global_step == 0
    assert "data_prep inspect" in str(error.value)
    assert "data_prep backfill" in str(error.value)
    train(tmp_path, make_data(traffic_file), make_forecaster(pooling=None), limit_train_batches=1)


def test_an_empty_graph_is_refused_with_its_radius_and_one_detector_is_not(tmp_path):
    graph = RadiusGraph(100.0)
    network = partial(SocialPooling, radius=50.0)
    with pytest.raises(RuntimeError, match="none of the 6 detectors has a neighbour within 100 m"):
        train(tmp_path, make_data(make_series(), graph=graph), pool_with(network))
    alone = make_series().select(vdids=["VD-0"])
    forecaster, *_ = train(tmp_path, make_data(alone, graph=graph), pool_with(network))
    assert np.isfinite(forecaster.forecast(alone)["speed"]).all()
    train(tmp_path, make_data(make_series(), graph=graph), make_forecaster(pooling=None))


def pool_with(pooling):
    encoder = partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2)
    return Forecaster(plain_network(encoder, pooling))


def test_attention_hears_the_direction_if_it_is_asked_to(tmp_path):
    pooling = partial(SocialPooling, aggr="attention", radius=800.0, pos_dim=2)
    forecaster, *_ = train(tmp_path, make_data(make_series()), pool_with(pooling))
    weight = forecaster.network.poolings[0].lin_pos.weight
    before = forecaster.forecast(make_series())["speed"]
    with torch.no_grad():
        weight.mul_(-50)
    assert not np.allclose(before, forecaster.forecast(make_series())["speed"])


def test_without_a_data_module_the_error_says_so(traffic_file, tmp_path):
    data = make_ready(traffic_file)
    with pytest.raises(ValueError, match="Expected a data module"):
        make_trainer(tmp_path).fit(make_forecaster(), data.train_dataloader())


def test_without_a_network_the_error_says_so(traffic_file, tmp_path):
    for run in ("fit", "test"):
        with pytest.raises(ValueError, match="Expected a network"):
            getattr(make_trainer(tmp_path), run)(Forecaster(), datamodule=make_data(traffic_file))


def test_a_precision_that_rounds_readings_is_refused(traffic_file, tmp_path):
    with pytest.raises(ValueError, match="Use 'bf16-mixed'"):
        make_trainer(tmp_path, precision="bf16-true").fit(
            make_forecaster(), make_data(traffic_file)
        )


def test_a_forecast_needs_no_training_part_in_the_new_file(traffic_file, tmp_path):
    _, _, path = train(tmp_path, make_data(traffic_file))
    series = make_series(steps=6, missing=0.0)
    series.values[:5] = np.nan
    (out,) = make_trainer(tmp_path).predict(Forecaster(), make_data(series), ckpt_path=str(path))
    assert out["forecast"].isfinite().all()
    issued = np.datetime64(int(out["issued"][0]), "s")
    assert issued == series.timestamps[-1]


TWO_PROCESSES = """
import sys
import numpy as np
import pytorch_lightning as pl
import torch
from tests.conftest import make_series
from tests.test_forecaster import *

devices = int(sys.argv[1])
series = make_series(missing=0.3)
series.values[::3, :4, 0] = np.nan
data = make_data(series, batch_size=8 // devices, split=(208 / 300, 33 / 300, 59 / 300))
data.setup()
assert len(data.starts["train"]) % 8 == 0
assert len(data.starts["val"]) % 2 == 1  # no window may be repeated to fill a process
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
    np.testing.assert_allclose(alone, both, rtol=1e-4)


def test_a_training_takes_input_away_and_a_test_does_not(traffic_file, tmp_path):
    forecaster, _, path = train(tmp_path, make_data(traffic_file), make_forecaster(silence=0.6))
    mask = torch.ones(400, 6, 20, 2, dtype=torch.bool)
    batch = {"mask": mask, "features": torch.ones(400, 6, 20, 2), "targets": mask}
    silenced = silence_part(batch, forecaster.silence)
    heard = silenced["mask"]
    assert torch.equal(silenced["features"], heard.float())
    assert silenced["targets"] is mask
    assert torch.equal(heard[..., 0], heard[..., 1])
    detectors = heard.any(dim=3).any(dim=1).float().mean(dim=1)  # of each window
    assert 0.65 < detectors.mean() < 0.75  # 0.3 are silent in the mean
    assert detectors.min() < 0.5
    assert detectors.max() == 1
    assert 0.45 < heard.float().mean() < 0.53  # 0.7 of 0.7
    whole = forecaster.forecast(make_series())
    assert whole.equals(forecaster.forecast(make_series()))
    assert socialgraph.load(path).silence == 0.6
    assert silence_part(batch, 0.0) is batch
    assert silence_part(batch, Forecaster().silence)["mask"].sum() < mask.sum()
    for silence in (-0.1, 1.1):
        with pytest.raises(ValueError, match="'silence' as a share"):
            make_forecaster(silence=silence)


@pytest.mark.parametrize("where", ["train", "val"])
def test_what_is_not_finite_ends_the_training_and_keeps_no_checkpoint(tmp_path, where):
    class Broken(nn.Module):
        """Forecasts NaN in one of the two modes."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, features):
            last = self.weight * features[:, -1:, :, :1].expand(-1, 4, -1, -1)
            return last.log() - 9e9 if self.training == (where == "train") else last

    trainer = pl.Trainer(
        max_epochs=1, logger=False, default_root_dir=tmp_path, enable_progress_bar=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    data = TrafficDataModule(make_series(), targets=["speed"], windows=Windows(6, 4))
    with pytest.raises(NotFiniteError, match=r"forecast is not finite, in windows that end") as end:
        trainer.fit(Forecaster(Broken()), data)
    largest = float(re.search(r"largest scaled reading there is ([\d.]+)", str(end.value))[1])
    values = make_series().values
    scaled = (values - np.nanmean(values, (0, 1))) / np.nanstd(values, (0, 1))
    assert 1 < largest < 1.3 * np.nanmax(np.abs(scaled))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class LastStep(pl.Callback):
        """Breaks a weight after the last validation."""

        def on_train_epoch_end(self, trainer, pl_module):
            with torch.no_grad():
                next(pl_module.parameters()).fill_(float("inf"))

    trainer = pl.Trainer(
        max_epochs=1, logger=False, default_root_dir=tmp_path, enable_progress_bar=False,
        callbacks=[LastStep()],
    )  # fmt: skip
    data = TrafficDataModule(make_series(), targets=["speed"], windows=Windows(6, 4))
    with pytest.raises(NotFiniteError, match="no checkpoint is kept"):
        trainer.fit(
            Forecaster(
                plain_network(partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=[]))
            ),
            data,
        )
    assert not list(tmp_path.rglob("*.ckpt"))


def test_checkpoints_go_through_the_atomic_writer_in_python_too(tmp_path, monkeypatch):
    """Also if the folder of temporary files is elsewhere, and damage is found on loading."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    data = TrafficDataModule(make_series(), targets=["speed"], windows=Windows(6, 4))
    trainer = pl.Trainer(
        max_epochs=1, logger=False, default_root_dir=tmp_path, enable_progress_bar=False
    )
    trainer.fit(
        Forecaster(
            plain_network(partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=[]))
        ),
        data,
    )
    (path,) = tmp_path.rglob("*.ckpt")
    assert isinstance(trainer.strategy.checkpoint_io, WholeCheckpoints)
    whole = path.read_bytes()
    assert b"archive/data.pkl" in whole  # and not the name of the temporary file
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    place = largest.header_offset + largest.file_size // 2 + 64
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for read in (socialgraph.load, lambda p: trainer.test(datamodule=data, ckpt_path=str(p))):
        with pytest.raises(ValueError, match="or is damaged"):
            read(path)
