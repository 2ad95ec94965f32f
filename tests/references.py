"""Naive loops, written from the formulas, that the fast code must equal."""

import math

import torch


def soft_weight(distance: float, radius: float, softness: float) -> float:
    """Weight of an edge under a learned radius."""
    return 1 / (1 + math.exp(-(radius - distance) / softness))


def pool(layer, x, edge_index, distance, offset=None, edge_attr=None):
    """Social pooling of ``x`` [N, C], node by node and head by head, as [N, H, C_out].

    ``distance`` [E], ``offset`` [E, D] and ``edge_attr`` [E, D_e] tell of the edges.
    """
    nodes, heads, channels = x.size(0), layer.heads, layer.out_channels
    value = (x @ layer.lin_value.weight.T).view(nodes, heads, channels)
    radius = layer.radius
    told = [[None] * len(distance) if part is None else part for part in (offset, edge_attr)]
    out = []
    for i in range(nodes):
        neighbours = [
            (int(j), distance[e], *(part[e] for part in told))
            for e, (j, k) in enumerate(edge_index.T.tolist())
            if k == i and j != i
        ]
        out.append(
            torch.stack(
                [_pool_head(layer, x, value, radius, i, neighbours, h) for h in range(heads)]
            )
        )
    return torch.stack(out)


def _pool_head(layer, x, value, radius, i, neighbours, h):
    if layer.learn_radius:
        weights = [torch.sigmoid((radius[h] - d) / layer.softness) for _, d, *_ in neighbours]
    else:
        neighbours = [n for n in neighbours if n[1] <= layer.initial_radius[h]]
        weights = [torch.ones((), dtype=x.dtype) for _ in neighbours]
    if not neighbours:
        return torch.zeros(layer.out_channels, dtype=x.dtype)
    nobody = torch.ones((), dtype=x.dtype)
    for w in weights:
        nobody = nobody * (1 - w)
    reach = 1 - nobody
    if layer.aggregation == "max":
        candidates = [value[j, h] + w.log() for (j, *_), w in zip(neighbours, weights, strict=True)]
        return reach * torch.stack(candidates).amax(0)
    shares = [
        w * _factor(layer, x, i, *neighbour, h)
        for neighbour, w in zip(neighbours, weights, strict=True)
    ]
    total = sum(shares)
    return reach * sum(
        s / total * value[j, h] for s, (j, *_) in zip(shares, neighbours, strict=True)
    )


def _factor(layer, x, i, j, d, offset, attr, h):
    if layer.aggregation == "mean":
        return 1.0
    if layer.aggregation == "inverse_distance":
        return 1 / d.clamp(min=1e-3 * layer.max_radius)
    rows = slice(h * layer.out_channels, (h + 1) * layer.out_channels)
    query = layer.lin_query.weight[rows] @ x[i]
    key = layer.lin_key.weight[rows] @ x[j]
    if offset is not None:
        key = key + layer.lin_pos.weight[rows] @ offset / layer.max_radius
    if attr is not None:
        key = key + layer.lin_edge.weight[rows] @ attr
    return (query @ key / layer.out_channels**0.5).exp()


def radius_graph(pos, radius):
    """Edges by comparing all pairs, sorted by receiver and then sender."""
    edges = []
    for i in range(len(pos)):
        for j in range(len(pos)):
            if i != j and math.dist(pos[j], pos[i]) <= radius:
                edges.append((j, i))
    return edges
