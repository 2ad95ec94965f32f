import numpy as np
import pytest

from tests.data_prep.conftest import case

NAN = np.nan
HEAD = "day,interval,detid,flow,occ,error,city,speed\n"
TABLE = (
    "detid,lanes,citycode,long,lat\n"
    "1,2,augsburg,10.89,48.36\n1,1,constance,9.17,47.66\n2,1,constance,9.18,47.67\n"
)


@pytest.fixture
def files(write_file):
    rows = ["2017-05-06,300,1,12,0.1,0,constance,", "2017-05-06,0,1,10,0.2,,constance,"]
    rows += ["2017-05-06,0,2,20,0.3,1,constance,", "2017-05-06,0,1,99,0.3,0,augsburg,50"]
    return write_file("utd19.csv", HEAD + "\n".join(rows) + "\n"), write_file("d.csv", TABLE)


def test_the_rows_and_detectors_of_a_city_are_taken(files, run):
    path, table = files
    words = ["--detectors", table, "--city", "constance", "--timezone", "Europe/Berlin"]
    series, _ = run("utd19", path, *words, "--features", "flow", "occupancy")
    assert series.vdids == ["1", "2"]
    np.testing.assert_array_equal(series.values[..., 0], [[10, NAN], [12, NAN]])  # 2 is in error
    np.testing.assert_allclose(series.values[:, 0, 1], [0.2, 0.1], rtol=1e-6)
    assert series.lat.tolist() == [47.66, 47.67]
    assert series.units == ["veh/h", "1"]
    assert str(series.timestamps[0]) == "2017-05-05T22:00:00"


def test_a_city_has_to_be_chosen_among_several(files, write_file, run):
    path, _ = files
    table = write_file("one.csv", "detid,long,lat\n1,9.17,47.66\n2,9.18,47.67\n")
    assert "['augsburg', 'constance']. Set --city" in run("utd19", path, "--detectors", table)[1]


def test_a_city_without_rows_or_detectors_is_named(files, run):
    path, table = files
    _, said = run("utd19", path, "--detectors", table, "--city", "paris")
    assert "no city 'paris'; it has ['augsburg', 'constance']" in said


def test_the_case_has_its_96_steps(run):
    """../shared/cases/date-and-seconds"""
    folder = case("date-and-seconds")
    series, _ = run("utd19", folder / "readings.csv", "--detectors", folder / "detectors.csv")
    assert series.values.shape == (96, 3, 3)
    assert series.interval_minutes == 30
    assert str(series.timestamps[0]) == "2017-05-06T00:00:00"
    seconds = np.arange(96) * 1800
    expected = 100 + (seconds % 86400) // 864
    np.testing.assert_array_equal(series.values[..., 0], np.repeat(expected[:, None], 3, axis=1))


@pytest.mark.slow
def test_the_wide_form_of_constance_equals_its_table(shared, run):
    """Its times jitter by seconds, and it has a column of days."""
    import pandas as pd

    folder = shared("original/utd19_constance")
    files = {"flow": "flow", "occupancy": "occ", "speed": "speed"}
    words = [f"{name}={folder / f'constance_{file}.csv'}" for name, file in files.items()]
    words += ["--drop", "day", "--round", "5min", "--timezone", "Europe/Berlin", "--unit"]
    words += ["flow=veh/h", "speed=km/h", "--detectors", folder / "sensors.csv"]
    words += ["--edges", folder / "road_metres.csv"]
    series, _ = run("csv", "--wide", *words)
    for index, file in enumerate(files.values()):
        table = pd.read_csv(folder / f"constance_{file}.csv", index_col=0).drop(columns="day")
        np.testing.assert_array_equal(series.values[..., index], table.to_numpy(np.float32))
        assert series.vdids == list(table.columns)
    assert series.values.shape == (2016, 122, 3)
    assert len(series.edges.distance) > 10_000
