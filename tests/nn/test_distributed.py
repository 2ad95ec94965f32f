"""The distributed baseline: the same function as the shared network, and strict mode."""

from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from socialgraph.nn import DistributedSocialGraphNet, SocialGraphNet, SocialPooling, XLSTMEncoder
from socialgraph.nn.positions import edges_within
from socialgraph.recipe import describe, make
from tests.nn.test_encoder import perturb

IDS = ["VD-a", "VD.b", "keys", "VD-d", "VD-e"]  # dots and names of methods are ids like others
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # VD-d and VD-e have nobody
POS = torch.tensor([[0.0, 0.0], [400.0, 0.0], [400.0, 700.0], [9e3, 0.0], [0.0, 9e3]])
DISTANCE = torch.tensor([400.0, 400.0, 700.0, 700.0])
GRAPH = {"edge_index": EDGE_INDEX, "distance": DISTANCE}
POOLINGS = [
    None,
    {"aggr": "mean", "learn_radius": False},
    {"aggr": "attention", "heads": 2, "pos_dim": 2, "edge_dim": 3},
]
SIZES = (2, 2, 3)  # features per reading, predicted features, steps


def make_parts(pooling, slstm_at=(1,), **options):
    encoder = partial(
        XLSTMEncoder, hidden_channels=8, num_blocks=2, slstm_at=slstm_at, heads=2, **options
    )
    reach = {"max_radius": 800.0, "radius": 500.0}
    return {"encoder": encoder, "pooling": pooling and partial(SocialPooling, **reach, **pooling)}


def make_distributed(pooling=None, vectorised=False, vdids=IDS, **options):
    parts = make_parts(pooling, **options)
    return DistributedSocialGraphNet(*SIZES, vdids, **parts, vectorised=vectorised)


def make_pair(pooling, vectorised, dtype=torch.double):
    """A shared network, and a distributed one with its weights."""
    shared = perturb(SocialGraphNet(*SIZES, **make_parts(pooling)).to(dtype))
    distributed = make_distributed(pooling, vectorised).to(dtype)
    distributed.copy_shared(shared)
    return shared, distributed


def make_batch(dtype=torch.double, batch=3, window=6, nodes=5):
    return {
        "features": torch.randn(batch, window, nodes, 2, dtype=dtype),
        "mask": torch.rand(batch, window, nodes, 2) > 0.2,
        "time_of_day": torch.rand(batch, window, dtype=dtype),
        "day_of_week": torch.randint(0, 7, (batch, window)),
        "positions_xy": POS,
        **GRAPH,
        "offset": torch.randn(4, 2, dtype=dtype),
        "edge_attr": torch.randn(4, 3, dtype=dtype),
    }


both_forms = pytest.mark.parametrize("vectorised", [False, True], ids=["looped", "vectorised"])


def by_detector(batch):
    """The same batch as a dictionary per detector, without a graph."""
    steps = batch["features"].shape[:2]
    parts = {
        "features": dict(zip(IDS, batch["features"].unbind(2), strict=True)),
        "mask": dict(zip(IDS, batch["mask"].unbind(2), strict=True)),
        "positions": {v: p.expand(*steps, 2) for v, p in zip(IDS, POS, strict=True)},
    }
    return parts | {name: batch[name] for name in ("time_of_day", "day_of_week")}


@pytest.mark.slow
def test_more_encoders_than_the_compiler_would_compile_anew_share_one_graph():
    vdids = [f"VD-{i}" for i in range(20)]
    plain = perturb(make_distributed(vdids=vdids, slstm_at=()))
    compiled = make_distributed(vdids=vdids, slstm_at=(), compile=True)
    compiled.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float, batch=2, nodes=20)
    torch.compiler.reset()
    counters.clear()
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch), plain(**batch), rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1


@both_forms
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_with_the_shared_weights_it_is_the_shared_network_in_value_and_gradient(
    pooling, vectorised
):
    shared, distributed = make_pair(pooling, vectorised)
    batch = make_batch()
    outs = shared(**batch), distributed(**batch)
    torch.testing.assert_close(*outs, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(outs[0])
    for out in outs:
        (out * direction).sum().backward()
    for name, weight in shared.encoder.named_parameters():
        if vectorised:
            total = distributed.encoders.encoder.get_parameter(name).grad.sum(0)
        else:
            total = sum(own.get_parameter(name).grad for own in distributed.encoders)
        torch.testing.assert_close(total, weight.grad, rtol=1e-10, atol=1e-12)
    for part in ("pooling", "fusion", "head"):
        if getattr(shared, part) is None:
            continue
        mine, theirs = getattr(distributed, part), getattr(shared, part)
        for (name, own), weight in zip(mine.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(own.grad, weight.grad, msg=lambda m, n=name: f"{n}: {m}")


@both_forms
def test_in_single_precision_it_is_the_shared_network_within_rounding(vectorised):
    shared, distributed = make_pair(POOLINGS[-1], vectorised, torch.float)
    batch = make_batch(torch.float)
    expected = shared(**batch)
    assert (distributed(**batch) - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("slstm_at", [(), (0, 1)])
def test_both_forms_agree_where_every_detector_has_weights_of_its_own(slstm_at):
    looped = perturb(make_distributed(slstm_at=slstm_at).double())
    stacked = make_distributed(vectorised=True, slstm_at=slstm_at).double()
    weights = {k: v for k, v in looped.state_dict().items() if not k.startswith("encoders.")}
    for name, _ in looped.encoders[0].named_parameters():
        own = torch.stack([encoder.get_parameter(name) for encoder in looped.encoders])
        weights[f"encoders.encoder.{name}"] = own
    stacked.load_state_dict(weights)
    batch = make_batch()
    torch.testing.assert_close(stacked(**batch), looped(**batch), rtol=1e-12, atol=1e-12)


@both_forms
def test_a_detector_is_read_by_its_own_encoder_alone(vectorised):
    network = make_distributed(vectorised=vectorised).double()
    network(**make_batch())[:, :, 2].sum().backward()
    for name, _ in make_parts(None)["encoder"](1).named_parameters():
        if vectorised:
            gradients = network.encoders.encoder.get_parameter(name).grad
        else:
            gradients = [own.get_parameter(name).grad for own in network.encoders]
        moved = [i for i, gradient in enumerate(gradients) if gradient.abs().sum() > 0]
        assert set(moved) <= {2}, name
        if name == "project.weight":
            assert moved == [2]


@both_forms
@pytest.mark.parametrize("given", ["factory", "encoder"])
def test_starts_with_different_weights_for_each_detector(given, vectorised):
    parts = make_parts(None, dropout=0.25)
    encoder = parts["encoder"] if given == "factory" else perturb(parts["encoder"](13))
    network = DistributedSocialGraphNet(*SIZES, IDS, encoder, vectorised=vectorised)
    weights = [w for n, w in network.encoders.named_parameters() if n.endswith("project.weight")]
    rows = weights[0] if vectorised else torch.stack(weights)
    if given == "encoder":
        rows = torch.cat([rows, encoder.project.weight[None]])
    assert len(rows.flatten(1).unique(dim=0)) == len(IDS) + (given == "encoder")
    if given == "encoder":
        assert describe(network)["init_args"]["encoder"] == describe(encoder)
    assert not [name for name in network.state_dict() if name.startswith(("encoder.", "_encoder"))]


@both_forms
@pytest.mark.parametrize("pooling", POOLINGS[::2], ids=str)
def test_is_made_again_from_its_description(pooling, vectorised):
    lazy = DistributedSocialGraphNet(
        **make_parts(pooling, gradient_checkpointing=True), use_mask=False, vectorised=vectorised
    )
    with pytest.raises(TypeError, match=r"'encoder' .* cannot be written"):
        describe(lazy)
    lazy.build(2, 1, 3, IDS, 900.0)
    recipe = describe(lazy)
    again = make(recipe)
    assert describe(again) == recipe
    assert recipe["init_args"]["vdids"] == IDS
    assert recipe["init_args"]["encoder"]["init_args"]["gradient_checkpointing"]
    again.load_state_dict(perturb(lazy).state_dict())
    batch = make_batch(torch.float)
    torch.testing.assert_close(again(**batch), lazy(**batch), rtol=0, atol=0)


def test_an_encoder_that_is_not_of_this_library_is_stacked_too():
    class LastStep(torch.nn.Linear):
        out_channels = 8

        def forward(self, x):
            return super().forward(x)[:, -1]

    batch = make_batch(torch.float)
    outs = []
    for vectorised in (False, True):
        torch.manual_seed(0)
        network = DistributedSocialGraphNet(
            *SIZES, IDS, lambda width: LastStep(width, 8), vectorised=vectorised
        )
        outs.append(network(**batch))
    torch.testing.assert_close(*outs)


@both_forms
def test_a_dictionary_per_detector_gives_the_same_forecasts(vectorised):
    shared, distributed = make_pair({"aggr": "attention"}, vectorised)
    batch = make_batch()
    forecast = distributed(**by_detector(batch))
    assert list(forecast) == IDS
    expected = shared(**batch)
    for i, vdid in enumerate(IDS):
        torch.testing.assert_close(forecast[vdid], expected[:, :, i])


@both_forms
def test_some_detectors_in_another_order_find_their_encoders(vectorised):
    network = make_distributed(vectorised=vectorised).double()
    batch, order = make_batch(), [3, 0, 2]
    expected = network(**batch)[:, :, order]
    some = batch | {name: batch[name][:, :, order] for name in ("features", "mask")}
    torch.testing.assert_close(network(**some, node=torch.tensor(order)), expected)
    parts = by_detector(batch)
    some = {name: {IDS[i]: parts[name][IDS[i]] for i in order} for name in ("features", "mask")}
    forecast = network(**parts | some)
    assert list(forecast) == [IDS[i] for i in order]
    torch.testing.assert_close(torch.stack(list(forecast.values()), 2), expected)


@both_forms
@pytest.mark.parametrize("num_nodes", [1, 9])  # fewer than the chunks, and not a multiple
@pytest.mark.slow
def test_gradient_checkpointing_changes_no_number(vectorised, num_nodes):
    ids = [f"VD-{i}" for i in range(num_nodes)]
    plain = make_distributed(vectorised=vectorised, vdids=ids)
    saving = make_distributed(vectorised=vectorised, vdids=ids, gradient_checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float, nodes=num_nodes)
    for network in (plain, saving):
        network(**batch).square().sum().backward()
    for ours, theirs in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@both_forms
@pytest.mark.parametrize("training", [True, False])
def test_checkpointing_keeps_fewer_tensors_for_the_backward_pass_of_training(vectorised, training):
    kept = {}
    for saving in (False, True):
        network = make_distributed(vectorised=vectorised, gradient_checkpointing=saving)
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
    shared = SocialGraphNet(*SIZES, **make_parts(None, slstm_at=(0, 1), dropout=0.5))
    network = make_distributed(vectorised=vectorised, slstm_at=(0, 1), dropout=0.5)
    network.copy_shared(shared)
    batch = make_batch(torch.float)
    for name in ("features", "mask"):
        batch[name] = batch[name][:, :, :1].expand(-1, -1, len(IDS), -1)
    forecast = network(**batch)
    assert len(forecast.transpose(0, 2).flatten(1).unique(dim=0)) == len(IDS)
    forecast = network.eval()(**batch)
    torch.testing.assert_close(forecast, forecast[:, :, :1].expand_as(forecast))


def test_stacked_encoders_are_evaluated_without_the_compiler():
    plain, told = (make_distributed(vectorised=True, compile=c) for c in (False, True))
    told.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float)
    torch.testing.assert_close(told(**batch), plain(**batch), rtol=0, atol=0)


def test_vectors_of_an_encoder_have_no_weight_decay_when_stacked():
    looped, stacked = (make_distributed(vectorised=vectorised) for vectorised in (False, True))
    assert looped.no_weight_decay() == set()
    vectors = {n for n, w in looped.encoders[0].named_parameters() if w.ndim == 1}
    assert stacked.no_weight_decay() == {f"encoders.encoder.{name}" for name in vectors}


@both_forms
def test_node_weights_name_every_weight_of_the_encoders_and_no_other(vectorised):
    network = make_distributed({"aggr": "mean"}, vectorised)
    weights = network.state_dict()
    named = network.node_weights(len(IDS))
    parts = [name for name, own in named.items() for name in (own or [name])]
    assert set(parts) == {name for name in weights if name.startswith("encoders.")}
    assert len(parts) == len(set(parts))
    for name, own in named.items():
        assert len(own or weights[name]) == len(IDS)


@both_forms
def test_pooling_without_positions_ends_with_a_clear_error(vectorised):
    _, network = make_pair({"aggr": "mean"}, vectorised)
    batch = make_batch()
    lacking = {k: v for k, v in batch.items() if k != "positions_xy"}
    message = "Social pooling is enabled but 'positions' is missing"
    with pytest.raises(RuntimeError, match=message):
        network.check_batch(None, IDS)
    with pytest.raises(RuntimeError, match=message):
        network(**by_detector(batch) | {"positions": None})
    with pytest.raises(RuntimeError, match="enabled but 'positions' is missing"):
        network(**lacking)


def test_pooling_names_the_detectors_without_a_position():
    _, network = make_pair({"aggr": "mean"}, False)
    batch = make_batch()
    holes = POS.clone()
    holes[1] = torch.nan
    with pytest.raises(RuntimeError, match=r"Missing positions for VD 'VD\.b'"):
        network.check_batch(holes, IDS)
    network.check_batch(POS, IDS)
    parts = by_detector(batch)
    del parts["positions"]["keys"], parts["positions"]["VD-a"]
    with pytest.raises(RuntimeError, match="Missing positions for VD 'VD-a' and 1 more of 5"):
        network(**parts)


def test_pooling_refuses_positions_of_another_shape_or_that_change():
    _, network = make_pair({"aggr": "mean"}, False)
    batch = make_batch()
    for check in (
        lambda: network(**batch | {"positions_xy": POS[:4]}),
        lambda: network.check_batch(POS[:4], IDS),
    ):
        with pytest.raises(RuntimeError, match=r"shape \(4, 2\); expected \(5, 2\)"):
            check()
    parts = by_detector(batch)
    parts["positions"]["VD-a"] = torch.zeros(3, 6, 3)
    with pytest.raises(RuntimeError, match=r"'positions' of VD 'VD-a' has shape \(3, 6, 3\)"):
        network(**parts)
    parts["positions"]["VD-a"] = torch.rand(3, 6, 2)
    with pytest.raises(RuntimeError, match="'positions' of VD 'VD-a' changes"):
        network(**parts)


def test_without_pooling_no_position_is_needed():
    _, network = make_pair(None, False)
    parts = by_detector(make_batch())
    del parts["positions"]
    assert network(**parts)["VD-a"].shape == (3, 3, 2)
    network.check_batch(None, IDS)


def test_refuses_unknown_missing_and_repeated_detectors():
    network = make_distributed().double()
    batch = make_batch()
    parts = by_detector(batch)
    for name in ("features", "mask"):
        parts[name]["new"] = parts[name].pop("VD-e")
    with pytest.raises(ValueError, match="1 of 5 detectors have no encoder, among them"):
        network(**parts)
    with pytest.raises(ValueError, match="Expected readings of 4 detectors"):
        network(**batch, node=torch.arange(4))
    with pytest.raises(ValueError, match="Expected readings of 5 detectors"):
        network(**make_batch(nodes=4))
    parts = by_detector(batch)
    del parts["mask"]["keys"]
    with pytest.raises(ValueError, match="Expected 'mask' for each VD"):
        network(**parts)
    with pytest.raises(ValueError, match="Expected 'vdids'"):
        DistributedSocialGraphNet(*SIZES)
    with pytest.raises(ValueError, match="got twice"):
        make_distributed(vdids=["a", "b", "a"])


@both_forms
def test_sizes_told_later_make_the_same_network(vectorised):
    torch.manual_seed(1)
    now = make_distributed({"aggr": "mean"}, vectorised)
    later = DistributedSocialGraphNet(**make_parts({"aggr": "mean"}), vectorised=vectorised)
    batch = make_batch(torch.float)
    with pytest.raises(RuntimeError, match="has no sizes yet"):
        later(**batch)
    torch.manual_seed(1)
    later.build(*SIZES, IDS, 800.0)
    torch.testing.assert_close(later(**batch), now(**batch), rtol=0, atol=0)


@pytest.mark.parametrize(
    "other", [(3, 2, 3, IDS), (2, 1, 3, IDS), (2, 2, 4, IDS), (2, 2, 3, IDS[::-1])], ids=str
)
def test_a_second_build_compares_the_sizes_and_the_detectors(other):
    network = make_distributed()
    network.build(*SIZES, tuple(IDS))
    with pytest.raises(ValueError, match=r"made for .* = \(2, 2, 3\) and 5 detectors"):
        network.build(*other)


def test_sizes_that_do_not_fit_are_refused():
    parts = make_parts({"aggr": "mean"})
    with pytest.raises(ValueError, match="'horizon' of 1 or more"):
        DistributedSocialGraphNet(2, vdids=IDS, **parts)
    with pytest.raises(ValueError, match="'out_channels' from 1"):
        DistributedSocialGraphNet(2, 3, 3, IDS, **parts)
    with pytest.raises(ValueError, match="'in_channels' with the other sizes"):
        DistributedSocialGraphNet(vdids=IDS, **parts)
    with pytest.raises(ValueError, match=r"13 input channels.*got one of 12"):
        DistributedSocialGraphNet(*SIZES, IDS, parts["encoder"](12))
    with pytest.raises(ValueError, match="no edge of the graph is longer than 700"):
        make_distributed({"aggr": "mean"}).build(*SIZES, IDS, 700.0)


def test_positions_that_are_not_finite_at_one_step_are_missing():
    _, network = make_pair({"aggr": "mean"}, False)
    parts = by_detector(make_batch())
    positions = parts["positions"]["keys"].clone()
    positions[1, 2, 0] = torch.inf
    parts["positions"]["keys"] = positions
    with pytest.raises(RuntimeError, match="Missing positions for VD 'keys'"):
        network(**parts)


def test_a_graph_numbers_the_detectors_of_a_dictionary_as_it_lists_them():
    shared, network = make_pair({"aggr": "attention"}, False)
    batch = make_batch()
    parts = by_detector(batch)
    turned = {vdid: parts["features"][vdid] for vdid in IDS[::-1]}
    graph = {"edge_index": len(IDS) - 1 - EDGE_INDEX, "distance": DISTANCE}
    one = {name: part[..., :1] for name, part in GRAPH.items()}
    turned_one = {name: part[..., :1] for name, part in graph.items()}
    # Between all pairs in reach, or as they are told.
    for given, truth in (({}, {}), (graph, {}), (turned_one, one)):
        forecast = torch.stack(
            [network(**parts | {"features": turned} | given)[vdid] for vdid in IDS], 2
        )
        torch.testing.assert_close(forecast, shared(**batch | truth))


def test_all_pairs_up_to_the_radius_are_joined():
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.1], [0.0, 0.0]])
    edge_index, distance = edges_within(pos, 5.0)
    pairs = [[0, 1], [0, 3], [1, 0], [1, 2], [1, 3], [2, 1], [3, 0], [3, 1]]
    assert edge_index.T.tolist() == pairs  # 5 m apart too, and at one place; nobody with itself
    expected = torch.tensor([5, 0, 5, 0.1, 5, 0.1, 0, 5])
    torch.testing.assert_close(distance, expected, rtol=0, atol=1e-6)


def test_a_network_of_another_kind_is_not_copied():
    pooling = {"aggr": "mean"}
    shared, _ = make_pair(None, False)
    for vectorised in (False, True):
        _, network = make_pair(pooling, vectorised)
        with pytest.raises(ValueError, match="both networks with pooling, or both without"):
            network.copy_shared(shared)
    other = SocialGraphNet(*SIZES, **make_parts(pooling), from_last=False)
    with pytest.raises(ValueError, match="'from_last' = True"):
        network.copy_shared(other)
    wide = partial(XLSTMEncoder, hidden_channels=8, num_blocks=2, heads=1)
    other = SocialGraphNet(*SIZES, encoder=wide)
    with pytest.raises(ValueError, match="an encoder with the sizes of this network's"):
        make_distributed(vectorised=True).copy_shared(other)
