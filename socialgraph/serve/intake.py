"""Readings of a request: rows in JSON, or lines in CSV."""

import json
from collections.abc import Iterator

import numpy as np

from socialgraph.calendar import check_years, read_stamps
from socialgraph.spec import DataSpec
from socialgraph.stream.lines import ReadingTable

__all__ = ["MOST_TIMES", "Reading", "read_csv", "read_json"]

MOST_TIMES = 288  # of one request
_KEYS = ("timestamp", "detector")

Reading = tuple[np.datetime64, np.ndarray]


def read_json(body: bytes, spec: DataSpec) -> list[Reading]:
    """Times and readings ``[N, F]`` of a JSON list with a row per time and detector.

    A row is ``{"timestamp": "2024-01-01T08:00:00+08:00", "detector": "a", "speed": 61.5}``, with a
    number or null for each feature; detectors and features without one are missing.

    Raises:
        ValueError: for anything else, a detector that is not followed, a time without its offset
            from UTC, two rows of one time and detector, or more than 288 times.
    """
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The body is no JSON ({error}).") from error
    if not isinstance(rows, list) or not rows:
        raise ValueError("Expected a list of rows with 'timestamp', 'detector' and readings.")
    place = {vdid: row for row, vdid in enumerate(spec.vdids)}
    tables: dict[str, np.ndarray] = {}
    taken: set[tuple[str, str]] = set()
    for number, row in enumerate(rows, start=1):
        try:
            stamp, vdid = _keys_of(row, place)
            if (stamp, vdid) in taken:
                raise ValueError(f"{vdid!r} stands twice at {stamp!r}.")
            taken.add((stamp, vdid))
            shape = (len(spec.vdids), len(spec.features))
            table = tables.setdefault(stamp, np.full(shape, np.nan, dtype=np.float64))
            _fill(table[place[vdid]], row, spec.features)
        except ValueError as error:
            raise ValueError(f"Row {number}: {error}") from error
        if len(tables) > MOST_TIMES:
            raise ValueError(f"Expected {MOST_TIMES} times or fewer in a request.")
    return _in_order(tables)


def read_csv(
    body: bytes, spec: DataSpec, known: np.datetime64 | None, most: int | None = MOST_TIMES
) -> Iterator[Reading]:
    """Times and readings of the lines of ``socialgraph stream``.

    Args:
        body: UTF-8 text.
        spec: what is followed.
        known: time of the last reading, by which a local time that comes twice is told.
        most: lines of readings that are taken; None for any number.

    Raises:
        ValueError: as :class:`socialgraph.stream.lines.ReadingTable` does, or for more than so many
            lines.
    """
    try:
        lines = body.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"The body is no text in UTF-8 ({error}).") from error
    if most is not None and len(lines) > most + 1:
        raise ValueError(f"Expected {most} lines or fewer in a request.")
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\n"  # a body has a length, so that its last line is whole
    yield from ReadingTable(lines, spec.vdids, spec.features, spec.timezone, known)


def _keys_of(row: object, place: dict[str, int]) -> tuple[str, str]:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in _KEYS):
        raise ValueError("expected an object with the texts 'timestamp' and 'detector'.")
    if row["detector"] not in place:
        raise ValueError(f"{row['detector'][:80]!r} is no detector that is followed.")
    return row["timestamp"], row["detector"]


def _fill(readings: np.ndarray, row: dict, features: list[str]) -> None:
    for name, value in row.items():
        if name in _KEYS or value is None:
            continue
        if name not in features:
            raise ValueError(f"{name[:80]!r} is no feature; they are {features}.")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (value != value or abs(value) < 3e38):
            raise ValueError(f"expected a finite number or null as {name!r} (got {value!r:.40}).")
        readings[features.index(name)] = value


def _in_order(tables: dict[str, np.ndarray]) -> list[Reading]:
    stamps = list(tables)
    clocks, offset = read_stamps(stamps)
    if offset is None:
        raise ValueError("Expected times with their offset from UTC, such as 2024-01-01T08:00Z.")
    times = check_years(clocks - offset)
    if len(set(times.tolist())) < len(times):
        raise ValueError("Expected each time in one way of writing.")
    order = np.argsort(times)
    return [(times[k], tables[stamps[k]].astype(np.float32)) for k in order]
