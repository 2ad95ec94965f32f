"""One small forecaster that the tests of the report share, on a series with odd detectors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from socialgraph.cli import main
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster, load
from socialgraph.graph import RadiusGraph
from socialgraph.report.scoring import Scores, score
from socialgraph.schema import write
from tests.conftest import ROOT, make_series

# Of pages: what comes from a file, and what would run if it were taken for HTML or JavaScript.
EVIL_ID = "<img src=x onerror=hit=1><b>&amp;%{x}"
EVIL_NAME = "</title></script><script>hit=1</script>"
EVIL_UNIT = "<i>mph</i>%{z:no}"
STEPS, TEST = 864, 691  # of five minutes; the first of the test part


def odd_series():
    """Three days of six detectors, of which one is stuck and one silent in the test part."""
    series = make_series(steps=STEPS)
    series.vdids[0] = EVIL_ID
    series.dataset_name = EVIL_NAME
    series.units = [EVIL_UNIT, "veh/h"]
    series.values[TEST:, 4, 0] = 33.0
    series.values[TEST::2, 5, 0] = np.nan
    return series


def fit(path: Path, folder: Path, version: str, *words: str) -> Path:
    main([
        "fit",
        f"--config={ROOT / 'configs' / 'simulated.yaml'}",
        f"--data.series={path}",
        "--data.features=[speed,flow]",
        "--data.targets=[speed]",
        "--data.windows.window=6",
        "--data.windows.horizon=4",
        "--data.graph.init_args.max_radius=700",
        "--trainer.max_epochs=2",
        "--trainer.enable_progress_bar=false",
        f"--trainer.logger.init_args.save_dir={folder}",
        f"--trainer.logger.init_args.version={version}",
        *words,
    ])  # fmt: skip
    return folder / "default" / version / "checkpoints" / "best.ckpt"


POOLING = "--model.network.init_args.block.init_args.pooling.init_args.radius=400"


@dataclass
class Run:
    """What a training left, and what was scored of it."""

    folder: Path
    file: Path
    ckpt_path: Path
    forecaster: Forecaster
    data: TrafficDataModule
    scores: Scores


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("report")
    file = folder / "odd.h5"
    write(file, odd_series())
    ckpt_path = fit(file, folder, "pools", POOLING)
    forecaster = load(ckpt_path)
    data = TrafficDataModule(
        str(file),
        ["speed", "flow"],
        ["speed"],
        windows=Windows(6, 4),
        graph=RadiusGraph(700.0, 12),
    )
    data.setup("test")
    forecaster.follow(data.spec)
    return Run(folder, file, ckpt_path, forecaster, data, score(forecaster, data, "speed"))


@pytest.fixture(scope="session")
def page(run) -> Path:
    """The page of the run, written by the command as typed."""
    path = run.folder / "report.html"
    main(["report", "--ckpt-path", str(run.ckpt_path), "-o", str(path)])
    return path
