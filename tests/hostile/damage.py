"""Damage to the bytes of a file."""

import random

__all__ = ["DAMAGES", "damaged"]


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 1, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _zero(data: bytearray, rng: random.Random) -> bytearray:
    """A sector that was never written."""
    start = rng.randrange(max(1, len(data) - 511))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    return data


def _cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _move(data: bytearray, rng: random.Random) -> bytearray:
    """A sector in the place of another."""
    start, other = (rng.randrange(max(1, len(data) - 511)) for _ in range(2))
    data[start : start + 512] = data[other : other + 512]
    return data


def _grow(data: bytearray, rng: random.Random) -> bytearray:
    place = rng.randrange(len(data))
    return data[:place] + rng.randbytes(rng.choice((1, 8, 512))) + data[place:]


def _set(data: bytearray, rng: random.Random) -> bytearray:
    """A number at its limit."""
    place = rng.randrange(len(data))
    data[place : place + 8] = rng.choice((b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00" * 8))
    return data


DAMAGES = {"flip": _flip, "zero": _zero, "cut": _cut, "move": _move, "grow": _grow, "set": _set}


def damaged(data: bytes, seed: int) -> tuple[str, bytes]:
    """The name of a damage, and the bytes after it."""
    rng = random.Random(seed)
    name = rng.choice(list(DAMAGES))
    return name, bytes(DAMAGES[name](bytearray(data), rng))
