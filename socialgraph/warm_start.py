"""Where a training starts: a network of the sizes of the data, and the weights of another."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from socialgraph.checkpoint import network_of
from socialgraph.nn.sizes import tell_sizes
from socialgraph.pretrained.archive import read_start
from socialgraph.spec import DataSpec, SpecError

__all__ = ["adapt_weights", "build_network", "check_again", "start_network"]


def build_network(network: nn.Module, spec: DataSpec, width: int) -> None:
    """Tell a network with a method ``build`` the sizes that this names."""
    sizes = {
        "in_channels": len(spec.features),
        "out_channels": spec.num_targets,
        "window": spec.window,
        "horizon": spec.horizon,
        "vdids": spec.vdids,
        "max_radius": spec.max_radius,
        "width": width,
    }
    tell_sizes(network, sizes)


def start_network(
    path: str, given: DataSpec, network: nn.Module | None, trust: Sequence[str], width: int
) -> tuple[nn.Module, DataSpec]:
    """A network with the weights of a checkpoint, for the data of a new training.

    Args:
        path: checkpoint, or ``"pretrained"``.
        given: the new data.
        network: takes the weights; None for the network of the checkpoint.
        trust: packages besides this one whose classes may be made from the checkpoint.
        width: of the objective of the new training.

    Returns:
        The network, and what its weights were trained on.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its weights do not fit the network or (as
            :class:`socialgraph.spec.SpecError`) the data.
    """
    checkpoint = read_start(path)
    trained = _check_start(checkpoint, path, given)
    if network is None:
        network = network_of(checkpoint, trust, num_nodes=len(given.vdids))
    build_network(network, given, width)
    _load_start(network, checkpoint, path, trained, given)
    return network, trained


def check_again(network: nn.Module, trained: DataSpec, given: DataSpec) -> None:
    """Refuse to train a network once more on detectors that it has no weights for.

    Raises:
        SpecError: if it knows its detectors by weights of their own, and the data have others.
    """
    if trained.vdids != given.vdids and getattr(network, "knows_nodes", False):
        raise SpecError(
            f"The network knows {len(trained.vdids)} detectors by weights of its own, and "
            f"the data have others ({len(given.vdids)}). Start a new forecaster with "
            "init_from=<checkpoint of this one>: what is known of a detector then goes by id."
        )
    _tell_other_features(trained, given)


def _check_start(checkpoint: dict, path: str, given: DataSpec) -> DataSpec:
    """What a checkpoint was trained on, if its weights can start a training on ``given``.

    Raises:
        SpecError: if the numbers of features and targets or the horizon differ.
    """
    trained = DataSpec.from_dict(checkpoint["spec"])
    sizes, wanted = (
        {"features": len(spec.features), "targets": spec.num_targets, "horizon": spec.horizon}
        for spec in (trained, given)
    )
    if sizes != wanted:
        raise SpecError(
            f"'{path}' was trained with {sizes} (got {wanted}). Its weights serve for as many "
            "features and targets and the same horizon only."
        )
    if trained.units != ["deviations"]:  # of any quantity
        _tell_other_features(trained, given)
    return trained


def _tell_other_features(trained: DataSpec, given: DataSpec) -> None:
    """Warn if a training goes on with other features, units or windows than those before."""
    own, other = (
        (spec.features, spec.targets, spec.units, spec.window) for spec in (trained, given)
    )
    if own != other:
        warnings.warn(
            f"The weights were trained with features, targets, units, window = {own} and start "
            f"here with {other}. What stands in the same place is taken for the same.",
            stacklevel=3,
        )


def _load_start(
    network: nn.Module, checkpoint: dict, path: str, trained: DataSpec, given: DataSpec
) -> None:
    """Give a network the weights of a checkpoint, rows of detectors by their ids.

    Raises:
        ValueError: if they do not fit it.
    """
    weights = {
        name.removeprefix("network."): weight
        for name, weight in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(adapt_weights(weights, network, trained, given))
    except RuntimeError as error:
        raise ValueError(
            f"The weights of '{path}' do not fit the network: {error} Give the same network, or "
            "leave the network out to take its own."
        ) from error


def adapt_weights(
    weights: dict[str, Tensor], network: nn.Module, trained: DataSpec, given: DataSpec
) -> dict[str, Tensor]:
    """Weights for other detectors: rows of a detector go by its id, strangers get the mean row.

    Args:
        weights: ``state_dict`` of the network that was trained on the detectors of ``trained``.
        network: the network for the detectors of ``given``.
        trained: what the weights were trained on.
        given: the new data.

    Returns:
        The weights; those of a network of another kind as they are, for loading to refuse.
    """
    if not getattr(network, "knows_nodes", False):
        return weights
    weights = dict(weights)
    rows = torch.from_numpy(trained.rows(given.vdids))
    before, after = (network.node_weights(len(spec.vdids)) for spec in (trained, given))
    for name, parts in before.items():
        if any(part not in weights for part in parts or [name]):
            continue  # of another kind of network: loading names what is absent
        table = torch.stack([weights.pop(part) for part in parts]) if parts else weights[name]
        stranger = (rows < 0).view(-1, *[1] * (table.dim() - 1))
        table = torch.where(stranger, table.mean(dim=0), table[rows.clamp(min=0)])
        if parts:
            weights.update(zip(after[name], table, strict=True))
        else:
            weights[name] = table
    return weights
