"""Layers and networks: a shared xLSTM encoder, social pooling, fusion and regression head."""

from socialgraph.nn.block import SocialBlock
from socialgraph.nn.distributed import DistributedSocialGraphNet
from socialgraph.nn.embedding import NodeEmbedding
from socialgraph.nn.encoder import XLSTMEncoder, map_state
from socialgraph.nn.head import GatedFusion, RegressionHead
from socialgraph.nn.network import NetworkState, SocialGraphNet
from socialgraph.nn.parts import Clock, Mask, Profile, Readings
from socialgraph.nn.pooling import SocialPooling
from socialgraph.nn.stacked import StackedSocialNet

__all__ = [
    "Clock",
    "DistributedSocialGraphNet",
    "GatedFusion",
    "Mask",
    "NetworkState",
    "NodeEmbedding",
    "Profile",
    "Readings",
    "RegressionHead",
    "SocialBlock",
    "SocialGraphNet",
    "SocialPooling",
    "StackedSocialNet",
    "XLSTMEncoder",
    "map_state",
]
