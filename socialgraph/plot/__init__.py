"""Pictures of a forecast table, also as ``socialgraph plot``."""

from socialgraph.plot.command import main, plot_forecast
from socialgraph.plot.figure import draw_forecast
from socialgraph.plot.table import read_forecast

__all__ = ["draw_forecast", "main", "plot_forecast", "read_forecast"]
