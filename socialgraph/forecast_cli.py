"""``socialgraph forecast``: forecasts of a table or file of readings, with nothing trained."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from socialgraph import load_pretrained
from socialgraph.atomic import refuse_replacing, replacing
from socialgraph.forecast_input import read_series
from socialgraph.forecast_words import plain_warnings, print_scores, tell, tell_intervals
from socialgraph.series import TrafficSeries

if TYPE_CHECKING:  # what computes is imported when the options are read, so that --help is quick
    import pandas as pd

    from socialgraph.pretrained import PretrainedForecaster

__all__ = ["main"]

_ENDINGS = (".csv", ".parquet", ".png")


@plain_warnings()
def main(args: Sequence[str] | None = None) -> None:
    """Forecast the steps after the end of the readings, and write a table and a picture."""
    options = _parse(args)
    paths = _outputs(options.output)
    sources = options.readings, options.detectors, options.checkpoint
    for path in paths.values():
        refuse_replacing(path, *sources)
    if options.save:
        refuse_replacing(options.save, *sources)
    series = read_series(options)
    forecaster = load_pretrained(options.checkpoint)
    tell(series, forecaster)
    series = forecaster.heard(series)
    if options.score:
        print_scores(_score(forecaster, series, options.tune), series)
    if options.tune:
        forecaster = forecaster.tune(series, options.tune)
    if options.save:
        forecaster.save(options.save)
        print(f"network     {options.save} (for --checkpoint)")
    table = forecaster.forecast(series)
    with replacing(paths[".parquet"]) as temporary:
        table.to_parquet(temporary, index=False)
    with replacing(paths[".csv"]) as temporary:
        _with_texts(table).to_csv(temporary, index=False, float_format="%.6g")
    print(f"forecast    {paths['.csv']} {paths['.parquet']}")
    tell_intervals(table, series.feature_names)
    if importlib.util.find_spec("matplotlib") is None:
        print("picture     none: pip install 'socialgraph[plot]'")
        return
    _draw(paths[".parquet"], paths[".png"], series)


def _score(forecaster: "PretrainedForecaster", series: TrafficSeries, tune: int) -> dict:
    """Errors on the last day, also if the network is tuned: then on the days before it."""
    if not tune:
        return forecaster.score(series)
    from socialgraph.pretrained.last_days import LastDays  # with what computes

    times, windows = series.timestamps, forecaster.windows
    none = np.arange(0)  # windows, of which only the border is asked for
    _, steps = LastDays(1).divide(none, times, series.timezone, windows.window, windows.horizon)
    return forecaster.tune(series.first(steps), tune).score(series)


def _with_texts(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table with times as texts, as ``predict`` writes them."""
    texts = {}
    for name in ("issued", "time"):
        stamps = table[name].astype("category")
        texts[name] = stamps.cat.rename_categories([t.isoformat() for t in stamps.cat.categories])
    return table.assign(**texts)


def _outputs(output: str) -> dict[str, Path]:
    """What is written, by its ending, which takes the place of one of these or follows the name."""
    path = Path(output)
    stem = path.with_suffix("") if path.suffix in _ENDINGS else path
    return {ending: stem.with_name(stem.name + ending) for ending in _ENDINGS}


def _draw(table: Path, picture: Path, series: TrafficSeries) -> None:
    from socialgraph.plot import draw_forecast, read_forecast

    figure = draw_forecast(read_forecast(table), series)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    print(f"picture     {picture}")


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
    add("--feature", help="what a CSV holds, such as speed; of a file the features to forecast")
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
    if options.save and not options.tune:
        parser.error("expected --tune beside --save: without it the network stays as it was.")
    return options
