import re

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.inspect_file import inspect_file
from data_prep.outliers import find_far
from data_prep.simulate import simulate
from socialgraph import schema
from tests.conftest import NEEDS_SHARED, ROOT, SHARED

CASE = ROOT.parent / "shared" / "cases" / "one-bad-reading"


def readings(*more, size=2000):
    """Speeds of 40 to 70 with one decimal, and ``more``, ascending."""
    speed = np.random.default_rng(0).uniform(40, 70, size).round(1)
    return np.sort(np.concatenate([speed, more]).astype(np.float32))


def far(ordered):
    return find_far(*np.unique(ordered, return_counts=True))


def groups(ordered):
    return far(ordered)[0]


def test_nothing_is_far_outside_plain_readings():
    found, others = far(readings())
    assert found == []
    assert others == (40, 70)


def test_one_wrong_reading_is_found_at_either_end():
    assert groups(readings(65535)) == [(65535, 65535)]
    assert groups(readings(-9999)) == [(-9999, -9999)]


def test_wrong_readings_hide_neither_each_other_nor_those_at_the_other_end():
    assert groups(readings(65535, 65534)) == [(65534, 65535)]
    assert sorted(groups(readings(-9999, 65535))) == [(-9999, -9999), (65535, 65535)]


def test_a_repeated_number_is_found_whatever_its_share():
    for count in (10, 200, 1500):
        assert groups(readings(*[-99] * count)) == [(-99, -99)]
    assert sorted(groups(readings(*[-99] * 200, *[255] * 30))) == [(-99, -99), (255, 255)]


def test_several_numbers_that_are_not_few_are_no_outliers():
    assert groups(readings(*range(-99, -89))) == []
    assert groups(readings(*[-99] * 9)) == []


def test_a_gap_must_be_wide_against_the_spread():
    assert groups(readings(99)) == []  # a gap of 29 beside a spread of 30
    assert groups(readings(102)) == [(102, 102)]
    assert groups(readings(*[84] * 10)) == []
    assert groups(readings(*[86] * 10)) == [(86, 86)]


def test_levels_and_rare_events_are_not_judged():
    assert groups(np.sort(np.resize([50.0, 80.0, 120.0], 3000))) == []
    assert groups(np.sort(np.append(np.zeros(5000), [1, 1, 20]))) == []
    assert groups(np.sort(np.concatenate([np.zeros(50_000), np.arange(-1, 40)]))) == []


def test_heavy_tails_are_no_outliers():
    rng = np.random.default_rng(0)
    assert groups(np.sort(rng.exponential(size=100_000))) == []
    assert groups(np.sort(rng.poisson(1.5, 100_000).astype(np.float32))) == []


def test_few_readings_are_not_judged():
    assert groups(readings(*[-99] * 50_000, size=30)) == []
    assert groups(np.append(np.arange(98.0), 65535)) == []
    assert groups(np.append(np.arange(99.0), 65535)) == [(65535, 65535)]


def converted(tmp_path, name, *options):
    if not CASE.is_dir():
        pytest.skip(f"no case at '{CASE}'")
    out = str(tmp_path / "out.h5")
    args = ["--wide", f"speed={CASE / name}", "--detectors", str(CASE / "detectors.csv")]
    assert main(["convert", "csv", out, "--overwrite", *args, *options]) == 0
    return inspect_file(out)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "bad.csv",
            "1 readings of 'speed' (0.12%) are 65535, far outside the others (40.1 to 70), in "
            "detectors 102; first 65535 in 102 at 2024-01-02T08:20:00+08:00",
        ),
        (
            "coded.csv",
            "88 readings of 'speed' (10.19%) are -99, far outside the others (40 to 69.9), in "
            "detectors 101, 102, 103; first -99 in 102 at 2024-01-02T00:05:00+08:00",
        ),
    ],
)
def test_the_case_is_warned_of_and_its_advice_mends_it(tmp_path, name, words):
    zone = ["--timezone", "Asia/Taipei"]
    (warning,) = converted(tmp_path, name, *zone)["warnings"]
    assert words in warning
    advice = re.search(r"--null-value \S+(?=,)", warning).group().split()
    found = converted(tmp_path, name, *zone, *advice)
    assert found["warnings"] == []
    assert found["ranges"]["speed"]["maximum"] <= 70


def test_many_wrong_values_are_to_be_emptied_and_not_listed(tmp_path, series):
    series.values = np.random.default_rng(0).uniform(40, 70, (8000, 1, 1)).astype(np.float32)
    series.values[:7, 0, 0] = 60000 + np.arange(7)
    times = series.timestamps[0] + 300 * np.arange(8000)
    series = type(series)(series.values, times, ["a"], ["speed"], [24.0], [121.0])
    schema.write(tmp_path / "a.h5", series)
    (warning,) = inspect_file(tmp_path / "a.h5")["warnings"]
    assert "60000, 60001, 60002 and 4 more" in warning
    assert "empty their cells in the source" in warning
    assert "--null-value" not in warning


def test_simulated_traffic_has_no_outliers(tmp_path):
    schema.write(tmp_path / "s.h5", simulate(12, days=1))
    assert inspect_file(tmp_path / "s.h5")["outliers"] == []


@NEEDS_SHARED
@pytest.mark.slow
@pytest.mark.parametrize("name", ["metr_la_week1.h5", "aarhus_traffic_2014.h5"])
def test_real_series_have_no_outliers(name):
    with h5py.File(SHARED / "series" / name) as file:
        values = file["values"][()]
    for feature in np.moveaxis(values, -1, 0):
        assert groups(np.sort(feature[~np.isnan(feature)])) == []


@NEEDS_SHARED
@pytest.mark.parametrize("name", ["flow", "occ", "speed"])
def test_the_detectors_of_constance_have_no_outliers(name):
    path = SHARED / "original" / "utd19_constance" / f"constance_{name}.csv"
    values = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=np.float32)[:, 2:]
    assert groups(np.sort(values[~np.isnan(values)])) == []


def test_the_advice_is_for_the_feature_that_is_wrong(tmp_path, series, run):
    """A speed of 0 may mean missing where a flow of 0 is true."""
    random = np.random.default_rng(0)
    speed, flow = random.uniform(60, 70, 2000).round(1), random.integers(0, 9, 2000)
    speed[::100] = 0
    times = np.datetime64("2024-01-01T00:00:00") + np.arange(2000) * np.timedelta64(300, "s")
    rows = zip(times, speed, flow, strict=True)
    path = tmp_path / "a.csv"
    path.write_text("id,time,speed,flow\n" + "".join(f"a,{t},{s},{f}\n" for t, s, f in rows))
    (tmp_path / "d.csv").write_text("id,lat,lon\na,24,121\n")
    words = ["--long", path, "--id-column", "id", "--time-column", "time", "--features"]
    words += ["speed=speed", "flow=flow", "--detectors", tmp_path / "d.csv"]
    run("csv", *words)
    warning = next(w for w in inspect_file(tmp_path / "out.h5")["warnings"] if "far outside" in w)
    advice = re.search(r"--null-value \S+(?=,)", warning).group().split()
    assert advice == ["--null-value", "speed=0"]
    mended, _ = run("csv", *words, *advice)
    assert np.isnan(mended.values).sum(axis=(0, 1)).tolist() == [20, 0]
