"""Long tables, one row for each detector and time (and lane), in one or many files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from data_prep.feed import Block, Feed, long_block
from data_prep.lanes import LANE_MARK
from data_prep.report import Report, enumerate_first
from data_prep.table_times import read_times, tell_spans
from data_prep.tables import TableFormat, open_table

__all__ = ["read_long"]


def read_long(
    paths: Sequence[Path],
    id_column: str,
    features: Mapping[str, str],
    table_format: TableFormat,
    lane_column: str | None = None,
    keep: Mapping[str, Sequence[str]] | None = None,
) -> Feed:
    """The feed of tables whose rows hold an id, a time and readings.

    Args:
        paths: files of one format.
        id_column: column of the detector ids.
        features: column of the readings to feature name.
        table_format: format of the files, with ``time_column``.
        lane_column: column of the lane, if a row is of a lane: those of a time are joined, see
            :func:`data_prep.lanes.join_lanes`.
        keep: texts of columns, of which each row has one that is taken.

    Raises:
        ValueError: if two columns are of one feature.
    """
    names = list(features.values())
    for name in set(names):
        columns = [column for column, feature in features.items() if feature == name]
        if len(columns) > 1:
            raise ValueError(f"Expected --features with one column for {name} (got {columns}).")

    local: set[str] = set()
    kept = KeptRows(keep or {})

    def blocks() -> Iterator[Block]:
        num_rows = 0
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            for block in _file_blocks(
                path, id_column, features, table_format, lane_column, local, kept
            ):
                num_rows += len(block)
                yield block
        kept.check()
        if not num_rows:
            raise ValueError(f"The {len(paths)} files have no rows (first file '{paths[0]}').")

    read = f"{', '.join(features)} of {len(paths)} files from '{paths[0].name}'"

    def tell(report: Report) -> None:
        tell_spans(local, report)
        kept.report(report)

    return Feed(blocks(), names, read=read, tell=tell)


class KeptRows:
    """The rows of tables that are taken, by the texts of some columns.

    Args:
        texts: of which a row has one, by column.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        self.texts = texts
        self._found: dict[str, Counter[str]] = {column: Counter() for column in texts}
        self._rows = self._kept = 0

    def of(self, piece: pd.DataFrame) -> pd.DataFrame:
        """Those of some rows."""
        is_kept = np.ones(len(piece), dtype=bool)
        for column, texts in self.texts.items():
            self._found[column].update(piece[column].unique().tolist())
            is_kept &= piece[column].isin(texts).to_numpy()
        self._rows += len(piece)
        self._kept += int(is_kept.sum())
        return piece[is_kept]

    def check(self) -> None:
        """Require that each text was there.

        Raises:
            ValueError: naming what was there instead.
        """
        for column, texts in self.texts.items():
            absent = [text for text in texts if text not in self._found[column]]
            if absent:
                there = enumerate_first(map(repr, self._found[column]), 10)
                raise ValueError(
                    f"--keep-rows asks for {absent[0]!r} in column {column!r}, which holds {there}."
                )

    def report(self, report: Report) -> None:
        """Report how many rows were taken, if not all are."""
        if self.texts:
            report.add("kept rows", f"{self._kept} of {self._rows} (--keep-rows)")


def _file_blocks(
    path: Path,
    id_column: str,
    features: Mapping[str, str],
    table_format: TableFormat,
    lane_column: str | None,
    local: set[str],
    kept: KeptRows,
) -> Iterator[Block]:
    table = open_table(path, table_format)
    times_in = list(table_format.time_column or ())
    wanted = {id_column: "--id-column"} | dict.fromkeys(times_in, "--time-column")
    wanted |= dict.fromkeys(features, "--features")
    wanted |= {lane_column: "--lane-column"} if lane_column else {}
    wanted |= dict.fromkeys(kept.texts, "--keep-rows")
    table.check(wanted)
    lanes = [lane_column] if lane_column else []
    texts = list(dict.fromkeys([id_column, *times_in, *lanes, *kept.texts]))
    nulls = {column: table_format.nulls(feature) for column, feature in features.items()}
    for every in table.pieces(texts, list(features), nulls):
        piece = kept.of(every)
        if not len(piece):
            continue
        times, is_local = read_times(table, piece, times_in)
        local.update(piece[times_in[-1]].iloc[: int(is_local)])
        ids = _ids(path, piece, id_column, lane_column)
        values = piece[list(features)].to_numpy(dtype=np.float32)
        yield long_block(times, ids, tuple(features.values()), values, is_local, str(path))


def _ids(path: Path, piece: pd.DataFrame, id_column: str, lane_column: str | None) -> list[str]:
    empty = int((piece[id_column] == "").sum())
    if empty:
        raise ValueError(
            f"Expected an id in every row of column {id_column!r} of '{path}' ({empty} are empty). "
            "Fill them, or drop these rows."
        )
    if lane_column is None:
        return piece[id_column].tolist()
    return (piece[id_column] + LANE_MARK + piece[lane_column]).tolist()
