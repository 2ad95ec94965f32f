"""``convert`` on clocks that change: the command line, its report and the advice in its errors."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.inspect_file import inspect_file
from socialgraph import schema
from socialgraph.calendar import to_local
from tests.conftest import ROOT

CASE = ROOT.parent / "shared" / "cases" / "utc-autumn"
ZONE = "Europe/Copenhagen"
TABLE = "id,lat,lon\n101,55.68,12.57\n102,55.69,12.57\n0,55.68,12.57\n1,55.69,12.57\n"
FIVE = np.timedelta64(300, "s")


@pytest.fixture
def convert(write_file, tmp_path, capsys):
    """Convert the text of a wide file (or a path) with detector 101; the status and the output."""

    def convert(text, *options, out="out.h5"):
        path = write_file("speed.csv", text) if isinstance(text, str) else text
        table = write_file("table.csv", TABLE)
        args = ["--detectors", str(table), "--wide", f"speed={path}", "--overwrite"]
        status = main(["convert", "csv", str(tmp_path / out), *args, *options])
        captured = capsys.readouterr()
        return status, captured.err or captured.out

    convert.read = lambda out="out.h5": schema.read(tmp_path / out)
    return convert


def wide(first, steps, zone=None):
    """A wide file with a reading every five minutes from ``first`` UTC, naive on a clock."""
    utc = np.datetime64(first, "s") + np.arange(steps) * FIVE
    local = utc if zone is None else to_local(utc, zone)
    rows = [f"{time},{50 + 0.1 * i:.1f}" for i, time in enumerate(local)]
    return "\n".join(["time,101", *rows]) + "\n", utc


@pytest.mark.skipif(not CASE.is_dir(), reason=f"the case is not beside the repository ({CASE})")
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("utc.csv", "2024-10-26T22:00:00+02:00", "2024-10-27T04:55:00+01:00"),
        ("offset.csv", "2024-10-26T22:00:00+02:00", "2024-10-27T04:55:00+01:00"),
        ("utc_spring.csv", "2024-03-30T21:00:00+01:00", "2024-03-31T05:55:00+02:00"),
    ],
)
def test_the_case_keeps_all_96_readings(tmp_path, capsys, name, first, last):
    """../shared/cases/utc-autumn"""
    out = tmp_path / "out.h5"
    args = ["--wide", f"speed={CASE / name}", "--detectors", str(CASE / "detectors.csv")]
    assert main(["convert", "csv", str(out), *args, "--timezone", ZONE]) == 0
    assert "gaps in time  none" in capsys.readouterr().out
    series = schema.read(out)
    assert series.values.shape == (96, 3, 1)
    np.testing.assert_allclose(series.values[:, 0, 0], 50 + np.arange(96) / 12, atol=6e-4)
    assert (np.diff(series.timestamps) == FIVE).all()
    assert str(series.timestamps[0])[11:] == "20:00:00"
    assert series.timezone == ZONE
    found = inspect_file(out)
    assert (found["start"], found["end"]) == (first, last)
    assert found["missing"] == {"speed": 0}
    with h5py.File(out) as file:
        assert file["metadata/timestamps"].asstr()[0].endswith("T20:00:00Z")


def test_the_hour_that_comes_twice_is_told_by_its_order(convert):
    text, utc = wide("2024-10-26T22:00", 72, ZONE)
    assert convert(text, "--timezone", ZONE)[0] == 0
    assert (convert.read().timestamps == utc).all()
    np.testing.assert_allclose(convert.read().values[:, 0, 0], 50 + 0.1 * np.arange(72), atol=1e-4)


@pytest.mark.parametrize(("how", "gap"), [("first", "+01:00"), ("second", "+02:00")])
def test_the_advice_for_an_hour_that_is_there_once_is_right(convert, how, gap):
    lines = wide("2024-10-26T22:00", 72, ZONE)[0].splitlines()
    once = "\n".join({line.split(",")[0]: line for line in lines}.values()) + "\n"
    status, error = convert(once, "--timezone", ZONE)
    assert status == 2
    assert "12 times from 2024-10-27T02:00:00" in error
    assert f"({ZONE}" not in error
    assert "--on-conflict" not in error
    (option,) = re.findall(r"(--\S+), repeated_hour=\) to first or second", error)
    status, report = convert(once, "--timezone", ZONE, option, how)
    assert status == 0
    assert f"12 steps, 2024-10-27T02:00:00{gap} to 2024-10-27T02:55:00{gap}" in report
    assert np.isfinite(convert.read().values).sum() == 60


def test_advice_to_leave_the_choice_out_is_right(convert):
    text, utc = wide("2024-10-26T22:00", 72, ZONE)
    status, error = convert(text, "--timezone", ZONE, "--repeated-hour", "first")
    assert status == 2
    assert "Leave it out" in error
    assert "--on-conflict" not in error
    assert convert(text, "--timezone", ZONE)[0] == 0
    assert (convert.read().timestamps == utc).all()


@pytest.mark.parametrize(
    ("zone", "first", "offset"),
    [(ZONE, "2024-03-30T22:00", 1), ("America/Los_Angeles", "2024-03-10T06:00", -8)],
)
def test_the_advice_for_a_clock_that_is_never_changed_is_right(convert, zone, first, offset):
    text, _ = wide(np.datetime64(first) + np.timedelta64(offset, "h"), 72)
    status, error = convert(text, "--timezone", zone)
    assert status == 2
    assert "12 times with readings" in error
    (fixed,) = re.findall(r"'(Etc/GMT[^']+)'", error)
    assert convert(text, "--timezone", fixed)[0] == 0
    series = convert.read()
    assert (series.timestamps == np.datetime64(first, "s") + np.arange(72) * FIVE).all()
    assert np.isfinite(series.values).all()


def test_rows_without_readings_in_the_absent_hour_vanish_and_are_told(convert):
    text, _ = wide("2024-03-30T22:00", 72)
    text = re.sub(r"(2024-03-31T02:\d\d:\d\d),.*", r"\1,", text)
    status, report = convert(text, "--timezone", ZONE)
    assert status == 0
    assert "12 rows without a reading dropped, 2024-03-31T02:00:00 to 2024-03-31T02:55:00" in report
    assert "gaps in time  none" in report
    assert len(convert.read().timestamps) == 60


def test_the_whole_of_metr_la_loses_the_hour_that_never_was(tmp_path, write_frame, write_file):
    """Its 34272 rows are a regular local axis, with zeros in the hour left out on 2012-03-11."""
    local = np.datetime64("2012-03-01", "ns") + np.arange(34272) * FIVE
    values = np.full((34272, 2), 60.0)
    hour = slice(10 * 288 + 24, 10 * 288 + 36)
    values[hour] = 0
    raw = write_frame(tmp_path / "m.h5", "df", local.astype(np.int64), ["7", "8"], values)
    table, out = write_file("d.csv", "7,34.1,-118.1\n8,34.2,-118.2\n"), tmp_path / "out.h5"
    assert main(["convert", "metr-la", str(raw), str(out), "--locations", str(table)]) == 0
    series = schema.read(out)
    assert series.values.shape == (34260, 2, 1)
    assert np.isfinite(series.values).all()
    assert (np.diff(series.timestamps) == FIVE).all()
    kept = np.delete(local.astype("datetime64[s]"), hour)
    assert (to_local(series.timestamps, "America/Los_Angeles") == kept).all()


def test_times_with_an_offset_do_not_depend_on_the_timezone(convert):
    text = "time,101\n2024-01-01T00:00+05:00,1\n2024-01-01T00:05+05:00,2\n"
    for options, zone in (((), "UTC"), (("--timezone", ZONE), ZONE)):
        status, report = convert(text, *options)
        assert status == 0
        assert "2 rows by their offset" in report
        assert str(convert.read().timestamps[0]) == "2023-12-31T19:00:00"
        assert convert.read().timezone == zone


def test_times_are_taken_as_utc_without_a_zone_and_that_is_told(convert):
    text, utc = wide("2024-03-30T22:00", 72)
    status, report = convert(text)
    assert status == 0
    assert "72 rows without offset, taken as UTC since --timezone is not set" in report
    assert (convert.read().timestamps == utc).all()
    assert convert.read().timezone == "UTC"


def test_a_zone_that_does_not_exist_is_refused_before_any_file_is_read(convert, tmp_path):
    status, error = convert(tmp_path / "nowhere.csv", "--timezone", "Taipei")
    assert status == 2
    assert "'Taipei'" in error


def test_seconds_since_1970_are_read_from_a_time_column(convert):
    assert convert("time,101\n1704067200,1\n1704067500,2\n", "--timezone", ZONE)[0] == 0
    assert str(convert.read().timestamps[0]) == "2024-01-01T00:00:00"


def test_the_start_of_a_file_without_times_is_on_the_local_clock(tmp_path, write_file, capsys):
    raw, table = write_file("a.csv", "7\n1\n2\n"), write_file("d.csv", "7,34.1,-118.1\n")
    args = ["convert", "metr-la", str(raw), str(tmp_path / "o.h5"), "--locations", str(table)]
    assert main([*args, "--start", "2012-11-04T01:30:00"]) == 2
    assert "--repeated-hour" in capsys.readouterr().err
    assert main([*args, "--start", "2012-11-04T01:30:00", "--repeated-hour", "second"]) == 0
    assert str(schema.read(tmp_path / "o.h5").timestamps[0]) == "2012-11-04T09:30:00"


def test_a_long_file_with_mixed_detectors_is_told_by_the_order_of_each(tmp_path, write_file):
    utc = np.datetime64("2024-10-27T00:00", "s") + np.arange(24) * FIVE
    rows = [f"{vd},{t},{i}" for vd in ("101", "102") for i, t in enumerate(to_local(utc, ZONE))]
    path = write_file("long.csv", "\n".join(["id,t,v", *rows]) + "\n")
    table, out = (
        write_file("d.csv", "id,lat,lon\n101,55.6,12.5\n102,55.7,12.5\n"),
        tmp_path / "o.h5",
    )
    args = ["--long", str(path), "--id-column", "id", "--time-column", "t", "--features", "v=speed"]
    args += ["--detectors", str(table), "--timezone", ZONE]
    assert main(["convert", "csv", str(out), *args]) == 0
    series = schema.read(out)
    assert (series.timestamps == utc).all()
    assert (series.values[..., 0] == np.arange(24)[:, None]).all()


def test_road_distances_are_put_into_the_file(convert, write_file):
    roads = write_file("roads.csv", "from,to,km\n101,102,1.3\n102,101,1.2\n")
    text = "time,102,101\n2024-01-01T00:00Z,1,2\n2024-01-01T00:05Z,1,2\n"
    status, error = convert(text, "--edges", str(roads))
    assert status == 2
    (option,) = re.findall(r"(--\S+) \(1000 for kilometres", error)
    status, report = convert(text, "--edges", str(roads), option, "1000")
    assert status == 0
    assert "2 ways: shortest 1200 m, median 1250 m, longest 1300 m" in report
    assert convert.read().edges.edge_index.tolist() == [[0, 1], [1, 0]]
    assert convert.read().edges.distance.tolist() == [1200, 1300]


def test_a_matrix_and_indices_are_read_as_told(convert, write_file):
    text = "time,1,0\n2024-01-01T00:00Z,1,2\n2024-01-01T00:05Z,1,2\n"
    matrix = write_file("matrix.csv", ",0,1\n0,0,1200\n1,1300,0\n")
    status, error = convert(text, "--edges", str(matrix))
    assert status == 2
    assert "'keys' is the option --edge-keys" in error
    for keys, rows, expected in (
        ("index", "from", [1200, 1300]),
        ("index", "to", [1300, 1200]),
        ("vdid", "from", [1300, 1200]),
    ):
        options = ["--edge-keys", keys, "--edge-rows", rows]
        assert convert(text, "--edges", str(matrix), *options)[0] == 0
        assert convert.read().edges.edge_index.tolist() == [[0, 1], [1, 0]]
        assert convert.read().edges.distance.tolist() == expected


@pytest.mark.parametrize(
    ("zone", "every", "interval"),
    [
        ("Asia/Kolkata", 60, "2h"),
        ("Australia/Adelaide", 60, "3h"),
        ("Asia/Kathmandu", 30, "1h"),
        ("Asia/Kathmandu", 5, "15min"),
    ],
)
def test_steps_of_a_zone_beside_the_hour_begin_with_their_first_reading(
    convert, zone, every, interval
):
    times = np.datetime64("2024-01-01T00:00", "m") + np.arange(48) * every
    text = "time,101\n" + "".join(f"{time},{n}\n" for n, time in enumerate(times))
    assert convert(text, "--timezone", zone, "--interval", interval)[0] == 0
    series = convert.read()
    assert str(to_local(series.timestamps[:1], zone)[0]) == "2024-01-01T00:00:00"
    ratio = int(series.interval_minutes // every)
    assert series.values[:, 0, 0].tolist() == np.arange(48).reshape(-1, ratio).mean(1).tolist()


def test_readings_on_the_hour_of_utc_keep_the_steps_of_a_clock_beside_it(convert):
    text = "time,101\n" + "".join(f"2024-01-01T{hour:02}:00Z,{hour}\n" for hour in range(18, 24))
    assert convert(text, "--timezone", "Asia/Kolkata", "--interval", "2h")[0] == 0
    series = convert.read()
    assert str(to_local(series.timestamps[:1], "Asia/Kolkata")[0]) == "2024-01-01T22:00:00"
    assert series.values[:, 0, 0].tolist() == [18, 19.5, 21.5, 23]


def days(offsets=False):
    """A reading at each midnight of Berlin, from February to May 2024."""
    dates = np.arange(np.datetime64("2024-02-01"), np.datetime64("2024-06-01"))
    behind = ["T00:00+01:00" if d < np.datetime64("2024-04-01") else "T00:00+02:00" for d in dates]
    rows = [
        f"{date}{text if offsets else ''},{n}"
        for n, (date, text) in enumerate(zip(dates, behind, strict=True))
    ]
    return "\n".join(["time,101", *rows]) + "\n"


@pytest.mark.parametrize("words", [[], ["--interval", "24h"]])
def test_days_on_a_clock_that_changes_name_one_that_does_not(convert, words):
    status, error = convert(days(), "--timezone", "Europe/Berlin", *words)
    assert status == 2
    assert "of which some have 23 or 25 hours" in error
    zone = re.search(r"Set --timezone (\S+),", error)[1]
    assert zone == "Etc/GMT-1"
    assert convert(days(), "--timezone", zone, *words)[0] == 0
    series = convert.read()
    assert series.values[:, 0, 0].tolist() == [*range(121)]
    assert str(to_local(series.timestamps, zone)[-1]) == "2024-05-31T00:00:00"


def test_days_with_offsets_are_told_to_be_written_without(convert):
    status, error = convert(days(offsets=True), "--timezone", "Europe/Berlin")
    assert status == 2
    assert "Write the dates without offsets, and set --timezone Etc/GMT-1" in error


def test_days_of_a_longer_interval_that_begin_at_another_hour_are_told(convert):
    utc = np.datetime64("2024-03-29T23:00", "h") + np.arange(4 * 24)
    text = "\n".join(["time,101", *(f"{t}:00Z,{n}" for n, t in enumerate(utc))]) + "\n"
    words = ["--timezone", "Europe/Berlin", "--interval"]
    status, report = convert(text, *words, "24h")
    assert status == 0
    assert "steps begin at other times of the day from 2024-04-01T01:00:00+02:00 on" in report
    assert "other times of the day" not in convert(text, *words, "1h")[1]
    assert (
        "other times of the day"
        not in convert(text, "--timezone", "Etc/GMT-1", "--interval", "24h")[1]
    )


def test_a_folder_is_told_from_a_file_that_is_not_there(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 2
    assert f"'{tmp_path}' is a folder. Name one of its files." in capsys.readouterr().err


def test_options_beside_random_networks_are_named_as_they_are_typed(tmp_path, capsys):
    words = ["--random-networks", "2", "--days", "3", "--detectors", "5"]
    assert main(["simulate", str(tmp_path / "f"), *words]) == 2
    assert "Expected no --detectors, --days beside" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("day", ["2024-03-31", "2024-10-27"])
@pytest.mark.parametrize("piece", [9, 10**6])
def test_labels_at_the_end_are_of_either_clock(convert, monkeypatch, day, shown, minutes, piece):
    """What the clock shows at the end, 03:00 in spring; or its start and the length, 02:00."""
    monkeypatch.setattr("data_prep.tables._PIECE_CELLS", piece)
    zone, length = ZoneInfo("Europe/Berlin"), timedelta(minutes=minutes)
    first = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=6)
    starts = [first + step * length for step in range(720 // minutes)]
    local = [
        (time + length).astimezone(zone) if shown else time.astimezone(zone) + length
        for time in starts
    ]
    rows = [f"{time:%Y-%m-%d %H:%M},{n}" for n, time in enumerate(local)]
    text = "\n".join(["time,101", *rows]) + "\n"
    words = ("--timezone", "Europe/Berlin", "--label-end", f"{minutes}min")
    status, said = convert(text, *words)
    assert status == 0, said
    series = convert.read()
    assert series.values[:, 0, 0].tolist() == [*range(len(starts))]
    assert str(series.timestamps[0]) == f"{first:%Y-%m-%dT%H:%M:%S}"


@pytest.mark.parametrize(
    ("how", "hours"), [("first", [22, 23, 24, 26]), ("second", [22, 23, 25, 26])]
)
def test_of_labels_at_the_end_the_hour_of_the_readings_is_chosen(convert, how, hours):
    rows = [f"2024-10-27 {hour:02}:00,{hour}" for hour in (1, 2, 3, 4)]
    text = "\n".join(["time,101", *rows]) + "\n"
    words = ("--timezone", ZONE, "--label-end", "1h")
    assert convert(text, *words)[0] == 2
    assert convert(text, *words, "--repeated-hour", how)[0] == 0
    series = convert.read()
    known = series.timestamps[np.isfinite(series.values[:, 0, 0])]
    assert (known == np.datetime64("2024-10-26T00", "s") + np.array(hours, "timedelta64[h]")).all()
