"""Ensembles: the mean in use, windows of its own for each member in training, and checkpoints."""

import copy

import pytest
import torch
from torch import nn

from socialgraph.nn import (
    Attributes,
    Ensemble,
    GRUEncoder,
    KnownAhead,
    Mask,
    Profile,
    Readings,
    Setting,
    SocialGraphNet,
)
from socialgraph.optimizer import freeze_body
from socialgraph.recipe import describe, make
from tests.nn.test_network import HORIZON, NODES, VDIDS, make_batch, make_network

SIZES = {"in_channels": 2, "out_channels": 2, "window": 7, "horizon": HORIZON, "vdids": VDIDS}


class LastReading(nn.Module):
    """Somebody else's network, which names what it reads and knows nothing of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.double))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.weight * features[:, -1:].expand(-1, HORIZON, -1, -1)


def make_ensemble(size=3, **options) -> Ensemble:
    return Ensemble(lambda: make_network(**options), size)


def one_window(batch: dict, place: int) -> dict:
    """A batch of one of its windows."""
    of_all = ("edge_index", "distance", "offset", "edge_attr", "positions_xy")
    of_all += ("attributes", "setting")
    return {n: v if n in of_all else v[place : place + 1] for n, v in batch.items()}


def test_a_forecast_is_the_mean_of_different_members():
    ensemble, batch = make_ensemble().eval(), make_batch()
    forecasts = [member(**batch) for member in ensemble.members]
    assert not torch.allclose(forecasts[0], forecasts[1])
    expected = (forecasts[0] + forecasts[1] + forecasts[2]) / 3
    torch.testing.assert_close(ensemble(**batch), expected)


def test_in_training_each_window_is_forecast_by_one_member_in_turn():
    ensemble, batch = make_ensemble().train(), make_batch(7)
    together = ensemble(**batch)
    for place in range(7):
        alone = ensemble.members[place % 3](**one_window(batch, place))
        torch.testing.assert_close(together[place : place + 1], alone)


def test_what_is_told_of_detectors_is_told_to_each_member():
    parts = [Readings(), Mask(), Profile(), Attributes(2), Setting(), KnownAhead(1)]
    for nodes in (3, 5):  # as many as members, and others
        ensemble = make_ensemble(inputs=[*parts], num_nodes=nodes).train()
        batch = make_batch(6, nodes=nodes) | {
            "attributes": torch.randn(nodes, 2, dtype=torch.double),
            "setting": torch.randn(nodes, 5, dtype=torch.double),
            "known": torch.randn(6, 7 + HORIZON, nodes, 1, dtype=torch.double),
            "edge_attr": None,
        }
        together = ensemble(**batch)
        for place in range(6):
            alone = ensemble.members[place % 3](**one_window(batch, place))
            torch.testing.assert_close(together[place : place + 1], alone)


def test_a_loss_of_one_window_teaches_one_member():
    ensemble, batch = make_ensemble().train(), make_batch(6)
    ensemble(**batch)[4].sum().backward()
    taught = [
        any(weight.grad is not None and weight.grad.any() for weight in member.parameters())
        for member in ensemble.members
    ]
    assert taught == [False, True, False]


def test_a_batch_of_fewer_windows_than_members_teaches_all():
    ensemble, batch = make_ensemble().train(), make_batch(2)
    forecast = ensemble(**batch)
    torch.testing.assert_close(forecast, ensemble.eval()(**batch))
    forecast.sum().backward()
    assert all(member.head.layers.weight.grad.any() for member in ensemble.members)


def test_one_member_is_the_network_itself():
    network, batch = make_network(), make_batch()
    ensemble = Ensemble([network])
    for mode in (True, False):
        torch.testing.assert_close(ensemble.train(mode)(**batch), network(**batch))


def test_members_may_be_of_several_forms_and_of_somebody_else():
    ensemble, batch = Ensemble([make_network(), LastReading()]).eval(), make_batch()
    expected = (ensemble.members[0](**batch) + batch["features"][:, -1:]) / 2
    torch.testing.assert_close(ensemble(**batch), expected)
    assert {"features", "profile"} <= ensemble.entries
    ensemble.check_batch(batch["positions_xy"], VDIDS)


def test_positions_that_a_member_cannot_work_with_are_refused():
    with pytest.raises(RuntimeError, match="position"):
        make_ensemble().check_batch(None, VDIDS)


def test_it_is_made_again_from_what_a_checkpoint_keeps():
    ensemble = Ensemble(lambda: SocialGraphNet(node_channels=4), 2)
    ensemble.build(**SIZES)
    again = make(describe(ensemble))
    again.load_state_dict(ensemble.state_dict())
    batch = make_batch(dtype=torch.float)
    torch.testing.assert_close(again.eval()(**batch), ensemble.eval()(**batch))


def test_a_copy_keeps_its_form():
    listed = nn.ModuleList([SocialGraphNet(), SocialGraphNet(node_channels=4)])
    copied = copy.deepcopy(Ensemble(listed))
    copied.build(**SIZES)
    make(describe(copied)).load_state_dict(copied.state_dict())


def test_weights_of_single_detectors_are_named_as_they_are_kept():
    ensemble = Ensemble([make_network(node_channels=4), make_network()])
    assert ensemble.knows_nodes
    assert ensemble.serves_strangers
    assert ensemble.node_weights(NODES) == {"members.0.embedding.weight": []}
    assert "members.0.embedding.weight" in ensemble.state_dict()
    assert not Ensemble([make_network()]).knows_nodes


def test_no_weight_decays_that_would_not_in_a_member():
    names = make_ensemble(2).no_weight_decay()
    assert names == {f"members.{k}.{n}_weight" for k in (0, 1) for n in ("last", "profile")}
    assert names <= {name for name, _ in make_ensemble(2).named_parameters()}


def test_the_heads_of_all_members_are_trained_alone_if_asked():
    ensemble = make_ensemble(2)
    freeze_body(ensemble)
    for member in ensemble.members:
        assert member.head.layers.weight.requires_grad
        assert member.last_weight.requires_grad
        assert not member.from_ahead.weight.requires_grad
    with pytest.raises(ValueError, match="LastReading"):
        freeze_body(Ensemble([make_network(), LastReading()]))


def test_it_has_a_member_and_refuses_to_have_none():
    with pytest.raises(ValueError, match="one network or more"):
        Ensemble(make_network, 0)
    with pytest.raises(ValueError, match="one network or more"):
        Ensemble([])


def test_parts_of_all_members_are_told():
    ensemble = Ensemble([make_network(), make_network(inputs=[Readings()], encoder=GRUEncoder)])
    assert len(ensemble.inputs) == 5
    assert len(ensemble.poolings) == 4
