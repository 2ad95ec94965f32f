"""Metrics of a training as CSV, kept when the training goes on."""

import csv
import os
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment

from socialgraph.atomic import replacing

__all__ = ["MetricsLogger"]


class MetricsLogger(CSVLogger):
    """Lightning's CSVLogger, except that ``metrics.csv`` keeps the rows of earlier epochs.

    Lightning's own deletes the file when a training goes on in its folder. Here rows of steps that
    the training comes to again are replaced, and all before them stay.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the files."""
        if self._experiment is None:
            os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = _KeepingWriter(log_dir=self.log_dir)
        return self._experiment


class _KeepingWriter(ExperimentWriter):
    """Goes on after the rows of earlier steps."""

    _is_first = True

    def save(self) -> None:
        """Add the recorded rows to the file."""
        if self.metrics and self._is_first:
            self._is_first = False
            if Path(self.metrics_file_path).is_file():
                self._keep_rows_before(min(row["step"] for row in self.metrics))
        super().save()

    def _keep_rows_before(self, step: int) -> None:
        with open(self.metrics_file_path, newline="") as file:
            reader = csv.DictReader(file)
            self.metrics_keys = list(reader.fieldnames or [])
            rows = [row for row in reader if int(row["step"]) < step]
        with (
            replacing(self.metrics_file_path) as temporary,
            open(temporary, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)

    def _check_log_dir_exists(self) -> None:
        """Delete nothing."""
