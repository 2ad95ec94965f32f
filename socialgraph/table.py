"""Forecasts as a table: a row per window, detector and step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from socialgraph.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ALARMS", "column_names", "forecast_schema", "forecast_table"]


# What an alarm may be; in an array of numbers its place, from 1, and 0 if all is well.
ALARMS = ("silent", "stuck", "sensor", "incident", "drift", "unexplained")


def column_names(target: str, levels: Sequence[float]) -> list[str]:
    """Names of the columns of a target: its forecast, then its quantiles but for the median.

    ``speed``, ``speed_p05``, ``speed_p95``.
    """
    percents = (f"{100 * level:g}" for level in levels if level != 0.5)
    return [target, *(f"{target}_p{'0' * (float(p) < 10)}{p}" for p in percents)]


def forecast_schema(
    spec: DataSpec, observed: bool = True, levels: Sequence[float] = ()
) -> pa.Schema:
    """Columns of a forecast table.

    ``issued`` (time of the last reading that the forecast knows), ``time`` (of the forecast step),
    both on the local clock of the network with its offset, ``step`` (from 1), ``detector``, and for
    each target its forecast under its own name, its quantiles (:func:`column_names`), and, if
    ``observed``, the truth under ``<name>_observed``, empty where it is not known.

    Args:
        spec: what the forecasts are of.
        observed: whether the truth has a column.
        levels: of the quantiles.
    """
    stamp = pa.timestamp("s", tz=spec.timezone)
    keys = [("issued", stamp), ("time", stamp), ("step", pa.int32()), ("detector", pa.string())]
    columns = []
    for target in spec.targets:
        columns += [*column_names(target, levels), *([f"{target}_observed"] if observed else [])]
    return pa.schema(keys + [(name, pa.float32()) for name in columns])


def forecast_table(
    prediction: "Mapping[str, np.ndarray | Tensor]",
    spec: DataSpec,
    observed: bool = True,
    levels: Sequence[float] = (),
) -> pa.Table:
    """Rows of the forecasts of a batch, with the columns of :func:`forecast_schema`.

    Args:
        prediction: ``forecast`` ``[B, P, N, F]`` in real units, ``issued`` ``[B]`` (seconds since
            1970, UTC; windows at ``NaT`` are left out), with ``levels`` also ``quantiles``
            ``[B, P, N, F, L]``, and for ``observed`` also ``targets`` and ``target_mask`` of the
            shape of ``forecast``.
        spec: what the forecasts are of; its detectors are N.
        observed: whether the truth is written too.
        levels: of the quantiles, without the median.
    """
    issued = _array(prediction["issued"]).astype("datetime64[s]")
    there = np.flatnonzero(~np.isnat(issued))
    issued = issued[there]
    forecast = _array(prediction["forecast"])[there]
    batch, horizon, nodes, _ = forecast.shape
    rows = (batch, nodes, horizon)
    values = [forecast]
    if levels:
        values.extend(np.moveaxis(_array(prediction["quantiles"])[there], -1, 0))
    if observed:
        truth, mask = (_array(prediction[name])[there] for name in ("targets", "target_mask"))
        values.append(np.where(mask, truth, np.nan))
    schema = forecast_schema(spec, observed, levels)
    node = np.broadcast_to(np.arange(nodes)[:, None], rows).ravel()
    keys = [
        _stamps(np.broadcast_to(issued[:, None, None], rows)),
        _stamps(np.broadcast_to(spec.times(issued)[:, None], rows)),
        pa.array(np.broadcast_to(np.arange(1, horizon + 1, dtype=np.int32), rows).ravel()),
        pa.array(spec.vdids, pa.string()).take(pa.array(node)),
    ]
    columns = [
        pa.array(part[..., target].swapaxes(1, 2).reshape(-1).astype(np.float32), from_pandas=True)
        for target in range(forecast.shape[-1])
        for part in values
    ]
    zoned = [key.cast(kind) for key, kind in zip(keys, schema.types, strict=False)]
    return pa.table(zoned + columns, schema=schema)


def _array(part: "np.ndarray | Tensor") -> np.ndarray:
    if isinstance(part, np.ndarray):
        return part
    return (part.float() if part.is_floating_point() else part).cpu().numpy()


def _stamps(times: np.ndarray) -> pa.Array:
    return pa.array(times.ravel(), pa.timestamp("s")).cast(pa.timestamp("s", tz="UTC"))
