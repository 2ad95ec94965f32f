"""How windows come to a process: batch size, workers, order, and going on in mid-epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils.data import DataLoader, DistributedSampler

__all__ = ["Loading", "ResumableLoader", "loader_options", "ordered_loader", "training_loader"]


@dataclass(frozen=True)
class Loading:
    """How batches are gathered.

    Args:
        batch_size: windows per batch and process.
        num_workers: processes that gather batches; 0 for none.
        prefetch_factor: batches that a worker prepares ahead; None for PyTorch's default.
        pin_memory: copy batches to page-locked memory, for GPUs.
        seed: seed of the order of the training windows.

    Raises:
        ValueError: if ``batch_size`` is below 1 or ``num_workers`` below 0.
    """

    batch_size: int = 16
    num_workers: int = 0
    prefetch_factor: int | None = None
    pin_memory: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.num_workers < 0:
            raise ValueError(
                "Expected 'batch_size' of 1 or more and 'num_workers' of 0 or more (got "
                f"{self.batch_size} and {self.num_workers})."
            )


def training_loader(
    starts: list[int], collate: Callable, loading: Loading, world: tuple[int, int]
) -> "ResumableLoader":
    """Loader of training windows, in an order that depends on the seed and the epoch alone.

    If they do not divide by the processes, some get a window again, whose targets count as missing.

    Args:
        starts: first step of each window.
        collate: gathers a batch from some of them.
        loading: how.
        world: number of processes, and which this is.
    """
    sampler = _ShuffledPart(starts, *world, seed=loading.seed)
    again = partial(_collate_again, collate)
    windows = _Windows(starts)
    return ResumableLoader(windows, collate_fn=again, sampler=sampler, **loader_options(loading))


def ordered_loader(
    starts: list[int], collate: Callable, loading: Loading, world: tuple[int, int]
) -> DataLoader:
    """Loader of all windows in order; each process gets its share of them, in one piece.

    A process without a share reads the first window as one that never was: its targets count as
    missing, and it is issued at no time (``NaT``). Lightning would skip such a process, and the
    others would wait for it.
    """
    sampler = _OrderedPart(starts, *world)
    if not len(sampler.part):
        sampler.part, collate = range(1), partial(_collate_none, collate)
    return DataLoader(starts, collate_fn=collate, sampler=sampler, **loader_options(loading))


class ResumableLoader(DataLoader):
    """Loader that counts the batches that it gives, and can begin an epoch behind some of them.

    So a training that was stopped in the middle of an epoch takes the batches that the epoch still
    owes. The order is drawn with the first batch, after the sampler was told the epoch.
    """

    given = 0
    resume_at = 0

    def __iter__(self) -> Iterator[dict]:
        self.given, self.resume_at = self.resume_at % max(1, len(self)), 0
        self.sampler.skip = self.given * self.batch_size
        for batch in super().__iter__():
            self.given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """How many batches of the epoch were given; tells Lightning that the loader can resume."""
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip these batches in the next epoch that is begun, and only in that."""
        self.resume_at = state["given"]


class _Windows:
    """Starts of windows by index; by its complement ``~index``, the complement of the start."""

    def __init__(self, starts: list[int]) -> None:
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> int:
        return self.starts[index] if index >= 0 else ~self.starts[~index]


class _ShuffledPart(DistributedSampler):
    """A process's share of a shuffled order, without the first ``skip`` of it.

    Its parent repeats windows to fill up the last processes; here these come as complements.
    """

    skip = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.dataset), generator=generator).tolist()
        order += [~index for index in order[: self.total_size - len(order)]]
        return iter(order[self.rank : self.total_size : self.num_replicas][self.skip :])


class _OrderedPart(DistributedSampler):
    """A process's share in one piece; unlike its parent's it repeats none to fill up."""

    def __init__(self, starts: list[int], num_processes: int, rank: int) -> None:
        super().__init__(starts, num_processes, rank, shuffle=False)
        low, high = (len(starts) * part // num_processes for part in (rank, rank + 1))
        self.part = range(low, high)

    def __iter__(self) -> Iterator[int]:
        return iter(self.part)

    def __len__(self) -> int:
        return len(self.part)


def _collate_again(collate: Callable, starts: list[int]) -> dict:
    batch = collate([start if start >= 0 else ~start for start in starts])
    for row, start in enumerate(starts):
        if start < 0:
            batch["target_mask"][row] = False
    return batch


def _collate_none(collate: Callable, starts: list[int]) -> dict:
    batch = collate(starts)
    nothing = torch.zeros_like(batch["target_mask"])
    never = torch.full_like(batch["issued"], torch.iinfo(torch.int64).min)
    return {**batch, "target_mask": nothing, "issued": never}


def loader_options(loading: Loading) -> dict:
    """What a loader of PyTorch is told."""
    return {
        "batch_size": loading.batch_size,
        "num_workers": loading.num_workers,
        "prefetch_factor": loading.prefetch_factor if loading.num_workers else None,
        "persistent_workers": loading.num_workers > 0,
        "pin_memory": loading.pin_memory,
        "generator": torch.Generator().manual_seed(loading.seed),
    }
