"""``socialgraph compare a.json b.json``: results of one protocol in one table."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from socialgraph.error_table import format_row, headline, name_quarters, quarters
from socialgraph.protocol import differences

__all__ = ["Result", "compare", "main", "read_results"]


class Result(NamedTuple):
    """Errors of one forecaster.

    Args:
        name: how it is called in the table.
        protocol: what :func:`socialgraph.protocol.describe_protocol` gave.
        minutes: how far ahead each step is.
        targets: errors by target, as in the file.
    """

    name: str
    protocol: dict
    minutes: list[float]
    targets: dict[str, dict]


def read_results(path: str | Path) -> list[Result]:
    """The results of a file of ``socialgraph test`` (one) or ``backtest`` (one per forecaster).

    Rivals that forecast a sample of the detectors are left out: their errors are of other readings.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none of these, or was written before they had a protocol.
    """
    try:
        report = json.loads(Path(path).read_text())
        if "protocol" not in report and "targets" in report:
            raise ValueError(
                f"'{path}' does not say by what protocol it was measured: it was written by an "
                "earlier version. Test the checkpoint again."
            )
        models = report.get("models", {"": report})
        return [
            Result(
                f"{path}{f': {name}' if name else ''}",
                report["protocol"],
                report["horizon_minutes"],
                model["targets"],
            )
            for name, model in models.items()
            if not model.get("sample")
        ]
    except (KeyError, AttributeError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"'{path}' is no result of 'socialgraph test' or 'socialgraph backtest'."
        ) from error


def compare(results: Sequence[Result]) -> str:
    """One table of results, a block for each error of each target.

    Raises:
        ValueError: if the protocols differ, with what differs.
    """
    first = results[0]
    for other in results[1:]:
        apart = list(differences(first.protocol, other.protocol))
        if apart:
            lines = "\n  ".join(apart)
            raise ValueError(
                f"'{first.name}' and '{other.name}' were measured by different protocols, so their "
                f"errors do not compare:\n  {lines}\nTest both on the same data, split, window and "
                "horizon."
            )
    return "\n".join(_table(results))


def _table(results: Sequence[Result]) -> Iterator[str]:
    width = max(len(result.name) for result in results) + 2
    heads = name_quarters(results[0].minutes)
    for target, own in results[0].targets.items():
        for error in [name for name in own if f"{name}_all" in own]:
            label = f"{error}{' %' if error == 'mape' else ''} of {headline(target, own)}"
            yield format_row(label.ljust(width), heads)
            for result in results:
                errors = result.targets[target]
                cells = quarters(errors[error], errors[f"{error}_all"])
                yield format_row(f"  {result.name}".ljust(width), cells)


def main(args: Sequence[str] | None = None) -> None:
    """Print the table, or say why there is none.

    Raises:
        ValueError: if the protocols differ, or a file is no result.
        FileNotFoundError: if there is no such file.
    """
    parser = argparse.ArgumentParser(
        "socialgraph compare",
        description="Put results of 'socialgraph test' and 'socialgraph backtest' into one table, "
        "if they were measured by the same protocol (else exit status 2).",
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE.json", help="results")
    options = parser.parse_args(args)
    files = dict.fromkeys(options.files)
    print(compare([result for path in files for result in read_results(path)]))
