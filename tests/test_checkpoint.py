"""The network of a checkpoint, and its weights for other detectors."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from socialgraph.checkpoint import network_of, recipe_of
from socialgraph.nn import DistributedEncoder, SocialPooling, XLSTMEncoder
from socialgraph.spec import DataSpec
from socialgraph.warm_start import adapt_weights
from tests.networks import plain_network

TRAINED = ["a", "b.c", "keys"]
GIVEN = ["keys", "new", "a", "newer"]
SIZES = (2, 1, 4, 3)  # features per reading, predicted features, window, steps
ENCODER = partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2)


def make_spec(vdids):
    return DataSpec(
        features=["speed", "flow"],
        targets=["speed"],
        units=["km/h", "veh/h"],
        interval_minutes=5.0,
        timezone="UTC",
        window=4,
        horizon=3,
        vdids=list(vdids),
        lat=np.zeros(len(vdids)),
        lon=np.zeros(len(vdids)),
        graph=None,
        max_radius=None,
        edges=None,
        split={},
        scaling="standard",
        source="",
        dataset_name="made",
    )


def make_network(kind, vdids):
    if kind == "node vectors":
        network = plain_network(ENCODER, node_channels=3)
    else:
        network = plain_network(distributed(kind == "vectorised"))
    network.build(*SIZES, vdids)
    return network.eval()


def distributed(vectorised):
    return partial(DistributedEncoder, encoder=ENCODER, vectorised=vectorised)


def make_batch(nodes):
    return {
        "features": torch.randn(2, 4, nodes, 2),
        "mask": torch.rand(2, 4, nodes, 2) > 0.2,
        "time_of_day": torch.rand(2, 4),
        "day_of_week": torch.randint(0, 7, (2, 4)),
    }


def take(batch, rows):
    return batch | {name: batch[name][:, :, rows] for name in ("features", "mask")}


def load_adapted(kind, given):
    """A network of the detectors of training, and one of others with its weights."""
    network, other = make_network(kind, TRAINED), make_network(kind, given)
    specs = make_spec(TRAINED), make_spec(given)
    other.load_state_dict(adapt_weights(network.state_dict(), other, *specs))
    return network, other


every_kind = pytest.mark.parametrize("kind", ["node vectors", "looped", "vectorised"])


@every_kind
def test_a_detector_keeps_its_weights_wherever_it_stands(kind):
    network, other = load_adapted(kind, GIVEN)
    batch = make_batch(len(GIVEN))
    ours, theirs = torch.tensor([2, 0]), torch.tensor([0, 2])  # of 'a' and 'keys'
    forecast = other(**batch)[:, :, ours]
    torch.testing.assert_close(forecast, network(**take(batch, ours), node=theirs))
    assert not torch.allclose(forecast, network(**take(batch, ours), node=theirs.flip(0)))


@every_kind
def test_a_stranger_gets_the_mean_of_all_detectors_of_training(kind):
    network, other = load_adapted(kind, GIVEN)
    before, after = (net.node_weights(n) for net, n in ((network, 3), (other, 4)))
    for name in before:
        old, new = (
            torch.stack([weights[part] for part in parts]) if parts else weights[name]
            for parts, weights in (
                (before[name], network.state_dict()),
                (after[name], other.state_dict()),
            )
        )
        for stranger in (1, 3):
            torch.testing.assert_close(new[stranger], old.mean(dim=0))


@every_kind
def test_the_same_detectors_keep_every_number_and_the_weights_at_hand_stay(kind):
    network = make_network(kind, TRAINED)
    weights = network.state_dict()
    names = list(weights)
    fewer = make_network(kind, TRAINED[1:])
    adapt_weights(weights, fewer, make_spec(TRAINED), make_spec(TRAINED[1:]))
    assert list(weights) == names
    same = adapt_weights(weights, network, make_spec(TRAINED), make_spec(TRAINED))
    assert set(same) == set(names)
    assert all(torch.equal(same[name], weights[name]) for name in names)


def test_a_network_that_knows_no_detector_takes_the_weights_as_they_are():
    specs = make_spec(TRAINED), make_spec(GIVEN)
    shared = plain_network(ENCODER)
    shared.build(*SIZES, TRAINED)
    weights = shared.state_dict()
    assert adapt_weights(weights, shared, *specs) is weights
    foreign = nn.Linear(2, 3)
    assert adapt_weights(foreign.state_dict(), foreign, *specs).keys() == {"weight", "bias"}


def test_weights_of_another_kind_of_network_are_left_for_loading_to_refuse():
    specs = make_spec(TRAINED), make_spec(GIVEN)
    shared = plain_network(ENCODER)
    shared.build(*SIZES, TRAINED)
    for kind in ("node vectors", "looped", "vectorised"):
        network = make_network(kind, GIVEN)
        with pytest.raises(RuntimeError, match="Missing key"):
            network.load_state_dict(adapt_weights(shared.state_dict(), network, *specs))


def test_the_network_of_a_checkpoint_has_the_sizes_or_waits_for_others():
    network = plain_network(ENCODER, partial(SocialPooling, radius=500.0), node_channels=3)
    network.build(*SIZES, TRAINED, 1000.0)
    checkpoint = {"network": recipe_of(network)}
    sized = network_of(checkpoint)
    sized.load_state_dict(network.state_dict())
    waiting = network_of(checkpoint, num_nodes=4)
    assert waiting.in_channels is None
    waiting.build(2, 2, 4, 5, GIVEN, 1000.0)
    assert waiting(**make_batch(4), **make_graph()).shape == (2, 5, 4, 2)
    assert waiting.embedding.num_nodes == 4
    assert checkpoint["network"] == recipe_of(network)


def make_graph():
    edges = {"edge_index": torch.tensor([[1], [0]]), "distance": torch.tensor([400.0])}
    return edges | {"positions_xy": torch.zeros(4, 2)}


@pytest.mark.parametrize("vectorised", [False, True])
def test_the_distributed_network_of_a_checkpoint_waits_for_other_detectors(vectorised):
    network = plain_network(distributed(vectorised))
    network.build(*SIZES, TRAINED)
    waiting = network_of({"network": recipe_of(network)}, num_nodes=4)
    with pytest.raises(RuntimeError, match="no sizes yet"):
        waiting(**make_batch(3))
    waiting.build(*SIZES, GIVEN)
    assert waiting(**make_batch(4)).shape == (2, 3, 4, 1)


def test_a_network_that_could_not_be_written_down_must_be_given():
    class Local(nn.Module):
        pass

    assert recipe_of(Local()) is None
    assert recipe_of(plain_network(ENCODER)) is None
    with pytest.raises(ValueError, match=r"could not be written down.*Give the network"):
        network_of({"network": None})


def test_a_network_of_another_package_needs_trust():
    recipe = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 3}}
    with pytest.raises(ValueError, match=r"trust=\['torch'\]"):
        network_of({"network": recipe})
    assert network_of({"network": recipe}, trust=["torch"]).out_features == 3
