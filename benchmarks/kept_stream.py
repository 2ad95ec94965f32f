"""What does a reading cost all told, in a stream that is kept in a file?

``python -m benchmarks.kept_stream`` follows simulated readings, with the default network and a
window of 12, and with the state of the plain one: the line read, the forecast, the transaction of
the file, and the rows of a CSV, each reading alone; their total is without the CSV, which is an
option.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.environment import result_path, write_result
from benchmarks.measure import isolated, summary
from benchmarks.workload import Size, make_network
from data_prep.simulate import simulate
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.nn import SocialGraphNet
from socialgraph.stream import StoredStream, StoreReader, StreamingForecaster, StreamStore
from socialgraph.stream.lines import ReadingTable
from socialgraph.stream.memory import KINDS, Kind
from socialgraph.stream.screen import Screen
from socialgraph.stream.tables import csv_rows

__all__ = ["SPACING", "main", "make_stream", "measure_kept", "strangers"]

SPACING = 550.0  # metres between two neighbours of the square lattice: 12 within 1.2 km
_DEGREES = 1 / 111_320  # of latitude in a metre
_BEFORE = 15  # readings before those that are measured, so that the file drops old ones


def make_stream(nodes: int, memory: Kind = "window") -> StreamingForecaster:
    """A network with random weights, on so many detectors that it was not trained on.

    The default network with a window, the plain one of configs/model/attention.yaml with a state.
    """
    series = simulate(num_detectors=40, days=3)
    data = TrafficDataModule(
        series.select(["speed"], series.vdids), windows=Windows(12, 12), graph=RadiusGraph(1200.0)
    )
    data.setup("fit")
    plain = make_network("shared", Size(len(series.vdids), max_radius=1200.0))
    forecaster = Forecaster(SocialGraphNet() if memory == "window" else plain)
    forecaster.adopt(data)
    stream = StreamingForecaster(forecaster, memory=memory)
    stream.set_detectors(*strangers(nodes))
    return stream


def strangers(nodes: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids and positions on a square lattice."""
    side = int(np.ceil(np.sqrt(nodes)))
    row, column = np.divmod(np.arange(nodes), side) * np.array([[SPACING], [SPACING]]) * _DEGREES
    return [f"N{k}" for k in range(nodes)], 25 + row, 121 + column


def measure_kept(nodes: int, repeats: int, memory: Kind = "window", keep_minutes: int = 60) -> dict:
    """Seconds of each part of a reading: its line, the forecast, the file, and rows of CSV.

    ``longest`` is the reading that took most, such as one that writes a state. The file keeps an
    hour, so that old rows are dropped while it is measured.
    """
    stream, rng = make_stream(nodes, memory), np.random.default_rng(0)
    begin = np.datetime64("2024-01-01T00:00:00", "s")
    parts: dict[str, list[float]] = {"line": [], "forecast": [], "file": [], "csv": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        with StreamStore(path, np.timedelta64(keep_minutes, "m")) as store:
            stored, reader = StoredStream(stream, store), StoreReader(path)
            update = _timed(stream)
            for step in range(_BEFORE + repeats):
                text = _line(stream, begin + step * stream.spec.step, rng)
                seconds = _read_one(stored, reader, text, update)
                for name, value in zip(parts, seconds, strict=True):
                    parts[name] += [value] if step >= _BEFORE else []
            reader.close()
        size = path.stat().st_size
    total = np.sum([parts[name] for name in ("line", "forecast", "file")], axis=0).tolist()
    return {
        "memory": memory,
        "nodes": nodes,
        **{name: summary(seconds) for name, seconds in parts.items()},
        "total": summary(total),
        "longest": max(total),
        "kib_per_reading": size / 1024 / (keep_minutes / 5 + 1),
        "peak_memory_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    """Of this program alone: what the system reports of a child begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _line(stream: StreamingForecaster, time_: np.datetime64, rng: np.random.Generator) -> str:
    values = 60 + 10 * rng.standard_normal(len(stream.vdids))
    cells = ",".join(f"{value:.2f}" for value in values)
    return f"{','.join(['timestamp', *stream.vdids])}\n{time_}Z,{cells}\n"


def _read_one(
    stored: StoredStream, reader: StoreReader, text: str, update: list[float]
) -> tuple[float, ...]:
    """Seconds of the line, the forecast, the file and the CSV."""
    spec, marks = stored.stream.spec, [time.perf_counter()]
    # The header is read once in a stream, and is no part of a line.
    table = ReadingTable(io.StringIO(text), spec.vdids, spec.features)
    marks[0] = time.perf_counter()
    moment, readings = next(table)
    readings = Screen(spec).apply(readings)
    marks.append(time.perf_counter())
    stored.read(moment, readings)
    marks.append(time.perf_counter())
    csv_rows(reader.forecast(moment), reader.get("form"))
    marks.append(time.perf_counter())
    line, whole, csv = np.diff(marks).tolist()
    return line, update[-1], whole - update[-1], csv


def _timed(stream: StreamingForecaster) -> list[float]:
    """A list that gets the seconds of each forecast of a stream."""
    seconds, update = [], stream.update

    def run(*reading):
        start = time.perf_counter()
        forecast = update(*reading)
        seconds.append(time.perf_counter() - start)
        return forecast

    stream.update = run
    return seconds


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    results = []
    for nodes in args.nodes:
        for memory in KINDS:
            results.append(isolated(measure_kept, nodes, args.repeats, memory))
            total = results[-1]["total"]["median"]
            print(f"{nodes}, {memory}: {1e3 * total:.1f} ms", flush=True)
            write_result(args.output, "kept_stream", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.kept_stream", description=__doc__)
    add = parser.add_argument
    add("--nodes", type=int, nargs="+", default=[207, 2000, 8600], help="detectors")
    add("--repeats", type=int, default=39, help="readings, of which every 13th writes the state")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="small, two readings")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.repeats = [10], 2
    args.output = args.output or result_path("kept_stream_cpu", args.quick)
    return args


if __name__ == "__main__":
    main()
