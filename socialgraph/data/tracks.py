"""Windows that follow one another, for networks that carry their state from each to the next."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, takewhile, zip_longest

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from socialgraph.data.loading import Loading, ResumableLoader, loader_options

__all__ = ["ordered_tracks", "training_tracks"]

# First step of a window, and whether it begins where that in its row of the batch before ended.
Item = tuple[int, bool]


def training_tracks(
    starts: Sequence[int], collate: Callable, loading: Loading, world: tuple[int, int], window: int
) -> ResumableLoader:
    """Loader of training windows in as many tracks as a batch has rows.

    Windows of which each begins where another ends are a chain. The chains stand one behind the
    other, in an order that depends on the seed and the epoch alone, and are cut into tracks of
    equal length, one for each row; a batch takes the next window of all. Its entry ``goes_on``
    ``[B]`` is True if a window begins where the one before it in its row ended.

    Args:
        starts: first step of each window.
        collate: gathers a batch from some of them.
        loading: how.
        world: number of processes, and which this is.
        window: input steps of a window.

    Raises:
        ValueError: for several processes.
    """
    _check_alone(world)
    sampler = _Tracks(_chains(starts, window), loading, window)
    marked = partial(_collate, collate)
    return ResumableLoader(_AsTold(), collate_fn=marked, sampler=sampler, **loader_options(loading))


def ordered_tracks(
    starts: Sequence[int], collate: Callable, loading: Loading, world: tuple[int, int], window: int
) -> DataLoader:
    """Loader of all windows in order, ``window`` in a batch, so that each goes on in its row.

    A state that is carried so has read everything since the first window; other arguments, and what
    a batch has, as of :func:`training_tracks`.
    """
    _check_alone(world)
    before = [None] * window + list(starts)
    items = [(s, b is not None and b + window == s) for s, b in zip(starts, before, strict=False)]
    options = loader_options(loading) | {"batch_size": window}
    return DataLoader(items, collate_fn=partial(_collate, collate), **options)


class _Tracks(Sampler):
    """Windows of all tracks in turn, without the first ``skip`` of them."""

    skip = 0
    epoch = 0

    def __init__(self, chains: list[list[int]], loading: Loading, window: int) -> None:
        self.chains = chains
        self.rows = loading.batch_size
        self.seed = loading.seed
        self.window = window

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(map(len, self.chains))

    def __iter__(self) -> Iterator[Item]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.chains), generator=generator).tolist()
        starts = np.concatenate([self.chains[place] for place in order])
        tracks = map(self._mark, np.array_split(starts, self.rows))  # longer ones first
        turns = zip_longest(*tracks)
        items = [item for turn in turns for item in turn if item is not None]
        return iter(items[self.skip :])

    def _mark(self, track: np.ndarray) -> list[Item]:
        goes_on = [False, *(np.diff(track) == self.window).tolist()]
        return list(zip(track.tolist(), goes_on, strict=False))


class _AsTold(Dataset):
    """What the sampler names is the item."""

    def __getitem__(self, item: Item) -> Item:
        return item


def _chains(starts: Sequence[int], window: int) -> list[list[int]]:
    """Windows in runs of which each begins where the one before ended."""
    known = set(starts)
    firsts = (start for start in starts if start - window not in known)
    return [list(takewhile(known.__contains__, count(first, window))) for first in firsts]


def _collate(collate: Callable, items: list[Item]) -> dict:
    starts, goes_on = zip(*items, strict=True)
    return {**collate(list(starts)), "goes_on": torch.tensor(goes_on)}


def _check_alone(world: tuple[int, int]) -> None:
    if world[0] > 1:
        raise ValueError(
            f"Expected one process with 'carry_state', as a row of a batch goes on from the batch "
            f"before (got {world[0]}). Set trainer.devices to 1, or leave it out."
        )
