"""The network that comes with the package: how it is made, and how it is measured."""

import json

import pytest
import torch

from benchmarks import pretrain, zero_shot
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from socialgraph.pretrained import load_pretrained
from socialgraph.schema import write


@pytest.mark.slow
def test_a_network_is_trained_and_measured_on_other_roads(tmp_path):
    weights = tmp_path / "weights.ckpt"
    words = ["--quick", "--epochs=2", "--batches=4", "--random=2", f"--output={weights}"]
    pretrain.main(words)
    forecaster = load_pretrained(weights)
    assert len(forecaster.card["series"]) == 2
    assert forecaster.card["random"] == 2
    assert forecaster.card["epochs"] == 2
    untrained = pretrain.make_network()
    assert {n for n, _ in untrained.named_parameters()} <= set(forecaster.network.state_dict())
    write(tmp_path / "data.h5", simulate(num_detectors=6, days=4))
    config = tmp_path / "small.yaml"
    part = {"series": str(tmp_path / "data.h5"), "features": ["speed"]}
    (tmp_path / "part.yaml").write_text(json.dumps(part))
    config.write_text("data: part.yaml\n")
    output = tmp_path / "a.json"
    zero_shot.main(
        [f"--weights={weights}", f"--configs={config}", f"--output={output}", "--tune=1"]
    )
    report = json.loads(output.read_text())
    (run,) = report["results"]
    assert run["trained_there"] is None
    assert run["detectors"] == 6
    assert 0 < run["mae"]["forecast"] < 2 * run["mae"]["last_value"]
    words = ["--quick", "--epochs=2", "--batches=4", "--random=2"]
    pretrain.main([*words, f"--output={tmp_path / 'again.ckpt'}"])
    again = load_pretrained(tmp_path / "again.ckpt").network.state_dict()
    for name, weight in forecaster.network.state_dict().items():
        torch.testing.assert_close(again[name], weight, rtol=0, atol=0)  # the seed rules all


def test_the_table_says_how_far_each_is(tmp_path):
    mae = {"forecast": 9.0, "last_value": 12.0, "usual": 10.0, "without_neighbours": 9.9}
    mae["tuned"] = 8.5
    run = {"data": "town", "target": "flow", "unit": "veh/h", "mae": mae, "trained_there": 8.0}
    run["tuned_seconds"] = 31.0
    environment = {"commit": "a" * 40, "dirty": False, "processor": "x", "threads": 1}
    environment |= {"versions": {"torch": "2"}, "gpu": None, "cores": 2}
    report = {"command": "python", "configuration": {}, "environment": environment}
    report["results"] = [run]
    row = [cell.strip() for cell in TABLES["zero_shot"](report).splitlines()[2].split("|")][1:-1]
    assert row == [
        "town, flow [veh/h]",
        "12.00",
        "10.00",
        "9.00",
        "-10 %",
        "+10.0 %",
        "8.50 (31 s)",
        "8.00 (+12 %)",
    ]
