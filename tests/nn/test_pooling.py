"""Social pooling; CI runs this file with and without torch-scatter."""

import copy

import pytest
import torch
from torch_geometric.data import Batch, Data

from benchmarks.plan import LiveTensors
from socialgraph.nn import SocialPooling
from tests import references

EDGE_INDEX = torch.tensor([[1, 2, 0, 2, 0, 4], [0, 0, 1, 1, 2, 4]])  # 4 has only a self loop
DISTANCE = torch.tensor([300.0, 900.0, 300.0, 500.0, 1500.0, 0.0])
AGGREGATIONS = ("mean", "attention", "max", "inverse_distance")
# Every aggregation with a learned and a fixed radius, summed in every way that there is.
every_kind = pytest.mark.parametrize(
    ("aggr", "learn_radius", "heads", "path"),
    [
        (aggr, learn_radius, 3 if aggr == "attention" else 1, path)
        for aggr in AGGREGATIONS
        for learn_radius in (True, False)
        for path in (("segments",) if aggr == "max" else ("sparse", "segments"))
    ]
    + [("attention", True, 1, "sparse")],
)
# Each with both radii, for what the way of summing cannot break alone.
every_radius = pytest.mark.parametrize(
    ("aggr", "learn_radius", "heads", "path"),
    [
        ("mean", True, 1, "sparse"),
        ("mean", False, 1, "segments"),
        ("attention", True, 3, "sparse"),
        ("attention", False, 1, "segments"),
        ("max", True, 1, "segments"),
        ("max", False, 1, "segments"),
        ("inverse_distance", True, 1, "segments"),
        ("inverse_distance", False, 1, "sparse"),
    ],
)
# Each once, and attention in both ways of summing, for what no radius can break alone.
every_aggregation = pytest.mark.parametrize(
    ("aggr", "learn_radius", "heads", "path"),
    [
        ("mean", False, 1, "sparse"),
        ("attention", True, 3, "sparse"),
        ("attention", True, 3, "segments"),
        ("max", True, 1, "segments"),
        ("inverse_distance", True, 1, "segments"),
    ],
)
every_path = pytest.mark.parametrize("path", ["sparse", "segments"])


def make_layer(aggr="mean", learn_radius=True, heads=1, path="sparse", channels=4, **options):
    options = {"radius": 800.0, "max_radius": 2000.0, **options}
    layer = SocialPooling(3, channels, aggr, learn_radius=learn_radius, heads=heads, **options)
    layer.fuse, layer.fuse_from = path == "sparse", 0
    return layer.double()


def share_weights(layer, other):
    """Give another layer the linear maps of a layer, and nothing else of its state."""
    state = {name: w for name, w in layer.state_dict().items() if name.startswith("lin")}
    other.load_state_dict(state, strict=False)


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
def test_equals_the_naive_loop_in_value_and_gradient(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
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


@every_radius
def test_influence_is_the_edge_list(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
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


@every_aggregation
def test_a_node_never_pools_itself(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    x = torch.randn(2, 3, dtype=torch.double)
    loops = torch.tensor([[0, 1, 0], [0, 1, 1]])
    out = layer(x, loops, distance=torch.tensor([0.0, 0.0, 100.0]).double())
    alone = layer(x, loops[:, 2:], distance=torch.tensor([100.0]).double())
    torch.testing.assert_close(out, alone)


@every_aggregation
def test_without_neighbours_the_context_is_zero(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    x = torch.randn(5, 3, dtype=torch.double)
    out = layer(x, EDGE_INDEX, distance=DISTANCE.double())
    assert (out[3:] == 0).all()
    empty = layer(x[:1], EDGE_INDEX[:, :0], distance=DISTANCE[:0].double())
    assert empty.shape == (1, 4)
    assert (empty == 0).all()


@every_aggregation
def test_a_static_graph_equals_a_mini_batch_and_one_window_at_a_time(
    aggr, learn_radius, heads, path
):
    layer = make_layer(aggr, learn_radius, heads, path)
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


@every_aggregation
def test_relabelling_of_nodes_commutes_and_edge_order_does_not_matter(
    aggr, learn_radius, heads, path
):
    layer = make_layer(aggr, learn_radius, heads, path)
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


@every_aggregation
def test_positions_give_the_same_as_distances_wherever_the_network_lies(
    aggr, learn_radius, heads, path
):
    layer = make_layer(aggr, learn_radius, heads, path)
    pos, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    out = layer(x, edge_index, distance=distance)
    torch.testing.assert_close(layer(x, edge_index, pos=pos), out)
    torch.testing.assert_close(layer(x, edge_index, pos=pos + 5000), out, rtol=1e-6, atol=1e-8)
    turned = pos @ torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.double)
    torch.testing.assert_close(layer(x, edge_index, pos=turned), out, rtol=1e-6, atol=1e-8)


def test_a_hard_radius_is_the_limit_of_the_soft_one():
    for aggr, heads in zip(AGGREGATIONS, (1, 2, 1, 1), strict=True):
        _, edge_index, distance = random_graph()
        x = torch.randn(12, 3, dtype=torch.double)
        hard = make_layer(aggr, False, heads)
        out = hard(x, edge_index, distance=distance)
        gaps = []
        for softness in (100.0, 10.0, 1.0, 0.01):
            soft = make_layer(aggr, True, heads, softness=softness)
            share_weights(hard, soft)
            gaps.append((soft(x, edge_index, distance=distance) - out).abs().max().item())
        assert gaps[-1] < 1e-9
        assert gaps[0] > gaps[-1]


def test_a_lone_neighbour_fades_continuously_as_it_leaves_the_radius():
    for aggr in AGGREGATIONS:
        layer = make_layer(aggr, True, softness=50.0)
        x = torch.randn(2, 3, dtype=torch.double)
        edge = torch.tensor([[1], [0]])
        near, at, far = (
            layer(x, edge, distance=torch.tensor([d]).double())[0].norm()
            for d in (10.0, 800.0, 3800.0)
        )
        if aggr != "max":
            torch.testing.assert_close(at / near, torch.tensor(0.5).double(), rtol=1e-3, atol=0)
        assert far < 1e-4 * near


@every_radius
def test_gradients_of_states_lengths_positions_and_radius_are_those_of_differences(
    aggr, learn_radius, heads, path
):
    layer = make_layer(aggr, learn_radius, heads, path)
    pos, edge_index, distance = random_graph(nodes=6)
    x = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    radius = {"radius_logit": layer.radius_logit} if learn_radius else {}
    inputs = [t.detach().clone().requires_grad_() for t in (distance, pos, *radius.values())]

    def run(x, distance, pos, *logit):
        named = dict(zip(radius, logit, strict=True))
        from_distance = torch.func.functional_call(
            layer, named, (x, edge_index), {"distance": distance}
        )
        from_pos = torch.func.functional_call(layer, named, (x, edge_index), {"pos": pos})
        return from_distance, from_pos

    assert torch.autograd.gradcheck(run, (x, *inputs))
    if learn_radius:
        total = sum(out.square().sum() for out in run(x, *inputs))
        assert (torch.autograd.grad(total, inputs[-1])[0].abs() > 0).all()


@pytest.mark.parametrize(("start", "truth"), [(300.0, 1200.0), (1500.0, 600.0)])
def test_the_radius_moves_towards_the_one_that_made_the_data(start, truth):
    _, edge_index, distance = random_graph(nodes=40)
    maker = make_layer("mean", radius=truth)
    learner = copy.deepcopy(maker)
    learner.initial_radius = [start]
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


@every_radius
def test_coincident_nodes_and_far_edges_give_finite_values_and_gradients(
    aggr, learn_radius, heads, path
):
    softness = 1.0 if learn_radius else None
    layer = make_layer(aggr, learn_radius, heads, path, softness=softness).float()
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
    out = layer(x, torch.tensor([[1, 2], [0, 0]]), distance=torch.tensor([9.0, 9.0]))
    torch.testing.assert_close(out[0], layer.lin_value(x[1]) / 2)


def test_the_radius_is_read_back_in_the_unit_of_the_positions_and_stays_in_its_bounds():
    options = {"radius": [700.0, 900.0], "max_radius": 1500.0, "min_radius": 300.0}
    layer = SocialPooling(3, 4, "attention", heads=2, **options)
    torch.testing.assert_close(layer.radius, torch.tensor([700.0, 900.0]))
    assert [name for name, _ in layer.named_parameters() if "radius" in name] == ["radius_logit"]
    with torch.no_grad():
        layer.radius_logit.copy_(torch.tensor([-50.0, 50.0]))
    torch.testing.assert_close(layer.radius, torch.tensor([300.0, 1500.0]))
    layer.reset_parameters()
    torch.testing.assert_close(layer.radius, torch.tensor([700.0, 900.0]))
    assert SocialPooling(3, 4, radius=0.1).max_radius == 0.2


def test_weights_of_another_reach_are_refused():
    for saved, here, words in [
        (
            {},
            {"max_radius": 1600.0, "softness": 200.0},
            r"with max_radius=1600.0 .*with max_radius=2000.0\)",
        ),
        ({"min_radius": 9.0}, {}, r"with min_radius=0.0 .*with min_radius=9.0\)"),
        ({"softness": 50.0}, {}, r"with softness=200.0 .*with softness=50.0\)"),
        ({}, {"learn_radius": False}, r"with learn_radius=False, radius=\[800.0\] .*radius=True\)"),
        ({"learn_radius": False}, {}, r"Build the layer with learn_radius=False, radius=\[800.0\]"),
        (
            {"learn_radius": False},
            {"learn_radius": False, "radius": 700.0},
            r"with radius=\[700.0\] .*\[800.0\]\). Build the layer with radius=\[800.0\], or",
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            make_layer(**here).load_state_dict(make_layer(**saved).state_dict())


def test_weights_bring_a_learned_radius_along_and_are_refused_without_their_unit():
    layer, other = make_layer(radius=800.0), make_layer(radius=500.0)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other.radius, layer.radius)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    other.load_state_dict(state)
    earlier = {"min_radius": 0.0, "max_radius": 2000.0, "softness": 200.0, "learn_radius": True}
    other.load_state_dict(state | {"_extra_state": earlier})
    with pytest.raises(ValueError, match=r"with softness=200.0 .*with softness=50.0\)"):
        other.load_state_dict(state | {"_extra_state": earlier | {"softness": 50.0}})
    del state["_extra_state"]
    with pytest.raises(RuntimeError, match=r"Missing key.*_extra_state"):
        other.load_state_dict(state)


def test_a_frozen_radius_stays_where_it_is():
    layer = make_layer("mean")
    layer.radius_logit.requires_grad_(False)
    _, edge_index, distance = random_graph()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(torch.randn(12, 3).double(), edge_index, distance=distance).square().sum().backward()
    optimizer.step()
    torch.testing.assert_close(layer.radius.item(), 800.0)


@every_path
def test_every_head_has_a_fixed_radius_of_its_own(path):
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    both = make_layer("attention", False, 2, path, radius=[500.0, 1500.0], concat=True)
    outs = both(x, edge_index, distance=distance).chunk(2, dim=-1)
    for head, radius in enumerate((500.0, 1500.0)):
        one = make_layer("attention", False, 1, path, radius=radius)
        rows = slice(4 * head, 4 * head + 4)
        with torch.no_grad():
            for name, weight in one.named_parameters():
                weight.copy_(both.get_parameter(name)[rows])
        torch.testing.assert_close(one(x, edge_index, distance=distance), outs[head])


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


def test_options_out_of_range_are_refused():
    for options, words in [
        ({"aggr": "median"}, r"'aggr' as one of .*mean.* \(got 'median'\)"),
        ({"radius": -1.0}, r"'radius' above 0"),
        ({"radius": 3000.0}, r"Lower 'radius'"),
        ({"radius": 2000.0, "learn_radius": True}, r"below 'max_radius'"),
        ({"softness": 0.0}, r"'softness' above 0"),
        ({"aggr": "mean", "heads": 2}, r"'heads' = 1"),
        ({"aggr": "attention", "heads": 0}, r"'heads'"),
        ({"radius": [500.0, 600.0]}, r"one for each of 1 heads \(got \[500.0, 600.0\]\)"),
        ({"radius": 500.0, "min_radius": 500.0}, r"above 'min_radius' = 500.0"),
        ({"min_radius": 2000.0}, r"'min_radius' from 0 to below a finite 'max_radius'"),
        ({"max_radius": float("inf")}, r"a finite 'max_radius'"),
        ({"pos_dim": 2}, r"'pos_dim' = 0, or more with aggr='attention' \(got 2\)"),
        ({"edge_dim": 3}, r"'edge_dim' = 0, or more with aggr='attention' \(got 3\)"),
        ({"aggr": "attention", "edge_dim": -1}, r"'edge_dim' = 0.*\(got -1\)"),
        ({"dropout": 1.0}, r"'dropout' from 0 to below 1"),
        ({"aggr": "max", "dropout": 0.5}, r"no weights to drop"),
    ]:
        with pytest.raises(ValueError, match=words):
            SocialPooling(3, 4, **{"radius": 1000.0, "max_radius": 2000.0, **options})


@every_radius
def test_an_absent_node_is_as_if_its_edges_were_gone(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    _, edge_index, distance = random_graph()
    mask = torch.rand(2, 12) < 0.6
    x = torch.randn(2, 12, 3, dtype=torch.double)
    broken = torch.where(mask.unsqueeze(-1), x, torch.nan).requires_grad_()
    out = layer(broken, edge_index, distance=distance, mask=mask)
    for window in range(2):
        kept = mask[window][edge_index[0]]
        gone = layer(x[window], edge_index[:, kept], distance=distance[kept])
        torch.testing.assert_close(out[window][mask[window]], gone[mask[window]])
    one = layer(broken[0], edge_index, distance=distance, mask=mask[0])
    torch.testing.assert_close(one, out[0])
    out.square().sum().backward()
    assert broken.grad.isfinite().all()
    assert (broken.grad[~mask] == 0).all()
    nobody = layer(x, edge_index, distance=distance, mask=torch.zeros(12, dtype=torch.bool))
    assert (nobody == 0).all()


@every_aggregation
def test_duplicate_edges_count_twice_like_everywhere_in_pyg(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    x = torch.randn(3, 3, dtype=torch.double)
    edges = torch.tensor([[1, 2, 1], [0, 0, 0]])
    distance = torch.tensor([300.0, 500.0, 300.0]).double()
    expected = references.pool(layer, x, edges, distance).mean(1)
    torch.testing.assert_close(layer(x, edges, distance=distance), expected)


@every_aggregation
def test_moving_positions_give_the_same_as_one_graph_per_moment(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    x = torch.randn(4, 6, 3, dtype=torch.double)
    pos = 2000 * torch.rand(4, 6, 2, dtype=torch.double)
    pairs = torch.combinations(torch.arange(6)).T
    pairs = torch.cat([pairs, pairs.flip(0)], dim=1)
    together = layer(x, pairs, pos=pos)
    alone = torch.stack([layer(x[t], pairs, pos=pos[t]) for t in range(4)])
    torch.testing.assert_close(together, alone)
    same_states = layer(x[0], pairs, pos=pos)
    alone = torch.stack([layer(x[0], pairs, pos=pos[t]) for t in range(4)])
    torch.testing.assert_close(same_states, alone)


@every_path
def test_relative_position_tells_up_from_down_and_survives_a_translation(path):
    layer = make_layer("attention", True, 2, path, pos_dim=2)
    pos, edge_index, _ = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    out = layer(x, edge_index, pos=pos)
    torch.testing.assert_close(layer(x, edge_index, pos=pos + 700), out, rtol=1e-6, atol=1e-8)
    assert not torch.allclose(layer(x, edge_index, pos=-pos), out, rtol=1e-2)
    offset = pos[edge_index[0]] - pos[edge_index[1]]
    torch.testing.assert_close(layer(x, edge_index, offset=offset), out)
    expected = references.pool(layer, x, edge_index, offset.norm(dim=1), offset).mean(1)
    torch.testing.assert_close(out, expected)
    with pytest.raises(ValueError, match=r"'pos_dim' = 2 coordinates.*got lengths only"):
        layer(x, edge_index, distance=offset.norm(dim=1))


def make_road():
    """A layer's arguments for edges with a length by road, a direction and three attributes."""
    pos, edge_index, distance = random_graph()
    told = {
        "distance": 1.3 * distance,
        "offset": pos[edge_index[0]] - pos[edge_index[1]],
        "edge_attr": torch.randn(len(distance), 3, dtype=torch.double),
    }
    return edge_index, told, pos


def test_lengths_directions_and_attributes_equal_the_naive_loop():
    for learn_radius, path in [(True, "sparse"), (False, "segments")]:
        layer = make_layer("attention", learn_radius, 2, path, pos_dim=2, edge_dim=3)
        edge_index, told, pos = make_road()
        x = torch.randn(12, 3, dtype=torch.double)
        told["edge_attr"].requires_grad_()
        inputs = [told["edge_attr"], layer.lin_edge.weight, layer.lin_pos.weight]
        out = layer(x, edge_index, **told)
        naive = references.pool(layer, x, edge_index, *told.values()).mean(1)
        torch.testing.assert_close(out, naive)
        probe = torch.randn_like(out)
        torch.testing.assert_close(
            torch.autograd.grad((out * probe).sum(), inputs),
            torch.autograd.grad((naive * probe).sum(), inputs),
        )
        del told["offset"]
        torch.testing.assert_close(layer(x, edge_index, pos=pos, **told), out)
        del told["distance"]
        straight = references.pool(
            layer, x, edge_index, *random_graph()[2:], pos[edge_index[0]] - pos[edge_index[1]],
            told["edge_attr"],
        )  # fmt: skip
        torch.testing.assert_close(layer(x, edge_index, pos=pos, **told), straight.mean(1))


@every_path
def test_attributes_that_change_give_the_same_as_one_graph_per_moment(path):
    layer = make_layer("attention", True, 2, path, pos_dim=2, edge_dim=3)
    edge_index, told, _ = make_road()
    x = torch.randn(4, 12, 3, dtype=torch.double)
    scale = torch.rand(4, 1, 1).double()
    moving = {name: scale[:, 0] * part for name, part in told.items() if name == "distance"}
    moving |= {name: scale * part for name, part in told.items() if name != "distance"}
    for states in (x, x[0]):
        alone = [
            layer(states if states.dim() == 2 else states[t], edge_index,
                  **{name: part[t] for name, part in moving.items()})
            for t in range(4)
        ]  # fmt: skip
        torch.testing.assert_close(layer(states, edge_index, **moving), torch.stack(alone))


def test_what_is_told_of_edges_of_absent_nodes_may_be_unknown():
    for name, path in [("distance", "segments"), ("offset", "sparse"), ("edge_attr", "sparse")]:
        layer = make_layer("attention", True, 2, path, pos_dim=2, edge_dim=3)
        edge_index, told, _ = make_road()
        x, mask = torch.randn(12, 3, dtype=torch.double), torch.arange(12) != 4
        kept = mask[edge_index].all(0)
        expected = layer(x, edge_index[:, kept], **{key: part[kept] for key, part in told.items()})
        told[name][~kept] = torch.nan
        out = layer(x, edge_index, **told, mask=mask)
        torch.testing.assert_close(out[mask], expected[mask])
        out.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_a_column_of_lengths_is_one_for_each_edge_unless_it_is_one_for_each_window():
    layer, x = make_layer(), torch.randn(5, 3, dtype=torch.double)
    out = layer(x, EDGE_INDEX, distance=DISTANCE.double())
    torch.testing.assert_close(layer(x, EDGE_INDEX, distance=DISTANCE.double()[:, None]), out)
    column = torch.tensor([[300.0], [900.0]]).double()
    alone = [layer(x, EDGE_INDEX[:, :1], distance=length) for length in column]
    together = layer(x, EDGE_INDEX[:, :1], distance=column)
    torch.testing.assert_close(together, torch.stack(alone))


def test_directions_that_nobody_looks_at_may_be_unknown():
    edge_index, told, _ = make_road()
    x, mask, layer = torch.randn(12, 3).double(), torch.arange(12) != 4, make_layer("attention")
    out = layer(x, edge_index, distance=told["distance"], mask=mask)
    unknown = torch.full_like(told["offset"], torch.nan)
    again = layer(x, edge_index, distance=told["distance"], offset=unknown, mask=mask)
    torch.testing.assert_close(again, out)


def test_what_is_told_of_edges_without_a_part_may_be_unknown():
    for learn_radius, path in [(True, "sparse"), (False, "segments")]:
        layer = make_layer("attention", learn_radius, 2, path, pos_dim=2, edge_dim=3)
        edge_index, told, _ = make_road()
        x = torch.randn(12, 3, dtype=torch.double)
        far = torch.inf if learn_radius else 900.0
        more = torch.cat(
            [edge_index, torch.tensor([[5, 5], [5, 6]])], dim=1
        )  # a loop, and one too far
        unknown = {
            name: torch.cat([part, torch.full((2, *part.shape[1:]), torch.nan).double()])
            for name, part in told.items()
        }
        unknown["distance"][-2:] = torch.tensor([0.0, far])
        out = layer(x, more, **unknown)
        torch.testing.assert_close(out, layer(x, edge_index, **told))
        out.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in layer.parameters())


@every_path
def test_attention_weights_rebuild_the_output(path):
    layer = make_layer("attention", True, 2, path, concat=True)
    _, edge_index, distance = random_graph()
    x = torch.randn(5, 12, 3, dtype=torch.double)
    out, (edges, weight) = layer(x, edge_index, distance=distance, return_attention_weights=True)
    assert torch.equal(edges, edge_index)
    assert weight.shape == (5, len(distance), 2)
    value = layer.lin_value(x).unflatten(-1, (2, 4))
    rebuilt = torch.zeros_like(value)
    for e, (j, i) in enumerate(edges.T.tolist()):
        rebuilt[:, i] += weight[:, e, :, None] * value[:, j]
    torch.testing.assert_close(rebuilt.flatten(-2), out)
    with pytest.raises(ValueError, match="that has weights to return"):
        make_layer("max")(x, edge_index, distance=distance, return_attention_weights=True)


def test_dropout_drops_weights_in_training_alone_and_keeps_their_mean():
    _, edge_index, distance = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    layer = make_layer("attention", heads=2, dropout=0.5)
    whole = layer.eval()(x, edge_index, distance=distance)
    torch.testing.assert_close(layer(x, edge_index, distance=distance), whole)
    layer.train()
    with torch.no_grad():
        mean = layer(x.expand(4000, -1, -1), edge_index, distance=distance).mean(0)
    torch.testing.assert_close(mean, whole, rtol=0.1, atol=0.05)


def test_bias_and_residual_are_added_to_every_node():
    layer = make_layer("mean", bias=True, residual=True)
    plain = make_layer("mean")
    plain.load_state_dict(layer.state_dict(), strict=False)
    with torch.no_grad():
        layer.bias.fill_(0.5)
    x = torch.randn(5, 3, dtype=torch.double)
    out, context = (
        pooling(x, EDGE_INDEX, distance=DISTANCE.double()) for pooling in (layer, plain)
    )
    torch.testing.assert_close(out, context + x @ layer.res.weight.T + 0.5)


@pytest.mark.slow
def test_a_million_edges_take_memory_in_proportion_to_them():
    """Peak of all live tensors, forward and backward, over what the edges themselves take."""
    peaks = {}
    for nodes in (5_000, 50_000):
        edges = 20 * nodes
        layer = SocialPooling(64, 16, "attention", radius=1000.0, heads=4, concat=True)
        x = torch.randn(nodes, 64, requires_grad=True)
        edge_index = torch.randint(nodes, (2, edges))
        distance = 2000 * torch.rand(edges)
        with LiveTensors() as tensors:
            layer(x, edge_index, distance=distance).square().sum().backward()
        peaks[nodes] = tensors.peak / edges
    assert peaks[50_000] < 1.2 * peaks[5_000]
    assert peaks[50_000] < 4 * 64 * 4  # four numbers per edge and channel: gathering takes more


def test_edges_that_do_not_fit_are_refused():
    for arguments, words in [
        ({}, r"'distance', or from one of 'pos' and 'offset' \(got none\)"),
        ({"edge_attr": DISTANCE}, r"\(got 'edge_attr'\). 'edge_attr' is never read as lengths"),
        (
            {"offset": torch.rand(6, 2), "pos": torch.rand(5, 2)},
            r"one of 'pos' and 'offset' \(got 'pos' and 'offset'\)",
        ),
        (
            {"offset": torch.rand(6, 2), "pos": torch.rand(5, 2), "distance": DISTANCE},
            r"\(got 'pos' and 'distance' and 'offset'\)",
        ),
        (
            {"distance": DISTANCE, "edge_attr": DISTANCE[:, None]},
            r"no 'edge_attr' with 'edge_dim' = 0 \(got shape \(6, 1\)\). "
            "Give lengths as 'distance' and relative positions as 'offset'",
        ),
        ({"distance": DISTANCE[:3]}, r"'distance' of shape \[\*, 6\] or \[6, 1\].*shape \(3,\)"),
        ({"distance": DISTANCE[:, None] * torch.ones(1, 2)}, r"'distance' .*Give .* as 'offset'"),
        ({"offset": DISTANCE}, r"'offset' as relative positions of shape \[\*, 6, D\].*\(6,\)"),
        ({"offset": torch.rand(5, 2)}, r"'offset' as relative positions .*got shape \(5, 2\)"),
        ({"distance": DISTANCE, "size": (7, 7)}, r"number of nodes in row 0.*got \[5, 7\]"),
        ({"pos": torch.rand(7, 2)}, r"'pos' of 5 nodes .*\(7, 2\)"),
        ({"distance": DISTANCE, "mask": torch.ones(5)}, r"'mask' as booleans .*float32"),
        ({"distance": DISTANCE, "mask": torch.ones(4) > 0}, r"'mask' as booleans .*\(4,\)"),
        ({"distance": DISTANCE, "edge_index": EDGE_INDEX.T}, r"integers of shape \[2, E\]"),
        ({"distance": DISTANCE, "edge_index": EDGE_INDEX.float()}, "got torch.float32"),
        ({"distance": DISTANCE, "edge_index": EDGE_INDEX > 0}, "got torch.bool"),
    ]:
        with pytest.raises(ValueError, match=words):
            make_layer()(torch.randn(5, 3).double(), **{"edge_index": EDGE_INDEX, **arguments})


def test_attributes_of_another_width_are_refused():
    for shape in [None, (6, 1), (5, 2)]:
        layer = make_layer("attention", edge_dim=2)
        given = {} if shape is None else {"edge_attr": torch.rand(shape).double()}
        found = "none" if shape is None else str(shape).replace("(", r"\(").replace(")", r"\)")
        words = rf"'edge_attr' of shape \[\*, 6, 2\] \(got {found}\). Give lengths as 'distance'"
        with pytest.raises(ValueError, match=words):
            layer(torch.randn(5, 3).double(), EDGE_INDEX, distance=DISTANCE.double(), **given)


@pytest.mark.parametrize(("row", "number"), [(0, -1), (1, 5)])
def test_an_edge_to_a_node_that_there_is_not_is_refused(row, number):
    edge_index = torch.zeros(2, 1, dtype=torch.long)
    edge_index[row] = number
    with pytest.raises(IndexError, match=f"row {row} of 'edge_index'"):
        make_layer()(torch.randn(5, 3).double(), edge_index, distance=torch.tensor([1.0]).double())


EDGES = torch.tensor([[0, 1, 1], [1, 0, 1]])  # the last is a loop


def pool_lengths(*lengths, **options):
    """Pool three edges of these lengths with a radius of 800, if no other is given."""
    lengths = torch.tensor(lengths).double()
    return make_layer(**options)(torch.ones(2, 3).double(), EDGES, distance=lengths)


def test_lengths_that_were_scaled_to_one_are_refused():
    for other, loop in [(0.0, 700.0), (torch.inf, 0.0), (torch.nan, 0.0)]:
        with pytest.raises(ValueError, match=r"= 800 \(got 0.7 as the longest\).*norm=False"):
            pool_lengths(0.7, other, loop)
        with pytest.raises(ValueError, match=r"'radius' = 100 \(got 1 as the longest\)"):
            pool_lengths(1.0, other, loop, radius=100.0, learn_radius=False)


def test_lengths_that_may_be_in_the_unit_of_the_radius_are_taken():
    for lengths, options in [
        ((0.7, 1.1, 0.0), {}),
        ((0.0, 0.0, 0.0), {}),
        ((0.0, 0.0, 0.9), {}),
        ((0.7, 0.2, 0.0), {"radius": 99.0}),
        ((0.7, 0.2, 0.0), {"radius": [800.0, 99.0], "aggr": "attention", "heads": 2}),
    ]:
        assert pool_lengths(*lengths, **options).isfinite().all()


def test_a_length_between_nodes_of_two_sets_with_the_same_number_counts():
    x = torch.ones(2, 3).double(), torch.ones(2, 3).double()
    lengths = torch.tensor([0.7, 0.2, 700.0]).double()
    assert make_layer()(x, EDGES, distance=lengths).isfinite().all()


def test_relative_positions_that_were_scaled_to_one_are_refused():
    for dim in [1, 3]:
        x, corner = torch.ones(2, 3).double(), torch.ones(3, dim).double()
        layer = make_layer()
        with pytest.raises(ValueError, match=f"got {dim**0.5:.4g} as the longest"):
            layer(x, EDGES, offset=corner)
        layer(x, EDGES, offset=1.01 * corner)
        layer(x, EDGES, offset=corner, distance=torch.tensor([1.01, 0.5, 0.0]).double())


def test_lengths_are_not_read_in_transforms_and_without_data():
    layer, x = make_layer(path="segments"), torch.ones(2, 3).double()
    scaled = torch.rand(4, 3).double()
    pool = lambda distance: layer(x, EDGES, distance=distance)  # noqa: E731
    assert torch.vmap(pool)(scaled).shape == (4, 2, 4)
    assert torch.func.jacfwd(pool)(scaled[0]).isfinite().all()
    meta = [part.to("meta") for part in (x, EDGES)]
    assert layer.to("meta")(*meta, distance=scaled[0].to("meta")).shape == (2, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_lengths_are_read_in_the_first_forward_pass_only():
    layer = make_layer().cuda()
    x, edges, distance = (
        part.cuda() for part in (torch.ones(2, 3).double(), EDGES, torch.tensor([0.7, 0.2, 0.0]))
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=r"got 0.7 as the longest"):
            layer(x, edges, distance=distance)
    layer(x, edges, distance=1000 * distance)
    layer(x, edges, distance=distance)


@every_aggregation
def test_more_edges_than_pairs_of_nodes_are_summed(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    x = torch.randn(3, 3, dtype=torch.double, requires_grad=True)
    edges, distance = torch.randint(3, (2, 40)), 1500 * torch.rand(40).double()
    expected = references.pool(layer, x, edges, distance).mean(1)
    out = layer(x, edges, distance=distance)
    torch.testing.assert_close(out, expected)
    out.sum().backward()


@every_aggregation
def test_an_absent_node_may_be_anywhere(aggr, learn_radius, heads, path):
    direction = {"pos_dim": 2} if aggr == "attention" else {}
    layer = make_layer(aggr, learn_radius, heads, path, **direction)
    pos, edge_index, _ = random_graph()
    x = torch.randn(12, 3, dtype=torch.double)
    mask = torch.arange(12) != 4
    gone = mask[edge_index].all(0)
    lost = pos.clone()
    lost[4] = torch.nan
    out = layer(x, edge_index, pos=lost, mask=mask)
    expected = layer(x, edge_index[:, gone], pos=pos)
    torch.testing.assert_close(out[mask], expected[mask])
    out.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)


@every_radius
def test_an_endless_edge_has_no_part(aggr, learn_radius, heads, path):
    layer = make_layer(aggr, learn_radius, heads, path)
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    distance = DISTANCE.double().clone()
    distance[[1, 4]] = torch.inf
    distance.requires_grad_()
    out = layer(x, EDGE_INDEX, distance=distance)
    kept = distance.isfinite()
    torch.testing.assert_close(out, layer(x, EDGE_INDEX[:, kept], distance=distance[kept]))
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    assert distance.grad is None or distance.grad.isfinite().all()


def test_an_empty_batch_gives_an_empty_output():
    edges, distance = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0).double()
    for aggr in AGGREGATIONS:
        layer = make_layer(aggr)
        for shape in ((0, 3), (2, 0, 3), (0, 4, 3)):
            out = layer(torch.randn(shape).double(), edges, distance=distance)
            assert out.shape == (*shape[:-1], 4)


def test_positions_have_second_derivatives_where_nodes_coincide():
    layer = make_layer()
    pos = torch.tensor([[0.0, 0.0], [0.0, 0.0], [300.0, 0.0]]).double().requires_grad_()
    edges = torch.tensor([[0, 1, 2, 0], [1, 0, 0, 0]])
    loss = layer(torch.randn(3, 3).double(), edges, pos=pos).square().sum()
    (first,) = torch.autograd.grad(loss, pos, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), pos)
    assert second.isfinite().all()


def test_a_half_precise_layer_keeps_its_radius_in_single_precision():
    layer = SocialPooling(3, 4, radius=80_000.0, max_radius=200_000.0).half()
    assert layer.radius.isfinite().all()
    assert SocialPooling(3, 4, radius=801.0, learn_radius=False).bfloat16().radius.item() == 801
