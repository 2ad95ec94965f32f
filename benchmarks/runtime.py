"""What does a forecast cost without PyTorch, and what a start?

``python -m benchmarks.runtime --ckpt_path best.ckpt`` exports a checkpoint and forecasts one window
of several numbers of detectors in turn: by PyTorch, by PyTorch compiled ahead of time (AOTInductor,
if there is a C++ compiler), and by onnxruntime, with weights as they are, in half precision and as
int8. Detectors are strangers with 12 neighbours each. The starts, each in a process of its own, go
from nothing to the first forecast of the detectors of the training.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.environment import ROOT, result_path, write_result
from benchmarks.measure import interleaved_seconds, summary
from socialgraph.export import PlainForecaster, dynamic_shapes, example_inputs, export_forecaster
from socialgraph.forecaster import Forecaster, load

__all__ = ["main"]

_STARTS = {
    "torch": "import socialgraph; f = socialgraph.load(sys.argv[1]); "
    "from socialgraph.stream import StreamingForecaster; s = StreamingForecaster(f); "
    "s.update(np.datetime64('2012-03-07T08:00:00'), x[0])",
    "onnxruntime": "from socialgraph.runtime import RuntimeForecaster; "
    "r = RuntimeForecaster(sys.argv[1], threads=1); "
    "x = np.repeat(x[:, None], r.spec.window, 1); "
    "r.predict(x, np.array(['2012-03-07T08:00:00'], 'M8[s]'))",
}
_SCRIPT = (
    "import sys, time; start = time.perf_counter(); import numpy as np\n"
    "x = np.full((1, int(sys.argv[2]), int(sys.argv[3])), 50.0, 'f4')\n{}\n"
    "seconds = time.perf_counter() - start\n"
    # Of this program alone: what the system reports of a child begins with its parent's.
    "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]\n"
    "print(seconds, int(peak) / 1024)"
)


def measure_start(way: str, path: Path, forecaster: Forecaster) -> dict:
    """Seconds and memory of a process from its first line to its first forecast."""
    sizes = [str(len(part)) for part in (forecaster.spec.vdids, forecaster.spec.features)]
    words = [sys.executable, "-c", _SCRIPT.format(_STARTS[way]), path, *sizes]
    runs = [
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(3)
    ]
    seconds, memory = zip(*([float(value) for value in run[-2:]] for run in runs), strict=True)
    return {
        "way": way,
        "start_seconds": summary(list(seconds)),
        "peak_memory_mib": max(memory),
        "file_mib": path.stat().st_size / 2**20,
    }


def measure_forecasts(
    ways: dict[str, Callable], forecaster: Forecaster, nodes: int, repeats: int
) -> list[dict]:
    """Seconds of a forecast by each way, and how far it is from PyTorch's."""
    inputs = make_inputs(forecaster, nodes)
    runs = {name: (lambda way=way: way(inputs)) for name, way in ways.items()}
    truth = runs["torch"]()
    entries = []
    for name, seconds in interleaved_seconds(runs, repeats, warmup=2, device="cpu").items():
        apart = float(np.abs(runs[name]() - truth).max())
        entries.append(
            {"way": name, "nodes": nodes, "seconds": summary(seconds), "largest_difference": apart}
        )
    return entries


def make_inputs(forecaster: Forecaster, nodes: int) -> dict[str, torch.Tensor]:
    """One window of strangers around the mean, with 12 neighbours each within 5 km."""
    generator = torch.Generator().manual_seed(0)
    spec = forecaster.spec
    steps, shape = spec.window + spec.horizon, (1, spec.window, nodes, len(spec.features))
    noise = torch.randn(shape, generator=generator)
    receiver = torch.arange(nodes).repeat_interleave(12)
    sender = (receiver + torch.arange(1, 13).repeat(nodes)) % nodes
    offset = 3500 * (2 * torch.rand(12 * nodes, 2, generator=generator) - 1)
    return {
        "readings": torch.tensor(spec.loc) + torch.tensor(spec.scale) * noise.clamp(-2, 2),
        "time_of_day": torch.linspace(0.3, 0.4, steps)[None],
        "day_of_week": torch.full((1, steps), 2),
        "node": torch.full((nodes,), -1),
        "edge_index": torch.stack([sender, receiver]),
        "distance": offset.norm(dim=1),
        "offset": offset,
    }


def make_ways(forecaster: Forecaster, folder: Path, compiled: bool) -> dict[str, Callable]:
    """Functions from inputs to forecasts as arrays."""
    plain = PlainForecaster(forecaster).eval()

    def torch_way(call):
        @torch.no_grad()
        def run(inputs):
            found = call(**inputs)  # with quantiles, if the forecaster has some
            return (found[0] if isinstance(found, tuple) else found).numpy()

        return run

    ways = {"torch": torch_way(plain)}
    if compiled:
        inputs = make_inputs(forecaster, 20)
        graph = {name: inputs[name] for name in ("edge_index", "distance", "offset")}
        example = example_inputs(forecaster, graph)
        with torch.no_grad():
            program = torch.export.export(
                plain, (), example, dynamic_shapes=dynamic_shapes(example)
            )
            package = torch._inductor.aoti_compile_and_package(
                program, package_path=str(folder / "compiled.pt2")
            )
        ways["torch, compiled ahead"] = torch_way(torch._inductor.aoti_load_package(package))
    for name, path in _onnx_files(folder).items():
        ways[name] = _onnx_way(path)
    return ways


def _onnx_files(folder: Path) -> dict[str, Path]:
    """The exported file, and two with smaller weights."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    whole, half, bytes_ = (folder / f"{name}.onnx" for name in ("whole", "half", "int8"))
    # What onnxruntime adds up over edges in single precision alone.
    kept = [*DEFAULT_OP_BLOCK_LIST, "ScatterElements"]
    model = convert_float_to_float16(onnx.load(whole), keep_io_types=True, op_block_list=kept)
    onnx.save(model, half)
    quantize_dynamic(whole, bytes_)
    return {"onnxruntime": whole, "onnxruntime, half": half, "onnxruntime, int8": bytes_}


def _onnx_way(path: Path) -> Callable:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options)
    names = {entry.name for entry in session.get_inputs()}
    names |= {entry.name for entry in session.get_overridable_initializers()}

    def run(inputs):
        return session.run(None, {n: p.numpy() for n, p in inputs.items() if n in names})[0]

    return run


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    forecaster, results = load(args.ckpt_path), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_forecaster(forecaster, folder / "whole.onnx")
        results.append(measure_start("torch", args.ckpt_path, forecaster))
        results.append(measure_start("onnxruntime", folder / "whole.onnx", forecaster))
        compiled = shutil.which("g++") is not None and not args.quick
        ways = make_ways(forecaster, folder, compiled)
        for nodes in args.nodes:
            results += measure_forecasts(ways, forecaster, nodes, args.repeats)
            print(f"{nodes} detectors", flush=True)
            write_result(args.output, "runtime", vars(args), results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.runtime", description=__doc__)
    parser.add_argument("--ckpt_path", type=Path, required=True, help="a network with pooling")
    parser.add_argument("--nodes", type=int, nargs="+", default=[207, 2000, 8600])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="20 detectors, twice")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.repeats = [20], 2
    args.output = args.output or result_path("runtime_cpu", args.quick)
    return args


if __name__ == "__main__":
    main()
