"""The benchmark of social pooling: rivals that are what they claim, and its result file."""

import json

import pytest
import torch

from benchmarks.pooling import ATTENTION, MEAN, Inputs, Shape, main, make_call, make_inputs
from benchmarks.tables import TABLES


@pytest.fixture
def inputs():
    return make_inputs(Shape(40, 6.0, 2), "cpu")


def alone(inputs: Inputs) -> torch.Tensor:
    """Nodes that hear nobody."""
    return torch.bincount(inputs.edge_index[1], minlength=inputs.x.size(1)) == 0


def test_the_disjoint_graph_is_one_copy_of_the_graph_per_window(inputs):
    edges = inputs.edge_index.size(1)
    assert torch.equal(inputs.disjoint[:, :edges], inputs.edge_index)
    assert torch.equal(inputs.disjoint[:, edges:], inputs.edge_index + 40)


def test_all_ways_of_attention_compute_the_same(inputs):
    social, call = make_call("social_fixed", inputs)
    out = call(inputs.x)
    lins = (social.lin_query, social.lin_key, social.lin_value)
    for name in ("dense", "loop", "TransformerConv"):
        layer, other = make_call(name, inputs)
        with torch.no_grad():
            if name == "TransformerConv":
                for own, lin in zip(
                    (layer.lin_query, layer.lin_key, layer.lin_value), lins, strict=True
                ):
                    own.weight.copy_(lin.weight)
                    if own.bias is not None:
                        own.bias.zero_()
            else:
                layer.project.weight.copy_(torch.cat([lin.weight for lin in lins]))
        heard = ~alone(inputs)
        torch.testing.assert_close(other(inputs.x)[:, heard], out[:, heard], rtol=1e-4, atol=1e-5)


def test_all_ways_of_the_mean_compute_the_same(inputs):
    social, call = make_call("social_mean_fixed", inputs)
    out = call(inputs.x)
    for name in ("SAGEConv", "loop_mean"):
        layer, other = make_call(name, inputs)
        with torch.no_grad():
            (layer.lin_l if name == "SAGEConv" else layer.project).weight.copy_(
                social.lin_value.weight
            )
        torch.testing.assert_close(other(inputs.x), out, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_every_way_is_measured_at_every_shape(tmp_path):
    main(["--quick", "--device", "cpu", "--output", str(tmp_path / "r.json")])
    report = json.loads((tmp_path / "r.json").read_text())
    found = {(e["way"], e["nodes"], e["windows"]) for e in report["results"]}
    assert found == {(way, 30, windows) for way in (*ATTENTION, *MEAN) for windows in (1, 2)}
    for entry in report["results"]:
        assert len(entry["forward"]["repeats"]) == len(entry["training"]["repeats"]) == 2
        assert 0 < entry["floor_seconds"] < entry["forward"]["median"]
    table = TABLES["pooling"](report)
    assert table.count("| 30 |") == 4
