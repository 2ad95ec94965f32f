"""A training that starts from the weights of another."""

import warnings

import torch
from torch import Tensor, nn

from socialgraph.spec import DataSpec, SpecError

__all__ = ["adapt_weights", "check_start", "load_start", "tell_other_features"]


def check_start(checkpoint: dict, path: str, given: DataSpec) -> DataSpec:
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
        tell_other_features(trained, given)
    return trained


def tell_other_features(trained: DataSpec, given: DataSpec) -> None:
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


def load_start(
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
