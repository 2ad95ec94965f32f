"""The naive rivals."""

import numpy as np
import pytest
import torch

from benchmarks.baselines import LastValue, TimeOfDayMean
from socialgraph.data import TrafficDataModule
from socialgraph.schema import write
from tests.conftest import make_series


def test_last_value_is_the_last_observed_one():
    features = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).view(1, 2, 3, 1)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool().view(1, 2, 3, 1)
    out = LastValue(horizon=2, num_targets=1)(features, mask)
    assert out[0, :, :, 0].tolist() == [[4.0, 2.0, 0.0]] * 2


def test_time_of_day_mean_keeps_working_days_and_weekends_apart(tmp_path):
    series = make_series(steps=288 * 10, missing=0.0)  # from a Monday
    day = np.arange(288 * 10) // 288 % 7
    slot = np.arange(288 * 10) % 288
    truth = np.where(day >= 5, 1000, 0) + slot
    series.values[..., 0] = truth[:, None]
    series.values[7, 2, 0] = np.nan  # that slot still has other working days
    write(tmp_path / "a.h5", series)
    data = TrafficDataModule(str(tmp_path / "a.h5"), ["speed"], window=3, horizon=4)
    data.setup()
    scaler = data.fit_scaler()
    network = TimeOfDayMean(data)
    for start in (10, 288 * 5 - 4, 288 * 7 - 5, 288 * 2 - 3):  # the last three cross midnight
        batch = data.collator([start])
        out = scaler.inverse(network(batch["time_of_day"], batch["day_of_week"]))
        torch.testing.assert_close(out, batch["targets"], rtol=1e-4, atol=1e-2)


def test_a_slot_without_a_reading_takes_the_detectors_mean(tmp_path):
    series = make_series(steps=288 * 2, missing=0.0)
    series.values[..., 0] = np.arange(6)
    series.values[::288, 1, 0] = np.nan
    series.values[:, 4, 0] = np.nan
    write(tmp_path / "a.h5", series)
    data = TrafficDataModule(str(tmp_path / "a.h5"), ["speed"], window=3, horizon=1)
    data.setup()
    scaler = data.fit_scaler()
    network = TimeOfDayMean(data)
    batch = data.collator([285])  # predicts midnight
    out = scaler.inverse(network(batch["time_of_day"], batch["day_of_week"]))[0, 0, :, 0]
    assert out[:4].tolist() == pytest.approx([0, 1, 2, 3], abs=1e-4)
    assert out[4].item() == pytest.approx(scaler.loc.item(), rel=1e-5)
