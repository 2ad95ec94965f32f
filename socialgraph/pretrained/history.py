"""What is known of one feature of a series: in deviations, with what is usual, by windows."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from socialgraph.data.graph import placed_graph
from socialgraph.data.latest import latest_window
from socialgraph.data.setting import setting_of
from socialgraph.data.windows import WindowCollator, Windows
from socialgraph.graph import GraphBuilder
from socialgraph.profile import ProfileSums
from socialgraph.series import TrafficSeries
from socialgraph.standard import ScaleBy, standardise

__all__ = ["History"]

_BATCH = 16


class History:
    """Windows of one feature of a series, as a network reads them that serves any.

    Args:
        series: with one feature.
        windows: what a window is.
        graph: joins the detectors; None for no neighbours.
        scale_by: as of :func:`socialgraph.standard.standardise`.
        steps: leading steps that are known; scales and what is usual come from these. None for all.

    Raises:
        ValueError: without a reading in these steps.
    """

    def __init__(
        self,
        series: TrafficSeries,
        windows: Windows,
        graph: GraphBuilder | None,
        scale_by: ScaleBy = "detector",
        steps: int | None = None,
    ) -> None:
        self.series, self.standard = standardise(series, steps, scale_by)
        self.windows = windows
        placed = placed_graph(graph, self.series, "Look at their positions if they should.")
        self.graph = {**placed, "setting": setting_of(self.series)}
        self.collator = self._collate(torch.from_numpy(self.series.values), series.timestamps)
        self.usual = ProfileSums(
            self.collator.values[:steps],
            self.collator.mask[:steps],
            self.collator.time_of_day,
            self.collator.day_of_week,
            self.collator.seconds,
            series.interval_minutes,
        )
        self.profile = self.usual.profile()

    def batches(self, starts: Sequence[int] | np.ndarray) -> Iterator[dict[str, Tensor]]:
        """Batches of windows by their first steps, told what is usual."""
        for first in range(0, len(starts), _BATCH):
            yield self._told(self.collator([int(s) for s in starts[first : first + _BATCH]]))

    def training_batches(self, starts: Sequence[int] | np.ndarray) -> Iterator[dict[str, Tensor]]:
        """The same for windows of the known steps, told what is usual but for their readings."""
        told = copy.copy(self.collator)
        told.usual = self.usual
        for first in range(0, len(starts), _BATCH):
            yield told([int(s) for s in starts[first : first + _BATCH]])

    def latest(self) -> dict[str, Tensor]:
        """The one window at the end, whose targets are not known.

        Raises:
            ValueError: if the series is shorter than a window, ends in a gap, or without a reading.
        """
        return self._told(self._collate(*latest_window(self.series, self.windows))([0]))

    def _collate(self, values: Tensor, timestamps: np.ndarray) -> WindowCollator:
        return WindowCollator(values, timestamps, self.series.timezone, self.windows, 1, self.graph)

    def _told(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        clocks = (
            torch.cat([batch[name], batch[f"target_{name}"]], dim=1)
            for name in ("time_of_day", "day_of_week")
        )
        mean, deviation = self.profile(*clocks)
        return {**batch, "profile": mean, "profile_deviation": deviation}
