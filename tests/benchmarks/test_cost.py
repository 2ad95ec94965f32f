"""Cost scripts: the workload, shared against distributed, and the memory planner."""

import json

import pytest
import torch

from benchmarks import batch_size, plan, shared_vs_distributed
from benchmarks.batch_size import WAYS
from benchmarks.plan import LiveTensors
from benchmarks.plots import PLOTS
from benchmarks.tables import TABLES
from benchmarks.workload import FORMS, Size, make_batch, make_forward, make_network
from tests.conftest import make_series


def run(script, path, *words):
    script.main(["--quick", "--device", "cpu", *words, "--output", str(path)])
    return json.loads(path.read_text())


def test_a_batch_comes_from_the_file_with_enough_detectors(traffic_file):
    batch, source = make_batch(Size(4, batch_size=2, max_radius=400.0), [traffic_file])
    assert source == "traffic"
    observed = ~torch.from_numpy(make_series().values).isnan()
    assert torch.equal(batch["mask"], torch.stack([observed[b : b + 12, :4, :1] for b in (0, 1)]))
    assert batch["edge_index"].tolist() == [[1, 0, 2, 1, 3, 2], [0, 1, 1, 2, 2, 3]]
    assert make_batch(Size(7), [traffic_file])[1] == "simulated"


@pytest.mark.slow
def test_all_forms_are_the_same_function_of_the_workload():
    size = Size(5, batch_size=2, hidden_channels=8)
    batch, _ = make_batch(size, [])
    shared = make_network("shared", size)
    assert shared.poolings[0].max_radius == size.max_radius
    for form in FORMS[1:]:
        network = make_network(form, size)
        weights = {n: w for n, w in shared.state_dict().items() if not n.startswith("encoder.")}
        network.load_state_dict(weights, strict=False)
        network.encoder.copy_shared(shared.encoder)
        forecast = make_forward(network, batch, "float32")()
        torch.testing.assert_close(forecast, make_forward(shared, batch, "float32")())


def in_this_process(function, *args, timeout=None):
    return function(*args)


@pytest.mark.slow
def test_shared_vs_distributed_measures_every_form_and_stops_the_loop(tmp_path, monkeypatch):
    # In fresh processes this takes a minute; what they do is tested with benchmarks.measure.
    monkeypatch.setattr(shared_vs_distributed, "isolated", in_this_process)
    monkeypatch.setattr(shared_vs_distributed, "peak_memory", lambda train, _: (train(), 7.0))
    report = run(shared_vs_distributed, tmp_path / "r.json", "--limit", "1e-9")
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "versions", "gpu"}
    by = {(entry["form"], entry["nodes"]): entry for entry in report["results"]}
    assert set(by) == {(form, 4) for form in FORMS} | {(form, 8) for form in FORMS[:2]}
    assert "limit" in by["looped", 4]["error"]
    for form in FORMS[:2]:
        for nodes in (4, 8):
            assert len(by[form, nodes]["training_step"]["repeats"]) == 2
            assert by[form, nodes]["peak_memory_mib"] == 7.0
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


@pytest.mark.slow
def test_the_planner_agrees_with_a_measured_step(tmp_path):
    report = run(plan, tmp_path / "plan.json", "--check")
    (entry,) = report["results"]
    assert f" {entry['ratio']:.2f} |" in TABLES["plan"](report)
    assert 0.8 < entry["ratio"] < 1.2
    assert entry["resident_mib"] > entry["measured_mib"] * 0.9


@pytest.mark.slow
def test_the_planner_grows_with_detectors_and_counts_those_of_a_file(traffic_file, capsys):
    small = ["--hidden_channels=8", "--num_blocks=1", "--batch_size=1", "--device=cpu"]
    plan.main(["--nodes", "1000", "2000", *small])
    lines = capsys.readouterr().out.splitlines()
    first, second = (float(line.split()[-2].replace(",", "")) for line in lines)
    assert second == pytest.approx(2 * first, rel=0.1)
    plan.main(["--data", str(traffic_file), *small, "--max_radius", "400"])  # 332 m to the next
    assert capsys.readouterr().out.startswith("6 detectors with 1.7 neighbours")
    with pytest.raises(SystemExit):
        plan.main([])
    assert "Expected '--nodes N', or '--data FILE.h5'" in capsys.readouterr().err


@pytest.mark.slow
def test_batch_sizes_are_timed_in_every_way(tmp_path):
    report = run(batch_size, tmp_path / "r.json")
    found = {(entry["way"], entry["batch_size"]) for entry in report["results"]}
    assert found == {(way, size) for way in WAYS for size in (1, 2)}
    assert all(len(e["windows_per_second"]["repeats"]) == 2 for e in report["results"])
    assert "| windows per batch | float32 | bfloat16 | checkpointing |" in TABLES["batch_size"](
        report
    )
