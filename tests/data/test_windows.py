"""Which windows there are, and what a batch of them holds."""

import numpy as np
import pytest
import torch

from socialgraph.data import WindowCollator, Windows, window_starts

FIVE = np.timedelta64(300, "s")
BEGIN = np.datetime64("2024-03-09T22:00:00", "s")  # a Saturday in UTC


def axis(steps):
    return BEGIN + np.arange(steps) * FIVE


def test_every_window_of_a_whole_axis_is_there():
    assert window_starts(axis(10), 5, 4).tolist() == list(range(7))
    assert window_starts(axis(3), 5, 4).tolist() == []


def test_no_window_spans_a_gap():
    stamps = np.delete(axis(12), [5, 6])
    starts = window_starts(stamps, 5, 3)
    spans = stamps[starts + 2] - stamps[starts]
    assert (spans == 2 * FIVE).all()
    assert starts.tolist() == [0, 1, 2, 5, 6, 7]


def test_a_batch_holds_the_rows_of_the_series():
    values = torch.randn(40, 3, 2)
    values[torch.rand(values.shape) < 0.3] = torch.nan
    collator = WindowCollator(values, axis(40), "UTC", Windows(6, 4), 1, {"graph": torch.ones(1)})
    batch = collator([0, 7, 30])
    assert batch["features"].shape == batch["mask"].shape == (3, 6, 3, 2)
    assert batch["targets"].shape == batch["target_mask"].shape == (3, 4, 3, 1)
    for row, start in enumerate([0, 7, 30]):
        inputs, targets = values[start : start + 6], values[start + 6 : start + 10, :, :1]
        assert torch.equal(batch["mask"][row], ~inputs.isnan())
        assert torch.equal(batch["features"][row], inputs.nan_to_num(0.0))
        assert torch.equal(batch["target_mask"][row], ~targets.isnan())
        assert torch.equal(batch["targets"][row], targets.nan_to_num(0.0))
        issued = np.datetime64(int(batch["issued"][row]), "s")
        assert issued == axis(40)[start + 5]
    assert batch["graph"] == 1


def test_the_clock_of_a_batch_is_the_local_one():
    for zone, hour, weekday in [
        ("UTC", 22, 5),
        ("Asia/Taipei", 6, 6),
        ("Australia/Adelaide", 8.5, 6),
    ]:
        collator = WindowCollator(torch.zeros(30, 1, 1), axis(30), zone, Windows(24, 1), 1, {})
        batch = collator([0])
        assert batch["time_of_day"][0, 0] == pytest.approx(hour / 24)
        assert batch["day_of_week"][0, 0] == weekday
        assert batch["time_of_day"][0, 12] == pytest.approx((hour + 1) % 24 / 24)


def test_lengths_below_one_are_refused():
    for name in ["window", "horizon", "stride"]:
        with pytest.raises(ValueError, match=f"Expected '{name}' of 1 or more"):
            Windows(**{name: 0})
