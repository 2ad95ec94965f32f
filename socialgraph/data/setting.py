"""What is measured, how often, and how far apart: numbers by which networks differ."""

import math

import numpy as np
import torch
from torch import Tensor

from socialgraph.graph import local_spacing
from socialgraph.series import TrafficSeries

__all__ = ["setting_of"]

_KINDS = {"speed": 0, "flow": 1, "count": 1, "volume": 1, "occupancy": 2}
_MINUTES, _METRES = 15.0, 1000.0  # an interval and a spacing that count as usual


def setting_of(series: TrafficSeries) -> Tensor:
    r"""The setting of each detector :math:`(N, 5)`, for :class:`socialgraph.nn.Setting`.

    The logarithms (base 4) of interval / 15 minutes and of the distance between detectors / 1 km
    (:func:`socialgraph.graph.local_spacing`; 0 where unknown); then 1 in the column of the kind of
    quantity, by the name of the first feature: speed; flow, count or volume; occupancy.
    """
    setting = torch.zeros(len(series.vdids), 5)
    setting[:, 0] = math.log(series.interval_minutes / _MINUTES, 4)
    spacing = np.log(local_spacing(series.lat, series.lon) / _METRES) / np.log(4)
    setting[:, 1] = torch.from_numpy(np.nan_to_num(spacing))
    kind = _KINDS.get(series.feature_names[0].lower())
    if kind is not None:
        setting[:, 2 + kind] = 1.0
    return setting
