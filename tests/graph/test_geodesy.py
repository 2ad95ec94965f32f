"""Projection against geodesics."""

import numpy as np
import pytest

from socialgraph.graph import build_radius_graph, project
from tests.conftest import NEEDS_SHARED
from tests.graph.detectors import GEOD, around, shared


def geodesic(lat, lon, i, j):
    return GEOD.inv(lon[i], lat[i], lon[j], lat[j])[2]


def test_distances_are_metres_on_the_ground():
    for centre in [(24.99, 121.3), (34.1, -118.3), (37.4, -122.0), (56.2, 10.1)]:
        detectors = around(*centre, 200, 15_000)
        pos = project(detectors.lat, detectors.lon)
        i, j = np.random.default_rng(0).integers(0, 200, (2, 2000))
        i, j = i[i != j], j[i != j]
        flat = np.linalg.norm(pos[i] - pos[j], axis=1)
        np.testing.assert_allclose(flat, geodesic(detectors.lat, detectors.lon, i, j), rtol=0.01)


@NEEDS_SHARED
@pytest.mark.parametrize("name", ["metr_la_207", "pems_bay_325"])
def test_edges_of_real_networks_are_true_to_half_a_percent(name):
    detectors = shared(f"detectors/{name}.csv")
    (i, j), distance = build_radius_graph(project(detectors.lat, detectors.lon), 2000.0)
    assert len(distance) > 500
    expected = geodesic(detectors.lat, detectors.lon, i, j)
    np.testing.assert_allclose(distance, expected, rtol=0.005, atol=0.01)


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


def test_no_position_at_all_is_nan_for_everyone():
    assert np.isnan(project(np.full(2, np.nan), np.full(2, np.nan))).all()
