import numpy as np
import pytest

from data_prep.detectors import read_detectors
from data_prep.joining import drop_null_island, locate_detectors, report_positions
from data_prep.report import Report


@pytest.fixture
def make_table(write_file):
    def make(*rows, **columns):
        return read_detectors(
            write_file("d.csv", "\n".join(["id,lat,lon", *rows]) + "\n"), **columns
        )

    return make


def test_positions_are_joined_by_id_and_not_by_place(make_table):
    lat, lon = locate_detectors(make_table("b,25,122", "a,24,121"), ["a", "b"])
    assert (lat.tolist(), lon.tolist()) == ([24, 25], [121, 122])


def test_detectors_that_the_table_lacks_have_no_position(make_table):
    table, report = make_table("a,24,121", "x,24,121"), Report()
    lat, lon = locate_detectors(table, ["a", "b"])
    assert np.isnan([lat[1], lon[1]]).all()
    report_positions(table, ["a", "b"], lat, lon, report)
    assert "1 detectors: b; written without" in str(report)
    assert "data_prep backfill" in str(report)
    assert "1 rows of the table, dropped: x" in str(report)


def test_detectors_in_another_order_are_reported(make_table):
    table, report = make_table("b,25,122", "a,24,121"), Report()
    report_positions(table, ["a", "b"], *locate_detectors(table, ["a", "b"]), report)
    assert "another order in the table; joined by id" in str(report)


def test_tables_that_share_no_id_are_refused(make_table):
    with pytest.raises(ValueError, match=r"None of the 1 ids of the readings .a. .*--detector-id"):
        locate_detectors(make_table("VD-a,24,121"), ["a"])


@pytest.mark.parametrize("position", ["0,0", "95,200", "24,181"])
def test_impossible_positions_are_refused_by_name(make_table, position):
    with pytest.raises(ValueError, match=r"1 of 2 detectors break this: b .*Correct the table"):
        locate_detectors(make_table("a,24,121", f"b,{position}"), ["a", "b"])


def test_a_code_for_missing_among_degrees_is_no_other_system(make_table):
    with pytest.raises(ValueError, match=r"1 of 2 detectors break this: b .*Correct the table"):
        locate_detectors(make_table("a,24,121", "b,-999,-999"), ["a", "b"])
    with pytest.raises(ValueError, match=r"They are no degrees: set --crs"):
        locate_detectors(make_table("a,2771000,250000", "b,2771500,250500"), ["a", "b"])


def test_a_code_for_missing_among_coordinates_of_a_system_is_named(make_table):
    good = [f"{vdid},2766000,300000" for vdid in "abfg"]
    rows = ["c,-999,-999", "d,0,0", "e,300000,2766000"]
    table = make_table(*good, *rows, crs="EPSG:3826")
    lat, _ = locate_detectors(table, ["a", "b"])
    assert lat == pytest.approx([25.0, 25.0], abs=0.01)
    for vdid in "cde":
        with pytest.raises(ValueError, match=f"1 of 2 detectors break this: {vdid} "):
            locate_detectors(table, ["a", vdid])


def test_positions_at_zero_and_zero_alone_are_unknown(make_table):
    rows = ("a,0,0", "b,0,101", "c,51.5,0", "d,24,121")  # on the equator, and in Greenwich
    table, report = make_table(*rows), Report()
    kept = drop_null_island(table, report)
    assert np.isnan([kept.lat[0], kept.lon[0]]).all()
    np.testing.assert_array_equal(kept.lat[1:], table.lat[1:])
    np.testing.assert_array_equal(kept.lon[1:], table.lon[1:])
    assert "1 detectors, whose place is unknown: a" in str(report)


def test_impossible_positions_of_unread_rows_do_not_matter(make_table):
    locate_detectors(make_table("a,24,121", "b,0,0"), ["a"])


def test_exchanged_columns_are_recognised_with_the_options_to_set(make_table):
    with pytest.raises(ValueError, match=r"look swapped.* --lat-column lon --lon-column lat"):
        locate_detectors(make_table("a,121,24", "b,121.1,24.1", "c,,"), ["a", "b", "c"])


def test_one_exchanged_row_is_recognised(make_table):
    with pytest.raises(ValueError, match=r"1 of 2 .*: b .*look swapped: .* in these rows"):
        locate_detectors(make_table("a,24,121", "b,121,24"), ["a", "b"])


def test_one_exchanged_row_is_recognised_where_both_are_possible(make_table):
    rows = ["a,24,30", "b,24.1,30.1", "c,24.2,30.2", "d,30.1,24.1"]
    with pytest.raises(ValueError, match=r"1 of 4 detectors far.*: d .*Exchange the two"):
        locate_detectors(make_table(*rows), list("abcd"))


def test_remote_detector_is_reported(make_table):
    table, report = make_table("a,24,121", "b,24.1,121", "c,24.2,121", "d,40,100"), Report()
    report_positions(table, list("abcd"), *locate_detectors(table, list("abcd")), report)
    assert "far away" in str(report)
    assert "d (" in str(report)


def test_a_detector_with_several_points_lies_at_their_mean(write_file):
    path = write_file("d.csv", "id,y1,y2,x1,x2\na,56,57,10,11\n")
    table = read_detectors(path, None, ["y1", "y2"], ["x1", "x2"])
    assert [array.tolist() for array in locate_detectors(table, ["a"])] == [[56.5], [10.5]]


def test_one_impossible_point_of_several_is_refused(write_file):
    path = write_file("d.csv", "id,y1,y2,x1,x2\na,56,0,10,0\n")
    with pytest.raises(ValueError, match=r"break this: a"):
        locate_detectors(read_detectors(path, None, ["y1", "y2"], ["x1", "x2"]), ["a"])
