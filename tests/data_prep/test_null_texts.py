"""Texts that mean "missing" in tables: asked for, and then NaN."""

import re
import shlex

import numpy as np
import pytest

TABLE = "id,lat,lon\na,25.0,121.5\n"
TEXTS = ["-", "--", "x", "*", "Bad", "#DIV/0!", "#VALUE!", "no data", "?"]


@pytest.fixture
def convert(run, write_file):
    def convert(cell, *words, long=False, others=("50", "60")):
        table = write_file("d.csv", TABLE)
        cells = [others[0], cell, others[1]]
        if long:
            rows = [f"a;2024-01-01T00:0{n};{c};7" for n, c in enumerate(cells)]
            path = write_file("r.csv", "\n".join(["id;t;v;q", *rows]) + "\n")
            source = ["--long", path, "--id-column", "id", "--time-column", "t"]
            source += ["--features", "v=speed", "q=flow"]
        else:
            rows = [f"2024-01-01T00:0{n},{c}" for n, c in enumerate(cells)]
            path = write_file("r.csv", "\n".join(["t,a", *rows]) + "\n")
            source = ["--wide", f"speed={path}"]
        return run("csv", *source, "--detectors", table, *words)

    return convert


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("long", [False, True])
def test_a_text_is_missing_as_the_error_says(convert, text, long):
    series, said = convert(text, long=long)
    assert series is None
    option = re.search(r"set (--null-value '.*?') if", said)[1]
    series, said = convert(text, *shlex.split(option), long=long)
    np.testing.assert_array_equal(series.values[:, 0, 0], [50, np.nan, 60])
    assert f"the text {text!r} of all readings set to NaN" in said


def test_a_text_of_one_feature_is_none_of_another(convert):
    series, _ = convert("-", "--null-value", "speed=-", "Bad", long=True)
    np.testing.assert_array_equal(series.values[:, 0, 0], [50, np.nan, 60])
    assert convert("-", "--null-value", "flow=-", long=True)[0] is None
    assert "names 'sped'" in convert("-", "--null-value", "sped=-")[1]


def test_texts_stand_beside_numbers_and_decimal_commas(convert):
    words = ["--null-value", "-99", "Bad"]
    series, _ = convert("Bad ", *words, long=True, others=("50,5", "-99"))
    np.testing.assert_array_equal(series.values[:, 0, 0], [50.5, np.nan, np.nan])


@pytest.mark.parametrize("text", ["NAN", "Nan", "Null"])
def test_words_for_missing_are_known_in_any_case(convert, text):
    assert np.isnan(convert(text)[0].values[1, 0, 0])


def test_texts_keep_the_numbers_that_are_usual_in_a_format(run, write_file):
    cells = ["-1", "Bad", *map(str, range(94))]
    head = ["site", "day", *(f"V{n:02}" for n in range(96))]
    path = write_file("r.csv", ",".join(head) + "\n" + ",".join(["a", "2024-01-01", *cells]) + "\n")
    words = ["--id-column", "site", "--day-column", "day", "--null-value", "Bad"]
    series, _ = run("day-rows", path, *words, "--detectors", write_file("d.csv", TABLE))
    assert np.isnan(series.values[:2]).all()
    assert series.values[2:, 0, 0].tolist() == [*range(94)]


def test_formats_without_tables_take_numbers_alone(run, write_file):
    path = write_file("r.txt.gz", "")
    assert "Expected --null-value such as -99" in run("tdx", path, "--null-value", "Bad")[1]


def test_a_dash_is_no_position(run, write_file):
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\nb,-,--\n")
    path = write_file("r.csv", "t,a,b\n2024-01-01T00:00,1,2\n2024-01-01T00:05,1,2\n")
    series, _ = run("csv", "--wide", f"speed={path}", "--detectors", table)
    assert np.isnan(series.lat[1])
    assert np.isnan(series.lon[1])
