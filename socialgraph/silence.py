"""Detectors that have not been heard of."""

import warnings
from collections.abc import Sequence

import numpy as np

__all__ = ["report_silent"]


def report_silent(
    readings: np.ndarray, vdids: Sequence[str], name: str = "the series", stacklevel: int = 2
) -> None:
    """Tell by a warning which detectors have no reading in the last window.

    Args:
        readings: those of the window ``[T, N, F]``, NaN where missing.
        vdids: ids of the detectors, N.
        name: of the series, for the error.
        stacklevel: as of :func:`warnings.warn`, from the caller.

    Raises:
        ValueError: if all are silent.
    """
    silent = np.isnan(readings).all(axis=(0, 2))
    names = [vdid for vdid, s in zip(vdids, silent.tolist(), strict=True) if s]
    if len(names) == len(silent):
        raise ValueError(
            f"{name} ends in {len(readings)} steps without any reading: nothing to forecast from. "
            "Cut them off, or use 'predict_on: test'."
        )
    if names:
        warnings.warn(
            f"{len(names)} of {len(silent)} detectors have no reading in the last {len(readings)} "
            f"steps, among them {names[:5]}; their forecasts know of neighbours and the clock "
            "alone.",
            stacklevel=stacklevel + 1,
        )
