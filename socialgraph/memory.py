"""What a stream remembers: the last window of readings, or the state of an encoder."""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from socialgraph.forecaster import Forecaster
from socialgraph.nn import NetworkState

__all__ = ["KINDS", "Kind", "Memory", "StateMemory", "WindowMemory"]

Kind = Literal["window", "state"]
MakeBatch = Callable[[np.ndarray, Tensor], dict[str, Tensor]]


class Memory(Protocol):
    """Takes readings in, and predicts from what it remembers of them."""

    def forget(self, num_nodes: int) -> None:
        """Begin without a memory of so many detectors."""

    def take(self, rows: Tensor) -> None:
        """Be the memory of other detectors: by place, and -1 for one that was not followed."""

    def push(self, time: np.datetime64, readings: Tensor) -> None:
        """Read what N detectors report ``[N, F]``, NaN where missing, in real units."""

    def forecast(self, time: np.datetime64) -> Tensor:
        """Predictions ``[P, N, F, W]`` in real units after the reading at a time, the last one."""

    def state(self) -> dict:
        """Plain values and tensors to save."""

    def restore(self, state: dict) -> None:
        """Take what :meth:`state` gave."""


class WindowMemory:
    """The last window of readings, which is read again for each forecast.

    So a stream gives the forecasts of the windows that the network was trained and tested on.

    Args:
        forecaster: a trained forecaster.
        make_batch: gives a batch of one window from its times (UTC) ``[T]`` and readings
            ``[T, N, F]``.
    """

    def __init__(self, forecaster: Forecaster, make_batch: MakeBatch) -> None:
        self.forecaster = forecaster
        self.make_batch = make_batch
        self.forget(0)

    def forget(self, num_nodes: int) -> None:
        """As in :class:`Memory`."""
        spec = self.forecaster.spec
        self.readings = torch.full((spec.window, num_nodes, len(spec.features)), torch.nan)

    def take(self, rows: Tensor) -> None:
        """As in :class:`Memory`."""
        steps, nodes, features = self.readings.shape
        none = self.readings.new_full((steps, 1, features), torch.nan)
        place = torch.where(rows >= 0, rows, nodes)
        self.readings = torch.cat([self.readings, none], dim=1)[:, place]

    def push(self, time: np.datetime64, readings: Tensor) -> None:
        """As in :class:`Memory`."""
        self.readings = torch.cat([self.readings[1:], readings[None]])

    def forecast(self, time: np.datetime64) -> Tensor:
        """As in :class:`Memory`."""
        spec = self.forecaster.spec
        times = time + spec.step * np.arange(1 - spec.window, 1)
        return self.forecaster.predict(self.make_batch(times, self.readings))[0]

    def state(self) -> dict:
        """As in :class:`Memory`."""
        return {"window": self.readings}

    def restore(self, state: dict) -> None:
        """As in :class:`Memory`."""
        self.readings = state["window"].cpu()


class StateMemory:
    """The state of the encoder, so that a forecast hears of all readings since the start.

    A step costs the same however long the history is; the network was trained on windows, and
    forecasts best if these were long.

    Args:
        forecaster: a trained forecaster, whose network has ``start`` and ``step``.
        make_batch: as in :class:`WindowMemory`.
    """

    def __init__(self, forecaster: Forecaster, make_batch: MakeBatch) -> None:
        self.forecaster = forecaster
        self.network = forecaster.network
        self.make_batch = make_batch
        self.forget(0)

    def forget(self, num_nodes: int) -> None:
        """As in :class:`Memory`."""
        self.network_state = self.network.start(num_nodes)
        self._spare: NetworkState | None = None  # memory for the next state
        self._forecast: Tensor | None = None

    def take(self, rows: Tensor) -> None:
        """As in :class:`Memory`."""
        old, new = self.network_state, self.network.start(1)
        place = torch.where(rows >= 0, rows, len(old.last))

        def join(part: Tensor, fresh: Tensor) -> Tensor:
            return torch.cat([part, fresh]).index_select(0, place.to(part.device))

        pairs = zip(old.encoder, new.encoder, strict=True)
        encoder = tuple(type(block)(*map(join, block, own)) for block, own in pairs)
        self.network_state = NetworkState(encoder, join(old.last, new.last))
        self._spare = None

    def push(self, time: np.datetime64, readings: Tensor) -> None:
        """As in :class:`Memory`."""
        batch = self.make_batch(np.array([time]), readings[None])
        inputs = self.forecaster.inputs(batch)
        forecast, state = self.network.step(self.network_state, self._spare, **inputs)
        self.network_state, self._spare = state, self.network_state
        self._forecast = self.forecaster.decode(forecast)[0]

    def forecast(self, time: np.datetime64) -> Tensor:
        """As in :class:`Memory`."""
        return self._forecast

    def state(self) -> dict:
        """As in :class:`Memory`."""
        encoder = [tuple(block) for block in self.network_state.encoder]
        return {"encoder": encoder, "last": self.network_state.last}

    def restore(self, state: dict) -> None:
        """As in :class:`Memory`."""
        kinds = map(type, self.network_state.encoder)
        blocks = zip(kinds, state["encoder"], strict=True)
        self.network_state = NetworkState(
            tuple(kind(*block) for kind, block in blocks), state["last"]
        )
        self._spare = None


KINDS: dict[Kind, type[Memory]] = {"window": WindowMemory, "state": StateMemory}
