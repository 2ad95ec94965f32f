"""Which weights are trained."""

import pytest
from torch import nn

from benchmarks.pretrain import make_network
from socialgraph.forecaster import Forecaster
from socialgraph.optimizer import freeze_body, parameter_groups


def test_head_anchors_and_norms_alone_are_trained():
    network = make_network()
    network.build(1, 1, window=12, horizon=12, vdids=[], max_radius=5000.0)
    freeze_body(network)
    free = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert {"last_weight", "profile_weight"} < free
    assert {n for n in free if n.startswith("head.")} == {
        f"head.{n}" for n, _ in network.head.named_parameters()
    }
    rest = {n for n in free if not n.startswith(("head.", "last_weight", "profile_weight"))}
    assert rest
    assert all("norm" in name for name in rest)
    (vectors,) = [g for g in parameter_groups(network, 0.1) if not g["weight_decay"]]
    assert all(weight.requires_grad for weight in vectors["params"])


def test_a_network_without_a_head_and_other_words_are_refused():
    with pytest.raises(ValueError, match="a network with a 'head'"):
        freeze_body(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="'trainable' as 'all' or 'head'"):
        Forecaster(nn.Linear(2, 2), trainable="body")
