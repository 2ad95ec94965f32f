"""What ``socialgraph forecast`` tells of a history, and of the errors on its last day."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from socialgraph.series import TrafficSeries

if TYPE_CHECKING:  # imported when a network is loaded, so that --help is quick
    import pandas as pd

    from socialgraph.pretrained import PretrainedForecaster

__all__ = ["plain_warnings", "print_scores", "tell", "tell_intervals"]

_FEW_DAYS = 2.0


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings once each as notes, without the line of code that gave them."""
    told = set()  # Python forgets what it has shown when filters change in between

    def show(message: Warning | str, *_: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f"note        {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", category=UserWarning)
        warnings.showwarning = show
        yield


def tell(series: TrafficSeries, forecaster: "PretrainedForecaster") -> None:
    """Print what is forecast from what, and what is to be known of it."""
    from socialgraph.graph import project  # slow to import

    days = series.num_days()
    placed = np.isfinite(project(series.lat, series.lon)).all(axis=1)
    minutes = forecaster.horizon * series.interval_minutes
    span = f"{days:.1f} days" if days >= _FEW_DAYS else f"{24 * days:.3g} hours"
    print(
        f"history     {span} of {', '.join(series.feature_names)} every "
        f"{series.interval_minutes:g} minutes, {_count(len(series.vdids))}, {placed.sum()} with a "
        f"position\nahead       {forecaster.horizon} steps, {minutes:g} minutes"
    )
    _tell_places(series, placed)
    if days < _FEW_DAYS:
        print(
            "note        less than two days: what is usual at a time of day is hardly known, and "
            "the forecast rests on the last readings."
        )


def _tell_places(series: TrafficSeries, placed: np.ndarray) -> None:
    """Print which detectors have no neighbours, as their place is not known, or none on earth."""
    wrong = np.flatnonzero(~placed & np.isfinite(series.lat) & np.isfinite(series.lon))
    if len(wrong):
        first = wrong[0]
        print(
            f"note        no place on earth: the position of {_names(series, wrong)} (lat "
            f"{series.lat[first]:g}, lon {series.lon[first]:g} of the first)."
        )
    if not placed.any():
        print(
            "note        no positions: forecast without neighbours. --detectors gives them to a "
            "CSV, 'python -m data_prep backfill' to a file."
        )
    elif not placed.all():
        print(
            f"note        forecast without neighbours, for want of a position: "
            f"{_names(series, np.flatnonzero(~placed))}."
        )


def tell_intervals(table: "pd.DataFrame", features: Sequence[str]) -> None:
    """Print which features of a forecast have no intervals, and why."""
    lower = {name: f"{name}_p05" for name in features}
    without = [n for n, low in lower.items() if low not in table or table[low].isna().all()]
    if without:
        print(
            f"note        no intervals of {', '.join(without)}: fewer than 64 windows of the "
            "history have readings."
        )


def _names(series: TrafficSeries, rows: np.ndarray) -> str:
    named = ", ".join(series.vdids[row] for row in rows[:3])
    return named if len(rows) <= 3 else f"{named} and {len(rows) - 3} more detectors"


def _count(detectors: int) -> str:
    return "1 detector" if detectors == 1 else f"{detectors} detectors"


def print_scores(scores: dict[str, dict[str, float]], series: TrafficSeries) -> None:
    """Print the errors of :meth:`PretrainedForecaster.score`, and whether to trust the forecast."""
    print("\nmean absolute error on the last day, which was held back:")
    heads = ("forecast", "last value", "usual day", "ridge")
    print(f"{'':<22}{''.join(f'{head:>12}' for head in heads)}")
    for name, errors in scores.items():
        unit = series.units[series.feature_names.index(name)]
        label = f"{name} [{unit}]" if unit else name
        numbers = (errors[k] for k in ("forecast", "last_value", "usual", "ridge"))
        cells = "".join(f"{_error(number):>12}" for number in numbers)
        print(f"{label:<22}{cells}")
        print(f"{'':<22}  {_verdict(errors)}")
        if np.isfinite(errors["coverage"]):
            print(f"{'':<22}  {errors['coverage']:.0%} of the readings in the interval of 90%")
    print()


def _error(number: float) -> str:
    """An error as a cell of the table, with digits to compare also if it is of a share of 1."""
    if np.isnan(number):
        return "-"
    return format(number, ".2f" if number == 0 or 0.1 <= number < 1e6 else ".3g")


def _verdict(errors: dict[str, float]) -> str:
    """Whether to trust the forecast, in words."""
    rivals = {"the last value": "last_value", "the usual day": "usual", "ridge": "ridge"}
    name, best = min(((n, errors[k]) for n, k in rivals.items()), key=lambda pair: pair[1])
    own = errors["forecast"]
    if not np.isfinite([own, best]).all():
        return "no readings on the last day, or before it, to compare with"
    if np.isclose(own, best, rtol=0.005, atol=1e-6):  # what would be told as 0%; both may be 0
        return f"as good as {name}, the best of the others"
    if own > best:
        return f"{name} is better: train on these readings (--tune 4, or 'socialgraph fit')"
    return f"{1 - own / best:.0%} better than {name}, the best of the others"
