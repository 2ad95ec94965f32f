"""The state of an encoder as the memory of a stream."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from socialgraph.nn import NetworkState

if TYPE_CHECKING:
    from socialgraph.stream.with_torch import TorchBackend

__all__ = ["StateMemory"]


class StateMemory:
    """The state of the encoder, so that a forecast hears of all readings since the start.

    A step costs the same however long the history is; the network was trained on windows, and
    forecasts best if these were long.

    Args:
        backend: of a trained forecaster, whose network has ``start`` and ``step``.

    Raises:
        ValueError: if the network has not.
    """

    def __init__(self, backend: "TorchBackend") -> None:
        self.backend = backend
        self.forecaster = backend.forecaster
        self.network = self.forecaster.network
        if not getattr(self.network, "steps", False):
            raise ValueError(
                "Expected a network whose encoder carries a state from step to step, for "
                f"memory='state' (got a {type(self.network).__name__} that does not). Use "
                "memory='window'."
            )
        self.forget(0)

    @torch.inference_mode()
    def forget(self, num_nodes: int) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        self.network_state = self.network.start(num_nodes)
        self._spare: NetworkState | None = None  # memory for the next state
        self._forecast: dict[str, Tensor] = {}

    @torch.inference_mode()
    def take(self, rows: np.ndarray) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        old, new = self.network_state, self.network.start(1)
        known = torch.from_numpy(rows)
        place = torch.where(known >= 0, known, len(old.last))

        def join(part: Tensor, fresh: Tensor) -> Tensor:
            return torch.cat([part, fresh]).index_select(0, place.to(part.device))

        pairs = zip(old.encoder, new.encoder, strict=True)
        encoder = tuple(type(block)(*map(join, block, own)) for block, own in pairs)
        self.network_state = NetworkState(encoder, join(old.last, new.last))
        self._spare = None

    @torch.inference_mode()
    def push(self, time: np.datetime64, readings: np.ndarray) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        batch = self.backend.make_batch(np.array([time]), readings[None])
        inputs = self.forecaster.inputs(batch)
        forecast, state = self.network.step(self.network_state, self._spare, **inputs)
        self.network_state, self._spare = state, self.network_state
        self._forecast = self.forecaster.outputs(self.forecaster.decode(forecast)[0])

    def forecast(self, time: np.datetime64) -> dict[str, Tensor]:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        return self._forecast

    def fingerprint(self) -> str:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        return self.backend.fingerprint()

    def state(self) -> dict[str, Any]:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        blocks = enumerate(self.network_state.encoder)
        parts = {f"{k}.{i}": part for k, block in blocks for i, part in enumerate(block)}
        parts["last"] = self.network_state.last
        # Copies, as a step writes into the memory of an earlier state.
        return {name: np.array(part.cpu()) for name, part in parts.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """As in :class:`socialgraph.stream.memory.Memory`."""
        own = self.network_state

        def tensor(name: str, like: Tensor) -> Tensor:
            return torch.tensor(state[name]).to(like)

        encoder = tuple(
            type(block)(*(tensor(f"{k}.{i}", part) for i, part in enumerate(block)))
            for k, block in enumerate(own.encoder)
        )
        self.network_state = NetworkState(encoder, tensor("last", own.last))
        self._spare = None
