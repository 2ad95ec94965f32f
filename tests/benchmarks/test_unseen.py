"""The comparison of detectors that were held out with those that were trained on."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from benchmarks.tables import TABLES
from benchmarks.unseen import absolute_error, main
from data_prep.simulate import simulate
from socialgraph.schema import write
from tests.conftest import ROOT


def test_the_error_is_that_of_the_detectors_that_report(tmp_path):
    columns = {
        "detector": ["a", "b", "a", "b", "c"],
        "speed": [10.0, 20.0, 30.0, 40.0, 0.0],
        "speed_observed": [11.0, 99.0, None, 40.0, 5.0],
    }
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert absolute_error(tmp_path / "t.parquet", "speed", ["a", "c"]) == pytest.approx(3.0)


@pytest.mark.slow
def test_it_runs_and_has_a_table(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=10, days=2, num_freeways=1))
    words = [
        *("--quick", "--epochs", "1"),
        *("--config", ROOT / "configs" / "simulated.yaml", "--data", tmp_path / "data.h5"),
        *("--runs", tmp_path, "--output", tmp_path / "result.json", "--share", "0.3"),
    ]
    main([str(word) for word in words])
    report = json.loads((tmp_path / "result.json").read_text())
    (run,) = report["results"]
    assert run["detectors"] == 3
    # Both trainings have hardly begun, from the same weights.
    assert run["mae_unseen"] == pytest.approx(run["mae_trained_on"], rel=0.5)
    table = TABLES["unseen"](report)
    assert f"| stacked | 0 | {run['mae_unseen']:.3f} | {run['mae_trained_on']:.3f} |" in table
