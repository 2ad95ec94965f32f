"""What streams forecast and cost: the scripts run, and have their tables."""

import json

import pytest

from benchmarks import kept_stream, profile_drift, stream_accuracy
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from socialgraph.schema import write
from tests.conftest import ROOT


@pytest.mark.slow
def test_a_reading_is_measured_in_its_parts_with_both_memories(tmp_path):
    kept_stream.main(["--quick", "--output", str(tmp_path / "r.json")])
    report = json.loads((tmp_path / "r.json").read_text())
    found = [(entry["nodes"], entry["memory"]) for entry in report["results"]]
    assert found == [(10, "window"), (10, "state")]
    table = TABLES["kept_stream"](report)
    assert table.count("| 10 | window |") == table.count("| 10 | state |") == 1


def run(script, result, *words):
    config = ("--config", ROOT / "configs" / "simulated.yaml", "--output", result)
    script.main([str(word) for word in ("--quick", *words, *config)])
    report = json.loads(result.read_text())
    return report["results"], TABLES[report["question"]](report)


@pytest.mark.slow
def test_streams_are_scored_on_the_test_windows_and_by_half_life(tmp_path):
    data = tmp_path / "data.h5"
    write(data, simulate(num_detectors=6, days=3, num_freeways=1))
    (first, _), table = run(
        *(stream_accuracy, tmp_path / "a.json", "--data", data, "--seeds", 0),
        *("--trainings", "plain, with its state", "default, on windows", "--runs", tmp_path),
    )
    mae = first["mae"]
    assert mae["window stream"] == pytest.approx(mae["windows"], rel=1e-6)
    assert mae["state stream"] != pytest.approx(mae["windows"], rel=1e-6)
    assert "| default, on windows |" in table
    checkpoint = next(tmp_path.glob("**/default_on_windows/**/best.ckpt"))
    results, table = run(
        *(profile_drift, tmp_path / "b.json", "--data", data, "--checkpoint", checkpoint),
        *("--half_lives", 1, "--every", 7),
    )
    assert [entry["half_life_days"] for entry in results] == [None, 1]
    assert results[0]["mae"] != results[1]["mae"]
    counts = [[count for _, count in entry["by_month"].values()] for entry in results]
    assert counts[0] == counts[1]
    assert "| 1 days |" in table
