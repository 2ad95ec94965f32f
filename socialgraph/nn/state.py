"""What a network remembers of what it has read."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from socialgraph.nn.encoder import EncoderState

__all__ = ["NetworkState", "check_carries"]


class NetworkState(NamedTuple):
    r"""What a network remembers of a stream of readings, or of several at once.

    Args:
        encoder: state of the encoder, one row per stream and detector :math:`R = B \cdot N`.
        last: last observed scaled readings :math:`(R, F)`, NaN before the first.
    """

    encoder: EncoderState
    last: Tensor

    def entries(self) -> dict[str, Tensor]:
        """Its tensors by name, each with the rows as first axis."""
        parts = {f"{k}.{i}": p for k, block in enumerate(self.encoder) for i, p in enumerate(block)}
        return {**parts, "last": self.last}

    def like(self, entries: Mapping[str, Tensor]) -> "NetworkState":
        """A state of the same form from other tensors, by the names of :meth:`entries`."""
        encoder = tuple(
            type(block)(*(entries[f"{k}.{i}"] for i in range(len(block))))
            for k, block in enumerate(self.encoder)
        )
        return NetworkState(encoder, entries["last"])


def check_carries(network: nn.Module, wanted: str, instead: str) -> None:
    """Refuse a network that carries no state from step to step.

    Args:
        network: the network.
        wanted: the option that needs it.
        instead: what to do.

    Raises:
        ValueError: if it does not.
    """
    if not getattr(network, "steps", False):
        encoder = getattr(network, "encoder", None)
        of = "" if encoder is None else f" with {type(encoder).__name__}"
        raise ValueError(
            f"Expected a network whose encoder carries a state from step to step, for {wanted} "
            f"(got {type(network).__name__}{of}, which does not). {instead}"
        )
