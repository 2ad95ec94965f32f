"""The load on the service, in short: every request is answered, and the table is made."""

import json

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from benchmarks import service
from benchmarks.tables import TABLES
from socialgraph.cli import main
from tests.conftest import make_series
from tests.test_stream import train


@pytest.mark.slow
def test_every_request_of_a_short_load_is_answered(tmp_path):
    checkpoint = train(tmp_path, make_series(steps=288 * 3), "stacked")
    exported = tmp_path / "f.onnx"
    main(["export", "--ckpt_path", str(checkpoint), "--to", str(exported)])
    path = tmp_path / "r.json"
    service.main(["--quick", "--ckpt_path", str(exported), "--output", str(path)])
    report = json.loads(path.read_text())
    (entry,) = report["results"]
    assert entry["statuses"] == {"forecasts 200": 40, "readings 200": 2}
    assert 0 < entry["forecasts"]["p50"] <= entry["forecasts"]["p99"] <= entry["forecasts"]["max"]
    table = TABLES["service"](report)
    assert "| GET /forecasts | 40 |" in table
    assert "readings of 6 detectors with 2 features" in table
