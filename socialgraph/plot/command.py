"""The command ``socialgraph plot``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from socialgraph import schema
from socialgraph.atomic import replacing
from socialgraph.plot.figure import Show, draw_forecast
from socialgraph.plot.table import read_forecast, target_of

__all__ = ["main", "plot_forecast"]


def plot_forecast(
    forecast: str | Path,
    data: str | Path,
    picture: str | Path,
    radius: float = 2000.0,
    num_detectors: int = 3,
    show: Show = "overview",
) -> None:
    """Write the picture of :func:`socialgraph.plot.draw_forecast`.

    Args:
        forecast: Parquet table of ``socialgraph predict``; with ``data.windows.predict_on: test``
            it holds the truth as well.
        data: HDF5 file that was forecast, for positions and units.
        picture: file to write; its ending gives the format.
        radius: edges up to this length are drawn, in metres.
        num_detectors: how many detectors get a panel.
        show: what is drawn.

    Raises:
        ValueError: if the table is no forecast table, one of other detectors, or lacks what is to
            be drawn.
    """
    table = read_forecast(forecast)
    series = schema.read(data, [target_of(table)])
    figure = draw_forecast(table, series, radius, num_detectors, show)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=110, format=Path(picture).suffix[1:] or "png")


def main(argv: Sequence[str] | None = None) -> None:
    """Draw from the command line."""
    parser = argparse.ArgumentParser("socialgraph plot", description="Draw a table of forecasts.")
    add = parser.add_argument
    add("forecast", help="Parquet table of 'socialgraph predict'")
    add("data", help="HDF5 file that was forecast")
    add("picture", help="file to write, .png, .pdf or .svg")
    add("--show", choices=get_args(Show), default="overview", help="everything, or one thing alone")
    add("--radius", type=float, default=2000.0, help="longest edge drawn, metres")
    add("--detectors", type=int, default=3, help="panels")
    args = parser.parse_args(argv)
    plot_forecast(args.forecast, args.data, args.picture, args.radius, args.detectors, args.show)
    print(f"picture: {args.picture}")
