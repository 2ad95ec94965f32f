"""Whole pictures of a forecast table."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from socialgraph.plot.drawing import (
    STYLE,
    draw_day,
    draw_fan,
    draw_history,
    draw_hours,
    draw_map,
    is_placed,
)
from socialgraph.plot.table import (
    check_detectors,
    has_truth,
    is_one_window,
    liveliest,
    target_of,
    with_truth,
)
from socialgraph.series import TrafficSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["Show", "draw_forecast"]

Show = Literal["overview", "days", "fan", "map", "hours"]


def draw_forecast(
    table: pa.Table,
    series: TrafficSeries,
    radius: float = 2000.0,
    num_detectors: int = 3,
    show: Show = "overview",
) -> "Figure":
    """Draw forecast against truth for some detectors, a map of all, and errors by hour.

    Panels are on the local clock. Of many windows they show the local day on which readings vary
    most; the detectors are those that vary most. On the map, colour is the mean absolute error over
    the whole table. Without truth, one window is drawn behind the readings of the hours before it,
    and colour is the forecast of the last step. Without positions there is no map.

    Args:
        table: forecast table; its first target is drawn, with its interval if it has quantiles.
        series: positions and units of its detectors.
        radius: edges up to this length are drawn, in metres.
        num_detectors: how many detectors get a panel.
        show: ``"overview"``, or one thing alone: ``"days"`` (what was forecast a quarter and a
            whole horizon before), ``"fan"`` (one whole forecast after the other), ``"map"``, or
            ``"hours"`` (errors by hour).

    Raises:
        ValueError: if the table has a detector that the series has not, or what is to be shown is
            not known.
    """
    import matplotlib
    from matplotlib.figure import Figure

    check_detectors(table, series)
    target, table = target_of(table), with_truth(table)
    quantity = f"{target} [{series.units[series.feature_names.index(target)]}]"
    _check_show(show, table, series)
    with matplotlib.rc_context(STYLE):
        if show == "map":
            figure = Figure(figsize=(9, 7.5), layout="constrained")
            draw_map(figure.subplots(), table, quantity, series, radius)
            return figure
        if show == "hours":
            figure = Figure(figsize=(9, 3.4), layout="constrained")
            draw_hours(figure.subplots(), table, quantity)
            return figure
        rows, vdids = liveliest(table, num_detectors + 1)
        shown, more = vdids[:num_detectors], vdids[num_detectors:]
        draw = draw_fan if show == "fan" else draw_day
        panels = _Panels(rows, quantity, series, target, draw)
        figure = Figure(figsize=(14, max(6.5, 2.6 * len(shown))), layout="constrained")
        right: Figure | SubFigure = figure
        if show == "overview" and is_placed(series).any():
            left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35), wspace=0.03)
            upper, lower = left.subplots(2, 1, height_ratios=(2.6, 1))
            draw_map(upper, table, quantity, series, radius)
            if has_truth(table):
                draw_hours(lower, table, quantity)
            elif more:
                panels.draw_one(lower, more[0])
            else:
                lower.remove()
        panels.draw_all(right, shown)
        return figure


class _Panels(NamedTuple):
    """Panels of detectors, over one time axis."""

    rows: pa.Table
    quantity: str
    series: TrafficSeries
    target: str
    draw: Callable

    def draw_all(self, right: "Figure | SubFigure", vdids: list[str]) -> None:
        panels = right.subplots(len(vdids), 1, sharex=True, squeeze=False)[:, 0]
        for axes, vdid in zip(panels, vdids, strict=True):
            self.draw_one(axes, vdid)
        panels[-1].set_xlabel(f"local time, {self.rows['time'].type.tz}")
        panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2)

    def draw_one(self, axes: "Axes", vdid: str) -> None:
        own = self.rows.filter(pc.field("detector") == vdid)
        if is_one_window(own) and not has_truth(own):
            features = [self.target]
            draw_history(axes, own, self.series.select(vdids=[vdid], features=features))
        self.draw(axes, own, self.quantity, vdid)


def _check_show(show: Show, table: pa.Table, series: TrafficSeries) -> None:
    if show == "map" and not is_placed(series).any():
        raise ValueError("No detector of the data has a position, so there is no map to draw.")
    if show == "hours" and not has_truth(table):
        raise ValueError(
            "The table holds no truth, so there are no errors to draw. Write one with 'socialgraph "
            "predict --data.windows.predict_on test'."
        )
