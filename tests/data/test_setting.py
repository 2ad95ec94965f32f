"""What is measured, how often and how far apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from socialgraph.data import TrafficDataModule, setting_of
from socialgraph.forecaster import Forecaster
from socialgraph.nn import Clock, LinearEncoder, Mask, Readings, Setting, SocialGraphNet
from tests.conftest import make_series


def test_the_kind_of_quantity_is_told_by_the_name_of_the_feature():
    for name, kind in [
        ("speed", [1, 0, 0]),
        ("Flow", [0, 1, 0]),
        ("count", [0, 1, 0]),
        ("occupancy", [0, 0, 1]),
        ("people", [0, 0, 0]),
    ]:
        series = replace(make_series().select(["speed"]), feature_names=[name])
        assert setting_of(series)[:, 2:].tolist() == [kind] * 6


def test_interval_and_distance_are_logarithms_and_unknown_places_count_as_usual():
    series = make_series().select(["speed"])
    hourly = replace(series, interval_minutes=60.0, lat=np.array([25.0] * 5 + [np.nan]))
    assert setting_of(hourly)[:, 0].tolist() == [1.0] * 6
    assert setting_of(hourly)[:, 1].tolist() == [0.0] * 6  # one place and one unknown
    near = setting_of(series)[2, 1].item()
    far = setting_of(replace(series, lat=25 + 4 * (series.lat - 25)))[2, 1].item()
    assert far - near == pytest.approx(1, abs=0.01)
    assert near == pytest.approx(np.log((333 + 333 + 666) / 3 / 1000) / np.log(4), abs=0.02)


def test_a_network_reads_it_from_every_data_module():
    data = TrafficDataModule(make_series().select(["speed"]))
    data.setup()
    torch.manual_seed(0)
    network = SocialGraphNet(
        inputs=[Readings(), Mask(), Clock(), Setting()], encoder=LinearEncoder, block=None
    )
    forecaster = Forecaster(network)
    forecaster.adopt(data)
    batch = data.collator([0])
    own = forecaster.eval()(batch)
    setting = batch["setting"].clone()
    for column in range(5):
        batch["setting"] = setting.clone()
        batch["setting"][3, column] += 1
        changed = (forecaster(batch) - own).abs().sum(dim=(0, 1, 3)) > 1e-6
        assert changed.tolist() == [False] * 3 + [True] + [False] * 2
