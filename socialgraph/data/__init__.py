"""From a series to batches: windows by index, splits, the graph's tensors, and data modules."""

import importlib
from typing import TYPE_CHECKING

from socialgraph.data.graph import graph_tensors, placed_graph
from socialgraph.data.loading import Loading
from socialgraph.data.setting import setting_of
from socialgraph.data.split import DateSplit, DaySplit, ShareSplit, Split
from socialgraph.data.windows import WindowCollator, Windows, window_starts

if TYPE_CHECKING:
    from socialgraph.data.datamodule import TrafficDataModule
    from socialgraph.data.networks import Network, NetworksDataModule

__all__ = [
    "DateSplit",
    "DaySplit",
    "Loading",
    "Network",
    "NetworksDataModule",
    "ShareSplit",
    "Split",
    "TrafficDataModule",
    "WindowCollator",
    "Windows",
    "graph_tensors",
    "placed_graph",
    "setting_of",
    "window_starts",
]

# Lightning takes seconds to import, and a forecast needs none of it.
_WITH_LIGHTNING = {
    "Network": "networks",
    "NetworksDataModule": "networks",
    "TrafficDataModule": "datamodule",
}


def __getattr__(name: str) -> object:
    if name not in _WITH_LIGHTNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_WITH_LIGHTNING[name]}")
    return getattr(module, name)
