"""What a picture takes from a forecast table."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from socialgraph.series import TrafficSeries

__all__ = [
    "by_detector",
    "by_hour",
    "check_detectors",
    "has_truth",
    "is_one_window",
    "lead",
    "liveliest",
    "read_forecast",
    "target_of",
    "utc",
    "with_error",
    "with_truth",
]

_KEYS = ("issued", "time", "step", "detector")


def read_forecast(path: str | Path) -> pa.Table:
    """Read a forecast table (:func:`socialgraph.table.forecast_schema`) from Parquet.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not Parquet, lacks a column, its times have no zone, or it has no row.
    """
    advice = "Write one with 'socialgraph predict'."
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"'{path}' is no Parquet table ({error}). {advice}") from error
    names = table.column_names
    lacking = [name for name in _KEYS if name not in names]
    if lacking or len(names) == len(_KEYS):
        raise ValueError(
            f"'{path}' is no forecast table: it lacks {lacking or 'a target'} beside its columns "
            f"{names}. {advice}"
        )
    without_zone = [name for name in _KEYS[:2] if not getattr(table[name].type, "tz", None)]
    if without_zone:
        raise ValueError(
            f"Expected times with a zone in '{path}' (got {table[without_zone[0]].type} in "
            f"'{without_zone[0]}'). {advice}"
        )
    if table.num_rows == 0:
        raise ValueError(f"'{path}' holds no forecast. {advice}")
    return table


def target_of(table: pa.Table) -> str:
    """The first target of a forecast table."""
    return next(name for name in table.column_names if name not in _KEYS)


def check_detectors(table: pa.Table, series: TrafficSeries) -> None:
    """Refuse a table of detectors that a series has not.

    Raises:
        ValueError: if there is one.
    """
    strangers = sorted(set(table["detector"].unique().to_pylist()) - set(series.vdids))
    if strangers:
        raise ValueError(
            f"{len(strangers)} detectors of the forecast are not in the data, among them "
            f"{strangers[:5]}. Give the file that was forecast."
        )


def with_truth(table: pa.Table) -> pa.Table:
    """The keys, the first target as ``forecast`` and its truth as ``observed``, null if unknown.

    If the table has quantiles, ``<target>_p05`` and the like, the outer ones are ``low`` and
    ``high``.
    """
    target = target_of(table)
    known = f"{target}_observed" in table.column_names
    truth = table[f"{target}_observed"] if known else pa.nulls(table.num_rows, pa.float32())
    columns = {name: table[name] for name in _KEYS}
    columns |= {"forecast": table[target], "observed": truth}
    pattern = re.compile(re.escape(target) + r"_p(\d+(?:\.\d+)?)")
    found = [match for name in table.column_names if (match := pattern.fullmatch(name))]
    if len(found) > 1:
        ends = sorted(found, key=lambda match: float(match[1]))
        columns |= {"low": table[ends[0][0]], "high": table[ends[-1][0]]}
    return pa.table(columns)


def has_truth(table: pa.Table) -> bool:
    """Whether a truth is known in the table of :func:`with_truth`."""
    return table["observed"].null_count < table.num_rows


def with_error(table: pa.Table) -> pa.Table:
    """The table with the absolute ``error`` of each row."""
    return table.append_column("error", pc.abs(pc.subtract(table["forecast"], table["observed"])))


def by_detector(table: pa.Table, column: str, how: str) -> dict[str, float | None]:
    """An aggregate of a column for each detector."""
    grouped = table.group_by("detector").aggregate([(column, how)])
    values = grouped[f"{column}_{how}"].to_pylist()
    return dict(zip(grouped["detector"].to_pylist(), values, strict=True))


def by_hour(table: pa.Table) -> np.ndarray:
    """Mean absolute error ``[24]`` by the local hour of the target, NaN where there is none."""
    hours = pc.hour(table["time"])  # local, as the times have a zone
    grouped = with_error(table).append_column("hour", hours).group_by("hour")
    means = grouped.aggregate([("error", "mean")])
    found = np.full(24, np.nan)
    found[means["hour"].to_numpy()] = means["error_mean"].to_numpy()
    return found


def is_one_window(table: pa.Table) -> bool:
    """Whether all forecasts were made at one time."""
    return pc.count_distinct(table["issued"]).as_py() == 1


def liveliest(table: pa.Table, count: int) -> tuple[pa.Table, list[str]]:
    """Rows of the local day on which readings vary most, and the detectors that do then."""
    shown = "observed" if has_truth(table) else "forecast"
    if not is_one_window(table):
        days = pc.floor_temporal(table["time"], unit="day")
        spread = table.select([shown]).append_column("day", days).group_by("day")
        spread = spread.aggregate([(shown, "stddev")]).sort_by([(f"{shown}_stddev", "descending")])
        table = table.filter(pc.equal(days, spread["day"][0]))
    spread = by_detector(table, shown, "stddev")
    return table, sorted(spread, key=lambda v: spread[v] or 0.0, reverse=True)[:count]


def utc(times: pa.ChunkedArray) -> np.ndarray:
    """Times as matplotlib takes them: UTC, to be shown in the zone of the axis."""
    return times.cast(pa.timestamp("s", tz="UTC")).to_numpy().astype("datetime64[s]")


def lead(rows: pa.Table) -> str:
    """How long before their time the forecasts of one step were made."""
    minutes = (rows["time"][0].as_py() - rows["issued"][0].as_py()).total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes > 60 and minutes % 60 == 0 else f"{minutes:g} min"
