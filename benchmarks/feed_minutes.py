"""Convert minutes of readings that need no document to be read: ``DAYS DETECTORS OUT``.

What is left of the work on documents is all that could grow with their number.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.convert import convert
from data_prep.feed import Block, Feed, long_block
from data_prep.formats import FORMATS, tdx
from data_prep.options import add_convert_options

__all__ = ["main"]


def main(argv: list[str] | None = None) -> None:
    """Convert them."""
    days, nodes, out = sys.argv[1:] if argv is None else argv
    table = Path(out).with_suffix(".csv")
    rows = (f"V{i},{24 + i * 1e-3},121.0\n" for i in range(int(nodes)))
    table.write_text("id,lat,lon\n" + "".join(rows))
    parser = ArgumentParser()
    add_convert_options(parser, FORMATS["tdx"])
    words = ["--interval", "5min", "--detectors", str(table), "--overwrite"]
    args = parser.parse_args(words, Namespace(command="convert tdx", out=out))
    rules = dict(zip(tdx.FEATURES, ("weighted", "sum", "mean"), strict=True))
    feed = Feed(_minutes(int(days), int(nodes)), list(tdx.FEATURES), {}, rules, 60, read="minutes")
    convert(args, lambda _: feed)


def _minutes(days: int, nodes: int) -> Iterator[Block]:
    """A block a minute, as a document gives it."""
    rng = np.random.default_rng(0)
    values = [rng.integers(1, 100, (nodes, 3)).astype(np.float32) for _ in range(20)]
    first = np.datetime64("2023-12-31T16:00:00", "us")
    for minute in range(days * 1440):
        times = np.full(nodes, first + np.timedelta64(minute, "m"))
        ids = [f"V{i}" for i in range(nodes)]
        yield long_block(times, ids, tdx.FEATURES, values[minute % 20].copy(), False, f"{minute}")


if __name__ == "__main__":
    main()
