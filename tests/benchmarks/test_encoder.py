"""The benchmarks of the encoder and of streaming: same weights, every shape, valid files."""

import json
import subprocess
import sys

import torch

from benchmarks.encoder import Shape, floor_seconds, make_encoder
from benchmarks.tables import TABLES
from tests.conftest import ROOT


def run(script, path, *words):
    command = [sys.executable, "-m", f"benchmarks.{script}", "--quick", "--device", "cpu", *words]
    subprocess.run([*command, "--output", path], cwd=ROOT, check=True, capture_output=True)
    return json.loads(path.read_text())


def test_every_way_has_the_same_weights_and_the_package_its_own_forward():
    shape = Shape(16, 2, True, 5, 3)
    package, fused = make_encoder("package", shape), make_encoder("fused", shape)
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(package(x), fused(x), rtol=1e-5, atol=1e-5)
    assert package.backend == "package"


def test_the_floor_counts_the_maps_of_a_block():
    rates = {"bytes_per_second": float("inf"), "operations_per_second": 1.0}
    weights = 64 * 256 + 3 * 4 * 128 + 128 * 64  # up, three block-diagonal ones, down
    assert floor_seconds(Shape(64, 1, False, 12, 10), rates) == 2 * 120 * weights


def test_the_encoder_is_measured_beside_the_package(tmp_path):
    report = run("encoder", tmp_path / "r.json")
    found = {(e["way"], e["slstm"], e["rows"]) for e in report["results"]}
    assert found == {(w, s, r) for w in ("package", "fused") for s in (0, 1) for r in (5, 9)}
    assert all(e["difference"] < 1e-5 for e in report["results"] if e["way"] == "fused")
    table = TABLES["encoder"](report)
    assert table.count("| 16 | 2 with sLSTM | 4 |") == 2


def test_what_would_take_the_package_too_much_memory_is_left_out(tmp_path):
    report = run("encoder", tmp_path / "r.json", "--limit", "0")
    left_out = [e for e in report["results"] if e["way"] == "package"]
    assert all("would take about" in e["left_out"] and "training" not in e for e in left_out)
    assert "would take about" in TABLES["encoder"](report)


def test_streaming_is_measured_beside_the_window(tmp_path):
    report = run("streaming", tmp_path / "r.json")
    found = {(e["way"], e["nodes"]) for e in report["results"]}
    assert found == {(w, n) for w in ("step", "window 4") for n in (5, 10)}
    assert "| 10 | " in TABLES["streaming"](report)
