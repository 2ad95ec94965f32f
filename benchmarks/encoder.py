"""How fast is the shared encoder, and how much memory does it take, beside the xlstm package?

``python -m benchmarks.encoder`` gives both the same weights and takes their forward pass without
gradients, and a step of training (forward, backward), in turn in one process; the peak memory of a
step in a fresh process for each. By default each size is varied alone around width 64, 2 blocks and
1,656 rows of 12 steps; ``--full`` takes all combinations. The base is also compiled, and its
warm-up reported (``--compile``: everything is). What would take the package more memory than
``--limit`` is left out, and said; shapes beyond ``--largest`` are not taken.

The floor is what no evaluation can beat here: the operations of the blocks' linear maps, with the
package's block-diagonal ones counted as such, at the measured rate of matrix products, and the
input and output of each map, moved once at the measured rate of copying.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.environment import result_path, write_result
from benchmarks.measure import interleaved_seconds, isolated, peak_memory, summary
from benchmarks.pooling import measure_rates
from socialgraph.nn import XLSTMEncoder

__all__ = ["WAYS", "Shape", "floor_seconds", "main", "make_encoder"]

WAYS = ("package", "fused", "compiled")
KINDS = ("forward", "training")


@dataclass(frozen=True)
class Shape:
    """Size of a case; with ``slstm``, every second block is an sLSTM (the only one, if one)."""

    width: int
    blocks: int
    slstm: bool
    steps: int
    rows: int


BASE = Shape(64, 2, True, 12, 1656)
VARIED = ("width", "blocks", "steps", "rows")


def make_encoder(way: str, shape: Shape) -> XLSTMEncoder:
    """Encoder with the same weights for every way."""
    torch.manual_seed(0)
    slstm_at = range(shape.blocks > 1, shape.blocks, 2) if shape.slstm else ()
    backend = "package" if way == "package" else "fused"
    encoder = XLSTMEncoder(
        *(8, shape.width, shape.blocks, list(slstm_at)), backend=backend, compile=way == "compiled"
    )
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return encoder


def make_runs(way: str, shape: Shape, device: str) -> dict[str, Callable[[], Tensor]]:
    """``forward`` without gradients, and ``training``: forward and backward."""
    encoder = make_encoder(way, shape).to(device)
    x = torch.randn(shape.rows, shape.steps, 8, device=device)

    def training() -> Tensor:
        encoder.zero_grad()
        out = encoder(x)
        out.square().sum().backward()
        return out.detach()

    return {"forward": partial(torch.no_grad()(encoder), x), "training": training}


def measure_memory(way: str, shape: Shape, device: str) -> float:
    """Peak memory of a training step in MiB, to be called in a process of its own."""
    small = Shape(shape.width, shape.blocks, shape.slstm, 4, 4)
    make_runs(way, small, device)["training"]()
    return peak_memory(make_runs(way, shape, device)["training"], device)[1]


def measure_shape(shape: Shape, args: argparse.Namespace) -> list[dict]:
    """One entry for each way."""
    ways = WAYS if args.compile or _is_base(shape) else WAYS[:2]
    torch.compiler.reset()  # which would otherwise compile eight shapes and no more
    runs, entries, outs = {}, {}, {}
    for way in ways:
        entries[way] = {"way": way, **asdict(shape)}
        memory = package_mib(shape)
        if way == "package" and memory > args.limit:
            entries[way]["left_out"] = f"would take about {memory:,.0f} MiB"
            continue
        own = make_runs(way, shape, args.device)
        for kind, run in own.items():
            start = time.perf_counter()
            outs[way, kind] = run()
            entries[way][f"{kind}_warm_up"] = time.perf_counter() - start
            runs[way, kind] = run
    entries["fused"]["difference"] = _difference(outs)
    again = [way for way in ways if way != "compiled"]  # whose first time is another
    first = sum(entries[way].get(f"{kind}_warm_up", 0) for way in again for kind in KINDS)
    rounds = min(args.repeats, max(1, int(args.seconds / first)))
    for (way, kind), seconds in interleaved_seconds(
        runs, rounds, warmup=0, device=args.device
    ).items():
        entries[way][kind] = summary(seconds)
    measure = measure_memory if args.quick else partial(isolated, measure_memory)
    for way in ("package", "fused"):
        if "left_out" not in entries[way]:
            entries[way]["peak_memory_mib"] = measure(way, shape, args.device)
    return list(entries.values())


def _difference(outs: dict) -> float | None:
    """Greatest difference of the fused from the package's outputs, relative to their greatest."""
    if ("package", "forward") not in outs:
        return None
    package, fused = outs["package", "forward"], outs["fused", "forward"]
    return float((package - fused).abs().max() / package.abs().max())


def package_mib(shape: Shape) -> float:
    """Rough size of what the package keeps for a training step: decay matrices and activations."""
    mlstm = shape.blocks - (len(range(shape.blocks > 1, shape.blocks, 2)) if shape.slstm else 0)
    matrices = 8 * 4 * mlstm * shape.rows * 4 * (shape.steps + 1) ** 2
    activations = 4 * 60 * shape.blocks * shape.rows * shape.steps * shape.width
    return (matrices + activations) / 2**20


def floor_seconds(shape: Shape, rates: dict[str, float]) -> float:
    """Least time of a forward pass over the whole of all blocks."""
    width, inner = shape.width, 2 * shape.width
    feed = 64 * -(-int(1.3 * width) // 64)
    # (inputs, outputs, weights) of the maps of a block
    mlstm = [(width, 2 * inner, 2 * width * inner), (inner, 3 * inner, 3 * 4 * inner)]
    mlstm += [(inner, width, width * inner)]
    slstm = [(width, 4 * width, 4 * width**2 // 4), (width, 4 * width, 4 * width**2 // 4)]
    slstm += [(width, 2 * feed, 2 * width * feed), (feed, width, width * feed)]
    count = len(range(shape.blocks > 1, shape.blocks, 2)) if shape.slstm else 0
    maps = count * slstm + (shape.blocks - count) * mlstm
    tokens = shape.rows * shape.steps
    moved = 4 * tokens * sum(i + o for i, o, _ in maps)
    operations = 2 * tokens * sum(weights for *_, weights in maps)
    return moved / rates["bytes_per_second"] + operations / rates["operations_per_second"]


def choose_shapes(args: argparse.Namespace) -> list[Shape]:
    """All combinations of the sizes, or each varied alone around the base; the smallest first."""
    sizes = (args.widths, args.blocks, (True, False), args.steps, args.rows)
    shapes = [Shape(*values) for values in itertools.product(*sizes)]
    if not args.full:
        base = asdict(BASE)
        shapes = [s for s in shapes if sum(asdict(s)[name] != base[name] for name in VARIED) <= 1]
    return sorted((shape for shape in shapes if _size(shape) <= args.largest), key=_size)


def _size(shape: Shape) -> int:
    return shape.rows * shape.steps * shape.width * shape.blocks


def _is_base(shape: Shape) -> bool:
    return all(getattr(shape, name) == getattr(BASE, name) for name in VARIED)


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    rates = measure_rates(args.device)
    results = []
    for shape in choose_shapes(args):
        entries = measure_shape(shape, args)
        for entry in entries:
            entry["floor_seconds"] = floor_seconds(shape, rates)
        results += entries
        medians = {e["way"]: e["training"]["median"] for e in entries if "training" in e}
        print(shape, {way: round(seconds, 3) for way, seconds in medians.items()}, flush=True)
        write_result(args.output, "encoder", {**vars(args), "rates": rates}, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.encoder", description=__doc__)
    add = parser.add_argument
    add("--widths", type=int, nargs="+", default=[32, 64, 128])
    add("--blocks", type=int, nargs="+", default=[1, 2, 4])
    add("--steps", type=int, nargs="+", default=[12, 24, 288], help="length of the sequences")
    add("--rows", type=int, nargs="+", default=[207, 1656, 13248], help="sequences")
    add(
        "--largest", type=float, default=8e7, help="steps × rows × width × blocks, beyond: left out"
    )
    add("--limit", type=float, default=14_000.0, help="MiB that the package may take")
    add("--full", action="store_true", help="all combinations: hours")
    add("--compile", action="store_true", help="compile everything")
    add("--repeats", type=int, default=3, help="timed rounds at most")
    add("--seconds", type=float, default=30.0, help="bound of a shape's rounds after the first")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="small, two rounds, memory in the same process")
    args = parser.parse_args(argv)
    if args.quick:
        args.widths, args.blocks, args.steps, args.rows, args.repeats = [16], [2], [4], [5, 9], 2
        args.full = True
    args.output = args.output or result_path(f"encoder_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
