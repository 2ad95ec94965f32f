"""The HDF5 file that ``data_prep`` writes and ``socialgraph.data`` reads.

=====================================  ============================================================
``data/features``                      MUST: float ``[T, N, F]``, NaN where a reading is missing
``metadata/vdids``                     MUST: ``[N]`` UTF-8 strings, unique
``metadata/feature_names``             MUST: ``[F]`` UTF-8 strings, unique
``metadata/timestamps``                MUST: ``[T]`` ISO 8601 strings, ascending: UTC with ``Z``, or
                                       with another offset; without one they are on the local clock
                                       of ``timezone``
``metadata/vd_info/<vdid>``            MAY: attributes ``position_lat``, ``position_lon`` (degrees,
                                       WGS84) and whatever else the source knows of the detector,
                                       such as ``seconds_apart`` of a detector that tells less
                                       often than the others of a finer source
``metadata/edges``                     MAY: group of ``edge_index`` ``[2, E]`` (where a way starts,
                                       where it ends) and ``distance`` ``[E]`` in metres
root attributes                        MAY: ``schema_version``, ``dataset_name``,
                                       ``interval_minutes``, ``timezone`` (IANA name, else UTC),
                                       ``units`` (one per feature), ``missing`` (how the source
                                       coded it), ``null_values`` and ``ranges`` (JSON: the
                                       numbers that mean missing, and the lowest and highest
                                       plausible reading, by feature), ``finer_null_values`` and
                                       ``finer_ranges`` (those of the source, if its readings were
                                       joined to these), ``source_rules`` (JSON: how they were,
                                       see :class:`socialgraph.series.SourceRules`), ``source``,
                                       ``created_by``
=====================================  ============================================================

A file without the MAY entries is read with what can be inferred. Files of version 1 have times on
the local clock. A file is written to a temporary name and then renamed, so that a reader never
meets half of one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from socialgraph.series import SeriesError
from socialgraph.storage import StorageError, check_dataset, check_links, check_texts

__all__ = [
    "POSITION",
    "RULES",
    "SCHEMA_VERSION",
    "SchemaError",
    "naming_file",
    "open_file",
    "read_text",
    "read_texts",
    "without_position",
]

SCHEMA_VERSION = 2
POSITION = ("position_lat", "position_lon")
RULES = ("null_values", "ranges", "finer_null_values", "finer_ranges")
_READ_VERSIONS = ("1", "2")
_ARRAYS = ("data/features", "metadata/timestamps", "metadata/vdids", "metadata/feature_names")


class SchemaError(ValueError):
    """A file that is not in the layout of this module, with what is wrong and how to mend it."""


def open_file(path: str | Path) -> h5py.File:
    """A file of the layout, opened to be read.

    Raises:
        FileNotFoundError: if there is no such file.
        SchemaError: if it is not in the layout, or holds what is not read.
    """
    if Path(path).is_dir():
        raise FileNotFoundError(f"'{path}' is a folder. Name one of its files.")
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"No file '{path}'. Make one with 'python -m data_prep convert' or "
            "'python -m data_prep simulate'."
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SchemaError(
            f"'{path}' is not an HDF5 file, or is damaged ({error}). "
            "Convert raw data with 'python -m data_prep convert'."
        ) from error
    try:
        with naming_file(path):
            _check_layout(path, file)
    except SchemaError:
        file.close()
        raise
    return file


@contextmanager
def naming_file(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong in reading into an error with the name of the file."""
    try:
        yield
    except SchemaError:
        raise
    except (SeriesError, StorageError) as error:
        raise SchemaError(f"'{path}': {error}") from error
    except Exception as error:  # of libraries, which raise all kinds over damaged files
        if isinstance(error.__cause__, KeyboardInterrupt):  # a Ctrl-C inside of h5py
            raise KeyboardInterrupt from error
        text = str(error) or type(error).__name__
        raise SchemaError(f"'{path}' is not in the layout, or is damaged: {text}") from error


def read_text(value: object) -> str:
    """A text of a file, however h5py gives it."""
    if isinstance(value, h5py.Empty):
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def read_texts(file: h5py.File, name: str) -> list[str]:
    """An array of texts; raises SchemaError if it cannot be read."""
    with naming_file(file.filename):
        return [read_text(value) for value in file[name][()].tolist()]


def without_position(known: Mapping) -> dict:
    """What is known of a detector besides its position."""
    return {name: value for name, value in known.items() if name not in POSITION}


def _check_layout(path: str | Path, file: h5py.File) -> None:
    """Refuse another version, absent or foreign parts, and sizes that do not fit."""
    for name in _ARRAYS:
        check_links(file, name)
    check_texts(file, _ARRAYS)
    version = file.attrs.get("schema_version", SCHEMA_VERSION)
    if read_text(version).split(".")[0] not in _READ_VERSIONS:
        raise SchemaError(
            f"'{path}' has schema_version {version}, this socialgraph reads {_READ_VERSIONS}. "
            "Install a newer socialgraph or convert the raw data again."
        )
    for name in (
        *_ARRAYS,
        "metadata/vd_info",
        "metadata/edges/edge_index",
        "metadata/edges/distance",
    ):
        check_links(file, name)
    lacking = [name for name in _ARRAYS if not isinstance(file.get(name), h5py.Dataset)]
    if lacking:
        raise SchemaError(
            f"'{path}' lacks {lacking}; at its root are {sorted(file)}. "
            "Convert the raw data with 'python -m data_prep convert'."
        )
    kinds = {
        "metadata/vd_info": h5py.Group,
        "metadata/edges": h5py.Group,
        "metadata/edges/edge_index": h5py.Dataset,
        "metadata/edges/distance": h5py.Dataset,
    }
    for name, kind in kinds.items():
        if name in file and not isinstance(file[name], kind):
            raise SchemaError(f"'{path}': expected '{name}' as a {kind.__name__.lower()}.")
    for name in _ARRAYS:
        check_dataset(file[name])
    _, *axes = (file[name] for name in _ARRAYS)
    for axis in axes:
        if axis.ndim != 1:
            raise SchemaError(
                f"'{path}': expected '{axis.name[1:]}' with one axis (got shape {axis.shape})."
            )
    shape = tuple(axis.size for axis in axes)
    if file["data/features"].shape != shape:
        raise SchemaError(
            f"'{path}': expected 'data/features' of shape {shape}, from the lengths of timestamps, "
            f"vdids and feature_names (got {file['data/features'].shape})."
        )
