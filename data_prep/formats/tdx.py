"""Taiwan's vehicle detectors as TDX v2 publishes them: the ``VD`` list and ``VDLive``.

Documents are JSON or XML, one or many, in files, folders and archives. Speed is in km/h, volume in
vehicles of the minute, occupancy in percent. Source: the `MOTC's traffic data standard
<https://traffic-api-documentation.gitbook.io>`_, version 2.0.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from data_prep.detectors import DetectorTable, table_from_columns
from data_prep.documents import parse_document, uncollected
from data_prep.feed import Block, Feed, long_block
from data_prep.lanes import join_lanes
from data_prep.places import read_table as read_given_table
from data_prep.report import Report, enumerate_first
from data_prep.sources import expand_paths, read_documents
from data_prep.timestamps import parse_times

__all__ = ["FEATURES", "add_options", "live_block", "read", "read_table"]

FEATURES = ("speed", "flow", "occupancy")
_RULES = ["weighted", "sum", "mean"]
_NULL = (-99, -1, 255)
_STEP = 60  # seconds in which VDLive counts
_ATTRIBUTES = (
    *("RoadID", "RoadName", "RoadClass", "RoadDirection", "Bearing", "LaneNum", "LinkID"),
    *("LocationMile", "SubAuthorityCode", "VDType"),
)


def add_options(parser: ArgumentParser) -> None:
    """This format needs no options of its own."""


def read(args: Namespace) -> Feed:
    """The feed of the documents: flow in vehicles per minute, speed in km/h, occupancy in percent.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: when it is read, if a document is neither a list nor live readings.
    """
    paths = expand_paths(args.raw)
    listed = _Listed()

    def blocks() -> Iterator[Block]:
        for name, data in read_documents(paths, (".json", ".xml")):
            with uncollected():
                block = _read_document(name, data, listed)
            if block is not None:
                yield block

    return Feed(
        blocks(),
        list(FEATURES),
        {"speed": "km/h", "flow": "veh/min", "occupancy": "%"},
        dict(zip(FEATURES, _RULES, strict=True)),
        step=_STEP,
        detectors=listed.table if args.detectors is None else None,
        read=f"VDLive of {len(paths)} files from '{paths[0].name}'",
        tell=listed.tell,
    )


def read_table(args: Namespace) -> DetectorTable | None:
    """The table that ``--detectors`` names: a VD list, or any other table of detectors."""
    name = str(args.detectors or "").lower().removesuffix(".gz")
    if not name.endswith((".json", ".xml")):
        return read_given_table(args)
    listed = _Listed()
    for path, data in read_documents(expand_paths([args.detectors]), (".json", ".xml")):
        document = parse_document(path, data)
        listed.add(_several(path, document.get("VDs", document.get("")), "VD"), path)
    table = listed.table()
    if table is None:
        raise ValueError(f"'{args.detectors}' lists no VDs. Give TDX's VD list.")
    return table


def live_block(name: str, entries: list[Mapping]) -> Block:
    """The readings of the detectors of one VDLive document.

    Volumes are summed over lanes and types of vehicles, speeds weighted by the volume of their lane
    (the plain mean, if no volume is known), occupancies averaged. The codes -99, -1 and 255 and a
    ``Status`` other than 0 say that a reading is missing. A speed of 0 with a volume of 0 says that
    no vehicle came: its speed is missing, its flow is 0.

    Raises:
        ValueError: if an entry has no id or time, or a number cannot be read.
    """
    ids = _ids(name, entries, "VDLive")
    stamps = _column(entries, "DataCollectTime")
    if not _are_texts(stamps):
        lacking = [vdid for vdid, of in zip(ids, stamps, strict=True) if not _are_texts([of])]
        raise ValueError(
            f"Expected a DataCollectTime in each VDLive of '{name}' (got none for "
            f"{enumerate_first(lacking)})."
        )
    texts = pd.Series(stamps, dtype=object)
    times, is_local = parse_times(texts, f"DataCollectTime of '{name}'")
    named = np.array(ids, dtype=object)
    rows = np.flatnonzero(_numbers(name, named, _column(entries, "Status", 0)) == 0)
    values = np.full((len(entries), len(FEATURES)), np.nan, dtype=np.float32)
    values[rows] = _detectors(name, named[rows], [entries[row] for row in rows.tolist()])
    return long_block(times, ids, FEATURES, values, is_local, name)


def _read_document(name: str, data: bytes, listed: "_Listed") -> Block | None:
    """The readings of a document; None if it is a list, which is added to ``listed``."""
    document = parse_document(name, data)
    bare = _several(name, document.get(""), "VD or VDLive")
    are_live = any("DataCollectTime" in entry for entry in bare)
    live = _several(name, document.get("VDLives"), "VDLive") or (bare if are_live else [])
    if live:
        return live_block(name, live)
    if entries := _several(name, document.get("VDs"), "VD") or bare:
        listed.add(entries, name)
    elif document.get("") or not {"VDs", "VDLives", ""} & set(document):
        raise ValueError(
            f"'{name}' holds neither VDs nor VDLives. Give TDX's VD list and VDLive documents "
            "alone."
        )
    return None


def _detectors(name: str, ids: np.ndarray, entries: list[Mapping]) -> np.ndarray:
    """Readings of detectors ``[R, F]``, those with as many lanes at once."""
    links, per_entry = _children(name, entries, "LinkFlows", "LinkFlow")
    lanes, per_link = _children(name, links, "Lanes", "Lane")
    ends = np.append(0, np.cumsum(per_link))[np.append(0, np.cumsum(per_entry))]
    starts, counts = ends[:-1], np.diff(ends)
    found = _lanes(name, np.repeat(ids, counts), lanes)
    joined = np.full((len(counts), len(FEATURES)), np.nan, dtype=np.float32)
    for count in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == count)
        joined[rows] = join_lanes(found[starts[rows, None] + np.arange(count)], _RULES, 1)
    return joined


def _lanes(name: str, ids: np.ndarray, lanes: list[Mapping]) -> np.ndarray:
    """Speed, flow and occupancy of lanes ``[L, F]``, which are of the detectors ``ids`` ``[L]``."""
    vehicles, counts = _children(name, lanes, "Vehicles", "Vehicle")
    lane_of = np.repeat(np.arange(len(lanes)), counts)
    volumes = _numbers(name, ids[lane_of], _column(vehicles, "Volume"))
    speed, flow, occupancy = (
        _numbers(name, ids, _column(lanes, tag)) for tag in ("Speed", "Volume", "Occupancy")
    )
    flow = np.where(counts > 0, np.bincount(lane_of, volumes, len(lanes)), flow)
    speed[(speed == 0) & (flow == 0)] = np.nan
    return np.stack([speed, flow, occupancy], axis=1)


def _children(
    name: str, parents: list[Mapping], tag: str, singular: str
) -> tuple[list[Mapping], np.ndarray]:
    """What all have under a tag, one after the other, and how many each has."""
    held = _column(parents, tag)
    lists: list[list] = [of if type(of) is list else _several(name, of, singular) for of in held]
    if set(map(type, chain.from_iterable(lists))) - {dict}:
        lists = [_several(name, of, singular) for of in lists]
    return list(chain.from_iterable(lists)), np.array([len(of) for of in lists], dtype=np.int64)


def _column(entries: list[Mapping], name: str, absent: object = None) -> list:
    """What each has under a name."""
    try:
        return list(map(itemgetter(name), entries))
    except KeyError:  # some have nothing
        return [entry.get(name, absent) for entry in entries]


def _numbers(name: str, ids: np.ndarray, cells: list) -> np.ndarray:
    """Cells as numbers ``[C]``, NaN for the codes of missing ones."""
    try:
        numbers = np.fromiter(cells, dtype=np.float64, count=len(cells))
    except (TypeError, ValueError, OverflowError):  # an empty one, or one that cannot be read
        pairs = zip(ids.tolist(), cells, strict=True)
        numbers = np.array([_number(name, vdid, cell) for vdid, cell in pairs])
    numbers[np.isin(numbers, _NULL)] = np.nan
    return numbers


def _number(name: str, vdid: str, value: object) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        got = repr(value)
        got = got if len(got) < 50 else f"{got[:50]}…"
        raise ValueError(f"Expected numbers in '{vdid}' of '{name}' (got {got}).") from error


def _ids(name: str, entries: list[Mapping], singular: str) -> list[str]:
    cells = _column(entries, "VDID")
    ids = [str(cell).strip() for cell in cells]
    if not _are_texts(cells) or not all(ids):
        raise ValueError(f"Expected a VDID in each {singular} of '{name}'.")
    return ids


def _are_texts(cells: list) -> bool:
    """Whether all are texts or whole numbers, and none is empty."""
    return all(cells) and set(map(type, cells)) <= {str, int}


def _several(name: str, value: Any, singular: str) -> list[Mapping]:
    """What is there several times: a list in JSON, an element of like elements in XML."""
    if isinstance(value, dict):
        value = value.get(singular)
    if isinstance(value, dict):
        value = [value]
    if value is None or value == "":  # as an element without children is
        return []
    if not isinstance(value, list):
        raise ValueError(f"Expected a list of {singular} in '{name}' (got {str(value)[:50]!r}).")
    return [entry for entry in value if isinstance(entry, dict)]


@dataclass
class _Listed:
    """The detectors of the VD lists that were met, the latest entry of each."""

    entries: dict[str, dict] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    appeared: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    path: str = ""

    def add(self, entries: list[Mapping], path: str) -> None:
        flat = [_flat(path, entry) for entry in entries]
        new = dict(zip(_ids(path, entries, "VD"), flat, strict=True))
        if self.path:
            self.appeared += [vdid for vdid in new if vdid not in self.entries]
            self.vanished += [vdid for vdid in self.entries if vdid not in new]
        for vdid, entry in new.items():
            old = self.entries.get(vdid)
            places = [(e["PositionLat"], e["PositionLon"]) for e in (old, entry) if e]
            if old and places[0] != places[1]:
                self.moved[vdid] = f"{vdid} from {', '.join(places[0])} to {', '.join(places[1])}"
        self.entries |= new
        self.path = path

    def table(self) -> DetectorTable | None:
        if not self.entries:
            return None
        names = ("VDID", "PositionLat", "PositionLon", *_ATTRIBUTES)
        columns = {name: [e.get(name, "") for e in self.entries.values()] for name in names}
        used = {name: texts for name, texts in columns.items() if any(texts)}
        return table_from_columns(self.path, used, "VDID", ["PositionLat"], ["PositionLon"])

    def tell(self, report: Report) -> None:
        for topic, names in (
            ("moved", list(self.moved.values())),
            ("appeared", self.appeared),
            ("vanished", self.vanished),
        ):
            if names:
                report.add(topic, f"{len(names)} detectors of the lists: {enumerate_first(names)}")


def _flat(path: str, entry: Mapping) -> dict[str, str]:
    """The attributes of a listed detector, with those of its first link, as texts."""
    links = _several(path, entry.get("DetectionLinks"), "DetectionLink")
    known = {**(links[0] if links else {}), **entry}
    names = ("VDID", "PositionLat", "PositionLon", *_ATTRIBUTES)
    return {name: str(known.get(name) if known.get(name) is not None else "") for name in names}
