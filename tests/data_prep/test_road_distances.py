import numpy as np
import pytest

from data_prep.report import Report
from data_prep.road_distances import read_road_distances, refuse_wrong_unit
from socialgraph.graph import RoadGraph
from socialgraph.series import RoadDistances, TrafficSeries
from tests.conftest import NEEDS_SHARED, SHARED

NODES = ["a", "b", "c"]


@pytest.fixture
def read(write_file):
    def read(text, vdids=NODES, rows="to", keys="auto", metres_per_unit=1.0):
        report = Report()
        path = write_file("roads.csv", text)
        edges = read_road_distances(path, vdids, rows, keys, metres_per_unit, report)
        pairs = zip(*edges.edge_index.tolist(), edges.distance.tolist(), strict=True)
        return list(pairs), str(report)

    return read


def test_a_list_gives_directed_ways(read):
    found, report = read("from,to,cost\na,b,120\nb,a,150.5\nc,b,0\n")
    assert found == [(0, 1, 120), (1, 0, 150.5), (2, 1, 0)]
    assert "3 ways: shortest 0 m, median 120 m, longest 150 m" in report
    assert "no detector" not in report


def test_rows_of_a_matrix_are_where_ways_go_to_unless_told(read):
    matrix = ",a,b\na,0,120\nb,150,0\n"
    assert read(matrix, ["a", "b"])[0] == [(0, 1, 150), (1, 0, 120)]
    assert read(matrix, ["a", "b"], rows="from")[0] == [(0, 1, 120), (1, 0, 150)]


def test_the_shortest_of_several_ways_counts(read):
    assert read("from,to,cost\na,b,120\na,b,90\na,b,100\n")[0] == [(0, 1, 90)]


def test_ids_that_do_not_fit_are_told(read):
    found, report = read("from,to,cost\na,b,120\na,x,10\ny,b,10\n")
    assert found == [(0, 1, 120)]
    assert "2 names of the table, dropped: x, y" in report
    assert "1 detectors with no distance by road: c" in report


def test_lengths_that_are_none_are_left_out_and_told(read):
    found, report = read("from,to,cost\na,b,120\nb,c,\nc,a,-1\na,a,-1\n")
    assert found == [(0, 1, 120)]
    assert "2 pairs without a length, left out" in report


def test_indices_are_taken_for_names_on_demand(read):
    text = "from,to,cost\n0,1,120\n"
    with pytest.raises(ValueError, match=r"'keys'"):
        read(text, ["1", "0"])
    assert read(text, ["1", "0"], keys="index")[0] == [(0, 1, 120)]
    assert read(text, ["1", "0"], keys="vdid")[0] == [(1, 0, 120)]


def test_a_table_without_any_way_is_refused(read):
    with pytest.raises(ValueError, match=r"no way between any two of the 3.*leave out --edges"):
        read("from,to,cost\na,b,\na,x,3\n")


def test_wrong_options_are_named(read):
    with pytest.raises(FileNotFoundError, match=r"No file 'nowhere.csv'. Set --edges"):
        read_road_distances("nowhere.csv", NODES, "to", "auto", 1.0, Report())
    with pytest.raises(ValueError, match=r"--edge-metres-per-unit above 0 \(got 0"):
        read("from,to,cost\na,b,1\n", metres_per_unit=0.0)


def test_kilometres_are_recognised_by_the_straight_lines():
    lat, lon = np.array([25.0, 25.01, np.nan]), np.array([121.0, 121.0, 121.0])
    edges = RoadDistances(np.array([[0, 1, 0], [1, 0, 2]]), np.array([1.2, 1.3, 9e9]))
    with pytest.raises(ValueError, match=r"2 ways of 'r.csv'.*--edge-metres-per-unit"):
        refuse_wrong_unit("r.csv", edges, lat, lon)
    refuse_wrong_unit("r.csv", edges._replace(distance=1000 * edges.distance), lat, lon)


@NEEDS_SHARED
def test_the_file_gives_the_graph_that_the_table_gives():
    locations = SHARED / "original" / "dcrnn" / "graph_sensor_locations.csv"
    path = SHARED / "original" / "osm_road_distance" / "metr_la_road_metres.csv"
    rows = [line.split(",") for line in locations.read_text().split()[1:]]
    vdids = [row[1] for row in rows]
    lat, lon = np.array([row[2:] for row in rows], dtype=float).T
    edges = read_road_distances(path, vdids, "to", "auto", 1.0, Report())
    assert len(edges.distance) == 207 * 206
    times = np.array(["2012-03-01"], dtype="datetime64[s]")
    series = TrafficSeries(
        np.zeros((1, 207, 1)), times, vdids, ["speed"], lat, lon, interval_minutes=5, edges=edges
    )
    from_file, from_table = RoadGraph().build(series), RoadGraph(str(path)).build(series)
    np.testing.assert_array_equal(from_file.edge_index, from_table.edge_index)
    np.testing.assert_array_equal(from_file.distance, from_table.distance)


def test_a_matrix_with_a_decimal_comma_is_read(write_file):
    path = write_file("e.csv", ";a;b\na;0;1,5\nb;2,25;0\n")
    edges = read_road_distances(path, ["a", "b"], "from", "auto", 1000.0, Report())
    assert edges.distance.tolist() == [1500.0, 2250.0]
