"""The whole network: shapes, invariances, switches, sizes told later, and strict mode."""

import copy
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from socialgraph.nn import (
    GatedFusion,
    NodeEmbedding,
    RegressionHead,
    SocialGraphNet,
    SocialPooling,
    XLSTMEncoder,
)
from socialgraph.nn.inputs import NodeInputs
from socialgraph.recipe import describe, make

NODES = 5
VDIDS = [f"VD-{i}" for i in range(NODES)]
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # 3 and 4 have nobody
DISTANCE = torch.tensor([400.0, 400.0, 700.0, 700.0])


def make_parts(pooling="attention", **options):
    factory = partial(SocialPooling, aggr=pooling, radius=1000.0, **options) if pooling else None
    encoder = partial(XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=())
    return {"encoder": encoder, "pooling": factory}


def make_network(pooling="attention", **options):
    sizes = {"in_channels": 2, "horizon": 3, "num_nodes": NODES, **options}
    return SocialGraphNet(**sizes, **make_parts(pooling)).double()


def make_batch(batch=2, window=6, nodes=NODES, dtype=torch.double):
    return {
        "features": torch.randn(batch, window, nodes, 2, dtype=dtype),
        "mask": torch.rand(batch, window, nodes, 2) > 0.2,
        "time_of_day": torch.rand(batch, window, dtype=dtype),
        "day_of_week": torch.randint(0, 7, (batch, window)),
        "positions_xy": torch.rand(nodes, 2) * 1000,
        "edge_index": EDGE_INDEX,
        "distance": DISTANCE,
    }


def test_gives_a_forecast_per_step_detector_and_feature():
    assert make_network()(**make_batch()).shape == (2, 3, NODES, 2)
    assert make_network(out_channels=1)(**make_batch()).shape == (2, 3, NODES, 1)


@pytest.mark.parametrize("pooling", [None, "mean", "attention", "max", "inverse_distance"])
def test_a_detector_depends_on_itself_and_its_neighbours_alone(pooling):
    network, batch = make_network(pooling), make_batch(batch=1)
    features = batch.pop("features")
    jacobian = torch.autograd.functional.jacobian(
        lambda x: network(x, **batch).sum((1, 3)), features
    )  # [1, N, 1, T, N, F]
    heard = jacobian.abs().sum((0, 2, 3, 5)) > 0
    graph = torch.zeros(NODES, NODES, dtype=torch.bool)
    if pooling:
        graph[EDGE_INDEX[1], EDGE_INDEX[0]] = True
    assert torch.equal(heard, graph | torch.eye(NODES, dtype=torch.bool))


@pytest.mark.parametrize("pooling", [None, "mean", "attention"])
def test_relabelling_of_detectors_commutes(pooling):
    network, batch = make_network(pooling), make_batch()
    order = torch.randperm(NODES)
    moved = {
        **batch,
        "features": batch["features"][:, :, order],
        "mask": batch["mask"][:, :, order],
        "positions_xy": batch["positions_xy"][order],
        "edge_index": order.argsort()[EDGE_INDEX],
    }
    torch.testing.assert_close(network(**moved), network(**batch)[:, :, order])


def test_one_batch_equals_many():
    network, batch = make_network(), make_batch(batch=3)
    whole = network(**batch)
    windowed = ("features", "mask", "time_of_day", "day_of_week")
    for i in range(3):
        part = {k: v[i : i + 1] if k in windowed else v for k, v in batch.items()}
        torch.testing.assert_close(network(**part), whole[i : i + 1])


def test_an_isolated_detector_gets_the_forecast_of_a_network_without_pooling():
    social, alone = make_network("mean"), make_network(None)
    alone.load_state_dict(social.state_dict(), strict=False)
    batch = make_batch()
    torch.testing.assert_close(social(**batch)[:, :, 3:], alone(**batch)[:, :, 3:])
    assert not torch.allclose(social(**batch)[:, :, :3], alone(**batch)[:, :, :3])


def test_one_detector_alone_is_forecast():
    batch = make_batch(nodes=1)
    batch |= {"edge_index": EDGE_INDEX[:, :0], "distance": DISTANCE[:0]}
    assert make_network()(**batch).isfinite().all()


def test_all_readings_missing_gives_finite_forecasts_and_gradients():
    network, batch = make_network(), make_batch()
    batch["mask"] = torch.zeros_like(batch["mask"])
    batch["features"] = torch.zeros_like(batch["features"])
    out = network(**batch)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    ("switch", "entry"),
    [
        ("use_time_of_day", "time_of_day"),
        ("use_day_of_week", "day_of_week"),
    ],
)
def test_a_covariate_matters_until_it_is_switched_off(switch, entry):
    batch = make_batch()
    changed = {**batch, entry: batch[entry].flip(0, 1)}
    network = make_network()
    assert not torch.allclose(network(**batch), network(**changed))
    network = make_network(**{switch: False})
    torch.testing.assert_close(network(**batch), network(**{**changed, entry: None}))


def test_the_encoder_reads_values_mask_clock_and_day():
    inputs = NodeInputs(1, use_mask=True, use_time_of_day=True, use_day_of_week=True)
    readings = torch.tensor([5.0, 0.0]).view(1, 2, 1, 1)
    x = inputs(readings, readings > 0, torch.tensor([[0.25, 0.5]]), torch.tensor([[0, 6]]))
    days = torch.eye(7)
    expected = torch.stack(
        [
            torch.cat([torch.tensor([5.0, 1.0, 1.0, 0.0]), days[0]]),
            torch.cat([torch.tensor([0.0, 0.0, 0.0, -1.0]), days[6]]),
        ]
    )
    torch.testing.assert_close(x[0, :, 0], expected, rtol=0, atol=1e-6)
    assert inputs.out_channels == 11


def test_the_mask_can_be_switched_off():
    batch = make_batch()
    changed = {**batch, "mask": ~batch["mask"]}
    network = make_network(use_mask=False, from_last=False)
    torch.testing.assert_close(network(**batch), network(**changed))
    network = make_network(from_last=False)
    assert not torch.allclose(network(**batch), network(**changed))


def test_from_last_adds_the_last_observed_reading():
    network, batch = make_network(None), make_batch(batch=1)
    batch["mask"] = torch.ones_like(batch["mask"])
    batch["mask"][0, -2:, 0, 0] = False
    batch["mask"][0, :, 1, 1] = False
    with_last = network(**batch)
    network.from_last = False
    added = (with_last - network(**batch))[0, 0]  # [N, F]
    expected = batch["features"][0, -1].clone()
    expected[0, 0] = batch["features"][0, -3, 0, 0]
    expected[1, 1] = 0
    torch.testing.assert_close(added, expected)


def test_node_vectors_go_with_the_row_not_with_the_place():
    network = make_network(None, node_channels=4).eval()
    batch = make_batch()
    whole = network(**batch)
    some = torch.tensor([3, 1])
    part = batch | {name: batch[name][:, :, some] for name in ("features", "mask")}
    torch.testing.assert_close(network(**part, node=some), whole[:, :, some])
    assert not torch.allclose(network(**part, node=some.flip(0)), whole[:, :, some])
    with pytest.raises(ValueError, match=r"readings of 5 detectors.*got features \(2, 6, 2, 2\)"):
        network(**part)
    with pytest.raises(ValueError, match="readings of 3 detectors"):
        network(**part, node=torch.arange(3))


def test_node_vectors_need_detectors_and_none_are_there_without():
    with pytest.raises(ValueError, match="'num_nodes' of 1 or more"):
        make_network(None, node_channels=4, num_nodes=None)
    assert make_network(None, node_channels=4).node_weights(NODES) == {
        "inputs.embedding.weight": []
    }
    assert make_network(None).node_weights(NODES) == {}


def test_a_tenth_of_the_vectors_is_swapped_in_training_and_none_after():
    embedding = NodeEmbedding(50, 1)
    with torch.no_grad():
        embedding.weight.copy_(torch.arange(50.0)[:, None])
    own = torch.arange(50.0)
    other = embedding(None, 400)[..., 0] != own
    assert 0.08 < other.float().mean() < 0.12  # 9.8 % are expected, of 20,000
    assert (other.any(dim=0)).all()
    assert 10 < other.sum(dim=0).float().mean() < 70  # every window draws anew
    assert torch.equal(embedding.eval()(None, 3)[..., 0], own.expand(3, -1))


def test_sizes_told_later_make_the_same_network():
    torch.manual_seed(1)
    now = SocialGraphNet(2, 1, 3, NODES, **make_parts(), node_channels=2)
    later = SocialGraphNet(**make_parts(), node_channels=2)
    torch.manual_seed(1)
    later.build(2, 1, 3, VDIDS)
    batch = make_batch(dtype=torch.float)
    torch.testing.assert_close(now.eval()(**batch), later.eval()(**batch), rtol=0, atol=0)


def test_a_network_without_sizes_says_so():
    network = SocialGraphNet(**make_parts())
    reading = torch.zeros(NODES, 2)
    for use in (
        lambda: network(**make_batch()),
        lambda: network.start(NODES),
        lambda: network.step(None, reading, reading > 0),
    ):
        with pytest.raises(RuntimeError, match="has no sizes yet"):
            use()
    assert list(network.parameters()) == []


@pytest.mark.parametrize("sizes", [(3, 2, 3), (2, 1, 3), (2, 2, 4)])
def test_a_second_build_compares_the_sizes(sizes):
    network = make_network()
    weights = copy.deepcopy(network.state_dict())
    network.build(2, 2, 3, VDIDS[:3], 2000.0)  # without vectors any number of detectors
    for name, weight in network.state_dict().items():
        if isinstance(weight, torch.Tensor):
            assert torch.equal(weight, weights[name])
    with pytest.raises(ValueError, match=r"made for .* = \(2, 2, 3\), the data have"):
        network.build(*sizes, VDIDS)


def test_node_vectors_of_another_number_of_detectors_are_refused():
    network = SocialGraphNet(**make_parts(None), node_channels=2)
    network.build(2, 2, 3, VDIDS)
    network.build(2, 2, 3, VDIDS)
    with pytest.raises(ValueError, match=r"vectors of 5 detectors .*the data have 4"):
        network.build(2, 2, 3, VDIDS[:4])


def test_the_pooling_takes_the_reach_of_the_graph_and_may_not_exceed_it():
    for told in ({}, {"max_radius": None}):
        network = SocialGraphNet(**make_parts(**told))
        network.build(2, 2, 3, VDIDS, 1700.0)
        assert network.pooling.max_radius == 1700.0
    own = SocialGraphNet(**make_parts(max_radius=1500.0))
    own.build(2, 2, 3, VDIDS, 1700.0)
    assert own.pooling.max_radius == 1500.0
    wide = SocialGraphNet(**make_parts(max_radius=1800.0))
    for built in (wide, network, make_network()):
        with pytest.raises(ValueError, match=r"'max_radius' = \d+, but no edge .* 1600 metres"):
            built.build(2, 2, 3, VDIDS, 1600.0)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"in_channels": 2}, r"'horizon' of 1 or more.*got None"),
        ({"in_channels": 2, "horizon": 0}, r"'horizon' of 1 or more.*got 0"),
        ({"in_channels": 2, "horizon": 3, "out_channels": 3}, "'out_channels' from 1 to .* = 2"),
        ({"in_channels": 2, "horizon": 3, "out_channels": 0}, "'out_channels' from 1 to .* = 2"),
        ({"horizon": 3}, "'in_channels' with the other sizes"),
        ({"out_channels": 1}, "'in_channels' with the other sizes"),
        ({"num_nodes": 5}, "'in_channels' with the other sizes"),
        ({"in_channels": 2, "horizon": 3, "encoder": XLSTMEncoder(12)}, "13 input .*got one of 12"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        SocialGraphNet(**sizes)


def make_watched(aggr):
    """A network with everything on, and what makes a batch of it."""
    options = {"pos_dim": 2, "edge_dim": 3, "heads": 2} if aggr == "attention" else {}
    parts = make_parts(aggr, **options)
    parts["encoder"] = partial(XLSTMEncoder, hidden_channels=8, num_blocks=2, heads=2)
    network = SocialGraphNet(2, 1, 3, NODES, **parts, node_channels=2)
    graph = {"offset": torch.randn(4, 2), "edge_attr": torch.randn(4, 3)}
    return network.eval(), lambda batch: make_batch(batch, 3, dtype=torch.float) | graph


@pytest.mark.parametrize("aggr", ["mean", "attention"])
def test_no_forward_reads_data_on_the_host(aggr):
    network, make = make_watched(aggr)
    network = network.to("meta")  # has shapes and no numbers
    batch = {name: part.to("meta") for name, part in make(2).items()}
    node = torch.arange(NODES, device="meta")
    assert network(**batch, node=node).shape == (2, 3, NODES, 1)
    reading = {name: batch[name][0, 0] for name in ("features", "mask")}
    clock = {name: batch[name][0, 0] for name in ("time_of_day", "day_of_week")}
    forecast, _ = network.step(network.start(NODES), **batch | reading | clock, node=node)
    assert forecast.shape == (3, NODES, 1)


@pytest.mark.parametrize("aggr", ["mean", "attention"])
def test_reading_by_reading_it_forecasts_as_from_the_history_whole(aggr):
    network, make = make_watched(aggr)
    batch = make(1)
    batch["mask"][0, 1:, 0] = False  # whose last reading is the first
    batch["features"] = batch["features"].masked_fill(~batch["mask"], 0)
    steps = ("features", "mask", "time_of_day", "day_of_week")
    graph = {name: part for name, part in batch.items() if name not in steps}
    node = torch.tensor([2, 0, 1, 4, 3])
    with torch.no_grad():
        state = network.start(NODES)
        for step in range(3):
            reading = {name: batch[name][0, step] for name in steps}
            forecast, state = network.step(state, **reading, **graph, node=node, out=state)
        torch.testing.assert_close(forecast, network(**batch, node=node)[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(state.last[0], batch["features"][0, 0, 0])


def check_compiled(aggr, backend, sizes):
    """Compare a network that is compiled as one graph with itself, in value and gradient."""
    network, make = make_watched(aggr)
    torch.compiler.reset()
    counters.clear()
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=backend)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    for size in sizes:
        batch = make(size)
        outs = compiled(**batch), network(**batch)
        torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
        mine, truth = (
            torch.autograd.grad(out.square().sum(), weights, materialize_grads=True) for out in outs
        )
        for own, other in zip(mine, truth, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("aggr", ["mean", "attention"])
def test_compiles_whole_for_batches_of_any_size(aggr):
    # No size is that of another axis, which the compiler would take to be the same.
    check_compiled(aggr, "aot_eager", sizes=(7, 11))


@pytest.mark.slow
def test_compiled_code_gives_the_same_numbers():
    check_compiled("attention", "inductor", sizes=(7,))


def test_strict_mode_refuses_missing_positions():
    words = (
        r"Social pooling is enabled but 'positions_xy' is missing.*"
        r"data_prep inspect.*data_prep backfill"
    )
    network = make_network()
    with pytest.raises(RuntimeError, match=words):
        network(**{**make_batch(), "positions_xy": None})
    with pytest.raises(RuntimeError, match=words):
        network.check_batch(None, VDIDS)
    state, reading = network.start(NODES), torch.zeros(NODES, 2)
    with pytest.raises(RuntimeError, match=words):
        network.step(state, reading, reading > 0)


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


@pytest.mark.parametrize("name", ["edge_index", "distance"])
def test_positions_without_their_graph_are_refused(name):
    with pytest.raises(RuntimeError, match=f"'{name}' is missing.*socialgraph.graph"):
        make_network()(**{**make_batch(), name: None})


def test_without_pooling_no_position_is_needed():
    batch = make_batch()
    for name in ("positions_xy", "edge_index", "distance"):
        del batch[name]
    network = make_network(None)
    assert network(**batch).isfinite().all()
    network.check_batch(None, VDIDS)


def test_fusion_adds_the_gated_context_and_nothing_if_there_is_none():
    own = torch.randn(4, 8)
    fusion = GatedFusion(8, 6)
    torch.testing.assert_close(fusion(own, torch.zeros(4, 6)), own)
    context = torch.randn(4, 6)
    gate = torch.sigmoid(fusion.gate(torch.cat([own, context], dim=-1)))
    added = fusion(own, context) - own
    torch.testing.assert_close(added, gate * (context @ fusion.project.weight.T))


def test_the_head_treats_every_node_alike():
    head = RegressionHead(8, out_channels=2, horizon=3)
    x = torch.randn(2, 4, 8)
    assert head(x).shape == (2, 3, 4, 2)
    torch.testing.assert_close(head(x[:, [2]]), head(x)[:, :, [2]])


@pytest.mark.parametrize("pooling", ["attention", None])
def test_the_order_of_weights_is_the_same_for_factories_and_for_parts(pooling):
    sizes = {"in_channels": 2, "out_channels": 1, "horizon": 3, "num_nodes": NODES}
    made = SocialGraphNet(**sizes, **make_parts(pooling), node_channels=4)
    again = make(describe(made))
    assert [name for name, _ in made.named_parameters()] == [
        name for name, _ in again.named_parameters()
    ]
