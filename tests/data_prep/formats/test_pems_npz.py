import numpy as np
import pytest

from tests.data_prep.conftest import case


@pytest.fixture
def array(tmp_path):
    values = np.arange(4 * 3 * 3, dtype=np.float32).reshape(4, 3, 3)
    np.savez(tmp_path / "x.npz", data=values)
    return tmp_path / "x.npz", values


def test_the_array_becomes_a_file_with_indices_as_ids(array, run):
    path, values = array
    series, report = run("pems-npz", path, "--start", "2018-01-01T00:00:00")
    np.testing.assert_array_equal(series.values, values)
    assert series.vdids == ["0", "1", "2"]
    assert series.feature_names == ["flow", "occupancy", "speed"]
    assert series.units == ["veh/5min", "1", "mph"]
    assert str(series.timestamps[1]) == "2018-01-01T08:05:00"
    assert "positions" in report


def test_ids_and_ways_go_into_the_file(array, write_file, run):
    path, _ = array
    ids = write_file("ids.txt", "77\n78\n79\n")
    ways = write_file("w.csv", "from,to,distance\n77,79,0.5\n79,78,1.25\n")
    words = ["--start", "2018-01-01T00:00:00", "--ids", ids, "--edges", ways]
    assert "--edge-metres-per-unit" in run("pems-npz", path, *words)[1]
    series, _ = run("pems-npz", path, *words, "--edge-metres-per-unit", "1000")
    assert series.vdids == ["77", "78", "79"]
    assert series.edges.edge_index.tolist() == [[0, 2], [2, 1]]
    np.testing.assert_allclose(series.edges.distance, [500, 1250])


def test_a_start_that_is_not_known_is_asked_for(array, run):
    assert "Set --start" in run("pems-npz", array[0])[1]


@pytest.mark.slow
def test_the_start_of_a_known_size_is_known(tmp_path, run):
    np.savez(tmp_path / "x.npz", data=np.ones((17856, 170, 1), dtype=np.float32))
    series, _ = run("pems-npz", tmp_path / "x.npz")
    assert str(series.timestamps[0]) == "2016-07-01T07:00:00"


def test_names_of_features_must_fit(array, run):
    _, said = run("pems-npz", array[0], "--start", "2018-01-01", "--features", "flow")
    assert "has 3 features. Name each with --features" in said


@pytest.mark.parametrize("data", [b"no archive", b"PK\x03\x04" + bytes(200), b""])
def test_what_is_no_array_is_named(write_file, run, data):
    assert "x.npz' is no .npz file, or is damaged" in run("pems-npz", write_file("x.npz", data))[1]


def test_pickled_objects_are_not_read(tmp_path, run):
    np.savez(tmp_path / "x.npz", data=np.array([[[{"a": 1}]]], dtype=object))
    assert "is no .npz file" in run("pems-npz", tmp_path / "x.npz")[1]


def test_the_case_is_read(run):
    """../shared/cases/other-kinds-of-files"""
    path = case("other-kinds-of-files") / "flow.npz"
    series, _ = run("pems-npz", path, "--start", "2024-01-01T00:00:00")
    assert series.values.shape == (24, 3, 3)


@pytest.mark.parametrize("name", ["PEMS04", "PEMS08"])
def test_the_real_distance_lists_fit(shared, tmp_path, run, name):
    nodes = {"PEMS04": 307, "PEMS08": 170}[name]
    np.savez(tmp_path / "x.npz", data=np.ones((2, nodes, 1), dtype=np.float32))
    ways = shared(f"original/pems0x/{name}.csv")
    series, _ = run("pems-npz", tmp_path / "x.npz", "--start", "2018-01-01", "--edges", ways)
    pairs = {tuple(line.split(",")[:2]) for line in ways.read_text().splitlines()[1:]}
    assert len(series.edges.distance) == len(pairs)


def test_the_ids_of_pems03_fit_its_distances(shared, tmp_path, run):
    np.savez(tmp_path / "x.npz", data=np.ones((2, 358, 1), dtype=np.float32))
    folder = shared("original/pems0x")
    words = ["--ids", folder / "PEMS03.txt", "--edges", folder / "PEMS03.csv"]
    words += ["--edge-metres-per-unit", "1000", "--start", "2018-09-01"]
    series, _ = run("pems-npz", tmp_path / "x.npz", *words)
    assert series.vdids[0] == "313344"
    assert len(series.edges.distance) == 546  # one of the 547 is there twice
