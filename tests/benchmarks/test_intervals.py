"""The measurements of intervals and alarms, on small data, and their tables."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from benchmarks.alarms import FAULTS, count_alarms, find_fault, inject, open_data, watch
from benchmarks.calibration import look
from benchmarks.environment import write_result
from benchmarks.report import make_tables
from socialgraph.forecaster import Forecaster
from tests.conftest import make_series
from tests.test_forecaster import make_trainer
from tests.test_objective import make_quantile_network

START = np.datetime64("2024-01-01T00:00:00", "s")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intervals")
    pl.seed_everything(0)
    data = open_data(make_series(steps=4 * 288).select(["speed"]))
    forecaster = Forecaster(make_quantile_network(), learning_rate=0.01, warmup_steps=5)
    trainer = make_trainer(folder, 2, enable_checkpointing=False)
    trainer.fit(forecaster, data)
    return forecaster.eval(), data


def test_coverage_is_counted_as_by_hand(trained, tmp_path):
    forecaster, data = trained
    found = look(forecaster, data, "conformal")
    inside, jam = [], []
    free = np.nanquantile(data.series.values[: data.train_steps], 0.95, axis=0)
    with torch.no_grad():
        for batch in data.test_dataloader():
            told = forecaster.outputs(forecaster.predict(batch))["quantiles"]
            own = (told[..., 0] <= batch["targets"]) & (batch["targets"] <= told[..., 1])
            inside.append(torch.where(batch["target_mask"], own.float(), torch.nan))
            last = torch.where(batch["mask"], batch["features"], torch.nan)[:, -1]
            jam.append(last < 0.7 * torch.from_numpy(free))
    inside, jam = torch.cat(inside), torch.cat(jam)
    assert found["coverage"] == pytest.approx(float(inside.nanmean()))
    assert found["by_step"][3] == pytest.approx(float(inside[:, 3].nanmean()))
    slow = inside.transpose(1, 2)[jam.squeeze(-1)]
    assert found["congested"]["coverage"] == pytest.approx(float(slow.nanmean()), abs=0.01)
    tracked = look(forecaster, data, "tracked")
    assert tracked["mae"] == pytest.approx(found["mae"])
    assert tracked["coverage"] != found["coverage"]
    entries = [{"way": way, "target": "speed", "unit": "mph", **found} for way in ("a", "b")]
    options = {"model": "stacked", "seconds": 1}
    write_result(tmp_path / "calibration_made.json", "calibration", options, entries)
    table = make_tables(tmp_path)["calibration_made"]
    assert f"| b | **{100 * found['coverage']:.1f}** |" in table
    last = table.splitlines()[-3].split("|")  # of the hours, above the note
    assert last[1].strip() == "b"
    assert float(last[-2]) == pytest.approx(100 * np.mean(found["by_hour"][21:]), abs=0.06)


def test_a_fault_is_in_two_detectors_of_a_span_and_nowhere_else():
    for kind in FAULTS:
        series = make_series(steps=600, missing=0.0).select(["speed"])
        spoilt, begins = inject(series, 400, kind, 100, np.random.default_rng(0))
        assert len(begins) == 2
        changed = ~((spoilt.values == series.values).all(axis=2))
        for node, begin in begins.items():
            assert begin >= 400
            assert changed[begin + 1 : begin + 100, node].mean() > 0.9
            changed[begin : begin + 100, node] = False
        assert not changed.any()


def test_alarms_are_counted_where_they_begin_and_faults_where_they_are_told(trained, tmp_path):
    kinds = np.array([[None, "sensor"], ["stuck", "incident"], [None, None], ["stuck", None]])
    assert count_alarms(kinds) == {"sensor": 1, "stuck": 2}
    times = START + np.timedelta64(1, "h") * np.arange(4)
    assert find_fault(times, kinds[:, 1], *times[[0, 3]]) == {"hours": 0.0, "kind": "sensor"}
    assert find_fault(times, kinds[:, 0], *times[[2, 3]]) == {"skipped": True}
    assert find_fault(times, kinds[:, 1], *times[[2, 3]]) == {"skipped": True}
    assert find_fault(times, kinds[:, 0], *times[[0, 3]]) == {"hours": 1.0, "kind": "stuck"}
    found, told = watch(*trained, [0.05, 0.5])
    assert told[0.05].shape == (len(found), 6)
    results = [
        {"fault": None, "rate": 0.1, "detector_days": 10, "alarms": {"sensor": 2, "silent": 5}},
        {"fault": "dead", "rate": 0.1, "found": [{"hours": 2.0, "kind": "silent"}]},
    ]
    write_result(tmp_path / "alarms.json", "alarms", {"model": "stacked"}, results)
    table = make_tables(tmp_path)["alarms"]
    assert "| told, on quiet weeks | 0.200 (2) |" in table
    assert "| dead | 1 of 1, 2.0 h, silent |" in table
