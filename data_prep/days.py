"""The readings of a file, local day by local day."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from socialgraph import schema
from socialgraph.calendar import to_local
from socialgraph.series import TrafficSeries

__all__ = ["read_days"]


def read_days(
    path: str | Path, outline: TrafficSeries
) -> Iterator[tuple[np.datetime64, int, np.ndarray]]:
    """Each local day of a file with its first step and its readings ``[t, N, F]``.

    Args:
        path: the file.
        outline: as :func:`socialgraph.schema.read_outline` gives it.

    Raises:
        SchemaError: if the file is damaged.
    """
    days = to_local(outline.timestamps, outline.timezone).astype("datetime64[D]")
    borders = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    blocks = schema.read_blocks(path)
    held = np.empty((0, *outline.values.shape[1:]), dtype=np.float32)
    held_from = 0
    for start, stop in pairwise(borders):
        parts = [held[start - held_from :]]
        while sum(map(len, parts)) < stop - start:
            parts.append(next(blocks)[1])
        held = np.concatenate(parts) if len(parts) > 1 else parts[0]
        held_from = start
        yield days[start], start, held[: stop - start]
