"""What every format gives: blocks of readings, and what the source knows of the detectors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from data_prep.detectors import DetectorTable
from data_prep.report import Report

__all__ = ["Block", "Feed", "long_block"]


@dataclass(frozen=True)
class Block:
    """Some readings, in the order of their source.

    A *wide* block has a row for each time; a *long* one a row for each time and detector.

    Args:
        times: ``datetime64`` ``[R]``, of seconds or finer.
        vdids: detector ids ``[N]``.
        features: names ``[F]``, all or some of those of the feed.
        values: float32, NaN if missing: ``[R, N, F]`` if wide, ``[R, F]`` if long.
        codes: index in ``vdids`` of each row ``[R]``; None if the block is wide.
        is_local: True for times on a local clock, False for UTC.
        where: file that the rows are of, for messages.
    """

    times: np.ndarray
    vdids: list[str]
    features: tuple[str, ...]
    values: np.ndarray
    codes: np.ndarray | None = None
    is_local: bool = False
    where: str = ""

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, chosen: np.ndarray | slice) -> "Block":
        """The block of some of its rows."""
        codes = None if self.codes is None else self.codes[chosen]
        return replace(self, times=self.times[chosen], values=self.values[chosen], codes=codes)


@dataclass
class Feed:
    """The readings of a source, and what is known besides them.

    Args:
        blocks: the readings, read when they are asked for.
        features: names of all features, in the order of the result.
        units: unit by feature, where the format says it.
        rules: how a feature is brought to a longer interval, by feature, where the format says it;
            see :mod:`data_prep.coarsen`.
        step: seconds between two readings, if the format says it.
        length: seconds that each reading stands for, if the times of the blocks are its end.
        detectors: gives the source's own table of detectors after the last block, or None if its
            detectors have no places; None if the user has to give the table.
        read: what was read, for the account in the file.
        tell: adds to the report, after the last block.
    """

    blocks: Iterable[Block]
    features: list[str]
    units: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    step: int | None = None
    length: int | None = None
    detectors: Callable[[], DetectorTable | None] | None = None
    read: str = ""
    tell: Callable[[Report], None] = lambda report: None


def long_block(
    times: np.ndarray,
    ids: Sequence[str] | pd.Series,
    features: tuple[str, ...],
    values: np.ndarray,
    is_local: bool,
    where: str,
) -> Block:
    """A long block from the id of each row."""
    codes, vdids = pd.factorize(np.asarray(ids, dtype=object))
    return Block(times, vdids.tolist(), features, values, codes, is_local, where)
