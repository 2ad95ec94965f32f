"""The state of an encoder as the memory of a stream."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from socialgraph.nn import NetworkState
from socialgraph.nn.state import check_carries

if TYPE_CHECKING:
    from socialgraph.stream.with_torch import TorchBackend

__all__ = ["StateMemory"]

_READ_AGAIN = 12  # readings that are kept after a copy of the state, at most


class StateMemory:
    """The state of the encoder, so that a forecast hears of all readings since the start.

    A step costs the same however long the history is. It is for networks that were trained so
    (``carry_state`` of :class:`socialgraph.data.Windows`), or on long windows.

    What it keeps is a copy of the state and the readings since, which are read again, so that a
    large state is written once in 13 readings. Read again they give the state that was there only
    if the network is told the same of them as before.

    Args:
        backend: of a trained forecaster, whose network carries a state.
        read_again: False for a copy of each state.

    Raises:
        ValueError: if it does not.
    """

    def __init__(self, backend: "TorchBackend", read_again: bool = True) -> None:
        self.backend = backend
        self._most_since = _READ_AGAIN if read_again else 0
        self.forecaster = backend.forecaster
        self.network = self.forecaster.network
        check_carries(self.network, "memory='state'", "Use memory='window'.")
        self.forget(0)

    @torch.inference_mode()
    def forget(self, num_nodes: int) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        self.network_state = self.network.start(num_nodes)
        self._forecast: dict[str, Tensor] = {}
        self._begin()

    @torch.inference_mode()
    def catch_up(self) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        while self._behind:
            self._step(*self._since[-self._behind])
            self._behind -= 1

    @torch.inference_mode()
    def take(self, rows: np.ndarray) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        old, fresh = self.network_state, self.network.start(1).entries()
        known = torch.from_numpy(rows)
        place = torch.where(known >= 0, known, len(old.last)).to(old.last.device)
        self.network_state = old.like(
            {
                name: torch.cat([part, fresh[name]]).index_select(0, place)
                for name, part in old.entries().items()
            }
        )
        self._begin()

    @torch.inference_mode()
    def push(self, time: np.datetime64, readings: np.ndarray) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        self.catch_up()
        self._step(time, readings)
        if len(self._since) >= self._most_since:
            self._copy, self._since = None, []
        elif self._copy is not None:
            self._since.append((time, readings))

    def forecast(self, time: np.datetime64) -> dict[str, Tensor]:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        return self._forecast

    def fingerprint(self) -> str:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        return self.backend.fingerprint()

    def state(self) -> dict[str, Any]:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        if self._copy is None:  # as a step writes into the memory of an earlier state
            parts = self.network_state.entries().items()
            self._copy = {name: np.array(part.cpu()) for name, part in parts}
        since = {f"since.{k}": readings for k, (_, readings) in enumerate(self._since)}
        return {**self._copy, **since, "times": [str(time) for time, _ in self._since]}

    def restore(self, state: dict[str, Any]) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`; the network runs at the next reading."""
        own = self.network_state.entries()
        copy = {name: torch.tensor(state[name]).to(part) for name, part in own.items()}
        self.network_state = self.network_state.like(copy)
        self._begin()
        self._copy = {name: state[name] for name in own}
        times = state.get("times", [])  # an earlier version has none
        self._since = [(np.datetime64(t), state[f"since.{k}"]) for k, t in enumerate(times)]
        self._behind = len(times)

    def _begin(self) -> None:
        """Hold no memory of before the state at hand."""
        self._spare: NetworkState | None = None  # memory for the next state
        self._copy: dict[str, np.ndarray] | None = None  # of an earlier state
        self._since: list[tuple[np.datetime64, np.ndarray]] = []  # readings after it
        self._behind = 0  # how many of them, the last ones, the state at hand has not read

    def _step(self, time: np.datetime64, readings: np.ndarray) -> None:
        batch = self.backend.make_batch(np.array([time]), readings[None])
        inputs = self.forecaster.inputs(batch)
        forecast, state = self.network.step(self.network_state, self._spare, **inputs)
        self.network_state, self._spare = state, self.network_state
        self._forecast = self.forecaster.outputs(self.forecaster.decode(forecast)[0])
