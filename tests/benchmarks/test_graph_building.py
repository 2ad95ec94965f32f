"""The script on graph building, on few detectors; never how fast."""

import json

import numpy as np
import pytest
import torch
import torch_geometric.nn
from pyproj import Geod

from benchmarks.graph_building import (
    WAYS,
    Task,
    check_equal,
    main,
    measure_memory,
    points_in_space,
    random_detectors,
    random_positions,
)
from benchmarks.measure import isolated
from benchmarks.plots import PLOTS
from benchmarks.tables import TABLES
from tests.references import radius_graph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    table = folder / "few.csv"
    table.write_text("id,lat,lon\na,25.0,121.5\nb,25.001,121.5\nc,25.1,121.5\n")
    # The matrix of 300 detectors takes 0.8 MiB, that of 100 less than 0.1.
    words = ["--quick", "--limit", "0.5", "--detectors", str(table)]
    main([*words, "--output", str(folder / "result.json")])
    return json.loads((folder / "result.json").read_text())


def test_the_result_holds_every_way_at_every_size(report):
    assert report["question"] == "graph_building"
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "versions"}
    found = [(e["data"], e["nodes"], e["way"]) for e in report["results"]]
    sizes = [("random", 100), ("random", 300), ("few", 3)]
    assert found == [(*size, way) for size in sizes for way in WAYS]
    measured = [e for e in report["results"] if "seconds" in e]
    assert {e["way"] for e in measured} >= {"kd_tree", "all_pairs"}
    for entry in measured:
        assert len(entry["seconds"]["repeats"]) == 2
        assert min(entry["seconds"]["repeats"]) > 0
        assert entry["peak_memory_mib"] >= 0
    assert [e["edges"] for e in measured if e["data"] == "few"] == [2, 2]


def test_a_way_that_is_not_measured_says_why(report):
    (left_out,) = (e for e in report["results"] if "left_out" in e)
    assert (left_out["way"], left_out["nodes"]) == ("all_pairs", 300)
    assert left_out["left_out"] == "its matrix takes 0.8 MiB, limit 0.5 MiB"
    for entry in report["results"]:
        assert ("seconds" in entry) + ("left_out" in entry) + ("error" in entry) == 1
        assert "error" not in entry or entry["way"] == "pyg"


def test_table_and_picture_show_every_size(report, tmp_path):
    table = TABLES["graph_building"](report)
    assert "| random | 100 | " in table
    assert "| random | 300 | " in table
    PLOTS["graph_building"](report, tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 5000


def test_memory_is_that_of_a_fresh_process():
    task = Task(*random_detectors(2000, 10, 2000.0), 2000.0, "cpu", most=60)
    matrix = 8 * 2000**2 / 2**20
    assert matrix < isolated(measure_memory, "all_pairs", task) < 2 * matrix


def test_growth_is_fitted_over_the_random_detectors(report):
    fits = report["configuration"]["growth"]
    (own,) = (f for f in fits if (f["way"], f["quantity"]) == ("kd_tree", "seconds"))
    assert own["degree"] == 10
    assert np.isfinite(own["exponent"])


def test_every_way_gives_the_edges_of_the_naive_loop_and_their_lengths(monkeypatch):
    def naive(x, r, max_num_neighbors):
        edges = torch.tensor(radius_graph(x.tolist(), r)).T
        assert edges[1].bincount().max() <= max_num_neighbors
        return edges

    monkeypatch.setattr(torch_geometric.nn, "radius_graph", naive)
    task = Task(*random_detectors(60, 8, 500.0), 500.0, "cpu", most=60)
    expected = radius_graph(points_in_space(task).tolist(), task.radius)
    assert len(expected) > 200
    for build in WAYS.values():
        edge_index, distance = build(task)
        assert sorted(map(tuple, edge_index.T.tolist())) == sorted(expected)
        j, i = edge_index.numpy()
        _, _, length = Geod(ellps="WGS84").inv(task.lon[i], task.lat[i], task.lon[j], task.lat[j])
        np.testing.assert_allclose(distance, length, atol=1e-5)


def test_random_detectors_have_the_density_that_was_asked_for():
    nodes, radius = 20_000, 2000.0
    edge_index, _ = WAYS["kd_tree"](Task(*random_detectors(nodes, 10, radius), radius, "cpu"))
    assert edge_index.size(1) / nodes == pytest.approx(10, rel=0.05)
    pos = random_positions(nodes, 10, radius)
    assert np.ptp(pos) == pytest.approx(radius * (np.pi * nodes / 10) ** 0.5, rel=0.01)


def test_a_way_with_other_edges_is_refused():
    edge_index, distance = torch.tensor([[0, 1], [1, 0]]), torch.ones(2)
    graphs = {"a": (edge_index, distance), "b": (edge_index.flip(1), distance.flip(0))}
    check_equal(graphs, 2)
    graphs["c"] = (edge_index[:, :1], distance[:1])
    with pytest.raises(RuntimeError, match="'c' and 'a' differ in edges"):
        check_equal(graphs, 2)


def test_a_table_without_positions_is_refused(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("id,lat,lng\n1,2,3\n")
    with pytest.raises(KeyError, match="no column"):
        main(["--quick", "--detectors", str(table)])
    table.write_text("id,lat,lon\n1,95.0,3.0\n")
    with pytest.raises(ValueError, match="no valid position"):
        main(["--quick", "--detectors", str(table)])
