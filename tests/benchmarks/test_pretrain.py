"""The network that comes with the package: how it is made, and how it is measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import ingredients, pretrain, zero_shot
from benchmarks.tables import TABLES
from data_prep.simulate import simulate
from data_prep.simulate.ranges import Ranges
from socialgraph.pretrained import load_pretrained
from socialgraph.schema import write
from tests.conftest import make_series


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


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(tmp_path):
    words = ["--quick", "--batches=3", "--random=1", f"--output={tmp_path / 'a.ckpt'}"]
    steps = []
    for more in (["--epochs=1"], ["--epochs=3", "--resume"]):
        pretrain.main([*words, *more])
        last = torch.load(tmp_path / "a.training" / "last.ckpt", weights_only=True)
        steps.append(last["global_step"])
    assert steps == [9, 27]  # three networks, three batches of each in an epoch


def test_the_table_says_how_far_each_is():
    mae = {"forecast": 9.0, "last_value": 12.0, "usual": 10.0, "without_neighbours": 9.9}
    mae |= {"ridge": 9.5, "network": 9.2, "fifth": 8.0, "fifth_with_a_day": 8.4, "tuned": 8.5}
    run = {"data": "town", "target": "flow", "unit": "veh/h", "mae": mae, "trained_there": 8.0}
    run |= {"tuned_seconds": 31.0, "minutes": 5.0}
    run["card"] = {"series": ["aarhus speed", "aarhus count", "random-3-town speed"]}
    run["card"] |= {"random": 8, "epochs": 3}
    environment = {"commit": "a" * 40, "dirty": False, "processor": "x", "threads": 1}
    environment |= {"versions": {"torch": "2"}, "gpu": None, "cores": 2}
    report = {"command": "python", "configuration": {}, "environment": environment}
    report["results"] = [run]
    row = [cell.strip() for cell in TABLES["zero_shot"](report).splitlines()[2].split("|")][1:-1]
    assert row == [
        "town, flow [veh/h], 5 min",
        "aarhus, 24 made-up",
        "12.00",
        "10.00",
        "9.50",
        "9.00 (-10 %)",
        "9.20",
        "+7.6 %",
        "+5.0 %",
        "8.50 (31 s)",
        "8.00 (+12 %)",
    ]
    report["results"] = [{"case": "all", "data": [run]}]
    other = {**run, "mae": {**mae, "network": 9.66}}
    report["results"].append({"case": "without noise", "data": [other]})
    lines = TABLES["ingredients"](report).splitlines()
    assert "| all | 9.20 |" in lines
    assert "| without noise | 9.66 (+5.0 %) |" in lines
    assert "| ridge | 9.50 |" in lines
    other = {**run, "mae": {**mae, "forecast": 10.0, "tuned": 8.7}}
    hour = {**run, "minutes": 60.0}
    lines = TABLES["zero_shot"]({**report, "results": [run, hour, other]}).splitlines()[2:4]
    both, alone = ([cell.strip() for cell in line.split("|")][1:-1] for line in lines)
    assert both[0] == "town, flow [veh/h], 5 min, 2 seeds"
    assert both[5] == "9.50 ± 0.71 (-5 %)"
    assert both[9:] == ["8.60 (31 s)", "8.00 (+19 %)"]
    assert alone[0] == "town, flow [veh/h], 60 min"
    assert alone[1:] == row[1:]


def test_readings_are_averaged_over_what_was_observed():
    series = make_series(steps=30)
    series.values[0:3] = np.nan
    series.values[3, 0, 0] = np.nan
    series.values[4:6, 0, 0] = [10, 20]
    hourly = zero_shot.averaged(series, 15.0)
    assert hourly.values.shape == (10, 6, 2)
    assert np.isnan(hourly.values[0]).all()
    assert hourly.values[1, 0, 0] == 15
    assert hourly.interval_minutes == 15
    assert (np.diff(hourly.timestamps) == np.timedelta64(15, "m")).all()
    with pytest.raises(ValueError, match="a multiple of 5"):
        zero_shot.averaged(series, 7.0)


@pytest.mark.slow
def test_random_networks_without_an_ingredient_are_trained_on(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=6, days=4))
    part = {"series": str(tmp_path / "data.h5"), "features": ["speed"]}
    (tmp_path / "part.yaml").write_text(json.dumps(part))
    (tmp_path / "small.yaml").write_text("data: part.yaml\n")
    output = tmp_path / "a.json"
    words = ["--quick", "--epochs=1", "--batches=2", "--random=1", f"--output={output}"]
    words += [f"--configs={tmp_path / 'small.yaml'}", "--cases", "all ingredients"]
    ingredients.main([*words, "without faults", "told interval, spacing, quantity"])
    report = json.loads(output.read_text())
    errors = [run["data"][0]["mae"]["network"] for run in report["results"]]
    assert len(set(errors)) == 3
    cards = [run["data"][0]["card"] for run in report["results"]]
    assert [card["lacking"] for card in cards] == [None, "faults", None]
    assert [card["setting"] for card in cards] == [False, False, True]


def test_each_ingredient_changes_what_is_drawn():
    for name, change in pretrain.INGREDIENTS.items():
        assert replace(Ranges(), **change) != Ranges(), name
