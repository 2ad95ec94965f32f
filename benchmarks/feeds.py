"""How fast are feeds converted, and in how much memory, beside a bare reading of their bytes?

Bare is pandas for tables, and the plainest parser for other documents. Each run is a process of its
own, whose peak memory and seconds of the processor the operating system tells.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import feed_sources as sources
from benchmarks.environment import ROOT, result_path, write_result

__all__ = ["main"]

_SHARED = ROOT.parent / "shared" / "data"
_BARE = {
    "csv": "import pandas as pd, sys; [pd.read_csv(p) for p in sys.argv[1:]]",
    "pems": "import pandas as pd, sys; [pd.read_csv(p, header=None) for p in sys.argv[1:]]",
    "hdf": "import h5py, sys; [h5py.File(p)['t/block0_values'][()] for p in sys.argv[1:]]",
    "npz": "import numpy as np, sys; [np.load(p)['data'] for p in sys.argv[1:]]",
    "xml": "import sys, pathlib\n"
    "from xml.etree.ElementTree import iterparse\n"
    "for p in sorted(pathlib.Path(sys.argv[1]).glob('*.xml')):\n"
    "    for _, element in iterparse(p): element.clear()",
    "tdx": "import json, sys, tarfile\n"
    "for p in sys.argv[1:]:\n"
    "    with tarfile.open(p, 'r|*') as a:\n"
    "        for m in a: json.load(a.extractfile(m))",
}
_PREP = ("-m", "data_prep")


def main(argv: list[str] | None = None) -> None:
    """Run the measurements and write each as JSON when it is there."""
    args = _parse(argv)
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    path = result_path("feeds_cpu", args.quick)
    for name, measure in _MEASUREMENTS.items():
        if not args.only or name in args.only:
            for row in measure(args):
                print(
                    f"{row['name']:<48} {row['seconds']:>8.1f} s {row['cpu_seconds']:>8.1f} s "
                    f"{row['peak_mib']:>8.0f} MiB",
                    flush=True,
                )
                _keep(path, args, {"measurement": name, **row})


def _keep(path: Path, args: argparse.Namespace, row: dict) -> None:
    """Write a row into the results; the others stay as they were measured."""
    kept = json.loads(path.read_text())["results"] if path.exists() else []
    names = [known["name"] for known in kept]
    place = names.index(row["name"]) if row["name"] in names else len(kept)
    kept[place : place + 1] = [row]
    write_result(path, "feeds", vars(args), kept)


def _run(name: str, *words: object) -> dict:
    """Seconds, those of the processor, and peak memory of a command; raises if it fails."""
    command = [sys.executable, *map(str, words)]
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115
    start, before = time.perf_counter(), _cpu_seconds()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    if process.returncode:
        said.seek(0)
        raise RuntimeError(f"{name}: {said.read()[-2000:]}")
    used = _cpu_seconds() - before
    return {"name": name, "seconds": seconds, "cpu_seconds": used, "peak_mib": peak / 1024}


def _cpu_seconds() -> float:
    """Seconds of the processor of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def _convert(name: str, format_: str, args: argparse.Namespace, *words: object) -> dict:
    """The run of ``convert``; the words are sources, then options."""
    place = next((i for i, word in enumerate(words) if str(word).startswith("--")), len(words))
    out = args.folder / "out.h5"
    inputs, options = words[:place], (*words[place:], "--overwrite")
    return _run(f"{name}: convert", *_PREP, "convert", format_, *inputs, out, *options)


def _samples(args: argparse.Namespace) -> Iterator[dict]:
    folder = _SHARED / "original"
    if not folder.is_dir():
        return
    speeds = folder / "tgcn" / "los_speed.csv"
    places = ("--locations", folder / "dcrnn" / "graph_sensor_locations.csv")
    constance = folder / "utd19_constance"
    tables = [constance / f"constance_{name}.csv" for name in ("flow", "occ", "speed")]
    files = [f"{n}={p}" for n, p in zip(("flow", "occupancy", "speed"), tables, strict=True)]
    words = ("--drop", "day", "--round", "5min", "--timezone", "Europe/Berlin")
    yield _run("METR-LA week: pandas", "-c", _BARE["csv"], speeds)
    start = ("--start", "2012-03-01T00:00:00")
    yield _convert("METR-LA week", "metr-la", args, speeds, *places, *start)
    yield _run("Constance: pandas", "-c", _BARE["csv"], *tables)
    words = ("--wide", *files, "--detectors", constance / "sensors.csv", *words)
    yield _convert("Constance", "csv", args, *words)


def _layouts(args: argparse.Namespace) -> Iterator[dict]:
    """Made files of one format each."""
    small = args.quick
    nodes = 50 if small else 1000
    table = sources.write_table(args.folder / "meta.csv", 4000)
    located = ("--detectors", table)

    path = sources.write_pems(args.folder / "d04_text_station_5min_2024_01_02.txt.gz", 4 * nodes)
    label = f"PeMS .txt.gz, a day of {4 * nodes} stations"
    yield _run(f"{label}: pandas", "-c", _BARE["pems"], path)
    yield _convert(label, "pems", args, path, *located)

    steps = 1000 if small else 16_992
    path = sources.write_npz(args.folder / "PEMS04.npz", steps, 307)
    label = f"PEMS04's shape, {steps} x 307 x 3"
    yield _run(f"{label}: numpy", "-c", _BARE["npz"], path)
    yield _convert(label, "pems-npz", args, path, "--start", "2018-01-01T00:00:00")

    steps = 1000 if small else 34_272
    path = sources.write_frame(args.folder / "metr-la.h5", "2012-04-01", steps, 207)
    label = f"HDFStore, {steps} x 207"
    yield _run(f"{label}: h5py", "-c", _BARE["hdf"], path)
    yield _convert(label, "metr-la", args, path, *located)

    days = 2 if small else 10
    path = sources.write_utd19(args.folder / "utd19_u.csv", days, nodes // 5)
    label = f"UTD19, {days} days of {nodes // 5} detectors"
    yield _run(f"{label}: pandas", "-c", _BARE["csv"], path)
    yield _convert(label, "utd19", args, path, *located)

    days = 2 if small else 30
    path = sources.write_day_rows(args.folder / "VSDATA.csv", days, nodes // 2)
    label = f"SCATS, {days} days of {nodes // 2} detectors"
    yield _run(f"{label}: pandas", "-c", _BARE["csv"], path)
    words = (*located, "--id-column", "NB_SCATS_SITE")
    yield _convert(label, "day-rows", args, path, *words)

    minutes = 5 if small else 120
    documents, sites = sources.write_datex(args.folder, minutes, nodes)
    label = f"DATEX II, {minutes} documents of {nodes} sites"
    yield _run(f"{label}: iterparse", "-c", _BARE["xml"], documents)
    words = ("--detectors", sites, "--features", "flow")
    yield _convert(label, "datex", args, documents, *words)


def _documents(args: argparse.Namespace) -> Iterator[dict]:
    """Minute documents in day archives: does the memory grow with the number of days?"""
    nodes, minutes = (50, 60) if args.quick else (1000, 1440)
    lengths = (1, 2) if args.quick else args.days
    table = sources.write_vd_list(args.folder / "list.json", nodes)
    paths = list(sources.write_day_archives(args.folder, max(lengths), minutes, nodes))
    for days in lengths:
        label = f"TDX, {days} x {minutes:,} documents of {nodes:,} lanes"
        chosen = paths[:days]
        if days == min(lengths):
            yield _run(f"{label}: json", "-c", _BARE["tdx"], *chosen)
        words = ("--detectors", table, "--interval", "5min")
        yield _convert(label, "tdx", args, *chosen, *words)


def _minutes(args: argparse.Namespace) -> Iterator[dict]:
    """The same without the documents, for longer."""
    nodes, lengths = (50, (1, 2)) if args.quick else (1000, (2, 8, 30, 90))
    for days in lengths:
        label = f"{days} x 1,440 minutes of {nodes:,} detectors, already read: convert"
        words = ("-m", "benchmarks.feed_minutes", days, nodes, args.folder / "out.h5")
        yield _run(label, *words)


def _year(args: argparse.Namespace) -> Iterator[dict]:
    """A year of 8,600 detectors: convert, inspect, append a day."""
    steps, nodes = (2880, 100) if args.quick else (105_120, 8600)
    year, day = args.folder / "year.h5", args.folder / "day.h5"
    sources.write_frame(year, "2019-01-01", steps, nodes)
    later = np.datetime64("2019-01-01") + steps * np.timedelta64(5, "m")
    sources.write_frame(day, later, 288, nodes)
    table = sources.write_table(args.folder / "ca_meta.csv", nodes, "ID,Lat,Lng")
    out, label = args.folder / "out.h5", f"{steps:,} x {nodes:,}"
    words = ("--detectors", table, "--timezone", "UTC")
    yield _run(f"{label}: h5py, the bare array", "-c", _BARE["hdf"], year)
    yield _convert(label, "largest", args, year, *words)
    yield _run(f"{label}: inspect", *_PREP, "inspect", out)
    options = ("--format", "largest", *words)
    yield _run(f"{label}: append a day", *_PREP, "append", out, day, *options)


def _copy(args: argparse.Namespace) -> Iterator[dict]:
    """The copy that ``append`` makes where a file system cannot share blocks."""
    size = 2**20 if args.quick else 2**30
    source, target = args.folder / "source.bin", args.folder / "target.bin"
    source.write_bytes(np.random.default_rng(0).bytes(size))
    code = "import sys; from socialgraph.atomic import clone; clone(*sys.argv[1:])"
    yield _run(f"{size // 2**20:,} MiB: clone, as append does", "-c", code, source, target)


_MEASUREMENTS = {
    "samples": _samples,
    "layouts": _layouts,
    "documents": _documents,
    "minutes": _minutes,
    "year": _year,
    "copy": _copy,
}


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sources: does it run?")
    parser.add_argument("--only", nargs="+", choices=list(_MEASUREMENTS))
    parser.add_argument("--days", nargs="+", type=int, default=[2, 8, 30], help="of documents")
    parser.add_argument("--folder", type=Path, default=Path("data/feeds"), help="for the sources")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
