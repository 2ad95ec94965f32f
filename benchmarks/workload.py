"""Batches, networks and training steps of a given size, for scripts that measure cost."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from data_prep.simulate import simulate
from socialgraph import schema
from socialgraph.backtest.rivals import fitted_scaler
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.graph import RadiusGraph
from socialgraph.losses import masked_loss
from socialgraph.nn import (
    Clock,
    ContextBlock,
    DistributedEncoder,
    Mask,
    Readings,
    SocialGraphNet,
    SocialPooling,
    XLSTMEncoder,
)

__all__ = [
    "FORMS",
    "Size",
    "make_batch",
    "make_forward",
    "make_network",
    "make_optimizer",
    "make_training_step",
]

FORMS = ("shared", "vectorised", "looped")


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes of a workload.

    Args:
        nodes: detectors.
        batch_size: windows per batch.
        window: input steps.
        horizon: predicted steps.
        hidden_channels: width of the encoder.
        num_blocks: blocks of the encoder, every second an sLSTM.
        aggr: aggregation of the pooling; ``"none"`` for no pooling.
        max_radius: longest edge, in metres.
        gradient_checkpointing: compute activations again in the backward pass.
        precision: ``"float32"`` or, by autocast, ``"bfloat16"``.
    """

    nodes: int
    batch_size: int = 8
    window: int = 12
    horizon: int = 12
    hidden_channels: int = 32
    num_blocks: int = 2
    aggr: Literal["none", "mean", "attention", "max", "inverse_distance"] = "attention"
    max_radius: float = 2000.0
    gradient_checkpointing: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


def make_batch(size: Size, paths: list[Path], device: str = "cpu") -> tuple[dict, str]:
    """First training batch of the first ``size.nodes`` detectors.

    Args:
        size: sizes of the batch; one feature is read.
        paths: HDF5 files; the first with enough detectors is used, else one day is simulated.
        device: where the tensors are put.

    Returns:
        The batch as the data module makes it, with scaled features, and the name of its source.
    """
    enough = [path for path in paths if len(schema.read_vdids(path)) >= size.nodes]
    series = schema.read(enough[0], ["speed"]) if enough else simulate(size.nodes, days=1)
    series = series.select(["speed"], series.vdids[: size.nodes])
    datamodule = TrafficDataModule(
        dataclasses.replace(series, values=series.values[:288], timestamps=series.timestamps[:288]),
        windows=Windows(size.window, size.horizon),
        graph=RadiusGraph(size.max_radius),
    )
    datamodule.setup()
    batch = datamodule.collator(list(range(size.batch_size)))
    batch["features"] = fitted_scaler(datamodule).transform(batch["features"], batch["mask"])
    moved = {name: tensor.to(device) for name, tensor in batch.items()}
    return moved, enough[0].stem if enough else "simulated"


def make_network(form: str, size: Size) -> nn.Module:
    """Network of one of the :data:`FORMS`, with as many encoders as it takes."""
    encoder = partial(
        XLSTMEncoder,
        hidden_channels=size.hidden_channels,
        num_blocks=size.num_blocks,
        slstm_at=range(1, size.num_blocks, 2),
        gradient_checkpointing=size.gradient_checkpointing,
    )
    if form != "shared":
        encoder = partial(DistributedEncoder, encoder=encoder, vectorised=form == "vectorised")
    block = None
    if size.aggr != "none":
        heads = 4 if size.aggr == "attention" else 1
        pooling = partial(SocialPooling, aggr=size.aggr, radius=size.max_radius / 2, heads=heads)
        block = [partial(ContextBlock, pooling=pooling)]
    network = SocialGraphNet(
        inputs=[Readings(), Mask(), Clock(harmonics=1, day_of_week=True, where="window")],
        encoder=encoder,
        block=block,
        head_channels=2 * size.hidden_channels,
    )
    vdids = [f"VD-{i}" for i in range(size.nodes)]
    network.build(1, 1, size.window, size.horizon, vdids, size.max_radius)
    return network


def make_optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """AdamW over all weights."""
    return torch.optim.AdamW(network.parameters())


def make_training_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, batch: dict, precision: str
) -> Callable[[], None]:
    """Function that does one step of training: forward, loss, backward, optimiser."""
    forward = make_forward(network, batch, precision)

    def step() -> None:
        total, count = masked_loss(forward(), batch["targets"], batch["target_mask"], "mae")
        optimizer.zero_grad(set_to_none=True)
        (total / count).backward()
        optimizer.step()

    return step


def make_forward(network: nn.Module, batch: dict, precision: str) -> Callable[[], Tensor]:
    """Function that computes the scaled forecasts of a batch ``[B, P, N, F]``, in float32."""
    inputs = {name: batch[name] for name in network.entries if name in batch}
    device = batch["features"].device.type

    def forward() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            return network(**inputs).float()

    return forward
