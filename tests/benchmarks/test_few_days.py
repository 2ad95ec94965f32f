"""A few days of readings, for the network of the package and for a new one."""

import argparse
import shutil

import numpy as np
import pytest

from benchmarks.environment import ROOT
from benchmarks.few_days import measure
from data_prep.simulate import simulate
from socialgraph.schema import write


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The history is of")
def test_both_are_scored_on_the_same_test_part(tmp_path):
    write(tmp_path / "data.h5", simulate(num_detectors=8, days=4, num_freeways=1, seed=2))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    data = tmp_path / "configs" / "data" / "simulated.yaml"
    data.write_text(data.read_text().replace("data/simulated.h5", str(tmp_path / "data.h5")))
    args = argparse.Namespace(weights=None, tune=1, budget=1.0)
    found = measure(tmp_path / "configs" / "simulated.yaml", 1.0, args)
    assert (found["target"], found["unit"], found["days"]) == ("speed", "km/h", 1.0)
    assert {"network", "tuned", "from_nothing", "last_value"} < set(found["mae"])
    assert all(np.isfinite(value) for value in found["mae"].values())
    assert found["mae"]["network"] < found["mae"]["usual"]
