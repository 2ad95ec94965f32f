"""The formats that are read: a file for each, and its line in this table."""

from typing import NamedTuple

__all__ = ["FORMATS", "Format"]


class Format(NamedTuple):
    """One format.

    Args:
        module: file of this folder. It has ``add_options(parser)``, which adds the options of this
            format alone, and ``read(args)``, which returns a :class:`data_prep.feed.Feed`; it may
            have ``read_table(args)``, which reads ``--detectors`` in a way of its own.
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


_CALIFORNIA = "America/Los_Angeles"

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
        _CALIFORNIA,
        ("0",),
        "metr-la",
    ),
    "tdx": Format(
        "tdx",
        "Taiwan's TDX v2: VD lists and VDLive, JSON or XML, files, folders, archives",
        "convert tdx VDList.json live/ out.h5 --interval 5min",
        "Asia/Taipei",
    ),
    "pems": Format(
        "pems_station",
        "PeMS Station 5-Minute as downloaded, with its text_meta",
        "convert pems 'd04_text_station_5min_*.txt.gz' out.h5 --detectors d04_text_meta.txt",
        _CALIFORNIA,
    ),
    "pems-npz": Format(
        "pems_npz",
        "PEMS03, PEMS04, PEMS07, PEMS08: .npz of time, detector and feature",
        "convert pems-npz PEMS04.npz out.h5 --edges PEMS04.csv",
        _CALIFORNIA,
    ),
    "largest": Format(
        "largest",
        "LargeST: yearly .h5 of California and ca_meta.csv",
        "convert largest ca_his_raw_2019.h5 out.h5 --detectors ca_meta.csv",
        _CALIFORNIA,
        name="largest",
    ),
    "utd19": Format(
        "utd19",
        "UTD19: day and seconds since midnight, a row per detector and time, of a city",
        "convert utd19 utd19_u.csv out.h5 --city constance --detectors detectors_public.csv "
        "--timezone Europe/Berlin",
        null_values=("-1",),
    ),
    "day-rows": Format(
        "day_rows",
        "a row per detector and day, a column per time: SCATS (V00 to V95) and the like",
        "convert day-rows VSDATA_20240101.csv out.h5 --detectors sites.csv "
        "--timezone Australia/Melbourne",
        null_values=("-1",),
    ),
    "datex": Format(
        "datex",
        "DATEX II 1.0, 2 and 3: measured data with its site table, elaborated travel times",
        "convert datex measured/ out.h5 --detectors sites.xml --timezone Europe/Amsterdam",
        null_values=("-1",),
    ),
    "netcdf": Format(
        "netcdf",
        "NetCDF and Zarr of xarray: arrays over time and detector",
        "convert netcdf data.nc out.h5 --features speed --detectors detectors.csv",
    ),
}
