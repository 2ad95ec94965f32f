"""Error against seconds of training."""

import json

import pytest

from benchmarks.curve import main
from benchmarks.plots import PLOTS
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from socialgraph.schema import write
from tests.conftest import ROOT


def run_of(model, budget, mae):
    target = {"unit": "mph", "mae_all": mae}
    shares = {"train": 0.7, "val": 0.1, "test": 0.2, "border": "split_first"}
    split = {"class_path": "socialgraph.data.split.ShareSplit", "init_args": shares}
    test = {"targets": {"speed": target}, "detectors": 2, "windows": 9, "split": split}
    return {"model": model, "budget": budget, "seed": 0, "test": test, "windows_per_second": 250.0}


def test_the_table_and_the_picture_hold_every_budget(tmp_path):
    runs = [run_of("STID", 10.0, 3.6), run_of("STID", 20.0, 3.4), run_of("ours", 10.0, 3.39)]
    runs.append(run_of("ours", 20.0, 3.3))
    options = {"budgets": [10.0, 20.0], "seeds": [0], "config": "configs/metr_la_week.yaml"}
    environment = {"commit": "a" * 40, "dirty": False, "processor": "x", "threads": 1}
    environment |= {"versions": {"torch": "2"}, "gpu": None, "cores": 2}
    report = {
        "command": "python",
        "configuration": options,
        "results": runs,
        "environment": environment,
    }
    lines = TABLES["curve"](report).splitlines()
    assert [c.strip() for c in lines[2].split("|")][1:7] == [
        "STID",
        "3.600",
        "3.400",
        "20",
        "-",
        "250",
    ]
    assert [c.strip() for c in lines[3].split("|")][1:6] == ["ours", "3.390", "3.300", "10", "10"]
    PLOTS["curve"](report, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=8, days=2))
    words = [f"--config={ROOT / 'configs' / 'simulated.yaml'}", f"--data={tmp_path / 'data.h5'}"]
    main([*words, "--peers", "--quick", f"--output={tmp_path / 'a.json'}"])
    (run,) = json.loads((tmp_path / "a.json").read_text())["results"]
    assert run["model"] == "stacked"
    assert run["budget"] == 2.0
    assert run["windows_per_second"] > 0
