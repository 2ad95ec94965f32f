"""The figures of the page, as plain values that plotly.js draws."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from socialgraph.error_table import whole_hours
from socialgraph.layers import layer_of
from socialgraph.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SEQUENTIAL, SKY
from socialgraph.report.content import Content
from socialgraph.report.errors import gain
from socialgraph.report.scoring import NETWORK

__all__ = [
    "COLOURS",
    "backtest_figure",
    "coverage_figure",
    "detector_figure",
    "error_figure",
    "gain_figure",
    "numbers",
    "radius_figure",
    "training_figure",
    "week_figure",
    "width_figure",
]

COLOURS = {
    NETWORK: (BLUE, "solid"),
    "ridge": (GREEN, "dash"),
    "usual day": (ORANGE, "dashdot"),
    "last value": (RED, "dot"),
    "pooling off": (PURPLE, "dash"),
    "trained without pooling": (GREEN, "dot"),
    "daily profile": (ORANGE, "dashdot"),  # as a backtest calls the usual day
    "last week": (PURPLE, "dash"),
    "ets": (SKY, "dot"),
}


def numbers(values: Sequence | np.ndarray, digits: int = 4) -> list:
    """Values for JSON, rounded to significant digits of the largest; None where not known."""
    array = np.asarray(values, dtype=np.float64)
    known = np.isfinite(array)
    largest = float(np.abs(array[known]).max(initial=0.0))
    decimals = digits - 1 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    rounded = np.round(array, decimals).astype(object)
    rounded[~known] = None
    return rounded.tolist()


def error_figure(content: Content) -> dict:
    """MAE by horizon, of the network and its rivals."""
    minutes = content.subject.minutes
    lines = [
        _line(minutes, content.accuracy.errors[name]["mae"], name, 3 if name == NETWORK else 1.8)
        for name in (NETWORK, *content.accuracy.rivals)
    ]
    return _by_horizon(lines, f"MAE{_in_unit(content)}", minutes, zero=True)


def gain_figure(content: Content, names: Sequence[str]) -> dict:
    """Percent by which the MAE of the network is below that of others, by horizon."""
    own, minutes = content.accuracy.errors[NETWORK]["mae"], content.subject.minutes
    lines = []
    for name in names:
        other = content.accuracy.errors[name]["mae"]
        gains = [gain(a, b) for a, b in zip(own, other, strict=True)]
        percent = [None if g is None else 100 * g for g in gains]
        lines.append(_line(minutes, percent, name, 1.8, suffix=" %"))
    figure = _by_horizon(lines, "error below theirs [%]", minutes)
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    figure["layout"]["showlegend"] = True
    return figure


def coverage_figure(content: Content, coverage: dict) -> dict:
    """Share of the truth inside the interval, by horizon, beside what it should be."""
    minutes = content.subject.minutes
    wanted = [100 * content.accuracy.nominal] * len(minutes)
    shown = [100 * share for share in coverage["steps"]]
    lines = [
        _line(minutes, shown, "truth inside the interval", 3, (BLUE, "solid"), " %"),
        _line(minutes, wanted, "as it should be", 1.8, (GREY, "dash"), " %"),
    ]
    figure = _by_horizon(lines, "coverage [%]", minutes)
    low, high = min(wanted[0] - 5, *(s - 1 for s in shown)), max(wanted[0] + 5, *shown)
    figure["layout"]["yaxis"]["range"] = [low, min(high, 100.0)]
    return figure


def width_figure(content: Content, coverage: dict) -> dict:
    """Mean width of the interval, by horizon."""
    minutes = content.subject.minutes
    name, colour = "width of the interval", (BLUE, "solid")
    lines = [_line(minutes, coverage["width"], name, 3, colour)]
    label = f"mean width{_in_unit(content)}"
    return _by_horizon(lines, label, minutes, zero=True)


def backtest_figure(content: Content, found: dict) -> dict:
    """MAE of every forecaster in each fold of a backtest."""
    lines = []
    for model in found["models"]:
        width = 3 if model["name"] == NETWORK else 1.8
        line = _line([], model["folds"], model["name"], width)
        lines.append({**line, "x": found["folds"], "mode": "lines+markers"})
    figure = _figure(lines, "start of the fold", f"MAE{_in_unit(content)}", zero=True)
    figure["layout"]["xaxis"]["type"] = "date"
    return figure


def week_figure(content: Content) -> dict:
    """MAE by hour and weekday of the target."""
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    week = content.accuracy.week
    shown = [day for day in range(7) if np.isfinite(week[day]).any()]
    heat = {
        "type": "heatmap",
        "x": list(range(24)),
        "y": [days[day] for day in shown],
        "z": numbers(week[shown]),
        "colorscale": SEQUENTIAL,
        "hoverongaps": False,
        "xgap": 1.5,
        "ygap": 1.5,
        "hovertemplate": "%{y}, %{x}:00 to %{x}:59<br>MAE %{z}<extra></extra>",
        "colorbar": {
            "title": {"text": f"MAE{_in_unit(content)}", "font": {"size": 12}},
            "thickness": 10,
            "outlinewidth": 0,
        },
    }  # fmt: skip
    layout = {
        "height": 110 + 34 * max(3, len(shown)),
        "xaxis": {"title": {"text": "local hour"}, "dtick": 3, "range": [-0.5, 23.5], **_BARE},
        "yaxis": {"autorange": "reversed", **_BARE},
        "margin": {"l": 84},
    }
    return {"data": [heat], "layout": layout}


def detector_figure(content: Content) -> dict:
    """MAE of each detector by the network, against that by its usual day."""
    found = content.detectors.errors
    kept = np.flatnonzero(np.isfinite(found["mae"]) & np.isfinite(found["rival"]))
    end = float(max(found["rival"][kept].max(initial=0), found["mae"][kept].max(initial=0))) * 1.05
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(found["rival"][kept]),
        "y": numbers(found["mae"][kept]),
        "text": [escape(content.subject.vdids[node], quote=False) for node in kept],
        "customdata": kept.tolist(),
        "marker": {"color": BLUE, "size": 6, "opacity": 0.55, "line": {"width": 0}},
        "hovertemplate": "%{text}<br>network %{y}, usual day %{x}<extra></extra>",
        "showlegend": False,
    }  # fmt: skip
    equal = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, end],
        "y": [0, end],
        "line": {"color": GREY, "width": 1, "dash": "dash"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    figure = _figure(
        [equal, points], f"MAE of the usual day{_in_unit(content)}", "MAE of the network"
    )
    figure["layout"]["xaxis"]["range"] = figure["layout"]["yaxis"]["range"] = [0, end]
    figure["layout"]["hovermode"] = "closest"
    return figure


def training_figure(content: Content) -> dict:
    """Loss of the training and error of the validation, by epoch."""
    curves = content.origin.training
    shown = (
        ("train/loss", "loss of a training batch", GREY),
        ("val/mae", "MAE of validation", BLUE),
    )
    lines = [
        _line(curves[key]["epoch"], curves[key]["value"], name, 1.2 if colour == GREY else 3,
              (colour, "solid"))
        for key, name, colour in shown
        if key in curves
    ]  # fmt: skip
    return _by_epoch(lines, f"error{_in_unit(content)}")


def radius_figure(content: Content) -> dict:
    """Learned radii by epoch, one line for each head of each layer."""
    curves = content.origin.training
    names = [name for name in curves if name.startswith("radius/")]
    layers = list(dict.fromkeys(map(layer_of, names)))
    palette = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
    lines: list[dict] = []
    for name in names:
        layer = layer_of(name)
        km = [metres / 1000 for metres in curves[name]["value"]]
        line = _line(curves[name]["epoch"], km, layer, 1.6,
                     (palette[layers.index(layer) % len(palette)], "solid"), " km")  # fmt: skip
        first = all(other["legendgroup"] != layer for other in lines)
        lines.append({**line, "legendgroup": layer, "showlegend": first})
    return _by_epoch(lines, "learned radius [km]")


_BARE = {"showgrid": False, "zeroline": False, "ticks": ""}


def _line(
    x: Sequence,
    y: Sequence,
    name: str,
    width: float,
    colour: tuple[str, str] | None = None,
    suffix: str = "",
) -> dict:
    hue, dash = colour or COLOURS[name]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": numbers(x),
        "y": numbers(np.array(y, dtype=np.float64)),
        "line": {"color": hue, "width": width, "dash": dash},
        "hovertemplate": f"%{{y}}{suffix}",
    }


def _by_horizon(lines: list[dict], y: str, minutes: Sequence[float], zero: bool = False) -> dict:
    """Lines over ``minutes``, shown in hours if all are whole ones, with a tick at each quarter."""
    name, unit = ("hours", 60) if whole_hours(minutes) else ("minutes", 1)
    lines = [{**line, "x": [ahead / unit for ahead in minutes]} for line in lines]
    figure = _figure(lines, f"{name} ahead", y, zero)
    quarters = sorted({max(1, len(minutes) * k // 4) - 1 for k in (1, 2, 3, 4)})
    figure["layout"]["xaxis"]["tickvals"] = [minutes[q] / unit for q in quarters]
    return figure


def _by_epoch(lines: list[dict], y: str) -> dict:
    """Lines over the epochs, with ticks at whole ones."""
    figure = _figure(lines, "epoch", y)
    last = max((x for line in lines for x in line["x"] if x is not None), default=1)
    figure["layout"]["xaxis"]["dtick"] = max(1, math.ceil(last / 8))
    return figure


def _figure(lines: list[dict], x: str, y: str, zero: bool = False) -> dict:
    layout = {
        "height": 320,
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}, "rangemode": "tozero" if zero else "normal"},
        "hovermode": "x unified",
    }
    return {"data": lines, "layout": layout}


def _in_unit(content: Content) -> str:
    return f" [{escape(content.subject.unit, quote=False)}]" if content.subject.unit else ""
