"""Who influences whom: gradients against differences, weights against what they should be."""

from functools import partial

import numpy as np
import pytest
import torch

from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.nn import Ensemble, SocialBlock, SocialGraphNet, SocialPooling
from socialgraph.report import details
from socialgraph.report.details import influences, neighbours_of
from socialgraph.report.influence import attention, disjoint_groups, influence, reach
from tests.conftest import make_series


def made(num_blocks=2, **pooling):
    """A forecaster with random weights on six detectors in a row, each beside the next."""
    data = TrafficDataModule(
        make_series(), targets=["speed"], windows=Windows(6, 4), graph=RadiusGraph(400.0)
    )
    data.setup()
    options = {"radius": 350.0, **pooling}
    block = partial(SocialBlock, pooling=partial(SocialPooling, **options))
    forecaster = Forecaster(SocialGraphNet(block=block, num_blocks=num_blocks))
    forecaster.adopt(data)
    return forecaster.eval(), data


def batch_of(data, starts):
    return data.collator(list(starts))


def test_gradients_are_those_of_differences():
    forecaster, data = made(aggr="attention", heads=2, pos_dim=2)
    forecaster.double()
    batch = batch_of(data, [40, 90])
    batch = {n: p.double() if p.is_floating_point() else p for n, p in batch.items()}
    heard = reach(forecaster.network, batch["edge_index"], 6)
    found = influence(forecaster, batch, [[0], [3]], heard, [0, 3])
    assert found.shape == (2, 2, 2, 6)
    for sender in range(6):
        moved = []
        for shift in (1e-3, -1e-3):
            features = batch["features"].clone()
            features[:, :, sender, 0] += shift
            with torch.inference_mode():
                inputs = forecaster.inputs({**batch, "features": features})
                # Without the rounding to single precision of 'forward'.
                moved.append(forecaster.scaler.inverse(forecaster.network(**inputs))[..., 0])
        slope = (moved[0] - moved[1]) / 2e-3  # [B, P, N]
        for row, receiver in enumerate((0, 3)):
            torch.testing.assert_close(
                found[row, ..., sender],
                slope[:, [0, 3], receiver],
                rtol=1e-4,
                atol=1e-6,
            )
    assert (found[0, ..., 3:] == 0).all()  # two poolings reach two detectors further
    assert (found[0, ..., :3] != 0).all()


def test_a_missing_reading_has_no_influence():
    forecaster, data = made(aggr="mean")
    batch = batch_of(data, [40])
    batch["mask"][:, :, 1] = False
    heard = reach(forecaster.network, batch["edge_index"], 6)
    found = influence(forecaster, batch, [[0]], heard, [0])
    assert found[0, 0, 0, 1] == 0
    assert found[0, 0, 0, 2] != 0


def test_groups_change_nothing_and_hear_nobody_in_common():
    forecaster, data = made(aggr="attention")
    batch = batch_of(data, [40, 90])
    heard = reach(forecaster.network, batch["edge_index"], 6)
    row = np.arange(6)
    np.testing.assert_array_equal(heard, np.abs(row[:, None] - row) <= 2)
    groups = disjoint_groups(heard, [0, 1, 5, 2, 3])
    assert groups == [[0, 5], [1], [2], [3]]
    together = influence(forecaster, batch, groups, heard, [1])
    alone = influence(forecaster, batch, [[n] for group in groups for n in group], heard, [1])
    torch.testing.assert_close(together, alone)


def test_a_network_of_another_kind_may_hear_everybody():
    assert reach(torch.nn.Linear(1, 1), torch.empty(2, 0, dtype=torch.int64), 3).all()


def test_an_ensemble_hears_as_far_as_its_members():
    forecaster, data = made(aggr="attention")
    graph = batch_of(data, [40])["edge_index"]
    other, _ = made(aggr="mean", num_blocks=1)
    ensemble = Ensemble([other.network, forecaster.network])
    np.testing.assert_array_equal(reach(ensemble, graph, 6), reach(forecaster.network, graph, 6))


def test_weights_of_a_mean_are_shared_by_the_neighbours():
    forecaster, data = made(aggr="mean", learn_radius=False)
    batch = batch_of(data, [40, 90])
    layers = attention(forecaster, batch)
    assert len(layers) == 2
    degree = torch.bincount(batch["edge_index"][1])
    expected = 1 / degree[batch["edge_index"][1]]
    for weight in layers.values():
        torch.testing.assert_close(weight, expected.expand(2, -1))


def test_weights_are_what_a_layer_returns():
    forecaster, data = made(aggr="attention", heads=2)
    batch = batch_of(data, [40, 90])
    pooling, seen = forecaster.network.poolings[1], []
    hook = pooling.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
    )
    with torch.inference_mode():
        forecaster(batch)
        hook.remove()
        args, kwargs = seen[0]
        _, (_, weight) = pooling(*args, **kwargs, return_attention_weights=True)
    torch.testing.assert_close(attention(forecaster, batch)["layer 2"], weight.mean(dim=-1))
    assert not pooling._forward_pre_hooks


def test_a_maximum_has_no_weights():
    forecaster, data = made(aggr="max")
    assert attention(forecaster, batch_of(data, [40])) == {}


def test_neighbours_are_those_with_the_largest_gradients():
    forecaster, data = made(aggr="attention")
    found = influences(forecaster, data, 0, [2, 3], [0, 3])
    assert found is not None
    pos = data.graph_tensors["positions_xy"].numpy()
    told = neighbours_of(2, found, pos)
    gradient = found.gradient[found.receivers.index(2)]
    size = np.abs(gradient).mean(axis=(0, 1))
    others = [n for n in np.argsort(-size) if n != 2 and size[n] > 0]
    assert told["sender"].tolist() == others
    np.testing.assert_allclose(told["own"], gradient[..., 2].mean(axis=0))
    np.testing.assert_allclose(told["own"] + told["others"], gradient.sum(2).mean(0), rtol=1e-4)
    first = others[0]
    assert told["distance"][0] == pytest.approx(np.linalg.norm(pos[first] - pos[2]))
    np.testing.assert_allclose(told["by_step"][0], gradient[..., first].mean(axis=0))
    np.testing.assert_allclose(told["by_hour"][0], gradient[..., first].mean(axis=1))
    edge = np.flatnonzero(([first, 2] == found.edge_index.T).all(axis=1))
    if len(edge):
        np.testing.assert_allclose(told["attention"][:, 0], found.attention[:, :, edge[0]])
    far = next(n for n in others if abs(n - 2) == 2)  # heard by way of another detector
    assert np.nansum(told["attention"][:, others.index(far)]) == 0


def test_attention_is_by_the_local_hour_of_the_target():
    forecaster, data = made(aggr="attention")
    found = influences(forecaster, data, 0, [0], [0])
    starts = data.starts["test"]
    hours = {int(t.astype("datetime64[h]").astype(int) + 8) % 24 for t in data.first_times("test")}
    known = np.isfinite(found.attention).all(axis=(0, 2))
    assert set(np.flatnonzero(known).tolist()) == hours
    assert len(starts) > 0
    assert set(found.hours) <= hours


def test_attention_of_an_hour_is_the_mean_of_two_of_its_windows():
    forecaster, data = made(aggr="attention")
    found = influences(forecaster, data, 0, [0], [0])
    starts, times = data.starts["test"], data.first_times("test")
    hour = found.hours[0]
    own = starts[(times.astype("datetime64[h]").astype(int) + 8) % 24 == hour]
    chosen = [own[len(own) // 4], own[3 * len(own) // 4]]
    by_layer = attention(forecaster, batch_of(data, chosen))
    assert found.layers == list(by_layer)
    for told, weight in zip(found.attention, by_layer.values(), strict=True):
        np.testing.assert_allclose(told[hour], weight.mean(dim=0), rtol=1e-5)
    heard = reach(forecaster.network, data.graph_tensors["edge_index"], 6)
    batch = batch_of(data, chosen[:1])
    np.testing.assert_allclose(
        found.gradient[0, 0, 0], influence(forecaster, batch, [[0]], heard, [0])[0, 0, 0], rtol=1e-4
    )


def test_eight_neighbours_are_told_and_the_most_wanted_gradients_taken(monkeypatch):
    series = make_series(nodes=12)
    data = TrafficDataModule(
        series, targets=["speed"], windows=Windows(6, 4), graph=RadiusGraph(5000.0)
    )
    data.setup()
    block = partial(SocialBlock, pooling=partial(SocialPooling, aggr="mean", radius=4000.0))
    forecaster = Forecaster(SocialGraphNet(block=block))
    forecaster.adopt(data)
    monkeypatch.setattr(details, "_MOST_ROWS", 1)
    found = influences(forecaster.eval(), data, 0, [7, 3], [0])
    assert found.receivers == [7]
    pos = data.graph_tensors["positions_xy"].numpy()
    with_gradient, without = (neighbours_of(node, found, pos) for node in (7, 3))
    assert len(with_gradient["sender"]) == len(without["sender"]) == 8
    assert "by_step" in with_gradient
    assert "by_step" not in without
    assert 3 not in without["sender"]


def test_without_pooling_nobody_influences_anybody():
    data = TrafficDataModule(make_series(), targets=["speed"], windows=Windows(6, 4))
    data.setup()
    forecaster = Forecaster(SocialGraphNet())
    forecaster.adopt(data)
    assert influences(forecaster, data, 0, [0], [0]) is None
