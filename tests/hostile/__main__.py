"""Run many trials and write how they ended: ``python -m tests.hostile --count 200``."""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.environment import result_path, write_result
from tests.hostile.kinds import KINDS, Room
from tests.hostile.trial import BAD


def main() -> None:
    """Run from the command line; the exit status tells whether something bad happened."""
    parser = argparse.ArgumentParser("python -m tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="trials of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--output", type=Path, default=result_path("hostile", False))
    parser.add_argument("--show", type=int, default=3, help="bad ends of each kind to print")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder))
        for kind in args.kinds:
            start, shown, counts, bad = time.monotonic(), 0, Counter(), []
            for seed in range(args.seed, args.seed + args.count):
                outcome = KINDS[kind](room, seed)
                counts[outcome.kind] += 1
                if outcome.kind in BAD:
                    bad.append(seed)
                    if shown < args.show:
                        shown += 1
                        print(f"--- {kind}, seed {seed}: {outcome.kind}\n{outcome.said[-1500:]}")
            seconds = time.monotonic() - start
            print(f"{kind}: {dict(counts)} in {seconds:.0f} s", flush=True)
            results.append({"kind": kind, "counts": counts, "bad_seeds": bad[:50]})
            write_result(args.output, "hostile", vars(args), results)
    raise SystemExit(any(result["bad_seeds"] for result in results))


if __name__ == "__main__":
    main()
