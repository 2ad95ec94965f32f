"""What a stream remembers: the last window of readings, or the state of an encoder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from socialgraph.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["KINDS", "Kept", "Kind", "Memory", "WindowMemory"]

Kind = Literal["window", "state"]
KINDS: tuple[Kind, ...] = ("window", "state")


class Kept(Protocol):
    """What is kept with the state of a stream."""

    def state(self) -> dict[str, Any]:
        """Arrays and plain values by name; a part that did not change is the same object."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave."""


class Memory(Kept, Protocol):
    """Takes readings in, and forecasts from what it remembers of them."""

    def forget(self, num_nodes: int) -> None:
        """Begin without a memory of so many detectors."""

    def catch_up(self) -> None:
        """Do what a restored state has left to do, before other detectors are followed."""

    def take(self, rows: np.ndarray) -> None:
        """Be the memory of other detectors: by place, and -1 for one that was not followed."""

    def push(self, time: np.datetime64, readings: np.ndarray) -> None:
        """Read what N detectors report ``[N, F]``, NaN where missing, in real units."""

    def forecast(self, time: np.datetime64) -> "Mapping[str, np.ndarray | Tensor]":
        """Forecasts in real units after the reading at a time, the last one: as of a backend."""

    def fingerprint(self) -> str:
        """What a state must belong to, beside features and interval."""


class Backend(Protocol):
    """Forecasts from windows."""

    spec: DataSpec

    def forecast(
        self, times: np.ndarray, readings: np.ndarray
    ) -> "Mapping[str, np.ndarray | Tensor]":
        """Forecasts of a window from its times ``[T]`` and readings ``[T, N, F]``.

        ``forecast`` ``[P, N, F]``, and if the forecaster has levels, ``quantiles``
        ``[P, N, F, L]``.
        """


class WindowMemory:
    """The last window of readings, which is read again for each forecast.

    So a stream gives the forecasts of the windows that the network was trained and tested on. It
    holds readings alone, and serves the next network of the same form as well.

    Args:
        backend: forecasts from windows.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.forget(0)

    @property
    def readings(self) -> np.ndarray:
        """The window ``[T, N, F]``."""
        return np.stack(self._steps[self._next :] + self._steps[: self._next])

    def forget(self, num_nodes: int) -> None:
        """As in :class:`Memory`."""
        spec = self.backend.spec
        self._window = spec.window
        empty = np.full((num_nodes, len(spec.features)), np.nan, dtype=np.float32)
        self._steps = [empty] * self._window  # a ring, so that each reading is one part of a state
        self._next = 0  # place of the oldest, which is replaced next

    def catch_up(self) -> None:
        """As in :class:`Memory`; there is nothing to do."""

    def take(self, rows: np.ndarray) -> None:
        """As in :class:`Memory`."""
        none = np.full((1, len(self.backend.spec.features)), np.nan, dtype=np.float32)
        self._steps = [np.concatenate([step, none])[rows] for step in self._steps]  # -1: the last

    def push(self, time: np.datetime64, readings: np.ndarray) -> None:
        """As in :class:`Memory`."""
        self._steps[self._next] = readings
        self._next = (self._next + 1) % self._window

    def forecast(self, time: np.datetime64) -> "Mapping[str, np.ndarray | Tensor]":
        """As in :class:`Memory`."""
        spec = self.backend.spec
        return self.backend.forecast(
            time + spec.step * np.arange(1 - spec.window, 1), self.readings
        )

    def fingerprint(self) -> str:
        """As in :class:`Memory`: readings belong to every network of the same form."""
        return ""

    def state(self) -> dict[str, Any]:
        """As in :class:`Memory`."""
        return {"next": self._next, **{str(k): step for k, step in enumerate(self._steps)}}

    def restore(self, state: dict[str, Any]) -> None:
        """As in :class:`Memory`."""
        self._next = state["next"]
        self._steps = [state[str(k)] for k in range(self._window)]
