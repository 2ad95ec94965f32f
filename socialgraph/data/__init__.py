"""From the HDF5 file to batches: windows by index, the radius graph, and the data module."""

from socialgraph.data.datamodule import TrafficDataModule
from socialgraph.data.windows import (
    WindowCollator,
    split_windows,
    time_covariates,
    window_starts,
)

__all__ = [
    "TrafficDataModule",
    "WindowCollator",
    "split_windows",
    "time_covariates",
    "window_starts",
]
