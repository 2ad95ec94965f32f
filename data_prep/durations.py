"""Lengths of time as people write them on a command line."""

import re

__all__ = ["parse_minutes", "tell_seconds"]

_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


def parse_minutes(text: str) -> float:
    """Minutes of a text such as ``5``, ``5min``, ``30s`` or ``1h``; a bare number is in minutes.

    Raises:
        ValueError: if it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    if not found or (found[2] and found[2] not in _SECONDS):
        raise ValueError(f"Expected a length of time such as 30s, 5min or 1h (got {text!r}).")
    return float(found[1]) * _SECONDS[found[2] or "min"] / 60


def tell_seconds(seconds: int) -> str:
    """Seconds as text, in the largest unit that is whole."""
    for unit in ("d", "h", "min"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]} {unit}"
    return f"{seconds} s"
