"""Social pooling; CI runs this file with and without torch-scatter."""

import copy

import pytest
import torch
from torch_geometric.data import Batch, Data

from socialgraph.nn import SocialPooling
from tests import references

EDGE_INDEX = torch.tensor([[1, 2, 0, 2, 0, 4], [0, 0, 1, 1, 2, 4]])  # 4 has only a self loop
DISTANCE = torch.tensor([300.0, 900.0, 300.0, 500.0, 1500.0, 0.0])
KINDS = [
    (aggr, learn, heads)
    for aggr in ("mean", "attention", "max", "inverse_distance")
    for learn in (True, False)
    for heads in ((1, 3) if aggr == "attention" else (1,))
]
every_kind = pytest.mark.parametrize(("aggr", "learn_radius", "heads"), KINDS)


def make_layer(aggr="mean", learn_radius=True, heads=1, channels=4, **options):
    options = {"radius": 800.0, "max_radius": 2000.0, **options}
    layer = SocialPooling(3, channels, aggr, learn_radius=learn_radius, heads=heads, **options)
    return layer.double()


def random_graph(nodes=12, reach=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pos = 3000 * torch.rand(nodes, 2, generator=generator, dtype=torch.double)
    distance = torch.cdist(pos, pos)
    near = (distance < 3000 * reach) & ~torch.eye(nodes, dtype=torch.bool)
    sender, receiver = near.T.nonzero().T.flip(0)
    return pos, torch.stack([sender, receiver]), distance[sender, receiver]


def influence(layer, x, edge_index, distance):
    """True at [i, j] where the output of node i depends on the input of node j."""
    jacobian = torch.autograd.functional.jacobian(
        lambda x: layer(x, edge_index, distance=distance), x
    )  # [N, C_out, N, C_in]
    return jacobian.abs().sum(dim=(1, 3)) > 0


@every_kind
def test_equals_the_naive_loop_in_value_and_gradient(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double, requires_grad=True)
    inputs = [x, *layer.parameters()]
    fast = layer(x, edge_index, distance=distance)
    naive = references.pool(layer, x, edge_index, distance).mean(1)
    torch.testing.assert_close(fast, naive, rtol=1e-10, atol=1e-12)
    probe = torch.randn_like(fast)
    for ours, theirs in zip(
        torch.autograd.grad((fast * probe).sum(), inputs),
        torch.autograd.grad((naive * probe).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@every_kind
def test_influence_is_the_edge_list(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    heard = influence(layer, torch.randn(5, 3, dtype=torch.double), EDGE_INDEX, DISTANCE.double())
    expected = {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0)}
    if not learn_radius:
        expected -= {(0, 2), (2, 0)}  # 900 m and 1500 m are out of the 800 m
    found = set(map(tuple, heard.nonzero().tolist()))
    if aggr == "attention":  # who asks decides what it hears, if it hears more than one
        found -= {(i, i) for i in range(5)}
    if aggr == "max":
        assert found <= expected
        assert {i for i, _ in found} == {i for i, _ in expected}
    else:
        assert found == expected


@every_kind
def test_a_node_never_pools_itself(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    x = torch.randn(2, 3, dtype=torch.double)
    loops = torch.tensor([[0, 1, 0], [0, 1, 1]])
    out = layer(x, loops, distance=torch.tensor([0.0, 0.0, 100.0]).double())
    alone = layer(x, loops[:, 2:], distance=torch.tensor([100.0]).double())
    torch.testing.assert_close(out, alone)


@every_kind
def test_without_neighbours_the_context_is_zero(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    x = torch.randn(5, 3, dtype=torch.double)
    out = layer(x, EDGE_INDEX, distance=DISTANCE.double())
    assert (out[3:] == 0).all()
    empty = layer(x[:1], EDGE_INDEX[:, :0], distance=DISTANCE[:0].double())
    assert empty.shape == (1, 4)
    assert (empty == 0).all()


@every_kind
def test_a_static_graph_equals_a_mini_batch_and_one_window_at_a_time(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    _, edge_index, distance = random_graph()
    x = torch.randn(4, 12, 3, dtype=torch.double)
    static = layer(x, edge_index, distance=distance)
    batch = Batch.from_data_list(
        [Data(x=row, edge_index=edge_index, edge_attr=distance) for row in x]
    )
    disjoint = layer(batch.x, batch.edge_index, distance=batch.edge_attr)
    torch.testing.assert_close(static.flatten(0, 1), disjoint)
    single = torch.stack([layer(row, edge_index, distance=distance) for row in x])
    torch.testing.assert_close(static, single)


@every_kind
def test_relabelling_of_nodes_commutes_and_edge_order_does_not_matter(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    out = layer(x, edge_index, distance=distance)
    new_of_old = torch.randperm(12)
    old_of_new = new_of_old.argsort()
    shuffled = torch.randperm(len(distance))
    relabelled = layer(
        x[old_of_new], new_of_old[edge_index][:, shuffled], distance=distance[shuffled]
    )
    torch.testing.assert_close(relabelled[new_of_old], out)


@every_kind
def test_positions_give_the_same_as_distances_wherever_the_network_lies(aggr, learn_radius, heads):
    layer = make_layer(aggr, learn_radius, heads)
    pos, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    out = layer(x, edge_index, distance=distance)
    torch.testing.assert_close(layer(x, edge_index, pos=pos), out)
    torch.testing.assert_close(layer(x, edge_index, pos=pos + 5000), out, rtol=1e-6, atol=1e-8)
    turned = pos @ torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.double)
    torch.testing.assert_close(layer(x, edge_index, pos=turned), out, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("aggr", "heads"), [("mean", 1), ("attention", 2), ("max", 1), ("inverse_distance", 1)]
)
def test_a_hard_radius_is_the_limit_of_the_soft_one(aggr, heads):
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    hard = make_layer(aggr, False, heads)
    out = hard(x, edge_index, distance=distance)
    gaps = []
    for softness in (100.0, 10.0, 1.0, 0.01):
        soft = make_layer(aggr, True, heads, softness=softness)
        soft.load_state_dict(hard.state_dict(), strict=False)
        gaps.append((soft(x, edge_index, distance=distance) - out).abs().max().item())
    assert gaps[-1] < 1e-9
    assert gaps[0] > gaps[-1]


@pytest.mark.parametrize("aggr", ["mean", "attention", "max", "inverse_distance"])
def test_a_lone_neighbour_fades_continuously_as_it_leaves_the_radius(aggr):
    layer = make_layer(aggr, True, softness=50.0)
    x = torch.randn(2, 3, dtype=torch.double)
    edge = torch.tensor([[1], [0]])
    near, at, far = (
        layer(x, edge, distance=torch.tensor([d]).double())[0].norm() for d in (10.0, 800.0, 3800.0)
    )
    if aggr != "max":
        torch.testing.assert_close(at / near, torch.tensor(0.5).double(), rtol=1e-3, atol=0)
    assert far < 1e-4 * near


@pytest.mark.parametrize(
    ("aggr", "heads"), [("mean", 1), ("attention", 2), ("max", 1), ("inverse_distance", 1)]
)
def test_the_radius_gradient_is_that_of_finite_differences(aggr, heads):
    layer = make_layer(aggr, True, heads)
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double, requires_grad=True)

    def run(logit, x, distance):
        return torch.func.functional_call(
            layer, {"radius_logit": logit}, (x, edge_index), {"distance": distance}
        )

    logit = layer.radius_logit.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(run, (logit, x, distance.clone().requires_grad_()))
    gradient = torch.autograd.grad(run(logit, x, distance).square().sum(), logit)[0]
    assert (gradient.abs() > 0).all()


@pytest.mark.parametrize(("start", "truth"), [(300.0, 1200.0), (1500.0, 600.0)])
def test_the_radius_moves_towards_the_one_that_made_the_data(start, truth):
    _, edge_index, distance = random_graph(nodes=40)
    maker = make_layer("mean", radius=truth)
    learner = copy.deepcopy(maker)
    learner.initial_radius = start
    state = {k: v for k, v in maker.state_dict().items() if "radius" not in k}
    learner.reset_parameters()
    learner.load_state_dict(state, strict=False)
    optimizer = torch.optim.Adam([learner.radius_logit], lr=0.05)
    x = torch.randn(20, 40, 3, dtype=torch.double)
    with torch.no_grad():
        target = maker(x, edge_index, distance=distance)
    for step in range(150):
        optimizer.zero_grad()
        (learner(x, edge_index, distance=distance) - target).square().mean().backward()
        if step == 0:  # the loss falls where the radius moves towards the truth
            assert (learner.radius_logit.grad > 0) == (start > truth)
        optimizer.step()
    assert abs(learner.radius.item() - truth) < 0.05 * truth


@pytest.mark.parametrize("aggr", ["mean", "attention", "max", "inverse_distance"])
@pytest.mark.parametrize("learn_radius", [True, False])
def test_coincident_detectors_and_far_edges_give_finite_values_and_gradients(aggr, learn_radius):
    layer = make_layer(aggr, learn_radius, softness=1.0 if learn_radius else None).float()
    x = torch.randn(3, 3, requires_grad=True)
    pos = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1e6, 0.0]], requires_grad=True)
    out = layer(x, torch.tensor([[1, 0, 0], [0, 1, 2]]), pos=pos)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert pos.grad is None or pos.grad.isfinite().all()


def test_a_pair_exactly_at_a_hard_radius_is_in_reach():
    layer = make_layer("mean", learn_radius=False, radius=1000.0)
    x = torch.randn(2, 3, dtype=torch.double)
    out = layer(x, torch.tensor([[1], [0]]), distance=torch.tensor([1000.0]))
    assert (out[0] != 0).any()


def test_max_does_not_invent_zeros_for_absent_neighbours():
    layer = make_layer("max", learn_radius=False)
    x = torch.ones(2, 3, dtype=torch.double)
    with torch.no_grad():
        layer.lin_value.weight.fill_(-1.0)
    out = layer(x, torch.tensor([[1], [0]]), distance=torch.tensor([100.0]))
    assert (out[0] == -3).all()


def test_mean_counts_neighbours_whose_state_is_zero():
    layer = make_layer("mean", learn_radius=False)
    x = torch.tensor([[0.0] * 3, [2.0] * 3, [0.0] * 3], dtype=torch.double)
    out = layer(x, torch.tensor([[1, 2], [0, 0]]), distance=torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(out[0], layer.lin_value(x[1]) / 2)


def test_the_radius_is_read_back_in_metres_and_stays_below_the_longest_edge():
    layer = SocialPooling(3, 4, "attention", radius=700.0, max_radius=1500.0, heads=2)
    torch.testing.assert_close(layer.radius, torch.tensor([700.0, 700.0]))
    assert [name for name, _ in layer.named_parameters() if "radius" in name] == ["radius_logit"]
    with torch.no_grad():
        layer.radius_logit.copy_(torch.tensor([-50.0, 50.0]))
    assert (layer.radius >= 0).all()
    assert (layer.radius <= 1500).all()


def test_a_fixed_radius_has_no_parameter():
    layer = make_layer("mean", learn_radius=False)
    assert not [name for name, _ in layer.named_parameters() if "radius" in name]
    assert layer.radius.item() == 800.0


def test_concatenated_heads_are_the_heads_side_by_side():
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    layer = make_layer("attention", heads=2, concat=True)
    expected = references.pool(layer, x, edge_index, distance).flatten(1)
    torch.testing.assert_close(layer(x, edge_index, distance=distance), expected)


def test_bfloat16_autocast_stays_near_single_precision():
    _, edge_index, distance = random_graph()
    for aggr in ("mean", "attention", "max", "inverse_distance"):
        layer = make_layer(aggr).float()
        x = torch.randn(2, 12, 3)
        exact = layer(x, edge_index, distance=distance.float())
        with torch.autocast("cpu", torch.bfloat16):
            rough = layer(x, edge_index, distance=distance.float())
        torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"aggr": "median"}, r"'aggr' as one of .*mean.* \(got 'median'\)"),
        ({"radius": -1.0}, r"'radius' above 0"),
        ({"radius": 3000.0}, r"Lower 'radius'"),
        ({"radius": 2000.0, "learn_radius": True}, r"below 'max_radius'"),
        ({"softness": 0.0}, r"'softness' above 0"),
        ({"aggr": "mean", "heads": 2}, r"'heads' = 1"),
        ({"aggr": "attention", "heads": 0}, r"'heads'"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SocialPooling(3, 4, **options)


def test_distance_or_positions_must_be_given():
    layer = make_layer()
    with pytest.raises(ValueError, match="either 'distance' or 'pos'"):
        layer(torch.randn(5, 3).double(), EDGE_INDEX)
