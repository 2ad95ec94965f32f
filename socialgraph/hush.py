"""Lightning without its tips."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["be_quiet", "quietly"]

_LOGGERS = ("pytorch_lightning", "lightning.fabric", "lightning_fabric")


def be_quiet() -> None:
    """Let Lightning, which was imported before, tell no tips, and nothing twice."""
    for message in (
        ".*LeafSpec.*",
        "LightningCLI's args parameter",
        "No seed found",  # what a checkpoint tells needs none
        "Be aware that when using `ckpt_path`",
        ".*sync_dist=True",  # errors are of all processes when they are logged
    ):
        warnings.filterwarnings("ignore", message=message)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def quietly() -> Iterator[None]:
    """The same within a block; after it all is as before."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        be_quiet()
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
