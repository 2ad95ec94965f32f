"""Errors of scored forecasts: by horizon, hour and weekday, detector, and state of the traffic."""

from typing import NamedTuple

import numpy as np
import torch

from socialgraph.calendar import to_local
from socialgraph.error_table import errors_of_target
from socialgraph.metrics import ForecastErrors, errors_from_sums
from socialgraph.report.scoring import NETWORK, Scores
from socialgraph.series import is_speed
from socialgraph.spec import DataSpec

__all__ = [
    "TrafficState",
    "by_detector",
    "by_hour_of_week",
    "by_step",
    "coverage",
    "gain",
    "mae",
    "percent",
    "traffic_state",
]

_CONGESTED = 0.75  # of the speed of free flow
_USUALLY_BELOW = 85.0  # percent of the readings


class TrafficState(NamedTuple):
    """Which targets are of dense traffic.

    Args:
        names: of the dense and of the other state.
        rule: what tells them apart, in words.
        dense: True for a target of the dense state ``[W, P, N]``; False where missing.
    """

    names: tuple[str, str]
    rule: str
    dense: np.ndarray


def by_step(scores: Scores, spec: DataSpec, target: str) -> dict[str, dict]:
    """MAE, RMSE and MAPE by step and over all, as ``socialgraph test`` computes them.

    Returns:
        For each forecast what :func:`socialgraph.error_table.describe_errors` gives of one target.
    """
    truth = torch.from_numpy(scores.truth)[..., None]
    mask = ~truth.isnan()
    found = {}
    for name, forecast in scores.forecasts.items():
        errors = ForecastErrors(spec.horizon, 1)
        parts = (torch.from_numpy(forecast)[..., None], truth.nan_to_num(), mask)
        for few in zip(*(part.split(64) for part in parts), strict=True):  # float64 inside
            errors.update(*few)
        column = errors_of_target(errors_from_sums(errors.compute()), 0)
        found[name] = {"unit": spec.units[spec.targets.index(target)], **column}
    return found


def by_detector(scores: Scores) -> dict[str, np.ndarray]:
    """Errors and missing share of each detector, over all windows and steps.

    Returns:
        ``[N]`` each: ``mae``, ``bias`` (forecast less truth), ``rival`` (the MAE of the usual day),
        ``missing`` (share of the targets), and with intervals ``coverage`` (share of the truth
        inside); NaN without a target.
    """
    error = scores.forecasts[NETWORK] - scores.truth
    found = {
        "mae": _mean(np.abs(error), (0, 1)),
        "bias": _mean(error, (0, 1)),
        "rival": _mean(np.abs(scores.forecasts["usual day"] - scores.truth), (0, 1)),
        "missing": np.isnan(scores.truth).mean(axis=(0, 1)),
    }
    if scores.low is not None:
        found["coverage"] = _mean(_inside(scores), (0, 1))
    return found


def coverage(scores: Scores) -> dict | None:
    """Share of the truth inside the interval, over ``all`` and of the ``steps`` ``[P]``.

    Also its mean ``width`` ``[P]`` where the truth is known. None without an interval.
    """
    if scores.low is None:
        return None
    inside = _inside(scores)
    width = np.where(np.isnan(inside), np.nan, scores.high - scores.low)
    return {
        "all": float(_mean(inside, None)),
        "steps": _mean(inside, (0, 2)),
        "width": _mean(width, (0, 2)),
    }


def by_hour_of_week(scores: Scores, timezone: str) -> np.ndarray:
    """MAE of the network ``[7, 24]`` by local weekday (0 for Monday) and hour of the target.

    NaN for hours without a target.
    """
    local = to_local(scores.times.ravel(), timezone)
    hours = local.astype("datetime64[h]").astype(np.int64)
    place = (hours // 24 + 3) % 7 * 24 + hours % 24  # 1970-01-01 was a Thursday
    error = np.abs(scores.forecasts[NETWORK] - scores.truth).astype(np.float64)
    count = np.bincount(place, (~np.isnan(error)).sum(axis=2).ravel(), 168)
    total = np.bincount(place, np.nansum(error, axis=2).ravel(), 168)
    return np.divide(total, count, out=np.full(168, np.nan), where=count > 0).reshape(7, 24)


def traffic_state(scores: Scores, train: np.ndarray, target: str, unit: str) -> TrafficState:
    """Tell congested from free flow, or for what is no speed busy from calm.

    Speed is congested below 75 % of that of free flow, which is the 85th percentile of the
    detector's readings in training. Another quantity is busy above that percentile.

    Args:
        scores: of the target.
        train: readings of the target in training ``[T, N]``, NaN where missing.
        target, unit: its name and unit.
    """
    with np.errstate(all="ignore"):
        usual = _percentile(train, _USUALLY_BELOW)
    if is_speed(target, unit):
        names, dense = ("congested", "free flow"), scores.truth < _CONGESTED * usual
        rule = (
            f"congested: a speed below {percent(_CONGESTED)} of free flow, which is the "
            f"{_USUALLY_BELOW:.0f}th percentile of the detector's readings in training"
        )
    else:
        names, dense = ("busy", "calm"), scores.truth > usual
        rule = (
            f"busy: above the {_USUALLY_BELOW:.0f}th percentile of the detector's readings in "
            "training"
        )
    return TrafficState(names, rule, dense)


def mae(scores: Scores, name: str, kept: np.ndarray | None = None) -> float:
    """MAE of a forecast over all targets, or those where ``kept`` ``[W, P, N]``; NaN without."""
    error = np.abs(scores.forecasts[name] - scores.truth)
    return float(_mean(error if kept is None else error[kept], None))


def percent(share: float, digits: int = 0) -> str:
    """A share as text; a dash if it is not known."""
    return f"{100 * share:.{digits}f}\u00a0%" if np.isfinite(share) else "–"


def gain(own: float | None, rival: float | None) -> float | None:
    """Share by which an error is below that of a rival; below 0 if it is worse."""
    return None if own is None or not rival else 1 - own / rival


def _inside(scores: Scores) -> np.ndarray:
    inside = (scores.truth >= scores.low) & (scores.truth <= scores.high)
    return np.where(np.isnan(scores.truth), np.nan, inside)


def _percentile(values: np.ndarray, percent: float) -> np.ndarray:
    """Of each column, NaN where it has no reading; without NumPy's slow way around NaN."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    count = (~np.isnan(values)).sum(axis=0)
    place = np.clip(np.ceil(percent / 100 * count).astype(int) - 1, 0, None)
    return ordered[place, np.arange(values.shape[1])]


def _mean(values: np.ndarray, axis: tuple[int, ...] | None) -> np.ndarray:
    """Mean of what is known, float64; NaN without."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
