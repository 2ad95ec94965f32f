"""An encoder per detector: the same function as the shared one; batches by id, strict mode."""

from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from socialgraph.nn import (
    ByDetector,
    Clock,
    ContextBlock,
    DistributedEncoder,
    GRUEncoder,
    LinearEncoder,
    Mask,
    Readings,
    SocialBlock,
    SocialGraphNet,
    SocialPooling,
    SumEncoder,
    XLSTMEncoder,
)
from socialgraph.nn.positions import edges_within
from socialgraph.recipe import describe, make
from tests.nn.test_encoder import perturb

IDS = ["VD-a", "VD.b", "keys", "VD-d", "VD-e"]  # dots and names of methods are ids like others
NODES, WINDOW, HORIZON = 5, 6, 3
SIZES = (2, 2, WINDOW, HORIZON)  # features per reading, predicted features, steps
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # VD-d and VD-e have nobody
POS = torch.tensor([[0.0, 0.0], [400.0, 0.0], [400.0, 700.0], [9e3, 0.0], [0.0, 9e3]])
DISTANCE = torch.tensor([400.0, 400.0, 700.0, 700.0])
GRAPH = {"edge_index": EDGE_INDEX, "distance": DISTANCE}
POOLINGS = [
    None,
    {"aggr": "mean", "learn_radius": False},
    {"aggr": "attention", "heads": 2, "pos_dim": 2, "edge_dim": 3},
]
BY_NODE = ("features", "mask", "profile", "profile_deviation")


def make_encoder(slstm_at=(1,), nested=False, **options):
    encoder = partial(
        XLSTMEncoder, hidden_channels=8, num_blocks=2, slstm_at=slstm_at, heads=2, **options
    )
    return partial(SumEncoder, encoders=[encoder]) if nested else encoder


def make_parts(pooling=None, **options):
    """The form of the guide: every step read, one pooling, a perceptron as head."""
    pooling = pooling and partial(SocialPooling, **{"radius": 500.0, "max_radius": 800.0} | pooling)
    return {
        "inputs": [Readings(), Mask(), Clock(1, day_of_week=True, where="window")],
        "encoder": make_encoder(**options),
        "block": pooling and [partial(ContextBlock, pooling=pooling)],
        "head_channels": 16,
    }


def make_stacked_parts(pooling):
    """The default form with identity; of two reaches the longer is not the last."""
    reaches = [{"radius": 500.0, "max_radius": 800.0}, {"radius": 250.0, "max_radius": 500.0}]
    poolings = [partial(SocialPooling, **pooling, **reach) for reach in reaches]
    xlstm = partial(make_encoder(slstm_at=()), out_channels=12, patch=4)
    return {
        "encoder": partial(SumEncoder, encoders=[xlstm, partial(LinearEncoder, out_channels=12)]),
        "node_channels": 4,
        "block": [partial(SocialBlock, pooling=pooling) for pooling in poolings],
    }


def distribute(parts, vectorised):
    encoder = partial(DistributedEncoder, encoder=parts["encoder"], vectorised=vectorised)
    return parts | {"encoder": encoder}


def make_distributed(pooling=None, vectorised=False, nodes=NODES, **options):
    return SocialGraphNet(*SIZES, nodes, **distribute(make_parts(pooling, **options), vectorised))


def make_pair(parts, vectorised, dtype=torch.double):
    """A shared network, and a distributed one with its weights."""
    shared = perturb(SocialGraphNet(*SIZES, NODES, **parts).to(dtype))
    distributed = SocialGraphNet(*SIZES, NODES, **distribute(parts, vectorised)).to(dtype)
    copy_shared(shared, distributed)
    return shared.eval(), distributed.eval()


def copy_shared(shared, distributed):
    weights = shared.state_dict()
    rest = {name: w for name, w in weights.items() if not name.startswith("encoder.")}
    absent, unexpected = distributed.load_state_dict(rest, strict=False)
    assert unexpected == []
    assert all(name.startswith("encoder.") for name in absent)
    distributed.encoder.copy_shared(shared.encoder)


def make_batch(dtype=torch.double, batch=3, nodes=NODES):
    steps = (batch, WINDOW + HORIZON, nodes, 2)
    return {
        "features": torch.randn(batch, WINDOW, nodes, 2, dtype=dtype),
        "mask": torch.rand(batch, WINDOW, nodes, 2) > 0.2,
        "profile": torch.randn(steps, dtype=dtype),
        "profile_deviation": torch.rand(steps, dtype=dtype),
        "time_of_day": torch.rand(batch, WINDOW, dtype=dtype),
        "day_of_week": torch.randint(0, 7, (batch, WINDOW)),
        "positions_xy": POS,
        **GRAPH,
        "offset": torch.randn(4, 2, dtype=dtype),
        "edge_attr": torch.randn(4, 3, dtype=dtype),
    }


def by_detector(batch, vdids=IDS):
    """The same batch as dictionaries by id, without a graph."""
    steps = batch["features"].shape[:2]
    parts = {name: dict(zip(vdids, batch[name].unbind(2), strict=True)) for name in BY_NODE}
    parts["positions"] = {v: p.expand(*steps, 2) for v, p in zip(IDS, POS, strict=True)}
    return parts | {name: batch[name] for name in ("time_of_day", "day_of_week")}


def some_detectors(batch, order):
    return batch | {name: batch[name][:, :, order] for name in BY_NODE}


def get_weights(network, name):
    """A weight of the encoders of all detectors ``[N, *]``, and its gradient or None."""
    encoders = network.encoder.encoders
    if network.encoder.vectorised:
        weight = encoders.encoder.get_parameter(name)
        return weight, weight.grad
    own = [encoder.get_parameter(name) for encoder in encoders]
    gradients = [weight.grad for weight in own]
    return torch.stack(own), None if None in gradients else torch.stack(gradients)


both_forms = pytest.mark.parametrize("vectorised", [False, True], ids=["looped", "vectorised"])


@pytest.mark.slow
def test_more_encoders_than_the_compiler_would_compile_anew_share_one_graph():
    plain = perturb(make_distributed(nodes=20, slstm_at=()))
    compiled = make_distributed(nodes=20, slstm_at=(), compile=True)
    compiled.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float, batch=2, nodes=20)
    torch.compiler.reset()
    counters.clear()
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch), plain(**batch), rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(
    ("parts", "vectorised"),
    [
        (make_parts(POOLINGS[0]), False),
        (make_parts(POOLINGS[1]), True),
        (make_parts(POOLINGS[2]), False),
        (make_stacked_parts(POOLINGS[2]), True),
        (make_stacked_parts(POOLINGS[2]), False),
    ],
    ids=["alone", "mean", "attention", "stacked", "stacked, looped"],
)
def test_with_the_shared_weights_it_is_the_shared_network_in_value_and_gradient(parts, vectorised):
    shared, distributed = make_pair(parts, vectorised)
    batch = make_batch()
    outs = shared(**batch), distributed(**batch)
    torch.testing.assert_close(*outs, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(outs[0])
    for out in outs:
        (out * direction).sum().backward()
    for name, weight in shared.named_parameters():
        own = name.removeprefix("encoder.")
        if own == name:
            gradient = distributed.get_parameter(name).grad
        else:
            gradient = get_weights(distributed, own)[1].sum(0)
        assert weight.grad is not None, name
        torch.testing.assert_close(
            gradient, weight.grad, rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


@both_forms
def test_in_single_precision_it_is_the_shared_network_within_rounding(vectorised):
    shared, distributed = make_pair(make_parts(POOLINGS[-1]), vectorised, torch.float)
    batch = make_batch(torch.float)
    expected = shared(**batch)
    assert (distributed(**batch) - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("slstm_at", [(), (0, 1)])
def test_both_forms_agree_where_every_detector_has_weights_of_its_own(slstm_at):
    looped = perturb(make_distributed(slstm_at=slstm_at).double())
    stacked = make_distributed(vectorised=True, slstm_at=slstm_at).double()
    weights = {k: v for k, v in looped.state_dict().items() if not k.startswith("encoder.")}
    for name, _ in looped.encoder.encoder.named_parameters():
        weights[f"encoder.encoders.encoder.{name}"] = get_weights(looped, name)[0]
    stacked.load_state_dict(weights)
    batch = make_batch()
    torch.testing.assert_close(stacked(**batch), looped(**batch), rtol=1e-12, atol=1e-12)


@both_forms
def test_a_detector_is_read_by_its_own_encoder_alone(vectorised):
    network = make_distributed(vectorised=vectorised).double()
    network(**make_batch())[:, :, 2].sum().backward()
    for name, _ in make_encoder()(1).named_parameters():
        _, gradients = get_weights(network, name)
        moved = [i for i, gradient in enumerate(gradients) if gradient.abs().sum() > 0]
        assert set(moved) <= {2}, name
        if name == "project.weight":
            assert moved == [2]


@pytest.mark.parametrize(
    ("given", "vectorised"), [("factory", True), ("encoder", False), ("encoder", True)]
)
def test_starts_with_different_weights_for_each_detector(given, vectorised):
    parts = make_parts(dropout=0.25)
    if given == "encoder":
        parts["encoder"] = perturb(parts["encoder"](13))
    network = SocialGraphNet(*SIZES, NODES, **distribute(parts, vectorised))
    rows, _ = get_weights(network, "project.weight")
    if given == "encoder":
        rows = torch.cat([rows, parts["encoder"].project.weight[None]])
        recipe = describe(network)["init_args"]["encoder"]["init_args"]["encoder"]
        assert recipe == describe(parts["encoder"])
    assert len(rows.flatten(1).unique(dim=0)) == NODES + (given == "encoder")
    own = [name for name in network.state_dict() if name.startswith("encoder.")]
    assert all(name.startswith("encoder.encoders.") for name in own)


@pytest.mark.parametrize(
    ("pooling", "vectorised"), [(POOLINGS[0], True), (POOLINGS[2], False)], ids=str
)
def test_is_made_again_from_its_description(pooling, vectorised):
    parts = distribute(make_parts(pooling, gradient_checkpointing=True), vectorised)
    lazy = SocialGraphNet(**parts | {"inputs": [Readings()]})
    with pytest.raises(TypeError, match=r"'encoder' .* cannot be written"):
        describe(lazy)
    lazy.build(2, 1, WINDOW, HORIZON, IDS, 900.0)
    recipe = describe(lazy)
    again = make(recipe)
    assert describe(again) == recipe
    encoder = recipe["init_args"]["encoder"]["init_args"]
    assert encoder["num_nodes"] == recipe["init_args"]["num_nodes"] == NODES
    assert encoder["vectorised"] == vectorised
    assert encoder["encoder"]["init_args"]["gradient_checkpointing"]
    again.load_state_dict(perturb(lazy).state_dict())
    batch = make_batch(torch.float)
    torch.testing.assert_close(again(**batch), lazy(**batch), rtol=0, atol=0)


@both_forms
def test_the_default_form_is_made_again_from_its_description(vectorised):
    parts = distribute(make_stacked_parts({"aggr": "mean"}), vectorised)
    network = perturb(SocialGraphNet(*SIZES, NODES, **parts)).eval()
    again = make(describe(network)).eval()
    again.load_state_dict(network.state_dict())
    batch = make_batch(torch.float)
    torch.testing.assert_close(again(**batch), network(**batch), rtol=0, atol=0)


def test_an_encoder_that_is_not_of_this_library_is_stacked_too():
    class LastStep(torch.nn.Linear):
        out_channels = 8

        def forward(self, x):
            return super().forward(x)[:, -1]

    batch = make_batch(torch.float)
    outs = []
    for vectorised in (False, True):
        torch.manual_seed(0)
        parts = make_parts() | {"encoder": lambda width: LastStep(width, 8)}
        outs.append(SocialGraphNet(*SIZES, NODES, **distribute(parts, vectorised))(**batch))
    torch.testing.assert_close(*outs)


@pytest.mark.parametrize(("form", "vectorised"), [(make_parts, False), (make_stacked_parts, True)])
def test_dictionaries_by_id_give_the_same_forecasts(form, vectorised):
    batch = make_batch()
    shared, distributed = make_pair(form({"aggr": "attention"}), vectorised)
    expected = shared(**batch)
    for network in (shared, distributed):
        forecast = ByDetector(network, IDS)(**by_detector(batch))
        assert list(forecast) == IDS
        torch.testing.assert_close(torch.stack(list(forecast.values()), 2), expected)


@both_forms
def test_some_detectors_in_another_order_find_their_encoders_and_vectors(vectorised):
    parts = distribute(make_stacked_parts({"aggr": "mean"}) | {"block": None}, vectorised)
    network = SocialGraphNet(*SIZES, NODES, **parts).double().eval()
    batch = make_batch()
    whole = network(**batch)
    for order in ([3, 0, 2], [4, 2, 0, 1, 3]):
        expected, some = whole[:, :, order], some_detectors(batch, order)
        torch.testing.assert_close(network(**some, node=torch.tensor(order)), expected)
        vdids = [IDS[i] for i in order]
        forecast = ByDetector(network, IDS)(**by_detector(some, vdids))
        assert list(forecast) == vdids
        torch.testing.assert_close(torch.stack(list(forecast.values()), 2), expected)


def test_strangers_are_served_by_a_shared_encoder():
    parts = make_stacked_parts({"aggr": "mean"}) | {"block": None}
    network = perturb(SocialGraphNet(*SIZES, NODES, **parts)).double().eval()
    some = some_detectors(make_batch(), [3, 0, 2])
    forecast = ByDetector(network, IDS)(**by_detector(some, ["new", "keys", "VD-a"]))
    expected = network(**some, node=torch.tensor([-1, 2, 0]))
    torch.testing.assert_close(torch.stack(list(forecast.values()), 2), expected)


@pytest.mark.parametrize(  # fewer than the chunks, and not a multiple
    ("vectorised", "num_nodes"), [(False, 9), (True, 1), (True, 9)]
)
@pytest.mark.slow
def test_gradient_checkpointing_changes_no_number(vectorised, num_nodes):
    plain, saving = (
        make_distributed(vectorised=vectorised, nodes=num_nodes, gradient_checkpointing=saving)
        for saving in (False, True)
    )
    saving.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float, nodes=num_nodes)
    for node in (None, torch.arange(num_nodes).flip(0)):
        for network in (plain, saving):
            network.zero_grad()
            network(**batch, node=node).square().sum().backward()
        for ours, theirs in zip(saving.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("training", "nested", "vectorised"),
    [(True, False, False), (True, True, False), (True, True, True), (False, False, True)],
)
def test_checkpointing_keeps_fewer_tensors_for_the_backward_pass_of_training(
    training, nested, vectorised
):
    kept = {}
    for saving in (False, True):
        network = make_distributed(
            vectorised=vectorised, nested=nested, gradient_checkpointing=saving
        )
        sizes = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network.train(training)(**make_batch(torch.float))
        kept[saving] = sum(sizes)
    assert kept[True] < kept[False] / 2 if training else kept[True] == kept[False]


@both_forms
def test_dropout_is_drawn_for_each_detector_by_itself(vectorised):
    options = {"slstm_at": (0, 1), "dropout": 0.5}
    shared = SocialGraphNet(*SIZES, **make_parts(**options))
    network = make_distributed(vectorised=vectorised, **options)
    copy_shared(shared, network)
    batch = make_batch(torch.float)
    for name in ("features", "mask"):
        batch[name] = batch[name][:, :, :1].expand(-1, -1, NODES, -1)
    forecast = network(**batch)
    assert len(forecast.transpose(0, 2).flatten(1).unique(dim=0)) == NODES
    forecast = network.eval()(**batch)
    torch.testing.assert_close(forecast, forecast[:, :, :1].expand_as(forecast))


@pytest.mark.parametrize("nested", [False, True])
def test_stacked_encoders_are_evaluated_without_the_compiler(nested):
    plain, told = (
        make_distributed(vectorised=True, nested=nested, compile=compiled)
        for compiled in (False, True)
    )
    told.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float)
    torch.testing.assert_close(told(**batch), plain(**batch), rtol=0, atol=0)


def test_vectors_of_an_encoder_have_no_weight_decay_when_stacked():
    looped, stacked = (make_distributed(vectorised=vectorised) for vectorised in (False, True))
    anchors = {"last_weight", "profile_weight"}
    assert looped.no_weight_decay() == anchors
    vectors = {n for n, w in looped.encoder.encoder.named_parameters() if w.ndim == 1}
    stacked_vectors = {f"encoder.encoders.encoder.{name}" for name in vectors}
    assert stacked.no_weight_decay() == anchors | stacked_vectors
    assert stacked_vectors <= set(dict(stacked.named_parameters()))


@both_forms
def test_node_weights_name_every_weight_by_detector_and_no_other(vectorised):
    parts = distribute(make_stacked_parts({"aggr": "mean"}), vectorised)
    network = SocialGraphNet(*SIZES, NODES, **parts)
    weights = network.state_dict()
    named = network.node_weights(NODES)
    parts = [name for name, own in named.items() for name in (own or [name])]
    own = {name for name in weights if name.startswith("encoder.")}
    assert set(parts) == own | {"embedding.weight"}
    assert len(parts) == len(set(parts))
    for name, own in named.items():
        assert len(own or weights[name]) == NODES


@both_forms
def test_knows_its_detectors_and_follows_no_stream(vectorised):
    shared, distributed = make_pair(make_parts(), vectorised)
    assert (shared.knows_nodes, shared.serves_strangers, shared.steps) == (False, True, True)
    assert distributed.knows_nodes
    assert not distributed.serves_strangers
    assert not distributed.steps


@both_forms
def test_pooling_without_positions_ends_with_a_clear_error(vectorised):
    network = make_distributed({"aggr": "mean"}, vectorised)
    batch = make_batch(torch.float)
    message = "Social pooling is enabled but '{}' is missing"
    with pytest.raises(RuntimeError, match=message.format("positions")):
        network.check_batch(None, IDS)
    with pytest.raises(RuntimeError, match=message.format("positions_xy")):
        network(**batch | {"positions_xy": None})
    with pytest.raises(RuntimeError, match=message.format("positions")):
        ByDetector(network, IDS)(**by_detector(batch) | {"positions": None})


def test_pooling_names_the_detectors_without_a_position():
    distributed = make_distributed({"aggr": "mean"})
    holes = POS.clone()
    holes[1] = torch.nan
    with pytest.raises(RuntimeError, match=r"Missing positions for VD 'VD\.b'"):
        distributed.check_batch(holes, IDS)
    distributed.check_batch(POS, IDS)
    network = ByDetector(distributed, IDS)
    parts = by_detector(make_batch(torch.float))
    for lacking, words in [
        (["VD.b"], r"Missing positions for VD 'VD\.b'"),
        (["keys", "VD-a"], "Missing positions for VD 'VD-a' and 1 more of 5"),
    ]:
        known = {v: p for v, p in parts["positions"].items() if v not in lacking}
        unknown = {v: torch.full_like(p, torch.nan) for v, p in parts["positions"].items()}
        for positions in (known, unknown | known):
            with pytest.raises(RuntimeError, match=words):
                network(**parts | {"positions": positions})


def test_positions_that_are_not_finite_at_one_step_are_missing():
    network = ByDetector(make_distributed({"aggr": "mean"}), IDS)
    parts = by_detector(make_batch(torch.float))
    positions = parts["positions"]["keys"].clone()
    positions[1, 2, 0] = torch.inf
    parts["positions"]["keys"] = positions
    with pytest.raises(RuntimeError, match="Missing positions for VD 'keys'"):
        network(**parts)


def test_pooling_refuses_positions_of_another_shape_or_that_change():
    network = make_distributed({"aggr": "mean"})
    batch = make_batch(torch.float)
    for check in (
        lambda: network(**batch | {"positions_xy": POS[:4]}),
        lambda: network.check_batch(POS[:4], IDS),
    ):
        with pytest.raises(RuntimeError, match=r"shape \(4, 2\); expected \(5, 2\)"):
            check()
    parts = by_detector(batch)
    parts["positions"]["VD-a"] = torch.zeros(3, 6, 3)
    with pytest.raises(RuntimeError, match=r"'positions' of VD 'VD-a' has shape \(3, 6, 3\)"):
        ByDetector(network, IDS)(**parts)
    parts["positions"]["VD-a"] = torch.rand(3, 6, 2)
    with pytest.raises(RuntimeError, match="'positions' of VD 'VD-a' changes"):
        ByDetector(network, IDS)(**parts)


def test_without_pooling_no_position_is_needed():
    network = make_distributed()
    parts = by_detector(make_batch(torch.float))
    del parts["positions"]
    assert ByDetector(network, IDS)(**parts)["VD-a"].shape == (3, HORIZON, 2)
    network.check_batch(None, IDS)


@both_forms
def test_refuses_detectors_that_have_no_encoder(vectorised):
    network = make_distributed(vectorised=vectorised).double()
    batch = make_batch()
    parts = by_detector(batch, [*IDS[:4], "new"])
    words = r"1 of 5 detectors have no encoder, among them \['new'\]"
    with pytest.raises(ValueError, match=words):
        ByDetector(network, IDS)(**parts)
    with pytest.raises(ValueError, match=r"detectors that were in training.*got 2 others"):
        network(**batch, node=torch.tensor([0, -1, 2, 3, -1]))
    with pytest.raises(ValueError, match="Expected readings of 4 detectors"):
        network(**batch, node=torch.arange(4))
    with pytest.raises(ValueError, match="Expected readings of 5 detectors"):
        network(**make_batch(nodes=4))


def test_refuses_missing_and_repeated_detectors():
    network = make_distributed()
    batch = make_batch(torch.float)
    for name in ("mask", "profile"):
        parts = by_detector(batch)
        del parts[name]["keys"]
        with pytest.raises(ValueError, match=rf"Expected '{name}' for each VD.*\['keys'\]"):
            ByDetector(network, IDS)(**parts)
    with pytest.raises(ValueError, match=r"got twice: \['a'\]"):
        ByDetector(network, ["a", "b", "a"])


@both_forms
def test_sizes_told_later_make_the_same_network(vectorised):
    torch.manual_seed(1)
    now = make_distributed({"aggr": "mean"}, vectorised)
    later = SocialGraphNet(**distribute(make_parts({"aggr": "mean"}), vectorised))
    batch = make_batch(torch.float)
    with pytest.raises(RuntimeError, match="has no sizes yet"):
        later(**batch)
    with pytest.raises(RuntimeError, match="has no sizes yet"):
        ByDetector(later, IDS)(**by_detector(batch))
    torch.manual_seed(1)
    later.build(*SIZES, IDS, 800.0)
    torch.testing.assert_close(later(**batch), now(**batch), rtol=0, atol=0)


@pytest.mark.parametrize("given", ["now", "later"])
def test_a_second_build_compares_the_sizes_and_the_number_of_detectors(given):
    network = make_distributed()
    if given == "later":
        network = SocialGraphNet(**distribute(make_parts(), vectorised=True))
        network.build(*SIZES, IDS)
    weights = {name: weight.clone() for name, weight in network.state_dict().items()}
    network.build(*SIZES, IDS[::-1])
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, weights[name])
    sizes = [(3, 2, 6, 3), (2, 1, 6, 3), (2, 2, 7, 3), (2, 2, 6, 4)]
    for other in [*((own, IDS) for own in sizes), (SIZES, IDS[:4])]:
        with pytest.raises(ValueError, match=r"'num_nodes': 5, 'width': 1\}, the data have"):
            network.build(*other[0], other[1])


def test_sizes_that_do_not_fit_are_refused():
    parts = make_parts({"aggr": "mean"})
    with pytest.raises(ValueError, match=r"'num_nodes' of 1 or more for an encoder .*got 0"):
        SocialGraphNet(*SIZES, **distribute(parts, vectorised=True))
    with pytest.raises(ValueError, match=r"'num_nodes' of 1 or more for an encoder .*got None"):
        DistributedEncoder(13, parts["encoder"])
    narrow = parts | {"encoder": parts["encoder"](12)}
    with pytest.raises(ValueError, match=r"13 input channels.*got one of 12"):
        SocialGraphNet(*SIZES, NODES, **distribute(narrow, vectorised=True))
    with pytest.raises(ValueError, match="no edge of the graph is longer than 700"):
        make_distributed({"aggr": "mean"}).build(*SIZES, IDS, 700.0)


def test_a_graph_numbers_the_detectors_of_a_dictionary_as_it_lists_them():
    shared, distributed = make_pair(make_parts({"aggr": "attention"}), vectorised=False)
    network = ByDetector(distributed, IDS)
    batch = make_batch()
    parts = by_detector(batch)
    turned = {vdid: parts["features"][vdid] for vdid in IDS[::-1]}
    graph = {"edge_index": NODES - 1 - EDGE_INDEX, "distance": DISTANCE}
    one = {name: part[..., :1] for name, part in GRAPH.items()}
    turned_one = {name: part[..., :1] for name, part in graph.items()}
    # Between all pairs in reach, or as they are told.
    for given, truth in (({}, {}), (graph, {}), (turned_one, one)):
        forecast = network(**parts | {"features": turned} | given)
        forecast = torch.stack([forecast[vdid] for vdid in IDS], 2)
        torch.testing.assert_close(forecast, shared(**batch | truth))


def test_encoders_for_another_number_of_detectors_are_refused():
    four = DistributedEncoder(13, make_encoder(), NODES - 1)
    with pytest.raises(ValueError, match=r"made for 4 detectors, the network is for 5"):
        SocialGraphNet(*SIZES, NODES, **make_parts() | {"encoder": four})
    with pytest.raises(ValueError, match=r"ids of the 5 detectors .*got 4"):
        ByDetector(make_distributed(), IDS[:4])


def test_encoders_that_cannot_be_vectorised_are_looped():
    with pytest.raises(ValueError, match=r"a GRUEncoder .* vectorised=False"):
        DistributedEncoder(13, GRUEncoder, NODES)
    looped = DistributedEncoder(13, GRUEncoder, NODES, vectorised=False)
    assert looped(torch.randn(2 * NODES, 6, 13)).shape == (2 * NODES, 64)


def test_a_network_that_carries_no_state_says_so():
    with pytest.raises(RuntimeError, match=r"carries no state .*DistributedEncoder"):
        make_distributed().start(NODES)


def test_all_pairs_up_to_the_radius_are_joined():
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.1], [0.0, 0.0]])
    edge_index, distance = edges_within(pos, 5.0)
    pairs = [[0, 1], [0, 3], [1, 0], [1, 2], [1, 3], [2, 1], [3, 0], [3, 1]]
    assert edge_index.T.tolist() == pairs  # 5 m apart too, and at one place; nobody with itself
    expected = torch.tensor([5, 0, 5, 0.1, 5, 0.1, 0, 5])
    torch.testing.assert_close(distance, expected, rtol=0, atol=1e-6)


@both_forms
def test_an_encoder_of_other_sizes_is_not_copied(vectorised):
    own = DistributedEncoder(13, make_encoder(), NODES, vectorised)
    weights = {name: weight.clone() for name, weight in own.state_dict().items()}
    for options in ({"heads": 1}, {"num_blocks": 1, "slstm_at": ()}, {"out_channels": 4}):
        with pytest.raises(ValueError, match="an encoder with the sizes of this network's"):
            own.copy_shared(partial(make_encoder(), **options)(13))
    for name, weight in own.state_dict().items():
        assert torch.equal(weight, weights[name])
