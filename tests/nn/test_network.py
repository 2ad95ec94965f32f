"""The whole network: shapes, invariances, switches and strict mode."""

from functools import partial

import pytest
import torch

from socialgraph.nn import GatedFusion, RegressionHead, SocialGraphNet, SocialPooling, XLSTMEncoder

NODES = 5
EDGE_INDEX = torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])  # 3 and 4 have nobody
DISTANCE = torch.tensor([400.0, 400.0, 700.0, 700.0])


def make_network(pooling="attention", **options):
    factory = partial(SocialPooling, aggr=pooling, radius=1000.0) if pooling else None
    encoder = partial(XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=())
    return SocialGraphNet(2, 3, encoder, factory, **options).double()


def make_batch(batch=2, window=6, nodes=NODES):
    return {
        "features": torch.randn(batch, window, nodes, 2, dtype=torch.double),
        "mask": torch.rand(batch, window, nodes, 2) > 0.2,
        "time_of_day": torch.rand(batch, window, dtype=torch.double),
        "day_of_week": torch.randint(0, 7, (batch, window)),
        "positions_xy": torch.rand(nodes, 2) * 1000,
        "edge_index": EDGE_INDEX,
        "distance": DISTANCE,
        "vd_ids": [f"VD-{i}" for i in range(nodes)],
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


def test_node_embeddings_go_with_the_id_not_with_the_place():
    network = make_network(None, node_channels=4, num_nodes=NODES).eval()
    batch = make_batch()
    whole = network(**batch)
    some = torch.tensor([3, 1])
    part = {
        **batch,
        "features": batch["features"][:, :, some],
        "mask": batch["mask"][:, :, some],
        "vd_ids": [batch["vd_ids"][i] for i in some],
    }
    torch.testing.assert_close(network(**part), whole[:, :, some])
    again = make_network(None, node_channels=4, num_nodes=NODES).eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(**part), whole[:, :, some])
    with pytest.raises(ValueError, match=r"have no node embedding.*'VD-9'"):
        network(**{**part, "vd_ids": ["VD-9", "VD-1"]})
    with pytest.raises(ValueError, match=r"'num_nodes' as 5.*got 7"):
        make_network(None, node_channels=4, num_nodes=7)(**batch)
    with pytest.raises(ValueError, match="'num_nodes' of 1 or more"):
        make_network(None, node_channels=4)


def test_strict_mode_refuses_missing_positions():
    words = (
        r"Social pooling is enabled but 'positions_xy' is missing.*"
        r"data_prep inspect.*data_prep backfill"
    )
    with pytest.raises(RuntimeError, match=words):
        make_network()(**{**make_batch(), "positions_xy": None})


@pytest.mark.parametrize("shape", [(NODES, 3), (NODES - 1, 2), (NODES * 2,)])
def test_strict_mode_refuses_a_wrong_shape_and_names_both(shape):
    with pytest.raises(RuntimeError, match=r"has shape .*expected \(5, 2\)") as error:
        make_network()(**{**make_batch(), "positions_xy": torch.zeros(shape)})
    assert str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_strict_mode_names_the_detectors_at_fault(value):
    batch = make_batch()
    batch["positions_xy"][2, 1] = value
    with pytest.raises(RuntimeError, match="NaN or infinite for 1 of 5 VDs: VD-2"):
        make_network()(**batch)


@pytest.mark.parametrize("name", ["edge_index", "distance"])
def test_positions_without_their_graph_are_refused(name):
    with pytest.raises(RuntimeError, match=f"'{name}' is missing.*build_radius_graph"):
        make_network()(**{**make_batch(), name: None})


def test_without_pooling_no_position_is_needed():
    batch = make_batch()
    for name in ("positions_xy", "edge_index", "distance"):
        del batch[name]
    assert make_network(None)(**batch).isfinite().all()


def test_fusion_leaves_the_own_state_where_there_is_no_context():
    own = torch.randn(4, 8)
    fusion = GatedFusion(8, 6)
    torch.testing.assert_close(fusion(own, torch.zeros(4, 6)), own)
    assert not torch.allclose(fusion(own, torch.ones(4, 6)), own)


def test_the_head_treats_every_node_alike():
    head = RegressionHead(8, out_channels=2, horizon=3)
    x = torch.randn(2, 4, 8)
    assert head(x).shape == (2, 3, 4, 2)
    torch.testing.assert_close(head(x[:, [2]]), head(x)[:, :, [2]])
