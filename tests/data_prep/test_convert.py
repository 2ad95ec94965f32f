from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.convert import gather
from socialgraph import schema
from socialgraph.calendar import to_local

DETECTORS = "id,lat,lon,road\nb,25.0,121.5,R2\na,25.01,121.5,R1\nx,25.02,121.5,R3\n"
SPEED = "t,a,b\n2024-01-01 00:00,50,0\n2024-01-01 00:05,-99,61\n"


@pytest.fixture
def sources(write_file, tmp_path):
    """Paths of speed, table of detectors and result."""
    speed, table = write_file("speed.csv", SPEED), write_file("d.csv", DETECTORS)
    return str(speed), str(table), str(tmp_path / "out.h5")


@pytest.fixture
def reference(shared):
    """The neutral file as values ``[T, N, F]``, times, ids and positions."""

    def read(name):
        with h5py.File(shared(f"series/{name}")) as file:
            ids = file["sensor_id"].asstr()[()].tolist()
            times = file["timestamps"].asstr()[()].astype("datetime64[s]")
            return file["values"][()], times, ids, file["lat"][()], file["lon"][()]

    return read


def assert_equal(path, reference, lead=0):
    values, times, ids, lat, lon = reference
    series = schema.read(path)
    order = [series.vdids.index(vdid) for vdid in ids]
    assert sorted(series.vdids) == sorted(ids)
    assert (to_local(series.timestamps, series.timezone) == times[lead:]).all()
    np.testing.assert_array_equal(series.values[:, order], values[lead:])
    np.testing.assert_allclose(series.lat[order], lat, atol=1e-9)
    np.testing.assert_allclose(series.lon[order], lon, atol=1e-9)
    return series


def test_wide_files_become_a_file_of_the_schema(sources, capsys):
    speed, table, out = sources
    options = [
        "--unit",
        "speed=km/h",
        "--null-value",
        "255",
        "--null-value",
        "-99",
        "--timezone",
        "Asia/Taipei",
    ]
    options += ["--name", "two"]
    assert (
        main(["convert", "csv", out, "--detectors", table, "--wide", f"speed={speed}", *options])
        == 0
    )
    series = schema.read(out)
    assert series.vdids == ["a", "b"]
    np.testing.assert_array_equal(series.values[..., 0], [[50, 0], [np.nan, 61]])
    assert (series.lat.tolist(), series.lon.tolist()) == ([25.01, 25.0], [121.5, 121.5])
    assert (series.units, series.timezone, series.dataset_name) == (["km/h"], "Asia/Taipei", "two")
    assert series.vd_info["a"]["road"] == "R1"
    assert series.missing.endswith("or a null value (255, -99; 1 of speed)")
    assert "'speed.csv'" in series.source
    assert "'d.csv'" in series.source
    report = capsys.readouterr().out
    assert "255, -99: 1 of speed readings set to NaN" in report
    assert "joined by id" in report
    assert "1 rows of the table, dropped: x" in report


def test_long_files_become_a_file_of_the_schema(sources, write_file, tmp_path):
    _, table, out = sources
    write_file("in/1.csv", "vd;when;v\na;01/02/2024 00:00;50\na;01/02/2024 00:10;52\n")
    write_file("in/2.csv", "vd;when;v\nb;01/02/2024 00:00;60\nb;01/02/2024 00:10;62\n")
    options = ["--id-column", "vd", "--time-column", "when", "--features", "v=speed"]
    options += ["--time-format", "%d/%m/%Y %H:%M", "--delimiter", ";", "--interval", "5"]
    long = ["--long", str(tmp_path / "in" / "*.csv")]
    assert main(["convert", "csv", out, "--detectors", table, *long, *options]) == 0
    series = schema.read(out)
    assert series.interval_minutes == 5
    assert str(series.timestamps[0]) == "2024-02-01T00:00:00"
    nan = np.nan
    np.testing.assert_array_equal(series.values[..., 0], [[50, 60], [nan, nan], [52, 62]])


def test_pems_bay_layout_is_converted(tmp_path, write_frame, write_file):
    times = (np.datetime64("2017-01-01", "ns") + 300 * 10**9 * np.arange(4)).astype(np.int64)
    values = np.array([[60.0, 0], [61, 71], [62, 72], [63, 73]])
    raw = write_frame(tmp_path / "pems-bay.h5", "speed", times, [400001, 400017], values)
    table = write_file("bay.csv", "400017,37.25,-121.94\n400001,37.36,-121.90\n")
    out = tmp_path / "out.h5"
    args = [
        "convert",
        "metr-la",
        str(raw),
        str(out),
        "--locations",
        str(table),
        "--name",
        "pems-bay",
    ]
    assert main(args) == 0
    series = schema.read(out)
    assert series.vdids == ["400001", "400017"]
    assert series.lat.tolist() == [37.36, 37.25]
    np.testing.assert_array_equal(
        series.values[..., 0], [[60, np.nan], [61, 71], [62, 72], [63, 73]]
    )
    assert (series.units, series.timezone) == (["mph"], "America/Los_Angeles")
    assert series.dataset_name == "pems-bay"


def test_zeros_of_metr_la_are_kept_on_demand(tmp_path, write_file):
    raw = write_file("a.csv", "7,8\n1,2\n3,0\n")
    table, out = write_file("d.csv", "7,34.1,-118.1\n8,34.2,-118.2\n"), tmp_path / "out.h5"
    args = ["convert", "metr-la", str(raw), str(out), "--locations", str(table)]
    args += ["--start", "2012-03-01T00:00:00", "--null-value", "nan"]
    assert main(args) == 0
    series = schema.read(out)
    assert series.values[..., 0].tolist() == [[1, 2], [3, 0]]
    assert series.missing == "NaN where the source has no row or no number"


def test_a_detector_without_position_is_written_and_backfill_is_named(sources, write_file, capsys):
    speed, _, out = sources
    table = write_file("d2.csv", "id,lat,lon\na,25,121\n")
    options = ["--wide", f"speed={speed}"]
    assert main(["convert", "csv", out, "--detectors", str(table), *options]) == 0
    assert np.isnan(schema.read(out).lat).tolist() == [False, True]
    assert "data_prep backfill" in capsys.readouterr().out


def test_an_existing_result_is_refused_unless_overwritten(sources, capsys):
    speed, table, out = sources
    args = ["convert", "csv", out, "--detectors", table, "--wide", f"speed={speed}"]
    assert main(args) == 0
    before = Path(out).read_bytes()
    assert main([*args, "--null-value", "0"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert Path(out).read_bytes() == before
    assert main([*args, "--null-value", "0", "--overwrite"]) == 0
    assert np.isnan(schema.read(out).values[0, 1, 0])


def test_a_result_that_came_while_the_source_was_read_is_not_replaced(sources, capsys, monkeypatch):
    """As of two at once: the second finds the file of the first when it is about to write."""
    speed, table, out = sources
    args = ["convert", "csv", out, "--detectors", table, "--wide", f"speed={speed}"]

    def gather_late(*words):
        gathered = gather(*words)
        Path(out).write_text("of another")
        return gathered

    monkeypatch.setattr("data_prep.convert.gather", gather_late)
    assert main(args) == 2
    assert f"'{out}' exists. Set --overwrite to replace it" in capsys.readouterr().err
    assert Path(out).read_text() == "of another"
    assert main([*args, "--overwrite"]) == 0
    assert len(schema.read(out).values)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--unit", "flow=veh/h"], "--unit names ['flow']"),
        (["--unit", "speed"], "--unit as NAME=VALUE"),
        (["--timezone", "Taipei"], "as an IANA name such as Asia/Taipei"),
        (["--time-column", "when"], "Set --time-column"),
        (["--interval", "0"], "whole number of seconds"),
        (["--detector-id-column", "vd"], "Set --detector-id-column"),
        (["--delimiter", ";"], "there is none"),
        (["--edge-delimiter", ";"], "--edge-delimiter with --edges, whose table it is about"),
        (["--edge-metres-per-unit", "1000"], "(got 1000.0 without). Set --edges to that table"),
        (["--sheet", "Foo"], "speed.csv' is a text, which has no sheets (got 'Foo'). Leave out"),
        (["--detector-sheet", "Foo"], "d.csv' is a text, which has no sheets (got 'Foo')"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_written(sources, tmp_path, capsys, options, words):
    speed, table, out = sources
    args = ["convert", "csv", out, "--detectors", table, "--wide", f"speed={speed}", *options]
    assert main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 2
    assert words in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.csv", "speed.csv"]


@pytest.mark.parametrize("option", ["--wide", "--detectors"])
def test_a_source_is_not_replaced_by_its_result(write_file, capsys, option):
    readings = write_file("r.csv", "time,a,b\n2024-01-01T00:00,1,2\n2024-01-01T00:05,3,4\n")
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\nb,25.01,121.5\n")
    out = {"--wide": readings, "--detectors": table}[option]
    before = out.read_bytes()
    words = ["--wide", f"speed={readings}", "--detectors", str(table), "--overwrite"]
    assert main(["convert", "csv", str(out), *words]) == 2
    assert "is read, and would be replaced" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "unit", "expected", "told"),
    [
        ("speed", "m/s", 10.0, "m/s"),
        ("speed", "m/min", 10.0, "m/min"),
        ("volume", "vph", 10.0, "vph"),
        ("volume", "veh/hr", 10.0, "veh/hr"),
        ("occupancy", "s/min", 10.0, "s/min"),
        ("volume", "veh/5min", 30.0, "veh/15min"),
        ("count", "", 30.0, ""),
        ("passages", "vehicles/5min", 30.0, "vehicles/15min"),
    ],
)
def test_what_counts_is_summed_and_rates_are_averaged(run, write_file, name, unit, expected, told):
    rows = [f"2024-01-01T{hour:02}:{minute:02},10" for hour in (0, 1) for minute in range(0, 60, 5)]
    path = write_file("r.csv", "\n".join(["time,a", *rows]) + "\n")
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
    words = ["--wide", f"{name}={path}", "--detectors", table, "--interval", "15min"]
    series, said = run("csv", *words, *(["--unit", f"{name}={unit}"] if unit else []))
    assert series is not None, said
    assert (series.values == expected).all()
    assert series.units == [told]


def test_a_count_in_a_unit_that_is_not_known_is_asked_for(run, write_file):
    path = write_file(
        "r.csv", "time,a\n2024-01-01T00:00,1\n2024-01-01T00:05,2\n2024-01-01T00:10,3\n"
    )
    table = write_file("d.csv", "id,lat,lon\na,25.0,121.5\n")
    words = ["--wide", f"volume={path}", "--detectors", table, "--interval", "15min"]
    _, said = run("csv", *words, "--unit", "volume=fortnightly")
    assert "not certain how 'volume'" in said
    assert "--rule volume=sum" in said


@pytest.mark.parametrize("header", ["a,a,b", "time,time,b"])
def test_a_detector_with_the_name_of_the_time_is_not_dropped(sources, write_file, capsys, header):
    _, table, out = sources
    times = [f"2024-01-01{' ' if header[0] == 'a' else ','}0{n}:00" for n in range(3)]
    rows = (f"{time},{n}" + ",1" * (header[0] == "a") for n, time in enumerate(times))
    speed = write_file("twice.csv", "\n".join([header, *rows]))
    assert main(["convert", "csv", out, "--detectors", table, "--wide", f"speed={speed}"]) == 2
    assert f"to have one column '{header.split(',')[0]}' (got 2)" in capsys.readouterr().err


def test_a_delimiter_is_one_character_and_may_be_a_tab(sources, write_file):
    _, table, out = sources
    speed = write_file("s.tsv", SPEED.replace(",", "\t"))
    args = ["convert", "csv", out, "--detectors", table, "--wide", f"speed={speed}", "--delimiter"]
    assert main([*args, "\\t"]) == 0
    with pytest.raises(SystemExit):
        main([*args, ";;"])


def test_long_files_need_their_columns(sources, capsys):
    speed, table, out = sources
    assert main(["convert", "csv", out, "--detectors", table, "--long", speed]) == 2
    assert "--id-column and --time-column and --features" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raw", "options"),
    [
        ("constructed/metr-la-week1.dcrnn-layout.h5", []),
        ("original/tgcn/los_speed.csv", ["--start", "2012-03-01T00:00:00"]),
    ],
)
def test_the_week_of_metr_la_equals_its_reference(shared, reference, tmp_path, raw, options):
    out = str(tmp_path / "out.h5")
    locations = str(shared("original/dcrnn/graph_sensor_locations.csv"))
    assert (
        main(["convert", "metr-la", str(shared(raw)), out, "--locations", locations, *options]) == 0
    )
    series = assert_equal(out, reference("metr_la_week1.h5"))
    assert series.values.mean(dtype=float) == pytest.approx(58.89, abs=0.005)
    assert series.values.std(dtype=float) == pytest.approx(12.53, abs=0.005)


@pytest.mark.slow
def test_three_files_of_aarhus_equal_their_reference(shared, reference, tmp_path, capsys):
    folder = shared("original/citypulse_aarhus")
    out = str(tmp_path / "out.h5")
    features = ["avgSpeed=speed", "vehicleCount=count", "avgMeasuredTime=travel_time"]
    args = ["convert", "csv", out, "--detectors", str(folder / "trafficMetaData.csv")]
    args += ["--long", str(folder / "*.stream"), "--id-column", "REPORT_ID"]
    args += ["--time-column", "TIMESTAMP", "--features", *features, "--timezone", "UTC"]
    args += ["--detector-id-column", "REPORT_ID", "--lat-column", "POINT_1_LAT", "POINT_2_LAT"]
    assert main([*args, "--lon-column", "POINT_1_LNG", "POINT_2_LNG"]) == 0
    values, times, ids, lat, lon = reference("aarhus_traffic_2014.h5")
    rows = [ids.index(vdid) for vdid in ("158324", "173225", "190100")]
    chosen = [ids[row] for row in rows]
    lead = len(times) - len(schema.read(out).timestamps)
    assert_equal(out, (values[:, rows], times, chosen, lat[rows], lon[rows]), lead)
    assert "3 rows stood after a later time of their detector" in capsys.readouterr().out


@pytest.mark.parametrize(("interval", "told"), [([], True), (["--interval", "10min"], False)])
def test_the_file_tells_null_values_and_ranges_to_who_follows_it(sources, interval, told):
    speed, table, out = sources
    words = ["convert", "csv", out, "--wide", f"speed={speed}", "--detectors", table]
    words += ["--null-value", "255", "speed=-99", "--range", "speed=1:200", *interval]
    assert main(words) == 0
    series = schema.read(out)
    assert series.null_values == ({"speed": [255.0, -99.0]} if told else {})
    assert series.ranges == ({"speed": [1.0, 200.0]} if told else {})  # sums have others
    assert series.finer_null_values == ({} if told else {"speed": [255.0, -99.0]})
    assert series.finer_ranges == ({} if told else {"speed": [1.0, 200.0]})


@pytest.mark.parametrize("head", ["time", "day,time"])
def test_of_times_from_one_to_another_the_start_is_taken_and_told(write_file, run, head):
    blank = "," if "," in head else " "
    rows = [f"2024-01-01{blank}06:{n:02}-06:{n + 15:02},{n},1" for n in (0, 15, 30)]
    path = write_file("s.csv", f"{head},a,b\n" + "\n".join(rows) + "\n")
    table = write_file("d.csv", "id,lat,lon\na,1,1\nb,1,2\n")
    series, said = run("csv", "--wide", f"speed={path}", "--detectors", table)
    assert series.timestamps.astype(str).tolist()[1] == "2024-01-01T06:15:00"
    assert series.values[:, 0, 0].tolist() == [0, 15, 30]
    assert "06:00-06:15; the start was taken" in said
