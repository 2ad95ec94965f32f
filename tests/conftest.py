"""Made data that every test can use; real files are under ../shared/data where they exist."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

# Small tensors: threads only wait for each other, most of all beside another job.
os.environ.setdefault("OMP_NUM_THREADS", "1")


import numpy as np
import pytest
import torch

from socialgraph.schema import write
from socialgraph.series import TrafficSeries

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
NEEDS_SHARED = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real data are not beside the repository ({SHARED})"
)


# What is imported stays: to look through it for garbage again and again takes a second.
def pytest_collection():
    gc.disable()


def pytest_collection_finish():
    gc.enable()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make_series(steps=300, nodes=6, missing=0.05, seed=0) -> TrafficSeries:
    """Daily waves with noise and gaps on six detectors in Taipei, about 300 m apart."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps)
    wave = 60 + 20 * np.sin(2 * np.pi * time / 288)[:, None, None]
    values = (wave + rng.normal(0, 3, (steps, nodes, 2))).astype(np.float32)
    values[..., 1] *= 10
    values[rng.random(values.shape) < missing] = np.nan
    return TrafficSeries(
        values=values,
        timestamps=np.datetime64("2024-01-01T00:00:00", "s") + time * np.timedelta64(300, "s"),
        vdids=[f"VD-{i}" for i in range(nodes)],
        feature_names=["speed", "flow"],
        lat=25.0 + 0.003 * np.arange(nodes),
        lon=np.full(nodes, 121.5),
        units=["km/h", "veh/h"],
        interval_minutes=5.0,
        timezone="Asia/Taipei",
        dataset_name="made",
    )


@pytest.fixture
def traffic_file(tmp_path) -> Path:
    path = tmp_path / "traffic.h5"
    write(path, make_series())
    return path


@pytest.fixture
def default_sigint():
    """Ctrl-C as a command in the foreground gets it; in the background it may be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def told_by_one_and_two(code, capsys, monkeypatch):
    """The numbers that a training prints after ``FOUND``, by one process and by two."""
    monkeypatch.setattr(sys, "argv", ["", "1"])
    exec(code, {})
    alone = capsys.readouterr().out
    run = subprocess.run(  # a fork after OpenMP has run may hang
        [sys.executable, "-c", code, "2"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = []
    for said in (alone, run.stdout):
        lines = [line for line in said.splitlines() if line.startswith("FOUND")]
        assert lines, run.stderr[-2000:]
        found.append([float(word) for word in lines[0].split()[1:]])
    return found
