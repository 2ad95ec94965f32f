"""The run of a backtest: its folder, its folds, and what is left to do."""

import argparse
import copy
import hashlib
import importlib.util
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import yaml

from socialgraph.atomic import replacing
from socialgraph.backtest.command import RIVALS
from socialgraph.backtest.ets import is_installed
from socialgraph.backtest.fold import check_rival, fit_fold, score_fold
from socialgraph.backtest.folds import Fold, parse_step, rolling_folds
from socialgraph.backtest.show import format_fold, format_summary
from socialgraph.backtest.summary import summarise
from socialgraph.data import TrafficDataModule, window_starts
from socialgraph.protocol import describe_protocol, differences, hash_data
from socialgraph.run_record import describe_run
from socialgraph.training_cli import ForecastCLI, parse

__all__ = ["of_fold", "run"]


def run(options: argparse.Namespace, words: list[str]) -> Path:
    """Run a backtest, or what is left of it, and write and print its summary.

    Args:
        options: as :mod:`socialgraph.backtest.command` reads them.
        words: further words, for ``socialgraph fit``.

    Returns:
        The summary, ``backtest.json``.

    Raises:
        ValueError: if an option cannot be, or the folder holds a backtest of other options.
        RuntimeError: if a package is missing.
    """
    _check_packages(options.rivals)
    words = [f"--config={options.config}", *words]
    cli = parse(words)
    datamodule = _series_of(cli)
    folds = _folds(options, datamodule)
    _check_windows(folds, datamodule)
    rivals = [name for name in RIVALS if name in _chosen(options.rivals)]
    folder = Path(options.folder or Path("runs", "backtest", Path(options.config).stem))
    plan = _plan(options, cli, datamodule, folds, rivals)
    _open_folder(folder, plan, options.overwrite)
    parts = [_fold_folder(folder, fold.number) for fold in folds]
    print(
        f"{len(folds)} folds of {options.step}, from {plan['folds'][0]['tested_from']} to "
        f"{plan['folds'][-1]['tested_to']}; rivals: {', '.join(rivals) or 'none'}",
        flush=True,
    )
    for fold, part in zip(folds, parts, strict=True):
        kept = (part / "fold.json").is_file()
        if not kept:
            _run_fold(fold, parts, plan, words, cli, datamodule)
        print(format_fold(part, len(folds), kept), flush=True)
    report = summarise(folder)
    path = folder / "backtest.json"
    _write(path, report)
    print(f"\n{format_summary(report)}\nbacktest: {path}")
    return path


def of_fold(datamodule: TrafficDataModule, fold: Fold) -> TrafficDataModule:
    """The same data, divided for a fold, with all test windows to predict on."""
    own = copy.copy(datamodule)
    own.split = fold.split
    own.windows = replace(datamodule.windows, predict_on="test")
    own.series = None  # so that it is divided again
    own.setup("test")
    return own


def _run_fold(
    fold: Fold,
    parts: list[Path],
    plan: dict,
    words: list[str],
    cli: ForecastCLI,
    datamodule: TrafficDataModule,
) -> None:
    start, part = time.perf_counter(), parts[fold.number]
    shutil.rmtree(part, ignore_errors=True)  # half a fold
    part.mkdir(parents=True)
    refit = plan["options"]["refit"]
    if fold.number and refit == "never":
        checkpoint = _checkpoint(parts[0])
    else:
        earlier = _checkpoint(parts[fold.number - 1]) if fold.number and refit == "warm" else None
        checkpoint = fit_fold(part, fold.split, words, earlier, plan["options"]["refit_epochs"])
    trained = time.perf_counter()
    own = of_fold(datamodule, fold)
    scored = score_fold(part, own, checkpoint, plan["options"]["rivals"], cli)
    record = {
        "number": fold.number,
        **plan["folds"][fold.number],
        "train_windows": len(own.starts["train"]),
        "val_windows": len(own.starts["val"]),
        "test_windows": len(own.starts["test"]),
        "checkpoint": str(checkpoint.relative_to(part.parent)),
        **scored,
        "fit_seconds": round(trained - start, 1),
        "score_seconds": round(time.perf_counter() - trained, 1),
    }
    _write(part / "fold.json", record)  # last: with it the fold is whole


def _series_of(cli: ForecastCLI) -> TrafficDataModule:
    if not isinstance(cli.datamodule, TrafficDataModule):
        raise ValueError("Expected one series, --data.series (got several networks).")
    if cli.trainer.world_size > 1:
        raise ValueError(
            f"Expected one process (got {cli.trainer.world_size}). Set --trainer.devices 1."
        )
    cli.datamodule.setup("test")
    return cli.datamodule


def _folds(options: argparse.Namespace, datamodule: TrafficDataModule) -> list[Fold]:
    step = parse_step(options.step)
    val = parse_step(options.val or options.step)
    windows = datamodule.windows
    series = datamodule.series
    return rolling_folds(series, options.folds, step, val, windows.window, windows.horizon)


def _check_windows(folds: list[Fold], datamodule: TrafficDataModule) -> None:
    """Refuse folds without a window in one of their parts, before anything is trained.

    Raises:
        ValueError: naming the first of them.
    """
    series, windows = datamodule.series, datamodule.windows
    starts = window_starts(series.timestamps, series.interval_minutes, windows.length)
    sizes = windows.window, windows.horizon
    for fold in folds:
        parts, _ = fold.split.divide(starts, series.timestamps, series.timezone, *sizes)
        empty = [name for name in ("train", "val", "test") if not len(parts[name])]
        if empty or fold.origin >= fold.end:
            times = fold.describe(series.timezone)
            raise ValueError(
                f"Fold {fold.number + 1} ({times['tested_from']} to {times['tested_to']}) has no "
                f"window without a gap in its part '{(empty or ['test'])[0]}'. Take longer parts "
                "(--step, --val), or fewer folds, so that none lies in a gap of the series."
            )


def _chosen(rivals: list[str] | None) -> list[str]:
    if rivals is None:
        return [name for name in RIVALS if name != "ets" or is_installed()]
    return rivals


def _hash_start(cli: ForecastCLI) -> str | None:
    """Checksum of the weights that the first fold starts from."""
    path = cli.model.init_from
    if path is None or not Path(path).is_file():
        return path
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _check_packages(rivals: list[str] | None) -> None:
    if importlib.util.find_spec("arch") is None:
        raise RuntimeError(
            "The paired tests of a backtest need the package arch: pip install "
            "'socialgraph[backtest]'."
        )
    for name in rivals or ():
        check_rival(name)


def _plan(
    options: argparse.Namespace,
    cli: ForecastCLI,
    datamodule: TrafficDataModule,
    folds: list[Fold],
    rivals: list[str],
) -> dict:
    """All that decides what the results will be."""
    protocol = describe_protocol(of_fold(datamodule, folds[0]))
    described = [fold.describe(datamodule.series.timezone) for fold in folds]
    (data,) = protocol["data"]
    for name in ("split", "windows", "scored"):
        del data[name]
    return {
        "protocol": {**protocol, "folds": described},
        "horizon_minutes": datamodule.spec.horizon_minutes,
        "folds": described,
        "options": {
            "refit": options.refit,
            "refit_epochs": options.refit_epochs,
            "rivals": rivals,
            "step": options.step,
            "val": options.val or options.step,
        },
        "config": yaml.safe_load(cli.parser.dump(cli.config, skip_none=False)),
        "data": hash_data(datamodule),
        "init_from": _hash_start(cli),
        "run": describe_run(),
    }


def _open_folder(folder: Path, plan: dict, overwrite: bool) -> None:
    """Begin a run, or go on with the one that is there.

    Raises:
        ValueError: if it is another, or the folder holds something else.
    """
    path = folder / "plan.json"
    if path.is_file() and not overwrite:
        earlier = json.loads(path.read_text())
        now = json.loads(json.dumps(plan))
        compared = {"protocol", "options", "config", "data", "init_from"} & set(earlier)
        apart = list(differences(*({n: p[n] for n in compared} for p in (earlier, now))))
        if apart:
            lines = "\n  ".join(apart)
            raise ValueError(
                f"'{folder}' holds a backtest of other options:\n  {lines}\nName another --folder, "
                "or replace it by --overwrite."
            )
        return
    if folder.exists() and any(folder.iterdir()) and not path.is_file():
        raise ValueError(f"'{folder}' holds something else. Name another --folder.")
    for part in folder.glob("fold_*"):
        shutil.rmtree(part)
    (folder / "backtest.json").unlink(missing_ok=True)
    _write(path, plan)


def _fold_folder(folder: Path, number: int) -> Path:
    return folder / f"fold_{number:02d}"


def _checkpoint(part: Path) -> Path:
    return part.parent / json.loads((part / "fold.json").read_text())["checkpoint"]


def _write(path: Path, report: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
