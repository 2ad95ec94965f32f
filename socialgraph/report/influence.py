"""Who influences whom: attention weights of each pooling, and exact gradients beside them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_matrix, identity
from torch import Tensor, nn

from socialgraph.layers import named_poolings
from socialgraph.nn import SocialGraphNet, SocialPooling

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = ["attention", "disjoint_groups", "influence", "reach"]


@torch.inference_mode()
def attention(forecaster: "Forecaster", batch: dict[str, Tensor]) -> dict[str, Tensor]:
    r"""Weights :math:`p_i \alpha_{ji}` of every edge in each pooling, the mean of its heads.

    Args:
        forecaster: one whose network has poolings.
        batch: B windows in real units.

    Returns:
        By the name of its layer, ``[B, E]`` for each :class:`socialgraph.nn.SocialPooling` that
        has weights (``max`` has none), in the order of ``edge_index``.
    """
    found: dict[str, Tensor] = {}
    with _kept_calls(forecaster.network) as calls:
        forecaster(batch)
        for layer, pooling, args, kwargs in list(calls):
            _, (_, weight) = pooling(*args, **kwargs, return_attention_weights=True)
            windows = len(batch["features"])
            found[layer] = weight.mean(dim=-1).expand(windows, -1)
    return found


def influence(
    forecaster: "Forecaster",
    batch: dict[str, Tensor],
    groups: Sequence[Sequence[int]],
    heard: np.ndarray,
    steps: Sequence[int],
    target: int = 0,
) -> Tensor:
    r"""Exact gradients of forecasts with respect to readings, summed over the window.

    .. math::
        G_{ij} = \sum_{t} \frac{\partial \hat{y}_{i, p}}{\partial x_{j, t}}

    which is how far the forecast of detector *i* moves if all readings of detector *j* in the
    window are higher by one unit (to first order). A missing reading has no part.

    Args:
        forecaster: a forecaster without randomness (in evaluation mode).
        batch: B windows in real units.
        groups: receivers *i* whose gradients are taken in one pass, of :func:`disjoint_groups`.
        heard: of :func:`reach`, which tells the receivers of a group apart ``[N, N]``.
        steps: forecast steps *p*, from 0.
        target: place of the target among the features.

    Returns:
        ``[R, B, S, N]``: for each receiver, in the order of the groups, the gradient of each step
        with respect to each detector.
    """
    features = batch["features"].clone().requires_grad_()
    with torch.enable_grad():
        forecast = forecaster({**batch, "features": features})[..., target]  # [B, P, N]
        rows = []
        for group in groups:
            chosen = [forecast[:, step, list(group)].sum() for step in steps]
            grads = [torch.autograd.grad(c, features, retain_graph=True)[0] for c in chosen]
            summed = torch.stack([g[..., target].sum(dim=1) for g in grads], dim=1)  # [B, S, N]
            rows += [summed * torch.from_numpy(heard[node]) for node in group]
    return torch.stack(rows)


def reach(network: nn.Module, edge_index: Tensor, num_nodes: int) -> np.ndarray:
    """Which detectors a forecast can depend on, ``[N, N]``: True at [i, j] if i may hear j.

    As many steps along the edges as the network has poolings, or the member of an ensemble that has
    most; everybody for a network that is no :class:`socialgraph.nn.SocialGraphNet`, of which this
    is not known.
    """
    members = getattr(network, "members", [network])
    if not all(isinstance(member, SocialGraphNet) for member in members):
        return np.ones((num_nodes, num_nodes), dtype=bool)
    sender, receiver = edge_index.numpy()
    ones = np.ones(len(sender), dtype=np.int32)
    once = csr_matrix((ones, (receiver, sender)), shape=(num_nodes, num_nodes))
    once = once + identity(num_nodes, dtype=np.int32, format="csr")
    heard = identity(num_nodes, dtype=np.int32, format="csr")
    for _ in range(max(len(member.poolings) for member in members)):
        heard = (heard @ once).sign()
    return heard.toarray().astype(bool)


def disjoint_groups(heard: np.ndarray, receivers: Sequence[int]) -> list[list[int]]:
    """Receivers in groups of which no two hear a common detector.

    Args:
        heard: of :func:`reach` ``[N, N]``.
        receivers: those that are grouped; the first ones come into the first groups.
    """
    groups: list[list[int]] = []
    taken: list[np.ndarray] = []
    for node in receivers:
        for group, used in zip(groups, taken, strict=True):
            if not (used & heard[node]).any():
                group.append(node)
                used |= heard[node]
                break
        else:
            groups.append([node])
            taken.append(heard[node].copy())
    return groups


@contextmanager
def _kept_calls(network: nn.Module) -> Iterator[list[tuple[str, SocialPooling, tuple, dict]]]:
    """What the poolings of a network, by the name of their layer, are called with, while the block
    runs."""
    calls: list[tuple[str, SocialPooling, tuple, dict]] = []

    def keep(layer: str, pooling: SocialPooling, args: tuple, kwargs: dict) -> None:
        if not kwargs.get("return_attention_weights"):
            calls.append((layer, pooling, args, kwargs))

    with ExitStack() as stack:
        for layer, pooling in named_poolings(network):
            if isinstance(pooling, SocialPooling) and pooling.aggregation != "max":
                hook = pooling.register_forward_pre_hook(partial(keep, layer), with_kwargs=True)
                stack.callback(hook.remove)
        yield calls
