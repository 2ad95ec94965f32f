"""The benchmarks of the encoder and of streaming: same weights, every shape, valid files."""

import json

import pytest
import torch

from benchmarks import encoder, streaming
from benchmarks.encoder import Shape, floor_seconds, make_encoder
from benchmarks.tables import TABLES


def run(script, path, *words):
    script.main(["--quick", "--device", "cpu", *words, "--output", str(path)])
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


@pytest.mark.slow
def test_the_encoder_is_measured_beside_the_package_if_there_is_memory(tmp_path):
    report = run(encoder, tmp_path / "r.json", "--limit", "0.3")
    found = {(e["way"], e["slstm"], e["rows"]) for e in report["results"]}
    assert found == {(w, s, r) for w in ("package", "fused") for s in (0, 1) for r in (5, 9)}
    left_out = [e for e in report["results"] if "left_out" in e]
    assert [(e["way"], e["slstm"], e["rows"]) for e in left_out] == [("package", False, 9)]
    assert "training" not in left_out[0]
    differences = [e["difference"] for e in report["results"] if e["way"] == "fused"]
    assert [d is None for d in differences] == [False, False, False, True]
    assert max(differences[:3]) < 1e-5
    table = TABLES["encoder"](report)
    assert table.count("| 16 | 2 with sLSTM | 4 |") == 2
    assert table.count("would take about") == 1


@pytest.mark.slow
def test_streaming_is_measured_beside_the_window(tmp_path):
    report = run(streaming, tmp_path / "r.json")
    found = {(e["way"], e["nodes"]) for e in report["results"]}
    assert found == {(w, n) for w in ("step", "window 4") for n in (5, 10)}
    assert TABLES["streaming"](report).count("| 10 | ") == 1
