"""What a forecaster writes into a checkpoint beside its weights, and how it is read."""

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn

from socialgraph.archive import read_archive
from socialgraph.objective import Objective
from socialgraph.profile import DailyProfile
from socialgraph.recipe import check_trust, describe, make
from socialgraph.spec import DataSpec

__all__ = [
    "check_entries",
    "check_resumable",
    "check_same_network",
    "check_unfinished",
    "data_options",
    "network_of",
    "objective_of",
    "profile_of",
    "read_checkpoint",
    "recipe_of",
]

_NUMBERS = (type(None), bool, int, float, str)
_DATA_KINDS = {
    "series": (str, type(None)),
    "features": (list,),
    "targets": (list,),
    "scaling": (str,),
    "windows": (dict,),
    "split": (dict,),
    "graph": (dict, type(None)),
    "loading": (dict,),
    "held_out_detectors": (float, list, type(None)),
    "known": (list,),
    "attributes": (list,),
    "holidays": (str, type(None)),
    "networks": (list,),
    "scale_by": (str,),
    "batches_per_epoch": (int, type(None)),
}
_NETWORK_KINDS: dict[str, type | tuple[type, ...]] = {
    "series": str,
    "features": list,
    "weight": (int, float),
    "split": dict,
    "graph": dict,
    "holidays": str,
}
# Bounds on what is made from a checkpoint: plain values of an entry (attributes of 10,000 detectors
# are some 100,000), and numbers in the recipe of a network beyond the sizes of its weights.
_MOST_VALUES = 10_000_000
_MOST_CHANNELS = 10_000
# These options of an encoder change no number.
_FREE_OPTIONS = ("compile", "gradient_checkpointing", "chunk_steps")
_SIZES = ("in_channels", "out_channels", "window", "horizon", "num_nodes", "vdids")
_TOLD = (*_SIZES, "max_radius", "width")
# Arguments that older checkpoints do not name, and what they were then.
_ADDED = {"network.init_args.width": 1}


def read_checkpoint(path: str | Path) -> dict:
    """The entries of a checkpoint, as plain values and tensors on the CPU; no code of it is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint of a :class:`socialgraph.forecaster.Forecaster`.
    """
    checkpoint = read_archive(path, "cpu")
    check_entries(checkpoint, f"'{path}'")
    return checkpoint


def check_entries(checkpoint: dict, name: str = "The checkpoint") -> None:
    """Refuse a checkpoint without what a forecaster writes.

    Raises:
        ValueError: naming the entries that it lacks.
    """
    held = checkpoint if isinstance(checkpoint, dict) else {}
    lacking = [entry for entry in ("spec", "network", "state_dict") if entry not in held]
    if lacking:
        raise ValueError(
            f"{name} has no {lacking}: it was not written by a Forecaster of this version of "
            "socialgraph. Train again, or give the network from Python and load its 'state_dict'."
        )
    for entry in ("spec", "network", "objective", "data", "hyper_parameters"):
        if _more_than(_MOST_VALUES, held.get(entry)):
            raise ValueError(f"{name} has more than {_MOST_VALUES:,} values in '{entry}'.")
    if not isinstance(held["state_dict"], dict):
        raise ValueError(f"Expected the weights of {name} by name, as 'state_dict'.")
    weights = [w for w in held["state_dict"].values() if isinstance(w, torch.Tensor)]
    largest = max((max(weight.shape, default=1) for weight in weights), default=1)
    if (size := _largest_number(held["network"])) > max(_MOST_CHANNELS, largest):
        raise ValueError(
            f"{name} asks for a network of size {size:,}; its weights are of at most {largest:,}."
        )


def _more_than(limit: int, value: object) -> bool:
    """Whether plain values, each counted wherever it is referred to, are more than a limit."""
    waiting, count = [value], 0
    while waiting and count <= limit:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value
    return count > limit


def _largest_number(recipe: object) -> int:
    if isinstance(recipe, dict):
        recipe = list(recipe.values())
    if isinstance(recipe, list | tuple):
        return max(map(_largest_number, recipe), default=0)
    return abs(recipe) if isinstance(recipe, int) else 0


def data_options(checkpoint: dict, trust: Sequence[str] = ()) -> dict:
    """The arguments of the data module that a checkpoint keeps, as plain values of the right kind.

    Args:
        checkpoint: its entries.
        trust: packages besides this one whose classes may be made.

    Raises:
        ValueError: if an argument is unknown or of another kind, or a class is not trusted.
    """
    kept = checkpoint.get("data", {})
    if not isinstance(kept, dict) or not set(kept) <= set(_DATA_KINDS):
        raise ValueError(f"Expected 'data' of the checkpoint to hold {sorted(_DATA_KINDS)} only.")
    for name, value in kept.items():
        if not isinstance(value, _DATA_KINDS[name]):
            raise ValueError(
                f"Expected '{name}' in the 'data' of the checkpoint as "
                f"{' or '.join(kind.__name__ for kind in _DATA_KINDS[name])} "
                f"(got {reprlib.repr(value)})."
            )
    for name in ("windows", "loading"):
        odd = [v for v in kept.get(name, {}).values() if not isinstance(v, _NUMBERS)]
        if odd:
            raise ValueError(
                f"Expected plain values in '{name}' of the checkpoint (got {reprlib.repr(odd[0])})."
            )
    for part in (kept, *_networks(kept.get("networks", []))):
        _check_classes(part)
    check_trust(kept, trust)
    return {n: v for n, v in kept.items() if n != "series" or v is not None}


def _check_classes(kept: dict) -> None:
    """Refuse what the command line would take for the name of a class or file."""
    for name in ("split", "graph"):
        if kept.get(name) is None:
            continue
        if not isinstance(kept[name], dict) or set(kept[name]) != {"class_path", "init_args"}:
            raise ValueError(f"Expected a class and its arguments as '{name}' of the checkpoint.")
        if _lists_texts(kept[name]):  # the command line would take them for names of classes
            raise ValueError(f"Expected no list of texts in '{name}' of the checkpoint.")


def _networks(networks: list) -> list[dict]:
    """The networks of a training on several, if they are plain values of the right kind.

    Raises:
        ValueError: if one is not.
    """
    for network in networks:
        if not isinstance(network, dict) or not set(network) <= set(_NETWORK_KINDS):
            raise ValueError(
                f"Expected each of 'networks' of the checkpoint to hold {sorted(_NETWORK_KINDS)} "
                "only."
            )
        odd = [n for n, value in network.items() if not isinstance(value, _NETWORK_KINDS[n])]
        if odd:
            raise ValueError(f"Expected plain values in 'networks' of the checkpoint (in {odd}).")
    return networks


def _lists_texts(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_lists_texts, value.values()))
    if isinstance(value, list):
        return any(isinstance(item, str) or _lists_texts(item) for item in value)
    return False


def recipe_of(part: object) -> dict | None:
    """How a network or an objective was made, or None if it cannot be written down."""
    try:
        return describe(part)
    except TypeError:
        return None


def network_of(
    checkpoint: dict, trust: Sequence[str] = (), num_nodes: int | None = None
) -> nn.Module:
    """The network of a checkpoint, made anew, without its weights.

    Args:
        checkpoint: its entries.
        trust: packages besides this one whose classes may be made.
        num_nodes: detectors of other data, for whose sizes it waits; None to make it for the data
            of the training.

    Raises:
        ValueError: if it cannot be made from the checkpoint.
    """
    recipe = checkpoint["network"]
    if recipe is None:
        raise ValueError(
            "The network of this checkpoint could not be written down when it was saved. Give the "
            "network: Forecaster(network=...), or on the command line with --config."
        )
    if not isinstance(recipe, dict) or set(recipe) != {"class_path", "init_args"}:
        raise ValueError(
            "Expected a class and its arguments as 'network' of the checkpoint "
            f"(got {reprlib.repr(recipe)})."
        )
    if num_nodes is not None:
        recipe = _for_detectors(_without_sizes(recipe), num_nodes)
    return cast(nn.Module, make(recipe, trust))


def _without_sizes(recipe: dict) -> dict:
    """The recipe of a network that is told its sizes later, as are the members of an ensemble."""
    kept = {name: value for name, value in recipe["init_args"].items() if name not in _TOLD}
    members = kept.get("network")
    if isinstance(members, list):
        kept["network"] = [_without_sizes(member) for member in members]
    return {**recipe, "init_args": kept}


def _for_detectors(recipe: object, num_nodes: int) -> object:
    """The recipe of parts, of which those that know each detector are for another number."""
    if isinstance(recipe, list):
        return [_for_detectors(item, num_nodes) for item in recipe]
    if not isinstance(recipe, dict):
        return recipe
    return {
        name: num_nodes if name == "num_nodes" else _for_detectors(value, num_nodes)
        for name, value in recipe.items()
    }


def objective_of(checkpoint: dict, given: Objective | None, trust: Sequence[str] = ()) -> Objective:
    """The objective of a checkpoint, or the one that is given, if its forecasts are the same.

    An older checkpoint is of a point, with the loss that it names.

    Args:
        checkpoint: its entries.
        given: goes before that of the checkpoint, as a training may go on with another loss.
        trust: packages besides this one whose classes may be made.

    Raises:
        ValueError: if it cannot be made from the checkpoint, or the one that is given forecasts
            something else.
    """
    recipe = checkpoint["objective"] if "objective" in checkpoint else _point_of(checkpoint)
    if recipe is None and given is not None:
        return given
    if not isinstance(recipe, dict) or set(recipe) != {"class_path", "init_args"}:
        raise ValueError(
            "The checkpoint does not tell its objective, which could not be written down when it "
            "was saved. Give it: Forecaster(objective=...), or on the command line with --config."
        )
    made = make(recipe, trust)
    if not isinstance(made, Objective):
        raise ValueError(f"Expected an objective in the checkpoint (got {recipe['class_path']}).")
    if given is None:
        return made
    own, saved = ((type(part).__name__, part.width, part.levels) for part in (given, made))
    if own != saved:
        raise ValueError(
            f"The checkpoint is of another objective: {saved[0]} of the quantiles {saved[2]} (got "
            f"{own[0]} of {own[2]}). Leave 'objective' out to use the checkpoint; for another one "
            "train anew."
        )
    return given


def _point_of(checkpoint: dict) -> dict:
    """The objective of a checkpoint that was written before there were objectives."""
    kept = checkpoint.get("hyper_parameters", {})
    told = {name: kept[name] for name in ("loss", "huber_delta") if name in kept}
    return {"class_path": "socialgraph.objective.Point", "init_args": told}


def profile_of(checkpoint: dict, spec: DataSpec) -> DailyProfile | None:
    """The profile of the trained detectors that a checkpoint holds; None if it holds none.

    Raises:
        ValueError: if it cannot be that of the detectors and features of ``spec``.
    """
    kept = checkpoint.get("profile")
    if kept is None:
        return None
    parts = [kept.get(name) for name in ("mean", "deviation")] if isinstance(kept, dict) else []
    sizes = (len(spec.vdids), len(spec.features))
    if not parts or not all(
        isinstance(part, torch.Tensor) and part.is_floating_point() and part.shape[2:] == sizes
        for part in parts
    ):
        raise ValueError(
            f"The 'profile' of the checkpoint cannot be that of {sizes[0]} detectors and "
            f"{sizes[1]} features. Train again."
        )
    return DailyProfile(*cast(list[torch.Tensor], parts))


def check_same_network(own: dict | None, saved: dict | None) -> None:
    """Refuse the checkpoint of another network, by the recipes of both; None is not compared.

    Raises:
        ValueError: naming what differs.
    """
    if own is None or saved is None or own == saved:
        return
    differ = sorted(_differences(own, saved))
    if not differ:
        return
    raise ValueError(
        f"The checkpoint is of another network: {'; '.join(differ[:3])}. Give the network of the "
        "checkpoint, or none. To start a training from a part of its weights, load them in Python."
    )


def _differences(own: object, saved: object, name: str = "network") -> list[str]:
    if isinstance(own, dict) and isinstance(saved, dict):
        names = (own.keys() | saved.keys()) - set(_FREE_OPTIONS)
        parts = ((n, own.get(n), saved.get(n, _ADDED.get(f"{name}.{n}"))) for n in names)
        return [text for n, a, b in parts for text in _differences(a, b, f"{name}.{n}")]
    return [] if own == saved else [f"{name} is {own!r}, in the checkpoint {saved!r}"]


def check_resumable(checkpoint: dict) -> None:
    """Refuse to go on with a training of which only the weights were kept.

    Raises:
        ValueError: naming the way to start a new one.
    """
    if "optimizer_states" not in checkpoint:
        raise ValueError(
            "The checkpoint holds weights alone, and a training cannot go on from it. To start a "
            "new one from them, set --model.init_from to it and leave --ckpt_path out."
        )


def leave_cut_epoch_open(checkpoint: dict, num_batches: float) -> None:
    """Let a training that was stopped in mid-epoch, as by ``max_time``, go on within that epoch.

    Lightning ends the epoch that it cuts, and would begin the next one with what is left of it.

    Args:
        checkpoint: as Lightning has made it; changed in place.
        num_batches: those of an epoch.
    """
    loop = checkpoint.get("loops", {}).get("fit_loop")
    if loop is None:
        return
    batches = loop["epoch_loop.batch_progress"]
    if batches["is_last_batch"] or not 0 < batches["current"]["ready"] < num_batches:
        return
    for progress in loop["epoch_progress"].values():
        progress["processed"] = min(progress["processed"], progress["started"] - 1)


def check_unfinished(checkpoint: dict, max_epochs: int | None, max_steps: int) -> None:
    """Refuse to go on with a training that has reached its end.

    Raises:
        ValueError: naming the option that prolongs it, and the one that starts a new one.
    """
    loop = checkpoint.get("loops", {}).get("fit_loop")
    if loop is None:
        return
    epoch = loop["epoch_progress"]["current"]
    ended = loop["epoch_loop.batch_progress"]["is_last_batch"]
    epochs = epoch["processed"] + (ended and epoch["started"] > epoch["processed"])
    reached = {
        "max_epochs": (epochs, max_epochs),
        "max_steps": (checkpoint["global_step"], max_steps),
    }
    for name, (done, limit) in reached.items():
        if limit is not None and 0 <= limit <= done:
            raise ValueError(
                f"Nothing is to be trained: the checkpoint has reached {name} = {limit}. To "
                f"prolong the training raise --trainer.{name}; to start a new one from its weights "
                "set --model.init_from to it and leave --ckpt_path out."
            )
