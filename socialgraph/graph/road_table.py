"""Tables of distances by road, read from CSV."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from socialgraph.graph.builder import name_some

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Keys", "RoadTable", "Rows", "match_detectors", "read_road_table"]

Rows = Literal["from", "to"]
Keys = Literal["auto", "vdid", "index"]
_EMPTY = ["", "NA", "N/A", "NaN", "nan", "null", "None"]


@dataclass(frozen=True)
class RoadTable:
    """Lengths of trips between K names.

    Args:
        names: the names of the places, unique, K.
        start, end: where each trip begins and ends, as indices of ``names`` ``[P]``.
        length: how long it is ``[P]``, in the unit of the table; NaN if the cell was empty.
    """

    names: list[str]
    start: np.ndarray
    end: np.ndarray
    length: np.ndarray


def read_road_table(
    path: str, rows: Rows, delimiter: str = ",", decimal: str = ".", encoding: str = "utf-8"
) -> RoadTable:
    """Read a list of ``from, to, length``, or a square matrix with names in first row and column.

    Args:
        path: CSV file, also compressed (``.gz``). A list may have a header; ``to, from`` in it
            turns the first two columns round.
        rows: which end of a trip names the row of a matrix.
        delimiter: character between two cells.
        decimal: mark before the fraction of a length.
        encoding: of the text.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither a list nor a matrix, or a length is no number.
    """
    import pandas as pd

    if not Path(path).is_file():
        raise FileNotFoundError(
            f"There is no table of distances by road at '{path}'. Set 'path' to one, or to null "
            "for the distances that the traffic file carries."
        )
    try:
        body = pd.read_csv(
            path,
            sep=delimiter,
            encoding=encoding,
            header=None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except ValueError as error:
        raise ValueError(f"'{path}' cannot be read as a CSV: {error}. Mend it.") from error
    first = [cell.strip() for cell in body.iloc[0]]
    if len(first) == 3 and not _is_small_matrix(first, body):
        return _from_list(path, first, body, decimal)
    return _from_matrix(path, first, body.iloc[1:], rows, decimal)


def match_detectors(
    names: Sequence[str], vdids: Sequence[str], keys: Keys, path: str
) -> np.ndarray:
    """Find the detector of each name of a table.

    Args:
        names: names of the table, K; ``400001.0`` is the detector ``400001``.
        vdids: ids of the detectors, N.
        keys: whether names are ids, indices from 0 to N-1, or whichever of the two fits.
        path: the table, for messages.

    Returns:
        Index of each name's detector ``[K]``; -1 if it is not among them.

    Raises:
        ValueError: if no name fits, or names fit both ways and mean different detectors.
    """
    readings = []
    if keys != "index" and (by_vdid := _by_vdid(names, vdids)).max(initial=-1) >= 0:
        readings.append(by_vdid)
    if keys != "vdid" and (by_index := _by_index(names, len(vdids))).min(initial=0) >= 0:
        readings.append(by_index)
    examples = f"'{path}' names {name_some(names)}; the detectors are {name_some(vdids)}"
    if not readings:
        expected = {
            "auto": f"ids of the detectors, or indices from 0 to {len(vdids) - 1} for all of them",
            "vdid": "ids of the detectors ('keys: vdid')",
            "index": f"indices from 0 to {len(vdids) - 1} ('keys: index')",
        }[keys]
        raise ValueError(
            f"{examples}. Expected {expected}. Use the table of this network; a matrix has the "
            "names in its first row and column."
        )
    if not all((reading == readings[0]).all() for reading in readings):
        raise ValueError(
            f"{examples}: both ids and indices from 0 would fit, and mean different detectors. Set "
            "'keys' to 'vdid' or to 'index'."
        )
    return readings[0]


def _is_small_matrix(first: list[str], body: "pd.DataFrame") -> bool:
    """Whether three columns are the matrix of two detectors, and not a list."""
    return len(body) == 3 and {*map(_plain, body[0][1:])} == {*map(_plain, first[1:])}


def _from_list(path: str, first: list[str], body: "pd.DataFrame", decimal: str) -> RoadTable:
    columns = [0, 1, 2]
    if first[2] and not _is_number(first[2].replace(decimal, ".")):
        body = body.iloc[1:]
        if [cell.lower() for cell in first[:2]] == ["to", "from"]:
            columns = [1, 0, 2]
    start, end = (body[column].map(_plain) for column in columns[:2])
    names, places = np.unique(np.concatenate([start, end]).astype(str), return_inverse=True)
    length = _numbers(path, body[[columns[2]]], decimal)[:, 0]
    first_place, last_place = places.reshape(2, -1)
    return RoadTable(names.tolist(), first_place, last_place, length)


def _from_matrix(
    path: str, first: list[str], body: "pd.DataFrame", rows: Rows, decimal: str
) -> RoadTable:
    across, down = [_plain(name) for name in first[1:]], [_plain(name) for name in body[0]]
    for axis, names in (("first row", across), ("first column", down)):
        if twice := _repeated(names):
            raise ValueError(
                f"The {axis} of '{path}' has {name_some(twice)} more than once. Expected a matrix "
                "with unique names in its first row and column, or a list 'from, to, length'."
            )
    if set(across) != set(down):
        lone = sorted(set(across) ^ set(down))
        raise ValueError(
            f"'{path}' has {len(down)} rows and {len(across)} columns beside the first, and "
            f"{name_some(lone)} in one of them only. Expected a square matrix with the same names "
            "in its first row and column, or a list 'from, to, length'."
        )
    column = {name: number for number, name in enumerate(across)}
    square = _numbers(path, body.iloc[:, 1:], decimal)[:, [column[name] for name in down]]
    row_of, column_of = (axis.ravel() for axis in np.indices(square.shape))
    start, end = (row_of, column_of) if rows == "from" else (column_of, row_of)
    return RoadTable(down, start, end, square.ravel())


def _numbers(path: str, cells: "pd.DataFrame", decimal: str) -> np.ndarray:
    """Cells of text as float64; NaN if empty."""
    import pandas as pd

    plain = cells
    if decimal != ".":
        plain = cells.apply(lambda column: column.str.replace(decimal, ".", regex=False))
    numbers = plain.apply(pd.to_numeric, errors="coerce")
    wrong = (numbers.isna() & cells.notna() & ~cells.isin(_EMPTY)).to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"Line {cells.index[row] + 1} of '{path}' has the length {cells.iat[row, column]!r}. "
            "Expected a number, or nothing if there is no way."
        )
    return numbers.to_numpy(dtype=np.float64)


def _by_vdid(names: Sequence[str], vdids: Sequence[str]) -> np.ndarray:
    plain = [_plain(vdid) for vdid in vdids]
    if twice := _repeated(plain):
        raise ValueError(
            f"More than one detector has the id {name_some(twice)}, decimals of whole numbers left "
            "out. Give them ids that differ, or set 'keys' to 'index' if the table has indices."
        )
    detectors = {vdid: number for number, vdid in enumerate(plain)}
    return np.array([detectors.get(_plain(name), -1) for name in names], dtype=np.int64)


def _by_index(names: Sequence[str], num_nodes: int) -> np.ndarray:
    indices = [int(name) if re.fullmatch(r"[0-9]{1,18}", _plain(name)) else -1 for name in names]
    return np.array([number if number < num_nodes else -1 for number in indices], dtype=np.int64)


def _repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _plain(name: str) -> str:
    """The name without the decimals of a whole number, which some tables add to ids."""
    return re.sub(r"^([0-9]+)\.0*$", r"\1", str(name).strip())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
