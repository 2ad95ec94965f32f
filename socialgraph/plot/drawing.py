"""What a picture is made of, each drawn on axes of matplotlib: map, day, fan, errors by hour."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from socialgraph.graph import RadiusGraph, project
from socialgraph.palette import BLUE, GREY, INK, ORANGE, SEQUENTIAL
from socialgraph.plot.table import (
    by_detector,
    by_hour,
    has_truth,
    is_one_window,
    lead,
    utc,
    with_error,
)
from socialgraph.series import TrafficSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["STYLE", "draw_day", "draw_fan", "draw_history", "draw_hours", "draw_map"]
__all__ += ["is_placed"]

#: Settings of matplotlib for all pictures.
STYLE = {
    "font.size": 10,
    "text.parse_math": False,  # names of detectors and units may hold any sign
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#c9cfd6",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "xtick.color": "#5b646e",
    "ytick.color": "#5b646e",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}
_DOT = 34.0


def draw_map(
    axes: "Axes", table: pa.Table, quantity: str, series: TrafficSeries, radius: float
) -> None:
    """Detectors where they are, in the colour of their error or forecast, with the radius graph.

    Those without a position are left out. The axes are filled: more of the surroundings is shown
    where the network is narrower.
    """
    placed = is_placed(series)
    series = series.select(vdids=[v for v, p in zip(series.vdids, placed, strict=True) if p])
    pos_km = project(series.lat, series.lon) / 1000
    _draw_edges(axes, pos_km, RadiusGraph(radius).build(series).edge_index)
    _draw_detectors(axes, pos_km, series.vdids, table, quantity)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(f"{len(series.vdids)} detectors, edges up to {radius:g} m; kilometres")


def is_placed(series: TrafficSeries) -> np.ndarray:
    """True for detectors with a position ``[N]``."""
    return np.isfinite(project(series.lat, series.lon)).all(axis=1)


def draw_day(axes: "Axes", rows: pa.Table, quantity: str, vdid: str) -> None:
    """One detector: the truth, and what was forecast a quarter and a whole horizon before."""
    rows = rows.sort_by("time")
    steps = sorted(rows["step"].unique().to_pylist())
    if has_truth(rows):
        _draw_truth(axes, rows)
    if is_one_window(rows):
        _draw_window(axes, rows, "forecast", marker=".")
    else:
        chosen = dict.fromkeys((steps[max(0, len(steps) // 4 - 1)], steps[-1]))
        for step, colour in zip(chosen, (BLUE, ORANGE), strict=False):
            ahead = rows.filter(pc.field("step") == step)
            label, values = f"{lead(ahead)} before", ahead["forecast"].to_numpy()
            axes.plot(utc(ahead["time"]), values, lw=1.3, color=colour, label=label)
    _label(axes, rows, quantity, vdid)


def draw_fan(axes: "Axes", rows: pa.Table, quantity: str, vdid: str) -> None:
    """One detector: the truth, and one whole forecast after the other, with its interval."""
    rows = rows.sort_by("time")
    if has_truth(rows):
        _draw_truth(axes, rows)
    issued = np.unique(utc(rows["issued"]))
    step = max(1, rows["step"].unique().to_numpy().size)
    label = "forecast, each made where its line begins"
    for time in issued[::step]:
        _draw_window(axes, rows.filter(pa.array(utc(rows["issued"]) == time)), label)
        label = None
    _label(axes, rows, quantity, vdid)


def draw_history(axes: "Axes", rows: pa.Table, series: TrafficSeries) -> None:
    """The readings of a detector before its forecast: of four times its reach, 3 hours or more."""
    issued = utc(rows["issued"])[0]
    reach = max(4 * (utc(rows["time"]).max() - issued), np.timedelta64(3, "h"))
    shown = (series.timestamps > issued - reach) & (series.timestamps <= issued)
    readings = series.values[shown, 0, 0]
    axes.plot(series.timestamps[shown], readings, color=INK, lw=1.3, label="observed")


def draw_hours(axes: "Axes", table: pa.Table, quantity: str) -> None:
    """Mean absolute error by the local hour of the target."""
    axes.bar(np.arange(24), np.nan_to_num(by_hour(table)), width=0.8, color=BLUE)
    axes.set_xlim(-0.6, 23.6)
    axes.set_xticks(range(0, 24, 3))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(f"local hour, {table['time'].type.tz}")
    axes.set_title(f"mean absolute error of {quantity} by hour")


def _draw_edges(axes: "Axes", pos_km: np.ndarray, edge_index: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    sender, receiver = edge_index[:, edge_index[0] < edge_index[1]]  # each pair once
    lines = np.stack([pos_km[sender], pos_km[receiver]], axis=1)
    axes.add_collection(LineCollection(lines, colors="#c9cfd6", linewidths=0.8, zorder=1))


def _draw_detectors(
    axes: "Axes", pos_km: np.ndarray, vdids: list[str], table: pa.Table, quantity: str
) -> None:
    """Points in the colour of their error, or of their last forecast; grey if it is not known."""
    from matplotlib.colors import LinearSegmentedColormap

    axes.scatter(*pos_km.T, c=GREY, s=_DOT, zorder=2)
    if has_truth(table):
        shown = by_detector(with_error(table), "error", "mean")
        label = f"mean absolute error of {quantity}"
    else:
        last = table.filter(pc.field("step") == pc.max(table["step"]))
        shown = by_detector(last, "forecast", "mean")
        label = f"forecast of {quantity}, {lead(last)} ahead"
    colour = np.array([shown.get(vdid) for vdid in vdids], dtype=np.float64)
    points = axes.scatter(
        *pos_km.T,
        c=colour,
        s=_DOT,
        cmap=LinearSegmentedColormap.from_list("socialgraph", SEQUENTIAL),
        edgecolors="#3c444d",
        linewidths=0.5,
        zorder=3,
    )
    bar = axes.figure.colorbar(points, ax=axes, location="bottom", label=label, aspect=40, pad=0.02)
    bar.outline.set_visible(False)


def _draw_truth(axes: "Axes", rows: pa.Table) -> None:
    times, places = np.unique(utc(rows["time"]), return_index=True)
    values = rows["observed"].to_numpy()[places]
    axes.plot(times, values, color=INK, lw=1.3, label="observed")


def _draw_window(axes: "Axes", rows: pa.Table, label: str | None, marker: str = "") -> None:
    """The forecasts of one window, with their interval if the table has it."""
    times = utc(rows["time"])
    if "low" in rows.column_names:
        low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
        named = None if label is None else "interval"
        axes.fill_between(times, low, high, color=BLUE, alpha=0.18, lw=0, label=named)
    axes.plot(times, rows["forecast"].to_numpy(), color=BLUE, lw=1.6, marker=marker, label=label)


def _label(axes: "Axes", rows: pa.Table, quantity: str, vdid: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    zone = rows["time"].type.tz
    axes.xaxis_date(zone)
    locator = AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axes.margins(x=0.01)
    axes.set_ylabel(quantity)
    axes.set_title(vdid)
