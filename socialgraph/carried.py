"""The state of a network that is carried from window to window, in training and test."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from socialgraph.nn.state import NetworkState, check_carries

__all__ = ["CarriedState"]


class CarriedState:
    """Carries the state of a network from each batch of windows to the next.

    A window that goes on begins where the one in the same row of the batch before ended, and is
    read from the state there; others are read from the start. No gradient crosses from batch to
    batch: truncated backpropagation through time over the steps of a window (Williams and Peng,
    `An efficient gradient-based algorithm <https://doi.org/10.1162/neco.1990.2.4.490>`_).
    """

    def __init__(self) -> None:
        self.state: NetworkState | None = None

    def forecast(self, network: nn.Module, inputs: Mapping[str, Tensor], goes_on: Tensor) -> Tensor:
        """Raw forecasts of a batch by a network that has ``start`` and ``step``.

        Args:
            network: the network.
            inputs: what it reads, with ``features`` ``[B, T, N, F]``.
            goes_on: True for windows that begin where those before ended ``[B]``.

        Raises:
            ValueError: if the network carries no state, or the batch is not the next one.
        """
        check_carries(
            network,
            "'carry_state'",
            "Train one of the plain forms, such as configs/model/attention.yaml, or leave "
            "'data.windows.carry_state' out.",
        )
        windows, _, nodes, _ = inputs["features"].shape
        before = network.start(windows * nodes)
        if goes_on.any():
            before = self._join(before, goes_on.repeat_interleave(nodes))
        forecast, state = network.step(before, **inputs)
        self.state = state.like({name: part.detach() for name, part in state.entries().items()})
        return forecast

    def entries(self) -> dict[str, Tensor] | None:
        """The state by name, for a checkpoint; None if there is none."""
        return None if self.state is None else self.state.entries()

    def restore(self, network: nn.Module, entries: Mapping[str, Tensor] | None) -> None:
        """Go on from what :meth:`entries` gave."""
        self.state = None
        if entries is not None:
            fresh = network.start(1)
            own = {name: entries[name].to(part) for name, part in fresh.entries().items()}
            self.state = fresh.like(own)

    def _join(self, fresh: NetworkState, goes_on: Tensor) -> NetworkState:
        """The state before a batch, by row: what was, or the start."""
        rows = len(goes_on)
        if self.state is None or len(self.state.last) < rows:
            raise ValueError(
                "Expected batches in the order of their loader, as windows go on where those of "
                "the batch before ended. Begin with the first, or collate windows without a state."
            )
        old = self.state.entries()
        joined = {}
        for name, start in fresh.entries().items():
            row = goes_on.view(-1, *[1] * (start.dim() - 1))
            joined[name] = torch.where(row, old[name][:rows], start)
        return fresh.like(joined)
