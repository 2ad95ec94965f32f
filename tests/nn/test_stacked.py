"""The stacked network: who hears whom, what its parts are told, its sizes, and strict mode."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from socialgraph.nn import (
    Clock,
    Mask,
    Readings,
    SocialBlock,
    SocialPooling,
    StackedSocialNet,
    XLSTMEncoder,
)
from socialgraph.recipe import describe, make

NODES, WINDOW, HORIZON = 5, 7, 3  # patches of 3 do not divide the window
VDIDS = [f"VD-{i}" for i in range(NODES)]
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # 3 and 4 have nobody
ENCODER = partial(XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=())
POOLING = partial(
    SocialPooling, aggr="attention", radius=500.0, heads=2, concat=True, pos_dim=2, max_radius=900.0
)


def make_network(pooling=POOLING, num_blocks=1, **options):
    network = StackedSocialNet(
        2,
        window=WINDOW,
        horizon=HORIZON,
        num_nodes=NODES,
        encoder=ENCODER,
        hidden_channels=16,
        block=partial(SocialBlock, pooling=pooling),
        num_blocks=num_blocks,
        **options,
    )
    return network.double().eval()


def make_batch(batch=2, dtype=torch.double):
    steps = (batch, WINDOW + HORIZON, NODES, 2)
    mask = torch.rand(batch, WINDOW, NODES, 2) > 0.2
    return {
        "features": torch.randn(batch, WINDOW, NODES, 2, dtype=dtype) * mask,
        "mask": mask,
        "profile": torch.randn(steps, dtype=dtype),
        "profile_deviation": torch.rand(steps, dtype=dtype),
        "time_of_day": torch.rand(batch, WINDOW, dtype=dtype),
        "day_of_week": torch.randint(0, 7, (batch, WINDOW)),
        "positions_xy": torch.rand(NODES, 2) * 1000,
        "edge_index": EDGE_INDEX,
        "distance": torch.tensor([400.0, 400.0, 700.0, 700.0], dtype=dtype),
        "offset": torch.tensor([[400.0, 0], [-400.0, 0], [0, 700.0], [0, -700.0]], dtype=dtype),
    }


def test_gives_a_forecast_per_step_detector_and_feature():
    assert make_network()(**make_batch()).shape == (2, HORIZON, NODES, 2)
    assert make_network(out_channels=1)(**make_batch()).shape == (2, HORIZON, NODES, 1)


@pytest.mark.parametrize(("pooling", "blocks"), [(None, 2), (POOLING, 1), (POOLING, 2)])
def test_a_detector_hears_its_neighbours_as_far_as_there_are_blocks(pooling, blocks):
    network, batch = make_network(pooling, blocks), make_batch(1)
    features = batch.pop("features")
    jacobian = torch.autograd.functional.jacobian(
        lambda x: network(features=x, **batch).sum((1, 3)), features
    )  # [1, N, 1, T, N, F]
    heard = jacobian.abs().sum((0, 2, 3, 5)) > 0
    graph = torch.eye(NODES, dtype=torch.bool)
    if pooling:
        graph[EDGE_INDEX[1], EDGE_INDEX[0]] = True
    reach = torch.linalg.matrix_power(graph.double(), blocks) > 0
    assert torch.equal(heard, reach)


def test_a_window_does_not_depend_on_the_others_of_its_batch():
    network, batch = make_network(), make_batch(3)
    whole = network(**batch)
    per_window = {name for name, part in batch.items() if len(part) == 3}
    for row in range(3):
        one = {n: part[row : row + 1] if n in per_window else part for n, part in batch.items()}
        torch.testing.assert_close(network(**one)[0], whole[row], rtol=1e-10, atol=1e-12)


def test_relabelling_of_detectors_commutes():
    network, batch, order = make_network(num_blocks=2), make_batch(), torch.randperm(NODES)
    by_node = ("features", "mask", "profile", "profile_deviation")
    moved = {**batch, "edge_index": order.argsort()[EDGE_INDEX]}
    moved |= {name: batch[name][:, :, order] for name in by_node}
    torch.testing.assert_close(network(**moved), network(**batch)[:, :, order])


def test_a_new_network_forecasts_near_its_anchors_and_these_are_what_they_say():
    network, batch = make_network(None), make_batch()
    nn.init.zeros_(network.head.weight), nn.init.zeros_(network.head.bias)
    batch["mask"][:] = True
    batch["mask"][0, :, 1] = False  # silent for the whole window
    batch["mask"][0, -1, 2] = False
    last = batch["features"][:, -1].clone()
    last[0, 2] = batch["features"][0, -2, 2]
    last[0, 1] = batch["profile"][0, WINDOW - 1, 1]
    expected = 0.3 * last[:, None] + 0.5 * batch["profile"][:, WINDOW:]
    torch.testing.assert_close(network(**batch), expected)


@pytest.mark.parametrize(
    "name", ["features", "mask", "profile", "profile_deviation", "time_of_day"]
)
def test_every_part_is_heard(name):
    network, batch = make_network(), make_batch()
    other = {**batch, name: 1 - batch[name].double() if name != "mask" else ~batch[name]}
    assert not torch.allclose(network(**other), network(**batch))


def test_targets_profile_is_heard_step_by_step_and_the_days_if_asked_for():
    network, batch = make_network(), make_batch()
    for step in range(WINDOW + HORIZON):
        profile = batch["profile"].clone()
        profile[:, step] += 1
        assert not torch.allclose(network(**{**batch, "profile": profile}), network(**batch)), step
    other_day = {**batch, "day_of_week": (batch["day_of_week"] + 1) % 7}
    torch.testing.assert_close(network(**other_day), network(**batch))
    knows_days = make_network(inputs=[Readings(), Clock(day_of_week=True)])
    assert not torch.allclose(knows_days(**other_day), knows_days(**batch))


def test_parts_can_be_left_out_and_those_of_others_put_in():
    class Weather(nn.Module):
        where, entries = "ahead", ("weather",)

        def channels(self, in_channels):
            return 3

        def forward(self, batch):
            return batch["weather"]

    network = make_network(inputs=[Readings(), Mask(), Weather()])
    batch = make_batch()
    batch["weather"] = torch.randn(2, WINDOW + HORIZON, NODES, 3, dtype=torch.double)
    assert network(**batch).shape == (2, HORIZON, NODES, 2)
    assert network.profile_weight is None
    assert "weather" in network.entries
    assert not {"profile", "time_of_day"} & network.entries
    with pytest.raises(ValueError, match="Expected \\['weather'\\] in the batch"):
        network(**make_batch())


def test_gradients_reach_every_weight():
    network, batch = make_network(num_blocks=2, node_channels=4), make_batch()
    network(**batch).square().sum().backward()
    silent = [n for n, w in network.named_parameters() if w.grad is None or not w.grad.any()]
    assert silent == []


def test_a_copy_made_from_the_recipe_takes_the_weights_and_forecasts_the_same():
    network = StackedSocialNet(
        encoder=ENCODER, block=partial(SocialBlock, pooling=POOLING), num_blocks=2
    )
    network.build(2, 1, WINDOW, HORIZON, VDIDS, 900.0)
    again = make(copy.deepcopy(describe(network)))
    again.load_state_dict(network.state_dict())
    batch = make_batch(dtype=torch.float)
    torch.testing.assert_close(again.eval()(**batch), network.eval()(**batch))
    again.build(2, 1, WINDOW, HORIZON, VDIDS, 900.0)
    with pytest.raises(ValueError, match="made for in_channels, out_channels, window"):
        again.build(2, 1, WINDOW + 1, HORIZON, VDIDS, 900.0)
    with pytest.raises(ValueError, match="max_radius"):
        again.build(2, 1, WINDOW, HORIZON, VDIDS, 500.0)


def test_with_vectors_of_detectors_it_serves_those_and_swaps_them_in_training():
    network, batch = make_network(node_channels=4), make_batch()
    network(**batch, node=torch.arange(NODES))
    with pytest.raises(ValueError, match="has vectors of 5 detectors"):
        network.build(2, 2, WINDOW, HORIZON, VDIDS[:3])
    assert network.knows_nodes
    assert set(network.node_weights(NODES)) <= set(network.state_dict())
    assert not make_network().knows_nodes


def test_the_anchors_do_not_decay():
    network = make_network()
    assert network.no_weight_decay() <= {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"patch": 0}, "'patch'"),
        ({"num_blocks": 0}, "'num_blocks'"),
        ({"in_channels": 2, "horizon": 3}, "'window'"),
        ({"window": 4}, "'in_channels' with the other sizes"),
    ],
)
def test_sizes_that_no_network_has_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        StackedSocialNet(**options)


def test_strict_mode():
    network, batch = make_network(), make_batch()
    for name in ("positions_xy", "edge_index", "distance"):
        lacking = {n: part for n, part in batch.items() if n != name}
        with pytest.raises(RuntimeError, match=name):
            network(**lacking)
    with pytest.raises(RuntimeError, match="NaN or infinite for 1 of 5"):
        network.check_batch(torch.tensor([[0.0, torch.nan]] + [[0.0, 0.0]] * 4), VDIDS)
    make_network(None)(**{n: p for n, p in batch.items() if n in make_network(None).entries})
    with pytest.raises(RuntimeError, match="no sizes yet"):
        StackedSocialNet()(**batch)


@pytest.mark.slow
def test_compiles_whole():
    network, batch = make_network().float(), make_batch(dtype=torch.float)
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch), network(**batch), rtol=1e-4, atol=1e-5)
