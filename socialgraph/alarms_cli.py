"""The command ``socialgraph alarms``: the alarms of a table of forecasts, one row for each."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from socialgraph.atomic import refuse_replacing, replacing

__all__ = ["list_alarms", "main", "read_alarms"]

_COLUMNS = ("issued", "step", "detector", "alarm")


def read_alarms(path: str | Path) -> pa.Table:
    """The columns of a table of forecasts that tell alarms, of the first step alone.

    Args:
        path: CSV or Parquet of ``socialgraph predict`` or ``socialgraph stream``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such table, or has no column ``alarm``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file '{path}'.")
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            kinds = {"issued": pa.string(), "detector": pa.string(), "alarm": pa.string()}
            options = pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True)
            table = pyarrow.csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        raise ValueError(f"'{path}' is no table of forecasts ({error}).") from error
    absent = [name for name in _COLUMNS if name not in table.column_names]
    if absent:
        raise ValueError(
            f"'{path}' has no column {absent}. Alarms are told by 'socialgraph predict "
            "--data.windows.predict_on test' with a checkpoint whose training has calibrated "
            "intervals (--model.coverage), in one process."
        )
    return table.filter(pc.equal(table["step"], 1)).select(_COLUMNS)


def list_alarms(table: pa.Table) -> pa.Table:
    """One row for each alarm, in the order of their begin.

    Args:
        table: what :func:`read_alarms` gives, windows in the order of time.

    Returns:
        ``detector``, ``kind`` (the one that was told most often while it lasted), ``begin`` and
        ``end`` (the last time at which it was told), ``steps`` (how often it was).
    """
    rows = sorted(_events(table), key=lambda row: (row["begin"], row["detector"]))
    stamp = table.schema.field("issued").type
    schema = pa.schema(
        [
            ("detector", pa.string()),
            ("kind", pa.string()),
            ("begin", stamp),
            ("end", stamp),
            ("steps", pa.int64()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _events(table: pa.Table) -> Iterator[dict]:
    open_ones: dict[str, dict] = {}
    for row in table.to_pylist():
        own = open_ones.get(row["detector"])
        if row["alarm"] is not None:
            if own is None:
                own = open_ones[row["detector"]] = {"begin": row["issued"], "kinds": Counter()}
            own["end"] = row["issued"]
            own["kinds"][row["alarm"]] += 1
        elif own is not None:
            yield _closed(row["detector"], open_ones.pop(row["detector"]))
    for detector, own in open_ones.items():
        yield _closed(detector, own)


def _closed(detector: str, event: dict) -> dict:
    kinds = event.pop("kinds")
    steps = sum(kinds.values())
    return {"detector": detector, "kind": kinds.most_common(1)[0][0], "steps": steps, **event}


def main(args: Sequence[str] | None = None) -> None:
    """List alarms from the command line."""
    parser = argparse.ArgumentParser(
        "socialgraph alarms",
        description="List the alarms of a table of forecasts: detectors that are silent or stuck, "
        "whose readings leave their intervals alone (sensor) or with their neighbours' (incident, "
        "and drift after a day). 'predict --forecast.alarm_rate' sets how many are false.",
    )
    parser.add_argument("table", type=Path, help="CSV or Parquet of 'socialgraph predict'")
    parser.add_argument("--output", type=Path, help="CSV to write; by default they are printed")
    options = parser.parse_args(args)
    if options.output is not None:
        refuse_replacing(options.output, options.table)
    table = read_alarms(options.table)
    alarms = list_alarms(table)
    kinds = Counter(alarms["kind"].to_pylist())
    count = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()) or "none"
    watched = table.num_rows, len(table["detector"].unique())
    if options.output is None:
        for row in alarms.to_pylist():
            print(f"{row['begin']}  {row['end']}  {row['kind']:<11}  {row['detector']}")
    else:
        with replacing(options.output) as temporary:
            pyarrow.csv.write_csv(alarms, temporary)
        print(f"alarms: {options.output}")
    print(f"{alarms.num_rows} alarms ({count}) in {watched[0]:,} times of {watched[1]} detectors")
