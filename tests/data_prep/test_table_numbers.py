"""Which mark stands before a fraction: told by certain cells, and asked for if there is none."""

import numpy as np
import pandas as pd
import pytest

from data_prep import tables
from data_prep.tables import TableFormat, open_table


def read(path, columns=("v",), **options):
    pieces = open_table(path, TableFormat(**options)).pieces((), columns)
    return pd.concat(pieces, ignore_index=True).to_numpy()[:, 0].tolist()


def test_points_that_may_stand_between_thousands_are_asked_for(write_file):
    path = write_file("a.csv", "id;v\n101.5;850\n102.5;1.250\n")
    with pytest.raises(ValueError, match=r"The cell '1\.250' in column 'v' of .*a\.csv'") as error:
        read(path)
    assert "Set --decimal '.' or --thousands '.'" in str(error.value)
    assert read(path, decimal=".") == [850, 1.25]
    assert read(path, thousands=".") == [850, 1250]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("0.5", 1.25),  # other than three digits behind the point
        ("12.3456", 1.25),
        ("0.250", 1.25),  # no thousands begin with 0
        (".250", 1.25),
        ("1250.125", 1.25),  # more than three digits before it
        ("1.250e1", 1.25),
        ("-0.250", 1.25),
    ],
)
def test_a_certain_cell_tells_that_the_point_stands_before_fractions(write_file, cell, expected):
    """Also of another column of readings, and behind the first rows."""
    path = write_file("a.csv", f"u;v\n7;1.250\n{cell};2.500\n")
    assert read(path, ("v", "u")) == [expected, 2.5]
    with pytest.raises(ValueError, match="either a fraction"):
        read(path)
    late = "7;1.250\n" * 500
    assert read(write_file("b.csv", f"u;v\n{late}{cell};2.500\n"), ("v", "u"))[0] == expected


@pytest.mark.parametrize("cell", ["1.250.000", "3.250,5", "12,5"])
def test_a_certain_cell_tells_that_points_stand_between_thousands(write_file, cell):
    path = write_file("a.csv", f"u;v\n7;1.250\n{cell};2.500\n")
    with pytest.raises(ValueError, match=r"--thousands '\.'"):
        read(path, ("v", "u"))
    assert read(path, ("v", "u"), thousands=".") == [1250, 2500]


def test_a_cell_far_behind_the_first_rows_is_not_guessed_either(write_file):
    path = write_file("a.csv", "v;w\n" + "850;1\n" * 1000 + "1.250;1\n")
    with pytest.raises(ValueError, match=r"The cell '1\.250' in column 'v'"):
        read(path)
    assert read(path, thousands=".")[-1] == 1250


def test_what_earlier_pieces_told_holds_for_later_ones(write_file, monkeypatch):
    monkeypatch.setattr(tables, "_PIECE_CELLS", 20)
    monkeypatch.setattr(tables, "_SAMPLE_ROWS", 2)
    path = write_file("a.csv", "v;w\n" + "850;1\n" * 10 + "0.5;1\n" + "850;1\n" * 30 + "1.250;1\n")
    assert read(path)[-1] == 1.25


def test_other_marks_between_thousands_leave_the_point_for_the_fraction(write_file):
    path = write_file("a.csv", "v;w\n1 250;1\n1.250;1\n")
    assert read(path, thousands=" ") == [1250, 1.25]
    path = write_file("b.csv", "v;w\n1 250,125;1\n7;1\n")
    assert read(path, thousands=" ") == [1250.125, 7]


def test_one_mark_for_both_is_refused(write_file):
    path = write_file("a.csv", "v;w\n1.250;1\n")
    with pytest.raises(ValueError, match=r"as two marks \(got '\.' for both\)"):
        read(path, thousands=".", decimal=".")


def test_texts_of_a_workbook_are_asked_for_as_well(tmp_path):
    pytest.importorskip("openpyxl", reason="the extra 'feeds' installs it")
    pd.DataFrame({"v": ["850", "1.250"]}).to_excel(tmp_path / "a.xlsx", index=False)
    with pytest.raises(ValueError, match=r"The cell '1\.250' in column 'v'"):
        read(tmp_path / "a.xlsx")
    assert read(tmp_path / "a.xlsx", thousands=".") == [850, 1250]
    assert read(tmp_path / "a.xlsx", decimal=".") == [850, 1.25]


def test_points_in_a_table_with_commas_between_cells_are_fractions(write_file):
    assert read(write_file("a.csv", "v,w\n1.250,1\n")) == [1.25]


READINGS = "time,a,b\n2024-01-01T00:00,1,2\n2024-01-01T00:05,3,4\n"
PLACES = "id;lat;lon\na;48.125;9.125\nb;48.250;9.250\n"
WAYS = "from;to;metres\na;b;1.250\nb;a;2.500\n"


def test_coordinates_in_degrees_are_never_thousands(run, write_file):
    words = ["--wide", f"speed={write_file('s.csv', READINGS)}", "--detectors"]
    for name, text in {"d.csv": PLACES, "e.csv": PLACES.replace(".", ",")}.items():
        series, _ = run("csv", *words, str(write_file(name, text)))
        assert (series.lat.tolist(), series.lon.tolist()) == ([48.125, 48.25], [9.125, 9.25])
    metres = PLACES.replace("48.", "548.").replace(";9.", ";9.")
    path = str(write_file("f.csv", metres))
    _, said = run("csv", *words, path, "--crs", "EPSG:25832")
    assert "The cell '548.125' in the coordinates of" in said
    assert "write the coordinates without marks between thousands" in said


def test_lengths_of_ways_are_asked_for(run, write_file):
    words = ["--wide", f"speed={write_file('s.csv', READINGS)}"]
    words += ["--detectors", str(write_file("d.csv", "id,lat,lon\na,48.1,9.1\nb,48.1,9.11\n"))]
    _, said = run("csv", *words, "--edges", str(write_file("w.csv", WAYS)))
    assert "The cell '1.250' in " in said
    assert "Set --decimal '.' or write the lengths without marks" in said
    plain = str(write_file("p.csv", WAYS.replace(".", "")))
    series, _ = run("csv", *words, "--edges", plain)
    assert series.edges.distance.tolist() == [1250, 2500]
    kilometres = ["--edges", str(write_file("w.csv", WAYS)), "--edge-metres-per-unit", "1000"]
    series, _ = run("csv", *words, *kilometres, "--decimal", ".")
    assert series.edges.distance.tolist() == [1250, 2500]
    matrix = str(write_file("m.csv", ";a.5;b\na.5;0;1.250\nb;2.500;0\n"))
    _, said = run("csv", *words, "--edges", matrix)
    assert "The cell '1.250' in " in said


def test_the_delimiter_of_ways_is_asked_for_if_two_fit(run, write_file):
    words = ["--wide", f"speed={write_file('s.csv', READINGS)}"]
    words += ["--detectors", str(write_file("d.csv", "id,lat,lon\na,48.1,9.1\nb,48.1,9.11\n"))]
    words += ["--edges", str(write_file("w.csv", "a;b;1250,5\nb;a;2500,5\n"))]
    _, said = run("csv", *words)
    assert "--edge-delimiter for that of --edges" in said
    series, _ = run("csv", *words, "--edge-delimiter", ";")
    assert series.edges.distance.tolist() == [1250.5, 2500.5]


def test_sheets_are_named_for_readings_and_detectors(run, tmp_path):
    pytest.importorskip("openpyxl", reason="the extra 'feeds' installs it")
    book = tmp_path / "book.xlsx"
    places = pd.DataFrame({"id": ["a", "b"], "lat": [48.1, 48.2], "lon": [9.1, 9.2]})
    times = ["2024-01-01T00:00", "2024-01-01T00:05"]
    readings = pd.DataFrame({"time": times, "a": [1.0, 3.0], "b": [2.0, 4.0]})
    with pd.ExcelWriter(book) as writer:
        places.to_excel(writer, sheet_name="Stations", index=False)
        readings.to_excel(writer, sheet_name="Speeds", index=False)
        pd.DataFrame().to_excel(writer, sheet_name="Notes")
    words = ["--wide", f"speed={book}", "--detectors", str(book)]
    _, said = run("csv", *words)
    assert "(got 'Stations', 'Speeds'). Set --sheet to the one that is meant" in said
    assert "(--detector-sheet for the table of detectors)" in said
    _, said = run("csv", *words, "--detector-sheet", "Stations", "--sheet", "Notes")
    assert "Expected cells in the sheet 'Notes' of" in said
    series, _ = run("csv", *words, "--detector-sheet", "Stations", "--sheet", "Speeds")
    assert series.values[..., 0].tolist() == [[1, 2], [3, 4]]
    assert series.lat.tolist() == [48.1, 48.2]


def test_whole_numbers_alone_need_no_mark(write_file):
    numbers = np.arange(1000).reshape(500, 2)
    rows = "\n".join(";".join(map(str, row)) for row in numbers.tolist())
    assert read(write_file("a.csv", f"v;w\n{rows}\n")) == numbers[:, 0].tolist()
