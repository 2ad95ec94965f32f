"""Detectors for the tests of graphs: made ones, and those of the shared tables."""

import csv
from dataclasses import dataclass, replace

import numpy as np
from pyproj import Geod

from tests.conftest import SHARED

GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True)
class Detectors:
    vdids: list[str]
    lat: np.ndarray
    lon: np.ndarray
    edges: object = None

    def take(self, order):
        vdids = [self.vdids[i] for i in order]
        return replace(self, vdids=vdids, lat=self.lat[order], lon=self.lon[order])


def at(lat, lon, vdids=None):
    lat, lon = np.array(lat, dtype=float), np.array(lon, dtype=float)
    return Detectors(vdids or [f"VD-{i}" for i in range(len(lat))], lat, lon)


def around(lat, lon, num_nodes, reach, seed=0):
    """Detectors at random within ``reach`` metres of a place."""
    rng = np.random.default_rng(seed)
    azimuth, metres = rng.uniform(0, 360, num_nodes), reach * rng.uniform(0, 1, num_nodes) ** 0.5
    centre = np.full(num_nodes, lat), np.full(num_nodes, lon)
    east, north, _ = GEOD.fwd(centre[1], centre[0], azimuth, metres)
    return at(north, east)


def shared(name, lat="lat", lon="lon", vdid="sensor_id"):
    """A shared table, without rows that have no position."""
    with open(SHARED / name) as file:
        rows = [row for row in csv.DictReader(file) if row[lat]]
    return at(*([float(row[key]) for row in rows] for key in (lat, lon)), [r[vdid] for r in rows])


def edges_of(graph):
    """Every edge as (sender, receiver, rounded metres)."""
    return [
        (j, i, round(metres, 3))
        for j, i, metres in zip(*graph.edge_index.tolist(), graph.distance.tolist(), strict=True)
    ]


def assert_same_graph(one, other):
    np.testing.assert_array_equal(one.edge_index, other.edge_index)
    np.testing.assert_allclose(one.distance, other.distance, atol=2e-6)
    np.testing.assert_allclose(one.offset, other.offset, atol=1e-5)
