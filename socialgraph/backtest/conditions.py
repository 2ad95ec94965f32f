"""What a reading is read in: congested or free flow, before or after an outage of its detector."""

from typing import NamedTuple

import numpy as np

from socialgraph.data import TrafficDataModule
from socialgraph.series import is_speed

__all__ = ["DEFINITIONS", "OUTAGES", "Conditions", "conditions_of", "near_outages"]

OUTAGES = ("none", "before", "after")
DEFINITIONS = {
    "congested": "speed below 75 % of its detector's 85th percentile in the training part",
    "busy": "reading above its detector's 85th percentile in the training part",
    "outage": "no reading of a detector for an hour and three steps or more",
    "before": "an outage begins within the next window of steps",
    "after": "an outage ended within the last window of steps",
}
_FREE_FLOW_PERCENTILE = 85.0
_CONGESTED_SHARE = 0.75
_LEAST_OUTAGE_MINUTES, _LEAST_OUTAGE_STEPS = 60, 3


class Conditions(NamedTuple):
    """In what each reading of the targets was taken.

    Args:
        states: names of the two states of each target, such as ``("free", "congested")``.
        state: which of them, 0 or 1 ``[T, N, F]``; 0 for a detector without a reading in training.
        outage: place in :data:`OUTAGES` ``[T, N, F]``.
    """

    states: list[tuple[str, str]]
    state: np.ndarray
    outage: np.ndarray


def conditions_of(datamodule: TrafficDataModule) -> Conditions:
    """The conditions of all readings, by the definitions of :data:`DEFINITIONS`.

    Args:
        datamodule: data module after ``setup``; percentiles are those of its training part.
    """
    series, targets = datamodule.series, datamodule.num_targets
    values = series.values[..., :targets]
    known = ~np.isnan(values)
    percentile = _percentile(values[: datamodule.train_steps])
    named = zip(series.feature_names[:targets], series.units[:targets], strict=True)
    speeds = [is_speed(name, unit) for name, unit in named]
    threshold = np.where(speeds, _CONGESTED_SHARE * percentile, percentile)
    state = np.where(speeds, values < threshold, values > threshold)
    steps = round(_LEAST_OUTAGE_MINUTES / series.interval_minutes)
    outage = near_outages(known, max(_LEAST_OUTAGE_STEPS, steps), datamodule.windows.window)
    names = [("free", "congested") if speed else ("quiet", "busy") for speed in speeds]
    return Conditions(names, state.astype(np.int8), outage)


def near_outages(known: np.ndarray, least: int, reach: int) -> np.ndarray:
    """Whether an outage is near each step, as a place in :data:`OUTAGES`.

    Args:
        known: True where there is a reading ``[T, ...]``.
        least: missing steps in a row that make an outage.
        reach: steps within which it is near; after one outage and before another counts as after.
    """
    since = _steps_since_outage(known, least)
    until = _steps_since_outage(known[::-1], least)[::-1]
    place = np.where(until <= reach, OUTAGES.index("before"), 0)
    place = np.where(since <= reach, OUTAGES.index("after"), place)
    return np.where(known, place, 0).astype(np.int8)


def _steps_since_outage(known: np.ndarray, least: int) -> np.ndarray:
    """Steps from the last missing one of the latest outage; many before the first."""
    steps = np.arange(len(known)).reshape(-1, *[1] * (known.ndim - 1))
    last_known = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
    ends = ~known & (steps - last_known >= least)
    last_end = np.maximum.accumulate(np.where(ends, steps, -len(known) - 1), axis=0)
    return steps - last_end


def _percentile(values: np.ndarray) -> np.ndarray:
    """Of each detector and target ``[N, F]``; NaN for one without a reading."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(values)).sum(axis=0)
    place = np.maximum(0, np.ceil(_FREE_FLOW_PERCENTILE / 100 * count).astype(int) - 1)
    found = np.take_along_axis(ordered, place[None], axis=0)[0]
    return np.where(count > 0, found, np.nan)
