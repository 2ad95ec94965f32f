"""Exported forecasters give the numbers of the checkpoint, without PyTorch."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import socialgraph
from socialgraph.calendar import clock
from socialgraph.cli import main
from socialgraph.export import PlainForecaster, export_forecaster
from socialgraph.forecaster import Forecaster
from socialgraph.nn import SocialGraphNet
from socialgraph.runtime import RuntimeForecaster
from socialgraph.schema import write
from socialgraph.spec import SpecError
from tests.conftest import ROOT, make_series
from tests.test_forecaster import make_data, make_forecaster, make_trainer

SHIPPED = {path.stem for path in (ROOT / "configs" / "model").glob("*.yaml")}
# No exporter follows an encoder for each detector; "pretrained" holds no network of its own.
# "stacked" is exported for other tests, and "stacked_alone" has no part that the rest lacks.
MODELS = sorted(SHIPPED - {"distributed", "pretrained", "stacked", "stacked_alone"})


@pytest.fixture(scope="module")
def series():
    return make_series(steps=3 * 288)


@pytest.fixture(scope="module")
def make_checkpoint(tmp_path_factory, series):
    """A checkpoint of a shipped configuration, after two batches."""
    folder = tmp_path_factory.mktemp("export")
    write(folder / "series.h5", series)

    def make(model: str):
        run = folder / model
        words = [
            *("fit", f"--config={ROOT / 'configs' / 'simulated.yaml'}"),
            f"--model={ROOT / 'configs' / 'model' / f'{model}.yaml'}",
            f"--data.series={folder / 'series.h5'}",
            *("--data.features=[speed,flow]", "--data.targets=[speed]"),
            *("--data.windows.window=6", "--data.windows.horizon=4"),
            *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2"),
            *("--trainer.logger=false", f"--trainer.default_root_dir={run}", "--overwrite"),
        ]
        main(words)
        return run / "checkpoints" / "best.ckpt"

    return make


@pytest.fixture(scope="module")
def stacked(make_checkpoint):
    path = make_checkpoint("stacked")
    onnx = path.with_suffix(".onnx")
    main(["export", "--ckpt_path", str(path), "--to", str(onnx)])
    return path, onnx


def assert_same(table, expected, scale):
    pd.testing.assert_frame_equal(table.drop(columns="speed"), expected.drop(columns="speed"))
    assert np.abs(table["speed"] - expected["speed"]).max() < 1e-4 * scale


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_shipped_configurations_forecast_the_same(make_checkpoint, series, model):
    path = make_checkpoint(model)
    forecaster = socialgraph.load(path)
    export_forecaster(forecaster, path.with_suffix(".onnx"))
    runtime = RuntimeForecaster(path.with_suffix(".onnx"))
    assert_same(
        runtime.forecast(series), forecaster.forecast(series), forecaster.scaler.scale[0].item()
    )


@pytest.mark.slow
def test_an_encoder_for_each_detector_is_refused(make_checkpoint, tmp_path, capsys):
    path = make_checkpoint("distributed")
    with pytest.raises(SystemExit, match="2"):
        main(["export", "--ckpt_path", str(path), "--to", str(tmp_path / "f.onnx")])
    assert "Export one with a shared encoder." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_many_windows_missing_readings_and_other_detectors(stacked, series):
    path, onnx = stacked
    forecaster, runtime = socialgraph.load(path), RuntimeForecaster(onnx)
    values = series.values.copy()
    values[-4:, 1] = np.nan
    values[:, 2, 0] = np.nan
    # Three windows, of which two end on other days.
    ends = np.array([600, 700, len(values)])
    readings = np.stack([values[end - 6 : end] for end in ends])
    forecasts = runtime.predict(readings, series.timestamps[ends - 1])
    for end, forecast in zip(ends, forecasts, strict=True):
        cut = replace(series, values=values, timestamps=series.timestamps).first(end)
        table = forecaster.forecast(cut)["speed"].to_numpy().reshape(6, 4).T
        np.testing.assert_allclose(forecast[..., 0], table, atol=1e-3)

    order = [4, 0, 2]
    some = series.select(vdids=[series.vdids[i] for i in order])
    graph = forecaster.build_graph().build(some)
    parts = {name: getattr(graph, name) for name in ("edge_index", "distance", "offset")}
    node = runtime.spec.rows(some.vdids)
    forecast = runtime.predict(some.values[None, -6:], some.timestamps[-1:], node=node, graph=parts)
    expected = forecaster.forecast(some)["speed"].to_numpy().reshape(3, 4).T
    np.testing.assert_allclose(forecast[0, ..., 0], expected, atol=1e-3)


@pytest.mark.slow
def test_forecasts_need_no_torch(stacked, series, tmp_path):
    path, onnx = stacked
    write(tmp_path / "series.h5", series)
    script = (
        "import sys\n"
        "for name in ('torch', 'torch_geometric', 'pytorch_lightning'): sys.modules[name] = None\n"
        "from socialgraph import schema\n"
        "from socialgraph.runtime import RuntimeForecaster\n"
        "table = RuntimeForecaster(sys.argv[1]).forecast(schema.read(sys.argv[2]))\n"
        "table.to_pickle(sys.argv[3])"
    )
    words = [sys.executable, "-c", script, onnx, tmp_path / "series.h5", tmp_path / "t.pickle"]
    subprocess.run(words, cwd=ROOT, check=True)
    forecaster = socialgraph.load(path)
    table = pd.read_pickle(tmp_path / "t.pickle")
    assert_same(table, forecaster.forecast(series), forecaster.scaler.scale[0].item())


@pytest.mark.slow
def test_a_torch_program_holds_the_specification(stacked, series, tmp_path):
    path, _ = stacked
    forecaster = socialgraph.load(path)
    export_forecaster(forecaster, tmp_path / "f.pt2")
    files = {"spec.json": ""}
    program = torch.export.load(tmp_path / "f.pt2", extra_files=files)
    assert json.loads(files["spec.json"])["vdids"] == series.vdids
    nodes = 9
    inputs = {
        "readings": 60 + torch.randn(2, 6, nodes, 2),
        "time_of_day": torch.rand(2, 10),
        "day_of_week": torch.tensor([[4] * 10, [5] * 10]),
        "node": torch.tensor([0, 1, 2, 3, 4, 5, -1, -1, 0]),
        "edge_index": torch.tensor([[1, 2, 0], [0, 0, 8]]),
        "distance": torch.tensor([300.0, 700.0, 1500.0]),
        "offset": torch.tensor([[300.0, 0.0], [0.0, 700.0], [0.0, -1500.0]]),
    }
    with torch.no_grad():
        expected = PlainForecaster(forecaster).eval()(**inputs)
        torch.testing.assert_close(program.module()(**inputs), expected)


EDGES = {
    "edge_index": np.array([[0, 1], [1, 0]]),
    "distance": np.array([300.0, 300.0]),
    "offset": np.array([[0.0, 300.0], [0.0, -300.0]]),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"edge_index": np.array([[0, -1], [1, 0]])}, "'edge_index' from 0 to 5"),
        ({"edge_index": np.array([[0, 6], [1, 0]])}, "'edge_index' from 0 to 5"),
        ({"distance": np.array([300.0])}, "as many edges"),
        ({"distance": np.ones((2, 1))}, r"'distance' of 'graph' of shape \['edges'\] .got .2, 1"),
        ({"offset": np.ones((2, 3))}, r"'offset' of 'graph' of shape \['edges', 2\] .got .2, 3"),
        ({"edge_index": np.zeros((3, 2))}, r"'edge_index' of 'graph' of shape \[2, 'edges'\]"),
        ({"distance": np.array([300.0, np.nan])}, r"finite numbers.*\['distance'\]"),
        ({"edges": np.zeros(2)}, "with .'distance', 'edge_index', 'offset'."),
    ],
)
def test_a_graph_that_is_none_is_refused(stacked, series, change, said):
    runtime = RuntimeForecaster(stacked[1])
    window = series.values[None, -6:]
    assert runtime.predict(window, series.timestamps[-1:], graph=EDGES).shape == (1, 4, 6, 1)
    with pytest.raises(ValueError, match=said):
        runtime.predict(window, series.timestamps[-1:], graph=EDGES | change)


def test_codes_among_readings_are_bounded_as_in_training(series, tmp_path):
    values = series.values.copy()
    values[:20, 0, 0] = 65535.0
    coded = replace(series, values=values)
    torch.manual_seed(0)
    options = {"scaling": "robust", "window": 6, "horizon": 4}
    forecaster = make_forecaster(pooling=None)
    forecaster.network = SocialGraphNet(block=None)
    make_trainer(tmp_path, limit_train_batches=2).fit(forecaster, make_data(coded, **options))
    plain = PlainForecaster(forecaster).eval()
    spec = forecaster.spec
    assert float(forecaster.profile.mean.max()) > 10 * spec.limit
    times = spec.step * np.arange(-5, 5) + series.timestamps[-1]
    time_of_day, day_of_week = map(torch.from_numpy, clock(times, spec.timezone))
    with torch.no_grad():
        forecast, _ = plain(
            torch.from_numpy(coded.values[None, -6:]),
            time_of_day[None],
            day_of_week[None],
            torch.arange(6),
        )
    expected = forecaster.forecast(coded)["speed"].to_numpy().reshape(6, 4).T
    np.testing.assert_allclose(forecast[0, ..., 0], expected, rtol=1e-4)
    assert forecaster.network.training


@pytest.mark.slow
def test_what_does_not_fit_is_named(stacked, series, tmp_path):
    path, onnx = stacked
    runtime = RuntimeForecaster(onnx)
    with pytest.raises(SpecError, match=r"strangers: \[\], absent: \['VD-5'\]"):
        runtime.forecast(series.select(vdids=series.vdids[:5]))
    with pytest.raises(SpecError, match=r"'units'.*mph"):
        runtime.forecast(replace(series, units=["mph", "veh/h"]))
    gap = replace(
        series,
        values=np.delete(series.values, -3, axis=0),
        timestamps=np.delete(series.timestamps, -3),
    )
    with pytest.raises(ValueError, match="gap in its last 6 steps"):
        runtime.forecast(gap)
    with pytest.raises(ValueError, match=r"'readings' of shape \(1, 6, 6, 2\).*\(1, 5, 6, 2\)"):
        runtime.predict(series.values[None, -5:], series.timestamps[-1:])
    with pytest.raises(ValueError, match="graph of these detectors"):
        runtime.predict(series.values[None, -6:, :2], series.timestamps[-1:], node=[0, 1])
    with pytest.raises(ValueError, match="'node' as integers from -1 to 5"):
        runtime.predict(series.values[None, -6:, :2], series.timestamps[-1:], node=[0, 6])
    with pytest.raises(ValueError, match=r"'\.onnx' or '\.pt2'"):
        export_forecaster(socialgraph.load(path), tmp_path / "f.bin")
    silent = replace(series, values=np.full_like(series.values, np.nan))
    with pytest.raises(ValueError, match="6 steps without any reading"):
        runtime.forecast(silent)
    window = series.values[None, -6:]
    with pytest.raises(ValueError, match="'issued' as datetime64"):
        runtime.predict(window, np.array(["NaT"], "datetime64[s]"))
    (tmp_path / "no.onnx").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"no\.onnx' is no forecaster"):
        RuntimeForecaster(tmp_path / "no.onnx")
    with pytest.raises(FileNotFoundError, match=r"none\.onnx"):
        RuntimeForecaster(tmp_path / "none.onnx")


def test_an_untrained_forecaster_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="trained forecaster"):
        export_forecaster(Forecaster(), tmp_path / "f.onnx")
