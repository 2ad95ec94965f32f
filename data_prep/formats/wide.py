"""Wide tables, time by detector: files of one or of several features."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.feed import Block, Feed
from data_prep.report import Report, enumerate_first
from data_prep.table_times import read_times, tell_spans, time_columns
from data_prep.tables import TableFormat, open_table

__all__ = ["NO_TIMES", "read_wide", "unique_vdids", "wide_blocks"]

NO_TIMES = np.zeros(0, dtype="datetime64[s]")


def read_wide(
    files: Mapping[str, Sequence[Path]], table_format: TableFormat, drop: Sequence[str] = ()
) -> Feed:
    """The feed of tables whose columns are a time and the detectors.

    Args:
        files: paths by feature; the files of a feature are one after the other or side by side.
        table_format: their format; without ``time_column`` the first column holds the times.
        drop: columns that are no detectors.
    """
    seen: dict[str, dict[str, None]] = {name: {} for name in files}
    local: set[str] = set()

    def blocks() -> Iterator[Block]:
        for name, paths in files.items():
            for path in paths:
                for block in wide_blocks(path, name, table_format, drop, local=local):
                    seen[name].update(dict.fromkeys(block.vdids))
                    yield block

    def tell(report: Report) -> None:
        tell_spans(local, report)
        every = {vdid for vdids in seen.values() for vdid in vdids}
        for name, vdids in seen.items():
            absent = sorted(every - set(vdids))
            if absent:
                report.add(
                    name, f"has no column for {len(absent)} detectors: {enumerate_first(absent)}"
                )

    named = [f"{name} of '{path.name}'" for name, paths in files.items() for path in paths]
    return Feed(blocks(), list(files), read=enumerate_first(named, 10), tell=tell)


def wide_blocks(
    path: str | Path,
    feature: str,
    table_format: TableFormat,
    drop: Sequence[str] = (),
    has_times: bool = True,
    local: set[str] | None = None,
) -> Iterator[Block]:
    """The rows of one table; blocks without times if it has none. ``local`` gets a time of it if it
    is on a local clock.

    Raises:
        FileNotFoundError, KeyError: if there is no such file, or no such time column.
        ValueError: if an id occurs twice, a cell cannot be read, or there are no rows.
    """
    table = open_table(path, table_format)
    times_in = time_columns(table) if has_times else []
    table.check(dict.fromkeys(drop, "--drop"))
    columns = [name for name in table.header if name not in (*times_in, *drop)]
    vdids = unique_vdids(path, columns)
    num_rows = 0
    nulls = dict.fromkeys(columns, table_format.nulls(feature))
    for named in table.pieces(times_in, columns, nulls):
        times, is_local = read_times(table, named, times_in) if has_times else (NO_TIMES, False)
        num_rows += len(named)
        if local is not None:
            local.update(named[times_in[-1]].iloc[: int(is_local)])
        values = named[columns].to_numpy(dtype=np.float32)[..., None]
        yield Block(times, vdids, (feature,), values, None, is_local, str(path))
    if not num_rows:
        raise ValueError(f"'{path}' has column names and no rows. Expected one row for each time.")


def unique_vdids(path: str | Path, names: Sequence[str]) -> list[str]:
    """The ids without surrounding blanks.

    Raises:
        ValueError: if there is none, one is empty, or one occurs twice.
    """
    vdids = [name.strip() for name in names]
    if "" in vdids:
        raise ValueError(
            f"Expected '{path}' to name every column by a detector id (column "
            f"{vdids.index('') + 1} of {len(vdids)} has no name). Drop it, "
            "or a delimiter at the end of the lines."
        )
    twice = [vdid for vdid, count in Counter(vdids).items() if count > 1]
    if twice or not vdids:
        problem = (
            f"{len(twice)} occur twice: {enumerate_first(twice)}" if twice else "there is none"
        )
        raise ValueError(
            f"Expected '{path}' to have one column for each detector id; {problem}. "
            "Rename or drop columns, or set --delimiter."
        )
    return vdids
