"""Options of a stream that is kept in a file, for the commands ``stream`` and ``serve``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.csv

from socialgraph.shell import split_names
from socialgraph.stream.durations import seconds_of_text
from socialgraph.stream.forecaster import StreamingForecaster

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster
    from socialgraph.runtime import RuntimeForecaster

__all__ = ["KEEP", "add_stream_options", "open_stream", "read_detectors"]


KEEP = "30d"  # if nothing else is asked for


def open_stream(options: argparse.Namespace) -> StreamingForecaster:
    """The stream that the options of :func:`add_stream_options` tell."""
    days = options.profile_half_life
    return StreamingForecaster(
        _open_forecaster(options),
        options.max_gap,
        options.memory,
        None if days is None else seconds_of_text(days) / 86400,
        options.adapt,
        options.alarm_rate,
    )


def _open_forecaster(options: argparse.Namespace) -> "Forecaster | RuntimeForecaster":
    if options.ckpt_path.suffix == ".onnx":
        from socialgraph.runtime import RuntimeForecaster

        return RuntimeForecaster(options.ckpt_path)
    import torch

    from socialgraph.forecaster import load

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return load(options.ckpt_path, device, split_names(options.trust))


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Options of a stream that is kept in a file."""
    add = parser.add_argument
    add("--ckpt_path", type=Path, help="checkpoint of 'socialgraph fit', or an exported .onnx")
    add("--trust", default="", help="packages whose classes the checkpoint may name, with commas")
    add("--state", type=Path, help="SQLite file of state, readings and forecasts")
    add("--keep", help=f"how long it keeps readings and forecasts, or 'all' ({KEEP})")
    add("--null_value", type=float, nargs="+", default=[], help="further numbers that mean missing")
    add("--detectors", type=Path, help="CSV with vdid, lat, lon of those to follow from now on")
    add(
        "--memory",
        choices=["window", "state"],
        default="window",
        help="the last window, read again; or the state of an encoder that carries one",
    )
    add("--profile_half_life", help="let the usual day go on, such as 14d (default: as trained)")
    add("--adapt", action="store_true", help="let intervals follow drift")
    add("--alarm_rate", type=float, help="a column 'alarm', with so many false a detector and day")
    add(
        "--max_gap", type=int, default=288, help="most missing steps in a row that are read as such"
    )
    add("--restart_after_gap", action="store_true", help="start anew after more missing steps")
    add("--device", help="'cpu' or 'cuda' (default: 'cuda' where there is one)")


def read_detectors(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids, latitudes and longitudes of a CSV with ``vdid``, ``lat`` and ``lon``."""
    options = pyarrow.csv.ConvertOptions(column_types={"vdid": "string"})
    table = pyarrow.csv.read_csv(path, convert_options=options)
    if missing := {"vdid", "lat", "lon"} - set(table.column_names):
        raise ValueError(
            f"'{path}' has no column {sorted(missing)}; it holds {table.column_names}."
        )
    lat, lon = (table[name].to_numpy().astype(np.float64) for name in ("lat", "lon"))
    return table["vdid"].to_pylist(), lat, lon
