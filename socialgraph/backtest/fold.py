"""One fold: a training, and the errors of the forecaster and its rivals on what comes next."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytorch_lightning as pl
import torch
from torch import nn

from socialgraph.atomic import replacing
from socialgraph.backtest.cells import ErrorCells
from socialgraph.backtest.ets import ProfileETS, is_installed
from socialgraph.backtest.rivals import LastValue, LastWeek, Ridge, TimeOfDayMean
from socialgraph.data import DateSplit, TrafficDataModule
from socialgraph.forecaster import Forecaster, load
from socialgraph.shell import split_names
from socialgraph.training_cli import ForecastCLI
from socialgraph.training_cli import run as run_trainer

__all__ = ["NETWORK", "TABLES", "check_rival", "fit_fold", "score_fold"]

NETWORK = "network"
TABLES = ("by_detector.parquet", "by_condition.parquet")
_MAKERS: dict[str, Callable[[TrafficDataModule], nn.Module]] = {
    "last_value": lambda data: LastValue(data.windows.horizon, data.num_targets),
    "last_week": LastWeek,
    "daily_profile": TimeOfDayMean,
    "ridge": Ridge,
    "ets": ProfileETS,
}


def check_rival(name: str) -> None:
    """Refuse a rival whose package is missing.

    Raises:
        RuntimeError: if it is.
    """
    if name == "ets" and not is_installed():
        raise RuntimeError(
            "The rival ets needs the package statsforecast: pip install 'socialgraph[backtest]', "
            "or name other --rivals."
        )


def fit_fold(
    folder: Path, split: DateSplit, words: list[str], earlier: Path | None, epochs: int | None
) -> Path:
    """Train for a fold as ``socialgraph fit`` does; what it prints is kept as ``fit.txt``.

    Args:
        folder: of the fold, where the run is kept.
        split: of the fold.
        words: of the command line.
        earlier: checkpoint from whose weights it starts; None to train from scratch.
        epochs: of a training that starts from one; None for as many as the words say.

    Returns:
        The best checkpoint, or the last.

    Raises:
        ValueError: if the training keeps no checkpoint.
    """
    section = {"class_path": "socialgraph.data.DateSplit", "init_args": asdict(split)}
    place = {"save_dir": str(folder.parent), "name": "", "version": folder.name}
    logger = {"class_path": "socialgraph.logger.MetricsLogger", "init_args": place}
    words = ["fit", *words, f"--data.split={json.dumps(section)}", "--overwrite"]
    words.append(f"--trainer.logger={json.dumps(logger)}")
    if earlier is not None:
        words.append(f"--model.init_from={earlier}")
        words += [] if epochs is None else [f"--trainer.max_epochs={epochs}"]
    with open(folder / "fit.txt", "w") as file, contextlib.redirect_stdout(file):
        kept = run_trainer(words).trainer.checkpoint_callback
    path = kept and (kept.best_model_path or kept.last_model_path)
    if not path:
        raise ValueError("Expected a ModelCheckpoint in 'trainer.callbacks' (got none that wrote).")
    return Path(path)


def score_fold(
    folder: Path,
    datamodule: TrafficDataModule,
    checkpoint: Path,
    rivals: list[str],
    cli: ForecastCLI,
) -> dict[str, list | None]:
    """Write the errors on the test windows, as sums and counts in cells, to :data:`TABLES`.

    Args:
        folder: of the fold.
        datamodule: its data, after ``setup``.
        checkpoint: of the forecaster.
        rivals: names of the others.
        cli: what else the command line said.

    Returns:
        ``sample``: ids of the detectors that all rivals forecast, if these are not all; and
        ``levels`` of the quantiles that the network tells.
    """
    datamodule.test_dataloader()  # refuses a fold without a window
    networks = {name: _MAKERS[name](datamodule) for name in rivals}
    everyone = np.arange(len(datamodule.series.vdids))
    nodes = {name: getattr(network, "nodes", everyone) for name, network in networks.items()}
    sample = min(nodes.values(), key=len, default=everyone)
    trust = split_names(cli.config.trust)
    forecasters = {NETWORK: load(checkpoint, trust=trust)}
    forecasters |= {name: Forecaster(network) for name, network in networks.items()}
    tables: list[tuple[pa.Table, ...]] = []
    for name, forecaster in forecasters.items():
        cells = ErrorCells(datamodule, sample)
        levels = forecaster.levels if name == NETWORK else []
        collect = _Collect(cells, nodes.get(name, everyone), levels)
        asked = cli.config.trainer
        trainer = pl.Trainer(
            accelerator=asked.accelerator,
            devices=asked.devices,
            precision=asked.precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[collect],
        )
        trainer.predict(forecaster, datamodule=datamodule, return_predictions=False)
        tables.append(cells.tables(name))
    for name, parts in zip(TABLES, zip(*tables, strict=True), strict=True):
        with replacing(folder / name) as temporary:
            whole = pa.concat_tables(parts).unify_dictionaries()
            pyarrow.parquet.write_table(whole, temporary, compression="zstd")
    apart = None if len(sample) == len(everyone) else [datamodule.series.vdids[i] for i in sample]
    return {"sample": apart, "levels": list(forecasters[NETWORK].levels)}


class _Collect(pl.Callback):
    """Adds what is predicted to the cells."""

    def __init__(self, cells: ErrorCells, nodes: np.ndarray, levels: list[float]) -> None:
        self.cells, self.levels = cells, levels
        self.forecast = torch.zeros(len(cells.spec.vdids), 1, dtype=torch.bool)
        self.forecast[torch.as_tensor(nodes)] = True

    def on_predict_batch_end(
        self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0
    ) -> None:
        """Add a batch."""
        mask = outputs["target_mask"].cpu() & self.forecast
        scored = outputs["forecast"], outputs["targets"], mask, outputs["issued"]
        self.cells.update(*scored, outputs.get("quantiles"), self.levels)
