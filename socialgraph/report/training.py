"""The curves of a training, from the ``metrics.csv`` of its run."""

import csv
import math
import re
from pathlib import Path

__all__ = ["metrics_file", "read_training"]

_MOST_POINTS = 400  # of a curve


def metrics_file(ckpt_path: str | Path) -> Path | None:
    """``metrics.csv`` of the run of a checkpoint, beside it or in the folder above; else None."""
    folder = Path(ckpt_path).resolve().parent
    found = (place / "metrics.csv" for place in (folder, folder.parent))
    return next((path for path in found if path.is_file()), None)


def read_training(path: str | Path) -> dict[str, dict[str, list[float]]]:
    """Curves of a training.

    Args:
        path: ``metrics.csv`` of :class:`socialgraph.logger.MetricsLogger`.

    Returns:
        For ``train/loss``, ``val/mae`` and each ``radius/...`` (metres) that was logged, ``epoch``
        (a fraction for what is logged by step) and ``value``. Rows that cannot be read are left
        out, as a training may still be writing.
    """
    with open(path, newline="", errors="replace") as file:
        rows = [row for row in csv.DictReader(file) if _number(row.get("epoch")) is not None]
    names = {name for row in rows for name in row if name}
    kept = [n for n in sorted(names) if re.fullmatch(r"train/loss|val/mae|radius/\w+", n)]
    curves = {name: _curve(rows, name) for name in kept}
    return {name: curve for name, curve in curves.items() if curve["value"]}


def _curve(rows: list[dict], name: str) -> dict[str, list[float]]:
    last_step: dict[float, float] = {}
    for row in rows:
        step = _number(row.get("step"))
        if step is not None:
            epoch = float(row["epoch"])
            last_step[epoch] = max(step, last_step.get(epoch, 0.0))
    points = []
    for row in rows:
        value, step = _number(row.get(name)), _number(row.get("step"))
        if value is not None:
            epoch = float(row["epoch"])
            first = last_step.get(epoch - 1, -1.0)
            length = last_step.get(epoch, first) - first
            share = (step - first) / length if step is not None and length > 0 else 1.0
            points.append((epoch + min(1.0, max(0.0, share)), value))
    points = points[:: -(-len(points) // _MOST_POINTS) or 1]
    return {"epoch": [epoch for epoch, _ in points], "value": [value for _, value in points]}


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
