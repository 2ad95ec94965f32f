"""Callbacks that leave results on disk: test errors as JSON, forecasts as CSV and Parquet."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytorch_lightning as pl
from pytorch_lightning.callbacks import BasePredictionWriter, Callback
from torch import Tensor

from socialgraph.alarms import AlarmWatch, make_watch
from socialgraph.atomic import beside, refuse_replacing, replacing
from socialgraph.calendar import format_local
from socialgraph.error_table import (
    describe_errors,
    describe_intervals,
    format_errors,
    format_intervals,
)
from socialgraph.protocol import describe_protocol
from socialgraph.quiet import last_reading
from socialgraph.spec import DataSpec
from socialgraph.table import forecast_schema, forecast_table

__all__ = ["ErrorWriter", "ForecastWriter"]

# Windows before the latest one that are forecast too, for its alarms: a day and a half of readings
# every five minutes, after which a drift, which takes a day, is told from an incident.
_WATCHED = 432


class ErrorWriter(Callback):
    """Writes the errors of ``test`` as JSON beside the checkpoint.

    The file is ``<checkpoint>.test.json``, or ``test.json`` in the trainer's root folder if no
    checkpoint was given. Errors are per target and step, in the unit of the target, and as the two
    averages in use (over all targets at once, and the mean of the steps), with the protocol by
    which they were measured (:func:`socialgraph.protocol.describe_protocol`). If intervals are
    told, their errors come by target as ``intervals``, by step, detector and hour. If some
    detectors were not in training, their errors come again alone, as ``unseen``. The errors of a
    test that was limited to some batches are told and not written.

    Args:
        path: another place for the file.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse to replace what is read."""
        refuse_replacing(self._place(trainer), trainer.ckpt_path, *trainer.datamodule.paths)

    def _place(self, trainer: pl.Trainer) -> Path:
        return Path(self.path or _beside_checkpoint(trainer, "test.json"))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file, on the first process."""
        whole = sum(trainer.num_test_batches) == len(trainer.test_dataloaders)
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        if not whole:
            given = pl_module.given
            errors = describe_errors(given, pl_module.test_errors)
            print(f"\n{format_errors(errors, given.horizon_minutes)}")
            print("not written, as the test was limited to some batches")
            return
        path = self._place(trainer)
        checkpoint = str(trainer.ckpt_path) if trainer.ckpt_path else None
        windows = len(trainer.test_dataloaders.dataset)
        report = {
            "checkpoint": checkpoint,
            "protocol": describe_protocol(trainer.datamodule),
            **_describe_test(pl_module.given, windows, pl_module.test_errors),
        }
        if pl_module.test_intervals is not None:
            told = pl_module.given, pl_module.test_intervals, pl_module.levels
            for name, intervals in describe_intervals(*told).items():
                report["targets"][name]["intervals"] = intervals
        if pl_module.unseen_errors is not None:
            report["unseen"] = {
                "detectors": [pl_module.given.vdids[i] for i in pl_module.unseen.tolist()],
                "targets": describe_errors(pl_module.given, pl_module.unseen_errors),
            }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
        minutes = report["horizon_minutes"]
        print(f"\n{format_errors(report['targets'], minutes)}")
        if pl_module.test_intervals is not None:
            print(f"\n{format_intervals(report['targets'])}")
        if "unseen" in report:
            print(
                f"\nthe {len(report['unseen']['detectors'])} detectors that were not in training:"
            )
            print(format_errors(report["unseen"]["targets"], minutes))
        print(f"test errors: {path}")


class ForecastWriter(BasePredictionWriter):
    """Writes forecasts as a table, one row per window, detector and step.

    The columns are those of :func:`socialgraph.table.forecast_schema`; in CSV, times are texts in
    ISO 8601 with their offset. Tables are written batch by batch and appear under their names when
    the last is in. Several processes write one table, in the order of the windows; they need a
    folder that all of them see.

    Args:
        path: where to write; None for beside the checkpoint. An ending ``.csv`` or
            ``.parquet`` chooses this format alone.
        formats: ``"csv"``, ``"parquet"`` or both.
        alarm_rate: false alarms of a detector and day that are accepted in the column ``alarm``
            (:class:`socialgraph.alarms.AlarmWatch`), if the training has calibrated alarms; test
            windows have them by one process alone. None for no column. For the alarms of the latest
            window the 432 before it are forecast too, and not written.
    """

    def __init__(
        self,
        path: str | None = None,
        formats: tuple[Literal["csv", "parquet"], ...] = ("csv", "parquet"),
        alarm_rate: float | None = 0.02,
    ) -> None:
        super().__init__("batch")
        self.alarm_rate = alarm_rate
        self.path = path
        self.formats = formats

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the temporary files."""
        self._stack = ExitStack()
        self._stem = self.path or str(_beside_checkpoint(trainer, "forecast"))
        self._formats = () if trainer.fast_dev_run else self.formats
        ending = Path(self._stem).suffix[1:]
        if ending in ("csv", "parquet"):
            self._stem = str(Path(self._stem).with_suffix(""))
            self._formats = self._formats and (ending,)
        self._spec, self._levels = pl_module.given, pl_module.levels
        self._schema = forecast_schema(self._spec, levels=self._levels)
        self._watch = self._make_watch(trainer, pl_module)
        if self._watch is not None:
            self._schema = self._schema.append(pa.field("alarm", pa.string()))
        if trainer.is_global_zero:
            self._tables = [self._open(Path(f"{self._stem}.{name}")) for name in self._formats]
        else:
            self._tables = [self._open(self._part(trainer.global_rank))] if self._formats else []

    def on_predict_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watch the windows before the latest one, if that is forecast alone."""
        if self._watch is None or trainer.datamodule.windows.predict_on == "test":
            return
        for batch in trainer.datamodule.before_latest(_WATCHED):
            pl_module.check_batch(batch)
            batch = trainer.precision_plugin.convert_input(batch)
            batch = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.predict_step_context():
                told = pl_module.outputs(pl_module.predict(batch))
            self._follow(told, batch)

    def write_on_batch_end(
        self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx
    ) -> None:
        """Add the rows of a batch."""
        table = forecast_table(prediction, self._spec, levels=self._levels)
        if self._watch is not None:
            alarms = np.repeat(self._follow(prediction, batch), self._spec.horizon)
            table = table.append_column("alarm", pa.array(alarms, pa.string()))
        for write in self._tables:
            write(table)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join the parts of all processes, and give the files their names."""
        if not trainer.is_global_zero:
            self._stack.close()
        trainer.strategy.barrier("parts of the forecast")
        if not trainer.is_global_zero:
            return
        for rank in range(1, trainer.world_size) if self._formats else ():
            for table in _read_part(self._part(rank), self._schema):
                for write in self._tables:
                    write(table)
        self._stack.close()
        print("forecast:", *(f"{self._stem}.{name}" for name in self._formats))

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remove the temporary files; tables of an earlier run stay as they were."""
        if trainer.predicting and hasattr(self, "_stack"):
            self._stack.__exit__(type(exception), exception, exception.__traceback__)

    def _make_watch(self, trainer: pl.Trainer, forecaster: pl.LightningModule) -> AlarmWatch | None:
        """What says which detectors are off, if this process sees all windows before its own."""
        asked = self._formats and self.alarm_rate is not None and forecaster.charts is not None
        divided = trainer.world_size > 1 and trainer.datamodule.windows.predict_on == "test"
        if not asked or divided:
            return None
        edges = trainer.datamodule.graph_tensors.get("edge_index")
        edges = None if edges is None else edges.numpy()
        return make_watch(forecaster.charts, forecaster.spec, self._spec, edges, self.alarm_rate)

    def _follow(self, prediction: dict[str, Tensor], batch: dict[str, Tensor]) -> np.ndarray:
        """The alarm of each window of a batch and detector, but for windows that never were."""
        found: list[str | None] = []
        quantiles = prediction["quantiles"].cpu().numpy()
        readings = last_reading(batch).unsqueeze(-1).cpu().numpy()
        times = batch["issued"].cpu().numpy().astype("datetime64[s]")
        for told in zip(times, quantiles, readings, strict=True):
            if not np.isnat(told[0]):
                found += self._watch.update(*told)
        return np.array(found, dtype=object)

    def _part(self, rank: int) -> Path:
        stem = Path(self._stem)
        return stem.with_name(f".{stem.name}.part{rank}.parquet")

    def _open(self, path: Path):
        """What adds a table to a file that appears when all is written."""
        temporary = self._stack.enter_context(replacing(path))
        if path.suffix != ".csv":
            writer = pa.parquet.ParquetWriter(str(temporary), self._schema)
            return self._stack.enter_context(writer).write_table
        schema = _with_texts(self._schema.empty_table(), self._spec).schema
        writer = self._stack.enter_context(pa.csv.CSVWriter(str(temporary), schema))
        return lambda table: writer.write_table(_with_texts(table, self._spec))


def _read_part(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    with pa.parquet.ParquetFile(path) as part:
        for group in range(part.num_row_groups):
            yield part.read_row_group(group).cast(schema)  # Parquet holds no seconds
    path.unlink()


def _with_texts(table: pa.Table, spec: DataSpec) -> pa.Table:
    """The table with times as texts on the local clock."""
    for name in ("issued", "time"):
        stamps = table[name].combine_chunks().dictionary_encode()
        seconds = pc.cast(stamps.dictionary, pa.int64()).to_numpy(zero_copy_only=False)
        texts = pa.array(format_local(seconds.astype("datetime64[s]"), spec.timezone), pa.string())
        column = texts.take(stamps.indices)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _beside_checkpoint(trainer: pl.Trainer, ending: str) -> Path:
    if trainer.ckpt_path:
        return beside(trainer.ckpt_path, ending)
    return Path(trainer.default_root_dir) / ending


def _describe_test(spec: DataSpec, windows: int, errors: dict[str, Tensor]) -> dict:
    return {
        "data": spec.source,
        "dataset_name": spec.dataset_name,
        "detectors": len(spec.vdids),
        "windows": windows,
        "split": spec.split,
        "window": spec.window,
        "horizon_minutes": spec.horizon_minutes,
        "targets": describe_errors(spec, errors),
    }
