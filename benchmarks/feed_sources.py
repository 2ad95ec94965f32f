"""Sources in the layouts of agencies, made large enough to measure how they are converted."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

__all__ = [
    "write_datex",
    "write_day_archives",
    "write_day_rows",
    "write_frame",
    "write_npz",
    "write_pems",
    "write_table",
    "write_utd19",
    "write_vd_list",
]

_D2 = 'xmlns="http://datex2.eu/schema/2/2_0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_TIME = "@" * 25  # stands for a time with its offset
_TEXTS = 20  # documents with different readings


def write_table(path: Path, nodes: int, header: str = "ID,Latitude,Longitude") -> Path:
    """A table of detectors 400000, 400001, … in a row."""
    rows = (f"{400000 + i},{32 + i * 1e-3},-118.0\n" for i in range(nodes))
    path.write_text(f"{header}\n" + "".join(rows))
    return path


def write_pems(path: Path, stations: int) -> Path:
    """A day of PeMS Station 5-Minute, ``.txt.gz``."""
    rng = np.random.default_rng(0)
    with gzip.open(path, "wt", compresslevel=1) as out:
        for step in range(288):
            clock = f"01/02/2024 {step // 12:02}:{step % 12 * 5:02}:00"
            flow = rng.integers(0, 300, stations)
            out.writelines(
                f"{clock},{400000 + i},4,101,N,ML,.35,20,100,{f},.0512,65.3{',' * 40}\n"
                for i, f in enumerate(flow)
            )
    return path


def write_npz(path: Path, steps: int, nodes: int) -> Path:
    """An array as PEMS0? is passed on."""
    data = np.random.default_rng(0).uniform(0, 100, (steps, nodes, 3))
    np.savez_compressed(path, data=data.round(1))
    return path


def write_utd19(path: Path, days: int, nodes: int) -> Path:
    """Rows of UTD19: day, seconds since midnight, detector, flow, occupancy, speed."""
    rng = np.random.default_rng(0)
    with open(path, "w") as out:
        out.write("day,interval,detid,flow,occ,error,city,speed\n")
        for day in range(days):
            for step in range(288):
                flow = rng.integers(0, 900, nodes)
                out.writelines(
                    f"2017-01-{day + 1:02},{step * 300},{400000 + i},{f},0.05,,town,40.5\n"
                    for i, f in enumerate(flow)
                )
    return path


def write_day_rows(path: Path, days: int, nodes: int) -> Path:
    """SCATS: a row per detector and day, ``V00`` to ``V95``."""
    rng = np.random.default_rng(0)
    columns = ",".join(f"V{i:02}" for i in range(96))
    with open(path, "w") as out:
        out.write(f"NB_SCATS_SITE,QT_INTERVAL_COUNT,NB_DETECTOR,{columns}\n")
        for day in range(days):
            for node in range(nodes):
                cells = ",".join(map(str, rng.integers(0, 200, 96)))
                out.write(f"{400000 + node},2024-01-{day + 1:02},1,{cells}\n")
    return path


def write_datex(folder: Path, minutes: int, nodes: int) -> tuple[Path, Path]:
    """DATEX II 2: a document a minute in a folder, and the site table."""
    sites, documents = folder / "sites.xml", folder / "datex"
    records = "".join(
        f"<measurementSiteRecord id='S{i}' version='1'><measurementSpecificCharacteristics "
        "index='1'><measurementSpecificCharacteristics><specificLane>lane1</specificLane>"
        "</measurementSpecificCharacteristics></measurementSpecificCharacteristics>"
        "<measurementSiteLocation xsi:type='Point'><pointByCoordinates><pointCoordinates><latitude>"
        f"{52 + i * 1e-3}</latitude><longitude>5.1</longitude></pointCoordinates>"
        "</pointByCoordinates></measurementSiteLocation></measurementSiteRecord>"
        for i in range(nodes)
    )
    sites.write_text(_publication(f"<measurementSiteTable id='T'>{records}</measurementSiteTable>"))
    documents.mkdir(exist_ok=True)
    for minute in range(minutes):
        clock = f"2024-01-01T{minute // 60:02}:{minute % 60:02}:00Z"
        body = "".join(
            f"<siteMeasurements><measurementSiteReference id='S{i}' version='1'/>"
            f"<measurementTimeDefault>{clock}</measurementTimeDefault><measuredValue index='1'>"
            "<measuredValue><basicData xsi:type='TrafficFlow'><vehicleFlow><vehicleFlowRate>"
            f"{(i + minute) % 900}</vehicleFlowRate></vehicleFlow></basicData></measuredValue>"
            "</measuredValue></siteMeasurements>"
            for i in range(nodes)
        )
        (documents / f"{minute:05}.xml").write_text(_publication(body))
    return documents, sites


def _publication(body: str) -> str:
    return (
        f"<d2LogicalModel {_D2}><payloadPublication xsi:type='MeasuredDataPublication'>{body}"
        "</payloadPublication></d2LogicalModel>"
    )


def write_vd_list(path: Path, nodes: int) -> Path:
    """A VD list of TDX."""
    places = [
        {"VDID": f"V{i}", "PositionLat": 24 + i * 1e-3, "PositionLon": 121.0} for i in range(nodes)
    ]
    path.write_text(json.dumps({"VDs": places}))
    return path


def write_day_archives(folder: Path, days: int, minutes: int, nodes: int) -> Iterator[Path]:
    """VDLive of TDX: a ``tar.gz`` for each day with a document for each minute.

    The readings of a document come again after some minutes; its times do not.
    """
    texts = [json.dumps({"VDLives": _entries(seed, nodes)}) for seed in range(_TEXTS)]
    first = np.datetime64("2024-01-01T00:00")
    for day in range(days):
        path = folder / f"{day:03}.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for minute in range(minutes):
                time = f"{first + np.timedelta64(day * 1440 + minute, 'm')}:00+08:00"
                data = texts[minute % _TEXTS].replace(_TIME, time).encode()
                info = tarfile.TarInfo(f"{minute:04}.json")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        yield path


def _entries(seed: int, nodes: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    speeds, volumes = rng.integers(20, 110, nodes).tolist(), rng.integers(1, 9, nodes).tolist()
    return [
        _entry(i, speed, volume)
        for i, (speed, volume) in enumerate(zip(speeds, volumes, strict=True))
    ]


def _entry(index: int, speed: int, volume: int) -> dict:
    vehicles = [{"VehicleType": kind, "Volume": volume} for kind in "SLT"]
    lane = {"LaneID": 0, "Speed": speed, "Occupancy": 9, "Vehicles": vehicles}
    links = [{"LinkID": "1", "Lanes": [lane]}]
    return {"VDID": f"V{index}", "LinkFlows": links, "Status": 0, "DataCollectTime": _TIME}


def write_frame(path: Path, first: object, steps: int, nodes: int) -> Path:
    """A frame as pandas' HDFStore writes it, of flows with a daily wave."""
    rng = np.random.default_rng(0)
    times = np.datetime64(first, "ns") + np.arange(steps) * np.timedelta64(300 * 10**9, "ns")
    with h5py.File(path, "w") as file:
        group = file.create_group("t")
        group.attrs.update({"pandas_type": np.bytes_("frame"), "nblocks": 1})
        for name in ("axis0", "block0_items"):
            group[name] = 400000 + np.arange(nodes)
            group[name].attrs["kind"] = np.bytes_("integer")
        group["axis1"] = times.astype(np.int64)
        group["axis1"].attrs["kind"] = np.bytes_("datetime64[ns]")
        data = group.create_dataset("block0_values", (steps, nodes), "f4")
        data.attrs["transposed"] = np.uint8(1)
        for start in range(0, steps, 288):
            count = min(288, steps - start)
            wave = 150 + 120 * np.sin(2 * np.pi * np.arange(count) / 288)[:, None]
            data[start : start + count] = np.rint(wave + rng.normal(0, 15, (count, nodes)))
    return path
