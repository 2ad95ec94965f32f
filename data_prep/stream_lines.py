"""The newest readings of a file as lines that ``socialgraph stream`` reads."""

import csv
from pathlib import Path
from typing import TextIO

import numpy as np

from socialgraph import schema

__all__ = ["StreamLines"]


class StreamLines:
    """Lines of the steps that a file gets, one for each time, behind a header.

    A column is called by its detector, or ``<id>:<feature>`` if the file has several features.
    Detectors that the file gets later are left out: the header has been read by then.

    Args:
        path: the file, which may not exist yet; steps that it has now are not written.
        out: where lines go.
    """

    def __init__(self, path: Path, out: TextIO) -> None:
        self._path, self._out = path, out
        self._rows = csv.writer(out, lineterminator="\n")
        self._num_steps = len(schema.read_outline(path).timestamps) if path.exists() else 0
        self._num_nodes: int | None = None

    def write_new(self) -> None:
        """Write the steps that came since, if the file is there, and flush."""
        if not self._path.exists():
            return
        series = schema.read_outline(self._path)
        if self._num_nodes is None:
            self._num_nodes = len(series.vdids)
            one = len(series.feature_names) == 1
            names = [
                vdid if one else f"{vdid}:{feature}"
                for vdid in series.vdids
                for feature in series.feature_names
            ]
            self._rows.writerow(["timestamp", *names])
        stop = len(series.timestamps)
        values = schema.read_steps(self._path, self._num_steps, stop)[:, : self._num_nodes]
        for time, row in zip(series.timestamps[self._num_steps :], values, strict=True):
            self._rows.writerow([f"{time}Z", *map(_cell, row.ravel())])
        self._out.flush()
        self._num_steps = stop


def _cell(value: np.float32) -> str:
    return "" if np.isnan(value) else np.format_float_positional(value, trim="-")
