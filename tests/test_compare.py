"""Results in one table, if they were measured by one protocol."""

import json
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl

from socialgraph.backtest.rivals import LastValue, TimeOfDayMean
from socialgraph.cli import main
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.protocol import hash_readings
from socialgraph.schema import write
from socialgraph.writers import ErrorWriter
from tests.conftest import make_series


def measure(path, series, network=None, **options):
    """Test a rival, which needs no training, as ``socialgraph test`` does."""
    data = TrafficDataModule(series, ["speed"], **{"windows": Windows(4, 4), **options})
    data.setup("test")
    writer = ErrorWriter(str(path))
    trainer = pl.Trainer(logger=False, enable_progress_bar=False, callbacks=[writer])
    network = LastValue(data.windows.horizon, 1) if network is None else network(data)
    trainer.test(Forecaster(network), data, verbose=False)
    return json.loads(path.read_text())


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["compare", *words])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_two_forecasters_of_one_protocol_stand_in_one_table(tmp_path, capsys):
    series = make_series()
    write(tmp_path / "file.h5", replace(series, missing="-1"))
    one = measure(tmp_path / "a.json", str(tmp_path / "file.h5"))
    two = measure(tmp_path / "b.json", replace(series, missing="-1"), TimeOfDayMean)  # no file
    capsys.readouterr()
    main(["compare", "a.json", "b.json"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == [
        *["mae", "of", "speed", "[km/h]", "5", "min", "10", "min", "15", "min", "20", "min", "all"]
    ]
    for line, report in ((lines[1], one), (lines[2], two)):
        speed = report["targets"]["speed"]
        assert line[1:] == [f"{v:.2f}" for v in (*speed["mae"], speed["mae_all"])]
    assert [line[0] for line in lines if line[0].endswith("json")] == 3 * ["a.json", "b.json"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"windows": Windows(5, 4)}, "window: 4 | 5"),
        ({"windows": Windows(4, 2)}, "horizon: 4 | 2"),
        ({"split": (0.5, 0.3, 0.2)}, "data.split.init_args.train: 0.7 | 0.5"),
        ({"held_out_detectors": ["VD-1"]}, "held_out_detectors: none | ['VD-1']"),
        ({"targets": ["flow"], "features": ["flow"]}, "data.targets.flow: none | veh/h"),
    ],
)
def test_another_protocol_is_refused_and_named(tmp_path, capsys, changed, told):
    measure(tmp_path / "a.json", make_series())
    data = {"targets": None, **changed}
    features = data.pop("features", ["speed"])
    module = TrafficDataModule(make_series(), features, **{"windows": Windows(4, 4), **data})
    module.setup("test")
    writer = ErrorWriter("b.json")
    trainer = pl.Trainer(logger=False, enable_progress_bar=False, callbacks=[writer])
    trainer.test(Forecaster(LastValue(module.windows.horizon, 1)), module, verbose=False)
    assert told in refused(capsys, "a.json", "b.json")


def test_other_readings_are_another_protocol(tmp_path, capsys):
    measure(tmp_path / "a.json", make_series())
    measure(tmp_path / "b.json", make_series(seed=1))
    said = refused(capsys, "a.json", "b.json")
    assert "data.sha256" in said
    assert "window" not in said.splitlines()[1]


def test_what_is_no_result_is_refused(tmp_path, capsys):
    measure(tmp_path / "a.json", make_series())
    report = json.loads((tmp_path / "a.json").read_text())
    del report["protocol"]
    (tmp_path / "old.json").write_text(json.dumps(report))
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "broken.json").write_text('{"a": ')
    assert "earlier version" in refused(capsys, "a.json", "old.json")
    for name in ("other.json", "broken.json"):
        assert f"'{name}' is no result" in refused(capsys, "a.json", name)
    assert "No such file" in refused(capsys, "absent.json")


def test_the_checksum_is_of_what_was_read_and_of_nothing_else():
    series = make_series(steps=20)
    own = hash_readings(series, 1)
    assert own == hash_readings(replace(series, source="elsewhere", dataset_name="b"), 1)
    other_nan = series.values.copy()
    other_nan[np.isnan(other_nan)] = -np.float32(np.nan)
    assert own == hash_readings(replace(series, values=other_nan), 1)
    flow = series.values.copy()
    flow[3, 2, 1] = 7
    assert own == hash_readings(replace(series, values=flow), 1)
    assert hash_readings(series) != hash_readings(replace(series, values=flow))
    zero, missing = series.values.copy(), series.values.copy()
    zero[3, 2, 0], missing[3, 2, 0] = 0, np.nan
    apart = [replace(series, values=zero), replace(series, values=missing)]
    apart.append(replace(series, timestamps=series.timestamps + 300))
    apart.append(replace(series, vdids=["other", *series.vdids[1:]]))
    assert len({own, *(hash_readings(s, 1) for s in apart)}) == 5
