"""What users write, for the type checker alone: the signatures must say what the docs say."""

from functools import partial

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

import socialgraph
from socialgraph import schema
from socialgraph.data import DaySplit, Loading, TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import CombinedGraph, RadiusGraph, RoadGraph
from socialgraph.nn import SocialBlock, SocialGraphNet, SocialPooling, XLSTMEncoder
from socialgraph.series import TrafficSeries
from socialgraph.stream import StreamingForecaster


def train(frame: pd.DataFrame, detectors: pd.DataFrame) -> pd.DataFrame:
    """From frames to a table of forecasts."""
    series: TrafficSeries = TrafficSeries.from_frame(frame, detectors, feature="speed")
    schema.write("a.h5", series)
    graph = CombinedGraph([RadiusGraph(max_radius=2000.0), RoadGraph("roads.csv")])
    data = TrafficDataModule(
        series, windows=Windows(12, 12), split=DaySplit(1, 1), graph=graph, loading=Loading(16)
    )
    pooling = partial(SocialPooling, aggr="attention", radius=700.0, heads=4, pos_dim=2)
    model = Forecaster(SocialGraphNet(block=partial(SocialBlock, pooling=pooling)))
    pl.Trainer(max_epochs=1).fit(model, data)
    return model.forecast(series)


def stream(path: str, readings: np.ndarray) -> Tensor:
    """Readings as they come."""
    forecaster: Forecaster = socialgraph.load(path)
    following = StreamingForecaster(forecaster)
    following.set_detectors(["a", "b"], [25.0, 25.1], [121.0, 121.0])
    return following.update(np.datetime64("2024-01-01T00:00:00"), readings)


def layers(x: Tensor, edge_index: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Layers in a model of one's own."""
    encoder = XLSTMEncoder(in_channels=2, hidden_channels=8)
    pooling = SocialPooling(8, 16, aggr="mean", radius=500.0)
    embedding: Tensor = encoder(torch.zeros(3, 12, 2))
    pooled: Tensor = pooling(x, edge_index, distance=distance)
    return embedding, pooled
