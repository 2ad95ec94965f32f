"""Refuses numbers that are not finite, before they are kept anywhere."""

from collections.abc import Iterable

import torch
from torch import Tensor

from socialgraph.scaler import Scaler

__all__ = ["NotFiniteError", "check_finite", "check_weights"]


class NotFiniteError(RuntimeError):
    """A loss, a forecast or a weight that is NaN or infinite."""


def check_finite(value: Tensor, what: str, batch: dict[str, Tensor], scaler: Scaler) -> None:
    """Refuse a result of a batch that is not finite.

    Args:
        value: the result, any shape.
        what: its name, for the error.
        batch: its batch in real units, with the times ``issued`` ``[B]`` (seconds since 1970, UTC)
            if it has them.
        scaler: of the readings.

    Raises:
        NotFiniteError: naming the windows and the largest scaled reading.
    """
    if bool(value.isfinite().all()):
        return
    span = ""
    if "issued" in batch:
        times = batch["issued"].cpu().numpy().astype("datetime64[s]")
        span = f", in windows that end between {times.min()} and {times.max()} (UTC)"
    largest = scaler.transform(batch["features"], batch["mask"]).abs().max().item()
    raise NotFiniteError(
        f"The {what} is not finite{span}. The largest scaled reading there is {largest:.3g} (most "
        "are below 5). If it is large, look at the readings with 'python -m data_prep inspect'; "
        "else lower --model.learning_rate and train again."
    )


def check_weights(named: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse weights that are not finite.

    Raises:
        NotFiniteError: naming the first of them.
    """
    for name, weight in named:
        if not bool(torch.isfinite(weight).all()):
            raise NotFiniteError(
                f"The weight '{name}' is not finite, and no checkpoint is kept of it. Lower "
                "--model.learning_rate, or look at the readings with 'python -m data_prep inspect'."
            )
