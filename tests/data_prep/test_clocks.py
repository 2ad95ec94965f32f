"""Times of sources in UTC, on made files around the changes of several clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from data_prep import tables
from data_prep.clocks import Clocks, blocks_in_utc, report_clocks, round_blocks
from data_prep.feed import Block
from data_prep.formats.long import read_long
from data_prep.formats.wide import read_wide
from data_prep.report import Report
from data_prep.tables import TableFormat
from socialgraph.calendar import ClockError

CHANGES = {  # autumn and spring, UTC
    "Europe/Copenhagen": ("2024-10-27T01:00", "2024-03-31T01:00"),
    "America/Los_Angeles": ("2024-11-03T09:00", "2024-03-10T10:00"),
    "Australia/Adelaide": ("2024-04-06T16:30", "2024-10-05T16:30"),
    "Asia/Taipei": ("2024-10-27T01:00", "2024-03-31T01:00"),
}
FORMS = {
    "naive": lambda time, zone: time.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S"),
    "offset": lambda time, zone: time.astimezone(ZoneInfo(zone)).isoformat(),
    "Z": lambda time, _: time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "seconds": lambda time, _: str(int(time.timestamp())),
    "milliseconds": lambda time, _: str(int(time.timestamp()) * 1000),
}
LAYOUTS = ("wide", "long by time", "long by detector")


def around(change, steps=72):
    """Instants every five minutes, three hours before a change and three after it."""
    middle = datetime.fromisoformat(change).replace(tzinfo=UTC)
    return [middle + (step - steps // 2) * timedelta(minutes=5) for step in range(steps)]


def in_utc(feed, zone, repeated_hour="order"):
    """Times, ids and first readings of the rows of a feed, and what was told."""
    clocks = Clocks()
    blocks = list(blocks_in_utc(round_blocks(feed.blocks, None), zone, repeated_hour, clocks))
    times = np.concatenate([block.times for block in blocks])
    values = np.concatenate([block.values.reshape(len(block), -1)[:, 0] for block in blocks])
    codes = [range(len(b)) if b.codes is None else b.codes for b in blocks]
    ids = [b.vdids[c % len(b.vdids)] for b, cs in zip(blocks, codes, strict=True) for c in cs]
    return times, ids, values, clocks


def read(write_file, texts, layout, zone, repeated_hour="order", newest_first=False):
    """Times of the rows as read, and the step of the source that each stands for."""
    steps = range(len(texts))[:: -1 if newest_first else 1]
    table_format = TableFormat(time_column=("t",))
    if layout == "wide":
        rows = [f"{texts[i]},{i},{i}" for i in steps]
        path = write_file("w.csv", "\n".join(["t,a,b", *rows]) + "\n")
        times, _, values, _ = in_utc(read_wide({"v": [path]}, table_format), zone, repeated_hour)
        return times, values.astype(int)
    order = [(i, vd) for i in steps for vd in "ab"]
    if layout == "long by detector":
        order.sort(key=lambda pair: pair[1])
    rows = [f"{vd},{texts[i]},{i}" for i, vd in order]
    path = write_file("l.csv", "\n".join(["id,t,v", *rows]) + "\n")
    feed = read_long([path], "id", {"v": "speed"}, table_format)
    times, _, values, _ = in_utc(feed, zone, repeated_hour)
    return times, values.astype(int)


@pytest.mark.parametrize(
    ("zone", "layout", "cells"),
    [
        ("Europe/Copenhagen", "wide", 2**22),
        ("Australia/Adelaide", "wide", 40),
        ("Australia/Adelaide", "long by time", 2**22),
        ("America/Los_Angeles", "long by time", 40),
        ("America/Los_Angeles", "long by detector", 2**22),
        ("Europe/Copenhagen", "long by detector", 40),
        ("Asia/Taipei", "wide", 2**22),
    ],
)
def test_every_reading_keeps_its_instant(write_file, monkeypatch, zone, layout, cells):
    """Also if a table is read in pieces of some rows, which end within an hour."""
    monkeypatch.setattr(tables, "_PIECE_CELLS", cells)
    for change in CHANGES[zone]:
        instants = around(change)
        utc = np.array([time.replace(tzinfo=None) for time in instants], dtype="datetime64[s]")
        for form, write in FORMS.items():
            texts = [write(time, zone) for time in instants]
            times, steps = read(write_file, texts, layout, zone)
            assert len(times) == len(utc) * (1 if layout == "wide" else 2), form
            assert (times == utc[steps]).all(), (change, form)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("cells", "every"), [(2**22, 1), (40, 1), (40, 12)])
@pytest.mark.parametrize("part", [slice(None), slice(36, None), slice(None, 36)])
def test_a_table_that_is_newest_first_keeps_its_instants(
    write_file, monkeypatch, layout, cells, every, part
):
    """Also hourly, and if it begins or ends between the two passes of the hour, where the rows
    that are left do not tell of which pass they are."""
    monkeypatch.setattr(tables, "_PIECE_CELLS", cells)
    for zone in CHANGES:
        instants = around(CHANGES[zone][0])[part][::every]
        utc = np.array([time.replace(tzinfo=None) for time in instants], dtype="datetime64[s]")
        texts = [FORMS["naive"](time, zone) for time in instants]
        if part != slice(None) and zone != "Asia/Taipei":
            with pytest.raises(ClockError, match="does not tell which"):
                read(write_file, texts, layout, zone, newest_first=True)
            continue
        times, steps = read(write_file, texts, layout, zone, newest_first=True)
        assert len(times) == len(utc) * (1 if layout == "wide" else 2)
        assert (times == utc[steps]).all()


def test_the_made_files_cross_a_change_of_the_clock():
    for zone, changes in CHANGES.items():
        for change in changes:
            local = [FORMS["naive"](time, zone) for time in around(change)]
            steps = np.diff(np.array(local, dtype="datetime64[m]")).astype(int)
            assert (len(set(steps)) == 1) == (zone == "Asia/Taipei")


def test_files_with_and_without_offset_meet_on_one_axis(write_file):
    head = "id,t,v\n"
    naive = write_file("1.csv", head + "a,2024-01-01 08:00,1\n")
    known = write_file("2.csv", head + "a,2024-01-01T00:05Z,2\n")
    feed = read_long([naive, known], "id", {"v": "speed"}, TableFormat(time_column=("t",)))
    times, *_, clocks = in_utc(feed, "Asia/Taipei")
    assert times.astype(str).tolist() == ["2024-01-01T00:00:00", "2024-01-01T00:05:00"]
    assert (clocks.num_local, clocks.num_known) == (1, 1)


def once(zone="Europe/Copenhagen"):
    """Naive texts of a source that holds the hour that comes twice once."""
    return list(dict.fromkeys(FORMS["naive"](time, zone) for time in around(CHANGES[zone][0])))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_hour_that_is_there_once_needs_to_be_told_which_one_it_is(write_file, layout):
    zone, texts = "Europe/Copenhagen", once()
    with pytest.raises(ClockError, match=r"--repeated-hour") as error:
        read(write_file, texts, layout, zone)
    assert "--on-conflict" not in str(error.value)
    first, steps = read(write_file, texts, layout, zone, "first")
    hour = [i for i, text in enumerate(texts) if " 02:" in text]
    assert (first[np.isin(steps, hour)] < np.datetime64("2024-10-27T01:00:00")).all()
    second, steps = read(write_file, texts, layout, zone, "second")
    assert (second[np.isin(steps, hour)] >= np.datetime64("2024-10-27T01:00:00")).all()


def test_an_unresolved_hour_names_the_file(write_file):
    with pytest.raises(ClockError, match=r"w\.csv': 12 times from 2024-10-27T02:00:00 on"):
        read(write_file, once(), "wide", "Europe/Copenhagen")


@pytest.mark.parametrize(("layout", "how"), zip(LAYOUTS, ("first", "second", "first"), strict=True))
def test_a_choice_for_an_hour_that_is_there_twice_is_refused(write_file, layout, how):
    zone = "Europe/Copenhagen"
    texts = [FORMS["naive"](time, zone) for time in around(CHANGES[zone][0])]
    with pytest.raises(ClockError, match=rf"--repeated-hour {how} is for .* once. Leave it out"):
        read(write_file, texts, layout, zone, how)


def place(texts, values, zone="America/Los_Angeles"):
    times = np.array(texts, dtype="datetime64[s]")
    values = np.array(values, dtype=np.float32)[:, None]
    block = Block(times, ["a"], ("speed",), values[..., None], is_local=True)
    return place_block(block, zone)


def place_block(block, zone):
    clocks = Clocks()
    blocks = list(blocks_in_utc([block], zone, "order", clocks))
    times = np.concatenate([block.times for block in blocks])
    return times, np.concatenate([block.values for block in blocks]), clocks


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5])
def test_hours_that_are_newest_first_and_end_in_the_one_that_comes_twice(piece):
    times = np.array([f"2024-10-27T0{hour}" for hour in (5, 4, 3, 2, 2)], dtype="datetime64[s]")
    whole = Block(times, ["a"], ("x",), np.zeros((5, 1, 1)), None, True, "f.csv")
    blocks = [whole.rows(slice(at, at + piece)) for at in range(0, 5, piece)]
    placed = blocks_in_utc(blocks, "Europe/Berlin", "order", Clocks())
    hours = [str(time)[11:13] for block in placed for time in block.times]
    assert hours == ["04", "03", "02", "01", "00"]


def test_rows_of_the_absent_hour_without_a_reading_vanish():
    texts = ["2012-03-11T01:30", "2012-03-11T02:00", "2012-03-11T02:30", "2012-03-11T03:00"]
    utc, kept, clocks = place(texts, [1, np.nan, np.nan, 2])
    assert utc.astype(str).tolist() == ["2012-03-11T09:30:00", "2012-03-11T10:00:00"]
    assert kept.ravel().tolist() == [1, 2]
    report = Report()
    report_clocks(clocks, "America/Los_Angeles", report)
    assert "2 rows without a reading dropped, 2012-03-11T02:00:00 to 2012-03-11T02:30" in str(
        report
    )


def test_rows_of_a_long_file_vanish_with_their_detector_and_reading(write_file):
    rows = ["a,2012-03-11 01:30,1", "b,2012-03-11 02:30,", "b,2012-03-11 03:30,2"]
    path = write_file("l.csv", "\n".join(["id,t,v", *rows]) + "\n")
    feed = read_long([path], "id", {"v": "speed"}, TableFormat(time_column=("t",)))
    times, ids, values, _ = in_utc(feed, "America/Los_Angeles")
    assert times.astype(str).tolist() == ["2012-03-11T09:30:00", "2012-03-11T10:30:00"]
    assert ids == ["a", "b"]
    assert values.tolist() == [1, 2]


def test_missing_rows_of_other_hours_stay():
    _, kept, clocks = place(["2012-03-11T01:30", "2012-03-11T03:00"], [np.nan, np.nan])
    assert len(kept) == 2
    assert not clocks.absent


def test_one_reading_in_the_absent_hour_is_refused():
    with pytest.raises(ClockError, match=r"1 times with readings, from 2012-03-11T02:30.*GMT.8"):
        place(["2012-03-11T02:00", "2012-03-11T02:30"], [np.nan, 1])


def test_the_report_tells_what_times_were_taken_for():
    for zone, known, words, silent in [
        (None, 0, "5 rows without offset, taken as UTC since --timezone is not set", "by their"),
        (None, 5, "UTC; set --timezone", "taken as UTC"),
        ("Asia/Taipei", 0, "5 rows without offset, on the clock of Asia/Taipei", "set --timezone"),
        ("Asia/Taipei", 5, "5 rows by their offset, or as seconds since 1970", "without offset"),
    ]:
        report = Report()
        report_clocks(Clocks(5 - known, known), zone, report)
        assert words in str(report)
        assert silent not in str(report)


def test_times_between_two_seconds_are_rounded_on_demand_alone():
    times = np.array(["2024-01-01T00:00:00.4", "2024-01-01T00:00:29.7"], dtype="datetime64[ms]")
    block = Block(times, ["a"], ("speed",), np.ones((2, 1, 1)), where="s.csv")
    with pytest.raises(ValueError, match=r"'s\.csv'.*whole seconds; 2 are not.*--round"):
        list(round_blocks([block], None))
    (rounded,) = round_blocks([block], 30)
    assert rounded.times.astype(str).tolist() == ["2024-01-01T00:00:00", "2024-01-01T00:00:30"]
