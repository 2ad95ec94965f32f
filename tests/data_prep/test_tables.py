import gzip
import zipfile
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from data_prep.tables import TableFormat, open_table


def read(path, texts=(), numbers=(), **options):
    pieces = open_table(path, TableFormat(**options)).pieces(texts, numbers)
    return pd.concat(pieces, ignore_index=True)


def read_numbers(path, columns, **options):
    return read(path, (), columns, **options).to_numpy()


def header_of(path, **options):
    return open_table(path, TableFormat(**options)).header


def test_byte_order_marks_are_understood(write_file):
    for encoding in ("utf-8-sig", "utf-16"):
        path = write_file("a.csv", "id,v\n007,1\n".encode(encoding))
        assert header_of(path) == ["id", "v"]
        assert read(path, ["id"], ["v"]).to_dict("list") == {"id": ["007"], "v": [1.0]}


def test_delimiter_and_words_for_missing_are_understood(write_file):
    path = write_file("a.csv", "u;v\n1;NaN\n;None\nnull;2.5\n")
    expected = [[1, np.nan], [np.nan, np.nan], [np.nan, 2.5]]
    np.testing.assert_array_equal(read_numbers(path, ["u", "v"]), expected)
    np.testing.assert_array_equal(read_numbers(path, ["u", "v"], delimiter=";"), expected)


def test_cells_of_blanks_are_missing(write_file):
    path = write_file("a.csv", "u, v\n 1 , \n  ,2 \n 3, NA\n")
    nan = np.nan
    np.testing.assert_array_equal(read_numbers(path, ["u", "v"]), [[1, nan], [nan, 2], [3, nan]])


def test_missing_cells_beside_a_bad_one_are_not_what_is_named(write_file):
    path = write_file("a.csv", "u,v\n,1\nNA,2\nabc,3\n")
    with pytest.raises(ValueError, match=r"column 'u' of .* \(got 'abc'\)"):
        read_numbers(path, ["u", "v"])
    path = write_file("b.csv", 'u,v\n,1\n" 5 ",2\n"1,500",3\n')
    found = read_numbers(path, ["u", "v"], thousands=",")
    np.testing.assert_array_equal(found[:, 0], [np.nan, 5, 1500])


def test_a_mark_that_can_be_neither_before_a_fraction_nor_between_thousands_is_refused(write_file):
    path = write_file("a.csv", "u;v\n65,5;987\n66,2;1.234\n")
    with pytest.raises(ValueError, match=r"column 'v' of .*'1\.234'.*--thousands '\.'"):
        read_numbers(path, ["u", "v"])
    np.testing.assert_array_equal(
        read_numbers(path, ["u", "v"], thousands="."), [[65.5, 987], [66.2, 1234]]
    )
    for cell in ("65,5", "12,34", "1,2345", "1234,567"):
        path = write_file("b.csv", f'u\n"{cell}"\n')
        with pytest.raises(ValueError, match=rf"column 'u' of .*'{cell}'.*three digits"):
            read_numbers(path, ["u"], thousands=",", decimal=".")


def test_numbers_are_those_of_the_text_to_the_last_bit(write_file):
    numbers = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-5, 5).repeat(100)
    path = write_file("a.csv", "v\n" + "\n".join(map(repr, numbers.tolist())) + "\n")
    np.testing.assert_array_equal(read_numbers(path, ["v"])[:, 0], numbers)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_delimiter_is_found_if_one_alone_fits(write_file, delimiter):
    path = write_file("a.csv", f"u{delimiter}v\n1{delimiter}2\n")
    assert read_numbers(path, ["u", "v"]).tolist() == [[1, 2]]


def test_a_delimiter_that_is_not_certain_is_asked_for(write_file):
    path = write_file("a.csv", "u;v,w\n1;2,3\n2;3,4\n")
    with pytest.raises(ValueError, match=r"',' and ';' between them. Set --delimiter"):
        header_of(path)
    assert header_of(path, delimiter=",") == ["u;v", "w"]


def test_a_decimal_comma_is_found_and_asked_for_where_it_may_be_thousands(write_file):
    path = write_file("a.csv", "u;v\n1,5;2\n1,25;3\n")
    assert read_numbers(path, ["u", "v"]).tolist() == [[1.5, 2], [1.25, 3]]
    path = write_file("b.csv", "u;v\n1,500;2\n12,250;3\n")
    with pytest.raises(ValueError, match=r"'1,500'.*--decimal ',' or --thousands ','"):
        read_numbers(path, ["u"])
    assert read_numbers(path, ["u"], decimal=",").tolist() == [[1.5], [12.25]]
    assert read_numbers(path, ["u"], thousands=",").tolist() == [[1500], [12250]]


def test_thousands_between_quotes_are_read_as_told(write_file):
    path = write_file("a.csv", 'u,v\n"1,500",2\n')
    with pytest.raises(ValueError, match=r"--thousands"):
        read_numbers(path, ["u"])
    assert read_numbers(path, ["u"], thousands=",").tolist() == [[1500]]


def test_lines_around_the_rows_are_left_out(write_file):
    path = write_file("a.csv", "Report of today\n\nu,v\n1,2\n3,4\ntotal 6\n(end)\n")
    rows = read_numbers(path, ["u", "v"], skip_rows=2, skip_footer=2, delimiter=",")
    assert rows.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match=r"got 1 in line 6.*--skip-footer"):
        read_numbers(path, ["u", "v"], skip_rows=2, delimiter=",")


def test_compressed_tables_are_read(write_file, tmp_path):
    text = b"u,v\n1,2\n"
    path = write_file("a.csv.gz", gzip.compress(text))
    assert read_numbers(path, ["u", "v"]).tolist() == [[1, 2]]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("table.csv", text)
    assert read_numbers(tmp_path / "a.zip", ["u", "v"]).tolist() == [[1, 2]]


def test_a_damaged_archive_is_named(write_file):
    path = write_file("a.csv.gz", gzip.compress(b"u,v\n" + b"1,2\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"a\.csv\.gz' is damaged.*Download it again"):
        read_numbers(path, ["u"])


def test_an_archive_of_several_tables_is_no_table(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "u\n1\n")
        archive.writestr("b.csv", "u\n1\n")
    with pytest.raises(ValueError, match=r"zip archive of several files"):
        header_of(tmp_path / "a.zip")


def test_parquet_and_excel_are_read(tmp_path):
    frame = pd.DataFrame({"id": [7, 8], "v": [1.5, None]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    for name in ("a.parquet", "a.xlsx"):
        found = read(tmp_path / name, ["id"], ["v"])
        assert found["id"].tolist() == ["7", "8"]
        np.testing.assert_array_equal(found["v"], [1.5, np.nan])


@pytest.fixture
def workbook(tmp_path):
    """A workbook with a sheet for each list of rows."""
    openpyxl = pytest.importorskip("openpyxl", reason="the extra 'feeds' installs it")

    def workbook(**sheets):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "a.xlsx")
        return tmp_path / "a.xlsx"

    return workbook


def test_the_only_sheet_of_a_workbook_that_has_cells_is_read(workbook):
    rows = [["time", 101, 102], [datetime(2024, 1, 1, 8), 1, 2.5]]
    path = workbook(Empty=[], Data=rows, Sheet3=[])
    assert header_of(path) == ["time", "101", "102"]
    found = read(path, ["time"], ["101", "102"])
    assert found.iloc[0].tolist() == ["2024-01-01T08:00:00", 1.0, 2.5]
    with pytest.raises(ValueError, match=r"in one sheet of .* \(got 'A', 'B'\)\. Set --sheet"):
        header_of(workbook(A=rows, B=[["note"]]))
    with pytest.raises(ValueError, match=r"in one sheet of .* \(got none\)"):
        header_of(workbook(A=[]))


def test_columns_of_one_name_in_a_workbook_stay_of_one_name(workbook):
    path = workbook(A=[["time", 101, 101], ["2024-01-01T08:00", 1, 2]])
    assert header_of(path) == ["time", "101", "101"]
    with pytest.raises(ValueError, match=r"one column '101'"):
        open_table(path, TableFormat()).check({"101": "--features"})


def test_a_workbook_without_names_gets_those_of_the_option(workbook):
    path = workbook(A=[["2024-01-01T08:00", 1, 2], ["2024-01-01T08:05", 3, 4]])
    found = read(path, ["t"], ["a", "b"], names=("t", "a", "b"))
    assert found.to_numpy().tolist() == [["2024-01-01T08:00", 1, 2], ["2024-01-01T08:05", 3, 4]]
    with pytest.raises(ValueError, match=r"as many --columns as .* has, 3 \(got 2\)"):
        header_of(path, names=("t", "a"))


def test_times_of_a_parquet_index_are_the_first_column(tmp_path):
    index = pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 00:05"], name="time")
    pd.DataFrame({"a": [1.0, 2.0]}, index=index).to_parquet(tmp_path / "a.parquet")
    assert header_of(tmp_path / "a.parquet") == ["time", "a"]
    assert read(tmp_path / "a.parquet", ["time"])["time"].iloc[1] == "2024-01-01T00:05:00"


def test_missing_column_is_named_with_file_columns_and_option(write_file):
    path = write_file("a.csv", "id,v\n1,2\n")
    with pytest.raises(KeyError, match=r"a\.csv' has no column 'speed'.*\['id', 'v'\].*--features"):
        open_table(path, TableFormat()).check({"speed": "--features"})


def test_a_table_with_a_header_alone_has_no_rows(write_file):
    path = write_file("a.csv", "id,lat,lon\n")
    assert read_numbers(path, ["lon"]).shape == (0, 1)


def test_repeated_column_is_refused(write_file):
    path = write_file("a.csv", "v,v\n1,2\n")
    with pytest.raises(ValueError, match=r"one column 'v'"):
        open_table(path, TableFormat()).check({"v": "--features"})


@pytest.mark.parametrize(
    "value", ["abc", "1,5", "12 km/h", "inf", "-inf", "1_000", "True", "1e999", "0x1F", "1+2j"]
)
def test_reading_that_is_no_finite_number_is_named_with_file_and_column(write_file, value):
    path = write_file("a.csv", f'u,v\n1,2\n3,"{value}"\n')
    said = "(inf|1e999)" if value == "1e999" else value.replace("+", r"\+")  # as pandas tells it
    with pytest.raises(ValueError, match=rf"column 'v' of '.*a\.csv' \(got '{said}'\)"):
        read_numbers(path, ["u", "v"])


def test_a_column_of_truths_holds_no_readings(write_file):
    path = write_file("a.csv", "v\nTrue\nFalse\n")
    with pytest.raises(ValueError, match=r"got 'True'"):
        read_numbers(path, ["v"])


@pytest.mark.parametrize("row", ["3", "3,4,5", '"3,4"'])
def test_ragged_row_is_refused(write_file, row):
    path = write_file("a.csv", f"u,v\n1,2\n{row}\n")
    cells = 3 if row == "3,4,5" else 1
    with pytest.raises(ValueError, match=rf"a\.csv' cannot be read.*Expected 2 col.*got {cells}"):
        read_numbers(path, ["u", "v"])


@pytest.mark.parametrize("text", ["", "\n1,2\n"])
def test_file_without_first_line_is_refused(write_file, text):
    with pytest.raises(ValueError, match=r"a\.csv' to start with column names"):
        header_of(write_file("a.csv", text))


def test_file_in_another_encoding_is_asked_for(write_file):
    path = write_file("a.csv", "straße\n1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"UTF-8.*--encoding"):
        header_of(path)
    assert header_of(path, encoding="latin-1") == ["straße"]
    path = write_file("b.csv", b"id\n" + b"x\n" * 500 + "straße\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"b\.csv' cannot be read.*UTF-?8"):
        read(path, ["id"])
    assert read(path, ["id"], encoding="latin-1")["id"].iloc[-1] == "straße"
    with pytest.raises(ValueError, match=r"no --encoding 'klingon'"):
        header_of(path, encoding="klingon")


@pytest.mark.parametrize("quoted", ['"Roadworks', ' "Roadworks', '"2""'])
def test_a_quote_that_does_not_close_is_refused(write_file, quoted):
    rows = ["2024-01-01,1,x", f"2024-01-02,2,{quoted}", "2024-01-03,3,x", '2024-01-04,4,"End"']
    path = write_file("a.csv", "time,v,note\n" + "\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=r"Line 3 of .*does not close: .*Remove the quote"):
        read(path, ["time"], ["v"])
    path = write_file("b.csv", path.read_text().replace(quoted, quoted.replace('"', "")))
    assert len(read(path, ["time"], ["v"])) == 4


def test_quotes_within_cells_and_behind_blanks_are_read(write_file):
    path = write_file("a.csv", 'id,v,note\na,1,5" pipe\nb,2, "x, ""y"""\nc,3,"z"\n')
    found = read(path, ["id", "note"], ["v"])
    assert found["note"].tolist() == ['5" pipe', 'x, "y"', "z"]
