"""The cost of a report."""

import json

import pytest

from benchmarks.pages import main
from benchmarks.tables import TABLES


@pytest.mark.slow
def test_it_runs_and_has_a_table(tmp_path):
    words = ["--quick", "--days", "3", "--folder", tmp_path, "--output", tmp_path / "result.json"]
    main([str(word) for word in words])
    report = json.loads((tmp_path / "result.json").read_text())
    (entry,) = report["results"]
    assert entry["nodes"] == entry["details"] == entry["gradients"] == 12
    assert entry["every"] == 1
    assert entry["windows"] == 3 * 288 - round(0.8 * 3 * 288) - 23  # of the test part
    assert 4 < entry["megabytes"] < 10
    assert f"| 12 | {entry['seconds']:.1f} |" in TABLES["pages"](report)
