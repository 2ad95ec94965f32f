"""The accuracy script and the report: as they are typed, on made data, and on the result files."""

import copy
import json
import subprocess
import sys

import pytest

from benchmarks.accuracy import load_datamodule
from benchmarks.environment import RESULTS
from benchmarks.report import READMES, fill, make_tables
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from socialgraph.schema import write
from tests.conftest import ROOT


@pytest.fixture
def result():
    return json.loads((RESULTS / "accuracy_metr_la_week.json").read_text())


@pytest.mark.slow
def test_the_result_says_what_was_measured_and_with_what(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=8, days=2, num_freeways=1))
    command = [
        *(sys.executable, "-m", "benchmarks.accuracy", "--quick"),
        *("--config", ROOT / "configs" / "simulated.yaml", "--data", tmp_path / "data.h5"),
        *("--models", "attention", "--seeds", "3", "--runs", tmp_path),
        *("--output", tmp_path / "result.json"),
    ]
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True)
    report = json.loads((tmp_path / "result.json").read_text())
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "cores", "versions"}
    models = [result["model"] for result in report["results"]]
    assert models == ["last value", "time-of-day mean", "ridge", "attention"]
    windows = {result["test"]["windows"] for result in report["results"]}
    counts = {tuple(r["test"]["targets"]["speed"]["count"]) for r in report["results"]}
    assert len(windows) == len(counts) == 1  # the same windows and masks for all
    trained = report["results"][3]
    assert trained["seed"] == 3
    assert trained["peak_memory_mib"] > 100
    assert trained["configuration"]["data"]["loading"]["seed"] == 3
    assert len(trained["radius"]) == 4
    table = TABLES["accuracy"](report)
    assert "attention (radius 10" in table
    assert "(split_first, split 70/10/20)" in table
    assert "over all training windows" in table


def test_the_data_of_a_profile_are_those_of_the_command_line(traffic_file):
    data = load_datamodule(ROOT / "configs" / "metr_la.yaml", str(traffic_file))
    assert data.path == str(traffic_file)
    assert data.spec.features == ["speed"]
    assert data.split.border == "window_first"
    assert (data.windows.window, data.loading.batch_size) == (12, 32)
    assert data.graph.max_radius == 5000.0


def test_the_table_holds_the_numbers_of_the_result(result):
    table = TABLES["accuracy"](result)
    speed = result["results"][0]["test"]["targets"]["speed"]
    first = (speed[error][2] for error in ("mae", "rmse", "mape"))
    assert "| last value | {:.2f} / {:.2f} / {:.1f} |".format(*first) in table
    text = fill("a\n<!-- results: x -->\nold\n<!-- end -->\nb", {"x": table})
    assert text == f"a\n<!-- results: x -->\n{table}\n<!-- end -->\nb"
    with pytest.raises(KeyError, match="No result file for 'y'"):
        fill("<!-- results: y -->\n<!-- end -->", {"x": table})


def test_a_result_from_outside_of_a_repository_has_a_table(result):
    result["environment"] |= {"commit": None, "dirty": None}
    assert "+cpu, no commit. `python -m" in TABLES["accuracy"](result)


def test_seeds_are_averaged_with_their_deviation(result):
    run = result["results"][-1]
    other = copy.deepcopy(run)
    other["test"]["targets"]["speed"]["mae_all"] += 1.0
    mean = other["test"]["targets"]["speed"]["mae_all"] - 0.5
    table = TABLES["accuracy"]({**result, "results": [run, other]})
    assert f"| {mean:.3f} ± 0.707 / " in table


def test_a_split_reads_as_shares_and_border_or_by_its_name(result):
    assert "380 test windows (split_first, split 70/10/20), " in TABLES["accuracy"](result)
    first = result["results"][0]["test"]
    first["split"] = {"class_path": "socialgraph.data.split.DaySplit", "init_args": {"val": 2}}
    assert "test windows (DaySplit, val 2), " in TABLES["accuracy"](result)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_readme_tables_are_those_of_the_result_files(readme):
    text = readme.read_text()
    assert fill(text, make_tables()) == text
