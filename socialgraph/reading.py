"""What the network of a forecaster reads of a batch."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from socialgraph.nn.inputs import entries_of
from socialgraph.spec import DataSpec, SpecError

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = [
    "read_batch",
    "reads_profile",
    "rows_of",
    "scale_attributes",
    "silence_part",
    "warn_of_no_history",
]


def read_batch(forecaster: "Forecaster", batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a batch in real units that the network names: scaled, with what is usual.

    Args:
        forecaster: what scales them, and knows the detectors at hand.
        batch: what :class:`socialgraph.data.TrafficDataModule` gives.
    """
    scaler = forecaster.scaler
    features = scaler.transform(batch["features"], batch["mask"])
    inputs = {**batch, "features": features, "node": forecaster.node}
    if reads_profile(forecaster.network):
        inputs |= _profile_entries(forecaster, batch)
    if "known" in batch:
        places = [forecaster.spec.features.index(name) for name in forecaster.spec.known]
        loc, scale = (part[places] for part in (scaler.loc, scaler.scale))
        inputs["known"] = ((batch["known"] - loc) / scale).nan_to_num()
    if forecaster.attributes is not None:
        inputs["attributes"] = forecaster.attributes
    return {name: inputs[name] for name in entries_of(forecaster.network) if name in inputs}


def reads_profile(network: nn.Module | None) -> bool:
    """Whether a network is told what is usual."""
    return network is not None and "profile" in entries_of(network)


def rows_of(
    network: nn.Module, spec: DataSpec, given: DataSpec, device: torch.device
) -> Tensor | None:
    """Places of the detectors of ``given`` among those of the training; None for all in order.

    A stranger, which was not in training, has place -1.

    Raises:
        SpecError: for strangers, if the network has an encoder for each detector.
    """
    rows = spec.rows(given.vdids)
    strangers = [vdid for vdid, row in zip(given.vdids, rows, strict=True) if row < 0]
    if strangers and not getattr(network, "serves_strangers", True):
        raise SpecError(
            f"{len(strangers)} of {len(rows)} detectors were not in training, among them "
            f"{strangers[:5]}, and the network has an encoder of its own for each detector. "
            "Train on them (init_from keeps the rest), or train a network with a shared "
            "encoder, which forecasts detectors never seen."
        )
    return None if spec.vdids == given.vdids else torch.from_numpy(rows).to(device)


def warn_of_no_history(strangers: int) -> None:
    """Warn that what is usual for so many detectors is not known, if there are some."""
    if not strangers:
        return
    warnings.warn(
        f"{strangers} of the detectors were not in training, and the series has no reading before "
        "what is forecast that tells what is usual for them: they are taken for the mean of the "
        "others. Give a series with some of their days before (python -m data_prep append).",
        stacklevel=4,
    )


def scale_attributes(spec: DataSpec, given: DataSpec, device: torch.device) -> Tensor | None:
    """Attributes ``[N, A]`` by their mean and deviation in training, 0 where unknown.

    Args:
        spec: what was trained on.
        given: whose attributes.
        device: where they are needed.
    """
    if not spec.attributes:
        return None
    own = spec.attribute_values
    deviation = np.nanstd(own, axis=0)
    scaled = (given.attribute_values - np.nanmean(own, axis=0)) / np.where(
        deviation > 0, deviation, 1.0
    )
    return torch.from_numpy(np.nan_to_num(scaled)).float().to(device)


def silence_part(batch: dict[str, Tensor], silence: float) -> dict[str, Tensor]:
    """A batch without a random part of its input.

    Args:
        batch: in real units.
        silence: largest share of the detectors of a window that is taken away, and of the readings
            of the rest.
    """
    if silence == 0:
        return batch
    mask = batch["mask"]
    windows, steps, nodes, _ = mask.shape
    for shape in ((windows, 1, nodes, 1), (windows, steps, nodes, 1)):
        share = silence * torch.rand(windows, 1, 1, 1, device=mask.device)
        mask = mask & (torch.rand(shape, device=mask.device) >= share)
    return {**batch, "mask": mask, "features": torch.where(mask, batch["features"], 0.0)}


def _profile_entries(forecaster: "Forecaster", batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is usual at the steps of window and targets, scaled."""
    if "profile" in batch:  # of a training window, without its own readings
        mean, deviation = batch["profile"], batch["profile_deviation"]
    else:
        clocks = (
            torch.cat([batch[name], batch[f"target_{name}"]], dim=1)
            for name in ("time_of_day", "day_of_week")
        )
        mean, deviation = forecaster.usual(*clocks)
    scaler = forecaster.scaler
    mean = scaler.transform(mean, mean.new_ones((), dtype=torch.bool))
    return {"profile": mean, "profile_deviation": deviation / scaler.scale}
