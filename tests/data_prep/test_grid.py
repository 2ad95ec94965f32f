import weakref

import numpy as np
import pytest

from data_prep import chunks, steps
from data_prep import grid as module
from data_prep.account import report_gaps
from data_prep.feed import Block, Feed
from data_prep.grid import Grid
from data_prep.report import Report
from data_prep.steps import name_time, settle_step

NAN = np.nan


def at(*minutes):
    seconds = np.array([round(minute * 60) for minute in minutes])
    return np.datetime64("2024-01-01T00:00:00") + seconds.astype("timedelta64[s]")


def wide(minutes, rows, vdids=None, features=("speed",), where="s.csv"):
    values = np.array(rows, dtype=np.float32)
    values = values[..., None] if values.ndim == 2 else values
    vdids = vdids or [f"d{i}" for i in range(values.shape[1])]
    return Block(at(*minutes), vdids, features, values, where=where)


def long(minutes, codes, rows, vdids=("a", "b"), features=("speed", "flow")):
    values = np.array(rows, dtype=np.float32)
    return Block(at(*minutes), list(vdids), features, values, np.array(codes), where="l.csv")


def filled(tmp_path, *lists, step=60, features=("speed",), on_conflict="error", **options):
    grid = Grid(step, list(features), on_conflict, "UTC", tmp_path, **options)
    for blocks in lists:
        grid.add(blocks if isinstance(blocks, list) else [blocks])
    return grid


def values_of(grid):
    """Readings on the axis of the grid ``[T, N, F]``."""
    parts = list(grid.parts())
    start = grid.first - parts[0][0]
    return np.concatenate([values for _, values, _ in parts])[start : start + grid.num_steps()]


def test_rows_are_sorted_and_what_no_row_gives_is_missing(tmp_path):
    grid = filled(tmp_path, wide([3, 1, 0], [[30], [10], [0]]))
    np.testing.assert_array_equal(values_of(grid)[:, 0, 0], [0, 10, NAN, 30])
    assert grid.present().tolist() == [True, True, False, True]
    assert grid.axis().tolist() == at(0, 1, 2, 3).tolist()
    assert grid.counts["speed",].unsorted == 2


def test_identical_rows_are_dropped_and_counted_also_with_nan(tmp_path):
    rows = [[5, NAN], [1, 2], [5, NAN], [5, NAN]]
    for blocks in (
        [wide([1, 0, 1, 1], rows)],
        [wide([1, 0], rows[:2]), wide([1, 1], rows[2:])],
    ):
        grid = filled(tmp_path, blocks)
        np.testing.assert_array_equal(values_of(grid)[..., 0], [[1, 2], [5, NAN]])
        assert (grid.counts["speed",].identical, grid.counts["speed",].conflicts) == (2, 0)


def test_rows_that_differ_are_an_error_naming_them(tmp_path):
    with pytest.raises(
        ValueError, match=r"2 times .* rows that differ: speed at .*00:01:00.*00:07.*--on-conflict"
    ):
        filled(tmp_path, wide([7, 1, 7, 1, 2], [[5], [6], [8], [NAN], [1]]))


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("rule", "expected"),
    [("first", [[1, NAN], [4, 4]]), ("last", [[3, 8], [4, 4]]), ("mean", [[2, 7], [4, 4]])],
)
def test_rows_that_differ_are_settled_by_rule(tmp_path, rule, expected, apart):
    minutes, rows = [6, 5, 5, 5, 6], [[4, 4], [1, NAN], [2, 6], [3, 8], [4, 4]]
    blocks = [wide([m], [r]) for m, r in zip(minutes, rows, strict=True)]
    grid = filled(tmp_path, blocks if apart else wide(minutes, rows), on_conflict=rule)
    np.testing.assert_array_equal(values_of(grid)[..., 0], expected)
    assert (grid.counts["speed",].identical, grid.counts["speed",].conflicts) == (1, 2)


@pytest.mark.parametrize("small", [False, True])
def test_random_rows_equal_a_loop(tmp_path, monkeypatch, small):
    """Also if chunks are of few steps, and most of them lie in the file."""
    if small:
        monkeypatch.setattr(module, "_CHUNK_CELLS", 12)
        monkeypatch.setattr(chunks, "_HELD_BYTES", 100)
    rng = np.random.default_rng(0)
    minutes, codes = rng.integers(0, 40, 200), rng.integers(0, 3, 200)
    rows = rng.integers(0, 2, (200, 2)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = NAN
    vdids = ["a", "b", "c"]
    found = {}
    for rule in ("first", "last", "mean"):
        parts = [
            [long(minutes[part], codes[part], rows[part], vdids)]
            for part in np.split(np.arange(200), 8)
        ]
        grid = filled(tmp_path, *parts, features=("speed", "flow"), on_conflict=rule)
        found[rule] = values_of(grid)
    for minute in range(grid.num_steps()):
        for code in range(3):
            members = rows[(minutes == minute + minutes.min()) & (codes == code)]
            place = (minute, grid.vdids.index(vdids[code]))
            if not len(members):
                assert np.isnan(found["first"][place]).all()
                continue
            np.testing.assert_array_equal(found["first"][place], members[0])
            np.testing.assert_array_equal(found["last"][place], members[-1])
            with np.errstate(invalid="ignore"):
                mean = np.nansum(members, axis=0) / (~np.isnan(members)).sum(axis=0)
            np.testing.assert_allclose(found["mean"][place], mean, rtol=1e-6)


def test_detectors_that_come_later_are_missing_before(tmp_path):
    grid = filled(tmp_path, wide([0], [[1]], ["a"]), wide([1], [[2, 3]], ["b", "a"]))
    assert grid.vdids == ["a", "b"]
    np.testing.assert_array_equal(values_of(grid)[..., 0], [[1, NAN], [3, 2]])


def test_features_of_one_time_come_together(tmp_path):
    speed = wide([0, 1], [[1], [2]], ["a"], ("speed",))
    flow = wide([1, 2], [[3], [4]], ["a"], ("flow",))
    grid = filled(tmp_path, speed, flow, features=("speed", "flow"))
    np.testing.assert_array_equal(values_of(grid)[:, 0], [[1, NAN], [2, 3], [NAN, 4]])


def test_times_before_the_first_block_are_taken(tmp_path):
    grid = filled(tmp_path, wide([100_000], [[1]]), wide([0], [[2]]))
    assert grid.num_steps() == 100_001
    assert values_of(grid)[[0, -1], 0, 0].tolist() == [2, 1]


def test_a_time_is_named_on_the_local_clock():
    assert name_time(at(0)[0], "Europe/Copenhagen") == "2024-01-01T01:00:00+01:00"


def test_unsorted_rows_are_counted_by_detector_and_across_blocks(tmp_path):
    def unsorted(*blocks):
        grid = filled(tmp_path, *blocks, features=("speed", "flow"))
        return grid.counts["speed", "flow"].unsorted

    ones = np.ones((4, 2))
    assert unsorted(long([0, 10, 5, 15], [0, 0, 0, 0], ones)) == 1
    assert unsorted(long([0, 5, 0, 5], [0, 0, 1, 1], ones)) == 0
    assert unsorted(long([0, 0, 5, 5], [0, 1, 0, 1], ones)) == 0
    assert unsorted(long([5, 0, 0, 5], [0, 1, 0, 1], ones)) == 1
    assert unsorted(long([5], [0], ones[:1]), long([4, 6], [0, 1], ones[:2])) == 1


def test_the_step_is_inferred():
    for interval in [5, 0.5, 7, 60]:
        assert settle_step(
            [wide(interval * np.array([0, 1, 2, 5, 6]), np.ones((5, 1)))], None, None, None
        )[0] == round(interval * 60)


def test_finer_readings_have_their_own_step():
    halves = wide([0, 0.5, 1, 1.5, 2], np.ones((5, 1)))
    assert settle_step([halves], 300, None, None)[0] == 30
    assert settle_step([wide([0, 10, 20], np.ones((3, 1)))], 300, None, None)[0] == 300
    assert settle_step([wide([0], [[1]])], 300, 60, None)[0] == 60


def test_a_step_that_the_source_tells_serves_a_single_time_and_is_else_inferred():
    hourly = wide([0, 60, 120], np.ones((3, 1)))
    assert settle_step([wide([0], [[1]])], None, 300, None) == (300, "as the source says")
    assert settle_step([hourly], None, 300, None) == (3600, "inferred")
    assert settle_step([hourly], 7200, 3600, None) == (3600, "as the source says")


def test_readings_may_be_further_apart_than_what_their_times_are_rounded_to():
    every_five = wide([0, 5, 10, 15], np.ones((4, 1)))
    assert settle_step([every_five], 900, None, 30)[0] == 300
    assert settle_step([every_five], 900, 60, 30) == (60, "as the source says")
    assert settle_step([every_five], 900, 60, 300) == (300, "as the source says")
    assert settle_step([wide([0], [[1]])], None, None, 60)[0] == 60


def test_readings_that_are_further_apart_than_the_interval_are_refused():
    quarters = wide([0, 15, 45, 60], np.ones((4, 1)))
    with pytest.raises(ValueError, match=r"are 15 min\w* apart, and not 5 min\w*\."):
        settle_step([quarters], 300, None, None)


def test_gaps_are_counted_and_the_longest_is_named():
    report = Report()
    present = np.array([True, False, True, False, False, True])
    report_gaps(at(*range(0, 30, 5)), present, "Asia/Taipei", report)
    assert "2, 3 steps filled with NaN; the longest has 2 steps" in str(report)
    assert "2024-01-01T08:15:00+08:00 to 2024-01-01T08:20:00+08:00" in str(report)


def settle(*minutes, interval=None):
    return settle_step([wide(minutes, np.ones((len(minutes), 1)))], interval, None, None)


def test_times_off_the_grid_are_an_error_naming_the_first():
    with pytest.raises(
        ValueError, match=r"1 of 5 .* off the grid of 5 minutes .inferred.*T00:11:00"
    ):
        settle(0, 5, 10, 11, 15)


def test_a_later_time_off_the_grid_is_an_error_too(tmp_path):
    with pytest.raises(ValueError, match=r"1 of 2 .*off the grid.*T00:03:30.*--round"):
        filled(tmp_path, wide([0, 1], [[1], [1]]), wide([3.5, 4], [[1], [1]]))


def test_a_first_time_off_the_grid_does_not_shift_it():
    with pytest.raises(ValueError, match=r"1 of 4 .*T00:01:00"):
        settle(1, 5, 10, 15)


def test_a_set_interval_that_no_step_divides_is_refused():
    with pytest.raises(ValueError, match=r"off the grid of 12 minutes .as set"):
        settle(0, 5, 10, 15, 20, interval=720)


def test_a_stray_date_is_refused_instead_of_filled(tmp_path):
    stray = Block(
        np.append(np.datetime64("1970-01-01T00:00:00"), at(0, 5, 10)),
        ["a"],
        ("speed",),
        np.ones((4, 1, 1), dtype=np.float32),
    )
    with pytest.raises(ValueError, match=r"from 1970-01-01T00:00:00 to 2024-01-01T00:00:00"):
        settle_step([stray], None, None, None)
    grid = filled(tmp_path, stray, step=300)
    with pytest.raises(ValueError, match=r"from 1970-01-01T00:00:00 to 2024-01-01T00:00:00"):
        grid.check_length()


class _Names(list):
    """A list that can be watched."""

    __hash__ = object.__hash__


def test_blocks_go_as_others_come(collect, monkeypatch):
    """The memory does not grow with their number."""
    monkeypatch.setattr(steps, "_HELD_BYTES", 20_000)
    alive, most = weakref.WeakSet(), []

    def blocks():
        for minute in range(5000):
            names = _Names("abc")
            alive.add(names)
            most.append(len(alive))
            yield Block(at(minute), names, ("speed",), np.full((1, 3, 1), minute))

    series, _ = collect(Feed(blocks(), ["speed"]))
    assert (series.values[:, 0, 0] == np.arange(5000)).all()
    a_list = 20_000 // (4 * 3 + 8 + 64 * 3) + 1
    assert max(most) <= a_list + 5


def test_one_time_needs_an_interval():
    with pytest.raises(ValueError, match=r"--interval"):
        settle(0)
    assert settle(0, interval=300)[0] == 300
