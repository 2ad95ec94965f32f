"""Several networks in one training."""

from collections import Counter

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from socialgraph.data import Loading, Network, NetworksDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from tests.conftest import make_series

WINDOWS = Windows(6, 4)


def series_of(nodes, seed=0, steps=600, interval=5.0):
    series = make_series(steps, nodes, seed=seed)
    series.interval_minutes = interval
    step = np.timedelta64(int(interval * 60), "s")
    series.timestamps = series.timestamps[0] + np.arange(steps) * step
    return series


def network(nodes, seed=0, interval=5.0, **options):
    return Network(series_of(nodes, seed, interval=interval), ["speed"], **options)


def made(networks, **options):
    options = {"windows": WINDOWS, "loading": Loading(8, seed=3), **options}
    data = NetworksDataModule(networks, **options)
    data.setup("fit")
    return data


@pytest.fixture
def several():
    return made([network(3), network(5, 1), network(4, 2, interval=15.0)])


def sizes(loader):
    return Counter(batch["features"].size(2) for batch in loader)


def test_an_epoch_has_as_many_batches_of_each_as_its_weight_says(several):
    smallest = min(-(-len(m.starts["train"]) // 8) for m in several.members)
    assert sizes(several.train_dataloader()) == dict.fromkeys((3, 4, 5), smallest)
    weighted = [network(3), network(5, 1, weight=2), network(4, 2, interval=15.0, weight=5)]
    loader = made(weighted, batches_per_epoch=40).train_dataloader()
    assert len(loader) == 40
    assert sizes(loader) == {3: 5, 5: 10, 4: 25}


def test_features_of_a_network_are_trained_on_alone_and_share_its_weight():
    both = Network(series_of(3), weight=2.0)
    data = made([both, network(5, 1)], batches_per_epoch=30)
    assert [m.series.feature_names for m in data.members] == [["speed"], ["flow"], ["speed"]]
    assert data.shares == [1.0, 1.0, 1.0]
    assert {b["features"].size(3) for b in data.train_dataloader()} == {1}


def test_batches_are_mixed_and_each_epoch_is_another(several):
    loader = several.train_dataloader()
    first, second = ([b["features"].size(2) for b in loader] for _ in range(2))
    assert first != second
    assert first != sorted(first)
    again = several.train_dataloader()
    assert [b["features"].size(2) for b in again] == first


def test_all_windows_of_a_network_come_before_one_comes_twice():
    data = made([network(3), network(5, 1)], batches_per_epoch=14)
    own = data.members[1]
    seen = []
    loader = data.train_dataloader()
    for _ in range(8):
        seen += [b["issued"] for b in loader if b["features"].size(2) == 5]
    expected = sorted((own.collator.seconds[own.starts["train"] + 5]).tolist())
    assert sorted(torch.cat(seen).tolist()[: len(expected)]) == expected


def test_an_epoch_goes_on_where_it_was_stopped(several):
    def issued(loader, limit=None):
        return [b["issued"].tolist() for _, b in zip(range(limit or 9999), loader, strict=False)]

    loader = several.train_dataloader()
    loader.set_epoch(2)
    whole = issued(loader)
    loader.set_epoch(2)
    issued(loader, 5)
    state = loader.state_dict()
    again = several.train_dataloader()
    again.load_state_dict(state)
    again.set_epoch(2)
    assert issued(again) == whole[5:]
    again.set_epoch(2)
    assert issued(again) == whole  # skipped once
    other = made([network(3)]).train_dataloader()
    with pytest.raises(ValueError, match="in the middle of an epoch"):
        other.load_state_dict(state)


def test_passing_networks_are_there_for_their_epoch_alone(several):
    asked = []

    def passing(epoch):
        asked.append(epoch)
        return [network(7 + epoch, seed=epoch)]

    data = made(several.networks, passing=passing)
    assert set(sizes(data.train_dataloader())) == {3, 4, 5, 7}
    assert asked == [0]
    assert len(data.members) == 3
    assert not any(b["features"].size(2) == 7 for b in data.val_dataloader())


@pytest.mark.parametrize("scale_by", ["detector", "network"])
def test_each_network_has_its_own_scales_profile_graph_and_zone(scale_by):
    odd = series_of(4, 1, interval=15.0)
    odd.values[..., 0] = 1000 + 50 * odd.values[..., 0] * np.arange(1, 5)
    odd.timezone = "America/New_York"
    far = Network(odd, ["speed"], graph=RadiusGraph(400.0))
    data = made([network(3), far], scale_by=scale_by)
    first, second = data.members
    for member in data.members:
        known = member.series.values[: member.train_steps]
        axis = 0 if scale_by == "detector" else None
        np.testing.assert_allclose(np.nanmean(known, axis=axis), 0, atol=0.2)
        np.testing.assert_allclose(np.nanstd(known, axis=axis), 1, atol=0.2)
    spread = np.nanstd(second.series.values[:400, :, 0], axis=0)
    assert (spread.max() / spread.min() > 2) == (scale_by == "network")
    assert first.collator.graph["edge_index"].size(1) == 6  # all of three
    assert second.collator.graph["edge_index"].size(1) == 6  # next ones of four
    hours = [m.collator.time_of_day[0].item() * 24 for m in data.members]
    assert hours == pytest.approx([8.0, 19.0])
    settings = [m.collator.graph["setting"][0] for m in data.members]
    assert settings[0][0] == pytest.approx(-0.79, abs=0.01)
    assert settings[1][0] == 0
    assert settings[0][2:].tolist() == [1, 0, 0]


def test_detectors_without_a_position_have_no_neighbours():
    lost = series_of(4)
    lost.lat = np.where(np.arange(4) == 1, np.nan, lost.lat)
    data = made([network(3), Network(lost, ["speed"])])
    assert set(data.members[1].collator.graph["edge_index"].flatten().tolist()) == {0, 2, 3}


def test_every_validation_window_of_every_network_comes_once_with_its_profile(several):
    batches = list(several.val_dataloader())
    for member in several.members:
        own = [b for b in batches if b["features"].size(2) == len(member.series.vdids)]
        issued = torch.cat([b["issued"] for b in own])
        expected = member.collator.seconds[member.starts["val"] + 5]
        assert issued.tolist() == expected.tolist()
        clocks = (
            torch.cat([own[0][n], own[0][f"target_{n}"]], dim=1)
            for n in ("time_of_day", "day_of_week")
        )
        mean, deviation = member.usual.profile()(*clocks)
        torch.testing.assert_close(own[0]["profile"], mean)
        torch.testing.assert_close(own[0]["profile_deviation"], deviation)


def test_a_training_window_is_told_what_is_usual_without_itself(several):
    member = several.members[1]
    batch = next(b for b in several.train_dataloader() if b["features"].size(2) == 5)
    start = torch.searchsorted(member.collator.seconds, batch["issued"]) - 5
    mean, _ = member.usual.around(start[:, None] + torch.arange(10))
    torch.testing.assert_close(batch["profile"], mean)


class LastValue(torch.nn.Module):
    """The last reading times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, features):
        return self.weight * features[:, -1:].expand(-1, 4, -1, -1)


def gradients(data):
    forecaster = Forecaster(LastValue(), learning_rate=0.0, silence=0.0)
    found = []

    class Keep(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            found.append(pl_module.network.weight.grad.item())

    pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[Keep()],
    ).fit(forecaster, data)
    return found


def test_the_gradient_is_that_of_the_mean_over_a_batch_of_any_size(several):
    """The networks have 3, 5 and 4 detectors; the first one's number must not matter."""
    found = gradients(several)
    expected = []
    for batch in made(several.networks).train_dataloader():
        features = torch.where(batch["mask"], batch["features"], 0.0)
        last = features[:, -1:].expand(-1, 4, -1, -1)
        error = (0.5 * last - batch["targets"])[batch["target_mask"]]
        expected.append((error.sign() * last[batch["target_mask"]]).mean().item())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_refused():
    for make, said in [
        (lambda: NetworksDataModule([]), "one network or more"),
        (lambda: NetworksDataModule([network(3)], batches_per_epoch=0), "above 0"),
        (lambda: network(3, weight=0.0), "'weight' above 0"),
        (lambda: made([network(3)], scale_by="row"), r"'scale_by' as one of \('detector'"),
        (lambda: made([Network(series_of(3), ["noise"])]), "noise"),
        (lambda: made(["absent.h5"]), r"absent\.h5"),
        (lambda: made([network(3)]).predict_dataloader(), "socialgraph forecast"),
        (lambda: made([network(3)], split=(1.0, 0.0, 0.0)).test_dataloader(), "another split"),
    ]:
        with pytest.raises((ValueError, KeyError, FileNotFoundError), match=said):
            make()
