"""Batches of several networks: mixed for a training, one network after the other otherwise."""

from collections.abc import Iterator, Sequence

import torch

from socialgraph.data.loading import ResumableLoader

__all__ = ["ChainedLoader", "MixedLoader"]


class MixedLoader:
    """Batches of several loaders in random order, a stated number of each in every epoch.

    A loader that is through begins anew, and each epoch goes on where the last one stopped. What an
    epoch holds depends on its number and the seed alone, so that a training that was stopped goes
    on with the batches that it still owes, and all processes take the same network at a time.

    Args:
        loaders: one of each network.
        counts: batches of each in an epoch.
        seed: of the order.
        lasting: leading loaders that are the same in every epoch; the others begin with it. None
            for all.
    """

    def __init__(
        self,
        loaders: Sequence[ResumableLoader],
        counts: Sequence[int],
        seed: int,
        lasting: int | None = None,
    ) -> None:
        self.loaders, self.counts, self.seed = list(loaders), list(counts), seed
        self.lasting = len(self.loaders) if lasting is None else lasting
        self.epoch = self.given = self.resume_at = 0
        self.sampler = self  # Lightning tells a loader's sampler the epoch

    def __len__(self) -> int:
        return sum(self.counts)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch is next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict]:
        order = self._order()
        self.given, self.resume_at = self.resume_at % max(1, len(order)), 0
        before = torch.bincount(order[: self.given], minlength=len(self.counts)).tolist()
        streams = [
            _from(loader, (self.epoch * count if place < self.lasting else 0) + already)
            for place, (loader, count, already) in enumerate(
                zip(self.loaders, self.counts, before, strict=True)
            )
        ]
        self.epoch += 1  # for those who tell no epoch
        for place in order[self.given :].tolist():
            self.given += 1
            yield next(streams[place])

    def state_dict(self) -> dict:
        """How many batches of the epoch were given; tells Lightning that the loader can resume."""
        return {"given": self.given, "counts": self.counts}

    def load_state_dict(self, state: dict) -> None:
        """Skip these batches in the next epoch that is begun, and only in that.

        Raises:
            ValueError: if they were of other networks or weights.
        """
        if state["given"] % max(1, len(self)) and state["counts"] != self.counts:
            raise ValueError(
                "The training was stopped in the middle of an epoch with "
                f"{state['counts']} batches of its networks (got {self.counts}). Go on with the "
                "same networks and weights, or from a checkpoint at the end of an epoch."
            )
        self.resume_at = state["given"]

    def _order(self) -> torch.Tensor:
        """Which network each batch of the epoch is of."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))
        return order[torch.randperm(len(order), generator=generator)]


class ChainedLoader:
    """Batches of several loaders, one after the other.

    Args:
        loaders: see there; :attr:`dataset` holds the windows of all.
    """

    def __init__(self, loaders: Sequence) -> None:
        self.loaders = list(loaders)
        self.dataset = [start for loader in self.loaders for start in loader.dataset]

    def __len__(self) -> int:
        return sum(map(len, self.loaders))

    def __iter__(self) -> Iterator[dict]:
        for loader in self.loaders:
            yield from loader


def _from(loader: ResumableLoader, batch: int) -> Iterator[dict]:
    """Batches of a loader without an end, from a number on."""
    epoch, loader.resume_at = divmod(batch, len(loader))
    while True:
        loader.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1
