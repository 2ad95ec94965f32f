"""Readings that a watch cannot take, left out and told."""

import sys

import numpy as np

from data_prep.feed import Block
from data_prep.lanes import LANE_MARK
from data_prep.report import enumerate_first

__all__ = ["LeftOut", "seconds_of"]

_AHEAD = 3600  # seconds that a right clock is not ahead of the arrival of its document
_EASTERNMOST = 14 * 3600  # seconds by which a local clock may be ahead of UTC


def seconds_of(block: Block) -> np.ndarray:
    """Times of a block in whole seconds since 1970 ``[R]``."""
    return block.times.astype("datetime64[s]").astype(np.int64)


class LeftOut:
    """Takes readings out of the blocks of documents and tells on stderr of which detectors.

    A detector whose clock is ahead is told once, and one that is late once for each of its times:
    some repeat their last reading for days.
    """

    def __init__(self) -> None:
        self._ahead: set[str] = set()
        self._late: dict[str, int] = {}

    def without_ahead(self, block: Block, arrival: float) -> Block:
        """The readings that are not more than an hour after the arrival of their document.

        Args:
            block: long, of one document.
            arrival: seconds since 1970.
        """
        ahead = seconds_of(block) > arrival + _AHEAD + (_EASTERNMOST if block.is_local else 0)
        new = {v: s for v, s in _by_detector(block, ahead).items() if v not in self._ahead}
        self._ahead |= new.keys()
        _tell(new, block, "more than an hour after the document came. Set the clocks right.")
        return block.rows(~ahead) if ahead.any() else block

    def without_late(self, block: Block, begin: float, why: str, is_told: bool) -> Block:
        """The readings from ``begin`` on.

        Args:
            block: long, of one document.
            begin: seconds since 1970, on the clock of the block.
            why: what is wrong with the others.
            is_told: whether the others were read before.
        """
        late = seconds_of(block) < begin
        if not is_told:
            found = _by_detector(block, late)
            new = {v: s for v, s in found.items() if self._late.get(v) != s}
            self._late |= new
            _tell(new, block, why)
        return block.rows(~late) if late.any() else block


def _by_detector(block: Block, chosen: np.ndarray) -> dict[str, int]:
    """The last of the chosen times of each detector that has any, in seconds since 1970."""
    assert block.codes is not None  # as documents give long blocks
    names = [block.vdids[code].split(LANE_MARK)[0] for code in block.codes[chosen].tolist()]
    return dict(zip(names, seconds_of(block)[chosen].tolist(), strict=True))


def _tell(times: dict[str, int], block: Block, why: str) -> None:
    if times:
        first = np.datetime64(next(iter(times.values())), "s")
        clock = "" if block.is_local else "Z"
        print(
            f"left out: {enumerate_first(times)} at {first}{clock} of '{block.where}', {why}",
            file=sys.stderr,
        )
