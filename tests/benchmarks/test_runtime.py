"""The cost of a forecast without PyTorch."""

import json

import pytest

from benchmarks.runtime import main
from benchmarks.tables import TABLES
from tests.conftest import make_series
from tests.test_forecaster import make_data, make_forecaster, train


@pytest.mark.slow
def test_it_runs_and_has_a_table(tmp_path):
    _, _, path = train(tmp_path, make_data(make_series()), make_forecaster())
    main(["--quick", "--ckpt_path", str(path), "--output", str(tmp_path / "result.json")])
    report = json.loads((tmp_path / "result.json").read_text())
    starts = {e["way"]: e for e in report["results"] if "start_seconds" in e}
    assert starts["onnxruntime"]["peak_memory_mib"] < starts["torch"]["peak_memory_mib"]
    forecasts = {e["way"]: e for e in report["results"] if "seconds" in e}
    assert forecasts["torch"]["largest_difference"] == 0
    assert forecasts["onnxruntime"]["largest_difference"] < 1e-3
    table = TABLES["runtime"](report)
    assert "| onnxruntime, int8 |" in table
    assert "20 detectors, ms" in table
