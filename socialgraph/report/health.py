"""Why a detector is forecast worse than others: what its readings of the test part look like."""

from dataclasses import dataclass

import numpy as np

from data_prep.marks import mark_day
from socialgraph.calendar import to_local
from socialgraph.report.errors import percent
from socialgraph.series import TrafficSeries

__all__ = ["RULES", "Health", "health", "reasons"]

_SILENT, _STUCK = 0.1, 0.05  # shares of the readings that are worth telling
_UNLIKE, _LIVELY = 1.5, 1.5  # times what is usual
#: What is told of a detector, and from when on.
RULES = [
    ("silent", f"more than {percent(_SILENT)} of its readings in the test part are missing"),
    ("stuck", f"more than {percent(_STUCK)} of them repeat one value, not 0, for a whole day"),
    ("unlike its profile", f"{_UNLIKE} times as far from its usual day as in training, or more"),
    ("lively", f"a deviation {_LIVELY} times that of the median detector, or more"),
    ("no neighbour", "no edge of the graph ends at it, though the network pools"),
]


@dataclass
class Health:
    """What the readings of N detectors look like in the test part.

    Args:
        missing: share of the readings that is missing ``[N]``.
        stuck: share of the readings that repeats one value for a whole local day
            (:func:`data_prep.marks.mark_day`) ``[N]``.
        unlike: distance from the usual day over what that distance is in training ``[N]``.
        deviation: standard deviation of the readings over that of the median detector ``[N]``.
        alone: True for a detector without a neighbour ``[N]``.
        strange: True for a detector that was not in training ``[N]``.
    """

    missing: np.ndarray
    stuck: np.ndarray
    unlike: np.ndarray
    deviation: np.ndarray
    alone: np.ndarray
    strange: np.ndarray


def health(
    series: TrafficSeries,
    target: str,
    part: slice,
    usual: np.ndarray,
    neighbours: np.ndarray,
    strange: np.ndarray,
) -> Health:
    """Look at the readings of the test part.

    Args:
        series: all readings.
        target: the feature that is looked at.
        part: steps of the test part; those before are compared with.
        usual: the usual readings at every step ``[T, N]``.
        neighbours: number of neighbours of each detector ``[N]``.
        strange: True for a detector that was not in training ``[N]``.
    """
    values = series.values[..., series.feature_names.index(target)]
    apart = np.abs(values - usual)
    before, now = _mean(apart[: part.start]), _mean(apart[part])
    test = values[part]
    spread = _deviation(test)
    days = to_local(series.timestamps[part], series.timezone).astype("datetime64[D]")
    stuck = np.zeros(values.shape[1])
    for day in np.unique(days):
        stuck += mark_day(test[days == day][..., None], [target], {}, {})["stuck"].sum((0, 2))
    return Health(
        np.isnan(test).mean(axis=0),
        stuck / len(test),
        np.divide(now, before, out=np.full_like(now, np.nan), where=before > 0),
        spread / max(_median(spread), 1e-9),
        neighbours == 0,
        strange,
    )


def reasons(health: Health, node: int) -> list[str]:
    """What is unusual about a detector, in words; empty if nothing is."""
    told = []
    if health.strange[node]:
        told.append("was not in training")
    if health.missing[node] > _SILENT:
        told.append(f"silent: {percent(health.missing[node])} of its readings are missing")
    if health.stuck[node] > _STUCK:
        told.append(
            f"stuck: {percent(health.stuck[node])} of its readings repeat one value all day"
        )
    if health.unlike[node] > _UNLIKE:
        told.append(
            f"unlike its profile: {health.unlike[node]:.1f} times as far from its usual day as "
            "in training"
        )
    if health.deviation[node] > _LIVELY:
        told.append(
            f"lively: its readings vary {health.deviation[node]:.1f} times as much as those of "
            "the median detector"
        )
    if health.alone[node]:
        told.append("has no neighbour")
    return told


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each column over what is known, NaN without."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 1.0


def _deviation(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(_mean(values.astype(np.float64) ** 2) - _mean(values) ** 2, 0))
