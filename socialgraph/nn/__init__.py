"""Layers and networks: a shared xLSTM encoder, social pooling, and the network of parts."""

from socialgraph.nn.block import ContextBlock, SocialBlock
from socialgraph.nn.distributed import ByDetector, DistributedEncoder
from socialgraph.nn.embedding import NodeEmbedding
from socialgraph.nn.encoder import XLSTMEncoder, map_state
from socialgraph.nn.encoders import GRUEncoder, LinearEncoder, SumEncoder
from socialgraph.nn.ensemble import Ensemble
from socialgraph.nn.head import RegressionHead
from socialgraph.nn.inputs import (
    Attributes,
    Clock,
    KnownAhead,
    Mask,
    Profile,
    Readings,
    Setting,
)
from socialgraph.nn.network import SocialGraphNet
from socialgraph.nn.pooling import SocialPooling
from socialgraph.nn.state import NetworkState

__all__ = [
    "Attributes",
    "ByDetector",
    "Clock",
    "ContextBlock",
    "DistributedEncoder",
    "Ensemble",
    "GRUEncoder",
    "KnownAhead",
    "LinearEncoder",
    "Mask",
    "NetworkState",
    "NodeEmbedding",
    "Profile",
    "Readings",
    "RegressionHead",
    "Setting",
    "SocialBlock",
    "SocialGraphNet",
    "SocialPooling",
    "SumEncoder",
    "XLSTMEncoder",
    "map_state",
]
