"""Windows of several lengths, tested on the same hours."""

import json

import pytest

from benchmarks.windows import main
from data_prep.simulate import simulate
from socialgraph.schema import write
from tests.conftest import ROOT


@pytest.mark.slow
def test_all_lengths_are_tested_on_the_same_windows(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=6, days=3, num_freeways=1))
    words = [
        *("--quick", "--epochs", "1"),
        *("--config", ROOT / "configs" / "simulated.yaml", "--data", tmp_path / "data.h5"),
        *("--variants", "stacked", "window 48, without xLSTM"),
        *("--runs", tmp_path, "--output", tmp_path / "result.json"),
    ]
    main([str(word) for word in words])
    short, long = json.loads((tmp_path / "result.json").read_text())["results"]
    assert (short["test"]["window"], long["test"]["window"]) == (12, 48)
    assert short["test"]["windows"] == long["test"]["windows"]
    counts = [run["test"]["targets"]["speed"]["count"] for run in (short, long)]
    assert counts[0] == counts[1]
    alone = json.loads(
        next(tmp_path.glob("**/stacked/**/seed_0/checkpoints/best.test.json")).read_text()
    )
    assert alone["windows"] == short["test"]["windows"] + 36
