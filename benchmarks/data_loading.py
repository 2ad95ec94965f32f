"""How fast are batches of windows made, and in how much memory, against the usual ways?

``python -m benchmarks.data_loading`` runs epochs over the training windows of simulated series,
and of real files (``--data``), in three ways that give the same batches (checked before timing):

- ``gathered``, the library: the series in memory, a batch gathered by index. It alone hands over
  the radius graph as well.
- ``sliced``: a dataset whose item is one window, and PyTorch's default collate. Missing readings
  are filled and masked once, at the start, so that an item costs nothing but slices.
- ``stored``: all windows stored at the start, as DCRNN and LibCity do, if they fit ``--limit``.

Set-up begins with the file, which all read and split through the data module; the last two then
make their own. Times are taken in one process, epochs in turn; memory in a fresh process each.
"""

import argparse
import itertools
import multiprocessing
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.environment import result_path, write_result
from benchmarks.measure import interleaved_seconds, isolated, peak_memory, summary
from data_prep.simulate import simulate
from socialgraph import schema
from socialgraph.calendar import clock
from socialgraph.data import Loading, TrafficDataModule, Windows

__all__ = ["WAYS", "SlicedWindows", "main", "make_loader", "measure_memory"]

WAYS = ("gathered", "sliced", "stored")
ENTRIES = ("features", "mask", "targets", "target_mask", "time_of_day", "day_of_week")


class SlicedWindows(Dataset):
    """The usual dataset of windows, by item: a dictionary without batch dimension.

    Args:
        datamodule: data module after ``setup``.
        starts: first step of each window ``[W]``.
    """

    def __init__(self, datamodule: TrafficDataModule, starts: list[int]) -> None:
        series, windows = datamodule.series, datamodule.windows
        values = torch.from_numpy(series.values)
        self.values, self.mask = values.nan_to_num(nan=0.0), ~values.isnan()
        times = clock(series.timestamps, series.timezone)
        self.time_of_day, self.day_of_week = map(torch.from_numpy, times)
        self.starts, self.window, self.horizon = starts, windows.window, windows.horizon

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        now = self.starts[index] + self.window
        inputs, outputs = slice(now - self.window, now), slice(now, now + self.horizon)
        return {
            "features": self.values[inputs],
            "mask": self.mask[inputs],
            "targets": self.values[outputs],
            "target_mask": self.mask[outputs],
            "time_of_day": self.time_of_day[inputs],
            "day_of_week": self.day_of_week[inputs],
        }


def take(stored: dict[str, Tensor], numbers: list[int]) -> dict[str, Tensor]:
    """Batch of the windows with these numbers, from all windows ``[W, ...]``."""
    return {name: windows[numbers] for name, windows in stored.items()}


def make_loader(way: str, options: dict) -> DataLoader:
    """Loader of the training windows of a file, in an order that is the same for all ways.

    Args:
        way: one of :data:`WAYS`.
        options: arguments of :class:`socialgraph.data.TrafficDataModule`.
    """
    datamodule = TrafficDataModule(**options)
    datamodule.setup()
    loader = datamodule.train_dataloader()
    if loader.num_workers:  # as in a user's process; in a fresh one they would be spawned
        loader.multiprocessing_context = "fork"
    if way == "gathered":
        loader.datamodule = datamodule  # a training holds it too, with the series as it was read
        return loader
    dataset, collate = SlicedWindows(datamodule, loader.dataset), None
    if way == "stored":
        numbers = range(len(dataset))
        dataset, collate = numbers, partial(take, default_collate([dataset[n] for n in numbers]))
    names = ["batch_size", "sampler", "num_workers", "persistent_workers", "pin_memory"]
    same = {name: getattr(loader, name) for name in [*names, "multiprocessing_context"]}
    return DataLoader(dataset, collate_fn=collate, **same)


def run_epoch(loader: DataLoader, device: str) -> None:
    """Take every batch, and move it to ``device``."""
    for batch in loader:
        for name in ENTRIES:
            batch[name].to(device, non_blocking=True)


def check_equal(loaders: dict[str, DataLoader]) -> None:
    """Compare every batch of an epoch.

    Raises:
        RuntimeError: if a batch of one way is not that of the first.
    """
    first, *others = loaders
    for number, (expected, *batches) in enumerate(zip(*loaders.values(), strict=True)):
        for way, batch in zip(others, batches, strict=True):
            differing = [name for name in ENTRIES if not torch.equal(batch[name], expected[name])]
            if differing:
                raise RuntimeError(f"{differing} of '{way}' and '{first}' differ, batch {number}.")


def measure_times(ways: list[str], options: dict, repeats: int, device: str) -> dict[str, dict]:
    """By way, ``setup_seconds``, from the file to a loader, and ``windows_per_second``."""
    setup = interleaved_seconds({w: partial(make_loader, w, options) for w in ways}, repeats)
    loaders = {way: make_loader(way, options) for way in ways}
    check_equal(loaders)
    epochs = {way: partial(run_epoch, loader, device) for way, loader in loaders.items()}
    seconds = interleaved_seconds(epochs, repeats, device=device)
    rates = {way: [len(loaders[way].dataset) / s for s in seconds[way]] for way in ways}
    return {
        way: {"setup_seconds": summary(setup[way]), "windows_per_second": summary(rates[way])}
        for way in ways
    }


def tree_mib() -> float:
    """Memory of this process and its children in MiB, what they share counted once."""
    total = 0
    # Without program files, whose share depends on what else runs on the machine.
    for pid in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(map(int, re.findall(r"Pss_(?:Anon|Shmem):\s+(\d+) kB", text)))
    return total / 1024


def measure_memory(way: str, options: dict) -> dict[str, float]:
    """Memory of a way above the process before it, in MiB; for a process of its own (Linux only).

    Returns:
        ``setup_peak_mib`` while the loader is made, ``held_mib`` by it before its first batch, and
        ``loading_peak_mib`` with its workers, the highest that was seen at the first 50 batches.
    """
    before = tree_mib()
    loader, peak = peak_memory(partial(make_loader, way, options))
    held = tree_mib() - before
    loading = max(tree_mib() for _ in itertools.islice(loader, 50)) - before
    return {"setup_peak_mib": peak, "held_mib": held, "loading_peak_mib": loading}


def measure_file(path: Path, args: argparse.Namespace) -> Iterator[dict]:
    """One entry for each way and number of workers on one file."""
    options = {"series": str(path), "windows": Windows(args.window, args.window)}
    options |= {"loading": Loading(args.batch_size, pin_memory=args.device == "cuda")}
    loader = make_loader("gathered", options)
    windows, shape = len(loader.dataset), loader.datamodule.collator.values.shape
    steps, nodes, features = shape
    size = {"data": path.stem, "nodes": nodes, "steps": steps, "windows": windows}
    # A reading takes four bytes, and its mask one.
    stored_mib = windows * 2 * args.window * nodes * features * 5 / 2**20
    reason = f"its windows take {stored_mib:,.1f} MiB, limit {args.limit:,.1f} MiB"
    refused = {"stored": {"left_out": reason}} if stored_mib > args.limit else {}
    ways = [way for way in WAYS if way not in refused]
    memory = measure_memory if args.quick else partial(isolated, measure_memory)
    for workers in args.workers:
        options |= {"loading": replace(options["loading"], num_workers=workers)}
        times = measure_times(ways, options, args.repeats, args.device)
        for way in WAYS:
            entry = {"way": way, "workers": workers, **size, "stored_mib": stored_mib}
            yield entry | (refused.get(way) or times[way] | memory(way, options))


def simulated_file(folder: str, nodes: int, days: int) -> Path:
    """Write a simulated road network, three features each 5 minutes."""
    schema.write(path := Path(folder, f"simulated_{nodes}.h5"), simulate(nodes, days))
    return path


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args, results = _parse(argv), []
    with tempfile.TemporaryDirectory() as folder:
        for source in [*args.nodes, *args.data]:
            if isinstance(source, int):
                source = simulated_file(folder, source, args.days)
            for entry in measure_file(source, args):
                print(source.stem, entry["way"], entry["workers"], flush=True)
                results.append(entry)
            write_result(args.output, "data_loading", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.data_loading")
    add = parser.add_argument
    add("--nodes", type=int, nargs="*", default=[207, 2000], help="detectors of simulated series")
    add("--days", type=int, default=28, help="length of simulated series")
    add("--data", type=Path, nargs="*", default=[], help="HDF5 files to measure as well")
    add("--workers", type=int, nargs="+", default=[0, 2], help="processes that make batches")
    add("--window", type=int, default=12, help="input steps, and target steps")
    add("--batch_size", type=int, default=16, help="windows per batch")
    add("--limit", type=float, default=4096.0, help="MiB that stored windows may take")
    add("--repeats", type=int, default=5, help="timed rounds")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="small, two rounds, memory in the same process")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.days, args.repeats = [20], 1, 2
    args.output = args.output or result_path(f"data_loading_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
