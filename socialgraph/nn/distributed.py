"""The distributed design: an encoder per detector, and batches by the ids of detectors."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.checkpoint import checkpoint

from socialgraph.nn.network import SocialGraphNet
from socialgraph.nn.positions import edges_within, stack_positions
from socialgraph.nn.sizes import make_part
from socialgraph.recipe import make_like, recorded

__all__ = ["ByDetector", "DistributedEncoder"]


class DistributedEncoder(nn.Module):
    r"""An encoder of its own for every detector: the distributed baseline.

    The history of detector :math:`i` is read by an encoder with weights :math:`\theta_i` instead of
    shared ones; with :math:`\theta_i = \theta` a :class:`socialgraph.nn.SocialGraphNet` gives the
    same numbers with either.

    Args:
        in_channels: features per step.
        encoder: makes one encoder from ``in_channels``; or an encoder like which new ones are made,
            of whose weights none is used.
        num_nodes: detectors, each of which gets an encoder.
        vectorised: hold the weights of all detectors in stacked tensors and evaluate them in one
            pass, never compiled; otherwise detector by detector, compiled if the encoders say so
            (once for all).
        window: steps of a window, for encoders that take it.

    Shapes:
        - **x:** :math:`(B \cdot N, T, C_{in})`, the detectors of a window next to each other
        - **node:** which encoders read the detectors :math:`(N)`; None for all in order
        - **output:** :math:`(B \cdot N, E)`

    Raises:
        ValueError: without ``num_nodes``, for a detector that has no encoder, or if a GRU or LSTM
            of PyTorch is to be vectorised.
    """

    knows_nodes = True

    @recorded
    def __init__(
        self,
        in_channels: int,
        encoder: Callable[[int], nn.Module] | nn.Module,
        num_nodes: int | None = None,
        vectorised: bool = True,
        window: int | None = None,
    ) -> None:
        super().__init__()
        if num_nodes is None or num_nodes < 1:
            raise ValueError(
                f"Expected 'num_nodes' of 1 or more for an encoder per detector (got {num_nodes})."
            )
        own = isinstance(encoder, nn.Module)
        made = [
            make_like(encoder) if own else make_part(encoder, in_channels, window=window)
            for _ in range(num_nodes)
        ]
        if vectorised and any(isinstance(part, nn.RNNBase) for part in made[0].modules()):
            raise ValueError(
                f"PyTorch cannot evaluate a {type(made[0]).__name__} for all detectors in one "
                "pass. Give vectorised=False."
            )
        self.in_channels = getattr(made[0], "in_channels", in_channels)
        self.out_channels = made[0].out_channels
        self.num_nodes = num_nodes
        self.vectorised = vectorised
        self.encoders = StackedEncoders(made) if vectorised else LoopedEncoders(made)

    def forward(self, x: Tensor, node: Tensor | None = None) -> Tensor:
        if node is not None and (node < 0).any():
            raise ValueError(
                "Expected detectors that were in training, as each has an encoder of its own (got "
                f"{int((node < 0).sum())} others)."
            )
        count = self.num_nodes if node is None else node.size(0)
        own = x.unflatten(0, (-1, count)).transpose(0, 1)  # [N, B, T, C]
        return self.encoders(own, node).transpose(0, 1).flatten(0, 1)

    @property
    def encoder(self) -> nn.Module:
        """An encoder that is made as the detectors' are."""
        return self.encoders.encoder if self.vectorised else self.encoders[0]

    def copy_shared(self, encoder: nn.Module) -> None:
        """Give every detector the weights of one encoder, where a fine-tuning can start.

        Raises:
            ValueError: if it has other sizes.
        """
        lead = int(self.vectorised)  # the axis of detectors
        own = {name: tuple(w.shape[lead:]) for name, w in self.encoder.named_parameters()}
        given = {name: tuple(w.shape) for name, w in encoder.named_parameters()}
        odd = [name for name in {**own, **given} if own.get(name) != given.get(name)]
        if odd:
            raise ValueError(
                f"Expected an encoder with the sizes of this network's (got '{odd[0]}' of "
                f"{given.get(odd[0])} for {own.get(odd[0])})."
            )
        self.encoders.copy_shared(encoder)

    def node_weights(self, num_nodes: int) -> dict[str, list[str]]:
        """As :meth:`socialgraph.nn.SocialGraphNet.node_weights`, names within the encoder."""
        if self.vectorised:
            return {name: [] for name, _ in self.encoders.named_parameters(prefix="encoders")}
        names = [name for name, _ in self.encoders[0].named_parameters()]
        return {
            f"encoders.{name}": [f"encoders.{node}.{name}" for node in range(num_nodes)]
            for name in names
        }

    def no_weight_decay(self) -> set[str]:
        """Names of the weights that are vectors in each encoder, though stacked to matrices."""
        if not self.vectorised:
            return set()
        named = self.encoders.named_parameters(prefix="encoders")
        return {name for name, weight in named if weight.ndim == 2}


class ByDetector(nn.Module):
    """Serves batches that hold what belongs to a detector under its id, as the distributed design.

    Args:
        network: the network.
        vdids: ids of the detectors that it was trained on, in their order; with weights of its own
            for each of them, it serves these alone.

    Shapes:
        - **features, mask**, and any other entry by detector: :math:`(B, T, F)` each, in a
          dictionary by id
        - **positions:** metres :math:`(B, T, 2)` each, the same at every step
        - **edge_index:** :math:`(2, E)`, detectors numbered as ``features`` lists them;
          **distance:** metres :math:`(E)`; if both are left out, all pairs within the pooling's
          ``max_radius`` are joined; other entries as in :class:`socialgraph.nn.SocialGraphNet`
        - **output:** scaled forecasts :math:`(B, P, F)` each, in a dictionary by id

    Raises:
        ValueError: with an id twice, or if a detector lacks readings or, if needed, weights.
        RuntimeError: with pooling, if positions are missing, NaN, infinite, of another shape, or
            change (strict mode).
    """

    def __init__(self, network: SocialGraphNet, vdids: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.vdids = list(vdids)
        if len(set(self.vdids)) < len(self.vdids):
            twice = sorted({vdid for vdid in self.vdids if self.vdids.count(vdid) > 1})
            raise ValueError(f"Expected each id once in 'vdids' (got twice: {twice[:5]}).")
        if network.knows_nodes and network.num_nodes != len(self.vdids):
            raise ValueError(
                f"Expected the ids of the {network.num_nodes} detectors that the network knows "
                f"(got {len(self.vdids)})."
            )

    def forward(
        self,
        features: dict[str, Tensor],
        positions: dict[str, Tensor] | None = None,
        **batch: Tensor | dict[str, Tensor],
    ) -> dict[str, Tensor]:
        vdids = list(features)
        whole = {
            name: _stack(entry, name, vdids) if isinstance(entry, dict) else entry
            for name, entry in {"features": features, **batch}.items()
        }
        whole["node"] = self._rows(vdids, whole["features"].device)
        if self.network.poolings:
            pos = whole["positions_xy"] = stack_positions(positions, vdids)
            if whole.get("edge_index") is None:
                reach = max(pooling.max_radius for pooling in self.network.poolings)
                whole["edge_index"], whole["distance"] = edges_within(pos, reach)
        return dict(zip(vdids, self.network(**whole).unbind(2), strict=True))

    def _rows(self, vdids: list[str], device: torch.device) -> Tensor | None:
        """Rows of the detectors, None for all in order."""
        if vdids == self.vdids:
            return None
        row = {vdid: i for i, vdid in enumerate(self.vdids)}
        strangers = [vdid for vdid in vdids if vdid not in row]
        if strangers and not self.network.serves_strangers:
            raise ValueError(
                f"{len(strangers)} of {len(vdids)} detectors have no encoder, among them "
                f"{strangers[:5]}. Train on them, or train a network with a shared encoder, which "
                "serves detectors never seen."
            )
        return torch.tensor([row.get(vdid, -1) for vdid in vdids], device=device)


class LoopedEncoders(nn.ModuleList):
    """One encoder per detector, evaluated one after the other.

    Shapes:
        - **x:** :math:`(N, B, T, C_{in})`
        - **rows:** which encoders read them :math:`(N)`; None for all in order
        - **output:** :math:`(N, B, C)`
    """

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        encoders = self if rows is None else [self[row] for row in rows.tolist()]
        return torch.stack([encoder(own) for encoder, own in zip(encoders, x, strict=True)])

    def copy_shared(self, encoder: nn.Module) -> None:
        """Give every detector the weights of one encoder."""
        for own in self:
            own.load_state_dict(encoder.state_dict())


class StackedEncoders(nn.Module):
    """One encoder per detector, evaluated together on weights with a leading axis of detectors.

    The encoder runs once under :func:`torch.func.vmap`, which turns its matrix products into
    batched ones. With ``gradient_checkpointing`` it runs in :attr:`chunks` groups of detectors,
    whose activations are computed again in the backward pass.

    Args:
        encoders: the encoders whose weights are stacked.

    Shapes:
        - **x:** :math:`(N, B, T, C_{in})`
        - **rows:** which encoders read them :math:`(N)`; None for all in order
        - **output:** :math:`(N, B, C)`
    """

    chunks = 8

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoders[0])
        parts = [p for p in self.encoder.modules() if hasattr(p, "gradient_checkpointing")]
        self.gradient_checkpointing = any(part.gradient_checkpointing for part in parts)
        for part in parts:
            # Inside vmap a checkpoint would keep tensors that are gone after it.
            part.gradient_checkpointing = False
            part.compile_blocks = False  # compiled code has no rule for vmap
        stacked, _ = stack_module_state(list(encoders))
        for name, weight in stacked.items():
            module, _, last = name.rpartition(".")
            setattr(self.encoder.get_submodule(module), last, nn.Parameter(weight.detach()))

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        weights = dict(self.encoder.named_parameters())
        if rows is not None:
            weights = {name: weight[rows] for name, weight in weights.items()}
        if not (self.gradient_checkpointing and self.training):
            return self._encode(weights, x)
        parts = {name: weight.chunk(self.chunks) for name, weight in weights.items()}
        states = []
        for i, own in enumerate(x.chunk(self.chunks)):
            part = {name: weights[i] for name, weights in parts.items()}
            states.append(checkpoint(self._encode, part, own, use_reentrant=False))
        return torch.cat(states)

    def copy_shared(self, encoder: nn.Module) -> None:
        """Give every detector the weights of one encoder."""
        with torch.no_grad():
            for stacked, own in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
                stacked.copy_(own)

    def _encode(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return vmap(
            lambda weights, x: functional_call(self.encoder, weights, (x,)), randomness="different"
        )(weights, x)


def _stack(entry: dict[str, Tensor], name: str, vdids: list[str]) -> Tensor:
    """An entry of all detectors ``[B, T, N, F]``."""
    absent = [vdid for vdid in vdids if vdid not in entry]
    if absent:
        raise ValueError(f"Expected '{name}' for each VD, by its id (none for {absent[:5]}).")
    return torch.stack([entry[vdid] for vdid in vdids], dim=2)
