"""What is known of one feature of a series: in deviations, with what is usual, by windows."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from socialgraph.data.graph import placed_graph
from socialgraph.data.latest import check_latest, with_future
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
        self.collator = self._collate()
        self.collator.usual = ProfileSums(
            self.collator.values[:steps],
            self.collator.mask[:steps],
            self.collator.time_of_day,
            self.collator.day_of_week,
            self.collator.seconds,
            series.interval_minutes,
        )

    def batches(self, starts: Sequence[int] | np.ndarray) -> Iterator[dict[str, Tensor]]:
        """Batches of windows by their first steps, told what is usual but for their readings."""
        for first in range(0, len(starts), _BATCH):
            yield self.collator([int(s) for s in starts[first : first + _BATCH]])

    def observed(self, starts: np.ndarray) -> np.ndarray:
        """Of windows those that have a reading to forecast from, and one to compare with."""
        heard = np.isfinite(self.series.values).any(axis=(1, 2))
        before = np.concatenate([[0], np.cumsum(heard)])
        read = before[starts + self.windows.window]
        compared = before[starts + self.windows.length]
        return starts[(before[starts] < read) & (read < compared)]

    def latest(self) -> dict[str, Tensor]:
        """The one window at the end, whose targets are not known, told like those before it.

        Raises:
            ValueError: if the series is shorter than a window, ends in a gap, or without a reading.
        """
        check_latest(self.series, self.windows)
        (batch,) = self.batches([len(self.series.timestamps) - self.windows.window])
        return batch

    def _collate(self) -> WindowCollator:
        """Of the series, and of the steps after it that are forecast."""
        windows = self.windows
        whole = with_future(self.series, len(self.series.timestamps), windows.horizon)
        return WindowCollator(*whole, self.series.timezone, windows, 1, self.graph)
