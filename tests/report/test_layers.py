"""Which layer of which network is meant, in the log of a training and on the page."""

from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.layers import layer_of, named_poolings, radius_name
from socialgraph.logger import MetricsLogger
from socialgraph.nn import Ensemble, LinearEncoder, SocialBlock, SocialGraphNet, SocialPooling
from socialgraph.report import write_report
from socialgraph.report.training import metrics_file, read_training
from tests.nn.test_network import make_network
from tests.report.test_command import content_of, visible


def test_layers_are_named_by_their_network_and_their_place():
    single, other = make_network(num_blocks=2), torch.nn.Linear(1, 1)
    ensemble = Ensemble([make_network(num_blocks=1), other, make_network(num_blocks=2)])
    names = ["network 1, layer 1", "network 3, layer 1", "network 3, layer 2"]
    assert named_poolings(ensemble) == list(zip(names, ensemble.poolings, strict=True))
    assert named_poolings(single) == list(zip(["layer 1", "layer 2"], single.poolings, strict=True))
    assert named_poolings(other) == []


@pytest.mark.parametrize("layer", ["layer 1", "network 2, layer 10"])
def test_the_name_of_a_log_tells_the_layer(layer):
    assert layer_of(radius_name(layer, 3)) == layer


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Path:
    """An ensemble of two networks, of which the second has one layer of a fixed radius."""
    folder = tmp_path_factory.mktemp("ensemble")

    def network(num_blocks, **options):
        pooling = partial(SocialPooling, radius=400.0, **options)
        block = partial(SocialBlock, pooling=pooling, hidden_channels=8)
        return SocialGraphNet(encoder=LinearEncoder, block=block, num_blocks=num_blocks)

    learning = network(2, aggr="attention", heads=2, learn_radius=True)
    forecaster = Forecaster(Ensemble([learning, network(1, aggr="mean", learn_radius=False)]))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=1,
        logger=MetricsLogger(folder, "", ""),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = TrafficDataModule(
        str(run.file), targets=["speed"], windows=Windows(6, 4), graph=RadiusGraph(700.0)
    )
    trainer.fit(forecaster, datamodule=data)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.mark.slow
def test_the_log_of_an_ensemble_tells_network_layer_and_head(trained):
    curves = read_training(metrics_file(trained))
    names = [f"radius/network_1_layer_{layer}_head_{head}" for layer in (1, 2) for head in (1, 2)]
    assert [name for name in curves if name.startswith("radius")] == names


def test_the_page_of_an_ensemble_tells_network_and_layer(trained):
    page = trained.with_name("report.html")
    write_report(page, trained, every=20)
    told = content_of(page)
    layers = ["network 1, layer 1", "network 1, layer 2", "network 2, layer 1"]
    lines = told["figures"]["radius"]["data"]
    assert [line["name"] for line in lines] == [layers[0], layers[0], layers[1], layers[1]]
    assert [line["showlegend"] for line in lines] == [True, False, True, False]
    assert told["map"]["layer_names"] == layers
    assert [len(radii) for radii in told["map"]["layers"]] == [2, 2, 1]
    for layer in layers:
        assert f"Attention, {layer}." in visible(page)
    assert all(len(detail["neighbours"]["attention"]) == 3 for detail in told["details"].values())
