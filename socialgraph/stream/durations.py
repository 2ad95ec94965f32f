"""Lengths of time as words of a command line."""

import re

import numpy as np

__all__ = ["parse_keep", "seconds_of_text"]

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def seconds_of_text(text: str) -> int:
    """Seconds of a text such as ``30min``, ``12h`` or ``14d``.

    Raises:
        ValueError: if it is none, or 0.
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*(s|min|h|d)\s*", text)
    if not found or int(found[1]) == 0:
        raise ValueError(f"Expected a length of time such as 30min, 12h or 14d (got {text!r}).")
    return int(found[1]) * _SECONDS[found[2]]


def parse_keep(text: str) -> np.timedelta64 | None:
    """How long something is kept; None for ``all``.

    Raises:
        ValueError: as :func:`seconds_of_text` does.
    """
    return None if text == "all" else np.timedelta64(seconds_of_text(text), "s")
