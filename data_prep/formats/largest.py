"""LargeST: the yearly frames of California, ``ca_his_raw_2019.h5``, and ``ca_meta.csv``.

Source: `LargeST <https://github.com/liuxu77/LargeST>`_; flow in vehicles per 5 minutes.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from tqdm import tqdm

from data_prep.feed import Block, Feed
from data_prep.formats.metr_la import frame_blocks
from data_prep.sources import expand_paths, kind_of

__all__ = ["add_options", "read"]


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add("--key", help="group of the frame in HDF5 (default: the only one)")
    add("--feature", default="flow", help="what the frames hold (default: %(default)s)")


def read(args: Namespace) -> Feed:
    """The feed of the frames, one after the other.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: when it is read, see :func:`data_prep.hdf_store.read_frames`.
    """
    paths = expand_paths(args.raw)

    def blocks() -> Iterator[Block]:
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            if kind_of(path) != "hdf5":
                raise ValueError(f"Expected '{path}' as an HDF5 file of LargeST.")
            for block in frame_blocks(path, args.feature, args.key):
                if not len(block.times):
                    raise ValueError(f"The frame of '{path}' has no times as its index.")
                yield block

    is_flow = args.feature == "flow"
    return Feed(
        blocks(),
        [args.feature],
        {"flow": "veh/5min"} if is_flow else {},
        {"flow": "sum"} if is_flow else {},
        step=300,
        read=f"{args.feature} of {len(paths)} files from '{paths[0].name}'",
    )
