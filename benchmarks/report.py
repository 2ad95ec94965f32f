"""Tables and pictures from ``benchmarks/results``: ``python -m benchmarks.report``.

In the READMEs and the pages of ``docs`` a table stands between ``<!-- results: NAME -->`` and
``<!-- end -->`` and is replaced there; ``NAME`` is the name of a result file. Pictures stand beside
the result files.
"""

import argparse
import json
import re
from pathlib import Path

from benchmarks.environment import RESULTS, ROOT
from benchmarks.plots import PLOTS
from benchmarks.tables import TABLES

__all__ = ["fill", "main", "make_tables"]

READMES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)


def make_tables(folder: Path = RESULTS) -> dict[str, str]:
    """Markdown table of every result file of a folder, by the name of the file."""
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {name: TABLES[report["question"]](report) for name, report in reports.items()}


def fill(text: str, tables: dict[str, str]) -> str:
    """Replace the tables between their marks.

    Raises:
        KeyError: if the text asks for a table that there is not.
    """

    def table(match: re.Match) -> str:
        if match[1] not in tables:
            raise KeyError(f"No result file for '{match[1]}'; there are {sorted(tables)}.")
        return f"<!-- results: {match[1]} -->\n{tables[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->\n.*?<!-- end -->", table, text, flags=re.S)


def main(argv: list[str] | None = None) -> None:
    """Draw the pictures and fill the READMEs."""
    parser = argparse.ArgumentParser("python -m benchmarks.report", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=READMES)
    args = parser.parse_args(argv)
    for path in RESULTS.glob("*.json"):
        report = json.loads(path.read_text())
        if report["question"] in PLOTS:
            PLOTS[report["question"]](report, path.with_suffix(".png"))
    tables = make_tables()
    filled = {path: fill(path.read_text(), tables) for path in args.files}
    for path, text in filled.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
