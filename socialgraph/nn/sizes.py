"""Parts of a network that are made when its sizes are known, and the checks of these."""

import functools
import inspect
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from socialgraph.nn.inputs import NodeInputs

__all__ = [
    "check_built",
    "check_encoder",
    "check_given",
    "check_reach",
    "check_sizes",
    "keep_sizes",
    "make_pooling",
    "pool",
    "wants",
]


def check_given(first: object, *others: object) -> None:
    """Refuse sizes of which the first, the input's, is left out and others are not.

    Raises:
        ValueError: if there are such.
    """
    if first is None and any(size is not None for size in others):
        raise ValueError("Expected 'in_channels' with the other sizes, or no size at all.")


def check_sizes(in_channels: int, out_channels: int, horizon: int | None) -> None:
    """Refuse sizes that no network can have.

    Raises:
        ValueError: if one is below 1 or None, or there are more features out than in.
    """
    if horizon is None or horizon < 1:
        raise ValueError(f"Expected 'horizon' of 1 or more with 'in_channels' (got {horizon}).")
    if not 1 <= out_channels <= in_channels:
        raise ValueError(
            f"Expected 'out_channels' from 1 to 'in_channels' = {in_channels}, as the first "
            f"features of the readings are predicted (got {out_channels})."
        )


def check_encoder(encoder: nn.Module, inputs: NodeInputs) -> None:
    """Refuse an encoder that reads another number of channels than it is given.

    Raises:
        ValueError: if it does.
    """
    reads = getattr(encoder, "in_channels", inputs.out_channels)
    if reads != inputs.out_channels:
        raise ValueError(
            f"Expected an encoder of {inputs.out_channels} input channels: readings with mask, "
            f"clock and node vector, as far as they are used (got one of {reads})."
        )


def check_built(network: nn.Module) -> None:
    """Refuse to use a network that was told no sizes.

    Raises:
        RuntimeError: if it was not.
    """
    if network.in_channels is None:
        raise RuntimeError("The network has no sizes yet. Give them, or call its 'build'.")


def keep_sizes(network: nn.Module, names: Sequence[str], sizes: Sequence) -> None:
    """Keep sizes that were told later among the arguments that a checkpoint holds, if it can."""
    getattr(network, "init_args", {}).update(zip(names, sizes, strict=True))


def make_pooling(
    pooling: Callable[[int, int], nn.Module] | nn.Module | None,
    width: int,
    max_radius: float | None = None,
    out_width: int | None = None,
) -> nn.Module | None:
    """The pooling of states of a ``width``, told the reach of the graph if it takes one.

    Args:
        pooling: a factory, the pooling itself, or None.
        width: channels of the states.
        max_radius: longest edge of the graph, in metres; None if it is not known.
        out_width: channels of what is pooled; None for as many.

    Raises:
        ValueError: if the pooling reaches further than the graph.
    """
    if pooling is not None and not isinstance(pooling, nn.Module):
        takes_reach = max_radius is not None and wants(pooling, "max_radius")
        out_width = width if out_width is None else out_width
        pooling = pooling(width, out_width, **({"max_radius": max_radius} if takes_reach else {}))
    check_reach(pooling, max_radius)
    return pooling


def check_reach(pooling: nn.Module | None, max_radius: float | None) -> None:
    """Refuse a pooling that reaches further than the graph.

    Args:
        pooling: a pooling, or None.
        max_radius: longest edge of the graph, in metres; None if it is not known.

    Raises:
        ValueError: if it does.
    """
    reach = getattr(pooling, "max_radius", None) or 0.0
    if max_radius is not None and reach > max_radius:
        raise ValueError(
            f"The pooling has 'max_radius' = {reach:g}, but no edge of the graph is longer than "
            f"{max_radius:g} metres. Leave 'max_radius' out, or build a graph that reaches as far."
        )


def wants(factory: Callable, name: str) -> bool:
    """Whether a factory takes an argument that was not given to it."""
    if isinstance(factory, functools.partial):
        if name in factory.keywords:
            return factory.keywords[name] is None
        return wants(factory.func, name)
    return name in inspect.signature(factory).parameters


def pool(
    pooling: nn.Module,
    x: Tensor,
    edge_index: Tensor,
    distance: Tensor,
    offset: Tensor | None = None,
    edge_attr: Tensor | None = None,
) -> Tensor:
    """Context ``[B, N, C]`` of states ``x`` ``[B, N, C]``, with what the pooling looks at."""
    looks = {}
    if getattr(pooling, "pos_dim", 0):
        looks["offset"] = offset
    if getattr(pooling, "edge_dim", 0):
        looks["edge_attr"] = edge_attr
    return pooling(x, edge_index, distance=distance, **looks)
