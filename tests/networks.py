"""Small networks of the plain form: every step read, one pooling, a perceptron as head."""

from functools import partial

from socialgraph.nn import Clock, ContextBlock, Mask, Readings, SocialGraphNet

__all__ = ["plain_network"]


def plain_network(encoder, pooling=None, **options):
    """A network that reads readings, mask and clock at every step, with or without pooling."""
    block = None if pooling is None else [partial(ContextBlock, pooling=pooling)]
    parts = [Readings(), Mask(), Clock(1, day_of_week=True, where="window")]
    options = {"inputs": parts, "block": block, "head_channels": 16, **options}
    return SocialGraphNet(encoder=encoder, **options)
