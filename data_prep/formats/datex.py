"""DATEX II 1.0, 2 and 3: measured data joined with their site table, and elaborated travel times.

Tags are found by their local name, as namespaces and prefixes vary. Flow is in vehicles per hour,
speed in km/h, occupancy in percent, travel time in seconds. Source: `DATEX II
<https://docs.datex2.eu>`_.
"""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from data_prep.datex_sites import Site, read_sites
from data_prep.detectors import DetectorTable, table_from_columns
from data_prep.documents import iterate_elements, local_name
from data_prep.feed import Block, Feed, long_block
from data_prep.lanes import LANE_MARK
from data_prep.report import Report
from data_prep.sources import expand_paths, read_documents
from data_prep.timestamps import parse_times

__all__ = ["FEATURES", "add_options", "read", "read_table"]

FEATURES = ("flow", "speed", "occupancy", "travel_time")
_UNITS = {"flow": "veh/h", "speed": "km/h", "occupancy": "%", "travel_time": "s"}
# The tag that holds a quantity, and the one within it that holds the number (2 and 3).
_NUMBERS = {
    "vehicleFlow": ("flow", "vehicleFlowRate"),
    "averageVehicleSpeed": ("speed", "speed"),
    "occupancy": ("occupancy", "percentage"),
    "travelTime": ("travel_time", "duration"),
}
_MEASURED, _ELABORATED = "siteMeasurements", "elaboratedData"

# Numbers by feature of each column (a detector or one of its lanes) and time of a document. There
# are several if they contradict each other.
_Rows = dict[tuple[str, str], list[dict[str, float]]]


def add_options(parser: ArgumentParser) -> None:
    """The options of this format."""
    add = parser.add_argument
    add(
        "--features",
        nargs="+",
        choices=FEATURES,
        default=["flow", "speed"],
        help="what to take (default: flow speed)",
    )


def read_table(args: Namespace) -> DetectorTable | None:
    """The sites or predefined locations, from the documents that ``--detectors`` names.

    Raises:
        FileNotFoundError, ValueError: if there is no such file, or it has no sites.
    """
    if args.detectors is None:
        return None
    args.sites = read_sites(args.detectors)
    latest = {site.id: site for site in args.sites.values()}
    columns = {
        "id": list(latest),
        "lat": ["" if site.lat is None else repr(site.lat) for site in latest.values()],
        "lon": ["" if site.lon is None else repr(site.lon) for site in latest.values()],
        "version": [site.version for site in latest.values()],
        "name": [site.name for site in latest.values()],
    }
    return table_from_columns(args.detectors, columns)


def read(args: Namespace) -> Feed:
    """The feed of the publications.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: when it is read, if a document is no XML, has neither measurements nor
            elaborated data, or it is not certain which of several values of a site is meant.
    """
    paths = expand_paths(args.raw)
    features = tuple(args.features)
    skipped: Counter[str] = Counter()

    def blocks() -> Iterator[Block]:
        is_empty = True
        for name, data in read_documents(paths, (".xml",)):
            for block in _document_blocks(name, data, features, args.sites, skipped):
                is_empty = False
                yield block
        if is_empty and skipped:
            told = ", ".join(f"{what} {count}" for what, count in skipped.items())
            raise ValueError(
                f"All measurements of '{paths[0].name}' are left out ({told}). Set --detectors to "
                "the site table of these documents."
            )

    def tell(report: Report) -> None:
        for what, count in skipped.items():
            report.add(what, f"{count} measurements left out")

    return Feed(
        blocks(),
        list(features),
        {name: _UNITS[name] for name in features},
        {"flow": "mean", "speed": "weighted" if "flow" in features else "mean"},
        read=f"{', '.join(features)} of {len(paths)} files from '{paths[0].name}'",
        tell=tell,
    )


def _document_blocks(
    name: str,
    data: bytes,
    features: tuple[str, ...],
    sites: dict[tuple[str, str], Site],
    skipped: Counter,
) -> Iterator[Block]:
    rows: _Rows = {}
    default = ""
    for element in iterate_elements(name, data, {_MEASURED, _ELABORATED, "timeDefault"}):
        if local_name(element) == "timeDefault":
            default = _text(element) or default
        elif local_name(element) == _MEASURED:
            _measurement(name, element, sites, rows, skipped)
        else:
            _elaborated(name, element, default, rows)
    if not rows:
        if not skipped:
            raise ValueError(
                f"'{name}' holds no siteMeasurements with values and no elaboratedData. Give "
                "MeasuredDataPublication or ElaboratedDataPublication documents."
            )
        return
    keys = [key for key, told in rows.items() for _ in told]
    ids, stamps = zip(*keys, strict=True)
    times, is_local = parse_times(pd.Series(stamps), f"the times of '{name}'")
    numbers = [row for told in rows.values() for row in told]
    values = np.array([[row.get(f, np.nan) for f in features] for row in numbers])
    yield long_block(times, ids, features, values, is_local, name)


def _measurement(
    name: str,
    element: Any,
    sites: dict[tuple[str, str], Site],
    rows: _Rows,
    skipped: Counter,
) -> None:
    reference = _first(element, "measurementSiteReference")
    vdid, version = _reference(reference)
    stamp = _text(_first(element, "measurementTimeDefault"))
    if not vdid or not stamp:
        raise ValueError(f"Expected a site and a measurementTimeDefault in '{name}'.")
    site = sites.get((vdid, version))
    if site is None:
        of_id = any(known == vdid for known, _ in sites)
        skipped["other version" if of_id else "unknown site"] += 1
        return
    lanes, left_out = _lanes(name, site, element)
    if left_out:
        skipped["some vehicles"] += left_out
    for lane, numbers in lanes.items():
        _add(rows, (vdid + (LANE_MARK + lane if lane else ""), stamp), numbers)


def _lanes(name: str, site: Site, element: Any) -> tuple[dict[str, dict[str, float]], int]:
    """Numbers by lane and feature, and how many features are known of some vehicles alone."""
    lanes: dict[str, dict[str, float]] = {}
    of_some: set[str] = set()
    for value in element.iter():
        if local_name(value) not in ("measuredValue", "physicalQuantity") or not value.get("index"):
            continue
        lane = site.lanes.get(value.get("index")) if site.lanes else ""
        for feature, number in _quantities(name, site.id, value):
            if lane is None:
                of_some.add(feature)
            elif feature in lanes.setdefault(lane, {}):
                raise ValueError(
                    f"'{site.id}' of '{name}' has several values of {feature} for "
                    f"{f'lane {lane!r}' if lane else 'all lanes'}. Its record in the site table "
                    "does not tell which one is meant."
                )
            else:
                lanes[lane][feature] = number
    return lanes, len(of_some.difference(*lanes.values()))


def _elaborated(name: str, element: Any, default: str, rows: _Rows) -> None:
    reference = _first(element, "predefinedLocationReference")
    vdid, _ = _reference(reference)
    stamp = _text(_first(element, "time")) or default
    if not vdid:
        return
    if not stamp:
        raise ValueError(f"Expected a time or timeDefault of the elaboratedData of '{name}'.")
    for feature, number in _quantities(name, vdid, element):
        _add(rows, (vdid, stamp), {feature: number})


def _add(rows: _Rows, key: tuple[str, str], numbers: dict[str, float]) -> None:
    """Add numbers to those of the same time, or as a row of their own, if they contradict them."""
    told = rows.setdefault(key, [{}])
    shared = numbers.keys() & told[-1].keys()
    if all(np.array_equal(numbers[f], told[-1][f], equal_nan=True) for f in shared):
        told[-1] |= numbers
    else:
        told.append(told[-1] | numbers)


def _quantities(name: str, vdid: str, value: Any) -> Iterator[tuple[str, float]]:
    """Features and numbers within a measured value; NaN if the source marks an error."""
    faulty = any(local_name(e) == "dataError" and _text(e) == "true" for e in value.iter())
    for element in value.iter():
        found = _NUMBERS.get(local_name(element))
        if found is None:
            continue
        inner = _first(element, found[1])
        text = _text(element if inner is None else inner)
        if not text or (inner is None and len(element)):
            continue
        try:
            number = float(text)
        except ValueError as error:
            raise ValueError(f"Expected numbers in '{vdid}' of '{name}' (got {text!r}).") from error
        yield found[0], float("nan") if faulty or number < 0 else number


def _reference(element: Any) -> tuple[str, str]:
    if element is None:
        return "", ""
    return element.get("id") or _text(element), element.get("version", "")


def _first(element: Any, tag: str) -> Any:
    return next((e for e in element.iter() if e is not element and local_name(e) == tag), None)


def _text(element: Any) -> str:
    """The text of an element, or of what it wraps, as ``timeValue`` in version 3."""
    if element is None:
        return ""
    return "".join(element.itertext()).strip()
