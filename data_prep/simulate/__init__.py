"""Made-up networks of roads whose traffic is simulated, one by one or drawn at random."""

from data_prep.simulate.freeways import simulate
from data_prep.simulate.random import random_networks
from data_prep.simulate.ranges import Ranges

__all__ = ["Ranges", "random_networks", "simulate"]
