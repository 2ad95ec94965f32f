"""How much memory does a training step need for N detectors?

``python -m benchmarks.plan --nodes 8600 --hidden_channels 64`` runs two small training steps of the
model, counts the bytes of all live tensors at their highest, and extends the line through both to N
detectors, with one feature. It counts on a CPU; a GPU holds the same tensors, and besides them the
CUDA context and the cache of PyTorch. On a CPU the Python process does, and
what the C library keeps of freed memory (up to half as much again; none with RETURN_MEMORY, below).

``--check`` instead compares prediction and measurement for the sizes of CHECKS on this machine, and
writes ``benchmarks/results/plan_<device>.json``.
"""

import argparse
import dataclasses
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import h5py
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.environment import result_path, write_result
from benchmarks.measure import isolated, peak_memory
from benchmarks.workload import FORMS, Size, make_network, make_optimizer, make_training_step
from socialgraph import schema
from socialgraph.graph import RadiusGraph

__all__ = ["LiveTensors", "main", "measure", "predict"]

RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
SMALL = (64, 128)
CHECKS = (
    ("shared", Size(207)),
    ("vectorised", Size(207)),
    ("shared", Size(207, aggr="none")),
    ("shared", Size(325, hidden_channels=64, num_blocks=4)),
    ("shared", Size(2000, hidden_channels=64)),
    ("shared", Size(2000, hidden_channels=64, gradient_checkpointing=True)),
    ("shared", Size(2000, hidden_channels=64, precision="bfloat16")),
    ("shared", Size(8600, batch_size=1, hidden_channels=64)),
    ("vectorised", Size(2000)),
    ("shared", Size(325, batch_size=4, window=96, aggr="mean")),
)


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operators make inside, while they live.

    Attributes:
        peak: bytes at the highest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.add(tensor)
        return result

    def add(self, tensor: Tensor) -> None:
        """Count a tensor from now until its memory is freed; views and known ones count once."""
        if tensor.layout == torch.sparse_csr:
            for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values()):
                self.add(part)
            return
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen.add(storage)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._remove, storage.nbytes())

    def _remove(self, size: int) -> None:
        self.live -= size


def predict(form: str, size: Size, degree: float, device: str) -> float:
    """Memory of a training step in MiB, from two small ones.

    Args:
        form: ``"shared"`` or ``"vectorised"``.
        size: sizes of the workload.
        degree: mean number of neighbours within ``size.max_radius``.
        device: ``"cpu"`` or ``"cuda"``, where the step will run; it is tried on the CPU.

    Returns:
        The highest sum of weights, gradients, optimiser state, batch and activations.
    """
    sizes = [dataclasses.replace(size, nodes=nodes) for nodes in SMALL]
    first, second = (_peak_of_step(form, small, degree, device == "cpu") for small in sizes)
    slope = (second - first) / (SMALL[1] - SMALL[0])
    return (first + slope * (size.nodes - SMALL[0])) / 2**20


def measure(form: str, size: Size, degree: float, device: str) -> float:
    """Peak memory of two training steps in MiB; to be called in a process of its own.

    On a CPU it is the resident memory above that of the process after a tiny step, on CUDA what
    PyTorch allocated.
    """
    _two_steps(form, dataclasses.replace(size, nodes=4), degree, device)
    return peak_memory(lambda: _two_steps(form, size, degree, device), device)[1]


def _peak_of_step(form: str, size: Size, degree: float, fuse: bool) -> int:
    with LiveTensors() as tensors:
        _two_steps(form, size, degree, "cpu", fuse)
    return tensors.peak


def _two_steps(form: str, size: Size, degree: float, device: str, fuse: bool | None = None) -> None:
    """Train; with ``fuse``, pool as at any size, or else as on a GPU, however small it is here."""
    batch = _ring_batch(size, degree, device)
    network = make_network(form, size).to(device)
    if fuse is not None:
        for pooling in network.poolings:
            pooling.fuse, pooling.fuse_from = fuse, 0
    step = make_training_step(network, make_optimizer(network), batch, size.precision)
    step()
    step()


def _ring_batch(size: Size, degree: float, device: str) -> dict:
    """Random readings on a ring, where the first nodes have the neighbours that make the degree."""
    nodes, edges = size.nodes, round(degree * size.nodes)
    sender = torch.arange(edges) % nodes
    hop = 1 + torch.arange(edges) // nodes % (nodes - 1)
    shape = (size.batch_size, size.window, nodes, 1)
    batch = {
        "features": torch.randn(shape),
        "mask": torch.ones(shape, dtype=torch.bool),
        "targets": torch.randn(size.batch_size, size.horizon, nodes, 1),
        "target_mask": torch.ones(size.batch_size, size.horizon, nodes, 1, dtype=torch.bool),
        "time_of_day": torch.rand(shape[:2]),
        "day_of_week": torch.zeros(shape[:2], dtype=torch.long),
        "positions_xy": torch.rand(nodes, 2),
        "edge_index": torch.stack([sender, (sender + hop) % nodes]),
        "distance": torch.rand(edges) * size.max_radius,
        "offset": torch.rand(edges, 2) * size.max_radius,
    }
    return {name: tensor.to(device) for name, tensor in batch.items()}


def check(form: str, size: Size, degree: float, device: str) -> dict:
    """Prediction and measurement side by side.

    Returns:
        ``predicted_mib``, ``measured_mib``, their ``ratio`` and, on a CPU, ``resident_mib``, which
        is what a process without RETURN_MEMORY takes.
    """
    predicted = isolated(predict, form, size, degree, device)
    ask = (measure, form, size, degree, device)
    measured = isolated(*ask, environment=RETURN_MEMORY)
    return {
        **{"form": form, "degree": degree, **dataclasses.asdict(size)},
        "predicted_mib": predicted,
        "measured_mib": measured,
        "ratio": predicted / measured,
        "resident_mib": isolated(*ask) if device == "cpu" else None,
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    if args.check:
        results = []
        for form, size in CHECKS[: 1 if args.quick else None]:
            results.append(check(form, size, args.degree, args.device))
            print(f"{form} {size}: {results[-1]['ratio']:.2f} of the measured peak", flush=True)
            write_result(args.output, "plan", vars(args), results)
        return
    nodes, degree = args.nodes, args.degree
    if args.data:
        count, degree = _degree_of(args.data, args.max_radius)
        nodes = nodes or [count]
    names = [field.name for field in dataclasses.fields(Size) if field.name != "nodes"]
    for count in nodes:
        size = Size(count, **{name: getattr(args, name) for name in names})
        memory = predict(args.form, size, degree, args.device)
        print(f"{count} detectors with {degree:.1f} neighbours: {memory:,.0f} MiB")


def _degree_of(path: Path, max_radius: float) -> tuple[int, float]:
    """Number of detectors of a file, and their mean number of neighbours."""
    vdids = schema.read_vdids(path)
    with h5py.File(path) as file:
        lat, lon, _ = schema.read_positions(file, vdids)
    graph = RadiusGraph(max_radius).build(SimpleNamespace(vdids=vdids, lat=lat, lon=lon))
    return len(vdids), graph.num_edges / len(vdids)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.plan", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", help="numbers of detectors")
    parser.add_argument("--data", type=Path, help="HDF5 file to take nodes and neighbours from")
    parser.add_argument("--degree", type=float, default=10.0, help="mean number of neighbours")
    parser.add_argument("--form", choices=FORMS[:2], default="shared")
    for field in dataclasses.fields(Size)[1:]:
        if field.type is bool:
            kind = {"action": "store_true"}
        else:
            choices = get_args(field.type)
            kind = {"choices": choices} if choices else {"type": field.type}
        parser.add_argument(f"--{field.name}", default=field.default, **kind)
    parser.add_argument("--check", action="store_true", help="compare with measurements")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="JSON file that --check writes")
    parser.add_argument("--quick", action="store_true", help="one small size")
    args = parser.parse_args(argv)
    if not (args.nodes or args.data or args.check):
        parser.error("Expected '--nodes N', or '--data FILE.h5' to count them.")
    args.output = args.output or result_path(f"plan_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
