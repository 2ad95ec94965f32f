"""Radius graphs against brute force, on the ellipsoid and in a plane."""

import subprocess
import sys

import numpy as np
import pytest

from socialgraph.graph import RadiusGraph, build_radius_graph, local_spacing
from tests import references
from tests.conftest import NEEDS_SHARED, ROOT, SHARED
from tests.graph.detectors import GEOD, around, assert_same_graph, at, edges_of, shared

WIDE_LATITUDES = SHARED.parent / "cases" / "wide-latitudes" / "detectors.csv"


def brute_force(detectors, max_radius, receivers):
    """Senders, receivers, metres and azimuths towards the sender, for some receivers."""
    edges = []
    for i in receivers:
        n = len(detectors.lat)
        azimuth, _, metres = GEOD.inv(
            np.full(n, detectors.lon[i]), np.full(n, detectors.lat[i]), detectors.lon, detectors.lat
        )
        near = np.flatnonzero((metres <= max_radius) & (np.arange(n) != i))
        edges.append((near, np.full(len(near), i), metres[near], azimuth[near]))
    return map(np.concatenate, zip(*edges, strict=True))


def assert_equals_brute_force(detectors, max_radius, receivers=None):
    receivers = np.arange(len(detectors.lat)) if receivers is None else receivers
    graph = RadiusGraph(max_radius).build(detectors)
    sender, receiver, metres, azimuth = brute_force(detectors, max_radius, receivers)
    ours = np.isin(graph.edge_index[1], receivers)
    np.testing.assert_array_equal(graph.edge_index[:, ours], [sender, receiver])
    np.testing.assert_allclose(graph.distance[ours], metres, rtol=1e-3, atol=1e-6)
    angle = np.deg2rad(azimuth)
    offset = metres[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(graph.offset[ours], offset, atol=2e-6)
    return graph


def test_six_detectors_by_hand():
    """At the equator a degree is 111319.491 m east and, at this step, 110574.276 m north."""
    detectors = at([0, 0, 0.01, 0, 0, 0], [10, 10.01, 10, 9.99, 10.5, 10])
    graph = RadiusGraph(1200.0).build(detectors)
    east, north = 1113.195, 1105.743
    assert edges_of(graph) == [
        (1, 0, east),
        (2, 0, north),
        (3, 0, east),
        (5, 0, 0.0),
        (0, 1, east),
        (5, 1, east),
        (0, 2, north),
        (5, 2, north),
        (0, 3, east),
        (5, 3, east),
        (0, 5, 0.0),
        (1, 5, east),
        (2, 5, north),
        (3, 5, east),
    ]
    seen = dict(zip(map(tuple, graph.edge_index.T.tolist()), graph.offset.round(3), strict=True))
    np.testing.assert_allclose(seen[1, 0], [east, 0], atol=1e-6)
    np.testing.assert_allclose(seen[0, 1], [-east, 0], atol=1e-6)
    np.testing.assert_allclose(seen[2, 0], [0, north], atol=1e-6)
    np.testing.assert_allclose(seen[0, 2], [0, -north], atol=1e-6)
    np.testing.assert_array_equal(seen[5, 0], [0, 0])
    assert graph.num_edges == 14
    assert graph.edge_type is None
    kinds = [x.dtype for x in (graph.edge_index, graph.distance, graph.offset)]
    assert kinds == [np.int64, np.float64, np.float64]


def test_random_detectors_equal_brute_force():
    for place in [
        (25.0, 121.5),
        (47.6, 7.6),
        (-33.9, 18.4),
        (0.0, 0.0),
        (70.0, 180.0),
        (90.0, 0.0),
    ]:
        graph = assert_equals_brute_force(around(*place, 80, 3000), 1000.0)
        assert graph.num_edges > 200


def test_two_towns_seven_degrees_apart_have_true_lengths():
    south, north = around(47.6, 7.6, 60, 3000, seed=1), around(54.6, 10.1, 60, 3000, seed=2)
    detectors = at(np.append(south.lat, north.lat), np.append(south.lon, north.lon))
    graph = assert_equals_brute_force(detectors, 2000.0)
    assert (np.diff(graph.edge_index // 60, axis=0) == 0).all()


def test_a_radius_may_span_the_earth():
    detectors = at([51.5, -33.9, 35.7, 90.0], [0.0, 151.2, 139.7, 0.0])
    graph = assert_equals_brute_force(detectors, 2.1e7)
    assert graph.num_edges == 12


def test_order_of_detectors_does_not_matter():
    detectors = around(37.4, -122.0, 50, 3000)
    order = np.random.default_rng(1).permutation(50)
    graph = RadiusGraph(1500.0, 5).build(detectors)
    other = RadiusGraph(1500.0, 5).build(detectors.take(order))
    back = order[other.edge_index]
    sort = np.lexsort((back[0], back[1]))
    np.testing.assert_array_equal(back[:, sort], graph.edge_index)
    np.testing.assert_array_equal(other.distance[sort], graph.distance)
    np.testing.assert_allclose(other.offset[sort], graph.offset, atol=1e-6)


def test_a_network_across_the_date_line_has_the_graph_it_has_elsewhere():
    lat, lon = (x.copy() for x in (around(-17.0, 0.0, 60, 4000).lat, around(-17, 0, 60, 4000).lon))
    there = at(lat, np.where(lon < 0, lon + 180, lon - 180))
    assert there.lon.max() > 179.9
    assert there.lon.min() < -179.9
    assert_same_graph(
        RadiusGraph(1500.0, 6).build(at(lat, lon)), RadiusGraph(1500.0, 6).build(there)
    )


def test_detectors_around_and_at_a_pole_see_each_other():
    graph = RadiusGraph(2000.0).build(at([89.99, 89.99, 90.0, -90.0], [0.0, 180.0, 45.0, 0.0]))
    assert graph.edge_index.T.tolist() == [[2, 0], [2, 1], [0, 2], [1, 2]]
    assert np.isfinite(graph.offset).all()
    np.testing.assert_allclose(graph.distance, 1116.94, atol=0.01)
    across = RadiusGraph(2300.0).build(at([89.99, 89.99], [0.0, 180.0]))
    np.testing.assert_allclose(across.offset, [[0, 2233.88], [0, 2233.88]], atol=0.01)


@pytest.mark.parametrize("num_nodes", [0, 1])
def test_nobody_to_join_gives_no_edge(num_nodes):
    graph = RadiusGraph(1000.0).build(at([25.0] * num_nodes, [121.5] * num_nodes))
    assert graph.edge_index.shape == (2, 0)
    assert graph.edge_index.dtype == np.int64
    assert graph.distance.shape == (0,)
    assert graph.offset.shape == (0, 2)


def test_detectors_at_one_place_are_all_joined():
    graph = RadiusGraph(1.0).build(at([25.0] * 4, [121.5] * 4))
    assert graph.num_edges == 12
    np.testing.assert_array_equal(graph.distance, np.zeros(12))
    np.testing.assert_array_equal(graph.offset, np.zeros((12, 2)))


def test_a_pair_as_far_apart_as_the_radius_is_joined():
    lon, lat, _ = GEOD.fwd(121.5, 25.0, 30.0, 2000.0)
    detectors = at([25.0, lat], [121.5, lon])
    assert RadiusGraph(2000.0).build(detectors).num_edges == 2
    assert RadiusGraph(1999.999).build(detectors).num_edges == 0


def test_a_cap_keeps_the_nearest_of_every_receiver():
    for cap in [1, 3, 10**6]:
        detectors = around(25.0, 121.5, 60, 3000)
        full, capped = (
            RadiusGraph(1500.0).build(detectors),
            RadiusGraph(1500.0, cap).build(detectors),
        )
        for i in range(60):
            expected = np.sort(full.distance[full.edge_index[1] == i])[:cap]
            np.testing.assert_array_equal(
                np.sort(capped.distance[capped.edge_index[1] == i]), expected
            )
        assert (np.diff(capped.edge_index[1]) >= 0).all()


def test_of_equally_near_senders_the_cap_keeps_the_lower_index():
    detectors = at([60.0, 60.0, 60.0, 60.0], [10.01, 10.0, 9.99, 10.01])
    graph = RadiusGraph(1000.0, 2).build(detectors)
    assert graph.edge_index.T[graph.edge_index[1] == 1].tolist() == [[0, 1], [2, 1]]


def test_the_case_of_wide_latitudes():
    if not WIDE_LATITUDES.is_file():
        pytest.skip(f"the case is not beside the repository ({WIDE_LATITUDES})")
    detectors = shared("../cases/wide-latitudes/detectors.csv", vdid="id")
    graph = RadiusGraph(2000.0).build(detectors)
    joined = {(detectors.vdids[j], detectors.vdids[i]) for j, i in graph.edge_index.T}
    assert joined == {("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1")}
    np.testing.assert_allclose(graph.distance, 1900, rtol=0.005)


@NEEDS_SHARED
@pytest.mark.parametrize(("max_radius", "pairs"), [(1000.0, 21_823), (2000.0, 50_380)])
def test_largest_has_as_many_pairs_as_geodesics_count(max_radius, pairs):
    detectors = shared("detectors/largest_ca_8600.csv")
    sample = np.random.default_rng(0).choice(8600, 40, replace=False)
    graph = assert_equals_brute_force(detectors, max_radius, np.sort(sample))
    assert graph.num_edges == 2 * pairs


@NEEDS_SHARED
@pytest.mark.parametrize("name", ["pems_4w_11160", "mndot_detectors_2020", "largest_ca_8600"])
def test_every_length_of_a_wide_network_is_true_to_a_thousandth(name):
    detectors = shared(f"detectors/{name}.csv")
    graph = RadiusGraph(1000.0).build(detectors)
    j, i = graph.edge_index
    lat, lon = detectors.lat, detectors.lon
    _, _, expected = GEOD.inv(lon[i], lat[i], lon[j], lat[j])
    assert graph.num_edges > 40_000
    np.testing.assert_allclose(graph.distance, expected, rtol=1e-3, atol=1e-6)


def test_detectors_without_a_valid_position_are_named():
    for lat, lon in [(np.nan, 0.0), (0.0, np.inf), (90.01, 0.0), (0.0, 180.01), (-91.0, 0.0)]:
        detectors = at([25.0, lat, 25.0, lat], [121.5, lon, 121.5, lon])
        with pytest.raises(ValueError, match=r"2 of 4 .*'VD-1', 'VD-3'\. .*got .* for 'VD-1'"):
            RadiusGraph().build(detectors)


def test_many_detectors_without_a_position_are_counted():
    with pytest.raises(ValueError, match=r"'VD-4' and 3 more"):
        RadiusGraph().build(at([np.nan] * 8, [0.0] * 8))


def test_positions_that_are_not_one_for_each_detector_are_refused():
    with pytest.raises(ValueError, match=r"each of the 1 detectors .*\(2,\) and \(2,\)"):
        RadiusGraph().build(at([25.0, 25.0], [121.5, 121.5], vdids=["VD-0"]))


def test_a_radius_out_of_range_is_refused():
    for value in [None, 0.0, -1.0, np.inf, np.nan]:
        with pytest.raises(ValueError, match="'max_radius' above 0 metres"):
            RadiusGraph(value)


def test_arguments_stay_attributes_under_their_names():
    builder = RadiusGraph(max_radius=750.0, max_num_neighbors=4)
    assert vars(builder) == {"max_radius": 750.0, "max_num_neighbors": 4, "spacing": None}
    with pytest.raises(ValueError, match="'max_num_neighbors' of 1 or more"):
        RadiusGraph(max_num_neighbors=0)


def test_six_points_of_a_plane_by_hand():
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


def test_random_points_of_a_plane_equal_brute_force():
    for seed in range(5):
        pos = np.random.default_rng(seed).uniform(0, 1000, (80, 2))
        edge_index, distance = build_radius_graph(pos, 200.0)
        assert list(map(tuple, edge_index.T.tolist())) == references.radius_graph(
            pos.tolist(), 200.0
        )
        sender, receiver = edge_index
        np.testing.assert_allclose(distance, np.hypot(*(pos[sender] - pos[receiver]).T))


def test_points_of_a_plane_exactly_at_the_radius_are_joined():
    for pos in np.random.default_rng(0).uniform(0, 1e4, (200, 2, 2)):
        _, (apart, _) = build_radius_graph(pos, 2e4)
        assert build_radius_graph(pos, apart)[1].tolist() == [apart, apart]
        assert build_radius_graph(pos, np.nextafter(apart, 0.0))[1].size == 0


def test_a_cap_keeps_the_nearest_points_of_a_plane():
    for cap in [1, 3, 10**6]:
        pos = np.random.default_rng(0).uniform(0, 1000, (60, 2))
        capped, distance = build_radius_graph(pos, 300.0, cap)
        edges, lengths = build_radius_graph(pos, 300.0)
        for i in range(60):
            expected = np.sort(lengths[edges[1] == i])[:cap]
            np.testing.assert_array_equal(np.sort(distance[capped[1] == i]), expected)
        assert (np.diff(capped[1]) >= 0).all()


def test_no_edges_in_a_plane_if_nobody_is_near():
    for points in [0, 1, 2]:
        edge_index, distance = build_radius_graph(
            np.arange(2.0 * points).reshape(points, 2) * 1e6, 1.0
        )
        assert edge_index.shape == (2, 0)
        assert distance.shape == (0,)


def test_bad_arguments_for_a_plane_are_refused():
    for arguments, words in [
        ((np.zeros((3, 3)), 1.0), r"shape \[N, 2\] \(got shape \(3, 3\)\)"),
        ((np.array([[0, np.nan]]), 1.0), "finite"),
        ((np.zeros((2, 2)), 0.0), "'radius' above 0"),
        ((np.zeros((2, 2)), 1.0, 0), "'max_num_neighbors' of 1 or more"),
    ]:
        with pytest.raises(ValueError, match=words):
            build_radius_graph(*arguments)


def test_graphs_are_built_without_heavy_packages():
    heavy = {"torch", "pytorch_lightning", "h5py", "pandas"}
    code = f"import sys, socialgraph.graph; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_lengths_may_be_told_in_the_usual_distance_between_detectors():
    """A network and its enlargement have the same graph, at the scale that is asked for."""
    rng = np.random.default_rng(0)
    lat, lon = 25 + 0.01 * rng.random(40), 121 + 0.01 * rng.random(40)
    near = at(lat, lon)
    far = at(25 + 5 * (lat - 25), 121 + 5 * (lon - 121))
    builder = RadiusGraph(3000.0, spacing=1000.0)
    own, other = builder.build(near), builder.build(far)
    np.testing.assert_array_equal(own.edge_index, other.edge_index)
    np.testing.assert_allclose(own.distance, other.distance, rtol=5e-3)
    assert own.distance.max() <= 3000
    assert 500 < np.median(own.distance) < 2000
    true = RadiusGraph(3000.0).build(near)
    shared = RadiusGraph(1e5, spacing=1000.0).build(near)
    np.testing.assert_array_equal(shared.edge_index, true.edge_index)
    stretch = shared.distance / true.distance
    np.testing.assert_allclose(stretch, 1000 / np.median(local_spacing(lat, lon)), rtol=1e-9)
    np.testing.assert_allclose(shared.offset, stretch[:, None] * true.offset, rtol=1e-9)
    assert builder.build(at([25.0, 25.0], [121.0, 121.0])).distance.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="'spacing' above 0"):
        RadiusGraph(spacing=0.0)


def test_pairs_at_one_place_are_one_wherever_they_lie():
    rng = np.random.default_rng(0)
    sites = np.cumsum(rng.uniform(1000, 1200, 40))
    lon = np.concatenate([sites - 2.2, sites + 2.2]) / 111_319.49  # metres at the equator
    apart = np.abs(sites[:, None] - sites)
    nearest = np.sort(apart, axis=1)[:, 1:4].mean(axis=1)
    found = local_spacing(np.zeros(80), lon)
    np.testing.assert_allclose(found, np.tile(nearest, 2), rtol=1e-4)


def test_the_distance_between_detectors_is_to_the_three_nearest_other_places():
    degree = 111_319.5  # metres of longitude at the equator
    lon = np.array([0.0, 1e-6, 100 / degree, 300 / degree, 900 / degree, np.nan])
    spacing = local_spacing(np.zeros(6), lon)
    expected = [1300 / 3, 1300 / 3, 1100 / 3, 1100 / 3, 2300 / 3, np.nan]
    np.testing.assert_allclose(spacing, expected, rtol=0.03)
    assert np.isnan(local_spacing(np.zeros(2), np.zeros(2))).all()
