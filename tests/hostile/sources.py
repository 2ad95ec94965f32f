"""Intact sources of the formats that ``data_prep convert`` reads, to be damaged."""

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np

__all__ = ["PLACES", "SITES", "SOURCES"]

PLACES = "id,lat,lon\na,25.0,121.5\nb,25.01,121.5\n400001,37.3,-121.9\n0,25,121\n1,25.01,121\n"
SITES = (
    "<t><measurementSiteRecord id='a' version='1'><latitude>52</latitude><longitude>5</longitude>"
    "</measurementSiteRecord></t>"
)


def _live(minute: int) -> bytes:
    lanes = [{"Speed": 60 + minute, "Occupancy": 5, "Vehicles": [{"Volume": 3}, {"Volume": -99}]}]
    entries = [
        {
            "VDID": vdid,
            "LinkFlows": [{"Lanes": lanes}],
            "Status": 0,
            "DataCollectTime": f"2024-01-01T08:{minute:02}:00+08:00",
        }
        for vdid in "ab"
    ]
    return json.dumps({"VDLives": entries}).encode()


def _zip(compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for minute in range(6):
            archive.writestr(f"{minute}.json", _live(minute))
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for minute in range(6):
            info = tarfile.TarInfo(f"{minute}.json")
            info.size = len(_live(minute))
            archive.addfile(info, io.BytesIO(_live(minute)))
    return out.getvalue()


def _npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, data=np.arange(24, dtype=np.float32).reshape(4, 2, 3))
    return out.getvalue()


_XML = b"""<?xml version="1.0" encoding="UTF-8"?><VDLiveList xmlns="http://x/"><VDLives><VDLive>
<VDID>a</VDID><LinkFlows><LinkFlow><Lanes><Lane><Speed>90</Speed><Occupancy>12</Occupancy><Vehicles>
<Vehicle><Volume>4</Volume></Vehicle></Vehicles></Lane></Lanes></LinkFlow></LinkFlows><Status>0</Status>
<DataCollectTime>2024-01-01T08:00:00+08:00</DataCollectTime></VDLive></VDLives></VDLiveList>"""
_DATEX = b"""<d><siteMeasurements><measurementSiteReference id="a" version="1"/>
<measurementTimeDefault>2024-01-01T08:00:00Z</measurementTimeDefault><measuredValue index="1">
<vehicleFlow><vehicleFlowRate>600</vehicleFlowRate></vehicleFlow></measuredValue></siteMeasurements>
</d>"""
_STATION = "".join(
    f"01/02/2024 00:{minute:02}:00,400001,4,101,N,ML,.35,20,100,{minute},.05,65.1{',' * 10}\n"
    for minute in range(0, 60, 5)
).encode()
_UTD19 = ("day,interval,detid,flow,occ,error,city,speed\n") + "".join(
    f"2017-05-06,{step * 300},{vdid},{step},0.1,0,x,50\n" for step in range(12) for vdid in "ab"
)
_DAYS = "site,day," + ",".join(f"V{n:02}" for n in range(24)) + "\n"
_DAYS += "".join(f"{v},2024-01-01," + ",".join(map(str, range(24))) + "\n" for v in "ab")
_ONE = ("--interval", "1min")

# Name of the file, its bytes, and the command around it.
SOURCES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "json": ("live.json", _live(3), ("convert", "tdx", *_ONE)),
    "xml": ("live.xml", _XML, ("convert", "tdx", *_ONE)),
    "zip": ("day.zip", _zip(), ("convert", "tdx")),
    "stored zip": ("day.zip", _zip(zipfile.ZIP_STORED), ("convert", "tdx")),
    "tar": ("day.tar.gz", _tar(), ("convert", "tdx")),
    "datex": ("d.xml", _DATEX, ("convert", "datex", *_ONE)),
    "pems": ("station.txt", _STATION, ("convert", "pems")),
    "pems gz": ("station.txt.gz", gzip.compress(_STATION), ("convert", "pems")),
    "npz": ("x.npz", _npz(), ("convert", "pems-npz", "--start", "2018-01-01")),
    "utd19": ("u.csv", _UTD19.encode(), ("convert", "utd19")),
    "day rows": (
        "v.csv",
        _DAYS.encode(),
        ("convert", "day-rows", "--id-column", "site", "--day-column", "day"),
    ),
}
