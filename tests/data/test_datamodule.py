"""From a series to batches."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

from socialgraph.data import Loading, TrafficDataModule, Windows
from socialgraph.data.loading import ordered_loader, training_loader
from socialgraph.graph import CombinedGraph, RadiusGraph
from tests.conftest import make_series


def make_module(series, **options):
    options = {"windows": Windows(6, 3), "loading": Loading(4), **options}
    given = series if hasattr(series, "values") else str(series)
    module = TrafficDataModule(given, **options)
    module.setup()
    return module


def test_a_batch_carries_what_a_network_needs(traffic_file):
    batch = next(iter(make_module(traffic_file, targets=["speed"]).train_dataloader()))
    assert batch["features"].shape == (4, 6, 6, 2)
    assert batch["targets"].shape == (4, 3, 6, 1)
    assert batch["positions_xy"].shape == (6, 2)
    assert batch["positions_xy"].dtype == batch["distance"].dtype == torch.float32
    sender, receiver = batch["edge_index"]
    offset = batch["positions_xy"][sender] - batch["positions_xy"][receiver]
    torch.testing.assert_close(offset, batch["offset"], rtol=0.01, atol=0.1)
    torch.testing.assert_close(offset.norm(dim=1), batch["distance"], rtol=0.01, atol=0.1)
    assert not batch["features"].isnan().any()
    assert all(isinstance(part, torch.Tensor) for part in batch.values())


def test_a_series_and_its_file_give_the_same_batches(traffic_file):
    for ours, theirs in zip(
        make_module(make_series()).val_dataloader(),
        make_module(traffic_file).val_dataloader(),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("features", [None, ["speed", "flow"], ["flow", "speed"]])
def test_targets_are_named_and_come_first(traffic_file, features):
    module = make_module(traffic_file, features=features, targets=["flow"])
    assert module.spec.features == ["flow", "speed"]
    assert module.spec.units == ["veh/h", "km/h"]
    assert module.spec.targets == ["flow"]
    series = make_series()
    batch = module.collator([10])
    expected = torch.from_numpy(series.values[16:19, :, 1:]).nan_to_num(0.0)
    assert torch.equal(batch["targets"][0], expected)


def test_a_target_that_is_no_feature_is_refused(traffic_file):
    with pytest.raises(ValueError, match=r"'targets' among the 'features'.*\['flow'\]"):
        make_module(traffic_file, features=["speed"], targets=["flow"])
    with pytest.raises(KeyError, match="no feature 'sped'"):
        make_module(traffic_file, targets=["sped"])
    for series in (traffic_file, make_series()):
        with pytest.raises(KeyError, match=r"no feature 'speeed'.*\['speed', 'flow'\]"):
            make_module(series, features=["speeed"], targets=["speed"])


def test_all_windows_of_a_part_come_once(traffic_file):
    module = make_module(traffic_file)
    times = module.series.timestamps
    for name, loader in {
        "train": module.train_dataloader(),
        "val": module.val_dataloader(),
    }.items():
        issued = torch.cat([batch["issued"] for batch in loader]).numpy().astype("datetime64[s]")
        seen = np.searchsorted(times, issued) - 5
        assert sorted(seen.tolist()) == module.starts[name].tolist()


def order(seed, epoch, skip=0, workers=0):
    loading = Loading(4, seed=seed, num_workers=workers)
    loader = make_module(make_series(150), loading=loading).train_dataloader()
    loader.load_state_dict({"given": skip})
    loader.sampler.set_epoch(epoch)
    return [batch["issued"].tolist() for batch in loader]


def test_training_windows_are_shuffled_by_seed_and_epoch_alone():
    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_epoch_goes_on_behind_the_batches_that_it_gave(workers):
    assert order(0, 3, skip=5, workers=workers) == order(0, 3)[5:]
    whole = len(order(0, 3))
    assert order(0, 4, skip=whole) == order(0, 4)  # it had ended


def test_stride_thins_training_windows_only(traffic_file):
    whole, thin = make_module(traffic_file), make_module(traffic_file, windows=Windows(6, 3, 5))
    assert len(thin.train_dataloader().dataset) == -(-len(whole.starts["train"]) // 5)
    assert len(thin.val_dataloader().dataset) == len(whole.val_dataloader().dataset)


@pytest.mark.slow
def test_workers_yield_the_same_batches(traffic_file):
    alone = make_module(traffic_file).val_dataloader()
    loading = Loading(4, num_workers=2, prefetch_factor=3)
    helped = make_module(traffic_file, loading=loading).val_dataloader()
    for ours, theirs in zip(alone, helped, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_statistics_change_with_training_data_only(traffic_file):
    before = make_module(traffic_file).fitted_spec()
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][220:] = 1e6
    after = make_module(traffic_file).fitted_spec()
    assert (before.loc, before.scale) == (after.loc, after.scale)
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][100:110] = 500
    assert make_module(traffic_file).fitted_spec().loc != before.loc


def test_scaling_is_robust_if_told(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        file["data/features"][50, 2, 0] = 65535
    assert make_module(traffic_file).fitted_spec().scale[0] > 500
    robust = make_module(traffic_file, scaling="robust").fitted_spec()
    assert robust.scale[0] < 30
    assert robust.limit == 10


def test_latest_forecasts_from_the_last_readings_of_the_file(traffic_file):
    module = make_module(traffic_file)
    (batch,) = module.predict_dataloader()
    series = make_series()
    assert torch.equal(batch["features"][0], torch.from_numpy(series.values[-6:]).nan_to_num(0.0))
    assert not batch["target_mask"].any()
    assert np.datetime64(int(batch["issued"][0]), "s") == series.timestamps[-1]


@pytest.mark.parametrize(("split", "empty"), [((0.8, 0.2, 0.0), "test"), ((1.0, 0.0, 0.0), "val")])
def test_a_part_that_is_left_out_gives_no_windows(traffic_file, split, empty):
    module = make_module(traffic_file, split=split)
    assert len(module.train_dataloader()) > 0
    if empty == "val":
        assert module.val_dataloader() == []
    with pytest.raises(ValueError, match=r"test part of .* has no window"):
        module.test_dataloader()


def test_the_graph_follows_its_builder(traffic_file):
    near = make_module(traffic_file, graph=RadiusGraph(400.0)).graph_tensors
    assert near["edge_index"].shape == (2, 10)  # a chain of six, about 333 m apart
    assert near["distance"].max() < 400
    capped = make_module(traffic_file, graph=RadiusGraph(5000.0, max_num_neighbors=2))
    assert (capped.graph_tensors["edge_index"][1].bincount() == 2).all()
    assert "edge_index" not in make_module(traffic_file, graph=None).graph_tensors


def test_edges_of_several_types_say_which_they_are(traffic_file):
    both = CombinedGraph([RadiusGraph(400.0), RadiusGraph(700.0)])
    tensors = make_module(traffic_file, graph=both).graph_tensors
    assert tensors["edge_attr"].shape == (28, 2)
    assert tensors["edge_attr"].sum(dim=0).tolist() == [10, 18]
    first = tensors["edge_attr"][:, 0] == 1
    assert tensors["distance"][first].max() < 400


@pytest.mark.parametrize(("reach", "edges"), [(700.0, 18), (1.0, 0)])
def test_edges_have_a_column_for_each_type_even_if_there_is_none_of_it(traffic_file, reach, edges):
    both = CombinedGraph([RadiusGraph(reach), RadiusGraph(1.0)])
    tensors = make_module(traffic_file, graph=both).graph_tensors
    assert tensors["edge_attr"].shape == (edges, 2)
    assert tensors["edge_attr"].sum(dim=0).tolist() == [edges, 0]


def test_many_detectors_without_a_neighbour_are_told():
    series = make_series()
    far = dataclasses.replace(series, lat=series.lat + np.array([0, 0, 0, 0, 1, 2]))
    with pytest.warns(UserWarning, match="2 of 6 detectors have no neighbour within 2000 metres"):
        make_module(far)


def spoil(file, what):
    if what == "all":
        del file["metadata/vd_info"]
    else:
        file["metadata/vd_info/VD-3"].attrs["position_lat"] = np.nan


def test_without_any_position_the_batch_has_none(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        spoil(file, "all")
    batch = next(iter(make_module(traffic_file).val_dataloader()))
    assert "positions_xy" not in batch
    assert "edge_index" not in batch


def test_a_bad_position_travels_as_nan_and_no_edge_is_made(traffic_file):
    with h5py.File(traffic_file, "r+") as file:
        spoil(file, "one")
    batch = next(iter(make_module(traffic_file).val_dataloader()))
    assert batch["positions_xy"].isnan().any(1).tolist() == [False] * 3 + [True] + [False] * 2
    assert "edge_index" not in batch


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"num_workers": -1}])
def test_loading_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match="'batch_size' of 1 or more and 'num_workers' of 0"):
        Loading(**options)


def test_a_part_without_a_window_is_named(traffic_file):
    module = make_module(traffic_file, windows=Windows(40, 3))
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


def test_what_stands_in_the_place_of_something_else_is_named():
    for options, words in [
        ({"targets": "speed"}, r"'targets' as a list of names, \['speed'\]"),
        ({"split": "day"}, r"three shares.*DaySplit.*'day'"),
        ({"split": (0.8, 0.2)}, r"got \(0\.8, 0\.2\)"),
        ({"windows": (12, 12)}, "as Windows"),
        ({"graph": 2000.0}, r"RadiusGraph\(2000\.0\)"),
        ({"scaling": "minmax"}, "'standard', 'robust'"),
    ]:
        with pytest.raises(ValueError, match=words):
            TrafficDataModule(make_series(), **options)


def test_a_frame_is_no_series():
    with pytest.raises(ValueError, match=r"got DataFrame.*from_frame"):
        TrafficDataModule(make_series().to_frame())
    with pytest.raises(ValueError, match="'predict_on' as 'latest' or 'test'"):
        Windows(predict_on="Test")


def test_windows_that_fill_up_processes_have_no_targets():
    module = make_module(make_series())
    starts = module.starts["train"][:5].tolist()
    loaders = [training_loader(starts, module.collator, Loading(2), (3, r)) for r in range(3)]
    batches = [batch for loader in loaders for batch in loader]
    counts = [window.any() for batch in batches for window in batch["target_mask"]]
    assert len(counts) == 6
    assert sum(counts) == 5
    alone = training_loader(starts, module.collator, Loading(2), (1, 0))
    issued = [torch.cat([b["issued"] for b in part]) for part in (alone, batches)]
    assert set(issued[0].tolist()) == set(issued[1].tolist())


def test_a_process_gets_its_share_in_one_piece_and_none_reads_a_window_that_never_was():
    def parts(windows, processes):
        module = make_module(make_series())
        starts = module.starts["test"][:windows].tolist()
        loaders = [
            ordered_loader(starts, module.collator, Loading(2), (processes, rank))
            for rank in range(processes)
        ]
        first = module.series.timestamps[module.starts["test"][0] + 5]
        issued = [torch.cat([batch["issued"] for batch in loader]) for loader in loaders]
        found = [(np.array(i).astype("datetime64[s]") - first).tolist() for i in issued]
        counts = [sum(batch["target_mask"].sum() for batch in loader) for loader in loaders]
        minutes = [[None if d is None else d.seconds // 60 for d in part] for part in found]
        return minutes, [count > 0 for count in counts]

    assert parts(5, 2) == ([[0, 5], [10, 15, 20]], [True, True])
    assert parts(1, 3) == ([[None], [None], [0]], [False, False, True])


@pytest.mark.parametrize("limit", [100, 300, 9999])
def test_a_profile_is_tried_on_the_first_steps(traffic_file, limit):
    limited = make_module(traffic_file, limit=limit)
    cut = make_module(make_series(steps=300).first(limit))
    assert len(limited.series.timestamps) == min(limit, 300)
    assert limited.fitted_spec().loc == cut.fitted_spec().loc
    assert [*limited.starts["test"]] == [*cut.starts["test"]]
    assert limited.describe() == make_module(traffic_file).describe()  # cuts no series later


def test_a_limit_of_nothing_is_refused(traffic_file):
    with pytest.raises(ValueError, match="'limit' of 1 step or more"):
        make_module(traffic_file, limit=0)
