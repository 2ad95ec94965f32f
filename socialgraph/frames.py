"""Between pandas frames and series; the only file of the package that imports pandas."""

import zoneinfo
from collections.abc import Mapping

import numpy as np
import pandas as pd

from socialgraph.axis import regular_axis
from socialgraph.calendar import (
    RepeatedHour,
    check_years,
    check_zone,
    from_epoch,
    parse_stamps,
    to_utc,
)
from socialgraph.series import SeriesError, TrafficSeries, as_id

__all__ = ["read_detectors", "read_readings", "wide_frame", "zone_of"]


def read_readings(
    readings: pd.DataFrame | Mapping[str, pd.DataFrame],
    timezone: str,
    feature: str,
    interval_minutes: float | None,
    time_column: str,
    id_column: str,
    repeated_hour: RepeatedHour,
) -> dict:
    """Parts of a :class:`TrafficSeries` from frames, see :meth:`TrafficSeries.from_frame`."""
    check_zone(timezone)
    if not isinstance(readings, pd.DataFrame | Mapping):
        raise SeriesError(
            f"Expected a frame, or a mapping of feature to frame (got {type(readings).__name__})."
        )
    how = (timezone, time_column, repeated_hour)
    if isinstance(readings, Mapping):
        tables = {name: _wide(frame, *how) for name, frame in readings.items()}
    elif readings.columns.nlevels == 2:
        tables = _by_feature(readings, id_column, *how)
    elif id_column in readings.index.names:
        tables = _long(readings.reset_index(), id_column, *how)
    elif id_column in readings.columns:
        _refuse_both(feature, id_column)
        tables = _long(readings, id_column, *how)
    elif feature:
        tables = {feature: _wide(readings, *how)}
    else:
        raise KeyError(
            f"Expected a column {id_column!r} for a long frame (set 'id_column'), or for a wide "
            f"one the name of its feature (set 'feature'); the columns are "
            f"{list(readings.columns)[:10]}."
        )
    if not tables or not all(len(table) for table in tables.values()):
        raise SeriesError("Expected a row of readings or more (got none).")
    times = np.unique(np.concatenate([table.index.to_numpy() for table in tables.values()]))
    axis, interval = regular_axis(times.astype("datetime64[s]"), interval_minutes)
    vdids = list(dict.fromkeys(vdid for table in tables.values() for vdid in table.columns))
    wide = [table.reindex(index=axis, columns=vdids) for table in tables.values()]
    return {
        "values": np.stack(list(map(_numbers, wide, tables)), axis=-1),
        "timestamps": axis,
        "vdids": vdids,
        "feature_names": [str(name) for name in tables],
        "interval_minutes": interval,
    }


def _refuse_both(feature: str, id_column: str) -> None:
    """Refuse a column of ids beside ``feature``: the column may be a detector of a wide frame."""
    if feature:
        raise SeriesError(
            f"Expected a long frame or a wide one (got a column {id_column!r}, as of a long one, "
            f"and feature={feature!r}, as of a wide one). Leave 'feature' out, or set 'id_column' "
            "to a name that no column has if this one is a detector."
        )


def zone_of(readings: pd.DataFrame | Mapping[str, pd.DataFrame], time_column: str) -> str:
    """The zone of zone-aware times; UTC for others, and for a zone that has no name."""
    frames = list(readings.values()) if isinstance(readings, Mapping) else [readings]
    for frame in (frame for frame in frames if isinstance(frame, pd.DataFrame)):
        levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
        for times in (frame.get(time_column), *levels):
            zone = getattr(getattr(times, "dtype", None), "tz", None)
            if zone is not None and str(zone) in zoneinfo.available_timezones():
                return str(zone)
    return "UTC"


def read_detectors(detectors: pd.DataFrame, vdids: list[str], id_column: str) -> dict:
    """Positions and further attributes of the detectors ``vdids``, from a frame with their ids."""
    table = detectors.set_index(id_column) if id_column in detectors.columns else detectors
    lacking = [name for name in ("lat", "lon") if name not in table.columns]
    if lacking:
        raise KeyError(
            f"Expected columns 'lat' and 'lon' in the frame of detectors (got {list(table)})."
        )
    table = table.set_axis(_ids(table.index), axis="index")
    twice = table.index[table.index.duplicated()].unique().tolist()
    if twice:
        raise SeriesError(f"Expected one row for each detector; {twice[:5]} have several.")
    if not set(vdids) & set(table.index):
        raise SeriesError(
            f"None of the {len(vdids)} ids of the readings ({vdids[:3]}) is in the frame of "
            f"detectors ({table.index[:3].tolist()}). Give the ids in {id_column!r} or as index."
        )
    known = table.drop(columns=["lat", "lon"]).loc[[v for v in vdids if v in table.index]]
    info = {
        vdid: {str(name): _plain(value) for name, value in row.items() if not _is_empty(value)}
        for vdid, row in known.to_dict("index").items()
    }
    lat, lon = (_numbers(table[[name]].reindex(vdids), name)[:, 0] for name in ("lat", "lon"))
    _check_places(vdids, lat, lon)
    return {"lat": lat, "lon": lon, "vd_info": {vdid: row for vdid, row in info.items() if row}}


def _check_places(vdids: list[str], lat: np.ndarray, lon: np.ndarray) -> None:
    """Refuse what is no place on earth, and 0, 0, which sources write for an unknown place."""
    bad = (np.abs(lat) >= 90) | (np.abs(lon) > 180) | ((lat == 0) & (lon == 0))
    named = [f"{vdids[i]} (lat {lat[i]:.6g}, lon {lon[i]:.6g})" for i in np.flatnonzero(bad)[:5]]
    if named:
        raise SeriesError(
            f"Expected latitudes within 90 and longitudes within 180 degrees, and no detector at "
            f"0, 0; {int(bad.sum())} of {len(vdids)} detectors break this: {', '.join(named)}. "
            "Exchange the two if they are swapped, and write NaN for an unknown position."
        )


def wide_frame(series: TrafficSeries) -> pd.DataFrame:
    """Readings of a series, see :meth:`TrafficSeries.to_frame`."""
    columns = pd.MultiIndex.from_product(
        [series.feature_names, series.vdids], names=["feature", "detector"]
    )
    rows = series.values.transpose(0, 2, 1).reshape(len(series.timestamps), -1)
    return pd.DataFrame(rows, index=_zoned(series.timestamps, series.timezone), columns=columns)


def _numbers(table: pd.DataFrame, name: object) -> np.ndarray:
    try:
        if {kind.kind for kind in table.dtypes} & set("mMc"):
            raise ValueError("they hold times or complex numbers")
        return table.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SeriesError(
            f"Expected numbers as {str(name)!r} ({error}). Drop the columns that hold none, and "
            "mark what is missing with NaN."
        ) from error


def _is_empty(value: object) -> bool:
    return pd.api.types.is_scalar(value) and pd.isna(value)


def _plain(value: object) -> object:
    """A value that HDF5 can keep as an attribute."""
    return value if isinstance(value, str | bool | int | float | np.generic) else str(value)


def _zoned(times: np.ndarray, timezone: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times, tz="UTC", name="time").tz_convert(timezone)


def _wide(
    frame: pd.DataFrame, timezone: str, time_column: str, repeated_hour: RepeatedHour
) -> pd.DataFrame:
    if time_column in frame.columns:
        frame = frame.set_index(time_column)
    elif isinstance(frame.index, pd.RangeIndex) and len(frame):
        raise SeriesError(
            f"Expected the times in a column {time_column!r} or as index (got the columns "
            f"{list(frame.columns)[:10]}). Set 'time_column'."
        )
    times = _utc(pd.Series(frame.index), timezone, repeated_hour)
    frame = frame.set_axis(_ids(frame.columns), axis="columns").set_axis(times, axis="index")
    twice = frame.columns[frame.columns.duplicated()].unique().tolist()
    if twice:
        raise SeriesError(f"Expected one column for each detector; {twice[:5]} have several.")
    return _one_row_each(frame)


def _by_feature(
    frame: pd.DataFrame,
    id_column: str,
    timezone: str,
    time_column: str,
    repeated_hour: RepeatedHour,
) -> dict[str, pd.DataFrame]:
    if (time_column, "") in frame.columns:
        frame = frame.set_index((time_column, ""))
    if frame.columns.names[0] == id_column or frame.columns.names[1] == "feature":
        frame = frame.swaplevel(axis="columns")
    names = _features(frame.columns.get_level_values(0).unique())
    return {
        text: _wide(frame[name], timezone, time_column, repeated_hour)
        for text, name in names.items()
    }


def _features(names: pd.Index) -> dict[str, object]:
    """Names of features by their texts."""
    texts = [str(name) for name in names]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise SeriesError(f"Expected one column for each feature; {twice[:5]} have several.")
    return dict(zip(texts, names, strict=True))


def _long(
    frame: pd.DataFrame,
    id_column: str,
    timezone: str,
    time_column: str,
    repeated_hour: RepeatedHour,
) -> dict[str, pd.DataFrame]:
    times = frame[time_column] if time_column in frame.columns else pd.Series(frame.index)
    vdids = _ids(frame[id_column])
    values = frame.drop(columns=[id_column, time_column], errors="ignore")
    if not len(values.columns):
        raise KeyError(f"Expected a column of readings (got {list(frame.columns)}).")
    names = _features(values.columns)
    utc = _utc(times, timezone, repeated_hour, pd.factorize(np.array(vdids, dtype=object))[0])
    keys = pd.MultiIndex.from_arrays([utc, vdids], names=["time", "detector"])
    rows = _one_row_each(values.set_axis(keys, axis="index"))
    order = list(dict.fromkeys(vdids))
    return {text: rows[name].unstack("detector")[order] for text, name in names.items()}


def _one_row_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows without those that are repeated with the same readings; with others they are refused."""
    if frame.index.is_unique:
        return frame
    again = frame.index.duplicated()
    first = frame[~again].reindex(frame.index[again])
    other = frame[again]
    differs = ~((first == other) | (first.isna() & other.isna())).all(axis=1)
    if differs.any():
        raise SeriesError(
            f"{int(differs.sum())} rows repeat a time with other readings, first "
            f"{other.index[differs.to_numpy().argmax()]} (UTC). Keep one of them."
        )
    return frame[~again]


def _ids(labels) -> list[str]:
    labels = list(labels)
    if any(pd.isna(label) for label in labels):
        raise SeriesError(f"Expected an id in every place ({sum(map(pd.isna, labels))} are empty).")
    return [as_id(label) for label in labels]


def _utc(
    times: pd.Series,
    timezone: str,
    repeated_hour: RepeatedHour,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """UTC ``datetime64[s]`` of a column of times, whatever form they have."""
    if times.isna().any():
        raise SeriesError(f"Expected a time in every row ({int(times.isna().sum())} have none).")
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return _seconds(times.dt.tz_convert("UTC").dt.tz_localize(None))
    if pd.api.types.is_datetime64_dtype(times):
        return to_utc(_seconds(times), timezone, repeated_hour, groups)
    if pd.api.types.is_numeric_dtype(times):
        return from_epoch(times.to_numpy())
    texts = [str(time) for time in times]
    return parse_stamps(texts, timezone, repeated_hour, groups)


def _seconds(times: pd.Series) -> np.ndarray:
    exact = times.to_numpy()
    seconds = exact.astype("datetime64[s]")
    if (seconds != exact).any():
        raise SeriesError(f"Expected times in whole seconds (got {exact[seconds != exact][0]}).")
    return check_years(seconds)
