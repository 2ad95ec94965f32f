"""Time and memory of functions, measured side by side."""

import gc
import multiprocessing
import os
import re
import statistics
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

__all__ = [
    "growth",
    "interleaved_seconds",
    "isolated",
    "peak_memory",
    "resident_mib",
    "summary",
]


def interleaved_seconds(
    functions: dict[str, Callable[[], object]],
    repeats: int,
    warmup: int = 1,
    device: str = "cpu",
) -> dict[str, list[float]]:
    """Wall time of each function, one call of each in turn, so that drift hits all alike.

    Args:
        functions: what is timed, by name.
        repeats: timed rounds.
        warmup: rounds before them.
        device: ``"cpu"`` or ``"cuda"``; CUDA is synchronised around each call.

    Returns:
        Seconds of every repeat, by name.
    """
    seconds = {name: [] for name in functions}
    for turn in range(warmup + repeats):
        for name, function in functions.items():
            _synchronize(device)
            start = time.perf_counter()
            function()
            _synchronize(device)
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def peak_memory(function: Callable[[], object], device: str = "cpu") -> tuple[object, float]:
    """What a function returns, and the highest memory while it ran, in MiB.

    On CUDA the memory that PyTorch had allocated; on the CPU the resident memory of the process
    above what it held before (Linux only), so call it in a process of its own: :func:`isolated`.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        value = function()
        torch.cuda.synchronize()
        return value, torch.cuda.max_memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # sets the high-water mark to the present
    before = resident_mib()
    value = function()
    return value, resident_mib("VmHWM") - before


def resident_mib(entry: str = "VmRSS") -> float:
    """Resident memory of this process now, or at its highest (``"VmHWM"``), in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{entry}:\s+(\d+) kB", status)[1]) / 1024


def isolated(
    function: Callable,
    *args: object,
    timeout: float | None = None,
    environment: dict[str, str] | None = None,
) -> object:
    """Value of ``function(*args)``, computed in a fresh process.

    Args:
        function: a function of a module.
        args: what it is called with.
        timeout: seconds after which it is ended; None for never.
        environment: variables that the process gets besides those of this one.

    Raises:
        TimeoutError: if it takes more than ``timeout`` seconds; the process is ended.
        RuntimeError: if it fails, with its error, or its process is killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_value, args=(sender, function, args))
    before = dict(os.environ)
    os.environ.update(environment or {})
    process.start()
    os.environ.clear()
    os.environ.update(before)
    sender.close()
    try:
        if not receiver.poll(timeout):
            raise TimeoutError(f"'{function.__name__}' took more than {timeout:.0f} s.")
        value, error = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"The process of '{function.__name__}' ended with exit code {process.exitcode} "
            "(-9: killed, often for want of memory)."
        ) from None
    finally:
        process.kill()
        process.join()
    if error is not None:
        raise RuntimeError(f"'{function.__name__}' failed:\n{error}")
    return value


def _send_value(sender: Connection, function: Callable, args: tuple) -> None:
    try:
        answer = (function(*args), None)
    except Exception:
        answer = (None, traceback.format_exc())
    sender.send(answer)


def summary(values: list[float]) -> dict:
    """Median and quartiles of repeats, with the repeats themselves."""
    low, middle, high = (
        statistics.quantiles(values, method="inclusive") if len(values) > 1 else 3 * values
    )
    return {"median": middle, "quartiles": [low, high], "repeats": values}


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def growth(sizes: list[float], values: list[float]) -> dict[str, float]:
    """Fit ``value ~ size ** exponent`` by least squares of the logarithms.

    Returns:
        ``exponent`` over all sizes, and ``tail_exponent`` between the last two.
    """
    x, y = np.log(sizes), np.log(values)
    exponent, _ = np.polyfit(x, y, 1)
    tail = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return {
        "exponent": float(exponent),
        "tail_exponent": float(tail),
    }
