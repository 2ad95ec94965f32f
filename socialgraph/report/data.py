"""What the script of the page reads: figures, map and details as JSON."""

import json

import numpy as np

from socialgraph.palette import DIVERGING, SEQUENTIAL
from socialgraph.report import figures
from socialgraph.report.content import Content
from socialgraph.report.figures import numbers
from socialgraph.report.scoring import POOLED

__all__ = ["lead", "page_data", "to_json"]


def page_data(content: Content) -> dict:
    """Plain values for the script, of what :func:`socialgraph.report.collect.collect` gives."""
    detectors = content.detectors.errors
    influences = content.details.influences or {"hours": [], "steps": []}
    return {
        "target": content.subject.target,
        "unit": content.subject.unit,
        "vdids": content.subject.vdids,
        "nominal": content.accuracy.nominal,
        "every": content.tested.every,
        "figures": _figures(content),
        "colours": _colours(content),
        "rival": numbers(detectors["rival"], 6),
        "why": {str(worst["node"]): "; ".join(worst["why"]) for worst in content.detectors.worst},
        "map": _map(content),
        "day": {
            "time": [str(time) for time in content.details.day["time"].astype("datetime64[m]")],
            "leads": [lead(content.subject.minutes[step]) for step in content.details.day_steps],
        },
        "hours": influences["hours"],
        "quarters": [lead(content.subject.minutes[step]) for step in influences["steps"]],
        "details": {str(n): _detail(content, k, n) for k, n in enumerate(content.details.chosen)},
        "first": content.detectors.worst[0]["node"],
    }  # fmt: skip


def to_json(value: dict) -> str:
    """JSON that may stand in a page: no tag of it can end its script."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def lead(minutes: float) -> str:
    """How far ahead, in words."""
    return f"{minutes / 60:g} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes:g} min"


def _figures(content: Content) -> dict:
    found = {
        "errors": figures.error_figure(content),
        "gains": figures.gain_figure(content, content.accuracy.rivals),
        "week": figures.week_figure(content),
        "detectors": figures.detector_figure(content),
    }
    if pooled := [name for name in POOLED if name in content.accuracy.errors]:
        found["pooling"] = figures.gain_figure(content, pooled)
    if content.backtest is not None:
        found["backtest"] = figures.backtest_figure(content, content.backtest)
    if (coverage := content.accuracy.coverage) is not None:
        found["coverage"] = figures.coverage_figure(content, coverage)
        found["width"] = figures.width_figure(content, coverage)
    if any(not name.startswith("radius/") for name in content.origin.training):
        found["training"] = figures.training_figure(content)
    if any(name.startswith("radius/") for name in content.origin.training):
        found["radius"] = figures.radius_figure(content)
    return found


def _colours(content: Content) -> dict:
    """What the dots of the map may show."""
    detectors, unit = content.detectors.errors, content.subject.unit
    in_unit = f" [{unit}]" if unit else ""
    largest = _quantile(detectors["mae"], 0.98)
    bias = _quantile(np.abs(detectors["bias"]), 0.98)
    colours = {
        "mae": _colour(detectors["mae"], f"MAE{in_unit}", SEQUENTIAL, 0, largest, ".3~f"),
        "bias": _colour(detectors["bias"], f"bias{in_unit}", DIVERGING, -bias, bias, "+.3~f"),
        "missing": _colour(detectors["missing"], "missing", SEQUENTIAL, 0,
                           max(0.01, float(detectors["missing"].max())), ".1%"),
    }  # fmt: skip
    if "coverage" in detectors:
        wanted = content.accuracy.nominal
        off = max(0.01, _quantile(np.abs(detectors["coverage"] - wanted), 0.98))
        colours["coverage"] = _colour(
            detectors["coverage"], "coverage", DIVERGING, wanted - off, wanted + off, ".1%"
        )
    return colours


def _colour(
    values: np.ndarray, title: str, scale: list, low: float, high: float, tickformat: str
) -> dict:
    ends = {"min": low, "max": max(high, low + 1e-9)}
    return {
        "values": numbers(values, 6),
        "title": title,
        "scale": scale,
        "format": tickformat,
        **ends,
    }


def _map(content: Content) -> dict | None:
    """Positions in kilometres, and each pair of neighbours once; None without a position."""
    placed = np.flatnonzero(np.isfinite(content.detectors.pos).all(axis=1))
    if not len(placed):
        return None
    km = (content.detectors.pos - content.detectors.pos[placed].mean(axis=0)) / 1000
    pairs = np.unique(np.sort(content.detectors.edges, axis=0), axis=1)
    return {
        "x": numbers(km[:, 0], 6),
        "y": numbers(km[:, 1], 6),
        "nodes": placed.tolist(),
        "edges": pairs[:, pairs[0] < pairs[1]].T.tolist(),
        "layers": list(content.detectors.radii.values()),
        "layer_names": list(content.detectors.radii),
    }


def _detail(content: Content, place: int, node: int) -> dict:
    day = content.details.day
    told = {
        "truth": numbers(day["truth"][:, node]),
        "usual": numbers(day["usual"][:, node]),
        "forecast": [
            numbers(day[f"forecast_{step}"][:, node]) for step in content.details.day_steps
        ],
    }
    for name in ("low", "high"):
        if name in day:
            told[name] = numbers(day[name][:, node])
    if content.details.neighbours:
        found = content.details.neighbours[place]
        told["neighbours"] = {
            "sender": found["sender"].tolist(),
            **{name: numbers(part, 3) for name, part in found.items() if name != "sender"},
        }
    return told


def _quantile(values: np.ndarray, share: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if len(known) else 1.0
