"""Parts of a network that are made when its sizes are known, and the checks of these."""

import functools
import inspect
from collections.abc import Callable

from torch import nn

__all__ = [
    "check_built",
    "check_encoder",
    "check_given",
    "check_reach",
    "check_sizes",
    "keep_sizes",
    "make_part",
    "takes",
    "tell_sizes",
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


def check_encoder(encoder: nn.Module, channels: int) -> None:
    """Refuse an encoder that reads another number of channels than it is given.

    Raises:
        ValueError: if it does.
    """
    reads = getattr(encoder, "in_channels", channels)
    if reads != channels:
        raise ValueError(
            f"Expected an encoder of {channels} input channels, as many as 'inputs' give at each "
            f"step (got one of {reads})."
        )


def check_built(network: nn.Module) -> None:
    """Refuse to use a network that was told no sizes.

    Raises:
        RuntimeError: if it was not.
    """
    if network.in_channels is None:
        raise RuntimeError("The network has no sizes yet. Give them, or call its 'build'.")


def keep_sizes(network: nn.Module, sizes: dict[str, object]) -> None:
    """Keep sizes that were told later among the arguments that a checkpoint holds, if it can."""
    getattr(network, "init_args", {}).update(sizes)


def tell_sizes(network: nn.Module, sizes: dict[str, object]) -> None:
    """Tell a network with a method ``build`` the sizes that this names, or all if it takes any."""
    build = getattr(network, "build", None)
    if build is not None:
        named = inspect.signature(build).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in named.values())
        build(**{name: size for name, size in sizes.items() if takes_any or name in named})


def make_part(factory: Callable | nn.Module, *widths: int, **known: object) -> nn.Module:
    """A part of a network from its factory, or the part itself, if it is one.

    Args:
        factory: what makes it, or the part.
        widths: its channels, by place.
        known: what else is known; the factory is told what it takes and was not given.
    """
    if isinstance(factory, nn.Module):
        return factory
    told = {n: value for n, value in known.items() if value is not None and takes(factory, n)}
    return factory(*widths, **told)


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


def takes(factory: Callable, name: str) -> bool:
    """Whether a factory takes an argument that was not given to it."""
    if isinstance(factory, functools.partial):
        if name in factory.keywords:
            return factory.keywords[name] is None
        return takes(factory.func, name)
    return name in inspect.signature(factory).parameters
