"""How fast is social pooling, and how much memory does it take, beside the layers of PyG?

``python -m benchmarks.pooling`` runs on random detectors at constant density, forward and forward
with backward, one window or several on the same graph:

- attention: ``social`` (learned radius) and ``social_fixed``; PyG's ``GATConv``, ``GATv2Conv`` and
  ``TransformerConv``; ``dense``, PyTorch's scaled dot product over all pairs with a mask;
- mean: ``social_mean`` (learned radius) and ``social_mean_fixed``; PyG's ``SAGEConv``;
- ``loop`` and ``loop_mean``, which pool detector by detector.

All map 64 channels to 64, attention with four heads. The layers of PyG read the windows as one
disjoint graph, made beforehand. Times are taken in one process, all in turn; the peak memory of
forward and backward in a fresh process for each. ``floor`` is what no implementation can beat here:
every state read and written once at the measured rate of copying, and the linear maps at the
measured rate of matrix products.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, SAGEConv, TransformerConv

from benchmarks.environment import result_path, write_result
from benchmarks.graph_building import random_positions
from benchmarks.measure import interleaved_seconds, isolated, peak_memory, summary
from socialgraph.graph import build_radius_graph
from socialgraph.nn import SocialPooling

__all__ = ["ATTENTION", "MEAN", "Shape", "main", "make_call", "make_inputs"]

RADIUS, WIDTH, HEADS = 2000.0, 64, 4
DENSE_LIMIT_MIB = 8192
LOOP_LIMIT = 10**8  # detectors² × windows
ATTENTION = ("social", "social_fixed", "GATConv", "GATv2Conv", "TransformerConv", "dense", "loop")
MEAN = ("social_mean", "social_mean_fixed", "SAGEConv", "loop_mean")


@dataclass(frozen=True)
class Shape:
    """Size of a case: detectors, mean neighbours of one in the middle, windows."""

    nodes: int
    degree: float
    windows: int


@dataclass(frozen=True)
class Inputs:
    """States ``[B, N, C]`` and the graph, also as one disjoint graph of all windows."""

    x: Tensor
    edge_index: Tensor
    distance: Tensor
    disjoint: Tensor


class Dense(nn.Module):
    """Attention over all pairs, of which a mask leaves the edges."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        windows, nodes, _ = inputs.x.shape
        scores_mib = 4 * windows * HEADS * nodes**2 / 2**20
        if scores_mib > DENSE_LIMIT_MIB:
            raise RuntimeError(f"its scores may take {scores_mib:,.0f} MiB")
        lowest = torch.finfo(torch.float32).min / 2
        self.mask = torch.full((nodes, nodes), lowest, device=inputs.x.device)
        self.mask[inputs.edge_index[1], inputs.edge_index[0]] = 0

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(-2, -3)
            for part in self.project(x).chunk(3, dim=-1)
        )
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)
        return out.transpose(-2, -3).flatten(-2)


class Loop(nn.Module):
    """Attention or mean of the neighbours, detector by detector."""

    def __init__(self, inputs: Inputs, attention: bool) -> None:
        super().__init__()
        if (cost := inputs.x.size(0) * inputs.x.size(1) ** 2) > LOOP_LIMIT:
            raise RuntimeError(f"each of its gradients fills all states: {cost:.1e} of them")
        self.attention = attention
        self.project = nn.Linear(WIDTH, (3 if attention else 1) * WIDTH, bias=False)
        sender, receiver = inputs.edge_index
        self.neighbors = [sender[receiver == i] for i in range(inputs.x.size(-2))]

    def forward(self, x: Tensor) -> Tensor:
        states = self.project(x)
        return torch.stack([self._pool(states, i) for i in range(x.size(-2))], dim=-2)

    def _pool(self, states: Tensor, node: int) -> Tensor:
        near = states[..., self.neighbors[node], :]
        if near.size(-2) == 0:
            return states[..., node, :WIDTH] * 0
        if not self.attention:
            return near.mean(dim=-2)
        query = states[..., node, :WIDTH].unflatten(-1, (HEADS, -1))
        _, key, value = (part.unflatten(-1, (HEADS, -1)) for part in near.chunk(3, dim=-1))
        score = (query.unsqueeze(-3) * key).sum(-1) / key.size(-1) ** 0.5  # [*, D, H]
        return (score.softmax(dim=-2).unsqueeze(-1) * value).sum(dim=-3).flatten(-2)


def make_inputs(shape: Shape, device: str) -> Inputs:
    """Random detectors with their graph, and random states."""
    pos = random_positions(shape.nodes, shape.degree, RADIUS)
    edges = build_radius_graph(pos, RADIUS)
    edge_index, distance = (torch.from_numpy(part).to(device) for part in edges)
    window = torch.arange(shape.windows, device=device).view(-1, 1)
    disjoint = torch.stack([(row + window * shape.nodes).flatten() for row in edge_index])
    x = torch.randn(shape.windows, shape.nodes, WIDTH, device=device)
    return Inputs(x, edge_index, distance.float(), disjoint)


def make_call(name: str, inputs: Inputs) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A layer, and the function of the states ``[B, N, C]`` that calls it."""
    device = inputs.x.device
    if name.startswith("social"):
        layer = _social(name).to(device)
        return layer, lambda x: layer(x, inputs.edge_index, distance=inputs.distance)
    if name in ("dense", "loop", "loop_mean"):
        layer = Dense(inputs) if name == "dense" else Loop(inputs, name == "loop")
        return layer.to(device), layer
    if name == "SAGEConv":
        layer = SAGEConv(WIDTH, WIDTH, root_weight=False, bias=False)
    elif name == "TransformerConv":
        layer = TransformerConv(WIDTH, WIDTH // HEADS, HEADS, root_weight=False, bias=False)
    else:
        conv = {"GATConv": GATConv, "GATv2Conv": GATv2Conv}[name]
        layer = conv(WIDTH, WIDTH // HEADS, HEADS, bias=False)
    layer = layer.to(device)
    return layer, lambda x: layer(x.flatten(0, 1), inputs.disjoint).view(x.shape)


def _social(name: str) -> SocialPooling:
    fixed = name.endswith("fixed")
    options = {"radius": RADIUS if fixed else RADIUS / 2, "max_radius": RADIUS}
    if "mean" in name:
        return SocialPooling(WIDTH, WIDTH, learn_radius=not fixed, **options)
    return SocialPooling(
        *(WIDTH, WIDTH // HEADS, "attention"),
        learn_radius=not fixed, heads=HEADS, concat=True, **options,
    )  # fmt: skip


def make_runs(name: str, inputs: Inputs) -> dict[str, Callable[[], object]]:
    """``forward`` without gradients, and ``training``: forward and backward."""
    layer, call = make_call(name, inputs)
    own = inputs.x.clone().requires_grad_()

    def training() -> None:
        layer.zero_grad()
        own.grad = None
        call(own).sum().backward()

    return {"forward": lambda: torch.no_grad()(call)(inputs.x), "training": training}


def measure_memory(name: str, shape: Shape, device: str) -> float:
    """Peak memory of forward and backward in MiB, to be called in a process of its own."""
    torch.manual_seed(0)
    make_runs(name, make_inputs(Shape(8, 4.0, 1), device))["training"]()
    run = make_runs(name, make_inputs(shape, device))["training"]
    return peak_memory(run, device)[1]


def measure_shape(shape: Shape, args: argparse.Namespace) -> list[dict]:
    """One entry for each way."""
    inputs = make_inputs(shape, args.device)
    entries, runs = {}, {}
    for name in (*ATTENTION, *MEAN):
        entries[name] = {"way": name, **asdict(shape), "edges": inputs.edge_index.size(1)}
        try:
            own = make_runs(name, inputs)
            seconds = {kind: _seconds(run, args.device) for kind, run in own.items()}
        except RuntimeError as error:
            entries[name]["error"] = str(error)[-300:]
            continue
        if seconds["training"] > args.limit:
            entries[name]["error"] = f"one step takes {seconds['training']:.0f} s"
            continue
        runs |= {(name, kind): run for kind, run in own.items()}
    turn = sum(_seconds(run, args.device) for run in runs.values())
    repeats = args.repeats or min(50, max(3, round(args.patience / turn)))
    for (name, kind), seconds in interleaved_seconds(runs, repeats, device=args.device).items():
        entries[name][kind] = summary(seconds)
    for name in dict.fromkeys(name for name, _ in runs):
        memory = measure_memory if args.quick else _isolated_memory
        entries[name]["peak_memory_mib"] = memory(name, shape, args.device)
    return list(entries.values())


def _isolated_memory(name: str, shape: Shape, device: str) -> float:
    return isolated(measure_memory, name, shape, device)


def _seconds(run: Callable[[], object], device: str) -> float:
    return interleaved_seconds({"run": run}, repeats=1, warmup=0, device=device)["run"][0]


def measure_rates(device: str) -> dict[str, float]:
    """Bytes read and written per second by a copy, and operations per second of a product."""
    source = torch.randn(2**26, device=device)
    target = torch.empty_like(source)
    matrix = torch.randn(2048, 2048, device=device)
    runs = {"copy": lambda: target.copy_(source), "product": lambda: matrix @ matrix}
    seconds = interleaved_seconds(runs, repeats=7, device=device)
    return {
        "bytes_per_second": 2 * 4 * source.numel() / summary(seconds["copy"])["median"],
        "operations_per_second": 2 * 2048**3 / summary(seconds["product"])["median"],
    }


def floor_seconds(shape: Shape, edges: int, maps: int, rates: dict[str, float]) -> float:
    """Least time of a forward pass with ``maps`` linear maps of the states.

    The states are read, each mapped state is written and read, the result is written, and both ends
    and the length of every edge are read.
    """
    states = shape.windows * shape.nodes * WIDTH
    moved = 4 * states * (2 + 2 * maps) + (2 * 8 + 4) * edges
    operations = 2 * maps * states * WIDTH
    return moved / rates["bytes_per_second"] + operations / rates["operations_per_second"]


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    torch.manual_seed(0)
    rates = measure_rates(args.device)
    results = []
    for nodes in args.nodes:
        for degree in args.degrees:
            for windows in args.windows:
                shape = Shape(nodes, degree, windows)
                start = time.perf_counter()
                entries = measure_shape(shape, args)
                for entry in entries:
                    maps = 3 if entry["way"] in ATTENTION else 1
                    entry["floor_seconds"] = floor_seconds(shape, entry["edges"], maps, rates)
                results += entries
                print(f"{shape}: {time.perf_counter() - start:.0f} s", flush=True)
                write_result(args.output, "pooling", {**vars(args), "rates": rates}, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.pooling", description=__doc__)
    add = parser.add_argument
    add("--nodes", type=int, nargs="+", default=[207, 325, 2000, 8600], help="detectors")
    add("--degrees", type=float, nargs="+", default=[10, 30], help="mean neighbours")
    add("--windows", type=int, nargs="+", default=[1, 16], help="windows on one graph")
    add("--repeats", type=int, help="timed rounds; by default as many as fit --patience, 3 to 50")
    add("--patience", type=float, default=10.0, help="seconds for the rounds of one shape")
    add("--limit", type=float, default=20.0, help="seconds that one training step may take")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="small, two rounds, memory in the same process")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.degrees, args.windows, args.repeats = [30], [6.0], [1, 2], 2
    args.output = args.output or result_path(f"pooling_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
