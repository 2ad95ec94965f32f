"""A picture of a forecast table, also as ``socialgraph plot``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from socialgraph import schema
from socialgraph.atomic import replacing
from socialgraph.graph import RadiusGraph, project
from socialgraph.series import TrafficSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_forecast", "main", "plot_forecast", "read_forecast"]

_KEYS = ("issued", "time", "step", "detector")


def plot_forecast(
    forecast: str | Path,
    data: str | Path,
    picture: str | Path,
    radius: float = 2000.0,
    num_detectors: int = 3,
) -> None:
    """Write the picture of :func:`draw_forecast`.

    Args:
        forecast: Parquet table of ``socialgraph predict``; with ``data.windows.predict_on: test``
            it holds the truth as well.
        data: HDF5 file that was forecast, for positions and units.
        picture: file to write; its ending gives the format.
        radius: edges up to this length are drawn, in metres.
        num_detectors: how many detectors get a panel.

    Raises:
        ValueError: if the table is no forecast table, or one of other detectors.
    """
    table = read_forecast(forecast)
    series = schema.read(data, [_target(table)])
    figure = draw_forecast(table, series, radius, num_detectors)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=110, format=Path(picture).suffix[1:] or "png")


def read_forecast(path: str | Path) -> pa.Table:
    """Read a forecast table (:func:`socialgraph.table.forecast_schema`) from Parquet.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not Parquet, lacks a column, its times have no zone, or it has no row.
    """
    advice = "Write one with 'socialgraph predict'."
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"'{path}' is no Parquet table ({error}). {advice}") from error
    names = table.column_names
    lacking = [name for name in _KEYS if name not in names]
    if lacking or len(names) == len(_KEYS):
        raise ValueError(
            f"'{path}' is no forecast table: it lacks {lacking or 'a target'} beside its columns "
            f"{names}. {advice}"
        )
    without_zone = [name for name in _KEYS[:2] if not getattr(table[name].type, "tz", None)]
    if without_zone:
        raise ValueError(
            f"Expected times with a zone in '{path}' (got {table[without_zone[0]].type} in "
            f"'{without_zone[0]}'). {advice}"
        )
    if table.num_rows == 0:
        raise ValueError(f"'{path}' holds no forecast. {advice}")
    return table


def draw_forecast(
    table: pa.Table, series: TrafficSeries, radius: float = 2000.0, num_detectors: int = 3
) -> "Figure":
    """Draw forecast against truth for some detectors, and a map of all with the radius graph.

    Panels are on the local clock. Of many windows they show the local day on which readings vary
    most; the detectors are those that vary most. On the map, colour is the mean absolute error over
    the whole table. Without truth, one window is drawn behind the readings of the hours before it,
    and colour is the forecast of the last step. Without positions there is no map.

    Args:
        table: forecast table; its first target is drawn.
        series: positions and units of its detectors.
        radius: edges up to this length are drawn, in metres.
        num_detectors: how many detectors get a panel.

    Raises:
        ValueError: if the table has a detector that the series has not.
    """
    from matplotlib.figure import Figure

    _check_detectors(table, series)
    target, table = _target(table), _with_truth(table)
    quantity = f"{target} [{series.units[series.feature_names.index(target)]}]"
    rows, vdids = _liveliest(table, num_detectors)
    figure = Figure(figsize=(14, 3 * max(2, len(vdids))), layout="constrained")
    placed = np.isfinite(project(series.lat, series.lon)).all(axis=1)
    right = figure
    if placed.any():
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.5))
        known = series.select(vdids=[v for v, p in zip(series.vdids, placed, strict=True) if p])
        _draw_map(left.subplots(), table, quantity, known, radius)
    panels = right.subplots(len(vdids), 1, sharex=True, squeeze=False)[:, 0]
    for axes, vdid in zip(panels, vdids, strict=True):
        own = rows.filter(pc.field("detector") == vdid)
        if _is_one_window(own) and not _has_truth(own):
            _draw_history(axes, own, series.select(vdids=[vdid], features=[target]))
        _draw_series(axes, own, quantity, vdid)
    panels[-1].set_xlabel(f"local time, {table['time'].type.tz}")
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8)
    return figure


def _target(table: pa.Table) -> str:
    return next(name for name in table.column_names if name not in _KEYS)


def _check_detectors(table: pa.Table, series: TrafficSeries) -> None:
    strangers = sorted(set(table["detector"].unique().to_pylist()) - set(series.vdids))
    if strangers:
        raise ValueError(
            f"{len(strangers)} detectors of the forecast are not in the data, among them "
            f"{strangers[:5]}. Give the file that was forecast."
        )


def _with_truth(table: pa.Table) -> pa.Table:
    """The keys, the first target as ``forecast`` and its truth as ``observed``, null if unknown."""
    target = _target(table)
    unknown = pa.nulls(table.num_rows, pa.float32())
    known = f"{target}_observed" in table.column_names
    truth = table[f"{target}_observed"] if known else unknown
    columns = [table[name] for name in _KEYS]
    return pa.table([*columns, table[target], truth], [*_KEYS, "forecast", "observed"])


def _has_truth(table: pa.Table) -> bool:
    return table["observed"].null_count < table.num_rows


def _by_detector(table: pa.Table, column: str, how: str) -> dict[str, float | None]:
    grouped = table.group_by("detector").aggregate([(column, how)])
    values = grouped[f"{column}_{how}"].to_pylist()
    return dict(zip(grouped["detector"].to_pylist(), values, strict=True))


def _is_one_window(table: pa.Table) -> bool:
    return pc.count_distinct(table["issued"]).as_py() == 1


def _liveliest(table: pa.Table, count: int) -> tuple[pa.Table, list[str]]:
    """Rows of the local day on which readings vary most, and the detectors that do then."""
    shown = "observed" if _has_truth(table) else "forecast"
    if not _is_one_window(table):
        days = pc.floor_temporal(table["time"], unit="day")
        spread = table.select([shown]).append_column("day", days).group_by("day")
        spread = spread.aggregate([(shown, "stddev")]).sort_by([(f"{shown}_stddev", "descending")])
        table = table.filter(pc.equal(days, spread["day"][0]))
    spread = _by_detector(table, shown, "stddev")
    return table, sorted(spread, key=lambda v: spread[v] or 0.0, reverse=True)[:count]


def _draw_map(
    axes: "Axes", table: pa.Table, quantity: str, series: TrafficSeries, radius: float
) -> None:
    pos_km = project(series.lat, series.lon) / 1000
    _draw_edges(axes, pos_km, RadiusGraph(radius).build(series).edge_index)
    _draw_detectors(axes, pos_km, series.vdids, table, quantity)
    axes.set_aspect("equal")
    axes.set(xlabel="x [km]", ylabel="y [km]")
    axes.set_title(f"{len(series.vdids)} detectors, edges up to {radius:g} m", fontsize=10)


def _draw_edges(axes: "Axes", pos_km: np.ndarray, edge_index: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    sender, receiver = edge_index[:, edge_index[0] < edge_index[1]]  # each pair once
    lines = np.stack([pos_km[sender], pos_km[receiver]], axis=1)
    axes.add_collection(LineCollection(lines, colors="0.75", linewidths=0.6, zorder=1))


def _draw_detectors(
    axes: "Axes", pos_km: np.ndarray, vdids: list[str], table: pa.Table, quantity: str
) -> None:
    """Points in the colour of their error, or of their last forecast; grey if it is not known."""
    axes.scatter(*pos_km.T, c="0.6", s=22)
    if _has_truth(table):
        errors = pc.abs(pc.subtract(table["forecast"], table["observed"]))
        shown = _by_detector(table.append_column("error", errors), "error", "mean")
        label = f"mean absolute error of {quantity}"
    else:
        last = table.filter(pc.field("step") == pc.max(table["step"]))
        shown = _by_detector(last, "forecast", "mean")
        label = f"forecast of {quantity}, {_lead(last)} ahead"
    colour = np.array([shown.get(vdid) for vdid in vdids], dtype=np.float64)
    points = axes.scatter(*pos_km.T, c=colour, s=22, cmap="viridis_r")
    axes.figure.colorbar(points, ax=axes, location="bottom", label=label)


def _draw_history(axes: "Axes", rows: pa.Table, series: TrafficSeries) -> None:
    """The readings of a detector before its forecast: of four times its reach, 3 hours or more."""
    issued = _utc(rows["issued"])[0]
    reach = max(4 * (_utc(rows["time"]).max() - issued), np.timedelta64(3, "h"))
    shown = (series.timestamps > issued - reach) & (series.timestamps <= issued)
    axes.plot(series.timestamps[shown], series.values[shown, 0, 0], "k", lw=1, label="observed")


def _draw_series(axes: "Axes", rows: pa.Table, quantity: str, vdid: str) -> None:
    axes.xaxis_date(rows["time"].type.tz)
    rows = rows.sort_by("time")
    steps = sorted(rows["step"].unique().to_pylist())
    if _has_truth(rows):
        first = rows.filter(pc.field("step") == steps[0])
        shown = rows if _is_one_window(rows) else first
        axes.plot(_utc(shown["time"]), shown["observed"].to_numpy(), "k", lw=1, label="observed")
    if _is_one_window(rows):
        axes.plot(_utc(rows["time"]), rows["forecast"].to_numpy(), ".-", label="forecast")
    else:
        for step in dict.fromkeys((steps[max(0, len(steps) // 4 - 1)], steps[-1])):
            ahead = rows.filter(pc.field("step") == step)
            label = f"{_lead(ahead)} before"
            axes.plot(_utc(ahead["time"]), ahead["forecast"].to_numpy(), lw=1, label=label)
    axes.set_ylabel(quantity)
    axes.set_title(vdid, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelrotation=20)
    axes.grid(alpha=0.3)


def _utc(times: pa.ChunkedArray) -> np.ndarray:
    """Times as matplotlib takes them: UTC, to be shown in the zone of the axis."""
    return times.cast(pa.timestamp("s", tz="UTC")).to_numpy().astype("datetime64[s]")


def _lead(rows: pa.Table) -> str:
    """How long before their time the forecasts of one step were made."""
    minutes = (rows["time"][0].as_py() - rows["issued"][0].as_py()).total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes > 60 and minutes % 60 == 0 else f"{minutes:g} min"


def main(argv: Sequence[str] | None = None) -> None:
    """Draw from the command line."""
    parser = argparse.ArgumentParser("socialgraph plot", description=__doc__)
    parser.add_argument("forecast", help="Parquet table of 'socialgraph predict'")
    parser.add_argument("data", help="HDF5 file that was forecast")
    parser.add_argument("picture", help="file to write, .png, .pdf or .svg")
    parser.add_argument("--radius", type=float, default=2000.0, help="longest edge drawn, metres")
    parser.add_argument("--detectors", type=int, default=3, help="panels")
    args = parser.parse_args(argv)
    plot_forecast(args.forecast, args.data, args.picture, args.radius, args.detectors)
    print(f"picture: {args.picture}")
