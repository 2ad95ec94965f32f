"""What a forecaster refuses: options, a Trainer and a graph that it cannot work with."""

import math
import warnings
from typing import TYPE_CHECKING, get_args

import pytorch_lightning as pl
from torch import Tensor, nn

from socialgraph.checkpoint import recipe_of
from socialgraph.layers import named_poolings
from socialgraph.objective import Objective
from socialgraph.scaler import Scaling
from socialgraph.spec import DataSpec

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = [
    "check_graph",
    "check_objective",
    "check_options",
    "check_trainer",
    "tell_types_of_edges",
    "tell_unwritable",
]


def check_options(options: "Forecaster") -> None:
    """Refuse options out of their range.

    Raises:
        ValueError: naming the option.
    """
    if not 0 <= options.silence <= 1:
        raise ValueError(f"Expected 'silence' as a share from 0 to 1 (got {options.silence}).")
    if options.coverage is not None and not 0 < options.coverage < 1:
        raise ValueError(
            f"Expected 'coverage' of intervals between 0 and 1, or None (got {options.coverage})."
        )
    if options.trainable not in ("all", "head"):
        raise ValueError(f"Expected 'trainable' as 'all' or 'head' (got {options.trainable!r}).")
    for name in ("learning_rate", "weight_decay", "warmup_steps"):
        if not 0 <= getattr(options, name) < math.inf:
            raise ValueError(f"Expected '{name}' of 0 or more (got {getattr(options, name)}).")


def check_trainer(trainer: pl.Trainer) -> None:
    """Refuse a Trainer without a data module, or with a precision that loses readings.

    Raises:
        ValueError: if it is one.
    """
    if trainer.datamodule is None:
        raise ValueError("Expected a data module: trainer.fit(forecaster, datamodule=...).")
    if trainer.precision in ("bf16-true", "16-true"):
        raise ValueError(
            "Expected a precision that keeps readings and errors exact (got "
            f"'{trainer.precision}'). Use 'bf16-mixed' or '16-mixed'."
        )


def check_objective(objective: Objective | None, given: DataSpec) -> None:
    """Refuse quantiles of deviations: what serves any network forecasts points.

    Raises:
        ValueError: for a training on several networks with another objective than a point.
    """
    if objective is not None and objective.width > 1 and given.scaling not in get_args(Scaling):
        raise ValueError(
            "A training on several networks ('data.networks') is for points (got the objective "
            f"{type(objective).__name__}). Leave 'model.objective' out, or train on one series."
        )


def check_graph(network: nn.Module, batch: dict, given: DataSpec) -> None:
    """Refuse positions and a graph that the pooling of a network cannot work with.

    Args:
        network: a network, with ``check_batch`` and ``poolings`` if it pools.
        batch: its batch, or the graph of one.
        given: what the batch is of.

    Raises:
        RuntimeError: with pooling, if positions are missing or invalid, or no edge joins two of
            several detectors.
    """
    check = getattr(network, "check_batch", None)
    if check is not None:
        check(batch.get("positions_xy"), given.vdids)
    edge_index = batch.get("edge_index")
    if not named_poolings(network) or edge_index is None or len(given.vdids) < 2:
        return
    if edge_index.size(1) == 0:
        raise RuntimeError(
            f"Social pooling is enabled but none of the {len(given.vdids)} detectors has a "
            f"neighbour within {given.max_radius:g} metres. Raise the radius of "
            "'data.graph', or train without pooling (in YAML 'pooling: null')."
        )


def tell_types_of_edges(network: nn.Module, graph: dict[str, Tensor]) -> None:
    """Warn if a graph has types of edges that a pooling does not look at."""
    deaf = [p for _, p in named_poolings(network) if not getattr(p, "edge_dim", 0)]
    if "edge_attr" in graph and deaf:
        types = graph["edge_attr"].size(1)
        warnings.warn(
            f"The graph has {types} types of edges, which the pooling does not look at: a pair "
            f"with edges of several types counts as often. Give it edge_dim = {types}.",
            stacklevel=3,
        )


def tell_unwritable(network: nn.Module) -> None:
    """Warn if a checkpoint will not hold the network."""
    if recipe_of(network) is None:
        warnings.warn(
            f"The arguments of {type(network).__name__} cannot be written into a "
            "checkpoint; to load one, the network will have to be given. See "
            "socialgraph.recipe.recorded.",
            stacklevel=3,
        )
