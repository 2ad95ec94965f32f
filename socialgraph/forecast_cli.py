"""``socialgraph forecast``: forecasts of a table or file of readings, with nothing trained."""

import argparse
import csv
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from socialgraph import load_pretrained, schema
from socialgraph.atomic import refuse_replacing, replacing
from socialgraph.series import TrafficSeries

if TYPE_CHECKING:  # what computes is imported when the options are read, so that --help is quick
    import pandas as pd

    from socialgraph.pretrained import PretrainedForecaster

__all__ = ["main", "read_series"]

_FEW_DAYS = 2.0


def main(args: Sequence[str] | None = None) -> None:
    """Forecast the steps after the end of the readings, and write a table and a picture."""
    options = _parse(args)
    stem = Path(options.output)
    sources = options.readings, options.detectors, options.checkpoint
    for ending in (".csv", ".parquet", ".png"):
        refuse_replacing(stem.with_suffix(ending), *sources)
    if options.save:
        refuse_replacing(options.save, *sources)
    series = read_series(options)
    forecaster = load_pretrained(options.checkpoint)
    _tell(series, forecaster)
    if options.score:
        _print_scores(_score(forecaster, series, options.tune), series)
    if options.tune:
        forecaster = forecaster.tune(series, options.tune)
    if options.save:
        forecaster.save(options.save)
        print(f"network     {options.save} (for --checkpoint)")
    table = forecaster.forecast(series)
    with replacing(stem.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with replacing(stem.with_suffix(".csv")) as temporary:
        _with_texts(table).to_csv(temporary, index=False, float_format="%.6g")
    print(f"forecast    {stem.with_suffix('.csv')} {stem.with_suffix('.parquet')}")
    if len(table.columns) == 4 + len(series.feature_names):
        print("note        no intervals: the history has fewer than 64 whole windows.")
    if importlib.util.find_spec("matplotlib") is None:
        print("picture     none: pip install 'socialgraph[plot]'")
        return
    _draw(stem, series)


def read_series(options: argparse.Namespace) -> TrafficSeries:
    """The series of an HDF5 file, or of a CSV table of time by detector.

    Raises:
        FileNotFoundError, ValueError, KeyError: if it cannot be read.
    """
    path = options.readings
    if not path.is_file():
        raise FileNotFoundError(f"No file '{path}'.")
    if path.suffix in (".h5", ".hdf5"):
        return schema.read(path)
    import pandas as pd

    _check_header(path)
    try:
        frame = pd.read_csv(path, index_col=0, float_precision="round_trip")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"'{path}' is no CSV table: {error}") from error
    if options.null_value:
        frame = frame.mask(frame.isin(options.null_value))
    return TrafficSeries.from_frame(
        frame.rename_axis("time").copy().reset_index(),
        _read_positions(options.detectors, frame.columns),
        timezone=options.timezone,
        feature=options.feature,
        units={options.feature: options.unit},
        dataset_name=path.stem,
    )


def _check_header(path: Path) -> None:
    """Refuse names of columns that pandas would change, and tables of another form."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        names = [name.strip() for name in next(csv.reader(file), [""])[1:]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        raise ValueError(
            f"Expected '{path}' to name each detector once in its first line (got "
            f"{twice[:5] or 'a column without a name'})."
        )
    if "detector" in names:
        raise ValueError(
            f"Expected '{path}' as a table of time by detector (got a column 'detector'). Convert "
            "a long table with 'python -m data_prep convert csv', and forecast the file."
        )


def _read_positions(path: Path | None, vdids: "pd.Index") -> "pd.DataFrame | None":
    if path is None:
        return None
    import pandas as pd

    from data_prep.detectors import read_detectors

    table = read_detectors(path)
    places = pd.DataFrame(
        {"lat": table.lat.mean(axis=1), "lon": table.lon.mean(axis=1)}, index=table.vdids
    )
    strangers = [str(vdid) for vdid in vdids if str(vdid) not in places.index]
    if len(strangers) == len(vdids):
        raise ValueError(
            f"'{path}' knows none of the {len(vdids)} detectors of the readings, among them "
            f"{strangers[:5]}."
        )
    return places.reindex([str(vdid) for vdid in vdids]).rename_axis("detector").reset_index()


def _tell(series: TrafficSeries, forecaster: "PretrainedForecaster") -> None:
    span = series.timestamps[-1] - series.timestamps[0]
    days = (span / np.timedelta64(1, "m") + series.interval_minutes) / 1440
    placed = int((np.isfinite(series.lat) & np.isfinite(series.lon)).sum())
    minutes = forecaster.horizon * series.interval_minutes
    span = f"{days:.1f} days" if days >= _FEW_DAYS else f"{24 * days:.3g} hours"
    print(
        f"history     {span} of {', '.join(series.feature_names)} every "
        f"{series.interval_minutes:g} minutes, {len(series.vdids)} detectors, {placed} with a "
        f"position\nahead       {forecaster.horizon} steps, {minutes:g} minutes"
    )
    if 0 < placed < len(series.vdids):
        print(
            f"note        forecast without neighbours, for want of a position: "
            f"{len(series.vdids) - placed} of the detectors."
        )
    if days < _FEW_DAYS:
        print(
            "note        less than two days: what is usual at a time of day is hardly known, and "
            "the forecast rests on the last readings."
        )
    if not placed:
        print("note        no positions: forecast without neighbours (--detectors gives them).")


def _score(forecaster: "PretrainedForecaster", series: TrafficSeries, tune: int) -> dict:
    """Errors on the last day, also if the network is tuned: then on the days before it."""
    if not tune:
        return forecaster.score(series)
    before = series.timestamps <= series.timestamps[-1] - np.timedelta64(1, "D")
    history = replace(series, values=series.values[before], timestamps=series.timestamps[before])
    return forecaster.tune(history, tune).score(series)


def _print_scores(scores: dict[str, dict[str, float]], series: TrafficSeries) -> None:
    print("\nmean absolute error on the last day, which was held back:")
    heads = ("forecast", "last value", "usual day", "ridge")
    print(f"{'':<22}{''.join(f'{head:>12}' for head in heads)}")
    for name, errors in scores.items():
        unit = series.units[series.feature_names.index(name)]
        label = f"{name} [{unit}]" if unit else name
        numbers = (errors[k] for k in ("forecast", "last_value", "usual", "ridge"))
        cells = "".join(f"{'-' if np.isnan(n) else format(n, '.2f'):>12}" for n in numbers)
        print(f"{label:<22}{cells}")
        print(f"{'':<22}  {_verdict(errors)}")
        if np.isfinite(errors["coverage"]):
            print(f"{'':<22}  {errors['coverage']:.0%} of the readings in the interval of 90%")
    print()


def _verdict(errors: dict[str, float]) -> str:
    """Whether to trust the forecast, in words."""
    rivals = {"the last value": "last_value", "the usual day": "usual", "ridge": "ridge"}
    name, best = min(((n, errors[k]) for n, k in rivals.items()), key=lambda pair: pair[1])
    if not np.isfinite([errors["forecast"], best]).all():
        return "no readings on the last day to compare with"
    if errors["forecast"] > best:
        return f"{name} is better: train on these readings (--tune 4, or 'socialgraph fit')"
    return f"{1 - errors['forecast'] / best:.0%} better than {name}, the best of the others"


def _with_texts(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table with times as texts, as ``predict`` writes them."""
    texts = {}
    for name in ("issued", "time"):
        stamps = table[name].astype("category")
        texts[name] = stamps.cat.rename_categories([t.isoformat() for t in stamps.cat.categories])
    return table.assign(**texts)


def _draw(stem: Path, series: TrafficSeries) -> None:
    from socialgraph.plot import draw_forecast, read_forecast

    figure = draw_forecast(read_forecast(stem.with_suffix(".parquet")), series)
    with replacing(stem.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    print(f"picture     {stem.with_suffix('.png')}")


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "socialgraph forecast",
        description="Forecast readings by the network that comes with the package. It needs some "
        "days of history, and no training.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("readings", type=Path, help="HDF5 file of data_prep, or CSV of time by detector")
    add("--detectors", type=Path, help="CSV of ids and positions, beside a CSV of readings")
    add("--feature", default="reading", help="what a CSV holds, such as speed")
    add("--unit", default="", help="its unit, such as km/h")
    add("--timezone", help="zone of times without an offset, IANA name (default: UTC)")
    add("--null_value", type=float, nargs="+", help="numbers that mean missing in a CSV")
    add("--output", default="forecast", help="table and picture, without ending")
    add("--score", action="store_true", help="hold the last day back first, and tell the error")
    add("--checkpoint", type=Path, help="another network than that of the package")
    add("--tune", type=int, default=0, help="epochs of training on the readings first")
    add("--save", type=Path, help="file to keep the tuned network in")
    options = parser.parse_args(sys.argv[1:] if args is None else args)
    if options.tune < 0:
        parser.error("expected --tune of 0 or more.")
    return options
