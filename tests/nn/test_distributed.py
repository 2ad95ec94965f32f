"""The distributed baseline: the same function as the shared network, and strict mode."""

from functools import partial

import pytest
import torch

from socialgraph.nn import DistributedSocialGraphNet, SocialGraphNet, SocialPooling, XLSTMEncoder
from tests.nn.test_encoder import perturb

IDS = ["VD-a", "VD.b", "keys", "VD-d", "VD-e"]  # dots and names of methods are ids like others
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # VD-d and VD-e have nobody
POS = torch.tensor([[0.0, 0.0], [400.0, 0.0], [400.0, 700.0], [9e3, 0.0], [0.0, 9e3]])
DISTANCE = torch.tensor([400.0, 400.0, 700.0, 700.0])
POOLINGS = [
    None,
    *(
        {"aggr": aggr, "learn_radius": learned, "heads": 2 if aggr == "attention" else 1}
        for aggr in ("mean", "attention", "max", "inverse_distance")
        for learned in (True, False)
    ),
]


def make_parts(pooling, slstm_at=(1,), **options):
    encoder = partial(
        XLSTMEncoder, hidden_channels=8, num_blocks=2, slstm_at=slstm_at, heads=2, **options
    )
    max_radius = {"max_radius": 800.0, "radius": 500.0}
    return encoder, pooling and partial(SocialPooling, **max_radius, **pooling)


def make_pair(pooling, vectorised, dtype=torch.double):
    """A shared network, and a distributed one with its weights."""
    encoder, pooling = make_parts(pooling)
    shared = perturb(SocialGraphNet(2, 3, encoder, pooling).to(dtype))
    distributed = DistributedSocialGraphNet(2, 3, IDS, encoder, pooling, vectorised=vectorised).to(
        dtype
    )
    distributed.copy_shared(shared)
    return shared, distributed


def make_batch(dtype=torch.double, batch=3, window=6):
    return {
        "features": torch.randn(batch, window, len(IDS), 2, dtype=dtype),
        "mask": torch.rand(batch, window, len(IDS), 2) > 0.2,
        "time_of_day": torch.rand(batch, window, dtype=dtype),
        "day_of_week": torch.randint(0, 7, (batch, window)),
        "positions_xy": POS,
        "edge_index": EDGE_INDEX,
        "distance": DISTANCE,
        "vd_ids": IDS,
    }


def by_detector(batch):
    """The same batch as a dictionary per detector, without a graph."""
    steps = batch["features"].shape[:2]
    parts = {
        "features": dict(zip(IDS, batch["features"].unbind(2), strict=True)),
        "mask": dict(zip(IDS, batch["mask"].unbind(2), strict=True)),
        "positions": {v: p.expand(*steps, 2) for v, p in zip(IDS, POS, strict=True)},
    }
    return parts | {name: batch[name] for name in ("time_of_day", "day_of_week")}


def test_more_encoders_than_the_compiler_would_compile_anew_share_one_graph():
    encoder, _ = make_parts(None, slstm_at=())
    vd_ids = [f"VD-{i}" for i in range(20)]
    plain = perturb(DistributedSocialGraphNet(2, 3, vd_ids, encoder))
    compiled = DistributedSocialGraphNet(2, 3, vd_ids, partial(encoder, compile=True))
    compiled.load_state_dict(plain.state_dict())
    features = torch.randn(2, 6, len(vd_ids), 2)
    batch = {name: part for name, part in make_batch(torch.float, batch=2).items() if "day" in name}
    batch |= {"features": features, "mask": torch.ones_like(features, dtype=torch.bool)}
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch), plain(**batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("vectorised", [False, True])
def test_with_the_shared_weights_it_is_the_shared_network(pooling, vectorised):
    for dtype, tolerance in ((torch.double, 1e-12), (torch.float, 1e-6)):
        shared, distributed = make_pair(pooling, vectorised, dtype)
        batch = make_batch(dtype)
        expected = shared(**batch)
        error = (distributed(**batch) - expected).abs().max()
        assert error <= tolerance * expected.abs().max()


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("vectorised", [False, True])
def test_gradients_of_the_encoders_add_up_to_the_shared_one(pooling, vectorised):
    shared, distributed = make_pair(pooling, vectorised)
    batch = make_batch()
    direction = torch.randn(3, 3, len(IDS), 2, dtype=torch.double)
    for network in (shared, distributed):
        (network(**batch) * direction).sum().backward()
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


@pytest.mark.parametrize("slstm_at", [(), (0, 1)])
def test_both_forms_agree_where_every_detector_has_weights_of_its_own(slstm_at):
    encoder, pooling = make_parts({"aggr": "attention"}, slstm_at)
    looped = perturb(DistributedSocialGraphNet(2, 3, IDS, encoder, pooling).double())
    stacked = DistributedSocialGraphNet(2, 3, IDS, encoder, pooling, vectorised=True).double()
    weights = {k: v for k, v in looped.state_dict().items() if not k.startswith("encoders.")}
    for name, _ in looped.encoders[0].named_parameters():
        own = torch.stack([encoder.get_parameter(name) for encoder in looped.encoders])
        weights[f"encoders.encoder.{name}"] = own
    stacked.load_state_dict(weights)
    batch = make_batch()
    torch.testing.assert_close(stacked(**batch), looped(**batch), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("vectorised", [False, True])
def test_a_detector_is_read_by_its_own_encoder_alone(vectorised):
    encoder, _ = make_parts(None)
    network = DistributedSocialGraphNet(2, 3, IDS, encoder, vectorised=vectorised).double()
    network(**make_batch())[:, :, 2].sum().backward()
    for name, _ in encoder(1).named_parameters():
        if vectorised:
            gradients = network.encoders.encoder.get_parameter(name).grad
        else:
            gradients = [own.get_parameter(name).grad for own in network.encoders]
        moved = [i for i, gradient in enumerate(gradients) if gradient.abs().sum() > 0]
        assert set(moved) <= {2}, name
        if name == "project.weight":
            assert moved == [2]


@pytest.mark.parametrize("vectorised", [False, True])
def test_starts_with_different_weights_for_each_detector(vectorised):
    encoder, _ = make_parts(None)
    network = DistributedSocialGraphNet(2, 3, IDS, encoder, vectorised=vectorised)
    weights = [w for n, w in network.encoders.named_parameters() if n.endswith("project.weight")]
    first, second = weights[0][:2] if vectorised else weights[:2]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("vectorised", [False, True])
def test_a_dictionary_per_detector_gives_the_same_forecasts(vectorised):
    shared, distributed = make_pair({"aggr": "attention"}, vectorised)
    batch = make_batch()
    forecast = distributed(**by_detector(batch))
    assert list(forecast) == IDS
    expected = shared(**batch)
    for i, vdid in enumerate(IDS):
        torch.testing.assert_close(forecast[vdid], expected[:, :, i])


@pytest.mark.parametrize("vectorised", [False, True])
def test_some_detectors_in_another_order_find_their_encoders(vectorised):
    encoder, _ = make_parts(None)
    network = DistributedSocialGraphNet(2, 3, IDS, encoder, vectorised=vectorised).double()
    batch, order = make_batch(), [3, 0, 2]
    some = {
        **batch,
        "features": batch["features"][:, :, order],
        "mask": batch["mask"][:, :, order],
        "vd_ids": [IDS[i] for i in order],
    }
    torch.testing.assert_close(network(**some), network(**batch)[:, :, order])


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("num_nodes", [1, 5, 19])
def test_gradient_checkpointing_changes_no_number(vectorised, num_nodes):
    ids = [f"VD-{i}" for i in range(num_nodes)]
    plain = DistributedSocialGraphNet(2, 3, ids, make_parts(None)[0], vectorised=vectorised)
    saving_encoder, _ = make_parts(None, gradient_checkpointing=True)
    saving = DistributedSocialGraphNet(2, 3, ids, saving_encoder, vectorised=vectorised)
    saving.load_state_dict(plain.state_dict())
    batch = make_batch(torch.float)
    features = torch.randn(2, 6, num_nodes, 2)
    batch |= {
        "features": features,
        "mask": features > -1,
        "time_of_day": torch.rand(2, 6),
        "day_of_week": torch.zeros(2, 6, dtype=torch.long),
        "vd_ids": ids,
    }
    for network in (plain, saving):
        network(**batch).square().sum().backward()
    for ours, theirs in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_checkpointing_keeps_fewer_tensors_for_the_backward_pass():
    kept = {}
    for saving in (False, True):
        encoder, _ = make_parts(None, gradient_checkpointing=saving)
        network = DistributedSocialGraphNet(2, 3, IDS, encoder, vectorised=True)
        sizes = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(**make_batch(torch.float))
        kept[saving] = sum(sizes)
    assert kept[True] < kept[False] / 4


def test_vectors_of_an_encoder_have_no_weight_decay_when_stacked():
    encoder, _ = make_parts(None)
    looped = DistributedSocialGraphNet(2, 3, IDS, encoder)
    stacked = DistributedSocialGraphNet(2, 3, IDS, encoder, vectorised=True)
    assert looped.no_weight_decay() == set()
    vectors = {n for n, w in looped.encoders[0].named_parameters() if w.ndim == 1}
    assert stacked.no_weight_decay() == {f"encoders.encoder.{name}" for name in vectors}


@pytest.mark.parametrize("vectorised", [False, True])
def test_pooling_without_positions_ends_with_a_clear_error(vectorised):
    _, network = make_pair({"aggr": "mean"}, vectorised)
    batch = make_batch()
    lacking = {k: v for k, v in batch.items() if k != "positions_xy"}
    message = "Social pooling is enabled but 'positions' is missing"
    with pytest.raises(RuntimeError, match=message):
        network(**lacking)
    with pytest.raises(RuntimeError, match=message):
        network(**by_detector(batch) | {"positions": None})


def test_pooling_names_the_detectors_without_a_position():
    _, network = make_pair({"aggr": "mean"}, False)
    batch = make_batch()
    holes = POS.clone()
    holes[1] = torch.nan
    with pytest.raises(RuntimeError, match=r"Missing positions for VD 'VD\.b'"):
        network(**batch | {"positions_xy": holes})
    parts = by_detector(batch)
    del parts["positions"]["keys"], parts["positions"]["VD-a"]
    with pytest.raises(RuntimeError, match="Missing positions for VD 'VD-a' and 1 more of 5"):
        network(**parts)


def test_pooling_refuses_positions_of_another_shape_or_that_change():
    _, network = make_pair({"aggr": "mean"}, False)
    batch = make_batch()
    with pytest.raises(RuntimeError, match=r"shape \(4, 2\); expected \(5, 2\)"):
        network(**batch | {"positions_xy": POS[:4]})
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


def test_refuses_unknown_missing_and_repeated_detectors():
    encoder, _ = make_parts(None)
    network = DistributedSocialGraphNet(2, 3, IDS, encoder).double()
    with pytest.raises(ValueError, match="1 of 5 detectors have no encoder, among them"):
        network(**make_batch() | {"vd_ids": [*IDS[:4], "new"]})
    with pytest.raises(ValueError, match="Expected readings of 4 detectors"):
        network(**make_batch() | {"vd_ids": IDS[:4]})
    parts = by_detector(make_batch())
    del parts["mask"]["keys"]
    with pytest.raises(ValueError, match="Expected 'mask' for each VD"):
        network(**parts)
    with pytest.raises(ValueError, match="Expected 'vd_ids'"):
        DistributedSocialGraphNet(2, 3)
    with pytest.raises(ValueError, match="got twice"):
        DistributedSocialGraphNet(2, 3, ["a", "b", "a"], encoder)


def test_positions_that_are_not_finite_at_one_step_are_missing():
    _, network = make_pair({"aggr": "mean"}, False)
    parts = by_detector(make_batch())
    positions = parts["positions"]["keys"].clone()
    positions[1, 2, 0] = torch.inf
    parts["positions"]["keys"] = positions
    with pytest.raises(RuntimeError, match="Missing positions for VD 'keys'"):
        network(**parts)


def test_a_graph_numbers_the_detectors_of_a_dictionary_as_the_ids_do():
    shared, network = make_pair({"aggr": "attention"}, False)
    batch = make_batch()
    parts = by_detector(batch)
    turned = {vdid: parts["features"][vdid] for vdid in IDS[::-1]}
    graph = {"vd_ids": IDS, "edge_index": EDGE_INDEX, "distance": DISTANCE}
    forecast = network(**parts | {"features": turned} | graph)
    torch.testing.assert_close(torch.stack([forecast[v] for v in IDS], 2), shared(**batch))


def test_a_network_of_another_kind_is_not_copied():
    pooling = {"aggr": "mean"}
    shared, _ = make_pair(None, False)
    for vectorised in (False, True):
        _, network = make_pair(pooling, vectorised)
        with pytest.raises(ValueError, match="both networks with pooling, or both without"):
            network.copy_shared(shared)
    encoder, factory = make_parts(pooling)
    other = SocialGraphNet(2, 3, encoder, factory, from_last=False)
    with pytest.raises(ValueError, match="'from_last' = True"):
        network.copy_shared(other)


def test_refuses_the_weights_of_other_detectors():
    encoder, _ = make_parts(None)
    network = DistributedSocialGraphNet(2, 3, IDS, encoder)
    other = DistributedSocialGraphNet(2, 3, IDS[::-1], encoder)
    with pytest.raises(ValueError, match="The weights belong to 5 detectors"):
        other.load_state_dict(network.state_dict())
