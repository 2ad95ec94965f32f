"""What 'inspect' finds wrong with readings, planted one by one; 'clean'; the page."""

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.days import read_days
from data_prep.inspect_file import inspect_file
from data_prep.marks import REASONS, mark_day
from data_prep.outliers import ValueCounts, describe_range
from data_prep.page import write_page
from data_prep.simulate import simulate
from socialgraph import schema
from socialgraph.calendar import to_local
from socialgraph.series import TrafficSeries

NAN = np.nan
FIVE = np.timedelta64(300, "s")
NAMES = ["speed", "flow", "occupancy"]


def day(steps=288, nodes=3, seed=0):
    """Speed, flow and occupancy of a day that nothing is wrong with."""
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * np.arange(steps) / 288)[:, None, None]
    mean, swing = np.array([60, 400, 12]), np.array([10, 380, 2])
    noise = rng.normal(0, 1, (steps, nodes, 3)) * np.array([1, 3, 0.2])
    return (mean + wave * swing + noise).astype(np.float32)


def marked(values, names=NAMES, far=None):
    spans = {"speed": 25.0, "flow": 770.0, "occupancy": 5.0}
    marks = mark_day(values, names, far or {}, spans)
    return {reason: np.argwhere(mark).tolist() for reason, mark in marks.items() if mark.any()}


def test_nothing_is_marked_in_a_plain_day():
    assert marked(day()) == {}


def test_a_lone_spike_is_marked_and_a_step_or_a_jam_is_not():
    values = day()
    values[100, 1, 0] = 160
    assert marked(values) == {"spike": [[100, 1, 0]]}
    values[101, 1, 0] = 160
    assert marked(values) == {}
    values = day()
    values[100:, 1, 0] += 100
    assert marked(values) == {}


def test_a_value_that_stays_for_a_day_is_stuck_and_0_or_a_gap_is_not():
    values = day()
    values[:, 2, 0] = 55
    values[:, 1, 0] = NAN
    values[:200, 2, 0] = NAN
    assert marked(values) == {}  # less than half of the day
    values[100:200, 2, 0] = 55
    assert len(marked(values)["stuck"]) == 188
    values[:, 2] = 0
    assert "stuck" not in marked(values)


def test_what_contradicts_itself_is_marked():
    values = day()
    values[5, 0] = [50, 0, 3]
    values[6, 0] = [0, 0, 0]
    values[7, 0] = [0, 400, 12]
    assert marked(values) == {
        "occupied without flow": [[5, 0, 2]],
        "speed without flow": [[5, 0, 0]],
        "speed 0 without flow": [[6, 0, 0]],
        "flow at speed 0": [[7, 0, 0]],
    }


def test_codes_and_negative_readings_are_marked_once():
    values = day()
    values[3, 1, 0], values[4, 1, 0] = -99, -3
    assert marked(values, far={"speed": [(-99.0, -99.0)]}) == {
        "far outside": [[3, 1, 0]],
        "negative": [[4, 1, 0]],
    }


def write(path, values, **options):
    steps, nodes, channels = values.shape
    series = TrafficSeries(
        values.astype(np.float32),
        np.datetime64("2024-01-01T00:00:00", "s") + np.arange(steps) * np.timedelta64(300, "s"),
        [f"VD-{i}" for i in range(nodes)],
        NAMES[:channels],
        25.0 + 0.003 * np.arange(nodes),
        np.full(nodes, 121.5),
        interval_minutes=5.0,
        **options,
    )
    schema.write(path, series)
    return series


def test_a_file_is_read_day_by_day_of_its_clock(tmp_path):
    values = np.arange(1000.0).reshape(1000, 1, 1)
    series = write(tmp_path / "a.h5", values, timezone="Asia/Taipei")
    found = list(read_days(tmp_path / "a.h5", schema.read_outline(tmp_path / "a.h5")))
    np.testing.assert_array_equal(np.concatenate([v for *_, v in found]), values)
    for date, start, part in found:
        local = to_local(series.timestamps[start : start + len(part)], "Asia/Taipei")
        assert (local.astype("datetime64[D]") == date).all()
    assert len(found) == 4


def test_distinct_readings_are_counted_as_by_numpy(monkeypatch):
    monkeypatch.setattr("data_prep.outliers._HELD", 50)
    rng = np.random.default_rng(0)
    readings = rng.integers(0, 30, (40, 7)).astype(np.float32)
    readings[rng.random(readings.shape) < 0.2] = NAN
    counts = ValueCounts()
    for part in readings:
        counts.add(part)
    known = readings[~np.isnan(readings)]
    for ours, theirs in zip(counts.result(), np.unique(known, return_counts=True), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    span = describe_range(*counts.result())
    assert span["median"] == np.sort(known)[round(0.5 * (len(known) - 1))]
    assert (span["minimum"], span["maximum"]) == (known.min(), known.max())


def test_silent_days_are_counted_by_day(tmp_path):
    values = day(288 * 3)
    values[288:576, 0] = NAN
    values[288:576, 2] = NAN
    write(tmp_path / "a.h5", values)
    found = inspect_file(tmp_path / "a.h5")
    assert found["silent_days"] == {"2024-01-02": 2}
    assert found["detectors"][0]["silent_days"] == 1


def test_marks_name_where_and_when(tmp_path):
    values = day(288 * 3)
    values[300, 1, 0] = 95
    values[288:576, 2, 2] = 7
    write(tmp_path / "a.h5", values)
    marks = {entry["reason"]: entry for entry in inspect_file(tmp_path / "a.h5")["marks"]}
    assert set(marks) == {"spike", "stuck"}
    assert marks["spike"]["first"] == {
        "value": 95,
        "vdid": "VD-1",
        "time": "2024-01-02T01:00:00+00:00",
    }
    assert (marks["stuck"]["count"], marks["stuck"]["days"]) == (288, 1)
    assert marks["stuck"]["detectors"] == ["VD-2"]


def test_copies_are_found_by_their_readings(tmp_path):
    values = day(600, 5)
    values[:, 3] = values[:, 1]
    values[4, 3] = values[4, 1] = NAN
    write(tmp_path / "a.h5", values)
    assert inspect_file(tmp_path / "a.h5")["copies"] == [["VD-1", "VD-3"]]
    values[599, 3, 1] += 1
    write(tmp_path / "a.h5", values)
    assert inspect_file(tmp_path / "a.h5")["copies"] == []


@pytest.fixture(scope="module")
def month():
    return simulate(12, days=28, seed=3)


@pytest.mark.slow
def test_a_clock_that_was_changed_is_told(tmp_path, month):
    values = month.values.copy()
    schema.write(tmp_path / "a.h5", month)
    assert inspect_file(tmp_path / "a.h5")["clock_changes"] == []
    half = len(values) // 2 // 288 * 288
    values[half:] = np.roll(values[half:], 12, axis=0)
    schema.write(tmp_path / "a.h5", replace(month, values=values))
    (change,) = inspect_file(tmp_path / "a.h5")["clock_changes"]
    assert abs(change["minutes"] - 60) <= 10
    days = np.datetime64(change["day"]) - np.datetime64("2024-01-15")
    assert abs(days.astype(int)) <= 1


def test_a_detector_whose_day_is_that_of_another_place_is_told(tmp_path):
    """Two towns with opposite days; one detector of the second stands in the first."""
    steps = np.arange(288 * 5)
    wave = np.sin(2 * np.pi * steps / 288)
    rng = np.random.default_rng(0)
    towns = np.stack([60 + 20 * wave] * 8 + [60 - 20 * wave] * 8, axis=1)
    towns[:, 3] = 60 - 20 * wave
    values = (towns + rng.normal(0, 1, towns.shape))[..., None].astype(np.float32)
    series = write(tmp_path / "a.h5", values)
    series.lat[:] = np.append(25.0 + 0.001 * np.arange(8), 25.5 + 0.001 * np.arange(8))
    schema.write(tmp_path / "a.h5", series)
    (found,) = inspect_file(tmp_path / "a.h5")["resemblances"]
    assert found["vdid"] == "VD-3"
    assert int(found["other"].split("-")[1]) >= 8
    assert found["metres"] == pytest.approx(55_000, rel=0.05)


def spoilt(tmp_path):
    values = day(288 * 2)
    values[300, 1, 0], values[5, 0, 1], values[10, 2, 0] = 95, 0, 65535
    series = write(tmp_path / "a.h5", values, missing="as it came")
    return series, tmp_path / "a.h5"


def test_clean_masks_what_the_report_names_and_says_which_and_why(tmp_path, capsys):
    series, path = spoilt(tmp_path)
    before = path.read_bytes()
    out = tmp_path / "b.h5"
    found = inspect_file(path)
    named = sum(entry["count"] for entry in found["marks"] + found["outliers"])
    assert main(["clean", str(path), str(out)]) == 0
    assert path.read_bytes() == before
    cleaned = schema.read(out)
    with open(tmp_path / "b.masked.csv") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == named == np.isnan(cleaned.values).sum()
    assert {row["reason"] for row in rows} == {
        "spike",
        "far outside",
        "occupied without flow",
        "speed without flow",
    }
    for row in rows:
        step = int((np.datetime64(row["time"][:19]) - series.timestamps[0]) // FIVE)
        place = step, series.vdids.index(row["detector"]), NAMES.index(row["feature"])
        assert np.float32(row["value"]) == series.values[place]
        assert np.isnan(cleaned.values[place])
    kept = ~np.isnan(cleaned.values)
    np.testing.assert_array_equal(cleaned.values[kept], series.values[kept])
    assert cleaned.missing.startswith("as it came; masked by data_prep clean: far outside")
    assert not inspect_file(out)["marks"]
    assert "spike" in capsys.readouterr().out


def test_no_output_takes_the_place_of_what_is_read_or_kept(tmp_path, capsys):
    _, path = spoilt(tmp_path)
    before, out = path.read_bytes(), tmp_path / "b.h5"
    for words in (
        ["clean", path, path, "--overwrite"],
        ["clean", path, out, "--account", path, "--overwrite"],
        ["clean", path, out, "--account", out, "--overwrite"],
        ["inspect", path, "--html", path],
    ):
        assert main([str(word) for word in words]) == 2
        assert "would be replaced. Name another file." in capsys.readouterr().err
    (tmp_path / "b.masked.csv").write_text("notes")
    assert main(["clean", str(path), str(out)]) == 2
    assert "b.masked.csv' exists. Set --overwrite" in capsys.readouterr().err
    assert (tmp_path / "b.masked.csv").read_text() == "notes"
    assert path.read_bytes() == before
    assert not out.exists()
    for name in ("x.v1", "x.v2"):  # each with an account of its own
        assert main(["clean", str(path), str(tmp_path / name)]) == 0
        assert (tmp_path / f"{name}.masked.csv").exists()


def test_clean_takes_the_reasons_that_are_named_alone(tmp_path, capsys):
    _, path = spoilt(tmp_path)
    words = ["clean", str(path), str(tmp_path / "b.h5"), "--reasons", "spike"]
    assert main(words) == 0
    # The speed that was planted, and the flow of 0 between hundreds.
    assert np.isnan(schema.read(tmp_path / "b.h5").values).sum() == 2
    assert main([*words, "--overwrite", "--reasons", "ugly"]) == 2
    assert str(list(REASONS)) in capsys.readouterr().err
    assert main(["clean", str(path), str(path), "--overwrite"]) == 2
    assert main(words) == 2  # it exists


class _Checker(HTMLParser):
    """Counts tags, and requires that each is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.counts = [], {}

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta",):
            self.open.append(tag)
        assert not any(
            name.startswith("on") or "http" in str(v) for name, v in attrs if name != "xmlns"
        )

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_shows_every_detector(tmp_path, capsys):
    _, path = spoilt(tmp_path)
    page = tmp_path / "page.html"
    assert main(["inspect", str(path), "--html", str(page)]) == 0
    checker = _Checker()
    checker.feed(page.read_text())
    assert checker.open == []
    assert checker.counts["circle"] == 3
    assert "65535" in page.read_text()


def test_names_of_a_file_are_no_html(tmp_path):
    series, path = spoilt(tmp_path)
    series.vdids[1] = "<script>alert(1)<|script>"
    schema.write(path, replace(series, dataset_name="<b>&"))
    write_page(tmp_path / "page.html", inspect_file(path))
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert re.search(r"<h1>&lt;b&gt;&amp;</h1>", text)


def test_a_file_that_cannot_be_read_has_a_page_too(tmp_path):
    (tmp_path / "a.h5").write_text("no HDF5")
    assert main(["inspect", str(tmp_path / "a.h5"), "--html", str(tmp_path / "p.html")]) == 1
    assert "not an HDF5 file" in (tmp_path / "p.html").read_text()


def test_a_file_on_a_local_clock_is_inspected_as_before(tmp_path):
    """Its row in the hour that the clock leaves out has no reading, and is none."""
    series = write(tmp_path / "a.h5", day(288)[:, :, :1], timezone="Europe/Copenhagen")
    local = np.datetime64("2024-03-31T00:00") + np.arange(288) * np.timedelta64(5, "m")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["metadata/timestamps"]
        file["metadata/timestamps"] = np.datetime_as_string(local, unit="s").tolist()
        file["data/features"][24:36] = NAN
    found = inspect_file(tmp_path / "a.h5")
    assert found["problems"] == []
    assert (found["num_steps"], found["gaps"]["count"]) == (276, 0)
    assert found["missing"] == {"speed": 0}
    assert len(series.timestamps) == 288
