"""Layers and networks: a shared xLSTM encoder, social pooling, fusion and regression head."""

from socialgraph.nn.distributed import DistributedSocialGraphNet
from socialgraph.nn.embedding import NodeEmbedding
from socialgraph.nn.encoder import XLSTMEncoder, map_state
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.network import NetworkState, SocialGraphNet
from socialgraph.nn.pooling import SocialPooling

__all__ = [
    "DistributedSocialGraphNet",
    "GatedFusion",
    "NetworkState",
    "NodeEmbedding",
    "RegressionHead",
    "SocialGraphNet",
    "SocialPooling",
    "XLSTMEncoder",
    "map_state",
]
