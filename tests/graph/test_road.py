"""Graphs by road: every form of table gives the same neighbours, and says what does not fit."""

import gzip
import logging
import re
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from socialgraph.graph import RoadGraph
from tests.conftest import NEEDS_SHARED, SHARED
from tests.graph.detectors import GEOD, at, edges_of, shared

ORIGINAL = SHARED / "original"
BAY_LIST = ORIGINAL / "dcrnn" / "distances_bay_2017.csv"
BAY_MATRIX = ORIGINAL / "osm_road_distance" / "pems_bay_road_metres.csv"
LA_MATRIX = ORIGINAL / "osm_road_distance" / "metr_la_road_metres.csv"

IDS = ["400001", "400017", "VD-7", "400030"]
DETECTORS = at([25.0, 25.005, 25.01, 25.01], [121.5, 121.5, 121.5, 121.502], IDS)
# METRES[i, j] from detector i to detector j; NaN if there is no way.
METRES = np.array(
    [
        [0.0, 600.0, 1300.0, 2600.0],
        [np.nan, 0.0, 700.0, 900.0],
        [1500.0, 800.0, 0.0, 0.0],
        [2000.0, np.nan, 0.0, 0.0],
    ]
)
EDGES = [  # within 2000 m, as (sender, receiver, metres)
    (2, 0, 1500.0),
    (3, 0, 2000.0),
    (0, 1, 600.0),
    (2, 1, 800.0),
    (0, 2, 1300.0),
    (1, 2, 700.0),
    (3, 2, 0.0),
    (1, 3, 900.0),
    (2, 3, 0.0),
]


def write_matrix(path, names, metres, across=None):
    across = names if across is None else across
    rows = [[name, *map(str, row)] for name, row in zip(names, metres.tolist(), strict=True)]
    lines = [",".join(row).replace("nan", "") for row in [["detid_Y", *across], *rows]]
    return write(path, "\n".join(lines) + "\n")


def write_list(path, names, metres, header="", order=None):
    pairs = [(i, j) for i in range(len(names)) for j in range(len(names))]
    pairs = pairs if order is None else [pairs[k] for k in order]
    lines = [f"{names[i]},{names[j]},{metres[i, j]}" for i, j in pairs if metres[i, j] >= 0]
    return write(path, header + "\n".join(lines) + "\n")


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def forms(tmp_path):
    """Every form of the same distances, with the options that read it."""
    decimals = [f"{name}.00" if name.isdigit() else name for name in IDS]
    swap = np.array([2, 0, 3, 1])
    shuffled = METRES[np.ix_([3, 1, 0, 2], swap)]
    big = np.pad(METRES, ((1, 0), (1, 0)), constant_values=5.0)  # with a place that is no detector
    indices = ["0", "1", "2", "3"]
    known = np.argwhere(METRES >= 0)
    edges = SimpleNamespace(edge_index=known.T, distance=METRES[tuple(known.T)])
    return {
        "matrix": {"path": write_matrix(tmp_path / "a.csv", decimals, METRES.T)},
        "matrix by start": {
            "path": write_matrix(tmp_path / "b.csv.gz", IDS, METRES),
            "rows": "from",
        },
        "shuffled matrix": {
            "path": write_matrix(
                tmp_path / "c.csv", [IDS[i] for i in [3, 1, 0, 2]], shuffled, [IDS[i] for i in swap]
            ),
            "rows": "from",
        },
        "matrix with more": {
            "path": write_matrix(tmp_path / "d.csv", ["999", *IDS], big),
            "rows": "from",
        },
        "indexed matrix": {"path": write_matrix(tmp_path / "e.csv", indices, METRES.T)},
        "list": {"path": write_list(tmp_path / "f.csv", IDS, METRES)},
        "list with header": {
            "path": write_list(tmp_path / "g.csv.gz", decimals, METRES, "from,to,cost\n")
        },
        "reversed list": {"path": write_list(tmp_path / "h.csv", IDS, METRES.T, "To,From,m\n")},
        "shuffled list": {
            "path": write_list(tmp_path / "i.csv", IDS, METRES, order=[*range(9, 16), *range(9)])
        },
        "indexed list": {"path": write_list(tmp_path / "j.csv", indices, METRES)},
        "kilometres": {
            "path": write_list(tmp_path / "k.csv", IDS, METRES / 1000),
            "metres_per_unit": 1000.0,
        },
        "file": {"edges": edges},
    }


@pytest.mark.filterwarnings("ignore:.* are empty, infinite or negative")
def test_every_form_gives_the_same_edges(forms):
    for form, options in forms.items():
        detectors = replace(DETECTORS, edges=options.pop("edges", None))
        graph = RoadGraph(**options).build(detectors)
        assert edges_of(graph) == EDGES, form
        kinds = [x.dtype for x in (graph.edge_index, graph.distance, graph.offset)]
        assert kinds == [np.int64, np.float64, np.float64]


@pytest.mark.filterwarnings("ignore:.* are empty, infinite or negative")
@pytest.mark.parametrize("form", ["matrix", "list", "shuffled matrix"])
def test_other_detectors_get_the_edges_of_their_ids(forms, form):
    order = [3, 0, 2]
    graph = RoadGraph(**forms[form]).build(DETECTORS.take(order))
    back = {(order[j], order[i], metres) for j, i, metres in edges_of(graph)}
    assert back == {edge for edge in EDGES if 1 not in edge[:2]}
    assert (np.diff(graph.edge_index[1]) >= 0).all()


def test_ids_of_detectors_may_have_decimals_too(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "1,2,600\n2,1,700\n")
    detectors = at([25.0, 25.005], [121.5, 121.5], ["2.0", "1.00"])
    assert edges_of(RoadGraph(path).build(detectors)) == [(1, 0, 600.0), (0, 1, 700.0)]


def test_ids_are_text_and_spaces_around_them_do_not_count(tmp_path, quiet):
    detectors = at([25.0, 25.005], [121.5, 121.5], ["007", "NA"])
    numbers = replace(detectors, vdids=["007", "008"])
    path = write(tmp_path / "numbers.csv", "007,008,600\n008,007,700\n")
    assert edges_of(RoadGraph(path).build(numbers)) == [(1, 0, 700.0), (0, 1, 600.0)]
    for text in ("\ufeff007, NA ,600\nNA,007, 700\n", "\ufeff, 007,NA\n007 ,0,700\n NA,600,0\n"):
        path = write(tmp_path / "roads.csv", text)
        assert edges_of(RoadGraph(path).build(detectors)) == [(1, 0, 700.0), (0, 1, 600.0)]


@pytest.mark.parametrize("cell", ["", "nan", "inf", "-1"])
def test_a_matrix_of_two_detectors_may_have_one_way_only(tmp_path, cell):
    path = write(tmp_path / "matrix.csv", f",7,8\n7,{cell},600\n8,{cell},{cell}\n")
    with pytest.warns(UserWarning, match="1 of 2 lengths"):
        graph = RoadGraph(path).build(at([25.0, 25.005], [121.5, 121.5], ["7", "8"]))
    assert edges_of(graph) == [(1, 0, 600.0)]


def test_a_list_whose_lengths_look_like_names_is_not_taken_for_a_matrix(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "0,1,2\n1,2,9\n2,0,5\n1,0,7\n")
    detectors = at([25.0] * 3, [121.5] * 3)
    edges = [(1, 0, 7.0), (2, 0, 5.0), (0, 1, 2.0), (1, 2, 9.0)]
    assert edges_of(RoadGraph(path).build(detectors)) == edges


def test_a_matrix_of_two_detectors_is_not_taken_for_a_list(tmp_path, quiet):
    detectors = at([25.0, 25.005], [121.5, 121.5], ["7", "8"])
    path = write(tmp_path / "matrix.csv", ",8,7\n7.0,600,0\n8.0,0,700\n")
    assert edges_of(RoadGraph(path).build(detectors)) == [(1, 0, 600.0), (0, 1, 700.0)]
    path = write(tmp_path / "list.csv", "from,to,metres\n8,7,600\n7,8,700\n")
    assert edges_of(RoadGraph(path).build(detectors)) == [(1, 0, 600.0), (0, 1, 700.0)]


def test_an_edge_goes_from_the_start_of_the_trip_to_its_end(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "400001,400017,600\n")
    graph = RoadGraph(path).build(DETECTORS.take([1, 0]))
    assert edges_of(graph) == [(1, 0, 600.0)]


def test_offsets_are_straight_lines_to_the_sender(forms):
    graph = RoadGraph(**forms["list"]).build(DETECTORS)
    sender, receiver = graph.edge_index
    lat, lon = DETECTORS.lat, DETECTORS.lon
    azimuth, _, metres = GEOD.inv(lon[receiver], lat[receiver], lon[sender], lat[sender])
    angle = np.deg2rad(azimuth)
    expected = metres[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(graph.offset, expected, atol=2e-6)
    north = graph.offset[edges_of(graph).index((2, 1, 800.0))]
    np.testing.assert_allclose(north, [0, 553.9], atol=0.1)


def test_the_longest_edge_and_the_cap_are_kept(forms):
    path = forms["list"]["path"]
    near = RoadGraph(path, max_distance=800.0)
    assert near.max_radius == 800.0
    assert edges_of(near.build(DETECTORS)) == [edge for edge in EDGES if edge[2] <= 800]
    nearest = [(2, 0, 1500.0), (0, 1, 600.0), (3, 2, 0.0), (2, 3, 0.0)]
    assert edges_of(RoadGraph(path, max_num_neighbors=1).build(DETECTORS)) == nearest


def test_a_pair_given_twice_with_one_length_is_no_fault(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "400001,400017,600\n400001,400017,600\n")
    assert edges_of(RoadGraph(path).build(DETECTORS.take([0, 1]))) == [(0, 1, 600.0)]


def test_of_a_pair_given_twice_the_shorter_way_counts(tmp_path):
    rows = "400001,400017,900\n400001,400017,600\n400017,400001,500\n400017,400001,500\n"
    path = write(tmp_path / "list.csv", rows)
    with pytest.warns(UserWarning, match="gives 1 pairs of detectors again"):
        graph = RoadGraph(path).build(DETECTORS.take([0, 1]))
    assert edges_of(graph) == [(1, 0, 500.0), (0, 1, 600.0)]


def test_the_diagonal_is_no_edge_and_not_counted(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "400001,400001,0\n400001,400017,600\n400017,400017,-1\n")
    assert edges_of(RoadGraph(path).build(DETECTORS.take([0, 1]))) == [(0, 1, 600.0)]


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "inf", "-1", "-inf"])
def test_a_pair_without_a_way_has_no_edge_and_is_counted(tmp_path, cell):
    rows = f"400017,400001,{cell}\n400001,400017,600\n400017,999,{cell}\n"
    path = write(tmp_path / "list.csv", rows)
    with pytest.warns(UserWarning, match="1 of 2 lengths of .*empty, infinite or negative"):
        graph = RoadGraph(path).build(DETECTORS.take([0, 1]))
    assert edges_of(graph) == [(0, 1, 600.0)]


def test_a_matrix_may_say_in_any_way_that_there_is_no_way(tmp_path):
    path = write(tmp_path / "m.csv", "id,400001,400017,VD-7\n400001,0,inf,600\n400017,,0,-1\n")
    with pytest.raises(ValueError, match=r"2 rows and 3 columns.* 'VD-7' in one of them only"):
        RoadGraph(path).build(DETECTORS)
    rows = "id,400001,400017,VD-7\n400001,0,inf,600\n400017,,0,-1\nVD-7,NaN,700,0\n"
    path = write(tmp_path / "n.csv", rows)
    with pytest.warns(UserWarning, match="4 of 6 lengths"):
        graph = RoadGraph(path).build(DETECTORS.take([0, 1, 2]))
    assert edges_of(graph) == [(2, 0, 600.0), (1, 2, 700.0)]


def test_detectors_that_no_way_leads_to_are_named(tmp_path):
    path = write(tmp_path / "list.csv", "400001,400017,600\n400030,400030,0\n")
    words = re.escape("2 of 4 detectors have no distance") + ".*: 'VD-7', '400030'"
    with pytest.warns(UserWarning, match=words):
        assert edges_of(RoadGraph(path).build(DETECTORS)) == [(0, 1, 600.0)]


def test_no_way_between_any_two_detectors_is_an_error(tmp_path):
    path = write(tmp_path / "list.csv", "400001,999,600\n998,400017,600\n")
    with pytest.raises(ValueError, match="no distance by road between any two of the 4"):
        RoadGraph(path).build(DETECTORS)


def test_a_detector_alone_has_no_edge(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "400001,400017,600\n")
    assert RoadGraph(path).build(DETECTORS.take([0])).num_edges == 0


def test_ways_that_differ_by_direction_are_logged_and_not_warned_of(tmp_path, quiet, caplog):
    rows = "400001,400017,600\n400017,400001,700\nVD-7,400017,5\n400017,VD-7,5\nVD-7,999,5\n"
    path = write(tmp_path / "list.csv", rows)
    with caplog.at_level(logging.INFO):
        RoadGraph(path).build(DETECTORS.take([0, 1, 2]))
    assert "has 4 ways, 2 as long as back" in caplog.text
    assert "names 1 places that are no detector" in caplog.text


def test_a_table_that_names_no_detector_is_refused(tmp_path):
    path = write(tmp_path / "list.csv", "716328,716331,600\n")
    words = "names '716328', '716331'; the detectors are '400001'.*ids of the detectors, or indices"
    with pytest.raises(ValueError, match=words):
        RoadGraph(path).build(DETECTORS)
    with pytest.raises(ValueError, match=r"ids of the detectors \('keys: vdid'"):
        RoadGraph(path, keys="vdid").build(DETECTORS)
    with pytest.raises(ValueError, match=r"indices from 0 to 3 \('keys: index'"):
        RoadGraph(path, keys="index").build(DETECTORS)


def test_indices_beyond_the_detectors_are_refused(tmp_path):
    path = write(tmp_path / "list.csv", "0,1,600\n1,4,600\n")
    with pytest.raises(ValueError, match="indices from 0 to 3 for all of them"):
        RoadGraph(path).build(DETECTORS)


def test_names_that_fit_both_ways_need_a_word(tmp_path):
    path = write(tmp_path / "list.csv", "0,1,600\n1,2,700\n2,0,800\n")
    detectors = at([25.0, 25.005, 25.01], [121.5] * 3, ["1", "2", "3"])
    with pytest.raises(ValueError, match="both ids and indices from 0 would fit"):
        RoadGraph(path).build(detectors)
    with pytest.warns(UserWarning, match="1 of 3 detectors"):
        graph = RoadGraph(path, keys="vdid").build(detectors)
    assert edges_of(graph) == [(0, 1, 700.0)]
    graph = RoadGraph(path, keys="index").build(detectors)
    assert edges_of(graph) == [(2, 0, 800.0), (0, 1, 600.0), (1, 2, 700.0)]


def test_names_that_mean_the_same_both_ways_need_none(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "0,1,600\n")
    detectors = at([25.0, 25.005], [121.5, 121.5], ["0", "1"])
    assert edges_of(RoadGraph(path).build(detectors)) == [(0, 1, 600.0)]


def test_ids_that_are_the_same_number_are_refused(tmp_path, quiet):
    path = write(tmp_path / "list.csv", "0,1,600\n")
    detectors = at([25.0, 25.005], [121.5, 121.5], ["7", "7.0"])
    with pytest.raises(ValueError, match="More than one detector has the id '7'"):
        RoadGraph(path).build(detectors)
    assert edges_of(RoadGraph(path, keys="index").build(detectors)) == [(0, 1, 600.0)]


@pytest.mark.parametrize("per_metre", [1e-3, 1 / 1609.344])
def test_a_table_in_another_unit_is_refused(tmp_path, per_metre):
    path = write_list(tmp_path / "list.csv", IDS, METRES * per_metre)
    with pytest.raises(ValueError, match=r"Set 'metres_per_unit' \(1000 for kilometres"):
        RoadGraph(path).build(DETECTORS)
    graph = RoadGraph(path, metres_per_unit=1 / per_metre).build(DETECTORS)
    assert graph.num_edges == len(EDGES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("400001,400017,600\nVD-7,400017,far\n", "Line 2 of .* has the length 'far'"),
        ("id,400001,400017,VD-7\n400001,0,?,1\n400017,1,0,1\nVD-7,1,1,0\n", "Line 2 .*'?'"),
        (",a,a,b\na,0,1,1\na,1,0,1\nb,1,1,0\n", "first row of .* has 'a' more than once"),
        (",a,b,c\na,0,1,1\na,1,0,1\nb,1,1,0\n", "first column of .* has 'a' more than once"),
        ("0,5,6,7\n5,0,1,2\n6,1,0,3\n7,2,3,0\n", "names '5', '6', '7'; .* first row and column"),
        ("400001,400017\n400030,1\n", "1 rows and 1 columns .* or a list"),
        ("400001,400017,600\n400001,400017,600,1\n", "cannot be read as a CSV: .*line 2"),
        ("", "cannot be read as a CSV: No columns"),
    ],
)
def test_a_broken_table_is_refused_with_its_name(tmp_path, text, words):
    path = write(tmp_path / "broken.csv", text)
    with pytest.raises(ValueError, match=words) as caught:
        RoadGraph(path).build(DETECTORS)
    assert path in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table .*nowhere\.csv'\. Set 'path'"):
        RoadGraph(str(tmp_path / "nowhere.csv")).build(DETECTORS)


def test_without_a_table_the_file_must_carry_distances():
    builder = RoadGraph()
    for detectors in (DETECTORS, SimpleNamespace(vdids=["a"], lat=[25.0], lon=[121.5])):
        with pytest.raises(ValueError, match=r"it carries none\. Set 'path'"):
            builder.build(detectors)


def test_edges_of_the_file_that_do_not_fit_are_refused():
    for edge_index, distance, words in [
        ([[0, 1], [1, 4]], [1.0, 1.0], "between detectors 0 and 3 .got 0 to 4"),
        ([[0, -1], [1, 2]], [1.0, 1.0], "got -1 to 2"),
        ([[0, 1], [1, 2]], [1.0], r"got \(2, 2\) and \(1,\)"),
        ([[[0]], [[1]]], [[1.0]], r"got \(2, 1, 1\) and \(1, 1\)"),
    ]:
        edges = SimpleNamespace(edge_index=np.array(edge_index), distance=np.array(distance))
        with pytest.raises(ValueError, match=words):
            RoadGraph().build(replace(DETECTORS, edges=edges))


def test_a_detector_without_a_position_is_named(forms):
    detectors = replace(DETECTORS, lat=np.array([25.0, np.nan, 25.0, 25.0]))
    with pytest.raises(ValueError, match="1 of 4 detectors have no valid position: '400017'"):
        RoadGraph(**forms["list"]).build(detectors)


def test_options_out_of_range_are_refused():
    for options, words in [
        ({"max_distance": 0.0}, "'max_distance' above 0"),
        ({"max_distance": None}, "'max_distance' above 0"),
        ({"max_num_neighbors": 0}, "'max_num_neighbors' of 1"),
        ({"path": "a.csv", "metres_per_unit": -1.0}, "'metres_per_unit' above 0"),
        ({"path": "a.csv", "rows": "start"}, r"'rows' as one of \('from', 'to'\)"),
        ({"path": "a.csv", "keys": "id"}, "'keys' as one of"),
        ({"rows": "from"}, "Expected 'path' beside 'rows'"),
        ({"keys": "index"}, "Expected 'path' beside 'rows', 'keys'"),
        ({"metres_per_unit": 1000.0}, "Expected 'path' beside .*1000.0 and no path"),
    ]:
        with pytest.raises(ValueError, match=words):
            RoadGraph(**options)


def test_arguments_stay_plain_attributes_under_their_names(tmp_path):
    builder = RoadGraph(tmp_path / "a.csv", 500.0, 3, "from", "vdid", 1000.0)
    assert vars(builder) == {
        "path": str(tmp_path / "a.csv"),
        "max_radius": 500.0,
        "max_distance": 500.0,
        "max_num_neighbors": 3,
        "rows": "from",
        "keys": "vdid",
        "metres_per_unit": 1000.0,
    }


def lengths(detectors, *args, **options):
    """Metres by sender and receiver ``[N, N]``, however long; NaN if there is no way."""
    graph = RoadGraph(*args, max_distance=2e5, **options).build(detectors)
    metres = np.full((len(detectors.vdids),) * 2, np.nan)
    metres[tuple(graph.edge_index)] = graph.distance
    return metres


@NEEDS_SHARED
@pytest.mark.filterwarnings("ignore:4 of 325 detectors")
def test_a_row_of_the_matrices_from_openstreetmap_is_the_end_of_the_trip():
    """DCRNN's list of the same detectors says which way a trip goes."""
    detectors = shared("detectors/pems_bay_325.csv")
    listed = lengths(detectors, BAY_LIST)
    assert np.isfinite(listed).sum() == 8033
    matrix = lengths(detectors, BAY_MATRIX)
    as_ends, as_starts = (np.abs(m - listed) <= 0.05 * listed for m in (matrix, matrix.T))
    assert (as_ends & ~as_starts).sum() == 1090
    assert (as_starts & ~as_ends).sum() == 742
    np.testing.assert_array_equal(lengths(detectors, BAY_MATRIX, rows="from"), matrix.T)


@NEEDS_SHARED
def test_with_the_traffic_is_shorter_than_against_it_if_rows_are_ends():
    """LargeST names the carriageway of detectors of METR-LA, as ``I5-N``."""
    roads = shared("detectors/largest_ca_8600.csv", vdid="Fwy").vdids
    road = dict(zip(shared("detectors/largest_ca_8600.csv").vdids, roads, strict=True))
    detectors = shared("detectors/metr_la_207.csv")
    metres = lengths(detectors, LA_MATRIX)
    east_north = {"N": (0, 1), "S": (0, -1), "E": (1, 0), "W": (-1, 0)}
    place = 111_000 * np.column_stack([0.83 * detectors.lon, detectors.lat])
    shorter = {"with": 0, "against": 0}
    for j, i in np.argwhere(np.abs(metres - metres.T) > 300):
        name = road.get(detectors.vdids[j])
        if name and name == road.get(detectors.vdids[i]):
            along = (place[i] - place[j]) @ east_north[name[-1]]
            if 200 < along < 5000:
                shorter["with" if metres[j, i] < metres[i, j] else "against"] += 1
    assert shorter == {"with": 449, "against": 295}


@NEEDS_SHARED
@pytest.mark.filterwarnings("ignore:4 of 325 detectors")
def test_the_list_of_pems_bay_is_read_without_a_header():
    detectors = shared("detectors/pems_bay_325.csv")
    graph = RoadGraph(BAY_LIST).build(detectors)
    assert graph.num_edges == 881
    first = [edge[:2] for edge in edges_of(graph)]
    order = np.random.default_rng(0).permutation(325)
    other = RoadGraph(BAY_LIST).build(detectors.take(order))
    assert sorted(map(tuple, order[other.edge_index].T.tolist())) == sorted(first)


@NEEDS_SHARED
def test_the_list_of_pems03_is_in_kilometres():
    path = ORIGINAL / "pems0x" / "PEMS03.csv"
    detectors = shared("detectors/pems03_358.csv")
    with pytest.raises(ValueError, match="metres_per_unit"):
        RoadGraph(path).build(detectors)
    graph = RoadGraph(path, 20_000.0, metres_per_unit=1000.0).build(detectors)
    assert graph.num_edges == 542
    assert np.median(graph.distance / np.hypot(*graph.offset.T)) == pytest.approx(1, abs=0.01)


@NEEDS_SHARED
@pytest.mark.parametrize(
    ("name", "num_nodes", "metres_per_unit", "num_edges"),
    [("PEMS04", 307, 1.0, 338), ("PEMS07", 883, 1000.0, 719), ("PEMS08", 170, 1.0, 276)],
)
def test_lists_with_indices_are_read_for_detectors_of_any_id(
    quiet, name, num_nodes, metres_per_unit, num_edges
):
    detectors = at(37 + 0.003 * np.arange(num_nodes), [-120.0] * num_nodes)
    builder = RoadGraph(ORIGINAL / "pems0x" / f"{name}.csv", metres_per_unit=metres_per_unit)
    assert builder.build(detectors).num_edges == num_edges


@NEEDS_SHARED
def test_the_matrix_of_constance_has_ids_with_points():
    detectors = shared("original/utd19_constance/sensors.csv", lon="long", vdid="detid")
    graph = RoadGraph(ORIGINAL / "utd19_constance" / "road_metres.csv").build(detectors)
    assert graph.num_edges == 7938
    assert (graph.distance == 0).sum() == 192
