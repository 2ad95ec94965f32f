"""A picture of a forecast table, also as ``python -m socialgraph.plot``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from socialgraph import schema
from socialgraph.atomic import replacing
from socialgraph.graph import build_radius_graph, project

__all__ = ["main", "plot_forecast"]


def plot_forecast(
    forecast: str | Path,
    data: str | Path,
    picture: str | Path,
    radius: float = 2000.0,
    num_detectors: int = 3,
) -> None:
    """Draw forecast against truth for some detectors, and a map of all with the radius graph.

    The day is the one on which readings vary most, and the detectors those where they do; on the
    map, colour is the mean absolute error over the whole table.

    Args:
        forecast: Parquet table of ``socialgraph predict``, on windows with known truth
            (``data.predict_on: test``) for the error; without truth only the forecast is drawn.
        data: HDF5 file that was forecast, for positions and units.
        picture: file to write; its ending gives the format.
        radius: edges up to this length are drawn, in metres.
        num_detectors: how many detectors get a panel.

    Raises:
        ValueError: where the table has no forecast.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = pq.read_table(forecast)
    if table.num_rows == 0 or table.num_columns < 6:
        raise ValueError(f"'{forecast}' holds no forecast. Write one with 'socialgraph predict'.")
    target = table.column_names[4]
    series = schema.read(data, [target])
    unit = series.units[0]
    day, vdids = _liveliest(table, target, num_detectors)
    figure = pyplot.figure(figsize=(14, 3 * max(2, num_detectors)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.5))
    _draw_map(left.subplots(), table, target, unit, series, radius)
    panels = right.subplots(num_detectors, 1, sharex=True, squeeze=False)[:, 0]
    for axes, vdid in zip(panels, vdids, strict=False):
        _draw_series(axes, day.filter(pc.field("vdid") == vdid), target, unit, vdid)
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=110, format=Path(picture).suffix[1:] or "png")
    pyplot.close(figure)


def _group(table: pa.Table, column: str, how: str) -> dict[str, float]:
    grouped = table.group_by("vdid").aggregate([(column, how)])
    values = grouped[f"{column}_{how}"].to_pylist()
    return dict(zip(grouped["vdid"].to_pylist(), values, strict=True))


def _liveliest(table: pa.Table, target: str, count: int) -> tuple[pa.Table, list[str]]:
    """Rows of the day on which readings vary most, and the detectors where they do."""
    shown = f"{target}_observed" if table[f"{target}_observed"].null_count < len(table) else target
    days = pc.floor_temporal(table["timestamp"], unit="day")
    spread = table.select([shown]).append_column("day", days).group_by("day")
    spread = spread.aggregate([(shown, "stddev")]).sort_by([(f"{shown}_stddev", "descending")])
    rows = table.filter(pc.equal(days, spread["day"][0]))
    by_detector = _group(rows, shown, "stddev")
    return rows, sorted(by_detector, key=lambda v: by_detector[v] or 0.0, reverse=True)[:count]


def _draw_map(axes, table, target, unit, series, radius) -> None:
    from matplotlib.collections import LineCollection

    pos = project(series.lat, series.lon)
    known = np.isfinite(pos).all(axis=1)
    if known.any():
        pos_km = pos / 1000
        (sender, receiver), _ = build_radius_graph(pos[known], radius)
        once = sender < receiver
        sender, receiver = sender[once], receiver[once]
        lines = np.stack([pos_km[known][sender], pos_km[known][receiver]], axis=1)
        axes.add_collection(LineCollection(lines, colors="0.75", linewidths=0.6, zorder=1))
        table = table.append_column(
            "error", pc.abs(pc.subtract(table[target], table[f"{target}_observed"]))
        )
        error = _group(table, "error", "mean")
        colour = [
            error.get(vdid) if error.get(vdid) is not None else np.nan for vdid in series.vdids
        ]
        points = axes.scatter(*pos_km[known].T, c=np.array(colour)[known], s=22, cmap="viridis_r")
        axes.figure.colorbar(
            points, ax=axes, location="bottom", label=f"mean absolute error of {target} [{unit}]"
        )
    axes.set_aspect("equal")
    axes.set(xlabel="x [km]", ylabel="y [km]")
    axes.set_title(f"{len(series.vdids)} detectors, edges up to {radius:g} m", fontsize=10)


def _draw_series(axes, rows: pa.Table, target: str, unit: str, vdid: str) -> None:
    rows = rows.sort_by("timestamp")
    steps = sorted(set(rows["step"].to_pylist()))
    if len(set(rows["issued"].to_pylist())) == 1:
        axes.plot(rows["timestamp"], rows[target], ".-", label="forecast")
    else:
        first = rows.filter(pc.field("step") == steps[0])
        axes.plot(first["timestamp"], first[f"{target}_observed"], "k", lw=1, label="observed")
        for step in (steps[max(0, len(steps) // 4 - 1)], steps[-1]):
            ahead = rows.filter(pc.field("step") == step)
            minutes = (ahead["timestamp"][0].as_py() - ahead["issued"][0].as_py()).seconds // 60
            axes.plot(ahead["timestamp"], ahead[target], lw=1, label=f"{minutes} min before")
    axes.set_ylabel(f"{target} [{unit}]")
    axes.set_title(vdid, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelrotation=20)
    axes.grid(alpha=0.3)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw from the command line; the exit status."""
    parser = argparse.ArgumentParser("python -m socialgraph.plot", description=__doc__)
    parser.add_argument("forecast", help="Parquet table of 'socialgraph predict'")
    parser.add_argument("data", help="HDF5 file that was forecast")
    parser.add_argument("picture", help="file to write, .png, .pdf or .svg")
    parser.add_argument("--radius", type=float, default=2000.0, help="longest edge drawn, metres")
    parser.add_argument("--detectors", type=int, default=3, help="panels")
    args = parser.parse_args(argv)
    try:
        plot_forecast(args.forecast, args.data, args.picture, args.radius, args.detectors)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"picture: {args.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
