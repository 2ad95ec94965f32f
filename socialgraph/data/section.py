"""The ``data`` section of a configuration: one series, or several networks."""

import inspect

import pytorch_lightning as pl
from jsonargparse import class_from_function

from socialgraph.data.datamodule import Source, TrafficDataModule
from socialgraph.data.networks import Network, NetworksDataModule
from socialgraph.standard import ScaleBy

__all__ = ["DataSection", "make_datamodule"]

_NO_SERIES = """Expected readings: --data.series FILE.h5, or a configuration that names them.
  socialgraph init                                 writes configurations to configs/
  python -m data_prep simulate data/simulated.h5   makes readings
  socialgraph fit --config configs/simulated.yaml  trains on them"""
_OF_ONE = ("features", "targets", "scaling", "held_out_detectors", "known", "attributes")
_OF_ONE += ("holidays", "limit")


def make_datamodule(
    series: Source | None = None,
    networks: list[Network | Source] | None = None,
    scale_by: ScaleBy = "detector",
    batches_per_epoch: int | None = None,
    **options,
) -> pl.LightningDataModule:
    """Windows of one traffic series, or of several networks that are trained on together.

    Args:
        series: the HDF5 file of one (:mod:`socialgraph.schema`).
        networks: files, or :class:`socialgraph.data.Network` with what is a network's own; then
            ``windows``, ``split``, ``graph`` and ``loading`` are those of all.
        scale_by: of several networks: each detector's own mean and deviation, or those of its
            network.
        batches_per_epoch: of several networks: batches of all together in an epoch.
        options: as of :class:`TrafficDataModule`.

    Raises:
        ValueError: without readings, for both, or for options of one series beside networks.
    """
    if networks is None:
        if series is None:
            raise ValueError(_NO_SERIES)
        return TrafficDataModule(series, **options)
    if series is not None:
        raise ValueError(
            f"Expected 'data.series' or 'data.networks' (got {series!r} and {len(networks)} "
            "networks). Add the series to the networks, or set 'data.networks' to null."
        )
    shared = {"scale_by": scale_by, "batches_per_epoch": batches_per_epoch}
    return NetworksDataModule(networks, **shared, **_of_several(options))


def _of_several(options: dict) -> dict:
    """Options without those of one series.

    Raises:
        ValueError: if one of these is given.
    """
    defaults = inspect.signature(TrafficDataModule.__init__).parameters
    odd = [n for n in _OF_ONE if n in options and options[n] != defaults[n].default]
    if odd:
        raise ValueError(
            f"Expected no {odd} beside 'data.networks': features and holidays are said of each "
            "network, and the rest is for one series alone."
        )
    return {name: value for name, value in options.items() if name not in _OF_ONE}


# As a class of this module, which processes that are spawned find again.
DataSection = class_from_function(make_datamodule, name="DataSection")
