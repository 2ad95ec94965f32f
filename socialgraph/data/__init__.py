"""From a series to batches: windows by index, splits, the graph's tensors, and the data module."""

from socialgraph.data.datamodule import TrafficDataModule
from socialgraph.data.graph import graph_tensors
from socialgraph.data.loading import Loading
from socialgraph.data.networks import NetworksDataModule
from socialgraph.data.split import DateSplit, DaySplit, ShareSplit, Split
from socialgraph.data.windows import WindowCollator, Windows, window_starts

__all__ = [
    "DateSplit",
    "DaySplit",
    "Loading",
    "NetworksDataModule",
    "ShareSplit",
    "Split",
    "TrafficDataModule",
    "WindowCollator",
    "Windows",
    "graph_tensors",
    "window_starts",
]
