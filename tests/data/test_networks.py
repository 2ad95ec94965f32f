"""Several networks in one training."""

from collections import Counter

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from socialgraph.data import Loading, NetworksDataModule, TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.standard import standardise
from tests.conftest import make_series

WINDOWS = Windows(6, 4)


def network(nodes, seed=0, steps=600, interval=5.0, windows=WINDOWS):
    series, _ = standardise(make_series(steps, nodes, seed=seed).select(["speed"]))
    series.interval_minutes = interval
    series.timestamps = series.timestamps[0] + np.arange(steps) * np.timedelta64(
        int(interval * 60), "s"
    )
    return TrafficDataModule(series, windows=windows, loading=Loading(8, seed=seed))


@pytest.fixture
def several():
    data = NetworksDataModule([network(3), network(5, 1), network(4, 2, interval=15.0)], seed=3)
    data.setup("fit")
    return data


def sizes(loader):
    return Counter(batch["features"].size(2) for batch in loader)


def test_an_epoch_has_as_many_batches_of_each_as_its_weight_says(several):
    smallest = min(len(n.train_dataloader()) for n in several.networks)
    assert sizes(several.train_dataloader()) == dict.fromkeys((3, 4, 5), smallest)
    weighted = NetworksDataModule(several.networks, weights=[1, 2, 5], batches_per_epoch=40)
    loader = weighted.train_dataloader()
    assert len(loader) == 40
    assert sizes(loader) == {3: 5, 5: 10, 4: 25}


def test_batches_are_mixed_and_each_epoch_is_another(several):
    loader = several.train_dataloader()
    first, second = ([b["features"].size(2) for b in loader] for _ in range(2))
    assert first != second
    assert first != sorted(first)
    again = several.train_dataloader()
    assert [b["features"].size(2) for b in again] == first


def test_all_windows_of_a_network_come_before_one_comes_twice(several):
    own = several.networks[0]
    loader = NetworksDataModule([own], batches_per_epoch=len(own.train_dataloader()))
    seen = torch.cat([batch["issued"] for batch in loader.train_dataloader()])
    expected = own.collator.seconds[own.starts["train"] + 5]
    assert sorted(seen.tolist()) == sorted(expected.tolist())


def test_every_validation_window_of_every_network_comes_once_with_its_profile(several):
    batches = list(several.val_dataloader())
    for member in several.networks:
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
    member = several.networks[1]
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
    forecaster = Forecaster(LastValue(), learning_rate=0.0)
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
    found = gradients(NetworksDataModule(several.networks, seed=3))
    expected = []
    for batch in NetworksDataModule(several.networks, seed=3).train_dataloader():
        features = torch.where(batch["mask"], batch["features"], 0.0)
        last = features[:, -1:].expand(-1, 4, -1, -1)
        error = (0.5 * last - batch["targets"])[batch["target_mask"]]
        expected.append((error.sign() * last[batch["target_mask"]]).mean().item())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("networks", "options", "said"),
    [
        ([], {}, "one window and one horizon"),
        ([network(3), network(3, windows=Windows(6, 5))], {}, r"\[\(6, 4\), \(6, 5\)\]"),
        ([network(3), network(4)], {"weights": [1.0]}, "a weight above 0 for each"),
        ([network(3)], {"weights": [0.0]}, "a weight above 0 for each"),
    ],
)
def test_what_does_not_fit_is_refused(networks, options, said):
    with pytest.raises(ValueError, match=said):
        NetworksDataModule(networks, **options)
