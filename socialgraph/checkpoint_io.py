"""Checkpoint files that appear whole or not at all, and are read only if they are undamaged."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO

from socialgraph.archive import read_archive, save_archive
from socialgraph.atomic import replacing

__all__ = ["WholeCheckpoints"]


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, except that a file of a local folder is written beside its
    place and renamed.

    Lightning writes it to the folder of temporary files, and copies it from there if that lies on
    another disk: a process that is killed, or a full disk, leaves half a file in place of a good
    one. :class:`socialgraph.forecaster.Forecaster` puts this in place of Lightning's own.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None
    ) -> None:
        """Write it; a file that was there stays until the new one is whole.

        Raises:
            OSError: if it cannot be written, as on a full disk.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with replacing(path) as temporary:
            save_archive(checkpoint, temporary)

    def load_checkpoint(
        self,
        path: str | os.PathLike,
        map_location: Any = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read it as :func:`socialgraph.archive.read_archive` does."""
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        return read_archive(Path(path), map_location)
