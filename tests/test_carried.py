"""Training and test with a state that is carried from window to window."""

import dataclasses

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

import socialgraph
from socialgraph.carried import CarriedState
from socialgraph.cli import main
from socialgraph.data import Loading, TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.schema import write
from socialgraph.stream import StreamingForecaster
from tests.conftest import ROOT, make_series
from tests.test_forecaster import (
    KilledError,
    Losses,
    Persistence,
    StopBefore,
    make_forecaster,
    make_trainer,
)

WINDOW, HORIZON = 6, 3


def make_data(series=None, carry_state=True, window=WINDOW, batch_size=8, **options):
    options = {"targets": ["speed"], "split": (0.6, 0.2, 0.2), **options}
    return TrafficDataModule(
        series or make_series(),
        windows=Windows(window, HORIZON, carry_state=carry_state),
        loading=Loading(batch_size),
        **options,
    )


def make_untrained(data, stage="test"):
    """A forecaster with random weights that is told the data."""
    data.setup(stage)
    forecaster = make_forecaster()
    forecaster.adopt(data)
    forecaster.graph = data.graph
    return forecaster.eval()


def broken():
    """A series with a gap in its test part, and a detector that is silent for long."""
    series = make_series(steps=300)
    values = series.values.copy()
    values[246:280, 2] = np.nan
    kept = np.delete(np.arange(300), slice(270, 273))
    return dataclasses.replace(series, values=values[kept], timestamps=series.timestamps[kept])


@torch.no_grad()
def test_a_window_that_goes_on_gives_the_forecast_of_all_that_was_read():
    series = broken()
    data = make_data(series)
    forecaster = make_untrained(data)
    seen = 0
    for batch in data.test_dataloader():
        forecasts = forecaster(batch)
        for row, issued in enumerate(batch["issued"].numpy().astype("datetime64[s]")):
            last = int(np.searchsorted(series.timestamps, issued))
            begin = 270 if last >= 270 else data.starts["test"][0]  # behind the gap, or the part
            begin += (last + 1 - begin) % WINDOW
            whole = make_data(series, carry_state=False, window=int(last + 1 - begin))
            whole.series, whole.graph_tensors = data.series, data.graph_tensors
            whole.num_targets = data.num_targets
            values = torch.from_numpy(data.series.values)
            expected = forecaster(whole._collate(values, series.timestamps)([begin]))
            torch.testing.assert_close(forecasts[row], expected[0], rtol=1e-4, atol=1e-3)
            seen += int(last + 1 - begin) > WINDOW
    assert seen > 20


def test_no_gradient_crosses_from_batch_to_batch():
    data = make_data()
    forecaster = make_untrained(data, "fit").train()
    first, second, *_ = data.train_dataloader()
    assert second["goes_on"].any()
    with torch.no_grad():
        forecaster.predict({**first, "features": first["features"] + 5})
        moved = forecaster.predict(second)
    features = first["features"].clone().requires_grad_()
    forecaster.predict({**first, "features": features})
    forecast = forecaster.predict(second)
    gone = ~second["goes_on"]
    assert (moved != forecast).flatten(1).any(1)[~gone].all()  # it hears of the first
    assert torch.equal(moved[gone], forecast[gone])
    forecast.sum().backward()  # would need the graph of the first, if that led there
    assert features.grad is None


def losses_of(folder, data, checkpoint=None, epochs=2, callbacks=(), **options):
    losses = Losses()
    trainer = make_trainer(folder, epochs, callbacks=[losses, *callbacks], **options)
    pl.seed_everything(1)
    trainer.fit(make_forecaster(), data, ckpt_path=checkpoint)
    return losses.values


def test_where_no_window_follows_another_it_is_ordinary_training(tmp_path):
    # The training part holds six windows, one at each step of the first; one batch has them all.
    series = make_series(steps=60)
    runs = [
        losses_of(tmp_path, make_data(series, carry, split=(14 / 60, 26 / 60, 20 / 60)), epochs=4)
        for carry in (True, False)
    ]
    assert len(runs[0]) == 4
    np.testing.assert_allclose(*runs, rtol=1e-4)


@pytest.mark.slow
def test_a_training_goes_on_with_its_state_in_mid_epoch_and_validation_leaves_it(tmp_path):
    whole = losses_of(tmp_path, make_data())
    keep = ModelCheckpoint(tmp_path / "mid", save_last=True)
    some = {"callbacks": [keep, StopBefore(16)], "val_check_interval": 0.25}
    with pytest.raises(KilledError):
        losses_of(tmp_path, make_data(), **some)
    last = str(tmp_path / "mid" / "last.ckpt")
    assert torch.load(last)["global_step"] % len(make_loader()) != 0
    rest = losses_of(tmp_path, make_data(), last, val_check_interval=0.25)
    assert 0 < len(rest) < len(whole)
    assert rest == whole[-len(rest) :]


def make_loader():
    data = make_data()
    data.setup("fit")
    return data.train_dataloader()


def test_going_on_in_mid_epoch_without_the_state_is_refused(tmp_path):
    keep = ModelCheckpoint(tmp_path / "mid", save_last=True)
    with pytest.raises(KilledError):
        losses_of(tmp_path, make_data(), callbacks=[keep, StopBefore(12)], val_check_interval=0.25)
    with pytest.raises(ValueError, match=r"'carry_state': True.*'carry_state': False"):
        losses_of(
            tmp_path,
            make_data(carry_state=False),
            str(tmp_path / "mid" / "last.ckpt"),
            val_check_interval=0.25,
        )


def test_batches_out_of_order_are_refused():
    data = make_data()
    forecaster = make_untrained(data)
    _, second, *_ = data.test_dataloader()
    with pytest.raises(ValueError, match="batches in the order of their loader"):
        forecaster(second)


def command(folder, verb, *more, model="attention"):
    main(
        [
            *(verb, f"--config={ROOT / 'configs' / 'simulated.yaml'}"),
            f"--model={ROOT / 'configs' / 'model' / f'{model}.yaml'}",
            *(f"--data.series={folder / 'data.h5'}", "--data.features=[speed,flow]"),
            *("--data.windows.window=6", "--data.windows.horizon=4", "--data.targets=[speed]"),
            *("--trainer.max_epochs=1", "--trainer.limit_train_batches=5"),
            *("--trainer.logger=false", f"--trainer.default_root_dir={folder}"),
            "--trainer.enable_progress_bar=false",
            *more,
        ]
    )


@pytest.mark.slow
def test_a_test_scores_what_a_stream_with_the_state_forecasts(tmp_path):
    series = make_series()
    write(tmp_path / "data.h5", series)
    small = "--model.network.init_args.encoder.init_args.hidden_channels=8"
    command(tmp_path, "fit", small, "--data.windows.carry_state=true")
    best = tmp_path / "checkpoints" / "best.ckpt"
    assert torch.load(best)["carried"] is None  # at the end of an epoch nothing is carried on
    forecaster, errors = socialgraph.load(best), {}
    for carry_state in (False, True):
        data = TrafficDataModule(
            *(series, ["speed", "flow"], ["speed"]),
            windows=Windows(6, 4, predict_on="test", carry_state=carry_state),
            graph=RadiusGraph(5000.0, max_num_neighbors=12),
        )
        trainer = make_trainer(tmp_path)
        trainer.test(forecaster, data, verbose=False)
        errors[carry_state] = float(forecaster.test_errors["mae_all"])
    forecasts = trainer.predict(forecaster, data)
    assert errors[True] != errors[False]
    stream = StreamingForecaster(forecaster, memory="state")
    first = int(data.starts["test"][0])
    for step in range(first, first + 30):
        told = stream.update(series.timestamps[step], series.values[step])
        if (step - first) % 6 == 5:  # the windows of the first row of each batch
            scored = forecasts[(step - first) // 6]["forecast"][0]
            torch.testing.assert_close(told[..., :1], scored, rtol=1e-5, atol=1e-3)


def test_windows_that_lightning_would_mix_up_are_refused():
    data = make_data()
    trainer = pl.Trainer(max_epochs=1, overfit_batches=2, logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match="Expected no 'overfit_batches' with 'carry_state'"):
        trainer.fit(make_forecaster(), data)


def test_a_network_without_a_state_is_refused_before_it_trains(tmp_path, capsys):
    write(tmp_path / "data.h5", make_series())
    with pytest.raises(SystemExit) as end:
        command(tmp_path, "fit", "--data.windows.carry_state=true", model="stacked")
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "for 'carry_state' (got SocialGraphNet with SumEncoder, which does not)" in said
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_a_network_without_a_state_is_tested_on_each_window_alone(tmp_path):
    errors = []
    for carry_state in (True, False):
        forecaster = Forecaster(Persistence(num_targets=1))
        make_trainer(tmp_path).test(forecaster, make_data(carry_state=carry_state), verbose=False)
        errors.append(float(forecaster.test_errors["mae_all"]))
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)


def test_a_foreign_network_is_refused_too():
    with pytest.raises(ValueError, match=r"for 'carry_state' \(got Linear, which does not\)"):
        CarriedState().forecast(torch.nn.Linear(1, 1), {}, torch.tensor([False]))
