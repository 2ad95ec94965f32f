"""Errors of forecasts for people and for JSON."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from socialgraph.metrics import INTERVAL_ERRORS
from socialgraph.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "describe_errors",
    "describe_intervals",
    "errors_of_target",
    "format_errors",
    "format_intervals",
    "format_row",
    "headline",
    "name_quarters",
    "quarters",
    "whole_hours",
]


def describe_errors(spec: DataSpec, errors: "dict[str, Tensor]") -> dict[str, dict]:
    """Errors by target, in numbers that JSON knows.

    Args:
        spec: what was forecast.
        errors: what :func:`socialgraph.metrics.errors_from_sums` gives.

    Returns:
        For each target its unit, each error by step and over all, and ``rmse_mean_of_steps``; None
        where nothing was observed.
    """
    return {
        name: {"unit": unit, **errors_of_target(errors, i)}
        for i, (name, unit) in enumerate(zip(spec.targets, spec.units, strict=False))
    }


def describe_intervals(
    spec: DataSpec, errors: "dict[str, Tensor]", levels: Sequence[float]
) -> dict[str, dict]:
    """Errors of intervals by target, in numbers that JSON knows.

    Args:
        spec: what was forecast.
        errors: what :meth:`socialgraph.metrics.IntervalErrors.compute` gives.
        levels: of the quantiles.

    Returns:
        For each target the ``levels``, the ``nominal`` coverage, and each error over all
        (``coverage_all``), by step, by hour of the local day and by detector (``by_detector`` has
        them by id); None where nothing was observed.
    """
    told = {"levels": list(levels), "nominal": round(levels[-1] - levels[0], 9)}
    return {
        name: told | _intervals_of({part: e[..., i] for part, e in errors.items()}, spec.vdids)
        for i, name in enumerate(spec.targets)
    }


def format_intervals(targets: dict[str, dict]) -> str:
    """A line for each target: how many readings its intervals hold, and how wide they are.

    Args:
        targets: as :func:`describe_errors` gives them, with ``intervals`` of
            :func:`describe_intervals`.
    """
    lines = []
    for name, target in targets.items():
        held = target["intervals"]
        if held["coverage_all"] is None:
            continue
        lower, upper = (f"{100 * held['levels'][place]:g}" for place in (0, -1))
        lines.append(
            f"{name}: {100 * held['coverage_all']:.1f} % of the readings are between the "
            f"quantiles {lower} % and {upper} % (nominal {100 * held['nominal']:g} %), "
            f"{held['width_all']:.4g} {target['unit']} apart".rstrip()
        )
    return "\n".join(lines)


def errors_of_target(errors: "dict[str, Tensor]", target: int) -> dict:
    """Errors of one target, as in :func:`describe_errors`, without its unit."""
    columns = {name: value[..., target] for name, value in errors.items()}
    report = {name: _plain(value) for name, value in columns.items()}
    report["rmse_mean_of_steps"] = _plain(columns["rmse"].nanmean())
    return report


def format_errors(targets: dict[str, dict], minutes: Sequence[float]) -> str:
    """Table of MAE, RMSE and MAPE at every quarter of the horizon, and over all of it.

    Args:
        targets: what :func:`describe_errors` gives.
        minutes: how far ahead each step is.
    """
    lines = []
    for name, target in targets.items():
        lines.append(format_row(headline(name, target), name_quarters(minutes)))
        of_size = target["unit"] != "deviations"  # from a mean, of which there is no percentage
        for error in ("mae", "rmse", "mape")[: 3 if of_size else 2]:
            label = f"  {error}{' %' if error == 'mape' else ''}"
            lines.append(format_row(label, quarters(target[error], target[f"{error}_all"])))
    return "\n".join(lines)


def headline(name: str, target: dict) -> str:
    """A target with its unit, if it has one."""
    return f"{name} [{target['unit']}]" if target["unit"] else name


def name_quarters(minutes: Sequence[float]) -> list[str]:
    """Heads of the columns of :func:`quarters`; in hours if all steps are whole ones."""
    shown = [minutes[step - 1] for step in _quarter_steps(len(minutes))]
    if whole_hours(minutes):
        return [*(f"{ahead / 60:g} h" for ahead in shown), "all"]
    return [*(f"{ahead:g} min" for ahead in shown), "all"]


def whole_hours(minutes: Sequence[float]) -> bool:
    """Whether all steps are so many whole hours ahead."""
    return all(ahead % 60 == 0 for ahead in minutes)


def quarters(values: Sequence[float | None], overall: float | None) -> list[str]:
    """Texts of the values at every quarter of the horizon, and of the one over all."""
    shown = [*(values[step - 1] for step in _quarter_steps(len(values))), overall]
    return ["-" if value is None else f"{value:.2f}" for value in shown]


def format_row(label: str, cells: Sequence[str]) -> str:
    """One line of a table of errors."""
    return label.ljust(22) + "".join(cell.rjust(9) for cell in cells)


def _quarter_steps(horizon: int) -> list[int]:
    return sorted({max(1, horizon * k // 4) for k in (1, 2, 3, 4)})


def _intervals_of(errors: "dict[str, Tensor]", vdids: Sequence[str]) -> dict:
    """Errors of the intervals of one target, each ``[4, ...]``."""
    named = {
        part: dict(zip(INTERVAL_ERRORS, map(_plain, values), strict=True))
        for part, values in errors.items()
        if part != "detector"
    }
    return {
        **{f"{error}_all": value for error, value in named["all"].items()},
        "by_step": named["step"],
        "by_hour": named["hour"],
        "by_detector": {
            vdid: dict(zip(INTERVAL_ERRORS, cast(list, _plain(own)), strict=True))
            for vdid, own in zip(vdids, errors["detector"].T, strict=True)
        },
    }


def _plain(value: "Tensor") -> float | list | None:
    """Numbers for JSON, which has no NaN."""
    values = value.tolist()
    if isinstance(values, list):
        return [None if math.isnan(v) else v for v in values]
    return None if math.isnan(values) else values
