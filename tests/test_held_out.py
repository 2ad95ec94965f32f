"""Detectors that are held out: gone from training, there in the test, with errors of their own."""

import json
from functools import partial

import pytest
import torch

from socialgraph.forecaster import Forecaster
from socialgraph.nn import LinearEncoder, SocialBlock, SocialGraphNet, SocialPooling
from socialgraph.spec import SpecError
from socialgraph.writers import ErrorWriter
from tests.conftest import make_series
from tests.test_forecaster import make_data, make_distributed, make_trainer

HELD_OUT = ["VD-4", "VD-1"]


def make_stacked():
    pooling = partial(SocialPooling, radius=500.0)
    return SocialGraphNet(
        encoder=partial(LinearEncoder, out_channels=8),
        block=partial(SocialBlock, pooling=pooling),
        num_blocks=1,
    )


def test_training_sees_nothing_of_them_and_the_test_sees_all(tmp_path):
    series = make_series(steps=288 * 2)
    wild = make_series(steps=288 * 2)
    wild.values[:, [1, 4]] = 9999.0  # would rule scales, profiles, neighbours and loss
    fitted = []
    for given in (series, wild):
        data = make_data(given, batch_size=32, held_out_detectors=HELD_OUT)
        torch.manual_seed(1)
        forecaster = Forecaster(make_stacked(), warmup_steps=5)
        trainer = make_trainer(tmp_path)
        trainer.fit(forecaster, data)
        assert forecaster.spec.vdids == ["VD-0", "VD-2", "VD-3", "VD-5"]
        fitted.append(forecaster)
    weights = (forecaster.network.named_parameters() for forecaster in fitted)
    for (name, first), (_, second) in zip(*weights, strict=True):
        assert torch.equal(first, second), name
    data.setup("test")
    assert data.spec.vdids == series.vdids
    assert next(iter(data.test_dataloader()))["features"].size(2) == 6


def test_their_errors_come_apart(tmp_path):
    data = make_data(make_series(steps=288 * 2), held_out_detectors=HELD_OUT)
    forecaster = Forecaster(make_stacked(), warmup_steps=5)
    writer = ErrorWriter(str(tmp_path / "test.json"))
    trainer = make_trainer(tmp_path, callbacks=[writer])
    trainer.fit(forecaster, data)
    trainer.test(forecaster, data, verbose=False)
    report = json.loads((tmp_path / "test.json").read_text())
    assert sorted(report["unseen"]["detectors"]) == sorted(HELD_OUT)
    forecaster.eval()
    forecaster.follow(data.spec, data.history)
    error, count = 0.0, 0
    with torch.inference_mode():
        for batch in data.test_dataloader():
            apart = (forecaster(batch) - batch["targets"]).abs().double()[:, :, [1, 4]]
            seen = batch["target_mask"][:, :, [1, 4]]
            error, count = error + apart[seen].sum().item(), count + int(seen.sum())
    assert report["unseen"]["targets"]["speed"]["mae_all"] == pytest.approx(error / count)
    assert report["targets"]["speed"]["mae_all"] != pytest.approx(error / count)


def test_without_any_or_with_strangers_only_there_is_no_second_score(tmp_path):
    data = make_data(make_series())
    forecaster = Forecaster(make_stacked(), warmup_steps=5)
    trainer = make_trainer(tmp_path, callbacks=[ErrorWriter(str(tmp_path / "test.json"))])
    trainer.fit(forecaster, data)
    trainer.test(forecaster, data, verbose=False)
    assert "unseen" not in json.loads((tmp_path / "test.json").read_text())


def test_a_share_holds_out_the_same_detectors_each_time():
    series = make_series(steps=288, nodes=10)
    ids = []
    for _ in range(2):
        data = make_data(series, held_out_detectors=0.2)
        data.setup("fit")
        ids.append(data.spec.vdids)
    assert ids[0] == ids[1]
    assert len(ids[0]) == 8
    assert data.graph_tensors["positions_xy"].shape == (8, 2)


def test_what_cannot_be_held_out_is_refused():
    for held_out, match in [
        (["VD-1", "nobody"], r"there is no \['nobody'\]"),
        (0.01, "leave some for training and are not none"),
        (1.0, "leave some for training"),
        (-0.2, "leave some for training"),
        ([], "leave some for training"),
        ([f"VD-{i}" for i in range(6)], "leave some for training"),
        ("VD-1", "as a share or a list"),
    ]:
        with pytest.raises(ValueError, match=match):
            make_data(make_series(), held_out_detectors=held_out).setup("fit")


def test_a_network_with_an_encoder_for_each_detector_cannot_forecast_them(tmp_path):
    data = make_data(make_series(steps=288 * 2), held_out_detectors=HELD_OUT)
    forecaster = make_distributed(True)
    trainer = make_trainer(tmp_path, limit_train_batches=2, limit_val_batches=2)
    trainer.fit(forecaster, data)
    with pytest.raises(SpecError, match="2 of 6 detectors were not in training"):
        trainer.test(forecaster, data)
