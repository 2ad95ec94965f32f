"""What the layers of pooling are called, in logs and on the page of a report."""

import re

from torch import nn

from socialgraph.nn import Ensemble

__all__ = ["layer_of", "named_poolings", "radius_name"]


def named_poolings(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The poolings of a network that names them, each with a name of its own.

    Args:
        network: any; one without ``poolings`` has none.

    Returns:
        Names and poolings from the first layer on: ``"layer 1"``, ``"layer 2"``, and of an
        ensemble ``"network 1, layer 1"``, member by member.
    """
    if isinstance(network, Ensemble):
        return [
            (f"network {place}, {name}", pooling)
            for place, member in enumerate(network.members, 1)
            for name, pooling in named_poolings(member)
        ]
    poolings = getattr(network, "poolings", [])
    return [(f"layer {place}", pooling) for place, pooling in enumerate(poolings, 1)]


def radius_name(layer: str, head: int) -> str:
    """What the learned radius of a head is logged as: ``"radius/network_2_layer_1_head_3"``.

    Args:
        layer: its name, by :func:`named_poolings`.
        head: its number, from 1.
    """
    return f"radius/{layer.replace(', ', '_').replace(' ', '_')}_head_{head}"


def layer_of(name: str) -> str:
    """The name of the layer whose radius was logged, by :func:`radius_name`, as ``name``."""
    layer = name.removeprefix("radius/").rpartition("_head_")[0]
    return ", ".join(part.replace("_", " ") for part in re.findall(r"[a-z]+_\d+", layer))
