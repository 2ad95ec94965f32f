"""Metrics of a training as CSV, kept when the training goes on."""

import csv
import os
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from socialgraph.atomic import replacing

__all__ = ["MetricsLogger"]


class MetricsLogger(CSVLogger):
    """Lightning's CSVLogger, except that ``metrics.csv`` keeps the rows of earlier epochs.

    Lightning's own deletes the file when anything is logged in its folder again. Here a training
    replaces the rows from the step on at which it begins, and everything else is added.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the files."""
        if self._experiment is None:
            os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = _KeepingWriter(log_dir=self.log_dir)
        return self._experiment

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Drop the rows of ``step`` and later: a training begins there."""
        self.experiment.keep_rows_before(step)


class _KeepingWriter(ExperimentWriter):
    """Goes on behind the rows that are there."""

    def keep_rows_before(self, step: int) -> None:
        """Drop the rows of ``step`` and later."""
        if not Path(self.metrics_file_path).is_file():
            return
        with open(self.metrics_file_path, newline="") as file:
            rows = [
                row
                for row in csv.DictReader(file)
                if (row["step"] or "").isdigit() and int(row["step"]) < step  # else half written
            ]
        with (
            replacing(self.metrics_file_path) as temporary,
            open(temporary, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)

    def _check_log_dir_exists(self) -> None:
        """Delete nothing, and go on with the columns that are there."""
        if Path(self.metrics_file_path).is_file():
            with open(self.metrics_file_path, newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or [])
