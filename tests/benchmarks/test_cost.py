"""Cost scripts: the workload, shared against distributed, and the memory planner."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks.batch_size import WAYS
from benchmarks.plan import LiveTensors
from benchmarks.plots import PLOTS
from benchmarks.tables import TABLES
from benchmarks.workload import FORMS, Size, make_batch, make_forward, make_network
from tests.conftest import ROOT, make_series


def run(script, *words):
    command = [sys.executable, "-m", f"benchmarks.{script}", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_a_batch_comes_from_the_file_with_enough_detectors(traffic_file):
    series = make_series()
    batch, source = make_batch(Size(4, batch_size=2), [traffic_file])
    assert source == "traffic"
    assert batch["vd_ids"] == series.vdids[:4]
    assert batch["features"].shape == (2, 12, 4, 1)
    assert make_batch(Size(7), [traffic_file])[1] == "simulated"


def test_all_forms_are_the_same_function_of_the_workload():
    size = Size(5, batch_size=2, hidden_channels=8)
    batch, _ = make_batch(size, [])
    shared = make_network("shared", size, batch["vd_ids"])
    for form in FORMS[1:]:
        network = make_network(form, size, batch["vd_ids"])
        network.copy_shared(shared)
        forecast = make_forward(network, batch, "float32")()
        torch.testing.assert_close(forecast, make_forward(shared, batch, "float32")())


def test_shared_vs_distributed_measures_every_form_and_stops_the_loop(tmp_path):
    run("shared_vs_distributed", "--quick", "--limit", "1e-9", "--output", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "versions", "gpu"}
    by = {(entry["form"], entry["nodes"]): entry for entry in report["results"]}
    assert set(by) == {(form, 4) for form in FORMS} | {(form, 8) for form in FORMS[:2]}
    assert "limit" in by["looped", 4]["error"]
    for form in FORMS[:2]:
        for nodes in (4, 8):
            assert len(by[form, nodes]["training_step"]["repeats"]) == 2
            assert by[form, nodes]["peak_memory_mib"] > 0
    encoder = by["vectorised", 8]["parameters"] - by["vectorised", 4]["parameters"]
    assert by["looped", 4]["parameters"] == by["vectorised", 4]["parameters"]
    assert by["shared", 4]["parameters"] == by["vectorised", 4]["parameters"] - 3 * encoder // 4
    state = by["vectorised", 4]["optimizer_mib"] * 2**20 / 4
    assert state == pytest.approx(2 * by["vectorised", 4]["parameters"], rel=0.01)
    fits = {(f["form"], f["quantity"]): f for f in report["configuration"]["growth"]}
    assert fits["shared", "parameters"]["exponent"] == pytest.approx(0, abs=1e-9)
    assert ("looped", "training_step") not in fits
    table = TABLES["shared_vs_distributed"](report)
    assert "| 4 (simulated) | " in table
    assert "s, limit 1e-09 s |" in table
    PLOTS["shared_vs_distributed"](report, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 5000


def test_live_tensors_count_what_is_held_at_once():
    with LiveTensors() as tensors:
        kept = torch.ones(1000)
        view = kept[:10].view(2, 5)
        for _ in range(3):
            kept + 1
        both = (kept * 2) + (kept * 3)
    assert tensors.peak == 4 * 4000
    assert view.numel() + both.numel() == 1010


def test_the_planner_agrees_with_a_measured_step(tmp_path):
    run("plan", "--check", "--quick", "--device", "cpu", "--output", tmp_path / "plan.json")
    report = json.loads((tmp_path / "plan.json").read_text())
    (entry,) = report["results"]
    assert f" {entry['ratio']:.2f} |" in TABLES["plan"](report)
    assert 0.8 < entry["ratio"] < 1.2
    assert entry["resident_mib"] > entry["measured_mib"] * 0.9


def test_the_planner_grows_with_detectors_and_counts_those_of_a_file(tmp_path, traffic_file):
    small = ("--hidden_channels", 8, "--num_blocks", 1, "--batch_size", 1)
    lines = run("plan", "--nodes", 1000, 2000, *small).splitlines()
    first, second = (float(line.split()[-2].replace(",", "")) for line in lines)
    assert second == pytest.approx(2 * first, rel=0.1)
    assert run("plan", "--data", traffic_file, *small).startswith("6 detectors with 5.0 neighbours")
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("plan")
    assert "Expected '--nodes N', or '--data FILE.h5'" in error.value.stderr


def test_batch_sizes_are_timed_in_every_way(tmp_path):
    run("batch_size", "--quick", "--device", "cpu", "--output", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    found = {(entry["way"], entry["batch_size"]) for entry in report["results"]}
    assert found == {(way, size) for way in WAYS for size in (1, 2)}
    assert all(len(e["windows_per_second"]["repeats"]) == 2 for e in report["results"])
    assert "| windows per batch | float32 | bfloat16 | checkpointing |" in TABLES["batch_size"](
        report
    )
