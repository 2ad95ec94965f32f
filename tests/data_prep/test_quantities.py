"""What a feature measures decides how readings come to a longer interval, and lanes together."""

import numpy as np
import pytest

from data_prep.quantities import kind_of_feature, parse_unit

PLACES = "id,lat,lon\na,25.0,121.5\n"


@pytest.fixture
def convert(run, write_file):
    """Convert twelve readings of 10, five minutes apart, to an hour."""

    def convert(name, *words):
        rows = [f"2024-01-01T00:{minute:02},10" for minute in range(0, 60, 5)]
        rows += [f"2024-01-01T01:{minute:02},10" for minute in range(0, 60, 5)]
        path = write_file("r.csv", "\n".join(["time,a", *rows]) + "\n")
        table = write_file("d.csv", PLACES)
        return run(
            "csv", "--wide", f"{name}={path}", "--detectors", table, "--interval", "1h", *words
        )

    return convert


@pytest.mark.parametrize(
    "name", ["flow", "Flow", "FLOW", "flow_total", "flow_trucks", "trucks", "intensity"]
)
def test_what_counts_or_is_a_rate_is_asked_for(convert, name):
    series, said = convert(name)
    assert series is None
    assert f"--rule {name}=sum if it counts vehicles" in said
    assert (convert(name, "--rule", f"{name}=sum")[0].values == 120).all()
    assert (convert(name, "--rule", f"{name}=mean")[0].values == 10).all()
    assert (convert(name, "--unit", f"{name}=veh/5min")[0].values == 120).all()
    assert (convert(name, "--unit", f"{name}=veh/h")[0].values == 10).all()


@pytest.mark.parametrize("name", ["q", "q_kfz_hr", "x", "rain"])
def test_what_is_unknown_is_asked_for(convert, name):
    series, said = convert(name)
    assert series is None
    assert f"--rule {name}=mean" in said
    assert (convert(name, "--rule", f"{name}=mean")[0].values == 10).all()


@pytest.mark.parametrize(("name", "value"), [("Volume", 120), ("COUNT", 120), ("Vehicles", 120)])
def test_names_of_counts_are_known_in_any_case(convert, name, value):
    assert (convert(name)[0].values == value).all()


@pytest.mark.parametrize("name", ["Speed", "avg_speed", "occ", "travel time", "Temperature"])
def test_states_are_averaged(convert, name):
    assert (convert(name)[0].values == 10).all()


@pytest.mark.parametrize("unit", ["veh/5min", "veh / 5 min", "veh/ 5min", "veh/5minutes"])
def test_the_unit_follows_a_sum_however_it_is_written(convert, unit):
    series, _ = convert("q", "--unit", f"q={unit}")
    assert (series.values == 120).all()
    assert series.units == ["veh/1h"]


@pytest.mark.parametrize("unit", ["veh/h", "veh/min", "vph"])
def test_rates_are_not_summed(convert, unit):
    series, said = convert("flow", "--unit", f"flow={unit}", "--rule", "flow=sum")
    assert series is None
    assert "their sum has no meaning" in said
    assert "--unit flow=veh/5min" in said
    series, _ = convert("flow", "--unit", f"flow={unit}", "--rule", "flow=mean")
    assert (series.values == 10).all()
    assert series.units == [unit]
    series, _ = convert("flow", "--unit", "flow=veh/5min", "--rule", "flow=sum")
    assert (series.values == 120).all()


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("q", "Kfz/h", "rate"),
        ("q", "veh", "count"),
        ("q", "%", "state"),
        ("flow", "km/h", "state"),
        ("k", "veh/km", "state"),
        ("x", "", "unknown"),
        ("x", "1", "state"),
        ("truck_share", "", "vehicles"),
    ],
)
def test_kinds_of_features(name, unit, kind):
    assert kind_of_feature(name, unit) == kind


def test_units_of_a_length_of_time():
    assert parse_unit("veh / 15 minutes") == ("veh", 900, False)
    assert parse_unit("veh/hrs") == ("veh", 3600, True)
    assert parse_unit("km") is None


@pytest.fixture
def join(run, write_file):
    """Convert the readings of two lanes, 10 and 30."""

    def join(*words):
        rows = [
            f"a,{lane},2024-01-01T00:0{m},{v},60" for m in (0, 5) for lane, v in ((1, 10), (2, 30))
        ]
        path = write_file("l.csv", "\n".join(["id,lane,t,x,v", *rows]) + "\n")
        long = ["--long", path, "--id-column", "id", "--time-column", "t", "--lane-column", "lane"]
        return run("csv", *long, "--detectors", write_file("d.csv", PLACES), "--features", *words)

    return join


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["x=flow"], 40),
        (["x=FLOW"], 40),
        (["x=q", "--unit", "q=veh/5min"], 40),
        (["x=q", "--unit", "q=veh/h"], 40),
        (["x=q", "--unit", "q=%"], 20),
        (["x=q", "--lane-rule", "q=sum"], 40),
        (["x=q", "--lane-rule", "q=mean"], 20),
        (["x=occupancy"], 20),
    ],
)
def test_lanes_are_joined_by_what_a_feature_measures(join, words, value):
    series, said = join(*words)
    assert (series.values == value).all()
    assert "lanes         2 lanes of 1 detectors joined: " in said


@pytest.mark.parametrize("name", ["q", "truck_share"])
def test_lanes_of_what_is_unknown_are_asked_for(join, name):
    series, said = join(f"x={name}")
    assert series is None
    assert f"--lane-rule {name}=mean" in said


def test_speeds_are_weighted_by_what_has_a_unit_of_vehicles(run, write_file):
    rows = [
        f"a,{lane},2024-01-01T00:0{m},{q},{v}"
        for m in (0, 5)
        for lane, q, v in ((1, 10, 80), (2, 30, 60))
    ]
    path = write_file("l.csv", "\n".join(["id,lane,t,q,v", *rows]) + "\n")
    words = ["--long", path, "--id-column", "id", "--time-column", "t", "--lane-column", "lane"]
    words += ["--features", "q=q", "v=speed", "--unit", "q=veh/5min"]
    series, said = run("csv", *words, "--detectors", write_file("d.csv", PLACES))
    np.testing.assert_array_equal(series.values[0, 0], [40, 65])
    assert "q sum, speed weighted (--lane-rule)" in said
