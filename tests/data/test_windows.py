"""Which windows there are, how they are split, and what a batch of them holds."""

import numpy as np
import pytest
import torch

from socialgraph.data import WindowCollator, split_windows, time_covariates, window_starts

FIVE = np.timedelta64(300, "s")
START = np.datetime64("2024-03-09T22:00:00", "s")  # a Saturday


def axis(steps):
    return START + np.arange(steps) * FIVE


def test_every_window_of_a_whole_axis_is_there():
    assert window_starts(axis(10), 5, 4).tolist() == list(range(7))
    assert window_starts(axis(3), 5, 4).tolist() == []


def test_no_window_spans_a_gap():
    stamps = np.delete(axis(12), [5, 6])
    starts = window_starts(stamps, 5, 3)
    spans = stamps[starts + 2] - stamps[starts]
    assert (spans == 2 * FIVE).all()
    assert starts.tolist() == [0, 1, 2, 5, 6, 7]


@pytest.mark.parametrize(("border", "windows"), [("split_first", 6831), ("window_first", 6850)])
def test_the_test_part_of_metr_la_has_the_windows_of_the_field(border, windows):
    starts = window_starts(axis(34272), 5, 24)
    parts, _ = split_windows(starts, 34272, 12, 12, (0.7, 0.1, 0.2), border)
    assert len(parts["test"]) == windows


def test_split_first_shares_no_step_between_parts():
    starts = window_starts(axis(200), 5, 9)
    parts, train_steps = split_windows(starts, 200, 6, 3, (0.7, 0.1, 0.2), "split_first")
    used = {k: {s + i for s in v for i in range(9)} for k, v in parts.items()}
    assert not used["train"] & used["val"]
    assert not used["val"] & used["test"]
    assert not used["train"] & used["test"]
    assert max(used["train"]) < train_steps <= min(used["val"])


def test_window_first_keeps_every_window_and_statistics_end_before_later_targets():
    starts = window_starts(axis(200), 5, 9)
    parts, train_steps = split_windows(starts, 200, 6, 3, (0.7, 0.1, 0.2), "window_first")
    np.testing.assert_array_equal(np.concatenate(list(parts.values())), starts)
    assert train_steps <= parts["val"][0] + 6


@pytest.mark.parametrize("split", [(0.7, 0.1, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_shares_that_are_none_are_refused(split):
    with pytest.raises(ValueError, match="three shares"):
        split_windows(np.arange(10), 20, 6, 3, split, "split_first")


def test_time_covariates_are_those_of_the_local_clock():
    time_of_day, day_of_week = time_covariates(axis(30))
    assert time_of_day[0] == pytest.approx(22 / 24)
    assert day_of_week[0] == 5
    assert time_of_day[24] == 0
    assert day_of_week[24] == 6


def test_a_batch_holds_the_rows_of_the_series():
    values = torch.randn(40, 3, 2)
    values[torch.rand(values.shape) < 0.3] = torch.nan
    batch = WindowCollator(values, axis(40), 6, 4, 1, {"vd_ids": ["a", "b", "c"]})([0, 7, 30])
    assert batch["features"].shape == batch["mask"].shape == (3, 6, 3, 2)
    assert batch["targets"].shape == batch["target_mask"].shape == (3, 4, 3, 1)
    for row, start in enumerate([0, 7, 30]):
        inputs, targets = values[start : start + 6], values[start + 6 : start + 10, :, :1]
        assert torch.equal(batch["mask"][row], ~inputs.isnan())
        assert torch.equal(batch["features"][row], inputs.nan_to_num(0.0))
        assert torch.equal(batch["target_mask"][row], ~targets.isnan())
        assert torch.equal(batch["targets"][row], targets.nan_to_num(0.0))
        assert batch["first_step"][row] == start + 6
        stamps = axis(40)[start : start + 6]
        day, week = time_covariates(stamps)
        assert torch.equal(batch["time_of_day"][row], day)
        assert torch.equal(batch["day_of_week"][row], week)
    assert batch["vd_ids"] == ["a", "b", "c"]
