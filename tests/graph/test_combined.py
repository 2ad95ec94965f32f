"""Several kinds of edges in one graph, and builders that YAML names."""

import numpy as np
import pytest
from jsonargparse import ArgumentParser

from socialgraph.graph import CombinedGraph, Graph, GraphBuilder, RadiusGraph, RoadGraph
from tests.graph.detectors import around, at


class Chain(GraphBuilder):
    """Each detector hears the one before it."""

    def __init__(self, max_radius: float = 9.0) -> None:
        self.max_radius = max_radius

    def build(self, detectors):
        sender = np.arange(len(detectors.vdids) - 1)
        distance = np.full(len(sender), self.max_radius)
        return Graph(np.stack([sender, sender + 1]), distance, np.column_stack([distance] * 2))


def test_edges_of_all_builders_are_told_apart_by_type():
    detectors = at([25.0, 25.001, 25.002], [121.5, 121.5, 121.5])
    graph = CombinedGraph([RadiusGraph(120.0), Chain()]).build(detectors)
    assert graph.edge_index.T.tolist() == [[1, 0], [0, 1], [0, 1], [2, 1], [1, 2], [1, 2]]
    assert graph.edge_type.tolist() == [0, 0, 1, 0, 0, 1]
    assert graph.edge_type.dtype == np.int64
    np.testing.assert_array_equal(graph.distance[graph.edge_type == 1], [9.0, 9.0])
    np.testing.assert_array_equal(graph.offset[graph.edge_type == 1], [[9.0, 9.0]] * 2)
    np.testing.assert_allclose(graph.distance[graph.edge_type == 0], 110.78, atol=0.01)


def test_each_type_holds_the_graph_of_its_builder():
    detectors = around(25.0, 121.5, 40, 2000)
    builders = [RadiusGraph(1000.0, 2), Chain(), RadiusGraph(500.0)]
    graph = CombinedGraph(builders).build(detectors)
    for number, builder in enumerate(builders):
        part, own = builder.build(detectors), graph.edge_type == number
        np.testing.assert_array_equal(graph.edge_index[:, own], part.edge_index)
        np.testing.assert_array_equal(graph.distance[own], part.distance)
        np.testing.assert_array_equal(graph.offset[own], part.offset)
    keys = graph.edge_index[1] * 40 + graph.edge_index[0]
    assert (np.diff(keys) >= 0).all()


def test_the_reach_is_that_of_the_builder_that_reaches_farthest():
    builders = [RadiusGraph(500.0), RoadGraph(max_distance=3000.0), Chain()]
    assert CombinedGraph(builders).max_radius == 3000.0
    assert CombinedGraph(builders).graphs == builders


def test_a_detector_alone_has_no_edge_of_any_type():
    graph = CombinedGraph([RadiusGraph(), Chain()]).build(at([25.0], [121.5]))
    assert graph.edge_index.shape == (2, 0)
    assert graph.edge_type.shape == (0,)


def test_no_builder_and_one_inside_another_are_refused():
    with pytest.raises(ValueError, match="one builder or more"):
        CombinedGraph([])
    with pytest.raises(ValueError, match="got a CombinedGraph as number 1"):
        CombinedGraph([RadiusGraph(), CombinedGraph([RadiusGraph()])])


def parse(graph):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--graph", type=GraphBuilder)
    return parser.instantiate_classes(parser.parse_object({"graph": graph})).graph


def test_a_configuration_names_builders_inside_a_builder():
    graph = parse(
        {
            "class_path": "socialgraph.graph.CombinedGraph",
            "init_args": {
                "graphs": [
                    {
                        "class_path": "socialgraph.graph.RadiusGraph",
                        "init_args": {"max_radius": 800.0, "max_num_neighbors": 3},
                    },
                    {
                        "class_path": "socialgraph.graph.RoadGraph",
                        "init_args": {"path": "roads.csv", "rows": "from", "keys": "index"},
                    },
                    {"class_path": f"{__name__}.Chain", "init_args": {"max_radius": 7.0}},
                ]
            },
        }
    )
    radius, road, chain = graph.graphs
    assert isinstance(graph, CombinedGraph)
    assert vars(radius) == {"max_radius": 800.0, "max_num_neighbors": 3, "spacing": None}
    assert (road.path, road.rows, road.keys) == ("roads.csv", "from", "index")
    assert chain.max_radius == 7.0


def test_a_configuration_with_a_misspelt_option_is_refused():
    with pytest.raises(Exception, match="max_raduis"):
        parse({"class_path": "socialgraph.graph.RadiusGraph", "init_args": {"max_raduis": 1.0}})
