"""How fast are feeds converted, and in how much memory, beside pandas' bare reading of their bytes?

Each run is a process of its own, whose peak memory the operating system tells. Large sources are
made: a frame of 8,600 detectors for a year, minute documents of 300 detectors in day archives.
"""

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks.environment import ROOT, result_path, write_result

__all__ = ["main"]

_SHARED = ROOT.parent / "shared" / "data"
_BARE = {  # what pandas, or the plainest parser, makes of the same bytes
    "csv": "import pandas as pd, sys; [pd.read_csv(p) for p in sys.argv[1:]]",
    "pems": "import pandas as pd, sys; [pd.read_csv(p, header=None) for p in sys.argv[1:]]",
    "hdf": "import h5py, sys; [h5py.File(p)['t/block0_values'][()] for p in sys.argv[1:]]",
    "tdx": "import json, sys, tarfile\n"
    "for p in sys.argv[1:]:\n"
    "    with tarfile.open(p, 'r|*') as a:\n"
    "        for m in a: json.load(a.extractfile(m))",
}


def main(argv: list[str] | None = None) -> None:
    """Run the measurements and write them as JSON."""
    args = _parse(argv)
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    runs: list[dict] = []
    for name, measure in _MEASUREMENTS.items():
        if not args.only or name in args.only:
            rows = measure(args)
            runs += rows
            for row in rows:
                print(f"{row['name']:<44} {row['seconds']:>8.1f} s {row['peak_mib']:>8.0f} MiB")
    path = result_path("feeds_cpu", args.quick)
    names = {run["name"] for run in runs}
    if args.only and path.exists():  # the others stay as they were measured
        kept = json.loads(path.read_text())["results"]
        runs = [run for run in kept if run["name"] not in names] + runs
    write_result(path, "feeds", vars(args), runs)


def _run(name: str, *words: object) -> dict:
    """Seconds and peak memory of a command; raises if it fails."""
    command = [sys.executable, *map(str, words)]
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    if process.returncode:
        said.seek(0)
        raise RuntimeError(f"{name}: {said.read()[-2000:]}")
    return {"name": name, "seconds": seconds, "peak_mib": peak / 1024}


def _peak(process: int) -> int:
    """Most memory that a process has had since it began, in KiB; 0 if it is gone.

    What the system tells at its end counts the memory of the one that started it.
    """
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", text)
    return int(found[1]) if found else 0


def _samples(args: argparse.Namespace) -> list[dict]:
    folder, out = _SHARED / "original", args.folder / "out.h5"
    if not folder.is_dir():
        return []
    prep = ("-m", "data_prep", "convert")
    speeds = folder / "tgcn" / "los_speed.csv"
    places = folder / "dcrnn" / "graph_sensor_locations.csv"
    constance = folder / "utd19_constance"
    tables = [constance / f"constance_{name}.csv" for name in ("flow", "occ", "speed")]
    files = [f"{n}={p}" for n, p in zip(("flow", "occupancy", "speed"), tables, strict=True)]
    start = ("--start", "2012-03-01T00:00:00", "--overwrite")
    words = ("--drop", "day", "--round", "5min", "--timezone", "Europe/Berlin", "--overwrite")
    return [
        _run("METR-LA week: pandas", "-c", _BARE["csv"], speeds),
        _run("METR-LA week: convert", *prep, "metr-la", speeds, out, "--locations", places, *start),
        _run("Constance: pandas", "-c", _BARE["csv"], *tables),
        _run(
            "Constance: convert",
            *(*prep, "csv", out, "--wide", *files, "--detectors", constance / "sensors.csv"),
            *words,
        ),
    ]


def _pems(args: argparse.Namespace) -> list[dict]:
    """Days of PeMS Station 5-Minute, 4,000 stations each."""
    days, stations = (1, 200) if args.quick else (1, 4000)
    rng, paths = np.random.default_rng(0), []
    for day in range(1, days + 1):
        path = args.folder / f"d04_text_station_5min_2024_01_{day:02}.txt"
        with open(path, "w") as out:
            for step in range(288):
                clock = f"01/{day:02}/2024 {step // 12:02}:{step % 12 * 5:02}:00"
                flow = rng.integers(0, 300, stations)
                out.writelines(
                    f"{clock},{400000 + i},4,101,N,ML,.35,20,100,{f},.0512,65.3{',' * 40}\n"
                    for i, f in enumerate(flow)
                )
        paths.append(path)
    table = args.folder / "meta.txt"
    rows = (f"{400000 + i},{37 + i * 1e-4},{-122 + i * 1e-4}\n" for i in range(stations))
    table.write_text("ID,Latitude,Longitude\n" + "".join(rows))
    words = ("-m", "data_prep", "convert", "pems", *paths, args.folder / "out.h5")
    label = f"PeMS, {days} days of {stations} stations"
    return [
        _run(f"{label}: pandas", "-c", _BARE["pems"], *paths),
        _run(f"{label}: convert", *words, "--detectors", table, "--overwrite"),
    ]


def _documents(args: argparse.Namespace) -> list[dict]:
    """Minute documents in day archives: does the memory grow with the number of days?"""
    nodes, lengths = (50, (1, 2)) if args.quick else (300, (1, 2))
    table = args.folder / "list.json"
    places = [
        {"VDID": f"V{i}", "PositionLat": 24 + i * 1e-3, "PositionLon": 121.0} for i in range(nodes)
    ]
    table.write_text(json.dumps({"VDs": places}))
    minutes = 60 if args.quick else 1440
    paths = [_archive(args.folder, day, nodes, minutes) for day in range(max(lengths))]
    runs = []
    for days in lengths:
        label = f"TDX, {days} x {minutes} documents of {nodes} detectors"
        chosen, out = paths[:days], args.folder / "out.h5"
        runs.append(_run(f"{label}: json", "-c", _BARE["tdx"], *chosen))
        words = ("-m", "data_prep", "convert", "tdx", *chosen, out, "--detectors", table)
        runs.append(_run(f"{label}: convert", *words, "--interval", "5min", "--overwrite"))
    return runs


def _archive(folder: Path, day: int, nodes: int, minutes: int) -> Path:
    path = folder / f"{day:03}.tar.gz"
    rng = np.random.default_rng(day)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for minute in range(minutes):
            moment = np.datetime64("2024-01-01T00:00") + np.timedelta64(day * 1440 + minute, "m")
            speed, volume = (
                rng.integers(20, 110, nodes).tolist(),
                rng.integers(1, 9, nodes).tolist(),
            )
            entries = [_entry(i, f"{moment}:00+08:00", speed[i], volume[i]) for i in range(nodes)]
            data = json.dumps({"VDLives": entries}).encode()
            info = tarfile.TarInfo(f"{minute:04}.json")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _entry(index: int, moment: str, speed: int, volume: int) -> dict:
    vehicles = [{"VehicleType": kind, "Volume": volume} for kind in "SLT"]
    lanes = [
        {"LaneID": lane, "Speed": speed, "Occupancy": 9, "Vehicles": vehicles} for lane in range(2)
    ]
    return {
        "VDID": f"V{index}",
        "LinkFlows": [{"LinkID": "1", "Lanes": lanes}],
        "Status": 0,
        "DataCollectTime": moment,
    }


def _year(args: argparse.Namespace) -> list[dict]:
    """A year of 8,600 detectors: convert, inspect, append a day."""
    steps, nodes = (2880, 100) if args.quick else (105_120, 8600)
    year, day = args.folder / "year.h5", args.folder / "day.h5"
    _frame(year, "2019-01-01", steps, nodes)
    _frame(day, np.datetime64("2019-01-01") + steps * np.timedelta64(5, "m"), 288, nodes)
    table = args.folder / "ca_meta.csv"
    rows = (f"{i},{32 + i * 1e-3},{-118.0}\n" for i in range(nodes))
    table.write_text("ID,Lat,Lng\n" + "".join(rows))
    out, label = args.folder / "large.h5", f"{steps:,} x {nodes:,}"
    words = ("--detectors", table, "--timezone", "UTC")
    prep = ("-m", "data_prep")
    return [
        _run(f"{label}: h5py, the bare array", "-c", _BARE["hdf"], year),
        _run(f"{label}: convert", *prep, "convert", "largest", year, out, *words, "--overwrite"),
        _run(f"{label}: inspect", *prep, "inspect", out),
        _run(f"{label}: append a day", *prep, "append", out, day, "--format", "largest", *words),
    ]


def _frame(path: Path, first: object, steps: int, nodes: int) -> None:
    """A frame as pandas' HDFStore writes it, of flows with a daily wave."""
    rng = np.random.default_rng(0)
    times = np.datetime64(first, "ns") + np.arange(steps) * np.timedelta64(300 * 10**9, "ns")
    with h5py.File(path, "w") as file:
        group = file.create_group("t")
        group.attrs.update({"pandas_type": np.bytes_("frame"), "nblocks": 1})
        for name in ("axis0", "block0_items"):
            group[name] = np.arange(nodes)
            group[name].attrs["kind"] = np.bytes_("integer")
        group["axis1"] = times.astype(np.int64)
        group["axis1"].attrs["kind"] = np.bytes_("datetime64[ns]")
        data = group.create_dataset("block0_values", (steps, nodes), "f4")
        data.attrs["transposed"] = np.uint8(1)
        for start in range(0, steps, 288):
            count = min(288, steps - start)
            wave = 150 + 120 * np.sin(2 * np.pi * np.arange(count) / 288)[:, None]
            data[start : start + count] = np.rint(wave + rng.normal(0, 15, (count, nodes)))


_MEASUREMENTS = {"samples": _samples, "pems": _pems, "documents": _documents, "year": _year}


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sources: does it run?")
    parser.add_argument("--only", nargs="+", choices=list(_MEASUREMENTS))
    parser.add_argument("--folder", type=Path, default=Path("data/feeds"), help="for the sources")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
