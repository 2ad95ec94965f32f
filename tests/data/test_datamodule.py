"""From a file to batches."""

import h5py
import numpy as np
import pytest
import torch

from socialgraph.data import TrafficDataModule
from tests.conftest import make_series


def make_module(path, **options):
    options = {"features": ["speed", "flow"], "window": 6, "horizon": 3, "batch_size": 4, **options}
    module = TrafficDataModule(str(path), **options)
    module.setup()
    return module


def test_a_batch_carries_what_a_network_needs(traffic_file):
    batch = next(iter(make_module(traffic_file, num_targets=1).train_dataloader()))
    assert batch["features"].shape == (4, 6, 6, 2)
    assert batch["targets"].shape == (4, 3, 6, 1)
    assert batch["positions_xy"].shape == (6, 2)
    assert batch["positions_xy"].dtype == batch["distance"].dtype == torch.float32
    assert batch["vd_ids"] == [f"VD-{i}" for i in range(6)]
    sender, receiver = batch["edge_index"]
    lengths = (batch["positions_xy"][sender] - batch["positions_xy"][receiver]).norm(dim=1)
    torch.testing.assert_close(lengths, batch["distance"], rtol=1e-4, atol=0.01)
    assert not batch["features"].isnan().any()


def test_all_windows_of_a_part_come_once(traffic_file):
    module = make_module(traffic_file)
    for name, loader in {
        "train": module.train_dataloader(),
        "val": module.val_dataloader(),
    }.items():
        seen = torch.cat([batch["first_step"] - 6 for batch in loader])
        assert sorted(seen.tolist()) == module.starts[name].tolist()


def test_training_windows_are_shuffled_by_seed_and_epoch_alone(traffic_file):
    def order(seed, epoch):
        loader = make_module(traffic_file, seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch["first_step"] for batch in loader]).tolist()

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


def test_stride_thins_training_windows_only(traffic_file):
    whole, thin = make_module(traffic_file), make_module(traffic_file, stride=5)
    assert len(thin.train_dataloader().dataset) == -(-len(whole.starts["train"]) // 5)
    assert len(thin.val_dataloader().dataset) == len(whole.val_dataloader().dataset)


def test_workers_yield_the_same_batches(traffic_file):
    alone = make_module(traffic_file).val_dataloader()
    helped = make_module(traffic_file, num_workers=2, prefetch_factor=3).val_dataloader()
    for ours, theirs in zip(alone, helped, strict=True):
        torch.testing.assert_close(ours["features"], theirs["features"])
        torch.testing.assert_close(ours["targets"], theirs["targets"])


def test_scaler_statistics_change_with_training_data_only(traffic_file):
    before = make_module(traffic_file).fit_scaler()
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][220:] = 1e6
    after = make_module(traffic_file).fit_scaler()
    assert torch.equal(before.loc, after.loc)
    assert torch.equal(before.scale, after.scale)
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][100:110] = 500
    assert not torch.equal(make_module(traffic_file).fit_scaler().loc, before.loc)


def test_latest_forecasts_from_the_last_readings_of_the_file(traffic_file):
    module = make_module(traffic_file, predict_on="latest")
    (batch,) = module.predict_dataloader()
    values = torch.from_numpy(make_series().values[-6:])
    assert torch.equal(batch["features"][0], values.nan_to_num(0.0))
    assert not batch["target_mask"].any()


def test_the_graph_follows_its_options(traffic_file):
    near = make_module(traffic_file, max_radius=400.0)
    assert near.graph["edge_index"].shape == (2, 10)  # a chain of six, about 333 m apart
    assert near.graph["distance"].max() < 400
    capped = make_module(traffic_file, max_radius=5000.0, max_num_neighbors=2)
    assert (capped.graph["edge_index"][1].bincount() == 2).all()


def drop_all(file):
    del file["metadata/vd_info"]


def spoil_one(file):
    file["metadata/vd_info/VD-3"].attrs["position_lat"] = np.nan


def test_without_any_position_the_batch_has_none(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        drop_all(file)
    batch = next(iter(make_module(traffic_file).val_dataloader()))
    assert "positions_xy" not in batch
    assert "edge_index" not in batch


def test_a_bad_position_travels_as_nan_and_no_edge_is_made(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        spoil_one(file)
    batch = next(iter(make_module(traffic_file).val_dataloader()))
    assert batch["positions_xy"].isnan().any(1).tolist() == [False] * 3 + [True] + [False] * 2
    assert "edge_index" not in batch


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "'window' of 1 or more"),
        ({"batch_size": 0}, "'batch_size' of 1 or more"),
        ({"num_targets": 3}, r"'num_targets' from 1 to 2.*got 3"),
    ],
)
def test_options_out_of_range_are_refused(traffic_file, options, words):
    with pytest.raises(ValueError, match=words):
        make_module(traffic_file, **options)


def test_a_part_without_a_window_is_named(traffic_file):
    module = make_module(traffic_file, window=40)
    with pytest.raises(ValueError, match=r"val part of .* has no window of 40 \+ 3 steps"):
        module.val_dataloader()


def test_a_file_that_ends_in_silence_is_not_forecast(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][-6:, 2] = np.nan
    with pytest.warns(UserWarning, match=r"1 of 6 detectors have no reading.*'VD-2'"):
        make_module(traffic_file).predict_dataloader()
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][-6:] = np.nan
    with pytest.raises(ValueError, match="nothing to forecast from"):
        make_module(traffic_file).predict_dataloader()
