from itertools import pairwise

import numpy as np
import pytest

NAN = np.nan
QUARTERS = ",".join(f"V{n:02}" for n in range(96))
CLOCKS = ",".join(f"{n // 4:02}:{n % 4 * 15:02}" for n in range(96))
ZONE = ["--timezone", "Australia/Melbourne"]


def cells(start):
    return ",".join(str(start + n) for n in range(96))


def test_a_row_of_a_day_becomes_96_steps(write_file, run):
    head = f"NB_SCATS_SITE,QT_INTERVAL_COUNT,NB_DETECTOR,{QUARTERS},NM_REGION\n"
    rows = [f"100,2024-01-02,1,{cells(200)},GEE", f"100,2024-01-01,1,{cells(0)},GEE"]
    rows += [f"100,2024-01-01 00:00:00,2,{cells(400).replace('403', '-1')},GEE"]
    path = write_file("VSDATA.csv", head + "\n".join(rows) + "\n")
    table = write_file("d.csv", "id,lat,lon\n100-1,-37.8,144.9\n100-2,-37.8,144.9\n")
    series, _ = run("day-rows", path, "--detectors", table, *ZONE)
    assert series.vdids == ["100-1", "100-2"]
    assert series.interval_minutes == 15
    assert series.values[:, 0, 0].tolist() == [*range(96), *range(200, 296)]
    np.testing.assert_array_equal(series.values[:5, 1, 0], [400, 401, 402, NAN, 404])
    assert np.isnan(series.values[96:, 1]).all()
    assert str(series.timestamps[0]) == "2023-12-31T13:00:00"


def test_names_in_the_second_line_and_places_at_0_0(write_file, run):
    """As the files of October 2006, with which many papers work."""
    head = "Start Time" + "," * 9 + "," + ",".join(f"0:{n:02}" for n in range(95)) + ",\n"
    head = ",".join(["Start Time", *[""] * 4, *CLOCKS.split(",")]) + "\n"
    head += f"SCATS Number,Location,NB_LATITUDE,NB_LONGITUDE,Date,{QUARTERS}\n"
    rows = [f"970,WARRIGAL_RD N of HIGH,-37.86,145.09,1/10/2006,{cells(0)}"]
    rows += [f"970,WARRIGAL_RD N of HIGH,-37.86,145.09,31/10/2006,{cells(0)}"]
    rows += [f"4266,BURKE_RD,0,0,1/10/2006,{cells(5)}"]
    path = write_file("scats.csv", head + "\n".join(rows) + "\n")
    series, report = run("day-rows", path, "--time-format", "%d/%m/%Y", *ZONE)
    assert series.vdids == ["970-WARRIGAL_RD N of HIGH", "4266-BURKE_RD"]
    assert np.isnan(series.lat).tolist() == [False, True]
    assert "whose place is unknown: 4266-BURKE_RD" in report


def test_columns_may_be_called_by_their_time(write_file, run):
    path = write_file("a.csv", f"site,day,{CLOCKS}\na,2024-01-01,{cells(0)}\n")
    table = write_file("d.csv", "id,lat,lon\na,-37.8,144.9\n")
    words = ["--id-column", "site", "--day-column", "day", "--detectors", table]
    series, _ = run("day-rows", path, *words)
    assert series.values[:, 0, 0].tolist() == list(range(96))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("site,day,V00,V02", "without a gap (got 2)"),
        (f"site,day,{QUARTERS}", "Set --id-column"),
        (f"NB_SCATS_SITE,NB_DETECTOR,day,{QUARTERS}", "Set --day-column"),
    ],
)
def test_columns_that_do_not_fit_are_asked_for(write_file, run, head, words):
    count = head.count(",")
    path = write_file("a.csv", head + "\n" + "1" + ",1" * count + "\n")
    table = write_file("d.csv", "id,lat,lon\na,-37.8,144.9\n")
    assert words in run("day-rows", path, "--detectors", table)[1]


def test_days_with_a_time_are_refused(write_file, run):
    path = write_file("a.csv", f"site,day,{CLOCKS}\na,2024-01-01 07:00,{cells(0)}\n")
    table = write_file("d.csv", "id,lat,lon\na,-37.8,144.9\n")
    words = ["--id-column", "site", "--day-column", "day", "--detectors", table]
    assert "Expected days without a time" in run("day-rows", path, *words)[1]


@pytest.fixture
def read(write_file, run):
    """Convert a day of site a whose columns have these names, and the cells 100, 101 …"""

    def read(names):
        cells = ",".join(str(100 + n) for n in range(len(names)))
        path = write_file("a.csv", f"site,day,{','.join(names)}\na,2024-01-01,{cells}\n")
        table = write_file("d.csv", "id,lat,lon\na,-37.8,144.9\n")
        words = ["--id-column", "site", "--day-column", "day", "--detectors", table]
        return run("day-rows", path, *words)

    return read


HOURS = [f"{hour:02}:00" for hour in range(25)]


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ([*HOURS[1:24], "00:00"], 1),
        (HOURS[1:], 1),
        ([f"V{n:02}" for n in range(1, 25)], 0),
        ([f"hour_{n:02}" for n in range(24)], 0),
        ([f"H{n}" for n in range(1, 25)], 0),
        ([str(n) for n in range(24)], 0),
        ([f"{a}-{b}" for a, b in zip(HOURS[:-1], [*HOURS[1:24], "00:00"], strict=True)], 0),
        ([f"{a} - {a[:2]}:59" for a in HOURS[:-1]], 0),
    ],
)
def test_columns_of_hours_are_read_at_their_times(read, names, first):
    series, said = read(names)
    assert series is not None, said
    hours = np.timedelta64(3600, "s") * np.arange(first, first + 24)
    assert (series.timestamps == np.datetime64("2024-01-01T00:00:00") + hours).all()
    assert series.values[:, 0, 0].tolist() == list(range(100, 124))


def test_columns_in_any_order_are_sorted_by_their_time(read):
    names = sorted(f"{hour}:00" for hour in range(24))
    series, _ = read(names)
    assert series.values[:, 0, 0].tolist() == [
        100 + names.index(f"{hour}:00") for hour in range(24)
    ]


def test_a_day_that_begins_in_the_morning_is_asked_for(read):
    said = read([*HOURS[6:24], *HOURS[:6]])[1]
    assert "go from 06:00 to 23:00 and on from 00:00 to 05:00" in said
    assert "call them by their hours since midnight (24:00 …)" in said
    series, _ = read([*HOURS[6:], *(f"{hour}:00" for hour in range(25, 30))])
    assert str(series.timestamps[-1]) == "2024-01-02T05:00:00"
    assert series.values[:, 0, 0].tolist() == list(range(100, 124))
    assert "move them before the others" in said
    assert str(read(HOURS[:24])[0].timestamps[-1]) == "2024-01-01T23:00:00"


@pytest.mark.parametrize(
    "names",
    [
        HOURS,
        [*(f"{a}-{b}" for a, b in pairwise(HOURS[:-1])), "23:00-23:30"],
        [f"h{n}" for n in range(2, 26)],
        [f"{n}:30" for n in range(24)],
    ],
)
def test_columns_that_are_no_day_are_refused(read, names):
    said = read(names)[1]
    assert "Call them so" in said
    assert "without a gap" in said
