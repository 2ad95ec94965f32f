"""Does the service answer while readings come in?

``python -m benchmarks.service --ckpt_path best.ckpt`` starts ``socialgraph serve`` on this machine
and asks it, at a steady rate, for the forecast of one detector, while the readings of all detectors
arrive once a second as CSV. Requests are sent when they are due, whether the ones before were
answered or not, and a latency is counted from then. Client and server share the cores.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.environment import ROOT, result_path, write_result
from socialgraph.checkpoint import read_checkpoint
from socialgraph.spec import DataSpec

__all__ = ["main"]

_MOST_SECONDS, _MOST_RATE = 120, 1000
_IDLE = 3.0  # seconds; the service closes after 5
_BEGIN = np.datetime64("2024-01-01T00:00:00", "s")


class Client:
    """Connections that stay open, one request at a time on each; idle ones are given up."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """Send a request and read the answer; its status."""
        reader, writer = await self._connection()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        self._free.append((reader, writer, time.monotonic()))
        return int(answer.split(b" ", 2)[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer, used = self._free.pop()
            if time.monotonic() - used < _IDLE:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)


async def load(port: int, spec: DataSpec, rate: float, seconds: float, first: int = 0) -> dict:
    """Ask and send for some seconds; latencies of both, and how the requests ended.

    Args:
        port: of the service.
        spec: what it follows.
        rate: requests for forecasts a second.
        seconds: how long.
        first: steps that were sent before.
    """
    client, begin = Client(port), time.monotonic()
    found: dict[str, list[float]] = {"forecasts": [], "readings": []}
    statuses: Counter[str] = Counter()

    async def one(kind: str, due: float, *request) -> None:
        await asyncio.sleep(begin + due - time.monotonic())
        try:
            status = await asyncio.wait_for(client.ask(*request), 10)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            status = type(error).__name__
        statuses[f"{kind} {status}"] += 1
        found[kind].append(time.monotonic() - begin - due)

    rng = np.random.default_rng(0)
    names = rng.choice(spec.vdids, round(rate * seconds))
    asked = [
        one("forecasts", k / rate, "GET", f"/forecasts?detector={name}")
        for k, name in enumerate(names)
    ]
    bodies = [_readings(spec, first + k, rng) for k in range(round(seconds))]
    sent = [one("readings", k + 0.5, "POST", "/readings", body) for k, body in enumerate(bodies)]
    begin = time.monotonic() + 0.5
    await asyncio.gather(*asked, *sent)
    return {"statuses": dict(statuses), **{n: _latencies(part) for n, part in found.items()}}


def _latencies(seconds: list[float]) -> dict:
    shares = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    named = {name: float(np.percentile(seconds, share)) for name, share in shares.items()}
    return {"count": len(seconds), "mean": float(np.mean(seconds)), **named}


def _readings(spec: DataSpec, step: int, rng: np.random.Generator) -> bytes:
    columns = [f"{vdid}:{name}" for vdid in spec.vdids for name in spec.features]
    shape = (len(spec.vdids), len(spec.features))
    values = np.array(spec.loc) + np.array(spec.scale) * rng.standard_normal(shape).clip(-2, 2)
    cells = ",".join(f"{value:.2f}" for value in values.ravel())
    return f"{','.join(['timestamp', *columns])}\n{_BEGIN + step * spec.step}Z,{cells}\n".encode()


def _wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                raise RuntimeError("the service has ended") from None
            time.sleep(0.1)
    raise TimeoutError("the service did not start")


def measure(args: argparse.Namespace) -> dict:
    """Start the service, load it, and end it."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
    if args.ckpt_path.suffix == ".onnx":
        from socialgraph.runtime import RuntimeForecaster

        spec = RuntimeForecaster(args.ckpt_path).spec
    else:
        spec = DataSpec.from_dict(read_checkpoint(args.ckpt_path)["spec"])
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        words = ["serve", "--ckpt_path", args.ckpt_path, "--state", f"{folder}/s.db"]
        command = [sys.executable, "-m", "socialgraph", *map(str, words), "--port", str(port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            _wait_for(port, process)
            asyncio.run(load(port, spec, 20, 3))  # so that there is something to ask for
            found = asyncio.run(load(port, spec, args.rate, args.seconds, first=3))
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        finally:
            process.terminate()
            process.wait(60)
    sizes = {"nodes": len(spec.vdids), "features": len(spec.features)}
    return {**sizes, "peak_mib": peak, "load_before": before, **found}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    entry = measure(args)
    write_result(args.output, "service", vars(args), [entry])
    for name in ("forecasts", "readings"):
        own = entry[name]
        times = ", ".join(f"{key} {1e3 * own[key]:.1f}" for key in ("p50", "p95", "p99", "max"))
        print(f"{name}: {own['count']}, ms: {times}")
    print(entry["statuses"], f"{entry['peak_mib']:.0f} MiB")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.service", description=__doc__)
    add = parser.add_argument
    add("--ckpt_path", type=Path, required=True, help="checkpoint or exported .onnx")
    add("--rate", type=float, default=200.0, help="requests a second for forecasts")
    add("--seconds", type=float, default=60.0, help="how long")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="20 a second, two seconds")
    args = parser.parse_args(argv)
    if args.quick:
        args.rate, args.seconds = 20.0, 2.0
    if not (0 < args.rate <= _MOST_RATE and 1 <= args.seconds <= _MOST_SECONDS):
        parser.error(f"expected --rate up to {_MOST_RATE} and --seconds 1 to {_MOST_SECONDS}.")
    args.output = args.output or result_path("service_cpu", args.quick)
    return args


if __name__ == "__main__":
    main()
