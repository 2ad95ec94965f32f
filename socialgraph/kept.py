"""What a checkpoint of a forecaster keeps besides weights, written and read."""

from typing import TYPE_CHECKING

import torch

from socialgraph.checkpoint import profile_of, recipe_of
from socialgraph.conformal import Conformal
from socialgraph.cusum import charts_of
from socialgraph.spec import DataSpec

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = ["keep_parts", "take_parts"]


def keep_parts(forecaster: "Forecaster", checkpoint: dict) -> None:
    """Write what a forecaster is for, how its parts were made, and what it has learned of data."""
    checkpoint["spec"] = forecaster.spec.to_dict()
    checkpoint["network"] = recipe_of(forecaster.network)
    checkpoint["objective"] = recipe_of(forecaster.objective)
    if forecaster.profile is not None:
        named = forecaster.profile.named_buffers()
        checkpoint["profile"] = {name: part.cpu() for name, part in named}
    if forecaster.conformal is not None:
        checkpoint["conformal"] = forecaster.conformal.entries()
    if forecaster.charts is not None:
        parts = vars(forecaster.charts).items()
        checkpoint["alarms"] = {name: torch.from_numpy(part) for name, part in parts}


def take_parts(forecaster: "Forecaster", checkpoint: dict, spec: DataSpec) -> None:
    """Read what the forecaster of ``spec`` has learned of data.

    Raises:
        ValueError: if it cannot be of these data, or the profile is absent that its network reads.
    """
    forecaster.profile = profile_of(checkpoint, spec)
    if forecaster.wants_profile and forecaster.profile is None:
        raise ValueError(
            "The checkpoint has no 'profile', which its network reads. It was changed, or "
            "written for another network: train again."
        )
    if forecaster.profile is not None:
        forecaster.profile.to(forecaster.device)
    sizes = spec.horizon, len(spec.vdids), spec.num_targets
    forecaster.conformal = Conformal.of(checkpoint.get("conformal"), sizes)
    forecaster.charts = charts_of(checkpoint.get("alarms"), len(spec.vdids))
