"""Small inputs from outside with their right answers, of ../shared/cases."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tests.data_prep.conftest import case

NAN = np.nan


@pytest.fixture
def wide(run):
    def wide(name, *files, words=(), feature="speed"):
        folder = case(name)
        named = [f"{feature}={folder / file}" for file in files]
        return run("csv", "--wide", *named, "--detectors", folder / "detectors.csv", *words)

    return wide


def test_date_and_seconds(run):
    folder = case("date-and-seconds")
    table = ["--detectors", folder / "detectors.csv"]
    long = ["--long", folder / "readings.csv", "--id-column", "detid", "--features", "flow=flow"]
    series, _ = run("csv", *long, "--time-column", "day", "interval", *table)
    assert series.values.shape == (96, 3, 1)
    assert (str(series.timestamps[0]), series.interval_minutes) == ("2017-05-06T00:00:00", 30)
    expected = 100 + np.arange(96) * 1800 % 86400 // 864
    assert (series.values[..., 0] == expected[:, None]).all()
    _, said = run("csv", *long, "--time-column", "day", *table)
    assert "All times lie at midnight" in said
    assert "--time-column DATE TIME" in said
    assert "--on-conflict" not in said


def test_a_date_beside_a_time(wide):
    series, _ = wide("date-and-seconds", "date_time.csv")
    assert series.timestamps.astype(str).tolist() == ["2024-01-02T00:00:00", "2024-01-02T00:05:00"]
    assert series.vdids == ["101", "102", "103"]


def test_fractions_of_seconds(wide):
    for words in (["--time-format", "%Y/%m/%d %H:%M:%S.%f"], []):
        series, _ = wide("fractions-of-seconds", "readings.csv", words=words)
        assert series.timestamps.astype(str).tolist() == [
            "2024-01-02T00:00:00",
            "2024-01-02T00:05:00",
        ]


def test_null_value_per_feature(run):
    folder = case("null-value-per-feature")
    words = ["--long", folder / "night.csv", "--id-column", "VDID", "--time-column", "Time"]
    words += ["--features", "Speed=speed", "Volume=flow", "--null-value", "speed=0"]
    series, report = run("csv", *words, "--detectors", folder / "detectors.csv")
    for node in range(3):
        np.testing.assert_array_equal(series.values[:, node, 0], [88, NAN, NAN, 88, NAN, 88])
        np.testing.assert_array_equal(series.values[:, node, 1], [3, 0, 0, 5, 0, 2])
    assert "0: 9 of speed readings set to NaN" in report
    assert "9 of speed" in series.missing


@pytest.mark.parametrize("name", ["wide.csv.gz", "wide.zip", "wide.parquet"])
def test_other_kinds_of_files(wide, name):
    series, _ = wide("other-kinds-of-files", name)
    assert series.values[..., 0].tolist() == [[60, 61, 62], [60, 61, 62], [59, 61, 62]]


def test_other_kinds_that_are_no_table_name_the_way_out(wide, run):
    assert "'convert pems-npz'" in wide("other-kinds-of-files", "flow.npz")[1]
    folder = case("other-kinds-of-files")
    table = ["--locations", folder / "detectors.csv"]
    series, said = run("metr-la", folder / "blosc.h5", *table)
    assert series is None
    assert "complib='zlib'" in said
    assert "to_csv" in said


def test_padded_blanks(wide):
    series, _ = wide("padded-blanks", "readings.csv")
    assert series.vdids == ["101", "102", "103"]
    np.testing.assert_array_equal(series.values[..., 0], [[60, NAN, 62], [60, 61, 62]])


def test_several_files_of_a_feature(wide):
    for files in (["january.csv", "february.csv"], ["february.csv", "january.csv"]):
        series, report = wide("several-files-of-a-feature", *files)
        assert str(series.timestamps[0]) == "2024-01-31T23:50:00"
        assert str(series.timestamps[-1]) == "2024-02-01T00:05:00"
        found = dict(zip(series.vdids, series.values[..., 0].T.tolist(), strict=True))
        assert found == {"101": [60, 61, 62, 63], "102": [50, 51, 52, 53]}
        assert "gaps in time  none" in report


def test_thirty_seconds(wide):
    series, report = wide("thirty-seconds", "readings.csv", words=["--interval", "5"])
    np.testing.assert_allclose(series.values[..., 0], [[64.5, 50, 4.5], [74.5, 50, 14.5]])
    assert "6 readings of all 10 of a step" in report
    words = ["--interval", "5min", "--rule", "count=sum"]
    series, _ = wide("thirty-seconds", "readings.csv", words=words, feature="count")
    assert series.values[:, 2, 0].tolist() == [45, 145]


def test_a_step_of_few_readings_is_missing_or_told(write_file, run):
    folder = case("thirty-seconds")
    lines = (folder / "readings.csv").read_text().splitlines()
    path = write_file("few.csv", "\n".join(lines[:15]) + "\n")  # the second step has 4 of 10
    words = ["--wide", f"speed={path}", "--detectors", folder / "detectors.csv", "--interval", "5"]
    series, report = run("csv", *words)
    assert np.isnan(series.values[1]).all()
    assert "3 of too few (--min-share 0.5) set to NaN" in report
    series, report = run("csv", *words, "--min-share", "0.4")
    assert series.values[1, 0, 0] == pytest.approx(71.5)
    assert "3 of some" in report


def frame(tmp_path, **columns):
    path = tmp_path / "t.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_jitter_of_seconds_is_rounded_on_demand(write_file, run):
    text = "time,a\n2024-01-01 00:00:03,1\n2024-01-01 00:04:58.5,2\n2024-01-01 00:10:01,3\n"
    table = write_file("d.csv", "id,lat,lon\na,25,121\n")
    words = ["--wide", f"speed={write_file('s.csv', text)}", "--detectors", table]
    assert "--round" in run("csv", *words)[1]
    series, _ = run("csv", *words, "--round", "5min")
    assert series.values[:, 0, 0].tolist() == [1, 2, 3]
    assert str(series.timestamps[1]) == "2024-01-01T00:05:00"


def test_a_period_is_taken_on_the_local_clock(write_file, run):
    text = "time,a\n" + "".join(f"2024-01-01T{h:02}:00Z,{h}\n" for h in range(24))
    table = write_file("d.csv", "id,lat,lon\na,25,121\n")
    words = ["--wide", f"speed={write_file('s.csv', text)}", "--detectors", table]
    words += ["--timezone", "Asia/Taipei", "--since", "2024-01-01T10:00"]
    series, _ = run("csv", *words, "--until", "2024-01-01T12:00")
    assert series.values[:, 0, 0].tolist() == [2, 3]
    assert "from --since to --until" in run("csv", *words, "--until", "2024-01-01T08:00")[1]
    assert "ISO 8601" in run("csv", *words, "--until", "noon")[1]


def test_plausible_ranges_are_those_of_a_feature(write_file, run):
    path = write_file("l.csv", "id,t,v,q\na,2024-01-01 00:00,200,200\na,2024-01-01 00:05,9,9\n")
    table = write_file("d.csv", "id,lat,lon\na,25,121\n")
    words = ["--long", path, "--id-column", "id", "--time-column", "t", "--features", "v=speed"]
    words += ["q=flow", "--detectors", table, "--range", "speed=0:150"]
    series, report = run("csv", *words)
    np.testing.assert_array_equal(series.values[:, 0], [[NAN, 200], [9, 9]])
    assert "1 of speed outside 0 to 150 set to NaN" in report
    assert "features are ['speed', 'flow']" in run("csv", *words, "--range", "occ=0:1")[1]
    assert "FEATURE=LOWEST:HIGHEST" in run("csv", *words, "--range", "speed=5:1")[1]


def test_one_row_per_lane_becomes_a_detector(write_file, run):
    rows = ["a,1,60,10", "a,2,90,20", "b,1,50,", "b,2,70,5"]
    text = "id,lane,v,q,t\n" + "".join(
        f"{row},2024-01-01 00:0{m}\n" for m in (0, 5) for row in rows
    )
    table = write_file("d.csv", "id,lat,lon\na,25,121\nb,25,121\n")
    words = ["--long", write_file("l.csv", text), "--id-column", "id", "--time-column", "t"]
    words += ["--features", "v=speed", "q=flow", "--detectors", table, "--lane-column", "lane"]
    series, _ = run("csv", *words)
    assert series.vdids == ["a", "b"]
    np.testing.assert_array_equal(series.values[0], [[80, 30], [70, NAN]])
    series, _ = run("csv", *words, "--lane-rule", "speed=mean", "flow=mean")
    np.testing.assert_array_equal(series.values[0], [[75, 15], [60, 5]])
    assert "--lane-rule as one of" in run("csv", *words, "--lane-rule", "flow=most")[1]
    assert "features are ['speed', 'flow']" in run("csv", *words, "--lane-rule", "occ=sum")[1]


def test_a_file_per_lane_becomes_a_detector(write_file, run):
    text = "time,a\n2024-01-01 00:00,{}\n2024-01-01 00:05,{}\n"
    lanes = [write_file(f"lane{n}.csv", text.format(n, 10 * n)) for n in (1, 2)]
    table = write_file("d.csv", "id,lat,lon\na,25,121\n")
    files = [f"flow={path}" for path in lanes]
    series, _ = run("csv", "--wide", *files, "--detectors", table, "--lane-files")
    assert series.values[:, 0, 0].tolist() == [3, 30]
    assert "rows that differ" in run("csv", "--wide", *files, "--detectors", table)[1]


def test_a_csv_of_another_country_is_read_as_it_is(write_file, run):
    """Semicolons, decimal commas, day before month, preamble, footer, Latin-1, compressed."""
    text = (
        "Zählstellen der Stadt\nZeit;Straße\n13.01.2024 00:00;50,5\n13.01.2024 00:05;51,25\nEnde\n"
    )
    path = write_file("z.csv.gz", gzip.compress(text.encode("latin-1")))
    table = write_file("d.csv", "id;lat;lon\nStraße;52.5;13.4\n")
    words = ["--wide", f"speed={path}", "--detectors", table, "--encoding", "latin-1"]
    series, _ = run("csv", *words, "--skip-rows", "1", "--skip-footer", "1")
    assert series.values[:, 0, 0].tolist() == [50.5, 51.25]
    assert str(series.timestamps[1]) == "2024-01-13T00:05:00"
    assert series.vdids == ["Straße"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("d.geojson", '{"type": "FeatureCollection", "features": [{"type": "Feature", '
         '"properties": {"id": "400001.0"}, "geometry": {"type": "Point", "coordinates": '
         '[121.5, 25.0]}}]}', []),
        ("d.csv", "id,shape\n 400001 ,POINT (121.5 25.0)\n", []),
        ("d.csv", "id,shape\n00400001,\"LINESTRING (121.4 24.9, 121.6 25.1)\"\n", []),
        ("d.csv", "id,lat,lon\n400001,2765732.2,300471.8\n", ["--crs", "EPSG:3826"]),
    ],
)  # fmt: skip
def test_tables_of_detectors_in_their_varieties(write_file, run, name, text, words):
    path = write_file("s.csv", "time,400001\n2024-01-01 00:00,1\n2024-01-01 00:05,1\n")
    table = write_file(name, text)
    series, _ = run("csv", "--wide", f"speed={path}", "--detectors", table, *words)
    assert series.vdids == ["400001"]
    assert series.lat[0] == pytest.approx(25.0, abs=0.01)
    assert series.lon[0] == pytest.approx(121.5, abs=0.01)


def test_projected_coordinates_are_told(write_file, run):
    path = write_file("s.csv", "time,400001\n2024-01-01 00:00,1\n2024-01-01 00:05,1\n")
    table = write_file("d.csv", "id,lat,lon\n400001,2765732.2,300471.8\n")
    assert "set --crs" in run("csv", "--wide", f"speed={path}", "--detectors", table)[1]
    words = ["--detectors", table, "--crs", "EPSG:nowhere"]
    assert "--crs such as" in run("csv", "--wide", f"speed={path}", *words)[1]


def test_ids_that_are_written_in_another_way_are_told_and_not_guessed(write_file, run):
    path = write_file("s.csv", "time,101,7\n2024-01-01 00:00,1,2\n2024-01-01 00:05,1,2\n")
    table = write_file("d.csv", "id,lat,lon\n00101,25,121\n7.0,25,121\n007,25,121\n")
    series, report = run("csv", "--wide", f"speed={path}", "--detectors", table)
    assert "1 written in another way in the table: '101' for '00101'" in report
    assert np.isnan(series.lat).tolist() == [False, True]  # 7.0 and 007 are both 7
