"""The accuracy script and the report, run as they are typed, on made data."""

import copy
import json
import os
import subprocess
import sys

import pytest

from benchmarks.report import READMES, fill, make_tables
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from socialgraph.schema import write
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accuracy")
    write(folder / "data.h5", simulate(num_detectors=8, days=2, num_freeways=1))
    command = [
        *(sys.executable, "-m", "benchmarks.accuracy", "--quick"),
        *("--config", ROOT / "configs" / "simulated.yaml", "--data", folder / "data.h5"),
        *("--models", "alone", "attention", "--seeds", "3", "--jobs", "2", "--runs", folder),
        *("--output", folder / "result.json"),
    ]
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True, env={**os.environ})
    return json.loads((folder / "result.json").read_text())


def test_the_result_says_what_was_measured_and_with_what(report):
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "cores", "versions"}
    models = [result["model"] for result in report["results"]]
    assert models == ["last value", "time-of-day mean", "ridge", "alone", "attention"]
    windows = {result["test"]["windows"] for result in report["results"]}
    counts = {tuple(r["test"]["targets"]["speed"]["count"]) for r in report["results"]}
    assert len(windows) == len(counts) == 1  # the same windows and masks for all
    for result in report["results"][3:]:
        assert result["seed"] == 3
        assert result["peak_memory_mib"] > 100
        assert result["configuration"]["data"]["seed"] == 3
    assert report["results"][3]["radius"] is None
    assert len(report["results"][4]["radius"]) == 4


def test_the_table_holds_the_numbers_of_the_result(report):
    table = TABLES["accuracy"](report)
    speed = report["results"][0]["test"]["targets"]["speed"]
    first = (speed[error][2] for error in ("mae", "rmse", "mape"))
    assert "| last value | {:.2f} / {:.2f} / {:.1f} |".format(*first) in table
    assert "attention (radius 10" in table
    text = fill("a\n<!-- results: x -->\nold\n<!-- end -->\nb", {"x": table})
    assert text == f"a\n<!-- results: x -->\n{table}\n<!-- end -->\nb"
    with pytest.raises(KeyError, match="No result file for 'y'"):
        fill("<!-- results: y -->\n<!-- end -->", {"x": table})


def test_seeds_are_averaged_with_their_deviation(report):
    other = copy.deepcopy(report)
    run = copy.deepcopy(other["results"][-1])
    run["test"]["targets"]["speed"]["mae_all"] += 1.0
    other["results"].append(run)
    mean = run["test"]["targets"]["speed"]["mae_all"] - 0.5
    assert f"| {mean:.3f} ± 0.707 / " in TABLES["accuracy"](other)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_readme_tables_are_those_of_the_result_files(readme):
    text = readme.read_text()
    assert fill(text, make_tables()) == text
