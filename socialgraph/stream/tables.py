"""Forecasts of a stream as tables: rows, CSV and Parquet."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from socialgraph.atomic import replacing
from socialgraph.calendar import format_local
from socialgraph.stream.reader import Forecast, StoreReader
from socialgraph.table import ALARMS

__all__ = ["KEYS", "csv_header", "csv_rows", "export", "times_of"]

KEYS = ("issued", "time", "step", "detector")


def csv_header(form: dict[str, Any]) -> bytes:
    """The first line of a table of what ``form`` tells (:meth:`StoreReader.get`)."""
    return (",".join([*KEYS, *form["columns"]]) + "\n").encode()


def csv_rows(forecast: Forecast, form: dict[str, Any]) -> bytes:
    """Lines of a forecast, one per detector and step; times on the local clock with offset."""
    issued, *times = format_local(
        np.append(forecast.issued, times_of(forecast, form)), form["timezone"]
    )
    nodes, steps = len(forecast.detectors.vdids), forecast.horizon
    node, step = np.repeat(np.arange(nodes), steps), np.tile(np.arange(steps), nodes)
    keys = [
        pa.array([issued]).take(pa.array(np.zeros_like(node))),
        pa.array(times).take(pa.array(step)),
        pa.array(step.astype(np.int32) + 1),
        pa.array(forecast.detectors.vdids, pa.string()).take(pa.array(node)),
    ]
    values = [_column(name, forecast.column(name)) for name in form["columns"]]
    out = io.BytesIO()
    plain = all(re.fullmatch(r"[^\s\",]+", vdid) for vdid in forecast.detectors.vdids)
    style = "none" if plain else "needed"  # which quotes every text
    options = pa.csv.WriteOptions(include_header=False, quoting_style=style)
    pa.csv.write_csv(pa.table(keys + values, names=[*KEYS, *form["columns"]]), out, options)
    return out.getvalue()


def times_of(forecast: Forecast, form: dict[str, Any]) -> np.ndarray:
    """Times ``[P]`` (UTC) of the steps of a forecast."""
    step = np.timedelta64(round(60 * form["interval_minutes"]), "s")
    return forecast.issued + step * np.arange(1, forecast.horizon + 1)


def export(
    store: StoreReader,
    path: Path,
    since: np.datetime64 | None = None,
    until: np.datetime64 | None = None,
) -> int:
    """Write what was forecast in a period as a table, whole or not at all.

    Args:
        store: what holds it.
        path: ``.csv`` or ``.parquet``.
        since, until: first and last time of issue, UTC; None for all that is kept.

    Returns:
        Number of times of issue.

    Raises:
        ValueError: for another ending, or if nothing was forecast then.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"Expected a table .csv or .parquet (got '{path}').")
    form, times = store.get("form"), store.issued(since, until)
    if not times:
        raise ValueError(f"'{store.path}' holds no forecasts of that time.")
    found = (forecast for time in times if (forecast := store.forecast(time)))
    with replacing(path) as temporary:
        (_write_csv if path.suffix == ".csv" else _write_parquet)(temporary, found, form)
    return len(times)


def _write_csv(path: Path, forecasts: Iterator[Forecast], form: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        file.write(csv_header(form))
        for forecast in forecasts:
            file.write(csv_rows(forecast, form))


def _write_parquet(path: Path, forecasts: Iterator[Forecast], form: dict[str, Any]) -> None:
    stamp = pa.timestamp("s", tz=form["timezone"])
    types = [stamp, stamp, pa.int32(), pa.string()]
    types += [pa.string() if name == "alarm" else pa.float32() for name in form["columns"]]
    schema = pa.schema(list(zip([*KEYS, *form["columns"]], types, strict=True)))
    with pa.parquet.ParquetWriter(str(path), schema) as writer:
        for forecast in forecasts:
            nodes, steps = len(forecast.detectors.vdids), forecast.horizon
            step = np.tile(np.arange(steps), nodes)
            issued = np.full(len(step), forecast.issued)
            keys = [
                *(_stamps(t, stamp) for t in (issued, times_of(forecast, form)[step])),
                pa.array(step.astype(np.int32) + 1),
                pa.array(np.repeat(forecast.detectors.vdids, steps), pa.string()),
            ]
            values = [_column(name, forecast.column(name)) for name in form["columns"]]
            writer.write_table(pa.table(keys + values, schema=schema))


def _column(name: str, values: np.ndarray) -> pa.Array:
    """A column of numbers, or of the names of alarms, null if all is well."""
    if name != "alarm":
        return pa.array(values.ravel())
    names = pa.array([None, *ALARMS], pa.string())
    return names.take(pa.array(np.nan_to_num(values).ravel().astype(np.int64)))


def _stamps(times: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.array(times, pa.timestamp("s")).cast(pa.timestamp("s", tz="UTC")).cast(kind)
