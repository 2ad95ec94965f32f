"""The whole network: shapes, invariances, its parts, sizes told later, and strict mode."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from socialgraph.nn import (
    Clock,
    ContextBlock,
    GRUEncoder,
    LinearEncoder,
    Mask,
    NodeEmbedding,
    Profile,
    Readings,
    RegressionHead,
    SocialBlock,
    SocialGraphNet,
    SocialPooling,
    SumEncoder,
    XLSTMEncoder,
)
from socialgraph.nn.encoders import to_patches
from socialgraph.recipe import describe, make

NODES, WINDOW, HORIZON = 5, 7, 3  # patches of 3 do not divide the window
VDIDS = [f"VD-{i}" for i in range(NODES)]
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # 3 and 4 have nobody
SIZES = {"in_channels": 2, "out_channels": 2, "window": WINDOW, "horizon": HORIZON}
STEP_BY_STEP = partial(XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=())
PATCHES = partial(STEP_BY_STEP, hidden_channels=8, heads=2, out_channels=16, patch=3)
LINEAR = partial(LinearEncoder, out_channels=16)
WINDOWED = {"features", "mask", "profile", "profile_deviation"} | {
    f"{target}{clock}_of_{unit}"
    for target in ("", "target_")
    for clock, unit in (("time", "day"), ("day", "week"))
}


def plain(aggr="attention", **options):
    """The form of the guide: every step read, one pooling, a perceptron as head."""
    pooling = partial(SocialPooling, aggr=aggr, radius=1000.0, **options)
    return {
        "inputs": [Readings(), Mask(), Clock(1, day_of_week=True, where="window")],
        "encoder": STEP_BY_STEP,
        "block": [partial(ContextBlock, pooling=pooling)] if aggr else None,
        "head_channels": 32,
    }


def stacked(aggr="attention", **options):
    """The default form: patches and a linear map, the profile, and blocks of pooling."""
    if aggr == "attention":
        options = {"heads": 2, "concat": True, "pos_dim": 2} | options
    options = {"radius": 500.0, "max_radius": 900.0} | options
    pooling = partial(SocialPooling, aggr=aggr, **options)
    return {
        "encoder": partial(SumEncoder, encoders=[PATCHES, LINEAR]),
        "block": partial(SocialBlock, pooling=pooling if aggr else None),
        "num_blocks": 2,
    }


both_forms = pytest.mark.parametrize("form", [plain, stacked])


def make_network(form=stacked, aggr="attention", **options):
    network = SocialGraphNet(**{**SIZES, "num_nodes": NODES, **form(aggr), **options})
    return network.double().eval()


def make_batch(batch=2, dtype=torch.double, nodes=NODES, window=WINDOW):
    steps = (batch, window + HORIZON, nodes, 2)
    mask = torch.rand(batch, window, nodes, 2) > 0.2
    return {
        "features": torch.randn(batch, window, nodes, 2, dtype=dtype) * mask,
        "mask": mask,
        "profile": torch.randn(steps, dtype=dtype),
        "profile_deviation": torch.rand(steps, dtype=dtype),
        "time_of_day": torch.rand(batch, window, dtype=dtype),
        "day_of_week": torch.randint(0, 7, (batch, window)),
        "target_time_of_day": torch.rand(batch, HORIZON, dtype=dtype),
        "target_day_of_week": torch.randint(0, 7, (batch, HORIZON)),
        "positions_xy": torch.rand(nodes, 2) * 1000,
        "edge_index": EDGE_INDEX,
        "distance": torch.tensor([400.0, 400.0, 700.0, 700.0], dtype=dtype),
        "offset": torch.tensor([[400.0, 0], [-400.0, 0], [0, 700.0], [0, -700.0]], dtype=dtype),
    }


@both_forms
def test_gives_a_forecast_per_step_detector_and_feature(form):
    assert make_network(form)(**make_batch()).shape == (2, HORIZON, NODES, 2)
    assert make_network(form, out_channels=1)(**make_batch()).shape == (2, HORIZON, NODES, 1)


@pytest.mark.parametrize(
    ("form", "aggr", "blocks"),
    [
        (plain, None, 1),
        (plain, "mean", 2),
        (plain, "attention", 1),
        (plain, "max", 1),
        (plain, "inverse_distance", 1),
        (stacked, None, 2),
        (stacked, "mean", 1),
        (stacked, "attention", 2),
    ],
)
def test_a_detector_hears_its_neighbours_as_far_as_there_are_blocks(form, aggr, blocks):
    block = form(aggr)["block"]
    if aggr and form is plain:
        block = block * blocks
        reach = 1  # the state stays as it is
    else:
        reach = blocks if aggr else 0
    network, batch = make_network(form, aggr, block=block, num_blocks=blocks), make_batch(1)
    features = batch.pop("features")
    jacobian = torch.autograd.functional.jacobian(
        lambda x: network(features=x, **batch).sum((1, 3)), features
    )  # [1, N, 1, T, N, F]
    heard = jacobian.abs().sum((0, 2, 3, 5)) > 0
    graph = torch.eye(NODES, dtype=torch.double)
    graph[EDGE_INDEX[1], EDGE_INDEX[0]] = 1
    assert torch.equal(heard, torch.linalg.matrix_power(graph, reach) > 0)


@pytest.mark.parametrize(
    ("form", "aggr"), [(plain, "mean"), (stacked, None), (stacked, "attention")]
)
def test_relabelling_of_detectors_commutes(form, aggr):
    network, batch, order = make_network(form, aggr), make_batch(), torch.randperm(NODES)
    by_node = ("features", "mask", "profile", "profile_deviation")
    moved = {**batch, "edge_index": order.argsort()[EDGE_INDEX]}
    moved |= {name: batch[name][:, :, order] for name in by_node}
    torch.testing.assert_close(network(**moved), network(**batch)[:, :, order])


@both_forms
def test_one_batch_equals_many(form):
    network, batch = make_network(form), make_batch(3)
    whole = network(**batch)
    for i in range(3):
        part = {k: v[i : i + 1] if k in WINDOWED else v for k, v in batch.items()}
        torch.testing.assert_close(network(**part), whole[i : i + 1])


def test_an_isolated_detector_hears_nobody_and_keeps_its_own_state():
    network, batch = make_network(plain, "mean"), make_batch()
    alone = network(**batch | {"edge_index": EDGE_INDEX[:, :0], "distance": torch.zeros(0)})
    torch.testing.assert_close(network(**batch)[:, :, 3:], alone[:, :, 3:])
    assert not torch.allclose(network(**batch)[:, :, :3], alone[:, :, :3])


@both_forms
def test_one_detector_alone_is_forecast(form):
    none = {"edge_index": EDGE_INDEX[:, :0], "distance": torch.zeros(0)}
    batch = make_batch(nodes=1) | none | {"offset": torch.zeros(0, 2, dtype=torch.double)}
    assert make_network(form)(**batch).isfinite().all()


@both_forms
def test_all_readings_missing_gives_finite_forecasts_and_gradients(form):
    network, batch = make_network(form, mask_silent=True), make_batch()
    batch["mask"] = torch.zeros_like(batch["mask"])
    batch["features"] = torch.zeros_like(batch["features"])
    out = network(**batch)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_silent_neighbours_are_heard_unless_they_are_masked():
    batch = make_batch()
    batch["mask"][:, :, 0] = False
    batch["features"] = batch["features"].masked_fill(~batch["mask"], 0)
    other = {**batch, "profile": batch["profile"].clone()}
    other["profile"][:, :, 0] += 1  # what is usual of a detector that is silent
    for mask_silent in (False, True):
        network = make_network(mask_silent=mask_silent)
        change = (network(**other) - network(**batch)).abs().amax((0, 1, 3))
        assert torch.equal(change > 0, torch.tensor([True, not mask_silent, not mask_silent, 0, 0]))


def test_readings_mask_profile_and_clock_are_what_they_say():
    batch = make_batch(1)
    assert torch.equal(Readings()(batch), batch["features"])
    assert torch.equal(Mask()(batch), batch["mask"].double())
    assert torch.equal(Profile(deviation=False)(batch), batch["profile"])
    both = torch.cat([batch["profile"], batch["profile_deviation"]], dim=-1)
    assert torch.equal(Profile()(batch), both)
    batch = {
        "time_of_day": torch.tensor([[0.5, 0.25]]),
        "day_of_week": torch.tensor([[6, 0]]),
        "target_time_of_day": torch.tensor([[0.75]]),
        "target_day_of_week": torch.tensor([[1]]),
    }
    noon, six, eighteen = ([0.0, -1.0], [1.0, 0.0], [-1.0, 0.0])
    for where, times, days in [
        ("node", [six], [0]),
        ("window", [noon, six], [6, 0]),
        ("ahead", [noon, six, eighteen], [6, 0, 1]),
    ]:
        clock = Clock(1, day_of_week=True, where=where)
        days = torch.eye(7)[torch.tensor(days)]
        expected = torch.cat([torch.tensor(times), days], dim=-1)[None]
        expected = expected if where == "node" else expected[:, :, None]
        torch.testing.assert_close(clock(batch), expected, rtol=0, atol=1e-6)
        assert clock.channels(1) == expected.size(-1)
        assert set(clock.entries) == set(batch) - (
            set() if where == "ahead" else {"target_time_of_day", "target_day_of_week"}
        )
    second = Clock(2)(batch)[0, 0]  # sin 2 * 90, cos 2 * 90 degrees
    torch.testing.assert_close(second, torch.tensor([1.0, 0, 0, -1]), rtol=0, atol=1e-6)
    assert torch.equal(Clock(0, day_of_week=True)(batch)[0, 0], torch.eye(7)[0])


def test_a_clock_that_tells_nothing_is_refused():
    for options in [{"harmonics": 0}, {"harmonics": -1, "day_of_week": True}, {"where": "step"}]:
        with pytest.raises(ValueError, match="'harmonics' of 1 or more"):
            Clock(**options)


@pytest.mark.parametrize(
    ("form", "name"),
    [(plain, name) for name in ("features", "mask", "time_of_day", "day_of_week")]
    + [(stacked, n) for n in ("features", "mask", "profile", "profile_deviation", "time_of_day")],
)
def test_every_part_is_heard(form, name):
    network, batch = make_network(form), make_batch()
    other = {**batch, name: ~batch[name] if name == "mask" else 1 - batch[name].double()}
    if name == "day_of_week":
        other[name] = (batch[name] + 1) % 7
    assert not torch.allclose(network(**other), network(**batch))


def test_every_step_of_window_and_targets_is_heard():
    network, batch = make_network(), make_batch()
    network_of_clocks = make_network(inputs=[Readings(), Clock(where="ahead")])
    whole, of_clocks = network(**batch), network_of_clocks(**batch)
    for step in range(WINDOW + HORIZON):
        profile = batch["profile"].clone()
        profile[:, step] += 1
        assert not torch.allclose(network(**{**batch, "profile": profile}), whole), step
        name = "time_of_day" if step < WINDOW else "target_time_of_day"
        time = batch[name].clone()
        time[:, step - WINDOW * (step >= WINDOW)] += 0.3
        assert not torch.allclose(network_of_clocks(**{**batch, name: time}), of_clocks), step


def test_without_a_part_its_entries_are_not_needed():
    network = make_network(plain, inputs=[Readings()])
    batch = make_batch()
    unheard = {**batch, "mask": torch.ones_like(batch["mask"])}
    for name in ("time_of_day", "day_of_week", "profile", "profile_deviation"):
        del unheard[name]
    last = batch["mask"][:, -1:].expand_as(batch["mask"])
    torch.testing.assert_close(network(**{**batch, "mask": last | True}), network(**unheard))


def test_parts_of_others_can_be_put_in():
    class Weather(nn.Module):
        where, entries = "ahead", ("weather",)

        def channels(self, in_channels):
            return 3

        def forward(self, batch):
            return batch["weather"]

    network = make_network(inputs=[Readings(), Mask(), Weather()])
    batch = make_batch()
    batch["weather"] = torch.randn(2, WINDOW + HORIZON, 1, 3, dtype=torch.double)
    assert network(**batch).shape == (2, HORIZON, NODES, 2)
    assert network.profile_weight is None
    assert "weather" in network.entries
    assert not {"profile", "time_of_day"} & network.entries
    with pytest.raises(ValueError, match="Expected \\['weather'\\] in the batch"):
        network(**make_batch())


def test_the_anchors_are_the_last_reading_and_the_usual_one():
    batch = make_batch()
    batch["mask"][:] = True
    batch["mask"][0, :, 1] = False  # silent for the whole window
    batch["mask"][0, -1, 2] = False
    last = batch["features"][:, -1].clone()
    last[0, 2] = batch["features"][0, -2, 2]
    for form in (plain, stacked):
        network = make_network(form, None)
        for weight in network.head.parameters():
            nn.init.zeros_(weight)
        if form is plain:
            last[0, 1] = 0
            expected = last[:, None].expand(-1, HORIZON, -1, -1)
        else:
            last[0, 1] = batch["profile"][0, WINDOW - 1, 1]
            expected = 0.3 * last[:, None] + 0.5 * batch["profile"][:, WINDOW:]
        torch.testing.assert_close(network(**batch), expected)
        anchors = {name for name, _ in network.named_parameters() if "weight" in name}
        assert network.no_weight_decay() & anchors == {
            name for name in anchors if name in ("last_weight", "profile_weight")
        }


@both_forms
def test_gradients_reach_every_weight(form):
    network, batch = make_network(form, node_channels=4), make_batch()
    node = torch.tensor([0, 1, 2, 3, -1])
    network(**batch, node=node).square().sum().backward()
    silent = [n for n, w in network.named_parameters() if w.grad is None or not w.grad.any()]
    assert silent == []


def test_node_vectors_go_with_the_row_not_with_the_place():
    network, batch = make_network(plain, None, node_channels=4), make_batch()
    whole = network(**batch)
    some = torch.tensor([3, 1])
    part = batch | {name: batch[name][:, :, some] for name in ("features", "mask")}
    torch.testing.assert_close(network(**part, node=some), whole[:, :, some])
    assert not torch.allclose(network(**part, node=some.flip(0)), whole[:, :, some])
    with pytest.raises(ValueError, match=r"readings of 5 detectors.*got features \(2, 7, 2, 2\)"):
        network(**part)
    with pytest.raises(ValueError, match="readings of 3 detectors"):
        network(**part, node=torch.arange(3))


def test_strangers_share_a_vector_that_no_detector_has():
    network, batch = make_network(plain, None, node_channels=4), make_batch()
    nn.init.normal_(network.embedding.stranger)
    strangers = network(**batch, node=torch.tensor([0, -1, 2, -1, -1]))
    assert torch.equal(strangers[:, :, [0, 2]], network(**batch)[:, :, [0, 2]])
    nn.init.normal_(network.embedding.weight)
    torch.testing.assert_close(
        network(**batch, node=torch.full((NODES,), -1))[:, :, [1, 3, 4]], strangers[:, :, [1, 3, 4]]
    )


def test_node_vectors_need_detectors_and_none_are_there_without():
    with pytest.raises(ValueError, match="'num_nodes' of 1 or more"):
        make_network(node_channels=4, num_nodes=None)
    known = make_network(node_channels=4)
    assert known.node_weights(NODES) == {"embedding.weight": []}
    assert known.knows_nodes
    assert known.serves_strangers
    assert make_network().node_weights(NODES) == {}
    assert not make_network().knows_nodes


def test_vectors_are_swapped_and_hidden_in_training_and_not_after():
    embedding = NodeEmbedding(50, 1)
    with torch.no_grad():
        embedding.weight.copy_(torch.arange(50.0)[:, None])
        embedding.stranger.fill_(-1)
    own = torch.arange(50.0)
    drawn = embedding(None, 400)[..., 0]
    hidden = drawn == -1
    other = (drawn != own) & ~hidden
    assert 0.08 < other.float().mean() < 0.12  # 9.8 % are expected, of 20,000
    assert 0.04 < hidden.float().mean() < 0.06
    assert (other.any(dim=0) & hidden.any(dim=0)).all()
    assert 10 < other.sum(dim=0).float().mean() < 70  # every window draws anew
    assert torch.equal(embedding.eval()(None, 3)[..., 0], own.expand(3, -1))
    for chances in ({"swap": -0.1}, {"hide": -0.1}, {"swap": 0.6, "hide": 0.6}):
        with pytest.raises(ValueError, match="'swap' and 'hide' as probabilities"):
            NodeEmbedding(50, 1, **chances)


def test_other_encoders_serve_and_are_made_again_from_the_recipe():
    for encoder in [
        partial(GRUEncoder, out_channels=16, patch=3),
        LINEAR,
        partial(SumEncoder, encoders=[partial(GRUEncoder, out_channels=16), LINEAR]),
    ]:
        network, batch = make_network(encoder=encoder), make_batch()
        again = make(describe(network)).double().eval()
        again.load_state_dict(network.state_dict())
        assert torch.equal(again(**batch), network(**batch))
        for row in (0, WINDOW - 1):
            readings = batch["features"].clone()
            readings[:, row] += 1
            assert not torch.allclose(network(**{**batch, "features": readings}), network(**batch))


def test_the_gru_is_that_of_torch_over_patches():
    encoder, x = GRUEncoder(2, 8, num_layers=2, patch=3), torch.randn(4, 7, 2)
    padded = torch.cat([torch.zeros(4, 2, 2), x], dim=1).reshape(4, 3, 6)
    assert torch.equal(to_patches(x, 3), padded)
    torch.testing.assert_close(encoder(x), encoder.gru(padded)[0][:, -1])


def test_encoders_that_do_not_fit_each_other_or_the_window_are_refused():
    with pytest.raises(ValueError, match=r"one 'out_channels'.*got \[16, 8\]"):
        SumEncoder(2, [LINEAR, partial(GRUEncoder, out_channels=8)], window=4)
    with pytest.raises(ValueError, match="one encoder or more"):
        SumEncoder(2, [])
    with pytest.raises(ValueError, match="got one of 3"):
        SumEncoder(2, [GRUEncoder(3)])
    with pytest.raises(ValueError, match="'window' of 1 or more"):
        LinearEncoder(2)
    with pytest.raises(ValueError, match=r"windows of 7 steps.*got 6"):
        make_network()(**make_batch(window=6))


@both_forms
def test_sizes_told_later_make_the_same_network(form):
    torch.manual_seed(1)
    now = SocialGraphNet(**SIZES, num_nodes=NODES, **form(), node_channels=2)
    later = SocialGraphNet(**form(), node_channels=2)
    torch.manual_seed(1)
    later.build(*SIZES.values(), VDIDS)
    batch = make_batch(dtype=torch.float)
    torch.testing.assert_close(now.eval()(**batch), later.eval()(**batch), rtol=0, atol=0)


def test_a_network_without_sizes_says_so():
    network = SocialGraphNet(**plain())
    for use in (
        lambda: network(**make_batch()),
        lambda: network.start(NODES),
        lambda: network.step(None, **make_batch(1, window=1)),
    ):
        with pytest.raises(RuntimeError, match="has no sizes yet"):
            use()
    assert list(network.parameters()) == []


def test_a_second_build_compares_the_sizes():
    for name in list(SIZES):
        network = make_network()
        weights = copy.deepcopy(network.state_dict())
        network.build(**SIZES, vdids=VDIDS[:3], max_radius=2000.0)  # without vectors any detectors
        for key, weight in network.state_dict().items():
            if isinstance(weight, torch.Tensor):
                assert torch.equal(weight, weights[key])
        with pytest.raises(ValueError, match=rf"made for .*'{name}': .*the data have .*'{name}': "):
            network.build(**{**SIZES, name: SIZES[name] + 1}, vdids=VDIDS)


def test_without_a_window_of_its_own_it_takes_any():
    network = make_network(plain, window=None)
    network.build(**SIZES, vdids=VDIDS)
    assert network(**make_batch(window=9)).shape == (2, HORIZON, NODES, 2)


def test_node_vectors_of_another_number_of_detectors_are_refused():
    network = SocialGraphNet(**stacked(None), node_channels=2)
    network.build(**SIZES, vdids=VDIDS)
    network.build(**SIZES, vdids=VDIDS)
    with pytest.raises(ValueError, match=r"'num_nodes': 5.*the data have .*'num_nodes': 4"):
        network.build(**SIZES, vdids=VDIDS[:4])


def test_the_pooling_takes_the_reach_of_the_graph_and_may_not_exceed_it():
    for told in ({}, {"max_radius": None}):
        network = SocialGraphNet(**plain(**told))
        network.build(**SIZES, vdids=VDIDS, max_radius=1700.0)
        assert network.poolings[0].max_radius == 1700.0
    own = SocialGraphNet(**plain(max_radius=1500.0))
    own.build(**SIZES, vdids=VDIDS, max_radius=1700.0)
    assert own.poolings[0].max_radius == 1500.0
    wide = SocialGraphNet(**plain(max_radius=1800.0))
    for built in (wide, network, make_network(plain)):
        with pytest.raises(ValueError, match=r"'max_radius' = \d+, but no edge .* 1600 metres"):
            built.build(**SIZES, vdids=VDIDS, max_radius=1600.0)
    blocks = SocialGraphNet(**stacked())
    with pytest.raises(ValueError, match=r"'max_radius' = 900, but no edge .* 500 metres"):
        blocks.build(**SIZES, vdids=VDIDS, max_radius=500.0)


def test_sizes_that_do_not_fit_are_refused():
    for sizes, words in [
        ({"in_channels": 2}, r"'horizon' of 1 or more.*got None"),
        ({"in_channels": 2, "horizon": 0}, r"'horizon' of 1 or more.*got 0"),
        ({"in_channels": 2, "horizon": 3}, "'window' of 1 or more for a LinearEncoder"),
        ({"in_channels": 2, "horizon": 3, "out_channels": 3}, "'out_channels' from 1 to .* = 2"),
        ({"in_channels": 2, "horizon": 3, "out_channels": 0}, "'out_channels' from 1 to .* = 2"),
        ({"window": 4}, "'in_channels' with the other sizes"),
        ({"horizon": 3}, "'in_channels' with the other sizes"),
        ({"out_channels": 1}, "'in_channels' with the other sizes"),
        ({"num_nodes": 5}, "'in_channels' with the other sizes"),
        ({"in_channels": 2, "horizon": 3, "encoder": XLSTMEncoder(12)}, "8 input .*got one of 12"),
        ({"num_blocks": 0}, "'num_blocks' of 1 or more"),
        ({"node_channels": -1}, "'node_channels' of 0 or more"),
    ]:
        with pytest.raises(ValueError, match=words):
            SocialGraphNet(**sizes)


def make_watched(form, aggr):
    """A network with everything on, and what makes a batch of it."""
    parts = form(aggr, pos_dim=2, edge_dim=3, heads=2) if aggr == "attention" else form(aggr)
    network = SocialGraphNet(
        **{**SIZES, "window": 3}, num_nodes=NODES, **parts, node_channels=2, mask_silent=True
    )
    edge_attr = torch.randn(4, 3)

    def make_one(batch):
        return make_batch(batch, torch.float, window=3) | {"edge_attr": edge_attr}

    return network.eval(), make_one


@pytest.mark.parametrize(
    ("form", "aggr"), [(plain, "mean"), (plain, "attention"), (stacked, "attention")]
)
def test_no_forward_reads_data_on_the_host(form, aggr):
    network, make_one = make_watched(form, aggr)
    network = network.to("meta")  # has shapes and no numbers
    batch = {name: part.to("meta") for name, part in make_one(2).items()}
    node = torch.arange(NODES, device="meta")
    assert network(**batch, node=node).shape == (2, 3, NODES, 2)
    network.mask_silent = False
    if not network.steps:
        return
    one = {n: part[:1, :1] if n in WINDOWED else part for n, part in batch.items()}
    forecast, _ = network.step(network.start(NODES), **one, node=node)
    assert forecast.shape == (1, 3, NODES, 2)


@pytest.mark.parametrize("aggr", ["mean", "attention"])
def test_reading_by_reading_it_forecasts_as_from_the_history_whole(aggr):
    network, make_one = make_watched(plain, aggr)
    batch = make_one(1)
    batch["mask"][0, 0], batch["mask"][0, 1:, 0] = True, False  # whose last reading is the first
    batch["mask"][0, :, 2] = False
    batch["features"] = batch["features"].masked_fill(~batch["mask"], 0)
    network.mask_silent = False
    steps = ("features", "mask", "time_of_day", "day_of_week")
    node = torch.tensor([2, 0, 1, 4, 3])
    with torch.no_grad():
        state = network.start(NODES)
        for step in range(3):
            one = batch | {name: batch[name][:, step : step + 1] for name in steps}
            forecast, state = network.step(state, state, **one, node=node)
        torch.testing.assert_close(forecast, network(**batch, node=node), rtol=1e-4, atol=1e-5)
    assert torch.equal(state.last[0], batch["features"][0, 0, 0])
    assert state.last[2].isnan().all()


def test_a_network_that_reads_patches_or_the_window_cannot_step():
    assert make_network(plain).steps
    assert not make_network(stacked).steps
    assert not make_network(plain, encoder=PATCHES).steps
    assert not make_network(plain, encoder=LINEAR).steps
    assert not make_network(plain, mask_silent=True).steps


@pytest.mark.slow
@pytest.mark.parametrize(("form", "aggr"), [(plain, "mean"), (stacked, "attention")])
def test_compiles_whole_for_batches_of_any_size_to_the_same_numbers(form, aggr):
    """As a graph; the code made of one is tested on its heavy parts, encoder and pooling."""
    network, make_one = make_watched(form, aggr)
    torch.compiler.reset()
    counters.clear()
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend="aot_eager")
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    for size in (11, 13):  # none is that of another axis, which would be taken to be the same
        batch = make_one(size)
        outs = compiled(**batch), network(**batch)
        torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
        mine, truth = (
            torch.autograd.grad(out.square().sum(), weights, materialize_grads=True) for out in outs
        )
        for own, other in zip(mine, truth, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1


def test_strict_mode_refuses_missing_positions():
    words = (
        r"Social pooling is enabled but 'positions_xy' is missing.*"
        r"data_prep inspect.*data_prep backfill"
    )
    network = make_network(plain)
    for lacking in ({"positions_xy": None}, {}):
        batch = make_batch()
        del batch["positions_xy"]
        with pytest.raises(RuntimeError, match=words):
            network(**batch, **lacking)
    with pytest.raises(RuntimeError, match=words):
        network.check_batch(None, VDIDS)
    with pytest.raises(RuntimeError, match=words):
        network.step(network.start(NODES), **{**make_batch(1, window=1), "positions_xy": None})


@pytest.mark.parametrize("shape", [(NODES, 3), (NODES - 1, 2), (NODES * 2,)])
def test_strict_mode_refuses_a_wrong_shape_and_names_both(shape):
    network, positions = make_network(), torch.zeros(shape)
    for check in (
        lambda: network(**{**make_batch(), "positions_xy": positions}),
        lambda: network.check_batch(positions, VDIDS),
    ):
        with pytest.raises(RuntimeError, match=r"has shape .*expected \(5, 2\)") as error:
            check()
        assert str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_strict_mode_names_the_detectors_at_fault(value):
    positions = make_batch()["positions_xy"]
    make_network().check_batch(positions, VDIDS)
    positions[2, 1] = value
    with pytest.raises(RuntimeError, match="NaN or infinite for 1 of 5 VDs: VD-2"):
        make_network().check_batch(positions, VDIDS)
    many = torch.full((13, 2), value)
    with pytest.raises(RuntimeError, match=r"for 13 of 13 VDs: 0, .*, 9 and 3 more\. Inspect"):
        make_network().check_batch(many, [str(i) for i in range(13)])


@pytest.mark.parametrize(("form", "name"), [(plain, "edge_index"), (stacked, "distance")])
def test_positions_without_their_graph_are_refused(form, name):
    with pytest.raises(RuntimeError, match=f"'{name}' is missing.*socialgraph.graph"):
        make_network(form)(**{**make_batch(), name: None})


@both_forms
def test_without_pooling_no_position_is_needed(form):
    batch = make_batch()
    for name in ("positions_xy", "edge_index", "distance"):
        del batch[name]
    network = make_network(form, None)
    assert network(**batch).isfinite().all()
    network.check_batch(None, VDIDS)


@pytest.mark.parametrize("hidden_channels", [None, 5])
def test_the_head_treats_every_node_alike(hidden_channels):
    head = RegressionHead(8, out_channels=2, horizon=3, hidden_channels=hidden_channels)
    x = torch.randn(2, 4, 8)
    assert head(x).shape == (2, 3, 4, 2)
    torch.testing.assert_close(head(x[:, [2]]), head(x)[:, :, [2]])


@pytest.mark.parametrize(("form", "aggr"), [(plain, None), (stacked, "attention")])
def test_a_copy_from_the_recipe_has_its_weights_in_the_same_order(form, aggr):
    made = SocialGraphNet(**form(aggr), node_channels=4)
    made.build(**SIZES, vdids=VDIDS, max_radius=1200.0)
    again = make(copy.deepcopy(describe(made)))
    again.load_state_dict(made.state_dict())
    assert [name for name, _ in made.named_parameters()] == [
        name for name, _ in again.named_parameters()
    ]
    batch = make_batch(dtype=torch.float)
    assert torch.equal(again.eval()(**batch), made.eval()(**batch))
    assert describe(again) == describe(made)
