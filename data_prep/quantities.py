"""What a feature measures: vehicles that are counted, a rate, or a state of the traffic."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

__all__ = ["VEHICLES", "Kind", "Unit", "kind_of_feature", "parse_unit", "vehicles_of"]

VEHICLES = ("flow", "volume", "count", "vehicles", "vehicle_count")
_COUNTS = VEHICLES[1:]  # words that say that it is a count; a flow may be a rate
_SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60}
_SECONDS |= {"h": 3600, "hr": 3600, "hour": 3600, "d": 86400, "day": 86400}
_PER = re.compile(rf"(.*?)\s*/\s*(\d*)\s*({'|'.join(_SECONDS)})s?", re.IGNORECASE)
_PER_HOUR = re.compile(r"(v|veh|pc)ph")
_COUNTED = re.compile(
    r"(motor)?(veh|vehs|vehicle|car|truck|lorry|lorries|bicycle|bike|people|person|pedestrian|pcu|"
    r"pce|kfz|pkw|lkw)s?\.?"
)
_STATE = re.compile(
    r"(m|km|mi|metres?|meters?|miles?|ft)\s*/\s*(s|sec|min|h|hr|hour)|mph|kmh|kph|kmph|%|percent|"
    r"s|sec|seconds?|min|minutes?|ms|m|km|(deg\s?|°)?[ckf]|celsius|kelvin|\w+/(km|mi|mile)"
)
_STATE_NAME = re.compile(
    r"speed|velocity|occupancy|(?<![a-z])occ(?![a-z])|travel[ _-]?time|density|headway|temperature"
)
_MAY_COUNT = re.compile(r"flow|volume|count|vehicle|truck|(?<![a-z])cars?(?![a-z])|intensity")

Kind = Literal["count", "rate", "vehicles", "state", "unknown"]


class Unit(NamedTuple):
    """A unit of something in a length of time, such as ``veh/5min``."""

    counted: str
    seconds: int
    is_hourly: bool


def parse_unit(unit: str) -> Unit | None:
    """What is counted in which time, None if the unit does not say it."""
    if _PER_HOUR.fullmatch(unit.strip().lower()):
        return Unit("veh", 3600, True)
    found = _PER.fullmatch(unit.strip())
    if not found:
        return None
    known = found[3].lower()
    seconds = int(found[2] or 1) * _SECONDS[known if known in _SECONDS else known.rstrip("s")]
    return Unit(found[1], seconds, seconds == _SECONDS["h"])


def kind_of_feature(name: str, unit: str) -> Kind:
    """What a feature measures, by its unit or else by its name.

    Returns:
        ``"count"`` of what passed since the reading before; ``"rate"`` by the hour; ``"vehicles"``
        if it is either of these; ``"state"``, of which a mean makes sense; ``"unknown"``.
    """
    name, plain = name.strip().lower(), unit.strip().lower()
    if _STATE.fullmatch(plain):
        return "state"
    told = parse_unit(unit)
    if told is not None and told.is_hourly:
        return "rate"
    if _COUNTED.fullmatch(plain if told is None else told.counted.lower()):
        return "count"
    if name in _COUNTS and (not unit or told is not None):
        return "count"
    if _MAY_COUNT.search(name):
        return "vehicles"
    return "state" if plain == "1" or _STATE_NAME.search(name) else "unknown"


def vehicles_of(features: Sequence[str], units: Mapping[str, str]) -> int | None:
    """Index of the feature that tells how many vehicles there were, by its name or else by its
    unit; None if there is none."""
    lowered = [name.strip().lower() for name in features]
    named = [lowered.index(name) for name in VEHICLES if name in lowered]
    kinds = [kind_of_feature(name, units.get(name, "")) for name in features]
    told = [index for index, kind in enumerate(kinds) if kind in ("count", "rate")]
    return next(iter(named + told), None)
