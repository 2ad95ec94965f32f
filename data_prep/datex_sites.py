"""The sites of a DATEX II measurement site table, and predefined locations."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_prep.documents import iterate_elements, local_name
from data_prep.sources import expand_paths, read_documents

__all__ = ["Site", "read_sites"]

_RECORDS = {"measurementSiteRecord", "measurementSite", "predefinedLocation"}
_RECORDS |= {"predefinedLocationReference"}
_CHARACTERISTICS = "measurementSpecificCharacteristics"
_ALL_VEHICLES = {"anyVehicle", ""}
_ALL_LANES = "allLanesCompleteCarriageway"


@dataclass
class Site:
    """A measurement site.

    Args:
        id, version: what measured data refer to.
        name: of the site.
        lat, lon: degrees, of a linear location those of its middle; None if it has none.
        lanes: lane by the index of its measured values; empty for all lanes together, None if the
            values are of some vehicles alone. Without any, values are of all lanes and vehicles.
    """

    id: str
    version: str
    name: str = ""
    lat: float | None = None
    lon: float | None = None
    lanes: dict[str, str | None] = field(default_factory=dict)


def read_sites(pattern: str) -> dict[tuple[str, str], Site]:
    """Sites by id and version, from files, folders and archives.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a document is no XML, a location cannot be read, or there are no sites.
    """
    sites: dict[tuple[str, str], Site] = {}
    for name, data in read_documents(expand_paths([pattern]), (".xml",)):
        for element in iterate_elements(name, data, _RECORDS):
            vdid = element.get("id")
            if vdid and len(element):
                version = element.get("version", "")
                sites[vdid, version] = _site(name, vdid, version, element)
    if not sites:
        raise ValueError(
            f"'{pattern}' holds no measurementSiteRecord and no predefinedLocation. Set "
            "--detectors to the publication of the site table."
        )
    return sites


def _site(name: str, vdid: str, version: str, element: Any) -> Site:
    site = Site(vdid, version, _value(element, "measurementSiteName"))
    try:
        points = list(_points(element))
    except ValueError as error:
        raise ValueError(
            f"Expected latitudes and longitudes in pairs of numbers for '{vdid}' of '{name}' "
            f"({error}). Correct its location, or remove it."
        ) from error
    if points:
        site.lat, site.lon = np.mean(points, axis=0).tolist()
    for part in element.iter():
        # A characteristic wraps another element of its name in versions 2 and 3.
        if local_name(part) == _CHARACTERISTICS and part.get("index"):
            lane = _value(part, "specificLane").replace(_ALL_LANES, "")
            site.lanes[part.get("index")] = lane if _is_of_all_vehicles(part) else None
    return site


def _is_of_all_vehicles(characteristic: Any) -> bool:
    types = {_text(e) for e in characteristic.iter() if local_name(e) == "vehicleType"}
    lengths = any("vehiclelength" in local_name(e).lower() for e in characteristic.iter())
    return types <= _ALL_VEHICLES and not lengths


def _points(element: Any) -> Iterator[tuple[float, float]]:
    """Latitude and longitude of the place to show, or of all points of the location.

    Raises:
        ValueError: if one stands alone, or is no number.
    """
    shown = [e for e in element.iter() if local_name(e) in _SHOWN]
    for part in shown[:1] or [element]:
        lat = [_text(e) for e in part.iter() if local_name(e) == "latitude"]
        lon = [_text(e) for e in part.iter() if local_name(e) == "longitude"]
        yield from _pairs(lat, lon)
        for listed in (e for e in part.iter() if local_name(e) == "posList"):
            numbers = _text(listed).split()
            yield from _pairs(numbers[::2], numbers[1::2])


def _pairs(lat: list[str], lon: list[str]) -> Iterator[tuple[float, float]]:
    if len(lat) != len(lon):
        raise ValueError(f"got {len(lat)} latitudes and {len(lon)} longitudes")
    yield from ((float(a), float(b)) for a, b in zip(lat, lon, strict=True))


_SHOWN = {"locationForDisplay", "coordinatesForDisplay"}


def _value(element: Any, tag: str) -> str:
    return next((_text(e) for e in element.iter() if local_name(e) == tag), "")


def _text(element: Any) -> str:
    return "".join(element.itertext()).strip()
