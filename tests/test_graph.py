"""Projection against geodesics, radius graph against brute force."""

import csv

import numpy as np
import pytest
from pyproj import Geod

from socialgraph.graph import build_radius_graph, project
from tests import references
from tests.conftest import NEEDS_SHARED, SHARED


def geodesic(lat, lon, i, j):
    return Geod(ellps="WGS84").inv(lon[i], lat[i], lon[j], lat[j])[2]


@pytest.mark.parametrize("centre", [(24.99, 121.3), (34.1, -118.3), (37.4, -122.0), (56.2, 10.1)])
def test_distances_are_metres_on_the_ground(centre):
    rng = np.random.default_rng(0)
    lat = centre[0] + rng.uniform(-0.15, 0.15, 200)
    lon = centre[1] + rng.uniform(-0.15, 0.15, 200)
    pos = project(lat, lon)
    i, j = rng.integers(0, 200, (2, 2000))
    i, j = i[i != j], j[i != j]
    flat = np.linalg.norm(pos[i] - pos[j], axis=1)
    np.testing.assert_allclose(flat, geodesic(lat, lon, i, j), rtol=0.01)


@NEEDS_SHARED
@pytest.mark.parametrize("name", ["metr_la_207", "pems_bay_325"])
def test_edges_of_real_networks_are_true_to_half_a_percent(name):
    with open(SHARED / "detectors" / f"{name}.csv") as file:
        rows = list(csv.DictReader(file))
    lat, lon = (np.array([float(row[key]) for row in rows]) for key in ("lat", "lon"))
    (i, j), distance = build_radius_graph(project(lat, lon), 2000.0)
    assert len(distance) > 500
    np.testing.assert_allclose(distance, geodesic(lat, lon, i, j), rtol=0.005, atol=0.01)


def test_positions_on_both_sides_of_the_180th_meridian_are_near():
    pos = project(np.array([-17.0, -17.0]), np.array([179.99, -179.99]))
    assert abs(np.linalg.norm(pos[0] - pos[1]) - geodesic([-17, -17], [179.99, -179.99], 0, 1)) < 5


def test_the_same_network_elsewhere_on_its_parallel_has_the_same_distances():
    lat, lon = np.array([25.0, 25.01, 25.02]), np.array([121.0, 121.02, 121.01])
    here, there = project(lat, lon), project(lat, lon - 200)
    np.testing.assert_allclose(here, there, atol=1e-6)


def test_a_position_that_is_none_is_nan_and_moves_no_other():
    lat, lon = np.array([25.0, np.nan, 25.02, 95.0]), np.array([121.0, 121.0, 121.01, 121.0])
    pos = project(lat, lon)
    assert np.isnan(pos[[1, 3]]).all()
    np.testing.assert_allclose(pos[[0, 2]], project(lat[[0, 2]], lon[[0, 2]]))


def test_six_points_by_hand():
    pos = np.array([[0, 0], [3, 4], [6, 8], [0, 5], [100, 0], [0, 0]])
    edge_index, distance = build_radius_graph(pos, 5.0)
    edges = list(zip(*edge_index.tolist(), distance.tolist(), strict=True))
    assert edges == [
        (1, 0, 5.0),
        (3, 0, 5.0),
        (5, 0, 0.0),
        (0, 1, 5.0),
        (2, 1, 5.0),
        (3, 1, pytest.approx(10**0.5)),
        (5, 1, 5.0),
        (1, 2, 5.0),
        (0, 3, 5.0),
        (1, 3, pytest.approx(10**0.5)),
        (5, 3, 5.0),
        (0, 5, 0.0),
        (1, 5, 5.0),
        (3, 5, 5.0),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_random_points_equal_brute_force(seed):
    pos = np.random.default_rng(seed).uniform(0, 1000, (80, 2))
    edge_index, distance = build_radius_graph(pos, 200.0)
    assert list(map(tuple, edge_index.T.tolist())) == references.radius_graph(pos.tolist(), 200.0)
    sender, receiver = edge_index
    np.testing.assert_allclose(distance, np.hypot(*(pos[sender] - pos[receiver]).T))


@pytest.mark.parametrize("cap", [1, 3, 10**6])
def test_a_cap_keeps_the_nearest_of_every_receiver(cap):
    pos = np.random.default_rng(0).uniform(0, 1000, (60, 2))
    capped, distance = build_radius_graph(pos, 300.0, cap)
    edges, lengths = build_radius_graph(pos, 300.0)
    for i in range(60):
        expected = np.sort(lengths[edges[1] == i])[:cap]
        np.testing.assert_array_equal(np.sort(distance[capped[1] == i]), expected)
    assert (np.diff(capped[1]) >= 0).all()


@pytest.mark.parametrize("points", [0, 1, 2])
def test_no_edges_where_nobody_is_near(points):
    edge_index, distance = build_radius_graph(np.arange(2.0 * points).reshape(points, 2) * 1e6, 1.0)
    assert edge_index.shape == (2, 0)
    assert distance.shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((3, 3)), 1.0), r"shape \[N, 2\] \(got shape \(3, 3\)\)"),
        ((np.array([[0, np.nan]]), 1.0), "finite"),
        ((np.zeros((2, 2)), 0.0), "'radius' above 0"),
        ((np.zeros((2, 2)), 1.0, 0), "'max_num_neighbors' of 1 or more"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        build_radius_graph(*arguments)
