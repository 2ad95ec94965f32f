"""Callbacks that leave results on disk: test errors as JSON, forecasts as CSV and Parquet."""

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytorch_lightning as pl
from pytorch_lightning.callbacks import BasePredictionWriter, Callback
from torch import Tensor

from socialgraph.atomic import replacing

__all__ = ["ErrorWriter", "ForecastWriter"]


class ErrorWriter(Callback):
    """Writes the errors of ``test`` as JSON beside the checkpoint.

    The file is ``<checkpoint>.test.json``, or ``test.json`` in the trainer's root folder where no
    checkpoint was given. Errors are per target and step, in the unit of the target, and as the two
    averages in use (over all targets at once, and the mean of the steps). A test that was limited
    to some batches is not written.

    Args:
        path: another place for the file.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file, on the first process."""
        whole = sum(trainer.num_test_batches) == len(trainer.test_dataloaders)
        if not trainer.is_global_zero or trainer.fast_dev_run or not whole:
            return
        path = Path(self.path or _beside_checkpoint(trainer, "test.json"))
        report = _describe_test(trainer, pl_module.data, pl_module.test_errors)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
        print(f"\n{_format_errors(report)}\ntest errors: {path}")


class ForecastWriter(BasePredictionWriter):
    """Writes forecasts as a table, one row per window, detector and step.

    Columns: ``issued`` (time of the last reading that the forecast knows), ``timestamp`` (of the
    predicted step), ``step`` (from 1), ``vdid``, and for each target its forecast under its own
    name and the truth under ``<name>_observed``, empty where it is not known. Tables are written
    batch by batch and appear under their names when the last is in.

    Args:
        path: where to write, without ending; None for beside the checkpoint.
        formats: ``"csv"``, ``"parquet"`` or both.
    """

    def __init__(
        self,
        path: str | None = None,
        formats: tuple[Literal["csv", "parquet"], ...] = ("csv", "parquet"),
    ) -> None:
        super().__init__("batch")
        self.path = path
        self.formats = formats

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the temporary files."""
        self._stack = ExitStack()
        stem = self.path or str(_beside_checkpoint(trainer, "forecast"))
        if trainer.world_size > 1:
            stem += f".rank{trainer.global_rank}"
        formats = () if trainer.fast_dev_run else self.formats
        self.paths = [Path(f"{stem}.{name}") for name in formats]
        targets = pl_module.data["features"][: pl_module.data["num_targets"]]
        self._schema = _table_schema(targets)
        self._writers = []
        for path, name in zip(self.paths, formats, strict=True):
            temporary = self._stack.enter_context(replacing(path))
            make = pa.csv.CSVWriter if name == "csv" else pa.parquet.ParquetWriter
            self._writers.append(self._stack.enter_context(make(str(temporary), self._schema)))

    def write_on_batch_end(
        self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx
    ) -> None:
        """Add the rows of a batch."""
        datamodule = trainer.datamodule
        times = np.stack([datamodule.target_times(int(i)) for i in prediction["first_step"]])
        table = _table(prediction, times, batch["vd_ids"], datamodule, self._schema)
        for writer in self._writers:
            writer.write_table(table)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the files their names."""
        self._stack.close()
        print("forecast:", *self.paths)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remove the temporary files; tables of an earlier run stay as they were."""
        if trainer.predicting and hasattr(self, "_stack"):
            self._stack.__exit__(type(exception), exception, exception.__traceback__)


def _beside_checkpoint(trainer: pl.Trainer, ending: str) -> Path:
    if trainer.ckpt_path:
        return Path(trainer.ckpt_path).with_suffix(f".{ending}")
    return Path(trainer.default_root_dir) / ending


def _describe_test(trainer: pl.Trainer, data: dict, errors: dict[str, Tensor]) -> dict:
    datamodule = trainer.datamodule
    names = data["features"][: data["num_targets"]]
    steps = range(1, data["horizon"] + 1)
    return {
        "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
        "data": str(datamodule.path),
        "dataset_name": data["dataset_name"],
        "detectors": len(datamodule.series.vdids),
        "windows": len(datamodule.starts["test"]),
        "split": list(datamodule.split),
        "border": datamodule.border,
        "window": data["window"],
        "horizon_minutes": [step * data["interval_minutes"] for step in steps],
        "targets": {
            name: {"unit": unit, **_errors_of(errors, i)}
            for i, (name, unit) in enumerate(zip(names, data["units"], strict=False))
        },
    }


def _format_errors(report: dict) -> str:
    """Table of the errors at every quarter of the horizon."""
    minutes = report["horizon_minutes"]
    steps = sorted({max(1, len(minutes) * k // 4) for k in (1, 2, 3, 4)})
    lines = []
    for name, target in report["targets"].items():
        heads = [f"{minutes[step - 1]:g} min" for step in steps]
        lines.append(f"{name} [{target['unit']}]".ljust(20) + _cells([*heads, "all"]))
        for error in ("mae", "rmse", "mape"):
            values = [target[error][step - 1] for step in steps] + [target[f"{error}_all"]]
            texts = ["-" if value is None else f"{value:.2f}" for value in values]
            lines.append(f"  {error}{' %' if error == 'mape' else ''}".ljust(20) + _cells(texts))
    return "\n".join(lines)


def _cells(texts: list[str]) -> str:
    return "".join(text.rjust(9) for text in texts)


def _errors_of(errors: dict[str, Tensor], target: int) -> dict:
    columns = {name: value[..., target] for name, value in errors.items()}
    report = {name: _plain(value) for name, value in columns.items()}
    report["rmse_mean_of_steps"] = _plain(columns["rmse"].nanmean())
    return report


def _plain(value: Tensor) -> float | list | None:
    """Numbers for JSON, which has no NaN."""
    values = value.tolist()
    if isinstance(values, list):
        return [None if math.isnan(v) else v for v in values]
    return None if math.isnan(values) else values


def _table_schema(targets: list[str]) -> pa.Schema:
    values = [(name, pa.float32()) for t in targets for name in (t, f"{t}_observed")]
    stamp = pa.timestamp("s")
    keys = [("issued", stamp), ("timestamp", stamp), ("step", pa.int32()), ("vdid", pa.string())]
    return pa.schema(keys + values)


def _table(
    prediction: dict, times: np.ndarray, vd_ids: list[str], datamodule, schema: pa.Schema
) -> pa.Table:
    forecast = prediction["forecast"].float().cpu()  # [B, P, N, F]
    batch, horizon, nodes, _ = forecast.shape
    rows = (batch, nodes, horizon)
    interval = np.timedelta64(round(datamodule.series.interval_minutes * 60), "s")
    observed = prediction["targets"].cpu().where(prediction["target_mask"].cpu(), float("nan"))
    vdids = pa.array(vd_ids).dictionary_encode()
    node = np.broadcast_to(np.arange(nodes)[:, None], rows).ravel()
    columns = [
        np.broadcast_to(times[:, None, :1] - interval, rows).ravel(),
        np.broadcast_to(times[:, None], rows).ravel(),
        np.broadcast_to(np.arange(1, horizon + 1, dtype=np.int32), rows).ravel(),
        vdids.take(pa.array(node)).cast(pa.string()),
    ]
    for target in range(forecast.size(-1)):
        for values in (forecast, observed):
            flat = values[..., target].transpose(1, 2).reshape(-1).numpy()
            columns.append(pa.array(flat, from_pandas=True))
    return pa.table(columns, schema=schema)
