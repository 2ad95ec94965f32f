"""What the service answers: forecasts and detectors as JSON, CSV and GeoJSON."""

import math
from typing import Any

import numpy as np

from socialgraph.calendar import format_local
from socialgraph.stream.reader import Detectors, Forecast
from socialgraph.stream.tables import times_of
from socialgraph.table import ALARMS

__all__ = ["detectors_json", "forecast_geojson", "forecast_json", "history_json"]


def forecast_json(forecast: Forecast, form: dict[str, Any]) -> dict[str, Any]:
    """Forecasts by detector and column, ``P`` numbers each, in the units that stand beside.

    Of alarms ``P`` names of :data:`socialgraph.table.ALARMS`, null if all is well.
    """
    lists = _columns(forecast, form)
    return {
        **_when(forecast, form),
        "units": dict(zip(form["features"], form["units"], strict=True)),
        "forecasts": {
            vdid: {name: lists[name][row] for name in lists}
            for row, vdid in enumerate(forecast.detectors.vdids)
        },
    }


def forecast_geojson(forecast: Forecast, form: dict[str, Any]) -> dict[str, Any]:
    """A point for each detector, as RFC 7946 has it; null if its position is not known."""
    lists = _columns(forecast, form)
    when = _when(forecast, form)
    features = [
        {
            "type": "Feature",
            "geometry": _point(lat, lon),
            "properties": {"detector": vdid, **when, **{n: lists[n][row] for n in lists}},
        }
        for row, (vdid, lat, lon) in enumerate(zip(*forecast.detectors, strict=True))
    ]
    return {"type": "FeatureCollection", "features": features}


def detectors_json(
    detectors: Detectors, readings: np.ndarray | None, form: dict[str, Any]
) -> list[dict[str, Any]]:
    """Ids, positions and last readings, null where missing."""
    if readings is None:
        readings = np.full((len(detectors.vdids), len(form["features"])), np.nan)
    last = rounded(readings)
    return [
        {
            "detector": vdid,
            "lat": _known(lat),
            "lon": _known(lon),
            "reading": dict(zip(form["features"], last[row], strict=True)),
        }
        for row, (vdid, lat, lon) in enumerate(zip(*detectors, strict=True))
    ]


def history_json(
    rows: list[tuple[np.datetime64, np.ndarray]], form: dict[str, Any]
) -> dict[str, Any]:
    """Times and, for each feature, readings of a detector, null where missing."""
    times = np.array([time for time, _ in rows], dtype="datetime64[s]")
    readings = np.array([own for _, own in rows]).reshape(len(rows), len(form["features"]))
    columns = rounded(readings.T)
    texts = format_local(times, form["timezone"])
    return {"times": texts, "readings": dict(zip(form["features"], columns, strict=True))}


def rounded(values: np.ndarray) -> list:
    """Nested lists of numbers with six digits, None for what is missing."""
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 5 - np.floor(np.log10(np.abs(array)))
    digits = np.clip(np.nan_to_num(digits, posinf=6), -6, 9)
    array = np.round(array * 10**digits) / 10**digits
    objects = array.astype(object)
    objects[~np.isfinite(array)] = None
    return objects.tolist()


def _columns(forecast: Forecast, form: dict[str, Any]) -> dict[str, list]:
    """Lists ``[N, P]`` by column: numbers, and of alarms their names, None if all is well."""
    lists = {name: rounded(forecast.column(name)) for name in form["columns"]}
    if "alarm" in lists:
        places = np.nan_to_num(forecast.column("alarm")).astype(np.int64)
        lists["alarm"] = np.array([None, *ALARMS], dtype=object)[places].tolist()
    return lists


def _when(forecast: Forecast, form: dict[str, Any]) -> dict[str, Any]:
    moments = np.append(forecast.issued, times_of(forecast, form))
    issued, *times = format_local(moments, form["timezone"])
    return {"issued": issued, "times": times}


def _point(lat: float, lon: float) -> dict[str, Any] | None:
    if _known(lat) is None or _known(lon) is None:
        return None
    return {"type": "Point", "coordinates": [lon, lat]}


def _known(degrees: float) -> float | None:
    return None if math.isnan(degrees) else degrees
