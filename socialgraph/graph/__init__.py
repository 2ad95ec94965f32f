"""Graphs of detectors and the builders that make them, without torch; YAML names a builder."""

from socialgraph.graph.builder import Detectors, Graph, GraphBuilder
from socialgraph.graph.combined import CombinedGraph
from socialgraph.graph.geodesy import project
from socialgraph.graph.radius import RadiusGraph, build_radius_graph
from socialgraph.graph.road import RoadGraph
from socialgraph.graph.spacing import local_spacing

__all__ = [
    "CombinedGraph",
    "Detectors",
    "Graph",
    "GraphBuilder",
    "RadiusGraph",
    "RoadGraph",
    "build_radius_graph",
    "local_spacing",
    "project",
]
