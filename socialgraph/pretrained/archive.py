"""The files of networks that serve any network: the shipped one, saved ones, and checkpoints."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import nn

from socialgraph.archive import read_archive, save_archive
from socialgraph.atomic import replacing
from socialgraph.checkpoint import (
    check_entries,
    network_of,
    objective_of,
    recipe_of,
)
from socialgraph.graph import GraphBuilder, RadiusGraph
from socialgraph.recipe import describe, make
from socialgraph.spec import DataSpec
from socialgraph.standard import ScaleBy

__all__ = ["SHIPPED", "Parts", "read_parts", "read_start", "write_parts"]

SHIPPED = "pretrained"  # in the place of a path
_ENTRIES = {"network", "weights", "window", "horizon", "graph", "card"}
_ANY_UNIT = "deviations"


class Parts(NamedTuple):
    """A network that serves any, and how it is applied; as of ``PretrainedForecaster``."""

    network: nn.Module
    window: int
    horizon: int
    graph: GraphBuilder | None
    card: dict
    scale_by: ScaleBy


def read_parts(path: str | Path) -> Parts:
    """Read a file of :func:`write_parts`, or the checkpoint of a training on several networks.

    Args:
        path: ``"pretrained"`` for the file of the package.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it holds no such network, or is damaged.
    """
    held = _read(path)
    if "weights" not in held and "state_dict" in held:
        return _parts_of_checkpoint(held, path)
    _check(held, path)
    network = network_of(held)
    network.load_state_dict(held["weights"])
    graph = held["graph"]
    if graph is not None:  # the arguments alone are those of a RadiusGraph
        graph = make(graph) if "class_path" in graph else RadiusGraph(**graph)
    scale_by = held.get("scale_by", "detector")
    return Parts(network, held["window"], held["horizon"], graph, held["card"], scale_by)


def write_parts(parts: Parts, path: str | Path) -> None:
    """Write what :func:`read_parts` reads.

    Raises:
        OSError: if it cannot be written.
    """
    held = {"network": recipe_of(parts.network), "weights": parts.network.state_dict()}
    held |= {"window": parts.window, "horizon": parts.horizon, "card": parts.card}
    held |= {"graph": None if parts.graph is None else describe(parts.graph)}
    with replacing(path) as temporary:
        save_archive({**held, "scale_by": parts.scale_by}, temporary)


def read_start(path: str | Path) -> dict:
    """Entries of a checkpoint from which a training starts, also of a file of :func:`write_parts`.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_parts` does.
    """
    held = _read(path)
    if "weights" not in held:
        check_entries(held, f"'{path}'")
        return held
    _check(held, path)
    spec = DataSpec(
        features=["reading"],
        targets=["reading"],
        units=[_ANY_UNIT],
        interval_minutes=5.0,
        timezone="UTC",
        window=held["window"],
        horizon=held["horizon"],
        vdids=[],
        lat=np.empty(0),
        lon=np.empty(0),
    )
    weights = {f"network.{name}": weight for name, weight in held["weights"].items()}
    return {"spec": spec.to_dict(), "network": held["network"], "state_dict": weights}


def _read(path: str | Path) -> dict:
    if str(path) == SHIPPED:
        path = str(resources.files("socialgraph") / "pretrained" / "weights.ckpt")
    held = read_archive(path, "cpu")
    return held if isinstance(held, dict) else {}


def _check(held: dict, path: str | Path) -> None:
    lacking = _ENTRIES - set(held)
    if lacking:
        raise ValueError(f"'{path}' is no pre-trained network: it lacks {sorted(lacking)}.")
    parts = {"spec": {}, "network": held["network"], "state_dict": held["weights"]}
    check_entries(parts, f"'{path}'")


def _parts_of_checkpoint(held: dict, path: str | Path) -> Parts:
    check_entries(held, f"'{path}'")
    spec = DataSpec.from_dict(held["spec"])
    if spec.units != [_ANY_UNIT]:
        raise ValueError(
            f"'{path}' was trained on one series, in its units ({', '.join(spec.features)}). "
            "'socialgraph predict --ckpt_path' applies it. To serve any network, train on "
            "'data.networks'."
        )
    if objective_of(held, None).width > 1:
        raise ValueError(
            f"'{path}' was trained for quantiles, and a network that serves any is one of points. "
            "Train it without 'model.objective'."
        )
    network = network_of(held)
    own = {n: w for n, w in held["state_dict"].items() if n.startswith("network.")}
    network.load_state_dict({n.removeprefix("network."): w for n, w in own.items()})
    graph = None if spec.graph is None else make(spec.graph)
    card = {"checkpoint": str(path)}
    return Parts(network, spec.window, spec.horizon, graph, card, spec.scaling)
