import numpy as np
import pytest

from data_prep.tables import (
    check_columns,
    read_blocks,
    read_header,
    replace_null_values,
    to_matrix,
)


def read_numbers(path, columns, delimiter=","):
    blocks = read_blocks(path, (), columns, delimiter)
    return np.concatenate([to_matrix(path, block, columns) for block in blocks])


def test_byte_order_mark_is_tolerated(write_file):
    path = write_file("a.csv", b"\xef\xbb\xbfid,v\n007,1\n")
    assert read_header(path) == ["id", "v"]
    (block,) = read_blocks(path, ["id"], ["v"])
    assert block.to_pydict() == {"id": ["007"], "v": [1.0]}


def test_delimiter_and_words_for_missing_are_understood(write_file):
    path = write_file("a.csv", "u;v\n1;NaN\n;None\nnull;2.5\n")
    expected = [[1, np.nan], [np.nan, np.nan], [np.nan, 2.5]]
    np.testing.assert_array_equal(read_numbers(path, ["u", "v"], ";"), expected)


def test_missing_column_is_named_with_file_columns_and_option(write_file):
    path = write_file("a.csv", "id,v\n1,2\n")
    with pytest.raises(KeyError, match=r"a\.csv' has no column 'speed'.*\['id', 'v'\].*--features"):
        check_columns(path, read_header(path), {"speed": "--features"})


def test_repeated_column_is_refused(write_file):
    path = write_file("a.csv", "v,v\n1,2\n")
    with pytest.raises(ValueError, match=r"one column 'v'"):
        check_columns(path, read_header(path), {"v": "--features"})


@pytest.mark.parametrize("value", ["abc", "1,5", "12 km/h", "inf", "-inf", "1_000"])
def test_reading_that_is_no_finite_number_is_named_with_file_and_column(write_file, value):
    path = write_file("a.csv", f'u,v\n1,2\n3,"{value}"\n')
    with pytest.raises(ValueError, match=rf"column 'v' of '.*a\.csv' \(got '{value}'\)"):
        read_numbers(path, ["u", "v"])


def test_ragged_row_is_refused(write_file):
    path = write_file("a.csv", "u,v\n1,2\n3\n")
    with pytest.raises(ValueError, match=r"a\.csv' cannot be read.*Expected 2 columns, got 1"):
        read_numbers(path, ["u", "v"])


@pytest.mark.parametrize("text", ["", "\n1,2\n"])
def test_file_without_first_line_is_refused(write_file, text):
    with pytest.raises(ValueError, match=r"a\.csv' to start with column names"):
        read_header(write_file("a.csv", text))


def test_file_in_another_encoding_is_refused(write_file):
    path = write_file("a.csv", "straße\n1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"UTF-8"):
        read_header(path)
    path = write_file("b.csv", "id\nstraße\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"b\.csv' cannot be read.*UTF-?8"):
        list(read_blocks(path, ["id"]))


def test_null_values_become_nan_and_are_counted_by_column():
    values = np.array([[-99.0, 1.0], [255.0, 2.0], [3.0, -99.0], [0.0, np.nan]])
    assert replace_null_values(values, [-99, 255]).tolist() == [2, 1]
    np.testing.assert_array_equal(values, [[np.nan, 1], [np.nan, 2], [3, np.nan], [0, np.nan]])


def test_nothing_is_replaced_without_null_values():
    values = np.zeros((2, 1))
    assert replace_null_values(values, []).tolist() == [0]
    assert (values == 0).all()
