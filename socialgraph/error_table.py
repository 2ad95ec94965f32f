"""Errors of forecasts for people and for JSON."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from socialgraph.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "describe_errors",
    "errors_of_target",
    "format_errors",
    "format_row",
    "headline",
    "name_quarters",
    "quarters",
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
        for error in ("mae", "rmse", "mape"):
            label = f"  {error}{' %' if error == 'mape' else ''}"
            lines.append(format_row(label, quarters(target[error], target[f"{error}_all"])))
    return "\n".join(lines)


def headline(name: str, target: dict) -> str:
    """A target with its unit, if it has one."""
    return f"{name} [{target['unit']}]" if target["unit"] else name


def name_quarters(minutes: Sequence[float]) -> list[str]:
    """Heads of the columns of :func:`quarters`."""
    return [*(f"{minutes[step - 1]:g} min" for step in _quarter_steps(len(minutes))), "all"]


def quarters(values: Sequence[float | None], overall: float | None) -> list[str]:
    """Texts of the values at every quarter of the horizon, and of the one over all."""
    shown = [*(values[step - 1] for step in _quarter_steps(len(values))), overall]
    return ["-" if value is None else f"{value:.2f}" for value in shown]


def format_row(label: str, cells: Sequence[str]) -> str:
    """One line of a table of errors."""
    return label.ljust(22) + "".join(cell.rjust(9) for cell in cells)


def _quarter_steps(horizon: int) -> list[int]:
    return sorted({max(1, horizon * k // 4) for k in (1, 2, 3, 4)})


def _plain(value: "Tensor") -> float | list | None:
    """Numbers for JSON, which has no NaN."""
    values = value.tolist()
    if isinstance(values, list):
        return [None if math.isnan(v) else v for v in values]
    return None if math.isnan(values) else values
