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
        raw: what the sources are; empty if options of the format name them.
        several: whether there may be several sources.
        arrives: whether its documents arrive one after the other, and ``watch`` takes them.
    """

    module: str
    summary: str
    example: str
    timezone: str | None = None
    null_values: tuple[str, ...] = ()
    name: str = ""
    raw: str = ""
    several: bool = True
    arrives: bool = False


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
        raw="metr-la.h5, pems-bay.h5, or a CSV of time by detector",
        several=False,
    ),
    "tdx": Format(
        "tdx",
        "Taiwan's TDX v2: VD lists and VDLive, JSON or XML, files, folders, archives",
        "convert tdx VDList.json live/ out.h5 --interval 5min",
        "Asia/Taipei",
        raw="VD lists and VDLive: files, folders, archives",
        arrives=True,
    ),
    "pems": Format(
        "pems_station",
        "PeMS Station 5-Minute and Station Hour as downloaded, with their text_meta",
        "convert pems 'd04_text_station_5min_*.txt.gz' out.h5 --detectors d04_text_meta.txt",
        _CALIFORNIA,
        raw="d??_text_station_5min_*.txt.gz (or _hour_), globs, folders",
        arrives=True,
    ),
    "pems-npz": Format(
        "pems_npz",
        "PEMS03, PEMS04, PEMS07, PEMS08: .npz of time, detector and feature",
        "convert pems-npz PEMS04.npz out.h5 --edges PEMS04.csv",
        _CALIFORNIA,
        raw="PEMS0?.npz",
        several=False,
    ),
    "largest": Format(
        "largest",
        "LargeST: yearly .h5 of California and ca_meta.csv",
        "convert largest ca_his_raw_2019.h5 out.h5 --detectors ca_meta.csv",
        _CALIFORNIA,
        name="largest",
        raw="ca_his_raw_20??.h5, globs, folders",
    ),
    "utd19": Format(
        "utd19",
        "UTD19: day and seconds since midnight, a row per detector and time, of a city",
        "convert utd19 utd19_u.csv out.h5 --city constance --detectors detectors_public.csv "
        "--timezone Europe/Berlin",
        null_values=("-1",),
        raw="utd19_u.csv or parts of it; globs, folders",
    ),
    "day-rows": Format(
        "day_rows",
        "a row per detector and day, a column per time: SCATS (V00 to V95) and the like",
        "convert day-rows VSDATA_20240101.csv out.h5 --detectors sites.csv "
        "--timezone Australia/Melbourne",
        null_values=("-1",),
        raw="tables; globs, folders",
    ),
    "datex": Format(
        "datex",
        "DATEX II 1.0, 2 and 3: measured data with its site table, elaborated travel times",
        "convert datex measured/ out.h5 --detectors sites.xml --timezone Europe/Amsterdam",
        null_values=("-1",),
        raw="publications: files, folders, archives",
        arrives=True,
    ),
    "netcdf": Format(
        "netcdf",
        "NetCDF and Zarr of xarray: arrays over time and detector",
        "convert netcdf data.nc out.h5 --features speed --detectors detectors.csv",
        raw="a NetCDF file",
        several=False,
    ),
}
