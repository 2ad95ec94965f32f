"""The formats that are read: a file for each, and its line in this table."""

from typing import NamedTuple

__all__ = ["FORMATS", "Format"]


class Format(NamedTuple):
    """One format.

    Args:
        module: file of this folder. It has ``add_options(parser)``, which adds the options of this
            format alone, and ``read(args)``, which returns a :class:`data_prep.feed.Feed`.
        summary: what it is, in a line.
        example: a command that converts it.
        timezone: zone of the clock of its times (IANA name), None if the format does not say it.
        null_values: numbers that mean "missing", as ``--null-value`` takes them.
        name: name of the data set, if it is always the same.
    """

    module: str
    summary: str
    example: str
    timezone: str | None = None
    null_values: tuple[str, ...] = ()
    name: str = ""


FORMATS = {
    "csv": Format(
        "table",
        "tables, wide (time by detector) or long (a row per detector and time)",
        "convert csv out.h5 --wide speed=speed.csv --detectors detectors.csv",
    ),
    "metr-la": Format(
        "metr_la",
        "METR-LA, PEMS-BAY and files in their layout (DCRNN's HDF5, CSV; T-GCN's CSV)",
        "convert metr-la metr-la.h5 out.h5 --locations graph_sensor_locations.csv",
        "America/Los_Angeles",
        ("0",),
        "metr-la",
    ),
}
