"""How large is a report, and how long does it take, as networks grow?

``python -m benchmarks.pages`` simulates a week of each number of detectors, trains the default
network for a few steps, and runs ``socialgraph report`` on it in a process of one thread.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.environment import ROOT, result_path, write_result

__all__ = ["main"]

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(nodes: int, days: int, folder: Path) -> dict:
    """Seconds, memory and size of the report of a simulated network."""
    data, page = folder / f"{nodes}.h5", folder / f"{nodes}.html"
    if not data.is_file():
        _run("-m", "data_prep", "simulate", data, "--detectors", nodes, "--days", days)
    _run(
        *("-m", "socialgraph", "fit", "--config", ROOT / "configs" / "simulated.yaml"),
        *(
            f"--data.series={data}",
            "--data.loading.batch_size=4",
            "--trainer.limit_train_batches=20",
        ),
        *(
            "--trainer.max_epochs=1",
            "--trainer.limit_val_batches=2",
            f"--trainer.logger.init_args.save_dir={folder}",
        ),
        *(f"--trainer.logger.init_args.version=nodes_{nodes}", "--overwrite"),
    )
    checkpoint = folder / "default" / f"nodes_{nodes}" / "checkpoints" / "best.ckpt"
    start = time.perf_counter()
    process = subprocess.Popen(
        _words("-m", "socialgraph", "report", "--ckpt_path", checkpoint, "-o", page),
        cwd=ROOT,
        env={**os.environ, **_ONE_THREAD},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"The report of {nodes} detectors failed.")
    return {
        "nodes": nodes,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mib": usage.ru_maxrss / 1024,
        "megabytes": page.stat().st_size / 1e6,
        **_told(page),
    }


def _told(page: Path) -> dict:
    """What a page says of how much it looked at."""
    text = page.read_text()
    every = re.search(r"tested on one in (\d+) of ([\d,]+) windows", text)
    windows = re.search(r"tested on ([\d,]+) windows", text)
    taken = re.search(r"Gradients were taken for ([\d,]+) of", text)
    details = text.count("<option ")
    return {
        "windows": int((every[2] if every else windows[1]).replace(",", "")),
        "every": int(every[1]) if every else 1,
        "details": details,
        "gradients": int(taken[1].replace(",", "")) if taken else details,
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[40, 207, 2000])
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "pages")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="a small network: does it run?")
    args = parser.parse_args(argv)
    results = []
    for nodes in [12] if args.quick else args.nodes:
        results.append(measure(nodes, args.days, args.folder))
        print(results[-1], flush=True)
    write_result(args.output or result_path("pages_cpu", args.quick), "pages", vars(args), results)


def _words(*words: object) -> list[str]:
    return [sys.executable, *map(str, words)]


def _run(*words: object) -> None:
    environment = {**os.environ, **_ONE_THREAD}
    subprocess.run(_words(*words), cwd=ROOT, env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    main()
