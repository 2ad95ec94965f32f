"""Sparse products against gathering and scattering, differentiated twice."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.utils import softmax

from socialgraph.nn.sparse import (
    Neighborhood,
    edge_dot,
    edge_softmax,
    has_sampled_product,
    neighbor_sum,
)

pytestmark = pytest.mark.skipif(
    not has_sampled_product(), reason="this build of PyTorch has no sampled product"
)
every_order = pytest.mark.parametrize("sort", [True, False])


def make_edges(sort, edges=14):
    sender, receiver = torch.randint(5, (edges,)), torch.randint(4, (edges,))
    receiver = receiver.sort()[0] if sort else receiver
    return sender, receiver, Neighborhood(sender, receiver, 5, 4)


def make(*shape):
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


@every_order
def test_the_product_of_both_ends(sort):
    sender, receiver, graph = make_edges(sort)
    query, key = make(3, 4, 2), make(3, 5, 2)
    expected = (query[:, receiver] * key[:, sender]).sum(-1)
    torch.testing.assert_close(edge_dot(query, key, graph), expected)
    assert gradcheck(edge_dot, (query, key, graph))
    assert gradgradcheck(edge_dot, (query, key, graph))


@every_order
def test_the_weighted_sum_over_neighbours(sort):
    sender, receiver, graph = make_edges(sort)
    weight, value = make(3, 14), make(3, 5, 2)
    messages = weight.unsqueeze(-1) * value[:, sender]
    expected = torch.zeros(3, 4, 2, dtype=torch.double).index_add(1, receiver, messages)
    torch.testing.assert_close(neighbor_sum(weight, value, graph), expected)
    assert gradcheck(neighbor_sum, (weight, value, graph))
    assert gradgradcheck(neighbor_sum, (weight, value, graph))


@every_order
def test_the_softmax_over_the_edges_of_a_receiver(sort):
    _, receiver, graph = make_edges(sort)
    score = make(3, 14)
    expected = softmax(score, receiver, num_nodes=4, dim=-1)
    torch.testing.assert_close(edge_softmax(score, graph), expected)
    assert gradcheck(edge_softmax, (score, graph))
    assert gradgradcheck(edge_softmax, (score, graph))
    high = edge_softmax(score + 1e4, graph)
    torch.testing.assert_close(high, expected, rtol=1e-6, atol=1e-9)


def test_without_edges_nothing_is_summed():
    _, _, graph = make_edges(True, edges=0)
    assert edge_dot(make(3, 4, 2), make(3, 5, 2), graph).shape == (3, 0)
    assert edge_softmax(make(3, 0), graph).shape == (3, 0)
    assert torch.equal(
        neighbor_sum(make(3, 0), make(3, 5, 2), graph), torch.zeros(3, 4, 2).double()
    )
