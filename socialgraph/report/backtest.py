"""What a backtest found, from the ``backtest.json`` of ``socialgraph backtest``."""

import json
from pathlib import Path

from socialgraph.backtest.show import format_difference
from socialgraph.report.scoring import NETWORK
from socialgraph.spec import DataSpec

__all__ = ["read_backtest"]


def read_backtest(path: str | Path, target: str, spec: DataSpec) -> dict:
    """Errors of every forecaster over all folds and in each, and the paired tests.

    Args:
        path: folder of the backtest, or its ``backtest.json``.
        target: the target that is told of.
        spec: what the report is of.

    Returns:
        ``models``: for each its ``name``, ``mae`` by step, ``mae_all``, ``folds`` (MAE in each) and
        ``test`` (the network's difference with its interval, as text; empty for the network);
        ``folds``: first minute of each (local clock); ``refit``, ``step``, ``days``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no backtest, or of another target, unit or horizon.
    """
    path = Path(path)
    path = path / "backtest.json" if path.is_dir() else path
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return _tell(report, path, target, spec)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"'{path}' is no result of a backtest ({type(error).__name__}: {error}). Write one "
            "with 'socialgraph backtest'."
        ) from error


def _difference(test: dict) -> str:
    return format_difference(test).replace("-", "−")


def _tell(report: dict, path: Path, target: str, spec: DataSpec) -> dict:
    targets = report["models"][NETWORK]["targets"]
    unit = spec.units[spec.targets.index(target)]
    own = [(name, found["unit"]) for name, found in targets.items()]
    if (target, unit) not in own or report["horizon_minutes"] != spec.horizon_minutes:
        raise ValueError(
            f"'{path}' is a backtest of {own} up to {report['horizon_minutes'][-1]:g} minutes "
            f"ahead, and the report of {(target, unit)} up to {spec.horizon_minutes[-1]:g}. Give "
            "that of the same data and windows."
        )
    tests = report["tests"]["rivals"]
    models = []
    for name, found in report["models"].items():
        errors = found["targets"][target]
        by_fold = errors["by"]["fold"]
        models.append(
            {
                "name": name.replace("_", " "),
                "mae": errors["mae"],
                "mae_all": errors["mae_all"],
                "folds": [
                    by_fold.get(str(fold["number"] + 1), {}).get("mae") for fold in report["folds"]
                ],
                "test": "" if name == NETWORK else _difference(tests[name][target]["all"]),
            }
        )
    return {
        "models": models,
        "folds": [fold["tested_from"][:16] for fold in report["folds"]],
        "refit": report["options"]["refit"],
        "step": report["options"]["step"],
        "days": report["tests"]["days"],
    }
