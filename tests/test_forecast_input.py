"""What ``socialgraph forecast`` reads, and refuses."""

import pandas as pd
import pytest

from socialgraph.forecast_cli import _parse
from socialgraph.forecast_input import read_series
from socialgraph.schema import write
from tests.conftest import make_series


def read(*words):
    return read_series(_parse([str(word) for word in words]))


@pytest.fixture
def file(tmp_path):
    write(tmp_path / "data.h5", make_series(steps=40))
    return tmp_path / "data.h5"


def test_features_of_a_file_are_chosen(file):
    assert read(file).feature_names == ["speed", "flow"]
    assert read(file, "--feature", "flow").feature_names == ["flow"]
    assert read(file, "--feature", "flow,speed").feature_names == ["flow", "speed"]
    with pytest.raises(KeyError, match=r"no feature 'speeed'; there are \['speed', 'flow'\]"):
        read(file, "--feature", "speeed")


@pytest.mark.parametrize(
    ("option", "value"),
    [("unit", "mph"), ("timezone", "UTC"), ("detectors", "d.csv"), ("null_value", "0")],
)
def test_what_a_file_tells_itself_is_not_asked_for(file, option, value):
    with pytest.raises(ValueError, match=f"--{option} would change nothing. Leave it out"):
        read(file, f"--{option}", value)


@pytest.fixture
def table(tmp_path):
    frame = make_series(steps=40, nodes=3).to_frame()["speed"].tz_localize(None)
    frame.columns = ["00101", "00102", "A3"]
    frame.to_csv(tmp_path / "speed.csv")
    return tmp_path / "speed.csv"


def places(table, ids, lat, lon):
    path = table.with_name("detectors.csv")
    pd.DataFrame({"id": ids, "lat": lat, "lon": lon}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("lat", "lon", "said"),
    [
        ([121.5, 121.51, 121.52], [25.0, 25.01, 25.02], r"00101 \(lat 121.5, lon 25\).*swapped"),
        ([0, 25.01, 25.02], [0, 121.5, 121.5], r"00101 \(lat 0, lon 0\)"),
    ],
)
def test_a_position_that_cannot_be_right_is_refused(table, lat, lon, said):
    detectors = places(table, ["00101", "00102", "A3"], lat, lon)
    with pytest.raises(ValueError, match=said):
        read(table, "--detectors", detectors)


def test_options_that_a_sentence_names_are_said_to_be_of_convert(table):
    detectors = table.with_name("detectors.csv")
    detectors.write_text("name,lat,lon\n00101,25,121\n")
    with pytest.raises(
        ValueError, match=r"Set --detector-id-column. \(These are options of 'python"
    ):
        read(table, "--detectors", detectors)


def test_ids_that_are_written_in_another_way_are_matched_and_told(table, capsys):
    series = read(table, "--detectors", places(table, [101, 102], [25.0, 25.01], [121.5, 121.5]))
    assert series.lat[:2].tolist() == [25.0, 25.01]
    assert "'00101' for '101', '00102' for '102'" in capsys.readouterr().out


def rewrite(path, change):
    path.write_text("".join(map(change, path.read_text().splitlines(keepends=True))))


def numbered(line):
    return f"1,{line}" if line[0] == "2" else f",{line}"


def long(line):
    """Rows of two detectors for each row of the table."""
    time, one, two, _ = line.split(",")
    return f"{time},101,{one}\n{time},102,{two}\n" if line[0] == "2" else "time,sensor,speed\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda line: line.replace(",", ";"),
            "commas between cells.*python -m data_prep convert csv --wide",
        ),
        (lambda line: line.replace(",", ";").replace(".", ","), "convert csv"),
        (
            lambda line: line.replace("2024-01-01", "01.01.2024"),
            "ISO 8601.*01.01.2024.*convert csv",
        ),
        (
            lambda line: line.replace("2024-01-01", "01/01/2024"),
            "ISO 8601.*01/01/2024.*convert csv",
        ),
        (numbered, "the times in the first column .*got 'time' behind ''"),
        (long, "a row for each time .got 40 rows that repeat one.*convert csv --long"),
    ],
)
def test_a_table_of_another_form_is_refused_with_advice(table, change, said):
    rewrite(table, change)
    with pytest.raises(ValueError, match=said):
        read(table)


def test_detectors_may_be_named_as_in_tables_of_forecasts(table):
    path = places(table, ["00101", "00102", "A3"], [25.0, 25.01, 25.02], [121.5, 121.5, 121.5])
    plain = read(table, "--detectors", path).lat
    path.write_text(path.read_text().replace("id,", "detector,", 1))
    assert read(table, "--detectors", path).lat.tolist() == plain.tolist()
    assert plain.tolist() == [25.0, 25.01, 25.02]


def test_a_table_of_several_features_is_none(table):
    with pytest.raises(ValueError, match=r"of one feature .*speed,flow"):
        read(table, "--feature", "speed,flow")


def test_a_zone_is_asked_for_where_times_have_an_offset(table, capsys):
    read(table)
    assert capsys.readouterr().out == ""
    rewrite(table, lambda line: line.replace(",", "+05:30,", 1) if line[0] == "2" else line)
    assert read(table).timezone == "UTC"
    note = capsys.readouterr().out
    assert note.startswith("note        times have the offset +05:30 and are told in UTC")
    assert read(table, "--timezone", "Asia/Kolkata").timezone == "Asia/Kolkata"
    assert capsys.readouterr().out == ""


def test_a_zone_is_asked_for_where_the_clock_was_changed_after_the_first_time(table, capsys):
    lines = table.read_text().splitlines()
    rows = [line.replace(",", "+00:00,", 1) for line in lines[1:16]]
    rows += [line.replace(",", "+01:00,", 1) for line in lines[28:]]  # an hour is left out
    table.write_text("\n".join([lines[0], *rows]))
    read(table)
    assert "offset +01:00 and are told in UTC" in capsys.readouterr().out
