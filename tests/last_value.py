"""A forecaster without training, whose forecasts a hand can compute."""

import dataclasses

import torch

from socialgraph.forecaster import Forecaster
from socialgraph.series import TrafficSeries
from socialgraph.spec import DataSpec

__all__ = ["last_value"]


class LastValue(torch.nn.Module):
    """The last reading, 0 if it is missing, plus the number of the step."""

    serves_strangers = True

    def forward(self, features):
        return features[:, -1:, :, :1] + torch.arange(1.0, 4.0).view(1, 3, 1, 1)


def last_value(series: TrafficSeries) -> Forecaster:
    """For the first feature of a series, from windows of 4 steps, 3 steps ahead."""
    spec = DataSpec.of(series, window=4, horizon=3)
    ones = {"loc": [0.0] * len(spec.features), "scale": [1.0] * len(spec.features)}
    forecaster = Forecaster(LastValue())
    forecaster._adopt(dataclasses.replace(spec, targets=spec.features[:1], **ones))
    forecaster.follow(forecaster.spec)
    return forecaster
