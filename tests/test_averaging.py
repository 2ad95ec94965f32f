"""Averaged weights, with a real Trainer."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

import socialgraph
from socialgraph.averaging import PowerAverage
from socialgraph.forecaster import Forecaster
from tests.conftest import make_series
from tests.test_forecaster import make_data, make_forecaster, make_trainer


class Record(pl.Callback):
    """Keeps the weights after each step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append({n: w.detach().clone() for n, w in pl_module.named_parameters()})


def fit(folder, *callbacks, epochs=1, ckpt_path=None, forecaster=None, **options):
    torch.manual_seed(0)
    forecaster = forecaster or make_forecaster()
    trainer = make_trainer(folder, epochs, callbacks=list(callbacks), **options)
    trainer.fit(forecaster, make_data(make_series()), ckpt_path=ckpt_path)
    return forecaster, trainer


@pytest.mark.parametrize("gamma", [0.0, 1.0, 7.0])
def test_a_step_counts_by_a_power_of_its_place(tmp_path, gamma):
    record = Record()
    forecaster, _ = fit(tmp_path, record, PowerAverage(gamma), limit_train_batches=6)
    # The share of step t of T, from the recurrence: (t^(gamma + 1) - (t - 1)^(gamma + 1)) / T^...
    share = np.diff(np.arange(7.0) ** (gamma + 1)) / 6.0 ** (gamma + 1)
    for name, weight in forecaster.named_parameters():
        expected = sum(s * step[name] for s, step in zip(share, record.steps, strict=True))
        torch.testing.assert_close(weight, expected.float(), msg=name)


def test_a_checkpoint_holds_the_average_and_forecasts_with_it(tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="best", monitor="val/mae")
    alone = ModelCheckpoint(tmp_path, filename="alone", save_weights_only=True)
    forecaster, trainer = fit(tmp_path, PowerAverage(), keep, alone, limit_train_batches=6)
    weights = torch.load(tmp_path / "alone.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(weights[n], w) for n, w in forecaster.named_parameters())
    loaded = socialgraph.load(tmp_path / "best.ckpt")
    for (name, weight), held in zip(
        forecaster.named_parameters(), loaded.parameters(), strict=True
    ):
        torch.testing.assert_close(weight, held, msg=name)
    assert trainer.validate(loaded, make_data(make_series()), verbose=False)[0][
        "val/mae"
    ] == pytest.approx(keep.best_model_score.item(), rel=1e-5)


@pytest.mark.parametrize("given", [True, False])
def test_a_training_goes_on_with_the_average_to_the_bit(tmp_path, given):
    def keep(name):
        return ModelCheckpoint(tmp_path / name, filename="{epoch}", save_top_k=-1)

    fit(tmp_path, PowerAverage(), keep("whole"), epochs=3, limit_train_batches=4)
    # The network comes from the checkpoint.
    again = None if given else Forecaster(warmup_steps=5, silence=0.0)
    fit(
        tmp_path,
        PowerAverage(),
        keep("rest"),
        epochs=3,
        limit_train_batches=4,
        ckpt_path=tmp_path / "whole" / "epoch=1.ckpt",
        forecaster=again,
    )
    whole, rest = (
        torch.load(tmp_path / name / "epoch=2.ckpt", weights_only=True)
        for name in ("whole", "rest")
    )
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert whole[part].keys() == rest[part].keys()
        tensors = {n: w for n, w in whole[part].items() if isinstance(w, torch.Tensor)}
        assert tensors
        for name, weight in tensors.items():
            assert torch.equal(weight, rest[part][name]), (part, name)
    assert any(
        not torch.equal(weight, whole["current_model_state"][name])
        for name, weight in whole["state_dict"].items()
        if isinstance(weight, torch.Tensor)
    )


def test_another_silence_than_before_is_told(tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="a")
    fit(tmp_path, PowerAverage(), keep, epochs=1, limit_train_batches=2)
    options = {"epochs": 2, "limit_train_batches": 2, "ckpt_path": tmp_path / "a.ckpt"}
    with pytest.warns(UserWarning, match=r"silence = 0 and goes on with 0.1.*--model.silence 0"):
        fit(tmp_path, PowerAverage(), forecaster=Forecaster(warmup_steps=5), **options)


def test_a_checkpoint_is_tested_with_its_average_by_any_trainer(tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="a")
    _, trainer = fit(tmp_path, PowerAverage(), keep, limit_train_batches=6)
    path, data = str(tmp_path / "a.ckpt"), make_data(make_series())
    expected = make_trainer(tmp_path).test(socialgraph.load(path), data, verbose=False)
    for other in (trainer, make_trainer(tmp_path, callbacks=[PowerAverage()])):
        forecaster = make_forecaster()
        assert other.test(forecaster, data, ckpt_path=path, verbose=False) == expected
    scores = []
    for each in (make_trainer(tmp_path), trainer):
        torch.manual_seed(1)
        scores.append(each.validate(make_forecaster(), data, verbose=False))
    assert scores[0] == scores[1]


def test_a_second_training_has_an_average_of_its_own(tmp_path):
    averaging = PowerAverage(0.0)
    forecaster, _ = fit(tmp_path, averaging, limit_train_batches=6)
    record = Record()
    fit(tmp_path, averaging, record, limit_train_batches=4, forecaster=forecaster)
    for name, weight in forecaster.named_parameters():
        mean = sum(step[name] for step in record.steps) / 4
        torch.testing.assert_close(weight, mean, msg=name)


def test_going_on_without_the_average_is_told(tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="a")
    fit(tmp_path, PowerAverage(), keep, limit_train_batches=4)
    with pytest.warns(UserWarning, match="weights of this training were averaged"):
        fit(tmp_path, epochs=2, limit_train_batches=4, ckpt_path=tmp_path / "a.ckpt")


def test_a_power_out_of_its_range_is_refused():
    for gamma in [-1.0, float("nan"), float("inf")]:
        with pytest.raises(ValueError, match="'gamma' of 0 or more"):
            PowerAverage(gamma)
