"""Training of a pre-trained network on a series."""

import copy
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import nn

from socialgraph.data import Loading, Network, NetworksDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.hush import quietly
from socialgraph.pretrained.archive import Parts
from socialgraph.series import TrafficSeries

__all__ = ["tune"]


def tune(
    parts: Parts,
    series: TrafficSeries,
    epochs: int,
    learning_rate: float,
    seed: int,
    trainable: Literal["all", "head"] = "all",
    share: float = 1.0,
) -> nn.Module:
    r"""A copy of a network, trained on from its weights; see ``PretrainedForecaster.tune``.

    Args:
        share: how much of the change is kept,
            :math:`\theta + \text{share} \, (\theta_\text{tuned} - \theta)`, which guards against a
            history that is unlike what will come (Wortsman et al., `Robust fine-tuning of zero-shot
            models <https://arxiv.org/abs/2109.01903>`_).
    """
    data = NetworksDataModule(
        [Network(series)],
        windows=Windows(parts.window, parts.horizon),
        split=(1.0, 0.0, 0.0),
        graph=parts.graph,
        loading=Loading(seed=seed),
        scale_by=parts.scale_by,
    )
    network = copy.deepcopy(parts.network)
    forecaster = Forecaster(network, learning_rate=learning_rate, trainable=trainable)
    with quietly(), torch.random.fork_rng():
        torch.manual_seed(seed)
        _trainer(epochs).fit(forecaster.train(), data)
    network.cpu()
    with torch.no_grad():
        for weight, before in zip(network.parameters(), parts.network.parameters(), strict=True):
            weight.copy_(torch.lerp(before, weight, share))
    return network


def _trainer(epochs: int) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
