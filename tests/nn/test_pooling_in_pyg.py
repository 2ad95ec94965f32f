"""Social pooling where people put layers of PyTorch Geometric."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel
from torch_geometric import EdgeIndex, seed_everything
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import ClusterData, ClusterLoader, NeighborLoader
from torch_geometric.nn import Sequential, to_hetero
from torch_geometric.transforms import Cartesian, Distance
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import k_hop_subgraph, to_torch_coo_tensor, to_torch_csr_tensor

from socialgraph.nn import SocialPooling

every_aggregation = pytest.mark.parametrize(
    "aggr", ["mean", "attention", "max", "inverse_distance"]
)
every_path = pytest.mark.parametrize("path", ["sparse", "segments"])
# Each way in which the states of neighbours are brought together.
every_sum = pytest.mark.parametrize(
    ("aggr", "path"),
    [("mean", "sparse"), ("attention", "sparse"), ("attention", "segments"), ("max", "segments")],
)


def make_layer(aggr="attention", channels=(8, 4), path="sparse", **options):
    heads = 2 if aggr == "attention" else 1
    options = {"radius": 0.3, "max_radius": 0.6, "heads": heads, **options}
    layer = SocialPooling(*channels, aggr, **options)
    layer.fuse, layer.fuse_from = path == "sparse", 0
    return layer


def make_data(nodes=30, seed=0):
    """A random geometric graph in the unit square from left to right, joined up to 0.4 apart."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(nodes, 2, generator=generator)
    pos = pos[pos[:, 0].argsort()]
    distance = torch.cdist(pos, pos)
    near = (distance <= 0.4).fill_diagonal_(False)
    receiver, sender = near.nonzero().T
    x = torch.randn(nodes, 8, generator=generator)
    return Data(
        x=x,
        pos=pos,
        edge_index=torch.stack([sender, receiver]),
        edge_attr=distance[sender, receiver],
        num_nodes=nodes,
    )


@every_path
def test_all_forms_of_edges_and_lengths_give_the_same(path):
    layer, data = make_layer(path=path), make_data()
    x, edge_index, distance, size = data.x, data.edge_index, data.edge_attr, (30, 30)
    out = layer(x, edge_index, distance=distance)
    bare = Data(pos=data.pos, edge_index=edge_index)
    sparse = {
        "coo": to_torch_coo_tensor(edge_index, distance, size).t(),
        "csr": to_torch_csr_tensor(edge_index.flip(0), distance, size),
        "other values": to_torch_csr_tensor(edge_index.flip(0), 2 * distance, size),
    }
    sorted_index = EdgeIndex(edge_index, sparse_size=size, sort_order="col")
    shuffled = torch.randperm(edge_index.size(1))
    others = {
        "Distance": layer(x, edge_index, distance=Distance(norm=False)(bare.clone()).edge_attr),
        "Cartesian": layer(x, edge_index, offset=Cartesian(norm=False)(bare.clone()).edge_attr),
        "pos": layer(x, edge_index, pos=data.pos),
        "EdgeIndex": layer(x, sorted_index, distance=distance),
        "unsorted": layer(x, edge_index[:, shuffled], distance=distance[shuffled]),
        "coo": layer(x, sparse["coo"]),
        "csr": layer(x, sparse["csr"]),
        "other values and pos": layer(x, sparse["other values"], pos=data.pos),
        "tuple": layer((x, x), edge_index, distance=distance),
    }
    for name, other in others.items():
        torch.testing.assert_close(other, out, msg=lambda text, name=name: f"{name}: {text}")


@every_sum
def test_indices_may_be_of_half_the_width(aggr, path):
    layer, data = make_layer(aggr, (8, 16), path), make_data()
    narrow = data.edge_index.int()
    out = layer(data.x, data.edge_index, distance=data.edge_attr)
    assert torch.equal(layer(data.x, narrow, distance=data.edge_attr), out)
    matrix = to_torch_csr_tensor(data.edge_index.flip(0), data.edge_attr, (30, 30))
    parts = matrix.crow_indices().int(), matrix.col_indices().int(), matrix.values()
    torch.testing.assert_close(layer(data.x, torch.sparse_csr_tensor(*parts, (30, 30))), out)
    index = EdgeIndex(narrow, sparse_size=(30, 30))
    assert torch.equal(layer(data.x, index, distance=data.edge_attr), out)


@pytest.mark.parametrize("transform", [Distance(), Cartesian()], ids=str)
def test_lengths_that_a_transform_scaled_are_refused(transform):
    data = make_data()
    data.pos = 1000 * data.pos
    told = transform(Data(pos=data.pos, edge_index=data.edge_index)).edge_attr
    name = "distance" if told.size(1) == 1 else "offset"
    with pytest.raises(ValueError, match="norm=False"):
        make_layer(radius=300.0, max_radius=600.0)(data.x, data.edge_index, **{name: told})


def test_nothing_is_told_of_edges_whose_order_a_sparse_adjacency_chooses():
    for name in ["distance", "offset", "edge_attr"]:
        data = make_data()
        matrix = to_torch_csr_tensor(data.edge_index.flip(0), data.edge_attr, (30, 30))
        words = rf"as values of the sparse adjacency, .* \(got 'pos' and '{name}'\)"
        if name == "edge_attr":
            words = words.replace("'pos' and 'edge_attr'", "'edge_attr' and 'pos'")
        with pytest.raises(ValueError, match=words):
            make_layer()(data.x, matrix, pos=data.pos, **{name: torch.rand(data.num_edges, 2)})


@every_sum
def test_edges_read_backwards_are_the_flow_from_target_to_source(aggr, path):
    forward = make_layer(aggr, path=path, **({"pos_dim": 2} if aggr == "attention" else {}))
    backward = SocialPooling(
        *(8, 4, aggr), radius=0.3, max_radius=0.6, heads=forward.heads, pos_dim=forward.pos_dim,
        flow="target_to_source",
    )  # fmt: skip
    backward.load_state_dict(forward.state_dict())
    data = make_data()
    out = forward(data.x, data.edge_index, pos=data.pos)
    torch.testing.assert_close(backward(data.x, data.edge_index.flip(0), pos=data.pos), out)
    offset = data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]
    torch.testing.assert_close(forward(data.x, data.edge_index, offset=offset), out)
    turned = backward(data.x, data.edge_index.flip(0), offset=-offset)
    torch.testing.assert_close(turned, out)
    with pytest.raises(ValueError, match="transposed adjacency"):
        backward(data.x, to_torch_coo_tensor(data.edge_index, data.edge_attr, (30, 30)))


@every_sum
def test_a_bipartite_graph_is_the_corner_of_a_square_one(aggr, path):
    layer = make_layer(aggr, ((8, 8), 4), path, residual=True, bias=True)
    square = make_layer(aggr, (8, 4), path, residual=True, bias=True)
    square.load_state_dict(layer.state_dict())
    detectors, junctions = torch.randn(6, 8), torch.randn(4, 8)
    pos = torch.rand(6, 2), torch.rand(4, 2)
    edge_index = torch.tensor([[0, 0, 5, 2, 3], [0, 1, 1, 2, 2]])  # 0 -> 0 is no self loop
    out = layer((detectors, junctions), edge_index, pos=pos)
    both = torch.cat([detectors, junctions])
    shifted = edge_index + torch.tensor([[0], [6]])
    torch.testing.assert_close(out, square(both, shifted, pos=torch.cat(pos))[6:])
    torch.testing.assert_close(out[3], layer.res(junctions[3]) + layer.bias)  # hears nobody


@pytest.mark.parametrize("aggr", ["mean", "attention"])
def test_both_sides_of_a_bipartite_graph_have_widths_of_their_own(aggr):
    edge_index, distance = torch.tensor([[0, 5], [1, 2]]), torch.tensor([0.1, 0.2])
    x = torch.randn(6, 8), torch.randn(4, 5)
    for widths in ((8, 5), (-1, -1)):
        layer = make_layer(aggr, (widths, 4), residual=True)
        assert layer(x, edge_index, distance=distance).shape == (4, 4)
        assert layer.res.weight.shape == (4, 5)


def test_receivers_without_states_are_counted_by_size():
    layer = make_layer("mean", ((8, 5), 4))
    edge_index, distance = torch.tensor([[0, 1], [2, 2]]), torch.tensor([0.1, 0.1])
    out = layer((torch.randn(6, 8), None), edge_index, distance=distance, size=(6, 7))
    assert out.shape == (7, 4)
    assert (out[[0, 1, 3, 4, 5, 6]] == 0).all()
    assert (out[2] != 0).all()
    with pytest.raises(ValueError, match=r"number of nodes in row 1.*got none"):
        layer((torch.randn(6, 8), None), edge_index, distance=distance)
    with pytest.raises(ValueError, match=r"x\[1\] = None"):
        make_layer("attention", ((8, 5), 4))(
            (torch.randn(6, 8), None), edge_index, distance=distance, size=(6, 7)
        )


def test_a_lazy_layer_takes_its_width_from_the_first_input():
    data = make_data()
    layer = make_layer(channels=(-1, 4), residual=True)
    assert layer.radius.tolist() == pytest.approx([0.3, 0.3])
    assert layer(data.x, data.edge_index, distance=data.edge_attr).shape == (30, 4)
    assert layer.lin_query.weight.shape == (8, 8)


def test_prints_like_a_layer_of_pyg():
    assert str(make_layer()) == "SocialPooling(8, 4, aggr=attention, heads=2)"
    assert str(make_layer("mean", ((8, 5), 4))) == "SocialPooling((8, 5), 4, aggr=mean)"


def test_stands_in_sequential_between_other_layers():
    data = make_data()
    arguments = "x, edge_index, edge_attr, pos, distance"  # by position, as Sequential gives them
    model = Sequential(
        arguments,
        [
            (make_layer(), f"{arguments} -> x"),
            torch.nn.ReLU(),
            (make_layer("mean", (4, 3)), f"{arguments} -> x"),
        ],
    )
    out = model(data.x, data.edge_index, None, None, data.edge_attr)
    assert out.shape == (30, 3)
    hidden = model[0](data.x, data.edge_index, distance=data.edge_attr).relu()
    expected = model[2](hidden, data.edge_index, distance=data.edge_attr)
    torch.testing.assert_close(out, expected)


class TwoLayers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = make_layer("mean", ((-1, -1), 8), bias=True, residual=True)
        self.second = make_layer("attention", ((-1, -1), 4), residual=True)

    def forward(self, x, edge_index, edge_attr):
        x = self.first(x, edge_index, distance=edge_attr).relu()
        return self.second(x, edge_index, distance=edge_attr)


def test_becomes_heterogeneous():
    data = HeteroData()
    data["detector"].x, data["junction"].x = torch.randn(6, 3), torch.randn(4, 2)
    for edge, size in (
        (("detector", "beside", "detector"), (6, 6)),
        (("detector", "feeds", "junction"), (6, 4)),
        (("junction", "feeds", "detector"), (4, 6)),
    ):
        data[edge].edge_index = torch.stack([torch.randint(n, (12,)) for n in size])
        data[edge].edge_attr = torch.rand(12)
    model = to_hetero(TwoLayers(), data.metadata(), aggr="sum")
    out = model(data.x_dict, data.edge_index_dict, data.edge_attr_dict)
    assert {name: tuple(x.shape) for name, x in out.items()} == {
        "detector": (6, 4),
        "junction": (4, 4),
    }
    # In the type that joins detectors with detectors, a loop is still nobody's neighbour.
    layer, x = make_layer("mean", ((-1, -1), 4)), data["detector"].x
    assert (layer((x, x), torch.tensor([[1], [1]]), distance=torch.tensor([0.0])) == 0).all()


@every_sum
def test_a_batch_of_graphs_of_different_sizes_is_each_graph_alone(aggr, path):
    layer = make_layer(aggr, path=path)
    graphs = [make_data(nodes, seed) for seed, nodes in enumerate((5, 1, 30, 12))]
    batch = Batch.from_data_list(graphs)
    out = layer(batch.x, batch.edge_index, distance=batch.edge_attr)
    alone = [layer(g.x, g.edge_index, distance=g.edge_attr) for g in graphs]
    torch.testing.assert_close(out, torch.cat(alone))


def whole_and_part(part, seeds):
    """Outputs of the seeds from the whole graph and from a part that holds their neighbours."""
    layer, data = make_layer(), make_data(60)
    whole = layer(data.x, data.edge_index, distance=data.edge_attr)
    own = layer(part.x, part.edge_index, distance=part.edge_attr)
    return whole[part.n_id[seeds]], own[seeds]


def test_a_subgraph_with_all_neighbours_gives_the_numbers_of_the_whole():
    data = make_data(60)
    nodes, edge_index, seeds, kept = k_hop_subgraph(
        [3, 7, 20], 1, data.edge_index, relabel_nodes=True
    )
    part = Data(x=data.x[nodes], edge_index=edge_index, edge_attr=data.edge_attr[kept], n_id=nodes)
    torch.testing.assert_close(*whole_and_part(part, seeds))


@pytest.mark.skipif(
    not (WITH_PYG_LIB or WITH_TORCH_SPARSE),
    reason="NeighborLoader needs pyg-lib or torch-sparse, which compile for minutes",
)
def test_a_neighbor_loader_with_all_neighbours_gives_the_numbers_of_the_whole():
    for part in NeighborLoader(make_data(60), num_neighbors=[-1], batch_size=16):
        seeds = torch.arange(part.batch_size)
        torch.testing.assert_close(*whole_and_part(part, seeds))


class Halves(ClusterData):
    """Clusters by number, where METIS is not installed."""

    def _metis(self, edge_index, num_nodes):
        return (torch.arange(num_nodes) >= num_nodes // 2).long()


def test_clusters_of_a_cluster_loader_give_the_numbers_of_the_whole_inside():
    data = make_data(60)
    data.n_id = torch.arange(60)
    inside = 0
    for part in ClusterLoader(Halves(data, num_parts=2, log=False), batch_size=1):
        degree = torch.bincount(data.edge_index[1], minlength=60)[part.n_id]
        complete = torch.bincount(part.edge_index[1], minlength=part.num_nodes) == degree
        inside += int(complete.sum())
        torch.testing.assert_close(*whole_and_part(part, complete.nonzero().flatten()))
    assert inside > 5


class InMetres(torch.nn.Module):
    """A layer with a radius of 300, called with lengths, or with all that attention can be told."""

    def __init__(self, aggr, **options):
        super().__init__()
        widths = {"pos_dim": 2, "edge_dim": 3} if aggr == "attention" else {}
        self.layer = make_layer(aggr, radius=300.0, max_radius=600.0, **widths, **options)

    def forward(self, x, edge_index, distance, offset, edge_attr):
        if self.layer.aggregation != "attention":
            return self.layer(x, edge_index, distance=distance)
        return self.layer(x, edge_index, edge_attr, distance=distance, offset=offset)


def inputs(nodes, edges):
    return (
        torch.randn(nodes, 8), torch.randint(nodes, (2, edges)), 1000 * torch.rand(edges),
        500 * torch.randn(edges, 2), torch.randn(edges, 3),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("aggr", "learn_radius"),
    [("mean", False), ("attention", True), ("max", True), ("inverse_distance", True)],
)
def test_compiles_whole_for_all_sizes(aggr, learn_radius):
    layer = InMetres(aggr, learn_radius=learn_radius)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    torch._dynamo.reset()
    for sizes in ((12, 50), (30, 99), (7, 20)):
        arguments = inputs(*sizes)
        torch.testing.assert_close(compiled(*arguments), layer(*arguments))


@pytest.mark.slow
def test_the_compiled_code_gives_the_same_values_and_gradients():
    layer = InMetres("attention")
    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for sizes in ((12, 50), (37, 203)):  # sizes that fill no vector register
        x, *edges = inputs(*sizes)
        results = []
        for function in (layer, compiled):
            layer.zero_grad()
            own = x.clone().requires_grad_()
            out = function(own, *edges)
            out.square().sum().backward()
            results.append([out, own.grad, *(p.grad.clone() for p in layer.parameters())])
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def dynamic_shapes():
    nodes, edges = torch.export.Dim("nodes", min=2), torch.export.Dim("edges", min=2)
    told = {name: {0: edges} for name in ("distance", "offset", "edge_attr")}
    return {"x": {0: nodes}, "edge_index": {1: edges}, **told}


@every_aggregation
def test_exports_with_any_number_of_nodes_and_edges(aggr):
    layer = InMetres(aggr).eval()
    program = torch.export.export(layer, inputs(12, 50), dynamic_shapes=dynamic_shapes())
    arguments = inputs(31, 77)
    torch.testing.assert_close(program.module()(*arguments), layer(*arguments))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("aggr", ["attention", "max", "inverse_distance"])
def test_exports_to_onnx_with_the_same_numbers(aggr, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'test' installs it")
    layer = InMetres(aggr).eval()
    program = torch.onnx.export(
        *(layer, inputs(12, 50)), dynamic_shapes=dynamic_shapes(), dynamo=True, verbose=False
    )
    program.save(tmp_path / "layer.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx")
    arguments = inputs(31, 77)
    given = dict(zip(dynamic_shapes(), arguments, strict=True))
    feed = {entry.name: given[entry.name].numpy() for entry in session.get_inputs()}
    (out,) = session.run(None, feed)
    torch.testing.assert_close(torch.from_numpy(out), layer(*arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("aggr", "path", "dtype"),
    [
        ("mean", "sparse", torch.bfloat16),
        ("attention", "sparse", torch.bfloat16),
        ("attention", "segments", torch.float16),
        ("max", "segments", torch.float16),
        ("inverse_distance", "segments", torch.bfloat16),
    ],
)
def test_autocast_stays_near_single_precision(aggr, path, dtype):
    layer, data = make_layer(aggr, path=path), make_data()
    exact = layer(data.x, data.edge_index, distance=data.edge_attr)
    with torch.autocast("cpu", dtype):
        rough = layer(data.x, data.edge_index, distance=data.edge_attr)
    assert rough.dtype == dtype
    rough.float().square().sum().backward()
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def saved_and_loaded(layer, **options):
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    loaded = make_layer(**options)
    loaded.load_state_dict(torch.load(stored, weights_only=True))
    return loaded


@pytest.mark.parametrize("learn_radius", [True, False])
def test_is_copied_pickled_saved_averaged_and_called_with_other_weights(learn_radius):
    data = make_data()
    radii = {"radius": np.float64(0.3), "max_radius": np.float64(0.6), "min_radius": np.float32(0)}
    layer = make_layer(learn_radius=learn_radius, **radii)
    out = layer(data.x, data.edge_index, distance=data.edge_attr)
    out.sum().backward()
    averaged = AveragedModel(layer)
    averaged.update_parameters(layer)
    averaged.load_state_dict(averaged.state_dict())
    others = {
        "copied": copy.deepcopy(layer),
        "pickled": pickle.loads(pickle.dumps(layer)),
        "saved": saved_and_loaded(layer, learn_radius=learn_radius),
        "averaged": averaged,
    }
    for name, other in others.items():
        again = other(data.x, data.edge_index, distance=data.edge_attr)
        torch.testing.assert_close(again, out, msg=lambda text, name=name: f"{name}: {text}")
    weights = dict(layer.named_parameters())
    arguments = (data.x, data.edge_index), {"distance": data.edge_attr}
    other = make_layer(learn_radius=learn_radius)
    torch.testing.assert_close(functional_call(other, weights, *arguments), out)


class OneWindow(torch.nn.Module):
    """A model of windows ``[B, N, F]``, explained window by window as ``[N, F]``."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, edge_index, distance):
        return self.model(x.unsqueeze(0), edge_index, distance=distance).squeeze(0)


def test_hooks_and_messages_of_subclasses_are_heard_at_any_size():
    class Silent(SocialPooling):
        def message(self, x_j, weight):
            return 0 * x_j

    data = make_data()
    arguments = {"x": data.x, "edge_index": data.edge_index, "distance": data.edge_attr}
    silent = Silent(8, 4, radius=0.3)
    silent.fuse_from = 0
    assert (silent(**arguments) == 0).all()
    layer, heard = make_layer(), []
    layer.register_message_forward_hook(lambda *_: heard.append(True))
    layer(**arguments)
    assert heard


@pytest.mark.parametrize(("aggr", "windows"), [("mean", False), ("attention", True)])
def test_an_explainer_finds_the_neighbour_that_matters(aggr, windows):
    seed_everything(0)
    layer = make_layer(aggr, (2, 1), radius=0.5)
    with torch.no_grad():
        layer.lin_value.weight.fill_(1.0)
    x = torch.tensor([[0.0, 0.0], [3.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
    edge_index = torch.tensor([[1, 2, 3, 0], [0, 0, 0, 1]])
    distance = torch.full((4,), 0.1)
    explainer = Explainer(
        OneWindow(layer) if windows else layer,
        algorithm=GNNExplainer(epochs=60),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    explanation = explainer(x, edge_index, distance=distance, index=0)
    assert explanation.edge_mask.argmax() == 0
    assert explanation.node_mask[1].sum() == explanation.node_mask.sum()
    assert layer.fuse  # the layer is as before
    again = (layer(x, edge_index, distance=distance) for _ in range(2))
    torch.testing.assert_close(*again)
