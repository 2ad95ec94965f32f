"""Are the readings of real samples in the file as they were in the source?

Counted before by pandas or from the documents themselves, and after in the file that ``data_prep``
writes: readings that are not missing, and their mean.
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from benchmarks.environment import ROOT, result_path, write_result
from data_prep.__main__ import main as data_prep
from socialgraph import schema

__all__ = ["compare_samples", "main"]

_SHARED = ROOT.parent / "shared"


def compare_samples(shared: Path) -> list[dict]:
    """Readings and mean of each feature of each sample, before and after.

    Args:
        shared: folder of ``data`` and ``cases``.
    """
    data = shared / "data" / "original"
    cities = [*_constance(data), *_aarhus(data)]
    return [*_speeds(data, shared), *cities, *_taiwan(data), *_pems(shared)]


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    rows = compare_samples(_SHARED)
    write_result(result_path("feed_samples", False), "feed_samples", {}, rows)
    for row in rows:
        print(row)


def _convert(format_: str, *words: object) -> "schema.TrafficSeries":
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        out = str(Path(folder) / "out.h5")
        texts = list(map(str, words))
        place = next(i for i, word in enumerate(texts) if word.startswith("--"))
        status = data_prep(["convert", format_, *texts[:place], out, *texts[place:]])
        if status:
            raise RuntimeError(f"convert {format_} ended with {status}.")
        return schema.read(out)


def _row(sample: str, before: np.ndarray, series: "schema.TrafficSeries", feature: str) -> dict:
    index = series.feature_names.index(feature)
    after = series.values[..., index].astype(np.float64)
    before = np.asarray(before, dtype=np.float64)
    unit = series.units[index]
    return {
        "sample": sample,
        "feature": f"{feature}, {unit}" if unit else feature,
        "shape": list(series.values.shape[:2]),
        "count": [int((~np.isnan(before)).sum()), int((~np.isnan(after)).sum())],
        "mean": [float(np.nanmean(before)), float(np.nanmean(after))],
    }


def _speeds(data: Path, shared: Path) -> list[dict]:
    places = ("--locations", data / "dcrnn" / "graph_sensor_locations.csv")
    table = data / "tgcn" / "los_speed.csv"
    store = shared / "data" / "constructed" / "metr-la-week1.dcrnn-layout.h5"
    with h5py.File(store) as file:
        stored = file["df/block0_values"][()]
    series = _convert("metr-la", table, *places, "--start", "2012-03-01T00:00:00")
    return [
        _row("METR-LA week, T-GCN's CSV", pd.read_csv(table).to_numpy(), series, "speed"),
        _row("METR-LA week, DCRNN's HDF5", stored, _convert("metr-la", store, *places), "speed"),
    ]


def _constance(data: Path) -> list[dict]:
    folder = data / "utd19_constance"
    files = {"flow": "flow", "occupancy": "occ", "speed": "speed"}
    paths = {name: folder / f"constance_{file}.csv" for name, file in files.items()}
    words = ("--wide", *(f"{name}={path}" for name, path in paths.items()))
    words += ("--drop", "day", "--round", "5min", "--timezone", "Europe/Berlin")
    words += ("--unit", "flow=veh/h", "occupancy=1", "speed=km/h")
    series = _convert("csv", *words, "--detectors", folder / "sensors.csv")
    return [
        _row("UTD19, Constance", pd.read_csv(path).iloc[:, 2:].to_numpy(), series, name)
        for name, path in paths.items()
    ]


def _aarhus(data: Path) -> list[dict]:
    folder = data / "citypulse_aarhus"
    columns = {"avgSpeed": "speed", "vehicleCount": "count", "avgMeasuredTime": "travel_time"}
    words = ("--long", folder / "*.stream", "--id-column", "REPORT_ID", "--time-column")
    words += ("TIMESTAMP", "--features", *(f"{c}={f}" for c, f in columns.items()))
    words += ("--unit", "speed=km/h", "travel_time=s")
    words += ("--detectors", folder / "trafficMetaData.csv")
    words += ("--detector-id-column", "REPORT_ID", "--lat-column", "POINT_1_LAT", "POINT_2_LAT")
    series = _convert("csv", *words, "--lon-column", "POINT_1_LNG", "POINT_2_LNG")
    rows = pd.concat(map(pd.read_csv, sorted(folder.glob("*.stream"))))
    rows = rows.drop_duplicates(["REPORT_ID", "TIMESTAMP"])
    return [
        _row("Aarhus, three files", rows[column].to_numpy(), series, name)
        for column, name in columns.items()
    ]


def _taiwan(data: Path) -> list[dict]:
    """The live sample with its detectors in a table of their own: no list has them."""
    path = data / "taiwan_vd" / "VDLive_tdx_v2_2019-11-13.json"
    lives = json.loads(path.read_text())["VDLives"]
    flows = []
    for live in lives:
        lanes = [lane for link in live["LinkFlows"] for lane in link["Lanes"]]
        volumes = [vehicle["Volume"] for lane in lanes for vehicle in lane["Vehicles"]]
        known = live["Status"] == 0 and -99 not in volumes
        flows.append(sum(volumes) if known else np.nan)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "d.csv"
        rows = (f"{live['VDID']},24,121\n" for live in lives)
        table.write_text("id,lat,lon\n" + "".join(rows), encoding="utf-8")
        series = _convert("tdx", path, "--detectors", table)
    return [_row("TDX, VDLive of 2019-11-13", np.array(flows), series, "flow")]


def _pems(shared: Path) -> list[dict]:
    folder = shared / "cases" / "pems-raw"
    path = folder / "d04_text_station_5min_2024_01_02.txt.gz"
    table = pd.read_csv(path, header=None)
    series = _convert("pems", path, "--detectors", folder / "d04_text_meta.txt")
    places = {"flow": 9, "occupancy": 10, "speed": 11}
    return [
        _row("PeMS, made in its layout", table[place].to_numpy(), series, name)
        for name, place in places.items()
    ]


if __name__ == "__main__":
    main()
